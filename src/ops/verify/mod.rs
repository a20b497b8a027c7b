//! `verify`: compares every server, stream and source with the definition. Changes nothing.

use crate::definition::Definition;
use crate::desired::DesiredAccount;
use crate::desired::lease::Note;
use crate::engine::clock::now;
use crate::engine::confirm::{Confirmation, may_still_change};
use crate::engine::session::{ReadError, Reading, Session, Subscription, VerbInputs};
use crate::engine::{Connector, Deadline, Progress, deliveries, lease, nsc_sync};
use crate::model::finding::{Finding, Severity, serialize_bounded};
use crate::model::nkey::PublicKey;
use crate::model::units::format_time;
use crate::observed::Deployment;
use crate::observed::survey::{Observed, ObservedAccount};
use crate::plan::mappings::{MappingChange, mappings};
use crate::plan::preflight::{self, AccountRef, Base};
use crate::plan::{Action, ClaimChange, Options, Peer, claim_drift, left_open};
use crate::verify::account::{Expected, judge};
use crate::verify::status::{StreamStatus, status};
use crate::verify::streams::{ANEW, Checked, Verdict, streams};
use serde::Serialize;
use std::collections::HashSet;
use std::time::Duration;

/// The result of `verify`, account by account.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// The worst verdict.
    pub verdict: Verdict,
    /// Number of servers that answered.
    pub servers: usize,
    /// Number of servers that should have answered.
    pub expected_servers: usize,
    /// Findings about the deployment as a whole.
    #[serde(serialize_with = "serialize_bounded")]
    pub findings: Vec<Finding>,
    /// Accounts, in the definition's order.
    pub accounts: Vec<VerifiedAccount>,
}

/// The result of `verify` for one account.
#[derive(Debug, Clone, Serialize)]
pub struct VerifiedAccount {
    /// The account's name in the definition.
    pub account: String,
    /// The account's public key.
    pub id: PublicKey,
    /// State of the account's newest token on each server.
    pub servers: Vec<Confirmation>,
    /// Mappings that the newest token lacks, or that differ in it.
    pub mappings: Vec<MappingChange>,
    /// Exports, imports and activation tokens that are missing, differ, should not be there, or are not valid.
    pub claims: Vec<ClaimChange>,
    /// Findings about the account's tokens.
    #[serde(serialize_with = "serialize_bounded")]
    pub findings: Vec<Finding>,
    /// Streams and consumers.
    pub streams: Vec<Checked>,
    /// Figures of the streams, for human output.
    pub status: Vec<StreamStatus>,
    /// The run that changes the account right now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Note>,
}

/// Reads everything and judges it.
///
/// # Errors
/// [`ReadError`]
pub async fn verify<C: Connector>(
    inputs: VerbInputs<'_, '_>,
    connector: &C,
    deadline: Deadline,
    progress: &dyn Progress,
) -> Result<(Verified, Deployment), ReadError> {
    let (session, tokens) = Session::open(inputs, connector, Subscription::Off, deadline, progress).await?;
    progress.step("reading the streams", 0, 0);
    let desired = session.desired()?;
    let observed = session.observe(&desired, tokens, Reading::ToJudge).await?;
    let mut verified = judge_all(inputs.definition, &desired, &observed, now());
    verified.findings.extend(session.trust_findings.iter().cloned());
    let undeliverable = deliveries::undeliverable_push_consumers(&session, &desired, &observed).await;
    for (account, findings) in verified.accounts.iter_mut().zip(undeliverable) {
        account.findings.extend(findings);
    }
    let mut look = nsc_sync::look(&session, &observed);
    verified.findings.append(&mut look.findings);
    let leases = lease::held(&session, &observed).await;
    for ((account, found), lease) in verified.accounts.iter_mut().zip(&observed.accounts).zip(leases) {
        let place = || format!("account {}", account.account);
        let denied = |what: &str, subject: &String| deliveries::not_permitted(place(), what, subject);
        let mut findings: Vec<Finding> =
            found.jetstream.not_permitted.iter().map(|subject| denied("messages of its streams", subject)).collect();
        match lease {
            Ok(lease) => account.lease = lease,
            Err(subject) => findings.push(denied("who is changing it", &subject)),
        }
        account.findings.extend(findings);
    }
    let findings = verified.findings.iter().chain(verified.accounts.iter().flat_map(|account| &account.findings));
    verified.verdict = verified.verdict.max(findings.map(of_deployment).max().unwrap_or(Verdict::Ok));
    Ok((verified, observed.deployment))
}

