use super::*;
use crate::desired::DesiredOptions;
use crate::desired::accounts;
use crate::desired::tests::{application, mirrored, regional, stream};
use crate::model::claims::AccountClaims;
use crate::model::finding::Severity;
use crate::model::names::{ClusterName, ConsumerName, RegionName, StreamName};
use crate::model::subject::SubjectFilter;
use crate::model::topology::{Region, Topology};
use crate::model::virtual_stream::{Account, ConsumerDefinition, MapRequest, VirtualStream};
use crate::observed::jetstream::{Gap, ObservedConsumer, Range, SourceGaps};
use crate::observed::{Deployment, Server};
use crate::plan::allowable;
use crate::plan::backfill::History;
use crate::plan::capacity::capacity;
use crate::plan::consumers::consumers;
use crate::plan::preflight::{features, forgetful, old_values, revisions_refused, standing_old_values};
use crate::verify::streams::{Verdict, counts};
use serde_json::{Map, json};

fn app() -> Account {
    let mut p0 = VirtualStream::new(
        StreamName::parse("p0").unwrap(),
        ["p0.>", "q0.*.x"].map(|s| SubjectFilter::parse(s).unwrap()).to_vec(),
    );
    p0.consumers = vec![ConsumerDefinition {
        name: ConsumerName::parse("worker").unwrap(),
        regions: vec![RegionName::parse("west").unwrap()],
        config: Map::new(),
    }];
    crate::desired::tests::app(vec![p0])
}

fn topology() -> Topology {
    let region =
        |name: &str| Region::new(RegionName::parse(name).unwrap(), ClusterName::parse(name).unwrap(), Vec::new());
    Topology { regions: ["west", "central", "east"].map(region).to_vec(), stretch: None, without_clients: Vec::new() }
}

fn desired(account_of: &Account, version: &str) -> DesiredAccount<'static> {
    let leaked: &'static Account = Box::leak(Box::new(account_of.clone()));
    let oldest_server = if version == "2.10.26" { Some((2, 10)) } else { None };
    let topology: &'static Topology = Box::leak(Box::new(topology()));
    application(topology, leaked, &DesiredOptions { oldest_server, ..DesiredOptions::default() }).unwrap()
}

/// Returns the replies of real servers of that version after they made these streams.
fn recorded(version: &str) -> ObservedJetStream {
    let file = |name: &str| -> Value {
        let path = format!("{}/tests/fixtures/api/{version}/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let list = file("STREAM.LIST")["streams"].as_array().unwrap().clone();
    ObservedJetStream {
        info: file("INFO"),
        streams: list.into_iter().filter_map(ObservedStream::from_info).collect(),
        consumers: ObservedConsumer::from_info(file("CONSUMER.INFO.p0-read-west.worker")).into_iter().collect(),
        ..ObservedJetStream::default()
    }
}

fn edit<'o>(observed: &'o mut ObservedJetStream, name: &str) -> &'o mut ObservedStream {
    observed.streams.iter_mut().find(|s| s.name == name).unwrap()
}

fn codes(plan: &StreamPlan) -> Vec<&str> {
    plan.findings.iter().map(|f| f.code).collect()
}

#[test]
fn what_was_made_is_as_desired() {
    let (d, observed) = (desired(&app(), "2.15.1"), recorded("2.15.1"));
    let plan = streams(&d, &observed, &Options::default());
    assert_eq!((plan.changes, plan.findings, plan.reports), (vec![], vec![], vec![]));
    assert_eq!(consumers(&d, &observed).changes, vec![]);
    let checked = crate::verify::streams::streams(&d, &observed);
    assert_eq!(counts(&checked).ok, 7, "{checked:#?}");
}

#[test]
fn old_servers_fill_in_the_duplicate_window() {
    // The recording was made with 0, which servers 2.10 turn into two minutes. Nothing else differs.
    let plan = streams(&desired(&app(), "2.10.26"), &recorded("2.10.26"), &Options::default());
    assert_eq!(plan.findings, vec![]);
    assert_eq!(plan.changes.len(), 3);
    assert!(plan.changes.iter().all(|c| c.fields.iter().all(|f| f.path == "duplicate_window")), "{plan:#?}");
}

#[test]
fn nothing_there_is_created_write_streams_first() {
    let d = desired(&app(), "2.15.1");
    let plan = streams(&d, &ObservedJetStream::default(), &Options::default());
    let roles: Vec<Role> = plan.changes.iter().map(|c| c.role).collect();
    assert_eq!(roles, [vec![Role::Write; 3], vec![Role::Read; 3]].concat());
}

#[test]
fn updates_keep_what_nobody_here_knows() {
    let mut observed = recorded("2.15.1");
    let stream = edit(&mut observed, "p0-write-west");
    stream.config["max_age"] = json!(1_000_000_000);
    stream.config.insert("future".to_owned(), json!({ "a": [1] }));
    stream.config["placement"]["preferred"] = json!("west-2");
    stream.config["metadata"]["team"] = json!("blue");
    let plan = streams(&desired(&app(), "2.15.1"), &observed, &Options::default());
    assert_eq!(codes(&plan), Vec::<&str>::new());
    let after = plan.changes[0].after.as_ref().unwrap();
    assert_eq!(after["future"], json!({ "a": [1] }));
    assert_eq!(after["placement"], json!({ "cluster": "west", "preferred": "west-2" }));
    assert_eq!(after["metadata"]["team"], "blue");
    assert_eq!(after["max_age"], json!(86_400_000_000_000u64));
    assert!(!after["metadata"].to_string().contains("_nats."));
    assert_eq!(plan.changes[0].fields.len(), 1);
}

