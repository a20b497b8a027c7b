//! Each fault, at each step of a run.

use super::*;
use crate::desired::lease;
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
        Fault::Overwritten { .. } | Fault::OverwrittenUnheard => {
            assert!(matches!(ended, Ended::Done { .. }), "{when}: {ended:?}")
        }
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
async fn a_push_that_no_run_hears_of_is_kept_until_the_last_look_before_the_push() {
    let asked = Case::applied().await.world.asked();
    let push = asked.iter().position(|subject| subject.ends_with("CLAIMS.UPDATE")).unwrap();
    for (number, subject) in asked[..push].iter().enumerate() {
        let (case, when) = (Case::new(), format!("unheard push at request {number} on {subject}"));
        case.world.trap(number, Fault::OverwrittenUnheard);
        let ended = case.apply(&Process::new()).await;
        ends_as_it_must(Fault::OverwrittenUnheard, &ended, &when);
        case.is_sound(&when);
        case.converges(&when).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_before_the_lease_is_in_the_plan_before_anything_is_made() {
    let asked = Case::applied().await.world.asked();
    let lease = asked.iter().position(|subject| subject == lease::SUBJECT).unwrap();
    let case = Case::new();
    case.world.trap(lease, Fault::OverwrittenUnheard);
    let ended = case.apply(&Process::new()).await;
    // A run that learned of it later would have planned again.
    let Ended::Done { zero: true, applied } = &ended else { panic!("{ended:?}") };
    assert_eq!((applied.planned_again, applied.pushed.len()), (0, 1), "{ended:?}");
    case.is_sound("pushed before the lease");
}

/// Time until something happens while a run waits for its sources.
const LATER: Duration = Duration::from_secs(20);

/// Returns a deployment whose sources do not reach their origins: a run pushes the mappings, then waits for the
/// sources.
fn waiting() -> Case {
    let case = Case::new();
    case.world.strike(Fault::SourcesStuck);
    case
}

#[tokio::test(start_paused = true)]
async fn an_old_token_that_is_pushed_while_a_run_waits_for_sources_does_not_stay() {
    let (case, process) = (waiting(), Process::new());
    let meanwhile = async {
        sleep(LATER).await;
        case.world.strike(Fault::Overwritten { from_old: true });
        sleep(Duration::from_secs(5)).await;
        case.world.heal();
    };
    let (ended, ()) = tokio::join!(case.apply(&process), meanwhile);
    let Ended::Done { zero: true, applied } = &ended else { panic!("{ended:?}") };
    assert_eq!((applied.planned_again, applied.pushed.len()), (1, 2), "{ended:?}");
    case.is_sound("pushed while a run waited");
    case.converges("pushed while a run waited").await;
}

#[tokio::test(start_paused = true)]
async fn a_run_with_nothing_to_do_notices_pushes_while_it_waits() {
    for from_old in [false, true] {
        let (case, process) = (Case::applied().await, Process::new());
        case.world.strike(Fault::SourcesStuck);
        let meanwhile = async {
            sleep(LATER).await;
            case.world.strike(Fault::Overwritten { from_old });
            sleep(Duration::from_secs(5)).await;
            case.world.heal();
        };
        let (ended, ()) = tokio::join!(case.apply(&process), meanwhile);
        match (from_old, &ended) {
            (false, Ended::Done { zero: true, applied }) => assert_eq!(applied.planned_again, 1, "{ended:?}"),
            (true, Ended::Failed(why)) => assert!(why.contains("was changed by another tool"), "{why}"),
            _ => panic!("from an old token: {from_old}, {ended:?}"),
        }
        case.converges("after a run that only looked").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_ends_when_its_lease_is_lost() {
    for (fault, says) in [(Fault::LeaseLost, "has expired"), (Fault::LeaseStolen, "other@host has it now")] {
        let (case, process) = (waiting(), Process::new());
        let meanwhile = async {
            sleep(Duration::from_secs(5)).await;
            case.world.strike(fault);
        };
        let (ended, ()) = tokio::join!(case.apply(&process), meanwhile);
        assert!(matches!(&ended, Ended::Failed(why) if why.contains(says)), "{ended:?}");
        case.converges("after a lost lease").await;
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
