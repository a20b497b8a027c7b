//! Checks what must hold at any time, and what a run reports about the deployment.

use super::accounts::{AccountToken, is_ours};
use super::deployment::{Claim, InMemory, Node, State};
use super::jetstream::JetStream;
use super::system::By;
use crate::definition::Definition;
use crate::desired::regional::AccountRole;
use crate::desired::{DesiredAccount, desired, lease};
use crate::model::prefixes::{REGION_PREFIX, is_below, split_captured};
use crate::model::subject::SubjectFilter;
use crate::plan::streams::config_matches;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Time within which servers may differ after a push.
const ON_ITS_WAY: Duration = Duration::from_millis(20);

impl InMemory {
    /// Returns the violations so far.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Returns the claims of other tools that the newest token of their account lacks.
    pub(crate) fn lost_claims(&self) -> Vec<Claim> {
        let state = self.state();
        let lost = state.kept.iter().filter(|kept| state.is_lost(&kept.account, &kept.claim));
        lost.map(|kept| kept.claim.clone()).collect()
    }

    /// Gives up lost claims that other tools pushed since `began`. The run that overwrote them ended before it restored
    /// them, and no other run can know them.
    pub(crate) fn give_up(&self, began: Instant) {
        let mut state = self.state();
        let mut kept = std::mem::take(&mut state.kept);
        kept.retain(|kept| kept.at < began || !state.is_lost(&kept.account, &kept.claim));
        state.kept = kept;
    }

    /// Notes what is not as a run says that confirmed everything. Leaves out servers that had a fault since `began`.
    pub(crate) fn expects_as_defined(&self, desired: &[DesiredAccount<'_>], began: Instant) {
        let mut state = self.state();
        if state.pushes.by_anyone.is_some_and(|at| at.elapsed() < ON_ITS_WAY) {
            return;
        }
        let differences: Vec<String> = desired.iter().flat_map(|wanted| state.differences(wanted, began)).collect();
        state.violations.extend(differences.into_iter().map(|what| format!("a run confirmed, and {what}")));
    }

    /// Returns the remains of a definition's virtual streams.
    pub(crate) fn leftovers(&self, definition: &Definition) -> Vec<String> {
        let state = self.state();
        let tokens: Vec<Arc<AccountToken>> = state.firsts.keys().filter_map(|id| state.newest(id)).collect();
        let desired = desired(definition).unwrap();
        let sources: Vec<&str> =
            desired.iter().flat_map(|account| account.mappings.iter()).map(|mapping| mapping.source.as_str()).collect();
        let mappings = tokens.iter().flat_map(|token| &token.mappings);
        let mapped = mappings.filter(|mapping| sources.contains(&mapping.source.as_str()));
        let links = tokens.iter().flat_map(|token| token.exports_and_imports());
        // The lease's stream may stay: a run that was killed does not delete it, and the next one has nothing to do.
        let streams = state.jetstreams.values().flat_map(JetStream::names).filter(|name| *name != lease::STREAM);
        let mut left: Vec<String> = mapped.map(|mapping| format!("mapping {}", mapping.source)).collect();
        left.extend(links.map(|subject| format!("export or import {subject}")));
        left.extend(streams.map(|name| format!("stream {name}")));
        left
    }
}

impl State {
    fn is_lost(&self, account: &str, claim: &Claim) -> bool {
        self.newest(account).is_none_or(|token| !claim.is_in(&token.claims))
    }

    /// Notes what the tokens in force on a server lead to that is not there.
    pub(super) fn audit(&mut self, place: usize, by: By) {
        let node = &self.nodes[place];
        let nowhere = node.live.values().flat_map(|token| self.leads_nowhere(node, token));
        let says = |to: String| format!("{}: a mapping leads to {to}, and no stream is there", node.name);
        let mut found: Vec<String> = nowhere.map(says).collect();
        // Another tool may take exports and imports back, and a server that was away lacks tokens for a while.
        if by == By::Run && node.touched.is_none() && self.pushes.by_another_tool.is_none() {
            let broken = node.live.values().flat_map(|token| node.broken_imports(token));
            let broken = broken.filter(|import| is_ours(import));
            found.extend(broken.map(|import| format!("{}: the import {} does not hold", node.name, import.local())));
        }
        self.violations.extend(found);
    }