#[test]
fn refuses_what_would_lose_move_or_import_again() {
    let mut observed = recorded("2.15.1");
    let stream = edit(&mut observed, "p0-write-west");
    stream.config.insert("max_age".to_owned(), json!(0));
    stream.state.messages = 5;
    stream.state.first_ts = "2020-01-01T00:00:00Z".to_owned();
    edit(&mut observed, "p0-write-central").config["placement"]["cluster"] = json!("east");
    edit(&mut observed, "p0-write-east").config["storage"] = json!("memory");
    edit(&mut observed, "p0-read-west").config["sources"][0]["filter_subject"] = json!("z.>");
    let d = desired(&app(), "2.15.1");
    let plan = streams(&d, &observed, &Options::default());
    assert_eq!(codes(&plan), ["deletes-messages", "moves-stream", "immutable-field", "imports-again"]);
    assert!(plan.findings.iter().all(|f| f.severity == Severity::Error && !f.next.is_empty()));
    let allow = allowable().map(str::to_owned).collect();
    let allowed = streams(&d, &observed, &Options { allow, ..Options::default() });
    let errors = allowed.findings.iter().filter(|f| f.severity == Severity::Error);
    assert_eq!(errors.map(|f| f.code).collect::<Vec<_>>(), ["immutable-field"]);
}

#[test]
fn a_stream_is_not_moved_and_scaled_at_once() {
    let mut observed = recorded("2.15.1");
    let stream = edit(&mut observed, "p0-write-west");
    stream.config["placement"]["cluster"] = json!("east");
    stream.config["num_replicas"] = json!(1);
    let options = Options { allow: vec!["moves-stream".to_owned()], ..Options::default() };
    let plan = streams(&desired(&app(), "2.15.1"), &observed, &options);
    assert_eq!(codes(&plan), ["moves-and-scales", "moves-stream"]);
    let finding = &plan.findings[0];
    assert_eq!((finding.severity, &*finding.place), (Severity::Error, "account APP, stream p0-write-west"));
    assert!(finding.message.starts_with("placement and replicas both change"), "{finding:?}");
    assert_eq!(finding.next, "Change one of them in the definition, apply, then the other.");
}

#[test]
fn a_tighter_limit_that_nothing_exceeds_needs_no_consent() {
    let mut observed = recorded("2.15.1");
    let stream = edit(&mut observed, "p0-write-west");
    stream.config.insert("max_age".to_owned(), json!(0));
    stream.state.messages = 5;
    stream.state.first_ts = stream.ts.clone();
    let plan = streams(&desired(&app(), "2.15.1"), &observed, &Options::default());
    assert_eq!((codes(&plan), plan.changes.len()), (vec![], 1));
}

#[test]
fn a_source_that_was_removed_comes_back_where_the_others_stay_as_they_are() {
    let mut observed = recorded("2.15.1");
    let stream = edit(&mut observed, "p0-read-east");
    let all = stream.config["sources"].as_array().unwrap().clone();
    stream.config["sources"].as_array_mut().unwrap().remove(0);
    stream.state.messages = 1;
    let d = desired(&app(), "2.15.1");
    let plan = streams(&d, &observed, &Options::default());
    assert_eq!(codes(&plan), ["adds-source"]);
    let after = plan.changes[0].after.as_ref().unwrap()["sources"].as_array().unwrap().clone();
    assert_eq!(after, [all[1].clone(), all[2].clone(), all[0].clone()]);
    let checked = crate::verify::streams::streams(&d, &observed);
    let wrong: Vec<_> = checked.iter().filter(|c| c.verdict == Verdict::Wrong).collect();
    assert_eq!((wrong.len(), wrong[0].problems[0].finding.code), (1, "source-missing"));
}

#[test]
fn foreign_streams_are_never_touched() {
    let mut observed = recorded("2.15.1");
    let stream = edit(&mut observed, "p0-write-west");
    stream.owner = None;
    stream.config.shift_remove("metadata");
    let d = desired(&app(), "2.15.1");
    let plan = streams(&d, &observed, &Options::default());
    assert_eq!((codes(&plan), plan.changes.len()), (vec!["not-ours"], 0));
    let adopted = streams(&d, &observed, &Options { adopt: true, ..Options::default() });
    assert_eq!((codes(&adopted), adopted.changes[0].fields.len()), (vec![], 3));
}

#[test]
fn streams_in_the_way_are_named() {
    let mut observed = recorded("2.15.1");
    for (name, subject) in [("all", "$VW.west.>"), ("p0", "other"), ("starved", "q0.one.x")] {
        let info = json!({ "config": { "name": name, "subjects": [subject] }, "state": { "messages": 3 } });
        observed.streams.push(ObservedStream::from_info(info).unwrap());
    }
    let plan = streams(&desired(&app(), "2.15.1"), &observed, &Options::default());
    assert_eq!(codes(&plan), ["subjects-taken", "virtual-name-taken", "captures-virtual-subjects"]);
}