/// Verifies repeatedly, each time for at most `each`. Ends when everything is as defined and no source lags by more
/// than `max_lag`. Also ends if waiting does not help, or when `wait` is over. The last result counts.
///
/// # Errors
/// [`ReadError`] of the last attempt, or of the first one that waiting does not help.
pub async fn verify_until<C: Connector>(
    inputs: VerbInputs<'_, '_>,
    connector: &C,
    each: Duration,
    wait: Duration,
    max_lag: Option<u64>,
    progress: &dyn Progress,
) -> Result<(Verified, Deployment), ReadError> {
    let end = Deadline::after(wait);
    loop {
        let mut looked = verify(inputs, connector, Deadline::after(each), progress).await;
        if let (Ok((verified, _)), Some(most)) = (&mut looked, max_lag) {
            verified.bound_lag(most);
        }
        let done = match &looked {
            Ok((verified, _)) => !verified.may_heal(),
            Err(error) => !error.may_heal(),
        };
        if done || end.is_over() {
            return looked;
        }
        let open = match &looked {
            Ok((verified, _)) => verified.open(),
            Err(error) => error.to_string(),
        };
        progress.step(&format!("waiting, {} s left: {open}", end.left().as_secs()), 0, 0);
        tokio::time::sleep(end.at_most(LOOK_INTERVAL)).await;
    }
}

/// Temporary problems of a stream: servers keep a source's error until they retry.
const HEALING: [&str; 6] =
    ["no-leader", "in-other-cluster", "source-stalled", ANEW, "source-without-tier", "source-consumer-limit"];

/// The finding about a source whose lag is too large or unknown.
const LAG: &str = "source-lag";
const LAG_UNKNOWN: &str = "source-lag-unknown";