    /// Returns the destinations of a token's mappings that need what is not there, with the token in force on a server.
    pub(super) fn leads_nowhere(&self, node: &Node, token: &AccountToken) -> Vec<String> {
        let Some(own) = self.jetstreams.get(&token.id()) else { return Vec::new() };
        let mut nowhere = Vec::new();
        for mapping in &token.mappings {
            for to in mapping.destinations.iter().map(|to| to.subject.as_str()) {
                let leads = match (split_captured(to), is_below(to, REGION_PREFIX)) {
                    (Some((cluster, _)), _) => {
                        let prefix = format!("{REGION_PREFIX}.{cluster}");
                        own.captures(&filter_of(to)) && self.is_read(token, &prefix, &mapping.source)
                    }
                    (None, true) => {
                        let prefix = to.split('.').take(2).collect::<Vec<_>>().join(".");
                        let broken = node.broken_imports(token).any(|import| is_below(import.local(), &prefix));
                        token.serving(&prefix).next().is_some() && !broken
                    }
                    // Requests by the virtual name lead to the read stream that they name.
                    (None, false) => {
                        let mut reads = to.split('.').filter(|token| token.contains("-read-"));
                        reads.all(|name| own.config(name).is_some())
                    }
                };
                if !leads {
                    nowhere.push(to.to_owned());
                }
            }
        }
        nowhere
    }

    /// Checks if the account that serves requests below a prefix has a stream for what is published on a subject. In
    /// the layout `shared` no other account serves them.
    fn is_read(&self, token: &AccountToken, prefix: &str, published: &str) -> bool {
        let published = filter_of(published);
        let has = |region: &str| self.jetstreams.get(region).is_some_and(|streams| streams.captures(&published));
        token.serving(prefix).all(has)
    }

    fn differences(&self, wanted: &DesiredAccount<'_>, began: Instant) -> Vec<String> {
        let (id, name) = (wanted.id.to_string(), &wanted.name);
        let Some(newest) = self.newest(&id) else { return vec![format!("account {name} is not there")] };
        let mut differences = Vec::new();
        let is_newest = |token: Option<&Arc<AccountToken>>| token.is_some_and(|token| token.number == newest.number);
        for node in self.nodes.iter().filter(|node| node.touched.is_none_or(|at| at < began)) {
            let (stored, live) = (node.stored.get(&id), node.live.get(&id));
            // Servers load a regional account when it is used.
            let loaded = live.is_some() || wanted.account_role == AccountRole::Application;
            for (what, holds) in [("stores", is_newest(stored)), ("uses", !loaded || is_newest(live))] {
                if !holds {
                    differences.push(format!("{} {what} another token of {name}", node.name));
                }
            }
            let broken = node.broken_imports(&newest).filter(|import| loaded && is_ours(import));
            let says = |subject: &str| format!("the import {subject} of {name} does not hold on {}", node.name);
            differences.extend(broken.map(|import| says(import.local())));
        }
        let (exports, imports) = (newest.claims.exports(), newest.claims.imports());
        let mut lacks = |what: String| differences.push(format!("{what} of {name} is not there"));
        for mapping in wanted.mappings.iter().filter(|m| !newest.mappings.iter().any(|found| m.same_as(found))) {
            lacks(format!("the mapping {}", mapping.source));
        }
        for export in &wanted.exports {
            if !exports.iter().any(|found| found.kind == export.kind.as_str() && found.subject == export.subject) {
                lacks(format!("the export {}", export.subject));
            }
        }
        for import in wanted.imports.iter().filter(|import| !imports.iter().any(|found| import.is(found))) {
            lacks(format!("the import {}", import.local()));
        }
        for stream in &wanted.streams {
            let found = self.jetstreams.get(&id).and_then(|jetstream| jetstream.config(&stream.name));
            if !found.is_some_and(|found| config_matches(&stream.config(), found)) {
                lacks(format!("the stream {} as defined", stream.name));
            }
        }
        for consumer in &wanted.consumers {
            let jetstream = self.jetstreams.get(&id);
            if !jetstream.is_some_and(|jetstream| jetstream.has_consumer(&consumer.stream, &consumer.name)) {
                lacks(format!("the consumer {} of stream {}", consumer.name, consumer.stream));
            }
        }
        differences
    }
}

/// Returns the subjects that a mapping's source or destination stands for.
fn filter_of(subject: &str) -> SubjectFilter {
    let tokens = subject.split('.').map(|token| if token.starts_with("{{") { "*" } else { token });
    SubjectFilter::parse(&tokens.collect::<Vec<_>>().join(".")).unwrap()
}