#[test]
fn leftovers_are_reported_and_only_pruned_when_named() {
    let mut account = app();
    let observed = recorded("2.15.1");
    account.virtual_streams.clear();
    let d = desired(&account, "2.15.1");
    let plan = streams(&d, &observed, &Options::default());
    assert_eq!((plan.changes.len(), plan.reports.len()), (0, 1));
    let options = Options { prune: vec!["p0".to_owned()], delete_streams: true, ..Options::default() };
    let pruned = streams(&d, &observed, &options);
    let roles: Vec<Role> = pruned.changes.iter().map(|c| c.role).collect();
    assert_eq!(roles, [vec![Role::Read; 3], vec![Role::Write; 3]].concat());
    assert_eq!(removal(&observed, Some(&["other".to_owned()])), vec![]);
    assert_eq!(removal(&observed, None).len(), 6);
}

#[test]
fn what_cannot_be_seen_is_not_wrong() {
    let mut observed = recorded("2.15.1");
    edit(&mut observed, "p0-write-east").offline = true;
    let source = edit(&mut observed, "p0-read-west").sources.iter_mut().find(|s| s.name == "p0-write-east").unwrap();
    source.active = Some(60_000_000_000);
    let checked = crate::verify::streams::streams(&desired(&app(), "2.15.1"), &observed);
    let counted = counts(&checked);
    assert_eq!((counted.wrong, counted.cant_tell), (0, 2), "{checked:#?}");
}

#[test]
fn gaps_are_named_with_their_sequences() {
    let mut observed = recorded("2.15.1");
    let origin = edit(&mut observed, "p0-write-west");
    (origin.state.first_seq, origin.state.last_seq, origin.state.messages) = (26, 30, 5);
    let reader = edit(&mut observed, "p0-read-east");
    let source = reader.sources.iter_mut().find(|s| s.name == "p0-write-west").unwrap();
    (source.seq, source.lag) = (Some(10), 20);
    let checked = crate::verify::streams::streams(&desired(&app(), "2.15.1"), &observed);
    let east = checked.iter().find(|c| c.stream == "p0-read-east").unwrap();
    assert_eq!(east.problems[0].finding.code, "gap");
    assert!(east.problems[0].finding.message.contains("11 – 25"), "{east:?}");
}

#[test]
fn a_gap_that_was_passed_shows_in_the_count() {
    let mut observed = recorded("2.15.1");
    let origin = edit(&mut observed, "p0-write-west");
    (origin.state.first_seq, origin.state.last_seq, origin.state.last_ts) = (31, 30, "2020-01-01T00:00:00Z".to_owned());
    for region in ["west", "central", "east"] {
        let reader = edit(&mut observed, &format!("p0-read-{region}"));
        reader.state.last_seq = if region == "east" { 15 } else { 30 };
        reader.sources.iter_mut().find(|s| s.name == "p0-write-west").unwrap().seq = Some(30);
    }
    let checked = crate::verify::streams::streams(&desired(&app(), "2.15.1"), &observed);
    let said: Vec<_> = checked.iter().flat_map(|c| &c.problems).collect();
    assert_eq!((said.len(), said[0].finding.code), (1, "messages-missing"));
    assert!(said[0].finding.message.starts_with("15 messages"), "{said:?}");

    // Only the gap in the stream's messages is reported.
    let range = |first, last| Range { origin: "p0-write-west".to_owned(), first, last };
    let gap = |missing, among| Gap { after: 4, before: 5, missing, among };
    observed.source_gaps.push(SourceGaps {
        stream: "p0-read-east".to_owned(),
        missing: 18,
        gaps: vec![gap(2, vec![range(5, 7)]), gap(15, vec![range(11, 25)]), gap(1, vec![range(29, 29)])],
        ..SourceGaps::default()
    });
    let checked = crate::verify::streams::streams(&desired(&app(), "2.15.1"), &observed);
    let said: Vec<_> = checked.iter().flat_map(|c| &c.problems).collect();
    assert_eq!((said.len(), said[0].finding.code), (1, "messages-missing"));
    assert_eq!(
        said[0].finding.message,
        "18 messages of its sources never arrived here: 29 of p0-write-west; 11 – 25 of p0-write-west; 2 of 5 – 7 of \
         p0-write-west (between messages 4 and 5 here)"
    );

    // An origin that still has older messages did not drop them by age.
    let origin = edit(&mut observed, "p0-write-west");
    (origin.state.first_seq, origin.state.messages) = (20, 10);
    let checked = crate::verify::streams::streams(&desired(&app(), "2.15.1"), &observed);
    let said = checked.iter().flat_map(|c| &c.problems).find(|p| p.finding.code == "messages-missing").unwrap();
    assert!(said.finding.message.contains("p0-write-west still keeps what came from 20 on"), "{said:?}");
}

