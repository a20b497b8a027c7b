//! Tests of whole runs against an in-memory deployment, under paused time.
//!
//! `plain` has runs without faults. `faults` lets each fault happen at each step of a run, and `schedules` lets random
//! faults loose on two runs. All do so in both layouts.

mod faults;
mod plain;
mod schedules;

use super::lease::Holder;
use super::report::Applied;
use super::run::{Run, Signers, execute};
use super::session::{Subscription, VerbInputs};
use super::{Deadline, Planner, Silent};
use crate::definition::Definition;
use crate::desired::regional;
use crate::desired::tests::{app, definition, stream};
use crate::model::claims::Trust;
use crate::model::names::ConsumerName;
use crate::model::nkey::KeyKind;
use crate::model::virtual_stream::{Account, ConsumerDefinition, Layout};
use crate::ops::apply::ApplyPlanner;
use crate::ops::destroy::DestroyPlanner;
use crate::plan::{Options, Stage};
use crate::sign::keyring::Keyring;
use crate::sign::{Seed, Signer as _};
use crate::testing::connection::MemoryConnector;
use crate::testing::deployment::{InMemory, Process};
use crate::testing::log::MemoryLog;
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Time of a verb.
const TIME: Duration = Duration::from_secs(60);
/// Time after which the leases of killed runs have expired, and no message is in flight.
const REST: Duration = Duration::from_secs(40);
/// Time after which all sent messages have arrived, except on late servers.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// Both layouts.
const LAYOUTS: [Layout; 2] = [Layout::Shared, Layout::Regional];

/// A deployment, the definition of a virtual stream with a consumer, and the keys folder.
struct Case {
    world: InMemory,
    definition: Definition,
    folder: TempDir,
    /// Time after which the user interrupts a run.
    interrupted_after: Option<Duration>,
}

/// The end of a run.
#[derive(Debug)]
enum Ended {
    /// The run carried out its plan. `zero` is `true` if the command would end with exit code 0.
    Done {
        zero: bool,
        applied: Box<Applied>,
    },
    Failed(String),
    Killed,
}

impl Case {
    /// Makes a deployment in which nothing is applied. The keys folder has the application's key and, to save each run
    /// the search for some that suit it, the identities of regional accounts.
    fn new(layout: Layout) -> Self {
        let case = Self::without_regional_keys(layout);
        let (mut keys, account) = (case.keys(), &case.definition.accounts[0]);
        for region in case.definition.topology.regions.iter().filter(|_| layout == Layout::Regional) {
            let seed = Seed::generate(KeyKind::Account).unwrap();
            keys.write(&regional::name(account, &region.name), &seed).unwrap();
        }
        case
    }

    /// Makes such a deployment, in which the first run makes all keys of regional accounts.
    fn without_regional_keys(layout: Layout) -> Self {
        let seed = Seed::generate(KeyKind::Account).unwrap();
        let world = InMemory::new(&["c-west", "c-east"], 3, seed.public_key());
        let name = ConsumerName::parse("worker").unwrap();
        let mut foo = stream("foo", &["foo.>"]);
        foo.consumers = vec![ConsumerDefinition { name, regions: Vec::new(), config: Map::new() }];
        let account = Account { id: seed.public_key(), layout, ..app(vec![foo]) };
        // Keys are forced to disk, which takes no time in memory.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let case = Self { definition: definition(vec![account]), world, folder, interrupted_after: None };
        case.keys().write("APP", &seed).unwrap();
        case
    }

    /// Returns a deployment as it is after an `apply`.
    async fn applied(layout: Layout) -> Self {
        let case = Self::new(layout);
        let ended = case.apply(&Process::new()).await;
        assert!(matches!(ended, Ended::Done { zero: true, .. }), "{ended:?}");
        case
    }

    /// Opens the keys folder.
    fn keys(&self) -> Keyring {
        Keyring::open(self.folder.path()).unwrap()
    }

    async fn apply(&self, process: &Process) -> Ended {
        self.run(ApplyPlanner(None), process).await
    }

    async fn destroy(&self, process: &Process) -> Ended {
        self.run(DestroyPlanner { delete_streams: true }, process).await
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
        let connector = MemoryConnector::new(&self.world, process, self.folder.path());
        let trust = Trust::default().signing_with(Some(self.world.public_key()));
        let mut keys = self.keys();
        let inputs = VerbInputs { definition: &self.definition, keys: &keys, trust: &trust };
        let (options, deadline) = (Options::default(), Deadline::after(TIME));
        let planned = planner.plan(inputs, &connector, &options, Subscription::On, deadline, &Silent).await;
        let (mut session, mut planned) = match planned {
            Ok(both) => both,
            Err(error) => return Ended::Failed(error.to_string()),
        };
        session.log = Some(Arc::new(MemoryLog(self.world.clone())));
        let removes = planner.removes_all();
        let signers = Signers { operator: Some(&self.world), keys: &mut keys, signed: None };
        let holder = Holder { who: "test".to_owned(), verb: "apply" };
        let mut run = Run::new(planner, signers, holder);
        if let Some(time) = self.interrupted_after {
            run.stop = Box::pin(sleep(time));
        }
        match execute(&mut session, &mut planned, run, &connector, &Silent).await {
            Ok(applied) => {
                let zero = applied.is_confirmed() && session.deployment.missing() == 0;
                if zero && !removes {
                    self.world.expects_as_defined(&session.desired().unwrap(), began);
                }
                Ended::Done { zero, applied: Box::new(applied) }
            }
            Err(stopped) => Ended::Failed(format!("{stopped}: {:?}", stopped.cause)),
        }
    }

    /// Ends all faults. Checks that the next run finishes, and that the run after it has nothing to do.
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

    /// Checks what must hold at any time. No mapping led to a stream that is not there, and no import to an export. No
    /// token was sent that is not in the log. What runs confirmed was true. No claim of another tool is lost.
    fn is_sound(&self, when: &str) {
        let (violations, lost) = (self.world.violations(), self.world.lost_claims());
        assert!(violations.is_empty() && lost.is_empty(), "{when}: lost {lost:?}, {violations:#?}");
    }
}

/// Returns the stages of all pushes of a first `apply`.
fn stages(layout: Layout) -> Vec<Stage> {
    match layout {
        Layout::Shared => vec![Stage::Mappings],
        Layout::Regional => vec![
            Stage::RegionalExports,
            Stage::RegionalExports,
            Stage::ApplicationExportsImports,
            Stage::RegionalImports,
            Stage::RegionalImports,
            Stage::Mappings,
        ],
    }
}
