//! Checks of the names of the real streams: each is valid and unique.

use super::virtual_stream::Placed;
use crate::definition::place::Place;
use crate::definition::problem::{Collected, Problem};
use crate::model::names::StreamName;
use crate::model::topology::Topology;
use crate::model::virtual_stream::{Account, Layout, Role};
use std::collections::HashMap;

/// Checks the names that the real streams of one account will have.
pub(super) fn real_names(account: &Account, streams: &[Placed], topology: &Topology, problems: &mut Collected) {
    let virtual_names: HashMap<&str, Place> =
        streams.iter().map(|placed| (placed.stream.name.as_str(), placed.place)).collect();
    let mut real: HashMap<String, (&str, Place)> = HashMap::new();
    for Placed { stream, place, .. } in streams {
        for region in topology.regions.iter().map(|region| &region.name) {
            // In regional accounts, read streams have the virtual name, which is unique.
            let read = (account.layout == Layout::Shared).then_some(Role::Read);
            for role in stream.capturing_in(region).into_iter().chain(read) {
                let name = account.real_name(stream, role, region);
                let of = format!("the {} stream of `{}` in region `{region}`", role.as_str(), stream.name);
                if let Err(error) = StreamName::parse(&name) {
                    let message = format!("the name of {of}, `{name}`, {}", error.reason);
                    let help = "shorten the names, or change `names`";
                    problems.push(Problem::new("bad-name", *place, message).help(help));
                    continue;
                }
                if let Some(other) = virtual_names.get(name.as_str()) {
                    let message = format!("the virtual stream `{name}` is called like a real one: {of}");
                    problems.push(
                        Problem::new("name-collision", *other, message)
                            .also(*place, "the virtual stream that has it")
                            .help("rename one of the two, or change `names`"),
                    );
                }
                if let Some((other, first)) = real.get(&name) {
                    let message = format!("two real streams would be called `{name}`: {of}, and one of `{other}`");
                    problems.push(
                        Problem::new("name-collision", *place, message)
                            .also(*first, "the other virtual stream")
                            .help("rename one of the two, or change `names`"),
                    );
                } else {
                    real.insert(name, (stream.name.as_str(), *place));
                }
            }
        }
    }
}