#[test]
fn limits_are_checked_before_anything_is_made() {
    let d = desired(&app(), "2.15.1");
    let check = |info: Value| {
        let observed = ObservedJetStream { info, ..ObservedJetStream::default() };
        let plan = streams(&d, &observed, &Options::default());
        let more = consumers(&d, &observed);
        capacity(&d, &plan, &more, &observed, None, (None, false)).iter().map(|f| f.code).collect::<Vec<_>>()
    };
    assert_eq!(check(json!({ "limits": { "max_streams": -1, "max_storage": -1 } })), Vec::<&str>::new());
    assert_eq!(check(json!({ "streams": 3, "limits": { "max_streams": 8 } })), ["stream-limit"]);
    // Six streams, and the lease's stream.
    assert_eq!(check(json!({ "limits": { "max_streams": 7 } })), Vec::<&str>::new());
    assert_eq!(check(json!({ "limits": { "max_streams": 6 } })), ["stream-limit"]);
    assert_eq!(check(json!({ "limits": { "max_bytes_required": true } })), ["max-bytes-required"]);
    assert_eq!(check(json!({ "tiers": { "R1": { "limits": {} } } })), ["tier-missing"]);
    let tiers = |more: Value| json!({ "tiers": { "R1": { "limits": {} }, "R3": more } });
    assert_eq!(check(tiers(json!({ "limits": {} }))), Vec::<&str>::new());
    assert_eq!(check(tiers(json!({ "streams": 0, "limits": { "max_streams": 5 } }))), ["stream-limit"]);
    // Consumers of sources, mirrors and applications have one replica.
    assert_eq!(check(json!({ "tiers": { "R3": { "limits": {} } } })), ["tier-missing"]);
    assert_eq!(check(json!({ "error": { "code": 503, "err_code": 10039 } })), ["jetstream-not-enabled"]);
}

/// Unchanged streams need their tier as well.
#[test]
fn streams_that_stay_need_their_tier() {
    let d = desired(&app(), "2.15.1");
    let check = |info: Value| {
        let observed = ObservedJetStream { info, ..recorded("2.15.1") };
        let plan = streams(&d, &observed, &Options::default());
        assert_eq!(plan.changes, []);
        let more = consumers(&d, &observed);
        let found = capacity(&d, &plan, &more, &observed, None, (None, false));
        found.into_iter().map(|finding| (finding.code, finding.message)).collect::<Vec<_>>()
    };
    let tier = |name: &str| json!({ name: { "streams": 6, "limits": { "max_streams": 1 } } });
    let all = |names: &[&str]| {
        let tiers: Map<String, Value> = names.iter().flat_map(|name| tier(name).as_object().unwrap().clone()).collect();
        json!({ "tiers": tiers })
    };
    assert_eq!(check(all(&["R1", "R3"])), []);
    let found = check(all(&["R1", "R5"]));
    assert!(found.len() == 1 && found[0].0 == "tier-missing" && found[0].1.contains("no tier R3"), "{found:?}");
}

/// Two tiers with one consumer each, and a limit of one each. Servers before 2.15.1 count them together.
#[test]
fn consumers_are_counted_as_servers_do() {
    let app = |replicas: [Option<u64>; 2]| {
        edited_app(|stream| {
            let named = |(name, replicas): (&str, Option<u64>)| {
                let mut worker = stream.consumers[0].clone();
                worker.name = ConsumerName::parse(name).unwrap();
                worker.config.remove("num_replicas");
                worker.config.extend(replicas.map(|replicas| ("num_replicas".to_owned(), json!(replicas))));
                worker
            };
            stream.consumers = ["a", "b"].into_iter().zip(replicas).map(named).collect();
        })
    };
    let said = |replicas: [Option<u64>; 2], version: &str, limits: Value| -> Vec<String> {
        let (app, info) = (app(replicas), limits);
        let d = desired(&app, "2.15.1");
        let observed = ObservedJetStream { info, ..ObservedJetStream::default() };
        let plan = streams(&d, &observed, &Options::default());
        let more = consumers(&d, &observed);
        let versions = deployment([version, "2.15.1", "2.15.1"], &json!({ "config": {} }));
        let found = capacity(&d, &plan, &more, &observed, None, (Some(&versions), false));
        let of_consumers = found.into_iter().filter(|f| f.message.contains("consumer") || f.place.contains("consumer"));
        let mut said: Vec<String> = of_consumers.map(|f| format!("{}: {}", f.code, f.message)).collect();
        said.dedup();
        said
    };
    let tiers = |r1: i64, r3: i64| {
        let tier = |most: i64| json!({ "limits": { "max_consumers": most } });
        json!({ "tiers": { "R1": tier(r1), "R3": tier(r3) } })
    };
    let one_each = [Some(1), None];
    assert_eq!(said(one_each, "2.15.1", tiers(1, 1)), [""; 0]);
    let room = |used: &str| [format!("consumer-limit: no room for consumers: 2 more are needed, and {used} by then")];
    assert_eq!(said(one_each, "2.15.0", tiers(1, 1)), room("1 of 1 per stream are used"));
    assert_eq!(said(one_each, "2.10.26", tiers(1, 2)), [""; 0]);
    assert_eq!(said([None, None], "2.15.1", tiers(1, 1)), room("1 of 1 per stream of tier R3 are used"));
    assert_eq!(said([Some(1), Some(1)], "2.15.1", tiers(1, -1)), room("1 of 1 per stream of tier R1 are used"));
    let plain = |most: i64| json!({ "limits": { "max_consumers": most } });
    assert_eq!(said(one_each, "2.15.1", plain(1)), room("1 of 1 per stream are used"));
    assert_eq!(said(one_each, "2.15.1", plain(2)), [""; 0]);
    assert!(said([Some(2), None], "2.15.1", tiers(5, 5))[0].starts_with("tier-missing: it has R2"));
    // The applications' consumers count by their tier, which is unknown.
    let app = app(one_each);
    let d = desired(&app, "2.15.1");
    let read = d.streams.iter().find(|stream| stream.role == Role::Read).unwrap();
    let info = json!({ "config": read.config(), "state": { "consumer_count": 4 } });
    let stream = ObservedStream::from_info(info).unwrap();
    let observed = ObservedJetStream { info: tiers(5, 5), streams: vec![stream], ..ObservedJetStream::default() };
    let plan = streams(&d, &observed, &Options::default());
    let more = consumers(&d, &observed);
    let versions = deployment(["2.15.1"; 3], &json!({ "config": {} }));
    let found = |most: i64| {
        let observed = ObservedJetStream { info: tiers(most, most), ..observed.clone() };
        let found = capacity(&d, &plan, &more, &observed, None, (Some(&versions), false));
        found.into_iter().filter(|f| f.code == "consumer-limit").map(|f| f.severity).collect::<Vec<_>>()
    };
    assert_eq!((found(4), found(5)), (vec![Severity::Warning], vec![]));
}

