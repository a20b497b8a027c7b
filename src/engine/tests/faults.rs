//! Each fault, at each step of a run.

use super::*;
use crate::testing::deployment::Fault;
use std::collections::BTreeMap;

/// Returns the steps of a run, by the numbers of its requests: the first and the last request of each kind. Comes with
/// the subjects.
fn steps(asked: &[String]) -> BTreeMap<usize, String> {
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (number, subject) in asked.iter().enumerate() {
        kinds.entry(kind(subject)).or_insert((number, number)).1 = number;
    }
    let numbers = kinds.into_values().flat_map(|(first, last)| [first, last]);
    numbers.map(|number| (number, asked[number].clone())).collect()
}

/// Returns a subject without names and keys.
fn kind(subject: &str) -> String {
    let is_name = |token: &str| token.len() == 56 || token.contains(|letter: char| letter.is_ascii_lowercase());
    subject.split('.').filter(|token| !is_name(token)).collect::<Vec<_>>().join(".")
}

/// Checks what every run must do about a fault.
fn ends_as_it_must(fault: Fault, ended: &Ended, when: &str) {
    match fault {
        Fault::Killed | Fault::AnswerLost => assert!(matches!(ended, Ended::Killed), "{when}: {ended:?}"),
        Fault::Overwritten { .. } => assert!(matches!(ended, Ended::Done { .. }), "{when}: {ended:?}"),
        // A run may fail, or not confirm everything.
        _ => {}
    }
}

async fn apply_at_each_step(fault: Fault) {
    let steps = steps(&Case::applied().await.world.asked());
    assert!(steps.len() > 15, "{steps:?}");
    for (number, subject) in steps {
        let (case, when) = (Case::new(), format!("{fault:?} at request {number} on {subject}"));
        case.world.trap(number, fault);
        let ended = case.apply(&Process::new()).await;
        ends_as_it_must(fault, &ended, &when);
        sleep(ON_ITS_WAY).await;
        case.is_sound(&when);
        case.converges(&when).await;
    }
}

async fn destroy_at_each_step(fault: Fault) {
    let case = Case::applied().await;
    let before = case.world.asked().len();
    case.destroy(&Process::new()).await;
    let steps = steps(&case.world.asked()[before..]);
    assert!(steps.len() > 15, "{steps:?}");
    for (number, subject) in steps {
        let (case, when) = (Case::applied().await, format!("{fault:?} at request {number} on {subject}"));
        case.world.trap(case.world.asked().len() + number, fault);
        let ended = case.destroy(&Process::new()).await;
        ends_as_it_must(fault, &ended, &when);
        sleep(ON_ITS_WAY).await;
        case.is_sound(&when);
        case.is_gone(&when).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_run_began_the_next_one_finishes() {
    apply_at_each_step(Fault::Killed).await;
    apply_at_each_step(Fault::AnswerLost).await;
}

#[tokio::test(start_paused = true)]
async fn a_push_by_another_tool_is_kept_at_any_step() {
    for from_old in [false, true] {
        apply_at_each_step(Fault::Overwritten { from_old }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_may_fall_silent_at_any_step() {
    apply_at_each_step(Fault::Silent(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_may_be_late_from_any_step_on() {
    apply_at_each_step(Fault::Late(3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_may_come_back_with_an_old_token_at_any_step() {
    apply_at_each_step(Fault::BackWithOldToken(2)).await;
}

#[tokio::test(start_paused = true)]
async fn the_lease_may_be_lost_at_any_step() {
    apply_at_each_step(Fault::LeaseLost).await;
    apply_at_each_step(Fault::LeaseStolen).await;
}

#[tokio::test(start_paused = true)]
async fn the_signer_may_refuse_from_any_step_on() {
    apply_at_each_step(Fault::SignerRefuses).await;
}

#[tokio::test(start_paused = true)]
async fn disks_may_be_full_from_any_step_on() {
    apply_at_each_step(Fault::DiskFull).await;
}

#[tokio::test(start_paused = true)]
async fn a_push_may_be_denied_from_any_step_on() {
    apply_at_each_step(Fault::PushDenied).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_removal_began_the_next_one_finishes() {
    destroy_at_each_step(Fault::Killed).await;
    destroy_at_each_step(Fault::AnswerLost).await;
}

#[tokio::test(start_paused = true)]
async fn no_fault_has_a_removal_delete_a_stream_that_a_mapping_leads_to() {
    for fault in [Fault::Silent(1), Fault::Late(3), Fault::PushDenied, Fault::LeaseLost, Fault::LeaseStolen] {
        destroy_at_each_step(fault).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_by_another_tool_is_kept_at_any_step_of_a_removal() {
    destroy_at_each_step(Fault::Overwritten { from_old: false }).await;
}
