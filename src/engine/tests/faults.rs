//! Each fault, at each step of a run.

use super::*;
use crate::desired::lease;
use crate::resolver::push;
use crate::testing::deployment::Fault;
use std::collections::BTreeMap;

/// Returns the steps of a run at which a fault happens, by the numbers of its requests, with their subjects: the first
/// and the last request of each kind.
///
/// In the layout `regional` a run takes longer, and is no other until the first push. So there a fault happens at the
/// last push of each stage, and a kill also at the first request of each kind after the first push.
fn steps(asked: &[String], layout: Layout, fault: Fault) -> BTreeMap<usize, String> {
    let is_push = |number: usize| asked.get(number).is_some_and(|subject| subject == push::SUBJECT);
    let (from, least) = match layout {
        Layout::Shared => (0, 16),
        Layout::Regional => ((0..asked.len()).find(|number| is_push(*number)).unwrap(), 4),
    };
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (number, subject) in asked.iter().enumerate().skip(from) {
        kinds.entry(kind(subject)).or_insert((number, number)).1 = number;
    }
    let (firsts, lasts): (Vec<usize>, Vec<usize>) = kinds.into_values().unzip();
    let pushes: Vec<usize> = (from..asked.len()).filter(|number| is_push(*number) && !is_push(number + 1)).collect();
    let numbers = match (layout, fault) {
        (Layout::Shared, _) => [firsts, lasts].concat(),
        (Layout::Regional, Fault::Killed) => [firsts, pushes].concat(),
        (Layout::Regional, _) => pushes,
    };
    let steps: BTreeMap<_, _> = numbers.into_iter().map(|number| (number, asked[number].clone())).collect();
    assert!(steps.len() >= least, "{steps:?}");
    steps
}

/// Returns a subject without names and keys.
fn kind(subject: &str) -> String {
    let is_name = |token: &str| token.len() == 56 || token.contains(|letter: char| letter.is_ascii_lowercase());
    subject.split('.').filter(|token| !is_name(token)).collect::<Vec<_>>().join(".")
}

/// Checks that a run reacts correctly to a fault.
fn ends_as_it_must(fault: Fault, ended: &Ended, when: &str) {
    let done = matches!(ended, Ended::Done { .. });
    match fault {
        Fault::Killed | Fault::AnswerLost => assert!(matches!(ended, Ended::Killed), "{when}: {ended:?}"),
        Fault::Overwritten { .. } | Fault::OverwrittenUnheard | Fault::RegionsOverwritten { .. } => {
            assert!(done, "{when}: {ended:?}");
        }
        // A run may fail, or not confirm everything.
        _ => {}
    }
}

async fn apply_at_each_step(layout: Layout, fault: Fault) {
    for (number, subject) in steps(&Case::applied(layout).await.world.asked(), layout, fault) {
        let (case, when) = (Case::new(layout), format!("{layout:?}, {fault:?} at request {number} on {subject}"));
        case.world.trap(number, fault);
        let ended = case.apply(&Process::new()).await;
        ends_as_it_must(fault, &ended, &when);
        sleep(ON_ITS_WAY).await;
        case.is_sound(&when);
        case.converges(&when).await;
    }
}