/// Returns one server per cluster, for three clusters, with this JetStream status.
fn deployment(versions: [&str; 3], jetstream: &Value) -> Deployment {
    let server = |(cluster, version): (&str, &str)| Server {
        id: cluster.to_owned(),
        varz: json!({ "jetstream": jetstream }),
        ..Server::new(&format!("{cluster}-1"), cluster, version)
    };
    let servers: Vec<Server> = ["west", "central", "east"].into_iter().zip(versions).map(server).collect();
    Deployment { expected: servers.len(), servers }
}

fn edited_app(edit: impl FnOnce(&mut VirtualStream)) -> Account {
    let mut app = app();
    edit(&mut app.virtual_streams[0]);
    app
}

fn found(app: &Account, claims: Option<&AccountClaims>, deployment: Option<&Deployment>) -> Vec<&'static str> {
    let (d, observed) = (desired(app, "2.15.1"), ObservedJetStream::default());
    let plan = streams(&d, &observed, &Options::default());
    let more = consumers(&d, &observed);
    capacity(&d, &plan, &more, &observed, claims, (deployment, false)).iter().map(|f| f.code).collect()
}

/// Returns an account whose streams have one replica and 1,000 bytes each.
fn small() -> Account {
    edited_app(|stream| {
        for fields in [&mut stream.write, &mut stream.read] {
            fields.insert("num_replicas".to_owned(), json!(1));
            fields.insert("max_bytes".to_owned(), json!(1_000));
        }
    })
}

/// Servers with a `unique_tag` keep replicas apart: three servers in two zones cannot store three replicas.
#[test]
fn servers_that_keep_replicas_apart_are_counted_by_their_tags() {
    let codes = |zones: [Option<&str>; 3], tags: Value| {
        let config = json!({ "jetstream": { "config": { "unique_tag": "az:" } }, "tags": ["ssd"] });
        let server = |cluster: &str, zone: &Option<&str>| {
            let mut varz = config.clone();
            varz["tags"].as_array_mut().unwrap().extend(zone.map(|zone| json!(format!("AZ:{zone}"))));
            Server { varz, ..Server::new(&format!("{cluster}-{zone:?}"), cluster, "2.15.1") }
        };
        let clusters = ["west", "central", "east"];
        let servers: Vec<Server> = clusters
            .into_iter()
            .flat_map(|cluster| zones.iter().map(move |zone| (cluster, zone)))
            .map(|(c, z)| server(c, z))
            .collect();
        let app = edited_app(|stream| {
            for fields in [&mut stream.write, &mut stream.read] {
                fields.insert("placement".to_owned(), json!({ "tags": tags }));
            }
        });
        found(&app, None, Some(&Deployment { expected: servers.len(), servers }))
    };
    assert_eq!(codes([Some("a"), Some("b"), Some("c")], json!(["ssd"])), Vec::<&str>::new());
    assert_eq!(codes([Some("a"), Some("b"), Some("b")], json!(["ssd"])), ["too-few-servers"; 3]);
    assert_eq!(codes([Some("a"), Some("b"), None], json!(["ssd"])), ["too-few-servers"; 3]);
    // Servers do not keep replicas apart if the placement itself names such a tag.
    assert_eq!(codes([Some("a"), Some("a"), Some("a")], json!(["az:a"])), Vec::<&str>::new());
}

