//! Runs without faults, and with a server that is away from the start.

use super::*;
use crate::plan::Stage;
use crate::testing::deployment::Fault;

#[tokio::test(start_paused = true)]
async fn a_plain_apply_ends_confirmed() {
    let case = Case::new();
    let ended = case.apply(&Process::new()).await;
    let Ended::Done { zero: true, applied } = &ended else { panic!("{ended:?}") };
    let pushed: Vec<Stage> = applied.pushed.iter().map(|pushed| pushed.stage).collect();
    // Four streams, and the consumer in both regions.
    assert_eq!((pushed, applied.provisioned.len()), (vec![Stage::Mappings], 6), "{applied:?}");
    let streams = ["foo-read-east", "foo-read-west", "foo-write-east", "foo-write-west", "vstream-lease"];
    assert_eq!(case.world.streams(), streams);
    case.converges("after a plain apply").await;
}

#[tokio::test(start_paused = true)]
async fn of_two_runs_at_once_the_second_finds_nothing_to_do() {
    let case = Case::new();
    let (first, second) = (Process::new(), Process::new());
    let (first, second) = tokio::join!(case.apply(&first), case.apply(&second));
    let (Ended::Done { zero: true, applied: one }, Ended::Done { zero: true, applied: other }) = (&first, &second)
    else {
        panic!("{first:?}\n{second:?}")
    };
    assert_eq!(one.pushed.len() + other.pushed.len(), 1, "{first:?}\n{second:?}");
    case.converges("after two runs").await;
}

#[tokio::test(start_paused = true)]
async fn claims_of_other_tools_stay() {
    for from_old in [false, true] {
        let case = Case::applied().await;
        case.world.strike(Fault::Overwritten { from_old });
        case.converges(&format!("after another tool's push, from an old token: {from_old}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_enough_servers_nothing_is_changed() {
    let case = Case::new();
    case.world.strike(Fault::Silent(0));
    let ended = case.apply(&Process::new()).await;
    assert!(matches!(&ended, Ended::Failed(why) if why.contains("too-few-servers")), "{ended:?}");
    assert_eq!(case.world.streams(), [""; 0]);
    case.converges("with all servers").await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_away_gets_the_token_from_the_next_run() {
    let case = Case::applied().await;
    case.world.strike(Fault::BackWithOldToken(4));
    let ended = case.apply(&Process::new()).await;
    assert!(matches!(&ended, Ended::Done { zero: true, applied } if applied.pushed.len() == 1), "{ended:?}");
    case.converges("after a server came back").await;
}

#[tokio::test(start_paused = true)]
async fn destroy_leaves_nothing() {
    let case = Case::applied().await;
    let ended = case.destroy(&Process::new()).await;
    assert!(matches!(ended, Ended::Done { zero: true, .. }), "{ended:?}");
    assert_eq!(case.world.streams(), [""; 0]);
    case.is_gone("after destroy").await;
    case.converges("applied again").await;
}
