//! Tests of whole runs against an in-memory deployment, under paused time.
//!
//! `plain` has runs without faults. `faults` lets each fault happen at each step of a run, and `schedules` lets random
//! faults loose on two runs.

mod faults;
mod plain;
mod schedules;

use super::lease::Holder;
use super::report::Applied;
use super::run::{Run, Signers, execute};
use super::session::{Given, Hearing};
use super::{Deadline, Planner, Silent};
use crate::definition::Definition;
use crate::desired::tests::{app, definition, stream};
use crate::model::claims::Trust;
use crate::model::names::ConsumerName;
use crate::model::virtual_stream::{Account, ConsumerDefinition};
use crate::ops::apply::Apply;
use crate::ops::destroy::Removal;
use crate::plan::Options;
use crate::sign::Signer as _;
use crate::sign::keyring::Keyring;
use crate::testing::deployment::{InMemory, Process};
use crate::testing::link::MemoryConnector;
use crate::testing::log::MemoryLog;
use serde_json::Map;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Time of a verb.
const TIME: Duration = Duration::from_secs(60);
/// Time after which the leases of killed runs have expired, and nothing is on its way any more.
const REST: Duration = Duration::from_secs(40);
/// Time after which all that was sent has arrived on servers that are not late.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// A deployment, and the definition of a virtual stream with a consumer.
struct Case {
    world: InMemory,
    definition: Definition,
}

/// How a run ended.
#[derive(Debug)]
enum Ended {
    /// It carried out its plan; `zero` if the command would end with exit code 0.
    Done {
        zero: bool,
        applied: Box<Applied>,
    },
    Failed(String),
    Killed,
}

impl Case {
    fn new() -> Self {
        let world = InMemory::new(&["c-west", "c-east"], 3);
        let name = ConsumerName::parse("worker").unwrap();
        let mut foo = stream("foo", &["foo.>"]);
        foo.consumers = vec![ConsumerDefinition { name, regions: Vec::new(), config: Map::new() }];
        let account = Account { id: world.account(), ..app(vec![foo]) };
        Self { definition: definition(vec![account]), world }
    }

    /// Returns a deployment as it is after an `apply`.
    async fn applied() -> Self {
        let case = Self::new();
        let ended = case.apply(&Process::new()).await;
        assert!(matches!(ended, Ended::Done { zero: true, .. }), "{ended:?}");
        case
    }

    async fn apply(&self, process: &Process) -> Ended {
        self.run(Apply(None), process).await
    }

    async fn destroy(&self, process: &Process) -> Ended {
        self.run(Removal { delete_streams: true }, process).await
    }

    async fn run(&self, planner: impl Planner, process: &Process) -> Ended {
        let began = Instant::now();
        let ended = tokio::select! {
            biased;
            () = process.killed() => Ended::Killed,
            ended = self.run_to_its_end(planner, process) => ended,
        };
        if !matches!(ended, Ended::Done { .. }) {
            sleep(ON_ITS_WAY).await;
            self.world.give_up(began);
        }
        ended
    }

    async fn run_to_its_end(&self, planner: impl Planner, process: &Process) -> Ended {
        let began = Instant::now();
        let connector = MemoryConnector::new(&self.world, process);
        let trust = Trust::default().signing_with(Some(self.world.public_key()));
        let mut keys = Keyring::open(Path::new("no-such-folder")).unwrap();
        let given = Given { definition: &self.definition, keys: &keys, trust: &trust };
        let (options, deadline) = (Options::default(), Deadline::after(TIME));
        let planned = planner.plan(given, &connector, &options, Hearing::On, deadline, &Silent).await;
        let (mut session, mut planned) = match planned {
            Ok(both) => both,
            Err(error) => return Ended::Failed(error.to_string()),
        };
        session.log = Some(Arc::new(MemoryLog(self.world.clone())));
        let removes = planner.removes_all();
        let signers = Signers { operator: Some(&self.world), keys: &mut keys, signed: None };
        let holder = Holder { who: "test".to_owned(), verb: "apply" };
        let run = Run::new(planner, signers, holder);
        match execute(&mut session, &mut planned, run, &connector, &Silent).await {
            Ok(applied) => {
                let zero = applied.is_confirmed() && session.deployment.missing() == 0;
                if zero && !removes {
                    self.world.expects_as_defined(&self.definition, began);
                }
                Ended::Done { zero, applied: Box::new(applied) }
            }
            Err(stopped) => Ended::Failed(format!("{stopped}: {:?}", stopped.cause)),
        }
    }

    /// Ends all faults, and checks that the next run finishes, and that the one after it has nothing to do.
    async fn converges(&self, when: &str) {
        self.world.heal();
        sleep(REST).await;
        let ended = self.apply(&Process::new()).await;
        assert!(matches!(ended, Ended::Done { zero: true, .. }), "{when}, next run: {ended:?}");
        let ended = self.apply(&Process::new()).await;
        let idle = |applied: &Applied| applied.pushed.is_empty() && applied.provisioned.is_empty();
        assert!(
            matches!(&ended, Ended::Done { zero: true, applied } if idle(applied)),
            "{when}, run after the next: {ended:?}"
        );
        self.is_sound(when);
    }

    /// Ends all faults, and checks that the next `destroy` finishes.
    async fn is_gone(&self, when: &str) {
        self.world.heal();
        sleep(REST).await;
        let ended = self.destroy(&Process::new()).await;
        assert!(matches!(ended, Ended::Done { zero: true, .. }), "{when}, next run: {ended:?}");
        let leftovers = self.world.leftovers(&self.definition);
        assert!(leftovers.is_empty(), "{when}: {leftovers:?}");
        self.is_sound(when);
    }

    /// Checks what must hold at any time. No mapping led to a stream that is not there. No token was sent that is not
    /// in the log. What runs confirmed was true. No claim of another tool is lost.
    fn is_sound(&self, when: &str) {
        let (violations, lost) = (self.world.violations(), self.world.lost_claims());
        assert!(violations.is_empty() && lost.is_empty(), "{when}: lost {lost:?}, {violations:#?}");
    }
}