#[test]
fn room_and_limits_of_servers_are_checked() {
    let check = |app: &Account, jetstream: Value| found(app, None, Some(&deployment(["2.15.1"; 3], &jetstream)));
    let storage = |most: u64, reserved: u64, used: u64| {
        let stats = json!({ "reserved_storage": reserved, "storage": used });
        check(&small(), json!({ "config": { "max_storage": most }, "stats": stats }))
    };
    // Each cluster has a write stream and a read stream.
    assert_eq!(storage(2_000, 0, 0), Vec::<&str>::new());
    assert_eq!(storage(1_999, 0, 0), ["server-storage"; 3], "both together");
    assert_eq!(storage(10_000, 9_001, 0), ["server-storage"; 3], "reserved");
    assert_eq!(storage(10_000, 0, 9_001), ["server-storage"; 3], "used");
    assert_eq!(check(&app(), json!({ "config": {} })), ["too-few-servers"; 3]);
    let limits = |limits: Value| check(&small(), json!({ "config": {}, "limits": limits }));
    assert_eq!(limits(json!({ "max_duplicate_window": 60_000_000_000_u64 })), ["server-limit"]);
    assert_eq!(
        limits(json!({ "max_duplicate_window": 120_000_000_000_u64, "max_ack_pending": 10 })),
        Vec::<&str>::new()
    );
}

#[test]
fn limits_of_accounts_that_are_yet_to_be_made_are_checked() {
    let check = |limits: Value| {
        let mut limits = limits;
        for (name, value) in [("conn", json!(-1)), ("subs", json!(-1)), ("disk_storage", json!(-1))] {
            limits.as_object_mut().unwrap().entry(name).or_insert(value);
        }
        let claims = json!({ "sub": app().id, "nats": { "type": "account", "version": 2, "limits": limits } });
        found(&small(), Some(&AccountClaims::unsigned(claims).unwrap()), None)
    };
    let tier = json!({ "R3": { "disk_storage": -1 } });
    assert_eq!(check(json!({})), Vec::<&str>::new());
    assert_eq!(check(json!({ "disk_storage": 0, "mem_storage": 0 })), ["jetstream-not-enabled"]);
    assert_eq!(check(json!({ "disk_storage": 0, "mem_storage": -1 })), ["storage-limit", "storage-limit"]);
    assert_eq!(check(json!({ "disk_storage": 5_999 })), ["storage-limit"]);
    assert_eq!(check(json!({ "streams": 5 })), ["stream-limit"]);
    assert_eq!(check(json!({ "disk_max_stream_bytes": 999 })), ["stream-too-large"]);
    assert_eq!(check(json!({ "tiered_limits": tier })), ["tier-missing"; 2]);
    assert_eq!(check(json!({ "conn": 0 })), ["connection-limit"]);
}

#[test]
fn fields_that_a_server_is_too_old_for_are_named() {
    let app = edited_app(|stream| {
        stream.write.insert("allow_atomic".to_owned(), json!(true));
        stream.read.insert("allow_msg_ttl".to_owned(), json!(true));
        stream.consumers[0].config.insert("priority_policy".to_owned(), json!("prioritized"));
        stream.consumers[0].config.insert("priority_groups".to_owned(), json!(["a"]));
    });
    let found = |versions| {
        let found = features(&desired(&app, "2.15.1"), &deployment(versions, &json!({ "config": {} })));
        assert!(found.iter().all(|finding| finding.code == "version-lacks-feature"));
        found.into_iter().map(|f| format!("{} {}", f.place, f.message)).collect::<Vec<_>>()
    };
    assert_eq!(found(["2.15.1"; 3]), Vec::<String>::new());
    let old = found(["2.15.1", "2.11.11", "2.10.26"]);
    assert_eq!(old.len(), 4, "{old:#?}");
    let said = |words: [&str; 3]| old.iter().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(said(["virtual stream p0, write", "`allow_atomic` needs nats-server 2.12", "servers central-1, east-1"]));
    assert!(said(["virtual stream p0, read", "`allow_msg_ttl` needs nats-server 2.11", "server east-1"]));
    assert!(said(["consumer worker", "`priority_policy` needs nats-server 2.12", "servers central-1, east-1"]));
    assert!(said(["consumer worker", "`priority_groups` needs nats-server 2.11", "server east-1"]));
}

#[test]
fn servers_that_forget_what_is_changed_are_named() {
    let jetstream = json!({ "config": {} });
    let found = |plan: &StreamPlan, version| {
        let found = forgetful(plan.changes.iter(), &deployment(["2.15.1", version, version], &jetstream));
        found.map(|finding| format!("{} {} {}", finding.code, finding.place, finding.message))
    };
    let made = streams(&desired(&app(), "2.15.1"), &ObservedJetStream::default(), &Options::default());
    assert_eq!(found(&made, "2.11.11"), None);
    let mut observed = recorded("2.15.1");
    edit(&mut observed, "p0-write-west").config["max_age"] = json!(7_200_000_000_000_u64);
    let changed = streams(&desired(&app(), "2.15.1"), &observed, &Options::default());
    let text = found(&changed, "2.11.11").unwrap();
    assert!(
        text.starts_with("restart-loses-streams servers central-1, east-1 nats-server 2.11.11 may forget"),
        "{text}"
    );
    assert_eq!(found(&changed, "2.12.8"), None);
    // A stream that the run makes, and changes again before it ends.
    let mut along = made;
    along.changes[3].history = Some(History { from: "p0-read-west".to_owned(), messages: 1 });
    assert!(found(&along, "2.12.2").is_some());
}

