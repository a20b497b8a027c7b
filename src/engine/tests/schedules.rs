//! Random schedules of two runs, pushes by another tool, and faults. `PROPTEST_CASES` raises their number.

use super::*;
use crate::testing::deployment::Fault;
use proptest::prelude::*;
use tokio::time::sleep_until;

/// Number of schedules that are tried by default in the layout `shared`.
const CASES: u32 = 32;
/// Number of schedules that are tried by default in the layout `regional`, where runs take longer.
const REGIONAL_CASES: u32 = 8;
/// Time in which events happen, in milliseconds. A run without faults takes less.
const SPAN: u64 = 6000;

/// Two runs of `apply`, and the events during these.
#[derive(Debug, Clone)]
struct Schedule {
    /// The start of the second run, in milliseconds after the first.
    second: u64,
    /// The events, with their times in milliseconds.
    events: Vec<(u64, Event)>,
}

#[derive(Debug, Clone)]
enum Event {
    Fault(Fault),
    /// The first or the second run is killed.
    Kill(usize),
    /// All faults end.
    Heal,
}

impl Event {
    fn happens(&self, world: &InMemory, processes: &[Process; 2]) {
        match self {
            Self::Fault(fault) => world.strike(*fault),
            Self::Kill(run) => processes[*run].kill(),
            Self::Heal => world.heal(),
        }
    }
}

/// Generates a fault that loses no token which only the faulty server has, because most servers always answer. Another
/// tool edits the newest token, because an edit of an older one would undo the changes of pushes that no run noticed.
fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::Overwritten { from_old: false }),
        2 => (0..2usize).prop_map(Fault::Silent),
        1 => (0..6usize).prop_map(Fault::Late),
        2 => (0..2usize).prop_map(Fault::BackWithOldToken),
        1 => Just(Fault::LeaseLost),
        1 => Just(Fault::LeaseStolen),
        1 => Just(Fault::SourcesStuck),
        1 => Just(Fault::SignerRefuses),
        1 => Just(Fault::PushDenied),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => fault().prop_map(Event::Fault),
        1 => (0..2usize).prop_map(Event::Kill),
        2 => Just(Event::Heal),
    ]
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let events = prop::collection::vec((0..SPAN, event()), 0..10);
    (0..SPAN, events).prop_map(|(second, mut events)| {
        events.sort_by_key(|(at, _)| *at);
        Schedule { second, events }
    })
}

/// Carries a schedule out under paused time.
fn carry_out(layout: Layout, schedule: &Schedule) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(runs(layout, schedule));
}

async fn runs(layout: Layout, Schedule { second, events }: &Schedule) {
    let (case, processes, start) = (Case::new(layout), [Process::new(), Process::new()], Instant::now());
    let at = |milliseconds: u64| sleep_until(start + Duration::from_millis(milliseconds));
    let first = case.apply(&processes[0]);
    let second = async {
        at(*second).await;
        case.apply(&processes[1]).await
    };
    let events = async {
        for (time, event) in events {
            at(*time).await;
            event.happens(&case.world, &processes);
        }
    };
    let (first, second, ()) = tokio::join!(first, second, events);
    let when = format!("first run: {first:?}\nsecond run: {second:?}");
    sleep(ON_ITS_WAY).await;
    case.is_sound(&when);
    case.converges(&when).await;
}

fn config(cases: u32) -> ProptestConfig {
    let standard = ProptestConfig::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => standard,
        None => ProptestConfig { cases, ..standard },
    }
}

proptest! {
    #![proptest_config(config(CASES))]

    #[test]
    fn whatever_happens_to_two_runs_no_claim_is_lost_and_the_next_run_converges(schedule in schedule()) {
        carry_out(Layout::Shared, &schedule);
    }
}

proptest! {
    #![proptest_config(config(REGIONAL_CASES))]

    /// Without a server that returns with an old token: the in-memory servers do not start the sources again of streams
    /// whose account they lacked for a while.
    #[test]
    fn whatever_happens_to_two_runs_that_make_regional_accounts_the_next_run_converges(schedule in schedule()) {
        let Schedule { second, mut events } = schedule;
        events.retain(|(_, event)| !matches!(event, Event::Fault(Fault::BackWithOldToken(_))));
        carry_out(Layout::Regional, &Schedule { second, events });
    }
}
