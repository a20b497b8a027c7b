//! Reports read streams that may import messages again that they have dropped.
//!
//! On servers before 2.15, a stream that gets a leader searches the messages that it still holds for its position in
//! each origin. If the newest message of an origin is no longer among them, the stream imports again everything after
//! an older one. Buckets return to old values; deleted keys and purged messages come back (measured on 2.10.26, 2.12.8
//! and 2.14.6, in 120 of 120 cases; not on 2.15.1, which keeps the position).

use super::names::names;
use crate::desired::{DesiredAccount, KEEPS_POSITION};
use crate::model::finding::Finding;
use crate::model::server_version;
use crate::observed::{Deployment, Server};
use crate::plan::allowable::OLD_VALUES;
use crate::plan::streams::StreamChange;
use std::collections::{BTreeMap, HashSet};

/// Reports virtual streams of the account whose read streams may return to old values. The finding is an error if this
/// run makes or changes one of them. Otherwise it is a warning, since the run does not make it worse.
pub(in crate::plan) fn old_values(
    desired: &DesiredAccount<'_>,
    changes: &[StreamChange],
    deployment: &Deployment,
) -> Vec<Finding> {
    let old = |server: &&Server| {
        server.has_jetstream() && server_version::minor(&server.version).is_some_and(|version| version < KEEPS_POSITION)
    };
    let servers: Vec<&Server> = deployment.servers.iter().filter(old).collect();
    if servers.is_empty() {
        return Vec::new();
    }
    let mut versions: Vec<&str> = servers.iter().map(|server| server.version.as_str()).collect();
    versions.sort_by_key(|version| server_version::numbers(version).collect::<Vec<_>>());
    versions.dedup();
    let changed: HashSet<&str> = changes.iter().map(|change| change.name.as_str()).collect();
    // By reason: `true` if one of the streams changes, and the names of all of them.
    let mut found: BTreeMap<&'static str, (bool, Vec<&str>)> = BTreeMap::new();
    for stream in desired.streams.iter().filter(|stream| stream.role.serves()) {
        let Some(why) = stream.drops_messages() else { continue };
        let (any, streams) = found.entry(why).or_default();
        *any |= changed.contains(stream.name.as_str());
        if !streams.contains(&stream.virtual_stream) {
            streams.push(stream.virtual_stream);
        }
    }
    let finding = |(why, (changes, streams)): (&'static str, (bool, Vec<&str>))| {
        let place = match &streams[..] {
            [one] => format!("account {}, virtual stream {one}", desired.account.name),
            many => format!("account {}, virtual streams {}", desired.account.name, many.join(", ")),
        };
        let message = format!(
            "{why}, and servers before 2.15 take over again what a read stream has dropped, when it gets another leader or its \
             servers restart: old values and deleted messages come back, for good ({}: nats-server {})",
            names(&servers),
            versions.join(", ")
        );
        let ways = "Update all servers to 2.15 or newer; or choose `consistency: mirrored` with a `home`, which is safe on \
                    every version";
        match changes {
            true => Finding::error(OLD_VALUES, place, message, format!("{ways}; or go on with --allow {OLD_VALUES}.")),
            false => {
                Finding::warning(OLD_VALUES, place, message, format!("{ways}. Until then let no leader step down."))
            }
        }
    };
    found.into_iter().map(finding).collect()
}

/// Returns the same findings for a deployment that no run changes.
pub fn standing_old_values(desired: &DesiredAccount<'_>, deployment: &Deployment) -> Vec<Finding> {
    old_values(desired, &[], deployment)
}
