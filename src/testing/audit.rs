//! Checks of what must hold at any time, and of what a run says about the deployment.

use super::deployment::{Claim, InMemory, State};
use super::jetstream::JetStream;
use crate::definition::Definition;
use crate::desired::{desired, lease};
use crate::model::claims::AccountClaims;
use crate::model::prefixes::{CAPTURED, is_below};
use crate::model::subject::SubjectFilter;
use crate::plan::streams::config_matches;
use std::time::Duration;
use tokio::time::Instant;

/// Time within which servers may differ after a push.
const ON_ITS_WAY: Duration = Duration::from_millis(20);

/// Returns the destinations of a token's mappings that need a stream which is not there.
pub(super) fn leads_nowhere(token: &str, jetstream: &JetStream) -> Vec<String> {
    let mappings = AccountClaims::decode(token).map(|claims| claims.mappings()).unwrap_or_default();
    let destinations = mappings.into_iter().flat_map(|mapping| mapping.destinations).map(|to| to.subject);
    destinations.filter(|subject| !leads_somewhere(subject, jetstream)).collect()
}

fn leads_somewhere(destination: &str, jetstream: &JetStream) -> bool {
    if is_below(destination, CAPTURED) {
        let tokens = destination.split('.').map(|token| if token.starts_with("{{") { "*" } else { token });
        let filter = SubjectFilter::parse(&tokens.collect::<Vec<_>>().join("."));
        return filter.is_ok_and(|filter| jetstream.captures(&filter));
    }
    // Requests by the virtual name lead to the read stream that they name.
    let mut reads = destination.split('.').filter(|token| token.contains("-read-"));
    reads.all(|name| jetstream.config(name).is_some())
}

impl InMemory {
    /// Returns the violations so far.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Returns the claims of other tools that the account's newest token lacks.
    pub(crate) fn lost_claims(&self) -> Vec<Claim> {
        self.state().lost_claims()
    }

    /// Gives up claims that are lost, and that other tools pushed since `began`. The run that overwrote them ended
    /// before it put them back, and no run can know of them any more.
    pub(crate) fn give_up(&self, began: Instant) {
        let mut state = self.state();
        let lost = state.lost_claims();
        state.kept.retain(|kept| kept.at < began || !lost.contains(&kept.claim));
    }

    /// Notes what is not as a run says that confirmed everything. Leaves out servers that had a fault since `began`.
    pub(crate) fn expects_as_defined(&self, definition: &Definition, began: Instant) {
        let mut state = self.state();
        let differences = state.differences(definition, began);
        state.violations.extend(differences.into_iter().map(|what| format!("a run confirmed, and {what}")));
    }

    /// Returns what is left of a definition's virtual streams.
    pub(crate) fn leftovers(&self, definition: &Definition) -> Vec<String> {
        let state = self.state();
        let claims = AccountClaims::decode(&state.newest()).unwrap();
        let desired = desired(definition).unwrap();
        let sources = desired.iter().flat_map(|account| account.mappings.iter()).map(|mapping| mapping.source.as_str());
        let mapped = sources.filter(|source| claims.mappings().iter().any(|mapping| mapping.source == *source));
        // The lease's stream may stay: a run that was killed does not delete it, and the next one has nothing to do.
        let streams = state.jetstreams.values().flat_map(JetStream::names).filter(|name| *name != lease::STREAM);
        mapped.map(|source| format!("mapping {source}")).chain(streams.map(|name| format!("stream {name}"))).collect()
    }
}

impl State {
    fn lost_claims(&self) -> Vec<Claim> {
        let claims = AccountClaims::decode(&self.newest()).unwrap();
        self.kept.iter().map(|kept| &kept.claim).filter(|claim| !claim.is_in(&claims)).cloned().collect()
    }

    fn differences(&self, definition: &Definition, began: Instant) -> Vec<String> {
        let mut differences = Vec::new();
        if self.pushes.by_anyone.is_some_and(|at| at.elapsed() < ON_ITS_WAY) {
            return differences;
        }
        let (newest, id) = (self.newest(), self.account.to_string());
        for node in self.nodes.iter().filter(|node| node.touched.is_none_or(|at| at < began)) {
            for (what, tokens) in [("stores", &node.stored), ("uses", &node.live)] {
                if tokens.get(&id) != Some(&newest) {
                    differences.push(format!("{} {what} another token", node.name));
                }
            }
        }
        let claims = AccountClaims::decode(&newest).unwrap();
        let mappings = claims.mappings();
        for wanted in desired(definition).unwrap() {
            for mapping in &wanted.mappings {
                if !mappings.iter().any(|found| mapping.same_as(found)) {
                    differences.push(format!("the mapping {} is not there", mapping.source));
                }
            }
            let Some(jetstream) = self.jetstreams.get(&wanted.id.to_string()) else { continue };
            for stream in &wanted.streams {
                if !jetstream.config(&stream.name).is_some_and(|found| config_matches(&stream.config(), found)) {
                    differences.push(format!("stream {} is not as defined", stream.name));
                }
            }
            for consumer in &wanted.consumers {
                if !jetstream.has_consumer(&consumer.stream, &consumer.name) {
                    differences.push(format!("consumer {} of {} is not there", consumer.name, consumer.stream));
                }
            }
        }
        differences
    }
}