/// Pause between two attempts of [`verify_until`].
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Judges the observed deployment. `now` is in seconds since 1970.
pub fn judge_all(definition: &Definition, desired: &[DesiredAccount<'_>], observed: &Observed, now: u64) -> Verified {
    let mut findings = preflight::deployment(&definition.topology, &observed.deployment, &observed.system_account);
    for finding in desired.iter().flat_map(|desired| preflight::standing_old_values(desired, &observed.deployment)) {
        // Each region has the same finding.
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    let bases: Vec<(Option<Base>, Vec<Finding>)> = (desired.iter().zip(&observed.accounts))
        .map(|(desired, found)| {
            let account = AccountRef { name: &desired.name, id: &desired.id };
            preflight::observed_base(account, observed, &found.servers, now)
        })
        .collect();
    let peers: Vec<Peer<'_>> = (desired.iter().zip(&bases))
        .map(|(desired, (base, _))| Peer {
            id: &desired.id,
            name: &desired.name,
            claims: base.as_ref().map(|base| &base.claims),
        })
        .collect();
    let accounts: Vec<VerifiedAccount> = (desired.iter().zip(&observed.accounts).zip(&bases))
        .map(|((desired, found), base)| account(desired, found, base, &peers, observed, now))
        .collect();
    let worst = accounts.iter().map(VerifiedAccount::verdict).chain(findings.iter().map(of_deployment)).max();
    Verified {
        verdict: worst.unwrap_or(Verdict::Ok),
        servers: observed.deployment.servers.len(),
        expected_servers: observed.deployment.total(),
        findings,
        accounts,
    }
}

/// Returns the verdict of a finding. Servers and regions that do not answer leave the state unknown; other errors are
/// wrong.
fn of_deployment(finding: &Finding) -> Verdict {
    match (finding.code, finding.severity) {
        (
            "servers-missing"
            | "region-missing"
            | preflight::SERVED_MISSING
            | deliveries::NOT_PERMITTED
            | deliveries::UNREAD
            | LAG_UNKNOWN,
            _,
        ) => Verdict::CantTell,
        (nsc_sync::BEHIND, _) => Verdict::Wrong,
        (_, Severity::Error) => Verdict::Wrong,
        (_, Severity::Warning | Severity::Info) => Verdict::Ok,
    }
}

impl Verified {
    /// Adds findings about sources whose lag is unknown or larger than `most` messages.
    pub fn bound_lag(&mut self, most: u64) {
        for account in &mut self.accounts {
            let read =
                account.status.iter().flat_map(|stream| stream.sources.iter().map(move |source| (stream, source)));
            let findings: Vec<Finding> = read
                .filter_map(|(stream, source)| {
                    let place = format!("account {}, stream {}", account.account, stream.stream);
                    let origin = &source.origin;
                    let next = "Wait, or see what `status` says of it.";
                    match source.lag.filter(|_| source.is_heard()) {
                        Some(lag) if lag <= most => None,
                        Some(lag) => {
                            let message =
                                format!("lacks {lag} messages of {origin}, and {most} are the most that is asked for");
                            Some(Finding::error(LAG, place, message, next))
                        }
                        None => Some(Finding::warning(
                            LAG_UNKNOWN,
                            place,
                            format!("how much it lacks of {origin} is not known"),
                            next,
                        )),
                    }
                })
                .collect();
            self.verdict = self.verdict.max(findings.iter().map(of_deployment).max().unwrap_or(Verdict::Ok));
            account.findings.extend(findings);
        }
    }

    /// Returns `true` if the deployment may become as defined without any action. Servers may return or be slow,
    /// resolvers may synchronize tokens, and sources may retry. A difference from the definition stays.
    pub fn may_heal(&self) -> bool {
        self.verdict != Verdict::Ok
            && self.findings.iter().all(|finding| of_deployment(finding) != Verdict::Wrong)
            && self.accounts.iter().all(VerifiedAccount::may_heal)
    }

    /// Returns a short text about what the run waits for.
    fn open(&self) -> String {
        let servers = |account: &VerifiedAccount| {
            let open = account.servers.iter().filter(|server| !server.verdict.is_confirmed());
            open.map(|server| server.server.clone()).collect::<Vec<_>>()
        };
        let mut names: Vec<String> = self.accounts.iter().flat_map(servers).collect();
        names.sort();
        names.dedup();
        let missing = self.expected_servers.saturating_sub(self.servers);
        let streams = self.accounts.iter().flat_map(|account| &account.streams);
        let streams = streams.filter(|checked| checked.verdict != Verdict::Ok).count();
        let mut open = Vec::new();
        if !names.is_empty() {
            open.push(format!("{} did not confirm", names.join(", ")));
        }
        if missing > 0 {
            open.push(format!("{missing} of {} servers do not answer", self.expected_servers));
        }
        if streams > 0 {
            open.push(format!("{streams} streams and consumers are not ready"));
        }
        if open.is_empty() { "not everything could be asked".to_owned() } else { open.join("; ") }
    }
}

impl VerifiedAccount {
    fn may_heal(&self) -> bool {
        let heals = |checked: &Checked| {
            let mut wrong = checked.problems.iter().filter(|problem| problem.verdict == Verdict::Wrong);
            wrong.all(|problem| HEALING.contains(&problem.finding.code))
        };
        // Waiting does not grant a user a missing permission.
        let heals_too = |finding: &Finding| {
            finding.code == LAG
                || (finding.code != deliveries::NOT_PERMITTED && of_deployment(finding) != Verdict::Wrong)
        };
        self.mappings.is_empty()
            && self.claims.is_empty()
            && self.findings.iter().all(heals_too)
            && self.servers.iter().all(|server| server.verdict.is_confirmed() || may_still_change(&server.verdict))
            && self.streams.iter().all(heals)
    }

    /// Returns the worst verdict of the account.
    pub fn verdict(&self) -> Verdict {
        let servers = self.servers.iter().map(|server| match &server.verdict {
            verdict if verdict.is_confirmed() => Verdict::Ok,
            verdict if verdict.is_unknown() => Verdict::CantTell,
            _ => Verdict::Wrong,
        });
        let findings = self.findings.iter().map(of_deployment);
        let streams = self.streams.iter().map(|checked| checked.verdict);
        let as_defined = self.mappings.is_empty() && self.claims.is_empty();
        let mappings = if as_defined { Verdict::Ok } else { Verdict::Wrong };
        servers.chain(findings).chain(streams).chain([mappings]).max().unwrap_or(Verdict::Ok)
    }
}

fn account(
    desired: &DesiredAccount<'_>,
    found: &ObservedAccount,
    (base, odd): &(Option<Base>, Vec<Finding>),
    peers: &[Peer<'_>],
    observed: &Observed,
    now: u64,
) -> VerifiedAccount {
    let name = &desired.name;
    let mut findings = odd.clone();
    let mut changes = Vec::new();
    let mut claims = Vec::new();
    let mut servers = Vec::new();
    if let Some(base) = base {
        claims = claim_drift(desired, &base.claims, peers, now);
        let stored = base.claims.mappings();
        let adopt = Options { adopt: true, ..Options::default() };
        // An entry that differs counts, whichever tool made it.
        let owners = found.jetstream.streams.iter().filter_map(|stream| stream.owner.as_ref());
        let owners: HashSet<&str> = owners.map(|owner| owner.virtual_stream.as_str()).collect();
        changes = mappings(name, &owners, &desired.mappings, &stored, &found.jetstream.streams, &adopt).changes;
        findings.extend(gone(desired, found, &changes, base));
        findings.extend(left_open(desired, &base.claims));
        findings.extend(preflight::roles(desired, &base.claims, &[]));
        let expected = Expected::new(&base.token, &base.claims, observed.anchor.clone()).with_imports(&desired.imports);
        let judged = observed.deployment.servers.iter().zip(&found.servers).map(|(server, on_server)| Confirmation {
            account: desired.id.clone(),
            server: on_server.server.clone(),
            cluster: on_server.cluster.clone(),
            verdict: judge(server, on_server, &expected),
        });
        servers = judged.collect();
    }
    VerifiedAccount {
        account: name.clone(),
        id: desired.id.clone(),
        servers,
        mappings: changes,
        claims,
        findings,
        streams: streams(desired, &found.jetstream),
        status: status(desired, &found.jetstream),
        lease: None,
    }
}

/// Returns `true` if a token was issued before the oldest of our streams was made.
fn is_older_than_streams(found: &ObservedAccount, issued: u64) -> bool {
    let ours = found.jetstream.streams.iter().filter(|stream| stream.owner.is_some());
    ours.filter_map(|stream| stream.created).min().is_some_and(|oldest| issued < oldest)
}

/// Returns a finding if the mappings are gone although their streams exist: another tool pushed an older copy of the
/// token.
fn gone(
    desired: &DesiredAccount<'_>,
    found: &ObservedAccount,
    changes: &[MappingChange],
    base: &Base,
) -> Option<Finding> {
    let missing = changes.iter().filter(|change| change.action == Action::Create).count();
    let ours = found.jetstream.streams.iter().any(|stream| stream.owner.is_some());
    if missing == 0 || missing < desired.mappings.len() || !ours {
        return None;
    }
    let issued = base.claims.issued_at();
    let how = match is_older_than_streams(found, issued) {
        true => "an old token was pushed again, from before the streams were made",
        false => "another tool pushed its own copy of the account",
    };
    Some(Finding::error(
        "mappings-gone",
        format!("account {}", desired.name),
        format!(
            "the streams are there and the newest token, issued {} by {}, has none of their mappings: {how}; what \
             applications publish now goes nowhere",
            format_time(issued),
            base.claims.issuer()
        ),
        "Run apply; then bring that tool's copy up to date (`nsc pull -A`), or its next push does it again.",
    ))
}

#[cfg(test)]
mod plan_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Role;
    use crate::model::nkey::KeyKind;
    use crate::sign::{Seed, Signer as _};
    use crate::verify::status::{SourceStatus, StreamAnswer};

    #[test]
    fn what_may_not_be_looked_at_is_not_waited_for() {
        let verified = |findings: Vec<Finding>| {
            let id = Seed::generate(KeyKind::Account).unwrap().public_key();
            let (servers, mappings, claims, streams, status) = <_>::default();
            let account = "APP".to_owned();
            let found =
                VerifiedAccount { account, id, servers, mappings, claims, findings, streams, status, lease: None };
            let verdict = found.verdict().max(Verdict::CantTell);
            Verified { verdict, servers: 8, expected_servers: 9, findings: Vec::new(), accounts: vec![found] }
        };
        assert!(verified(Vec::new()).may_heal(), "a server that is away comes back");
        let denied = deliveries::not_permitted("account APP".to_owned(), "its consumers", "$JS.API.CONSUMER.LIST.foo");
        let verified = verified(vec![denied]);
        assert_eq!((verified.verdict, verified.may_heal()), (Verdict::CantTell, false));
    }

    /// Returns one read stream with a source of this lag; `None` if the lag is unknown.
    fn read_stream(lag: Option<u64>, active: Option<u64>) -> Verified {
        let origin = "foo-write-east".to_owned();
        let source =
            SourceStatus { origin, region: "east".to_owned(), lag, active, error: None, got: None, anew: false };
        let stream = StreamStatus {
            virtual_stream: "foo".to_owned(),
            region: "west".to_owned(),
            role: Role::Read,
            stream: "foo".to_owned(),
            seen: StreamAnswer::Here,
            messages: 0,
            bytes: 0,
            first_seq: 0,
            last_seq: 0,
            last_activity: String::new(),
            cluster: <_>::default(),
            sources: vec![source],
            lag: lag.unwrap_or_default(),
            consumers: 0,
        };
        let account = VerifiedAccount {
            account: "APP-west".to_owned(),
            id: Seed::generate(KeyKind::Account).unwrap().public_key(),
            servers: Vec::new(),
            mappings: Vec::new(),
            claims: Vec::new(),
            findings: Vec::new(),
            streams: Vec::new(),
            status: vec![stream],
            lease: None,
        };
        let accounts = vec![account];
        Verified { verdict: Verdict::Ok, servers: 1, expected_servers: 1, findings: Vec::new(), accounts }
    }

    #[test]
    fn sources_may_be_behind_as_far_as_is_asked_for() {
        let judged = |lag, active| {
            let mut verified = read_stream(lag, active);
            verified.bound_lag(10);
            let codes: Vec<&str> = verified.accounts[0].findings.iter().map(|finding| finding.code).collect();
            // Waiting may fix a lag that is too large.
            assert_eq!(verified.may_heal(), !codes.is_empty());
            (verified.verdict, codes)
        };
        let second = Some(1_000_000_000);
        assert_eq!(judged(Some(10), second), (Verdict::Ok, Vec::new()));
        assert_eq!(judged(Some(11), second), (Verdict::Wrong, vec!["source-lag"]));
        assert_eq!(judged(None, second), (Verdict::CantTell, vec!["source-lag-unknown"]));
        // The source last got an answer a long time ago.
        assert_eq!(judged(Some(0), Some(60_000_000_000)), (Verdict::CantTell, vec!["source-lag-unknown"]));
    }
}
