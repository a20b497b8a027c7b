//! Finds foreign streams that conflict with a virtual stream.

use super::mappings::{MappingPlan, captured};
use super::stream_change::StreamChange;
use super::{Action, Options};
use crate::desired::regional::{AccountRole, OWN_JS_API};
use crate::desired::{DesiredAccount, DesiredStream, Role};
use crate::model::finding::Finding;
use crate::model::mapping::{Destination, RawMapping};
use crate::model::subject::SubjectFilter;
use crate::model::virtual_stream::{Account, Kind, Layout};
use crate::observed::jetstream::{ObservedJetStream, ObservedStream};

/// Checks the desired streams against `others`: the streams that are not desired, and stay.
pub(super) fn check(desired: &DesiredAccount<'_>, others: &[&ObservedStream], options: &Options) -> Vec<Finding> {
    let account = &desired.name;
    let captured: Vec<(&str, SubjectFilter)> = desired
        .streams
        .iter()
        .flat_map(|s| s.subjects().into_iter().filter_map(|f| Some((s.name.as_str(), f.try_into().ok()?))))
        .collect();
    let mut findings = Vec::new();
    for other in others {
        let level = other.owner.as_ref().and_then(|owner| {
            desired.streams.iter().find(|s| s.virtual_stream == owner.virtual_stream && s.role != owner.role)
        });
        if let Some(finding) = level.and_then(|stream| other_level(stream, other, desired.account)) {
            findings.push(finding);
            continue;
        }
        let place = format!("account {account}, stream {}", other.name);
        let subjects: Vec<SubjectFilter> = other.subjects().filter_map(|s| SubjectFilter::parse(s).ok()).collect();
        if let Some(stream) = desired.account.virtual_streams.iter().find(|v| v.name.as_str() == other.name) {
            findings.push(Finding::error(
                "virtual-name-taken",
                &place,
                format!(
                    "a real stream has the name of virtual stream {}: requests by that name would go to the read \
                     streams, and no client could reach the real one",
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
                    "it captures {subject}{whose}, which overlaps {filter} of the stream {name}: servers refuse \
                     two streams on one subject (10065)"
                ),
                format!("{}.", move_away(other)),
            ));
            continue;
        }
        // Write streams of a region that left the definition get no more messages, as intended.
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

/// The finding about streams that were made for another consistency level.
pub const LEVEL_CHANGED: &str = "consistency-changed";

/// Refuses to turn streams of one consistency level into those of another. `found` belongs to the same virtual stream
/// as `desired`, but captures or reads as another level does. Servers cannot turn a stream into a mirror, and its
/// sequences would restart.
pub(crate) fn other_level(desired: &DesiredStream<'_>, found: &ObservedStream, account: &Account) -> Option<Finding> {
    let owner = found.owner.as_ref().filter(|owner| owner.virtual_stream == desired.virtual_stream)?;
    let mirrored = |role: Role, mirrors: bool| match role {
        Role::Write => false,
        Role::Home => true,
        Role::Read => mirrors,
    };
    let is = mirrored(owner.role, found.is_mirror());
    let wanted = mirrored(desired.role, desired.mirrors().is_some());
    if is == wanted {
        return None;
    }
    let name = |mirrored: bool| if mirrored { "mirrored" } else { "eventual" };
    let (is, wanted, stream) = (name(is), name(wanted), desired.virtual_stream);
    Some(Finding::error(
        LEVEL_CHANGED,
        format!("account {}, virtual stream {stream}", account.name),
        format!(
            "its streams were made for `consistency: {is}`, and the definition says `{wanted}`: servers do not make the one \
             into the other, and what is stored would have other sequences"
        ),
        format!(
            "Keep `consistency: {is}`; or define a virtual stream of another name with `{wanted}`, copy what readers need, \
             move applications there, then remove this one (`destroy {stream} --delete-streams`)."
        ),
    ))
}

/// Finds mappings whose messages no stream would store any more, because `changes` make a stream capture less. Mappings
/// that this run removes do not count: the run changes streams after them.
pub(super) fn orphans(
    account: &str,
    stored: &[RawMapping],
    mappings: &MappingPlan,
    changes: &[StreamChange],
) -> Vec<Finding> {
    // The destinations of each entry after this run.
    let destinations = |entry: &'_ RawMapping| -> Vec<Destination> {
        match mappings.changes.iter().find(|change| change.source == entry.source) {
            Some(change) => change.after.clone().unwrap_or_default(),
            None => entry.destinations.clone(),
        }
    };
    let led: Vec<(&str, String)> = (stored.iter())
        .flat_map(|entry| destinations(entry).into_iter().map(move |to| (entry.source.as_str(), to.subject)))
        .collect();
    let mut findings = Vec::new();
    for change in changes.iter().filter(|change| change.narrows()) {
        let (before, after) = (change.subjects_before(), change.subjects_after());
        let loses = |subject: &str| {
            SubjectFilter::parse(&captured(subject))
                .is_ok_and(|s| before.iter().any(|b| b.covers(&s)) && !after.iter().any(|a| a.covers(&s)))
        };
        if let Some((source, subject)) = led.iter().find(|(_, subject)| loses(subject)) {
            findings.push(Finding::error(
                "orphans-mapping",
                format!("account {account}, stream {}", change.name),
                format!("it would stop capturing {subject}, where the mapping {source} leads: what is published there would be stored nowhere"),
                format!(
                    "Keep the virtual stream's `subjects`; or, when no client publishes on {source} \
                     any more and the definition has no such subject, add --prune {}.",
                    change.virtual_stream
                ),
            ));
        }
    }
    findings
}

/// Finds foreign streams in an account whose JetStream is for virtual streams only. Clients could not reach these
/// streams any more.
pub(super) fn ordinary(
    desired: &DesiredAccount<'_>,
    stored: &[RawMapping],
    observed: &ObservedJetStream,
    options: &Options,
) -> Option<Finding> {
    let account = desired.account;
    let exclusive =
        account.layout == Layout::Regional && account.exclusive && desired.account_role == AccountRole::Application;
    if !exclusive || desired.mappings.is_empty() {
        return None;
    }
    let ordinary = |stream: &&ObservedStream| stream.owner.is_none() && !stream.is_lease();
    let others: Vec<&str> = observed.streams.iter().filter(ordinary).map(|stream| stream.name.as_str()).collect();
    let first = others.first()?;
    let names = match others.as_slice() {
        [one] => format!("stream {one}"),
        many if many.len() <= 5 => format!("streams {}", many.join(", ")),
        many => format!("{} streams ({first}, …)", many.len()),
    };
    let mqtt = match others.iter().any(|name| name.starts_with("$MQTT_")) {
        true => "; MQTT clients, whose sessions are among them, could not connect any more",
        false => "",
    };
    // If the account is already mapped, its streams are already hidden.
    let hidden = stored.iter().any(|entry| entry.source == "$JS.>");
    let code = "ordinary-streams";
    let (place, message) = (
        format!("account {}", desired.name),
        format!(
            "it has {names} besides virtual streams, and `exclusive: true` sends all of its JetStream traffic to the \
             regions: clients no longer reach them by their names, only under `{OWN_JS_API}`{mqtt}"
        ),
    );
    let next = "Set `exclusive: false` for the account: ordinary streams stay in use then, at a dozen mappings for each \
                virtual stream; or move them to another account";
    Some(match hidden || options.allows(code) {
        true => Finding::warning(code, place, message, format!("{next}.")),
        false => Finding::error(code, place, message, format!("{next}; or hide them with --allow {code}.")),
    })
}

/// Warns once about new KV buckets that regions do not agree on an order of writes.
pub(super) fn buckets(desired: &DesiredAccount<'_>, changes: &[StreamChange]) -> Option<Finding> {
    let created = |name: &str| {
        changes.iter().any(|c| c.action == Action::Create && c.role == Role::Write && c.virtual_stream == name)
    };
    let buckets = desired.account.virtual_streams.iter().filter(|stream| stream.kind == Kind::Kv);
    let new: Vec<&str> = buckets.map(|stream| stream.name.as_str()).filter(|name| created(name)).collect();
    (!new.is_empty()).then(|| {
        Finding::warning(
            "kv-regions-differ",
            format!("account {}, {} {}", desired.name, if new.len() == 1 { "bucket" } else { "buckets" }, new.join(", ")),
            "when two regions write one key at the same time, each may keep another last value; an update by revision is \
             refused (10071)",
            "Let one region write each key, where that matters.",
        )
    })
}

/// Warns of servers on which read streams cannot have separate sequences per region.
pub(super) fn sequences(desired: &DesiredAccount<'_>, changes: &[StreamChange]) -> Option<Finding> {
    let created = |name: &str| changes.iter().any(|c| c.action == Action::Create && c.name == name);
    // Mirrors have their origin's sequences in every region, and count the same messages.
    let alike =
        |s: &&DesiredStream<'_>| created(&s.name) && s.mirrors().is_none() && !s.config().contains_key("first_seq");
    let any =
        matches!(desired.account_role, AccountRole::Regional(_)) && desired.streams.iter().any(|stream| alike(&stream));
    any.then(|| {
        Finding::warning(
            "sequences-alike",
            format!("account {}", desired.account.name),
            "on servers before 2.11 read streams cannot have sequences of their own in each region, since a restart would \
             empty them: an ack that a client carries to another region counts for another message there, and an update \
             of a key by revision may be granted by chance",
            "Update the servers to 2.11 or newer before these streams are made.",
        )
    })
}

fn move_away(other: &ObservedStream) -> String {
    let name = &other.name;
    if other.state.messages == 0 {
        return format!("Delete it, it is empty (`nats stream rm {name}`)");
    }
    format!(
        "Move it out of the way: give it an unused subject (`nats stream edit {name} --subjects moved.{name}`), run again, copy what it holds to the \
         virtual subjects if readers need it, then delete it; or choose other subjects for the virtual stream"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::tests::{bucket, mirrored, regional, stream, topology};
    use crate::desired::{DesiredOptions, Role, accounts};
    use crate::model::finding::Severity;
    use crate::model::mapping::Destination;
    use crate::plan::mappings::MappingChange;
    use crate::plan::streams::streams;
    use serde_json::json;

    /// Returns these streams in the form in which servers report them.
    fn made(desired: &DesiredAccount<'_>) -> ObservedJetStream {
        let infos = desired.streams.iter().map(|stream| json!({ "config": stream.config() }));
        let mut streams: Vec<ObservedStream> = infos.filter_map(ObservedStream::from_info).collect();
        streams.sort_by(|a, b| a.name.cmp(&b.name));
        ObservedJetStream { info: json!({}), streams, ..<_>::default() }
    }

    #[test]
    fn streams_of_one_level_do_not_become_those_of_another() {
        let eventual = || vec![bucket("cfg", Kind::Kv), stream("foo", &["foo.>"])];
        let levels =
            [eventual(), eventual().into_iter().map(|stream| mirrored(stream, "west")).collect()].map(regional);
        for (is, wanted) in [(0, 1), (1, 0), (0, 0), (1, 1)] {
            let [is_made, is_wanted] =
                [is, wanted].map(|level| accounts(topology(), &levels[level], &DesiredOptions::default()).unwrap());
            for (found, wanted_here) in is_made.iter().zip(&is_wanted) {
                let plan = streams(wanted_here, &made(found), &Options::default());
                if is == wanted {
                    assert_eq!((plan.changes, plan.findings), (Vec::new(), Vec::new()));
                    continue;
                }
                assert!(plan.changes.iter().all(|change| change.action == Action::Create), "{plan:#?}");
                for name in ["cfg", "foo"] {
                    let place = format!("account APP, virtual stream {name}");
                    let findings: Vec<_> = plan.findings.iter().filter(|finding| finding.place == place).collect();
                    let codes: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
                    assert!(!codes.is_empty() && codes.iter().all(|code| *code == LEVEL_CHANGED), "{plan:#?}");
                    assert!(findings.iter().all(|finding| finding.severity == Severity::Error));
                }
            }
        }
    }

    /// A changed home region moves the stream. No data is deleted, but the user must agree.
    #[test]
    fn a_home_moves_when_that_is_meant() {
        let at = |home: &str| regional(vec![mirrored(bucket("cfg", Kind::Kv), home)]);
        let (west, east) = (at("west"), at("east"));
        let options = DesiredOptions::default();
        let (is, wanted) =
            (accounts(topology(), &west, &options).unwrap(), accounts(topology(), &east, &options).unwrap());
        let plan = streams(&wanted[0], &made(&is[0]), &Options::default());
        assert_eq!(plan.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["moves-stream"]);
        let [change] = &plan.changes[..] else { panic!("{plan:#?}") };
        let paths: Vec<&str> = change.fields.iter().map(|field| field.path.as_str()).collect();
        assert_eq!((change.role, paths), (Role::Home, vec!["placement", "metadata.vstream.region"]));
        assert_eq!(streams(&wanted[1], &made(&is[1]), &Options::default()).changes, Vec::new());
    }

    #[test]
    fn a_write_stream_stops_capturing_only_what_no_mapping_leads_to() {
        let change = |before: &[&str], after: &[&str]| StreamChange {
            action: Action::Update,
            name: "foo-write-west".to_owned(),
            virtual_stream: "foo".to_owned(),
            region: "west".to_owned(),
            role: Role::Write,
            before: json!({ "subjects": before }).as_object().cloned(),
            after: json!({ "subjects": after }).as_object().cloned(),
            fields: Vec::new(),
            messages: None,
            history: None,
            hands_over: false,
        };
        let to = |subject: &str| {
            let cluster = Some("west".to_owned());
            Destination { subject: subject.to_owned(), weight: 100, cluster }
        };
        let bar = RawMapping { source: "bar.*".to_owned(), destinations: vec![to("bar.west.{{wildcard(1)}}")] };
        let kept = MappingPlan::default();
        let removal = MappingChange { action: Action::Delete, source: "bar.*".to_owned(), before: None, after: None };
        let removed = MappingPlan { changes: vec![removal], ..MappingPlan::default() };
        let found = |mappings: &MappingPlan, change: StreamChange| {
            let findings = orphans("APP", std::slice::from_ref(&bar), mappings, &[change]);
            for Finding { code, severity, place, message, lines: _, next } in &findings {
                assert_eq!((*code, *severity), ("orphans-mapping", Severity::Error));
                assert_eq!(place, "account APP, stream foo-write-west");
                let words = "it would stop capturing bar.west.{{wildcard(1)}}, where the mapping bar.* leads: ";
                assert!(message.starts_with(words) && next.contains("--prune foo"), "{message}\n{next}");
            }
            findings.len()
        };
        let narrower = change(&["foo.west.>", "bar.west.*"], &["foo.west.>"]);
        assert!(narrower.narrows());
        assert_eq!((found(&kept, narrower.clone()), found(&removed, narrower)), (1, 0));
        let unmapped = change(&["bar.west.*", "old.>"], &["bar.west.*"]);
        assert!(unmapped.narrows());
        assert_eq!(found(&kept, unmapped), 0);
        let wider = change(&["bar.west.*"], &["bar.>"]);
        assert!(!wider.narrows());
        assert_eq!(found(&kept, wider), 0);
    }

    /// Returns a new account of the layout `regional` and its regional accounts, which are new as well.
    fn new(account: &Account, oldest_server: Option<(u64, u64)>) -> Vec<(DesiredAccount<'_>, Vec<StreamChange>)> {
        let options = DesiredOptions { oldest_server, ..DesiredOptions::default() };
        let all = accounts(topology(), account, &options).unwrap();
        let changes =
            |desired: &DesiredAccount<'_>| streams(desired, &ObservedJetStream::default(), &Options::default()).changes;
        all.into_iter().map(|desired| (desired.clone(), changes(&desired))).collect()
    }

    #[test]
    fn users_of_new_buckets_are_told_of_their_order_once() {
        let account =
            regional(vec![bucket("cfg", Kind::Kv), stream("foo", &["foo.>"]), bucket("files", Kind::ObjectStore)]);
        let found = new(&account, None).iter().filter_map(|(d, changes)| buckets(d, changes)).collect::<Vec<_>>();
        let [Finding { code, severity, place, message, lines: _, next }] = &found[..] else { panic!("{found:#?}") };
        assert_eq!((*code, *severity, &**place), ("kv-regions-differ", Severity::Warning, "account APP, bucket cfg"));
        assert!(message.contains("each may keep another last value") && message.contains("10071"), "{message}");
        assert_eq!(next, "Let one region write each key, where that matters.");
        // Users already know a bucket that exists.
        assert!(new(&account, None).iter().all(|(desired, _)| buckets(desired, &[]).is_none()));
    }

    #[test]
    fn old_servers_cannot_keep_the_regions_sequences_apart() {
        let account = regional(vec![stream("foo", &["foo.>"])]);
        let found = |version| -> Vec<Option<Finding>> {
            new(&account, Some(version)).iter().map(|(desired, changes)| sequences(desired, changes)).collect()
        };
        let [None, Some(west), Some(east)] = &found((2, 10))[..] else { panic!("{:#?}", found((2, 10))) };
        // The finding appears once, for the application's account.
        assert_eq!(west, east);
        let Finding { code, severity, place, message, lines: _, next } = west;
        assert_eq!((*code, *severity, &**place), ("sequences-alike", Severity::Warning, "account APP"));
        assert!(message.contains("on servers before 2.11"), "{message}");
        assert!(message.contains("an ack that a client carries to another region"), "{message}");
        assert!(next.contains("2.11 or newer"), "{next}");
        assert_eq!(found((2, 11)), [None, None, None]);
        // Mirrors have the sequences of one stream, which knows the last value of each key.
        let streams = vec![mirrored(stream("foo", &["foo.>"]), "west"), mirrored(bucket("cfg", Kind::Kv), "west")];
        let mirrors = regional(streams);
        let of_mirrors = new(&mirrors, Some((2, 10)));
        assert!(of_mirrors.iter().all(|(desired, changes)| sequences(desired, changes).is_none()));
        assert!(of_mirrors.iter().all(|(desired, changes)| buckets(desired, changes).is_none()));
        // Streams that exist do not change.
        assert!(new(&account, Some((2, 10))).iter().all(|(desired, _)| sequences(desired, &[]).is_none()));
    }
}
