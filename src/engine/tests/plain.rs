//! Runs without faults, and runs with a server that is down from the start.

use super::*;
use crate::testing::deployment::Fault;

#[tokio::test(start_paused = true)]
async fn a_plain_apply_ends_confirmed() {
    for layout in LAYOUTS {
        let case = Case::new(layout);
        let ended = case.apply(&Process::new()).await;
        let Ended::Done { zero: true, applied } = &ended else { panic!("{ended:?}") };
        let pushed: Vec<Stage> = applied.pushed.iter().map(|pushed| pushed.stage).collect();
        // Four streams, and the consumer in both regions.
        assert_eq!((pushed, applied.provisioned.len()), (stages(layout), 6), "{applied:?}");
        let reads = match layout {
            Layout::Shared => ["foo-read-east", "foo-read-west"],
            Layout::Regional => ["foo", "foo"],
        };
        let streams = [&reads[..], &["foo-write-east", "foo-write-west", "vstream-lease"][..]].concat();
        assert_eq!(case.world.streams(), streams);
        case.converges("after a plain apply").await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_apply_makes_the_keys_of_regional_accounts() {
    let case = Case::without_regional_keys(Layout::Regional);
    let ended = case.apply(&Process::new()).await;
    let Ended::Done { zero: true, applied } = &ended else { panic!("{ended:?}") };
    let keys = case.keys();
    let mut names: Vec<&str> = keys.files().iter().filter_map(|file| file.path.file_stem()?.to_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["APP", "APP-east", "APP-east-signing", "APP-west", "APP-west-signing"]);
    let regional = applied.pushed.iter().filter(|pushed| pushed.stage == Stage::RegionalExports);
    let made = regional.map(|pushed| (pushed.account.as_str(), Some(&pushed.id)));
    let named = ["APP-west", "APP-east"].map(|name| (name, keys.named(name)));
    assert_eq!(made.collect::<Vec<_>>(), named);
    case.converges("with keys that the first run made").await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_not_exclusive_is_applied_and_removed() {
    let mut case = Case::new(Layout::Regional);
    case.definition.accounts[0].exclusive = false;
    let ended = case.apply(&Process::new()).await;
    assert!(matches!(ended, Ended::Done { zero: true, .. }), "{ended:?}");
    case.converges("not exclusive").await;
    let ended = case.destroy(&Process::new()).await;
    assert!(matches!(ended, Ended::Done { zero: true, .. }), "{ended:?}");
    case.is_gone("not exclusive").await;
}

#[tokio::test(start_paused = true)]
async fn of_two_runs_at_once_the_second_finds_nothing_to_do() {
    for layout in LAYOUTS {
        let case = Case::new(layout);
        let (first, second) = (Process::new(), Process::new());
        let (first, second) = tokio::join!(case.apply(&first), case.apply(&second));
        let (Ended::Done { zero: true, applied: one }, Ended::Done { zero: true, applied: other }) = (&first, &second)
        else {
            panic!("{first:?}\n{second:?}")
        };
        let mut pushed = [one.pushed.len(), other.pushed.len()];
        pushed.sort_unstable();
        assert_eq!(pushed, [0, stages(layout).len()], "{first:?}\n{second:?}");
        case.converges("after two runs").await;
    }
}

#[tokio::test(start_paused = true)]
async fn claims_of_other_tools_stay() {
    for from_old in [false, true] {
        let (one, other) = (Fault::Overwritten { from_old }, Fault::RegionsOverwritten { from_old });
        for (layout, fault) in [(Layout::Shared, one), (Layout::Regional, one), (Layout::Regional, other)] {
            let case = Case::applied(layout).await;
            case.world.strike(fault);
            case.converges(&format!("{layout:?}, after {fault:?}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_enough_servers_nothing_is_changed() {
    for layout in LAYOUTS {
        let case = Case::new(layout);
        case.world.strike(Fault::Silent(0));
        let ended = case.apply(&Process::new()).await;
        assert!(matches!(&ended, Ended::Failed(why) if why.contains("too-few-servers")), "{ended:?}");
        assert_eq!(case.world.streams(), [""; 0]);
        case.converges("with all servers").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_away_gets_the_tokens_from_the_next_run() {
    for (layout, tokens) in [(Layout::Shared, 1), (Layout::Regional, 3)] {
        let case = Case::applied(layout).await;
        case.world.strike(Fault::BackWithOldToken(4));
        let ended = case.apply(&Process::new()).await;
        assert!(matches!(&ended, Ended::Done { zero: true, applied } if applied.pushed.len() == tokens), "{ended:?}");
        case.converges("after a server came back").await;
    }
}

#[tokio::test(start_paused = true)]
async fn destroy_leaves_nothing() {
    for layout in LAYOUTS {
        let case = Case::applied(layout).await;
        let ended = case.destroy(&Process::new()).await;
        assert!(matches!(ended, Ended::Done { zero: true, .. }), "{ended:?}");
        assert_eq!(case.world.streams(), [""; 0]);
        case.is_gone("after destroy").await;
        case.converges("applied again").await;
    }
}
