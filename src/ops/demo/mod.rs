//! `demo`: shows the main workflow on a super-cluster of its own, and loses and restores a region. Then it proves that
//! every message arrived exactly once in every region.

mod proof;
mod traffic;

pub use proof::{Proof, RegionProof};
pub use traffic::{Clients, SUBJECT, TrafficError};

use super::apply::ApplyPlanner;
use super::plan::plan;
use super::trust::{trust, with_pushes};
use crate::definition::Definition;
use crate::dev::{DevError, SuperCluster};
use crate::engine::error::Stopped;
use crate::engine::lease::Holder;
use crate::engine::run::{Run, Signers, execute};
use crate::engine::session::{ReadError, Subscription, VerbInputs};
use crate::engine::{Connector, Deadline, Progress};
use crate::plan::Options;
use crate::sign::Signer;
use crate::sign::keyring::Keyring;
use proof::Published;
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, Instant};

/// Number of messages that each region publishes in each round.
pub const MESSAGES: usize = 100;
/// Longest time for messages to arrive everywhere. A source that lost its origin asks again after 30 s or more
/// (measured, 2.15.1).
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(120);
/// Time to wait for messages that should not come.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// The result of the whole demo.
#[derive(Debug, Clone, Serialize)]
pub struct Story {
    /// Version of the servers.
    pub server_version: String,
    /// Number of servers.
    pub servers: usize,
    /// Regions, in the definition's order.
    pub regions: Vec<String>,
    /// Result of `apply`.
    pub applied: AppliedSummary,
    /// Rounds of publishing and reading: all regions up, one down, all up again.
    pub rounds: Vec<Round>,
    /// Result of a full read in every region at the end.
    pub proof: Proof,
    /// Seconds for everything after the servers were up.
    pub seconds: f64,
}

/// A part of the story, reported once it has happened.
#[derive(Debug)]
pub enum Chapter<'a> {
    /// `apply` has ended.
    Applied(&'a AppliedSummary),
    /// A round has ended.
    Round(&'a Round),
}

/// Result of `apply`.
#[derive(Debug, Clone, Serialize)]
pub struct AppliedSummary {
    /// The virtual stream's name.
    pub virtual_stream: String,
    /// Number of streams made.
    pub streams: usize,
    /// Number of mappings put into the account's token.
    pub mappings: usize,
    /// Number of servers that confirm the token.
    pub confirmed: usize,
    /// Seconds from the first request to the last confirmation.
    pub seconds: f64,
}

/// Publishing in the regions that are up, and reading in them.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// The region that is down.
    pub down: Option<String>,
    /// The region that has just come back.
    pub back: Option<String>,
    /// `true` if the demo made the read stream of the restored region elect a new leader. It does so if the stream's
    /// sources asked before their origins were up, because they would ask again only after 30 s or more.
    pub woken: bool,
    /// Regions, in the definition's order.
    pub regions: Vec<RegionRound>,
    /// Seconds from the first publish until every region that is up could read all messages.
    pub seconds: f64,
}

/// One region in a round.
#[derive(Debug, Clone, Serialize)]
pub struct RegionRound {
    /// The region's name.
    pub region: String,
    /// Number of the region's published messages that were acknowledged; `None` if the region is down.
    pub published: Option<usize>,
    /// Number of messages that readers in the region can read from the virtual stream; `None` if the region is down.
    pub readable: Option<u64>,
}

