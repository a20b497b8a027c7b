//! Streams of others that are in the way of a virtual stream.

use super::Options;
use crate::desired::DesiredAccount;
use crate::model::finding::Finding;
use crate::model::subject::SubjectFilter;
use crate::observed::jetstream::ObservedStream;

/// Checks `others`, the streams that stay and are not desired, against the desired ones.
pub(super) fn check(desired: &DesiredAccount<'_>, others: &[&ObservedStream], options: &Options) -> Vec<Finding> {
    let account = &desired.account.name;
    let captured: Vec<(&str, SubjectFilter)> = desired
        .streams
        .iter()
        .flat_map(|s| s.subjects().into_iter().filter_map(|f| Some((s.name.as_str(), f.try_into().ok()?))))
        .collect();
    let mut findings = Vec::new();
    for other in others {
        let place = format!("account {account}, stream {}", other.name);
        let subjects: Vec<SubjectFilter> = other.subjects().filter_map(|s| SubjectFilter::parse(s).ok()).collect();
        if let Some(stream) = desired.account.virtual_streams.iter().find(|v| v.name.as_str() == other.name) {
            findings.push(Finding::error(
                "virtual-name-taken",
                &place,
                format!(
                    "a real stream has the name of virtual stream {}: requests by that name would go to the read \
                     streams, and nobody could reach the real one",
                    stream.name
                ),
                format!("Give the virtual stream another name. Or: {}.", move_away(other)),
            ));
            continue;
        }
        let taken = captured.iter().find_map(|(name, filter)| {
            subjects.iter().find(|subject| subject.overlaps(filter)).map(|subject| (*name, filter, subject))
        });
        if let Some((name, filter, subject)) = taken {
            let whose = match &other.owner {
                Some(owner) => format!(" (made for virtual stream {}, not in this definition)", owner.virtual_stream),
                None => String::new(),
            };
            findings.push(Finding::error(
                "subjects-taken",
                &place,
                format!(
                    "it captures {subject}{whose}, which overlaps {filter} of the write stream {name}: servers refuse \
                     two streams on one subject (10065)"
                ),
                format!("{}.", move_away(other)),
            ));
            continue;
        }
        // Write streams of a region that the definition no longer has: that nothing more comes is meant.
        if other.owner.is_some() {
            continue;
        }
        let starved = desired.account.virtual_streams.iter().find_map(|stream| {
            let hit = |filter: &&SubjectFilter| subjects.iter().any(|subject| subject.overlaps(filter));
            stream.subjects.iter().find(hit).map(|filter| (&stream.name, filter))
        });
        if let Some((name, filter)) = starved {
            let code = "captures-virtual-subjects";
            let message = format!(
                "it captures subjects of {filter}, which virtual stream {name} maps elsewhere: once the mappings are \
                 in force it would get no more messages"
            );
            findings.push(if options.allows(code) {
                Finding::warning(code, &place, message, "")
            } else {
                Finding::error(code, &place, message, format!("{}, or go on with --allow {code}.", move_away(other)))
            });
        }
    }
    findings
}

fn move_away(other: &ObservedStream) -> String {
    let name = &other.name;
    if other.state.messages == 0 {
        return format!("Delete it, it is empty (`nats stream rm {name}`)");
    }
    format!(
        "Move it out of the way: give it a subject that nobody uses (`nats stream edit {name} --subjects moved.{name}`), run again, copy what it holds to the \
         virtual subjects if readers need it, then delete it; or choose other subjects for the virtual stream"
    )
}