#[test]
fn servers_that_refuse_revisions_are_named() {
    let account = regional(vec![mirrored(stream("foo", &["foo.>"]), "west")]);
    let topology = topology();
    let desired = accounts(&topology, &account, &DesiredOptions::default()).unwrap();
    let made = streams(&desired[0], &ObservedJetStream::default(), &Options::default()).changes;
    let found = |changes: &[StreamChange], version| {
        let deployment = deployment([version, "2.11.11", "2.11.11"], &json!({ "config": {} }));
        revisions_refused("APP", changes, &deployment).map(|finding| {
            let Finding { code, place, message, .. } = finding;
            format!("{code} {place} {message}")
        })
    };
    for version in ["2.10.26", "2.11.17", "2.12.7"] {
        let text = found(&made, version).unwrap();
        let wanted = "revisions-refused account APP, virtual stream foo server west-1 (2.1";
        assert!(text.starts_with(wanted), "{text}");
    }
    for version in ["2.12.8", "2.14.0", "2.15.1"] {
        assert_eq!(found(&made, version), None, "{version}");
    }
    assert_eq!(found(&[], "2.10.26"), None, "what is there stays");
}

#[test]
fn consumers_say_what_cannot_be_changed() {
    let mut observed = recorded("2.15.1");
    let d = desired(&app(), "2.15.1");
    observed.consumers[0].config["ack_policy"] = json!("none");
    let plan = consumers(&d, &observed);
    assert_eq!((plan.changes.len(), plan.findings[0].code), (0, "immutable-field"));
    observed.consumers[0].config["ack_policy"] = json!("explicit");
    observed.consumers[0].config.insert("headers_only".to_owned(), json!(true));
    let plan = consumers(&d, &observed);
    assert_eq!((plan.changes[0].fields.len(), plan.findings.len()), (1, 0));
}

#[test]
fn only_what_may_be_meant_is_allowed() {
    let allow = ["region-missing", "moves-stream", "subscription-stops", "foreign-mapping"].map(str::to_owned).to_vec();
    let options = Options { allow, ..Options::default() };
    assert!(["region-missing", "moves-stream", "subscription-stops"].iter().all(|code| options.allows(code)));
    assert!(!options.allows("foreign-mapping") && !options.allows("imports-again"));
}

/// A region serves the cluster `edge`, whose subjects move from one write stream to the other.
#[test]
fn a_cluster_that_uses_another_region_is_handed_over() {
    let mut account = app();
    account.layout = crate::model::virtual_stream::Layout::Regional;
    let with = |server: usize| -> DesiredAccount<'static> {
        let mut topology = topology();
        topology.regions[server].serves = vec![ClusterName::parse("edge").unwrap()];
        let (topology, account) = (Box::leak(Box::new(topology)), Box::leak(Box::new(account.clone())));
        application(topology, account, &DesiredOptions::default()).unwrap()
    };
    let found = |desired: &DesiredAccount<'_>| {
        let config = |stream: &DesiredStream<'_>| ObservedStream::from_info(json!({ "config": stream.config() }));
        let mut streams: Vec<ObservedStream> = desired.streams.iter().filter_map(config).collect();
        streams.sort_by(|a, b| a.name.cmp(&b.name));
        ObservedJetStream { streams, ..ObservedJetStream::default() }
    };
    let observed = found(&with(0));
    let plan = streams(&with(1), &observed, &Options::default());
    assert_eq!(plan.findings, vec![]);
    let [west, central] = &plan.changes[..] else { panic!("{:#?}", plan.changes) };
    assert_eq!((&*west.name, west.hands_over, west.narrows()), ("p0-write-west", true, false), "{plan:#?}");
    assert_eq!((&*central.name, central.hands_over), ("p0-write-central", false));
    assert_eq!(central.after.as_ref().unwrap()["subjects"].as_array().unwrap().len(), 4);
    // In the opposite direction, the stream that gives up subjects still comes first.
    let plan = streams(&with(0), &found(&with(1)), &Options::default());
    assert_eq!(
        plan.changes.iter().map(|c| (&*c.name, c.hands_over)).collect::<Vec<_>>(),
        [("p0-write-central", true), ("p0-write-west", false)]
    );
    // If no region serves the cluster, no stream takes over.
    let nobody = desired(&account, "2.15.1");
    let plan = streams(&nobody, &observed, &Options::default());
    assert_eq!(
        plan.changes.iter().map(|c| (&*c.name, c.hands_over, c.narrows())).collect::<Vec<_>>(),
        [("p0-write-west", false, true)]
    );
    assert_eq!(plan.findings, vec![], "its subjects are still the virtual stream's");
}