/// Reason why the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The definition has no virtual stream, or no region.
    #[error("the definition has no virtual stream to show")]
    NothingToShow,
    /// The servers failed.
    #[error(transparent)]
    Dev(#[from] DevError),
    /// Reading the deployment failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// `apply` failed.
    #[error(transparent)]
    Apply(#[from] Stopped),
    /// Not every server confirmed.
    #[error("apply: {confirmed} of {servers} servers confirm the account's token")]
    Unconfirmed {
        /// Number of servers that confirm.
        confirmed: usize,
        /// Number of servers.
        servers: usize,
    },
    /// Publishing or reading failed.
    #[error(transparent)]
    Traffic(#[from] TrafficError),
}

/// Inputs of the demo.
pub struct Demo<'a, C, A> {
    /// The servers, which only the demo uses.
    pub cluster: &'a SuperCluster,
    /// The definition to apply, whose first virtual stream captures [`SUBJECT`].
    pub definition: &'a Definition,
    /// The tool's own connections.
    pub connector: &'a C,
    /// The applications' connections.
    pub clients: &'a A,
    /// The operator's key.
    pub signer: &'a dyn Signer,
    /// The keys folder.
    pub keys: &'a Path,
    /// Longest time for `apply`, and for servers to connect to each other.
    pub timeout: Duration,
}

impl<C: Connector, A: Clients> Demo<'_, C, A> {
    /// Applies the definition, and publishes and reads by the virtual name. Stops the first region and starts it again,
    /// then reads all messages in every region. A failed proof is not an error: see [`Proof::holds`].
    ///
    /// # Errors
    /// [`DemoError`]
    pub async fn run(&self, progress: &dyn Progress, mut chapter: impl FnMut(Chapter<'_>)) -> Result<Story, DemoError> {
        let started = Instant::now();
        let Self { cluster, definition, clients, timeout, .. } = *self;
        let stream = definition.accounts.iter().flat_map(|account| &account.virtual_streams).next();
        let name = stream.map(|stream| stream.name.as_str()).ok_or(DemoError::NothingToShow)?;
        let lost = cluster.regions().first().ok_or(DemoError::NothingToShow)?;

        let applied = self.apply(name, progress).await?;
        chapter(Chapter::Applied(&applied));

        let mut show = Show { cluster, clients, stream: name, published: Published::default(), progress };
        let mut rounds = Vec::new();
        let mut over = |round: Round| {
            chapter(Chapter::Round(&round));
            rounds.push(round);
        };
        over(show.round(None, None).await?);

        progress.step(&format!("killing {lost}"), 0, 0);
        cluster.kill(lost).await?;
        over(show.round(Some(lost), None).await?);

        progress.step(&format!("starting {lost} again"), 0, 0);
        cluster.start(lost).await?;
        cluster.wait_ready(timeout).await?;
        progress.step(&format!("waiting until {lost} has found its sources"), 0, 0);
        let connection = traffic::client(clients, lost).await?;
        let woken = traffic::wake(&connection, lost, name).await?;
        over(Round { woken, ..show.round(None, Some(lost)).await? });

        let proof = show.proof().await?;
        Ok(Story {
            server_version: cluster.server_version().to_owned(),
            servers: cluster.servers().len(),
            regions: cluster.regions().to_vec(),
            applied,
            rounds,
            proof,
            seconds: seconds(started),
        })
    }

    async fn apply(&self, virtual_stream: &str, progress: &dyn Progress) -> Result<AppliedSummary, DemoError> {
        let started = Instant::now();
        let deadline = Deadline::after(self.timeout);
        let mut keys = Keyring::open(self.keys).map_err(Stopped::from)?;
        let folder = self.cluster.folder();
        let trust = with_pushes(trust(Some(self.definition), folder, self.keys), folder);
        let trust = trust.signing_with(Some(self.signer.public_key()));
        let inputs = VerbInputs { definition: self.definition, keys: &keys, trust: &trust };
        let (mut session, mut planned) =
            plan(inputs, self.connector, &Options::default(), Subscription::On, deadline, progress).await?;
        let signers = Signers { operator: Some(self.signer), keys: &mut keys, signed: None };
        let run = Run::new(ApplyPlanner(None), signers, Holder { who: "the demo".to_owned(), verb: "apply" });
        let applied = execute(&mut session, &mut planned, run, self.connector, progress).await?;
        let servers = self.cluster.servers().len();
        let confirmed = (self.cluster.servers().iter()).filter(|server| applied.is_in_force_on(&server.name)).count();
        if !applied.is_confirmed() || confirmed < servers {
            return Err(DemoError::Unconfirmed { confirmed, servers });
        }
        Ok(AppliedSummary {
            virtual_stream: virtual_stream.to_owned(),
            streams: applied.provisioned.len(),
            mappings: planned.plan.accounts.iter().map(|account| account.mappings.changes.len()).sum(),
            confirmed,
            seconds: seconds(started),
        })
    }
}

/// Returns the seconds since then, rounded to hundredths.
fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 100.0).round() / 100.0
}

struct Show<'a, A> {
    cluster: &'a SuperCluster,
    clients: &'a A,
    stream: &'a str,
    published: Published,
    progress: &'a dyn Progress,
}

impl<A: Clients> Show<'_, A> {
    /// Publishes in all regions that are up at once, then waits until each of them can read all messages.
    async fn round(&mut self, down: Option<&str>, back: Option<&str>) -> Result<Round, DemoError> {
        let up: Vec<&str> =
            self.cluster.regions().iter().map(String::as_str).filter(|region| Some(*region) != down).collect();
        self.progress.step(&format!("publishing in {}", up.join(", ")), 0, 0);
        let started = Instant::now();
        let connections =
            futures::future::try_join_all(up.iter().map(|region| traffic::client(self.clients, region))).await?;
        let publishing = connections
            .iter()
            .zip(&up)
            .map(|(connection, region)| traffic::publish(connection, region, self.published.next(region), MESSAGES));
        for sent in futures::future::try_join_all(publishing).await? {
            self.published.add(sent);
        }
        let expected = self.published.acknowledged() as u64;
        self.progress.step(&format!("waiting until {expected} messages can be read in {}", up.join(", ")), 0, 0);
        let waiting = connections
            .iter()
            .zip(&up)
            .map(|(connection, region)| traffic::wait_for(connection, region, self.stream, expected, ARRIVAL_TIMEOUT));
        let readable = futures::future::try_join_all(waiting).await?;
        let regions = self.cluster.regions().iter().map(|region| {
            let place = up.iter().position(|up| up == region);
            RegionRound {
                region: region.clone(),
                published: place.map(|_| MESSAGES),
                readable: place.map(|place| readable[place]),
            }
        });
        Ok(Round {
            down: down.map(str::to_owned),
            back: back.map(str::to_owned),
            woken: false,
            regions: regions.collect(),
            seconds: seconds(started),
        })
    }

    /// Reads all messages in every region, after a pause in which unexpected messages could still come.
    async fn proof(&self) -> Result<Proof, DemoError> {
        self.progress.step("reading everything in every region, and comparing", 0, 0);
        tokio::time::sleep(SETTLE_TIME).await;
        let reading = self.cluster.regions().iter().map(|region| async move {
            let connection = traffic::client(self.clients, region).await?;
            let messages = traffic::read_all(&connection, region, self.stream).await?;
            Ok::<_, TrafficError>((region.clone(), messages))
        });
        let reads = futures::future::try_join_all(reading).await?;
        Ok(proof::judge(&self.published, &reads))
    }
}