async fn destroy_at_each_step(layout: Layout, fault: Fault) {
    let case = Case::applied(layout).await;
    let before = case.world.asked().len();
    case.destroy(&Process::new()).await;
    for (number, subject) in steps(&case.world.asked()[before..], layout, fault) {
        let case = Case::applied(layout).await;
        let when = format!("{layout:?}, {fault:?} at request {number} on {subject}");
        case.world.trap(case.world.asked().len() + number, fault);
        let ended = case.destroy(&Process::new()).await;
        ends_as_it_must(fault, &ended, &when);
        sleep(ON_ITS_WAY).await;
        case.is_sound(&format!("{when}, ended {ended:?}"));
        case.is_gone(&when).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_run_began_the_next_one_finishes() {
    for layout in LAYOUTS {
        apply_at_each_step(layout, Fault::Killed).await;
        apply_at_each_step(layout, Fault::AnswerLost).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_by_another_tool_is_kept_at_any_step() {
    for layout in LAYOUTS {
        for from_old in [false, true] {
            apply_at_each_step(layout, Fault::Overwritten { from_old }).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pushes_of_regional_accounts_by_another_tool_are_kept_at_any_step() {
    for from_old in [false, true] {
        apply_at_each_step(Layout::Regional, Fault::RegionsOverwritten { from_old }).await;
    }
    destroy_at_each_step(Layout::Regional, Fault::RegionsOverwritten { from_old: false }).await;
}

#[tokio::test(start_paused = true)]
async fn a_push_that_no_run_hears_of_is_kept_until_the_last_look_before_the_push() {
    // Until the first push, runs are much the same in both layouts.
    for (layout, each) in [(Layout::Shared, 1), (Layout::Regional, 12)] {
        let asked = Case::applied(layout).await.world.asked();
        let push = asked.iter().position(|subject| subject == push::SUBJECT).unwrap();
        for (number, subject) in asked[..push].iter().enumerate().step_by(each) {
            let when = format!("{layout:?}, unheard push at request {number} on {subject}");
            let case = Case::new(layout);
            case.world.trap(number, Fault::OverwrittenUnheard);
            let ended = case.apply(&Process::new()).await;
            ends_as_it_must(Fault::OverwrittenUnheard, &ended, &when);
            case.is_sound(&when);
            case.converges(&when).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_before_the_lease_is_in_the_plan_before_anything_is_made() {
    for layout in LAYOUTS {
        let asked = Case::applied(layout).await.world.asked();
        let lease = asked.iter().position(|subject| subject == lease::SUBJECT).unwrap();
        let case = Case::new(layout);
        case.world.trap(lease, Fault::OverwrittenUnheard);
        let ended = case.apply(&Process::new()).await;
        // A run that learned of it later would have planned again.
        let Ended::Done { zero: true, applied } = &ended else { panic!("{ended:?}") };
        assert_eq!((applied.planned_again, applied.pushed.len()), (0, stages(layout).len()), "{ended:?}");
        case.is_sound("pushed before the lease");
    }
}

/// Time until something happens while a run waits for its sources.
const LATER: Duration = Duration::from_secs(20);

/// Returns a deployment whose sources do not reach their origins. A run in the layout `regional` waits for them before
/// it pushes the mappings, and one in `shared` after that.
fn waiting(layout: Layout) -> Case {
    let case = Case::new(layout);
    case.world.strike(Fault::SourcesStuck);
    case
}

#[tokio::test(start_paused = true)]
async fn an_old_token_that_is_pushed_while_a_run_waits_for_sources_does_not_stay() {
    for layout in LAYOUTS {
        let (case, process) = (waiting(layout), Process::new());
        let meanwhile = async {
            sleep(LATER).await;
            case.world.strike(Fault::Overwritten { from_old: true });
            sleep(Duration::from_secs(5)).await;
            case.world.heal();
        };
        let (ended, ()) = tokio::join!(case.apply(&process), meanwhile);
        let Ended::Done { zero: true, applied } = &ended else { panic!("{ended:?}") };
        assert_eq!(applied.planned_again, 1, "{ended:?}");
        case.is_sound("pushed while a run waited");
        case.converges("pushed while a run waited").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_with_nothing_to_do_notices_pushes_while_it_waits() {
    for (layout, from_old) in LAYOUTS.into_iter().flat_map(|layout| [(layout, false), (layout, true)]) {
        let (case, process) = (Case::applied(layout).await, Process::new());
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
            _ => panic!("{layout:?}, from an old token: {from_old}, {ended:?}"),
        }
        case.converges("after a run that only looked").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_ends_when_its_lease_is_lost() {
    for layout in LAYOUTS {
        for (fault, says) in [(Fault::LeaseLost, "has expired"), (Fault::LeaseStolen, "other@host has it now")] {
            let (case, process) = (waiting(layout), Process::new());
            let meanwhile = async {
                sleep(Duration::from_secs(5)).await;
                case.world.strike(fault);
            };
            let (ended, ()) = tokio::join!(case.apply(&process), meanwhile);
            assert!(matches!(&ended, Ended::Failed(why) if why.contains(says)), "{ended:?}");
            case.converges("after a lost lease").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_ends_when_the_user_interrupts_it() {
    for layout in LAYOUTS {
        for idle in [false, true] {
            let mut case = if idle { Case::applied(layout).await } else { Case::new(layout) };
            case.world.strike(Fault::SourcesStuck);
            case.interrupted_after = Some(LATER);
            let began = Instant::now();
            let ended = case.apply(&Process::new()).await;
            assert!(matches!(&ended, Ended::Failed(why) if why.contains("interrupted")), "idle: {idle}, {ended:?}");
            assert!(began.elapsed() < LATER + Duration::from_secs(3), "idle: {idle}, {:?}", began.elapsed());
            case.interrupted_after = None;
            case.converges("after an interrupt").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_may_fall_silent_at_any_step() {
    for layout in LAYOUTS {
        apply_at_each_step(layout, Fault::Silent(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_may_be_late_from_any_step_on() {
    for layout in LAYOUTS {
        apply_at_each_step(layout, Fault::Late(3)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_may_come_back_with_an_old_token_at_any_step() {
    for layout in LAYOUTS {
        apply_at_each_step(layout, Fault::BackWithOldToken(2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_lease_may_be_lost_at_any_step() {
    for layout in LAYOUTS {
        apply_at_each_step(layout, Fault::LeaseLost).await;
        apply_at_each_step(layout, Fault::LeaseStolen).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_signer_may_refuse_from_any_step_on() {
    // Runs sign the same in both layouts, before the first push.
    apply_at_each_step(Layout::Shared, Fault::SignerRefuses).await;
}

#[tokio::test(start_paused = true)]
async fn disks_may_be_full_from_any_step_on() {
    for layout in LAYOUTS {
        apply_at_each_step(layout, Fault::DiskFull).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_may_be_denied_from_any_step_on() {
    for layout in LAYOUTS {
        apply_at_each_step(layout, Fault::PushDenied).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_removal_began_the_next_one_finishes() {
    for layout in LAYOUTS {
        destroy_at_each_step(layout, Fault::Killed).await;
        destroy_at_each_step(layout, Fault::AnswerLost).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_fault_has_a_removal_delete_a_stream_that_a_mapping_leads_to() {
    for layout in LAYOUTS {
        for fault in [Fault::Silent(1), Fault::Late(3), Fault::PushDenied, Fault::LeaseLost, Fault::LeaseStolen] {
            destroy_at_each_step(layout, fault).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_by_another_tool_is_kept_at_any_step_of_a_removal() {
    for layout in LAYOUTS {
        destroy_at_each_step(layout, Fault::Overwritten { from_old: false }).await;
    }
}