#[test]
fn subjects_come_freely_and_go_when_they_are_pruned() {
    let with = |subjects: &[&str]| {
        let mut account = app();
        account.virtual_streams[0].subjects = subjects.iter().map(|s| SubjectFilter::parse(s).unwrap()).collect();
        desired(&account, "2.15.1")
    };
    let observed = recorded("2.15.1");
    let plan = streams(&with(&["p0.>", "q0.*.x", "more"]), &observed, &Options::default());
    assert_eq!(plan.findings, vec![]);
    assert_eq!(plan.changes.len(), 3, "{:#?}", plan.changes);
    assert!(plan.changes.iter().all(|change| change.role == Role::Write && !change.narrows()));
    let fewer = with(&["p0.>"]);
    let plan = streams(&fewer, &observed, &Options::default());
    assert!(plan.changes.iter().all(StreamChange::narrows));
    let finding = &plan.findings[0];
    assert_eq!(
        (finding.code, finding.severity, &*finding.place),
        ("subject-removed", Severity::Error, "account APP, virtual stream p0")
    );
    assert!(
        finding.message.starts_with("q0.*.x is removed from its subjects") && finding.next.contains("--prune p0"),
        "{finding:#?}"
    );
    let pruned = streams(&fewer, &observed, &Options { prune: vec!["p0".to_owned()], ..Options::default() });
    assert!(pruned.findings.iter().all(|f| (f.code, f.severity) == ("subject-removed", Severity::Info)), "{pruned:#?}");
}

#[test]
fn streams_of_the_former_shape_are_refused() {
    let former = |change: &dyn Fn(&mut ObservedJetStream)| {
        let mut observed = recorded("2.15.1");
        change(&mut observed);
        let plan = streams(&desired(&app(), "2.15.1"), &observed, &Options { adopt: true, ..Options::default() });
        assert_eq!((codes(&plan), plan.changes.len()), (vec!["former-shape"], 0));
        assert!(plan.findings[0].next.contains("`destroy p0 --delete-streams`"), "{:#?}", plan.findings);
    };
    former(&|observed| {
        let config = &mut edit(observed, "p0-write-west").config;
        config["subjects"] = json!(["p0.west.>", "q0.west.*.x"]);
        config.shift_remove("subject_transform");
    });
    former(&|observed| {
        for source in edit(observed, "p0-read-east").config["sources"].as_array_mut().unwrap() {
            source["subject_transforms"] = json!([{ "src": "p0.west.>", "dest": "p0.>" }]);
        }
    });
    former(&|observed| {
        edit(observed, "p0-read-east").config["sources"][0]["external"] =
            json!({ "api": "$JS.HUB.API", "deliver": "VSD.east" });
    });
}

/// Streams that drop messages are refused on servers that do not keep their position. The finding names these servers,
/// and the alternatives.
#[test]
fn what_would_go_back_to_old_values_is_refused_on_servers_before_2_15() {
    let refused = |change: &dyn Fn(&mut VirtualStream)| {
        let mut account = app();
        change(&mut account.virtual_streams[0]);
        let all = desired(&account, "2.15.1");
        let changes = streams(&all, &ObservedJetStream::default(), &Options::default()).changes;
        let found = |versions: [&str; 3]| {
            let deployment = deployment(versions, &json!({ "config": {} }));
            let found = old_values(&all, &changes, &deployment);
            let standing = old_values(&all, &[], &deployment);
            assert_eq!(standing, standing_old_values(&all, &deployment));
            assert_eq!(found.len(), standing.len());
            assert!(standing.iter().all(|finding| finding.severity == Severity::Warning), "{standing:#?}");
            found
        };
        assert_eq!(found(["2.15.1", "2.15.1", "2.16.0"]), []);
        found(["2.15.1", "2.14.6", "2.10.26"]).pop()
    };
    let limit = |key: &'static str, value: i64| {
        move |stream: &mut VirtualStream| drop(stream.read.insert(key.to_owned(), value.into()))
    };
    assert_eq!(refused(&|_| ()), None);
    let hour = 3600 * 1_000_000_000;
    assert_eq!(refused(&limit("max_age", 24 * hour)), None, "no shorter than the write window");
    assert_eq!(refused(&limit("max_bytes", -1)), None);
    type Change<'c> = &'c dyn Fn(&mut VirtualStream);
    let cases: [(Change<'_>, &str); 7] = [
        (&|stream| stream.map_requests = vec![MapRequest::Purge], "may purge it"),
        (&limit("max_msgs_per_subject", 1), "have a limit"),
        (&limit("max_msgs", 10), "have a limit"),
        (&limit("max_bytes", 1000), "have a limit"),
        (&limit("max_age", hour), "keep messages for less time"),
        (&|stream| stream.map_requests = vec![MapRequest::MsgDelete], "delete messages"),
        (
            &|stream| {
                stream.write.insert("max_age".to_owned(), 0.into());
                stream.read.insert("max_age".to_owned(), (100 * hour).into());
            },
            "keep messages for less time",
        ),
    ];
    for (change, why) in cases {
        let finding = refused(change).unwrap_or_else(|| panic!("{why}: not refused"));
        assert_eq!((finding.code, finding.severity), ("old-values-return", Severity::Error));
        assert_eq!(finding.place, "account APP, virtual stream p0");
        assert!(
            finding.message.contains(why) && finding.message.contains("nats-server 2.10.26, 2.14.6"),
            "{finding:#?}"
        );
        for way in ["2.15", "`consistency: mirrored`", "--allow old-values-return"] {
            assert!(finding.next.contains(way), "{finding:#?}");
        }
    }
}
