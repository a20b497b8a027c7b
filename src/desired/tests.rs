use super::*;
use crate::definition::{Definition, ResolverConfig};
use crate::model::mapping::MappingSet;
use crate::model::names::{ClusterName, ConsumerName, RegionName, StreamName};
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::prefixes::{ORIGIN_JS_PREFIX, OWN_JS_PREFIX, PREFIXES, RUNS_PREFIX, is_below};
use crate::model::subject::SubjectFilter;
use crate::model::topology::{Region, Topology};
use crate::model::transform::Transform;
use crate::model::virtual_stream::{
    Access, Account, Consistency, ConsumerDefinition, Kind, Layout, MapRequest, VirtualStream,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn region(name: &str) -> Region {
    let cluster = ClusterName::parse(&format!("c-{name}")).unwrap();
    Region::new(RegionName::parse(name).unwrap(), cluster, vec!["nats://127.0.0.1:4222".to_owned()])
}

pub(crate) fn topology() -> &'static Topology {
    static TOPOLOGY: std::sync::LazyLock<Topology> = std::sync::LazyLock::new(|| Topology {
        regions: ["west", "east"].map(region).to_vec(),
        stretch: None,
        without_clients: Vec::new(),
    });
    &TOPOLOGY
}

pub(crate) fn stream(name: &str, subjects: &[&str]) -> VirtualStream {
    let subjects = subjects.iter().map(|s| SubjectFilter::parse(s).unwrap()).collect();
    VirtualStream::new(StreamName::parse(name).unwrap(), subjects)
}

/// Returns the desired state of the application's own account.
pub(crate) fn application<'a>(
    topology: &'a Topology,
    account: &'a Account,
    options: &DesiredOptions,
) -> Result<DesiredAccount<'a>, DesiredError> {
    Ok(accounts(topology, account, options)?.remove(0))
}

pub(crate) fn app(virtual_streams: Vec<VirtualStream>) -> Account {
    let id = PublicKey::from_bytes(KeyKind::Account, [7; 32]);
    Account { layout: Layout::Shared, virtual_streams, ..Account::new("APP", id, Access::Context("app".to_owned())) }
}

/// Returns a definition of these accounts in the two regions.
pub(crate) fn definition(accounts: Vec<Account>) -> Definition {
    Definition {
        resolver: ResolverConfig::Nats,
        system: Access::Context("sys".to_owned()),
        nsc_store: None,
        operator: None,
        tls: None,
        topology: topology().clone(),
        accounts,
    }
}

fn lines(mappings: &MappingSet) -> Vec<String> {
    mappings
        .iter()
        .map(|mapping| {
            assert!(mapping.destinations.iter().all(|d| d.weight == 100));
            let to = mapping.destinations.iter().map(|d| format!("{}={}", d.cluster.as_deref().unwrap(), d.subject));
            format!("{} → {}", mapping.source, to.collect::<Vec<_>>().join(" "))
        })
        .collect()
}

#[test]
fn the_mapping_set_of_foo() {
    let account = app(vec![stream("foo", &["foo.>"])]);
    let desired = application(topology(), &account, &DesiredOptions::default()).unwrap();
    insta::assert_snapshot!(lines(&desired.mappings).join("\n"), @"
    foo.> → c-west=$VW.c-west.foo.> c-east=$VW.c-east.foo.>
    $JS.API.STREAM.INFO.foo → c-west=$JS.API.STREAM.INFO.foo-read-west c-east=$JS.API.STREAM.INFO.foo-read-east
    $JS.API.STREAM.MSG.GET.foo → c-west=$JS.API.STREAM.MSG.GET.foo-read-west c-east=$JS.API.STREAM.MSG.GET.foo-read-east
    $JS.API.DIRECT.GET.foo → c-west=$JS.API.DIRECT.GET.foo-read-west c-east=$JS.API.DIRECT.GET.foo-read-east
    $JS.API.DIRECT.GET.foo.> → c-west=$JS.API.DIRECT.GET.foo-read-west.> c-east=$JS.API.DIRECT.GET.foo-read-east.>
    $JS.API.CONSUMER.*.foo → c-west=$JS.API.CONSUMER.{{wildcard(1)}}.foo-read-west c-east=$JS.API.CONSUMER.{{wildcard(1)}}.foo-read-east
    $JS.API.CONSUMER.*.foo.> → c-west=$JS.API.CONSUMER.{{wildcard(1)}}.foo-read-west.> c-east=$JS.API.CONSUMER.{{wildcard(1)}}.foo-read-east.>
    $JS.API.CONSUMER.MSG.NEXT.foo.* → c-west=$JS.API.CONSUMER.MSG.NEXT.foo-read-west.{{wildcard(1)}} c-east=$JS.API.CONSUMER.MSG.NEXT.foo-read-east.{{wildcard(1)}}
    $JS.API.STREAM.CREATE.foo → c-west=$JS.API.STREAM.CREATE.foo-read-west c-east=$JS.API.STREAM.CREATE.foo-read-east
    $JS.API.STREAM.UPDATE.foo → c-west=$JS.API.STREAM.UPDATE.foo-read-west c-east=$JS.API.STREAM.UPDATE.foo-read-east
    ");
}

#[test]
fn requests_on_demand_add_entries() {
    let mut foo = stream("foo", &["foo.*.bar"]);
    foo.map_requests = vec![MapRequest::Purge, MapRequest::MsgDelete, MapRequest::Snapshot];
    let account = app(vec![foo]);
    let desired = application(topology(), &account, &DesiredOptions::default()).unwrap();
    let lines = lines(&desired.mappings);
    assert_eq!(lines.len(), 1 + 12);
    assert_eq!(
        lines[0],
        "foo.*.bar → c-west=$VW.c-west.foo.{{wildcard(1)}}.bar c-east=$VW.c-east.foo.{{wildcard(1)}}.bar"
    );
    for line in [
        "$JS.API.STREAM.PURGE.foo → c-west=$JS.API.STREAM.PURGE.foo-read-west c-east=$JS.API.STREAM.PURGE.foo-read-east",
        "$JS.API.STREAM.MSG.DELETE.foo → c-west=$JS.API.STREAM.MSG.DELETE.foo-read-west c-east=$JS.API.STREAM.MSG.DELETE.foo-read-east",
        "$JS.API.STREAM.SNAPSHOT.foo → c-west=$JS.API.STREAM.SNAPSHOT.foo-read-west c-east=$JS.API.STREAM.SNAPSHOT.foo-read-east",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line}");
    }
}

#[test]
fn below_a_root_one_entry_captures_all() {
    let mut account = app(vec![stream("foo", &["app.foo.>"]), stream("bar", &["app.bar", "application"])]);
    account.subject_roots = vec![SubjectFilter::parse("app").unwrap()];
    let desired = application(topology(), &account, &DesiredOptions::default()).unwrap();
    let lines = lines(&desired.mappings);
    assert_eq!(lines[0], "app.> → c-west=$VW.c-west.app.> c-east=$VW.c-east.app.>");
    assert_eq!(lines.iter().filter(|line| !line.starts_with("$JS.")).count(), 2, "app.> and application");
    assert_eq!(desired.streams[0].config()["subjects"], json!(["$VW.c-west.app.foo.>"]));
    assert_eq!(desired.streams[2].config()["subjects"], json!(["$VW.c-west.app.bar", "$VW.c-west.application"]));
}

#[test]
fn the_streams_of_foo() {
    let account = app(vec![stream("foo", &["foo.*.bar", "x"])]);
    let desired = application(topology(), &account, &DesiredOptions::default()).unwrap();
    let names: Vec<_> = desired.streams.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["foo-write-west", "foo-write-east", "foo-read-west", "foo-read-east"]);
    let [write, _, read, read_east] = &desired.streams[..] else { panic!() };
    assert_eq!(
        Value::Object(write.config()),
        json!({
            "name": "foo-write-west",
            "subjects": ["$VW.c-west.foo.*.bar", "$VW.c-west.x"],
            "subject_transform": { "src": "$VW.*.>", "dest": ">" },
            "max_age": 86_400_000_000_000_u64,
            "duplicate_window": 120_000_000_000_u64,
            "retention": "limits",
            "storage": "file",
            "num_replicas": 3,
            "allow_direct": true,
            "placement": { "cluster": "c-west" },
            "metadata": { "vstream.name": "foo", "vstream.region": "west", "vstream.role": "write" },
        })
    );
    let source = |region: &str| json!({ "name": format!("foo-write-{region}"), "opt_start_seq": 1 });
    assert_eq!(
        Value::Object(read.config()),
        json!({
            "name": "foo-read-west",
            "sources": [source("west"), source("east")],
            "duplicate_window": 0,
            "max_msg_size": -1,
            "retention": "limits",
            "storage": "file",
            "num_replicas": 3,
            "allow_direct": true,
            "placement": { "cluster": "c-west" },
            "metadata": { "vstream.name": "foo", "vstream.region": "west", "vstream.role": "read" },
        })
    );
    assert_eq!(read.config()["sources"], read_east.config()["sources"]);
}

#[test]
fn old_servers_get_the_smallest_window_that_they_can_do() {
    let account = app(vec![stream("foo", &["foo.>"])]);
    for (oldest_server, window) in
        [(None, 0), (Some((2, 14)), 0), (Some((2, 12)), 100_000_000), (Some((2, 10)), 100_000_000)]
    {
        let options = DesiredOptions { oldest_server, ..DesiredOptions::default() };
        let desired = application(topology(), &account, &options).unwrap();
        assert_eq!(desired.streams[2].config()["duplicate_window"], json!(window), "{oldest_server:?}");
    }
}

#[test]
fn own_fields_go_over_the_defaults() {
    let mut foo = stream("foo", &["foo.>"]);
    foo.write =
        json!({ "max_age": 60_000_000_000_u64, "num_replicas": 1, "max_bytes": 1024 }).as_object().unwrap().clone();
    foo.read = json!({ "allow_direct": false, "metadata": { "team": "a", "vstream.name": "bar" } })
        .as_object()
        .unwrap()
        .clone();
    let mut topology = topology().clone();
    topology.regions[0].tags = vec!["ssd".to_owned()];
    let account = app(vec![foo]);
    let desired = application(&topology, &account, &DesiredOptions::default()).unwrap();
    let (write, read) = (desired.streams[0].config(), desired.streams[2].config());
    assert_eq!(write["max_age"], json!(60_000_000_000_u64));
    assert_eq!(write["duplicate_window"], json!(60_000_000_000_u64), "no longer than the age");
    assert_eq!((&write["num_replicas"], &write["max_bytes"]), (&json!(1), &json!(1024)));
    assert_eq!(write["placement"], json!({ "cluster": "c-west", "tags": ["ssd"] }));
    assert_eq!(read["allow_direct"], json!(false));
    let metadata = json!({ "vstream.name": "foo", "vstream.region": "west", "vstream.role": "read", "team": "a" });
    assert_eq!(read["metadata"], metadata);
}

#[test]
fn consumers_go_where_they_are_wanted() {
    let mut foo = stream("foo", &["foo.>"]);
    let consumer = |name: &str, regions: &[&str], config: Value| ConsumerDefinition {
        name: ConsumerName::parse(name).unwrap(),
        regions: regions.iter().map(|r| RegionName::parse(r).unwrap()).collect(),
        config: config.as_object().unwrap().clone(),
    };
    foo.consumers = vec![
        consumer("worker", &[], json!({ "max_ack_pending": 5 })),
        consumer("audit", &["east"], json!({ "ack_policy": "none" })),
    ];
    let account = app(vec![foo]);
    let desired = application(topology(), &account, &DesiredOptions::default()).unwrap();
    let made: Vec<_> = desired.consumers.iter().map(|c| (c.stream.as_str(), Value::Object(c.config.clone()))).collect();
    let worker = json!({ "name": "worker", "durable_name": "worker", "ack_policy": "explicit", "max_ack_pending": 5 });
    let audit = json!({ "name": "audit", "durable_name": "audit", "ack_policy": "none" });
    assert_eq!(made, [("foo-read-west", worker.clone()), ("foo-read-east", worker), ("foo-read-east", audit)]);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let refused = |streams: Vec<VirtualStream>| {
        application(topology(), &app(streams), &DesiredOptions::default()).unwrap_err().to_string()
    };
    let error = refused(vec![stream("a", &["x.>"]), stream("b", &["x.*"])]);
    assert!(error.contains("`x.>` and `x.*` overlap"), "{error}");
    let error = refused(vec![stream("a", &["*.>"])]);
    assert!(error.contains("`*.>` and `$JS.API.STREAM.INFO.a` overlap"), "{error}");
    let error = refused(vec![stream("foo", &["a"]), stream("foo-read-west", &["b"])]);
    assert!(error.contains("two streams would be called `foo-read-west`"), "{error}");
    let mut kv = stream("foo", &["a"]);
    kv.kind = Kind::Kv;
    assert!(
        refused(vec![kv]).contains("account APP, virtual stream foo: a bucket in the layout `shared` is not built")
    );
}

pub(crate) fn regional(virtual_streams: Vec<VirtualStream>) -> Account {
    Account { layout: Layout::Regional, ..app(virtual_streams) }
}

pub(crate) fn bucket(name: &str, kind: Kind) -> VirtualStream {
    let subjects: &[&str] = match kind {
        Kind::ObjectStore => &["$O.files.C.>", "$O.files.M.>"],
        _ => &["$KV.cfg.>"],
    };
    VirtualStream { kind, ..stream(name, subjects) }
}

pub(crate) fn mirrored(stream: VirtualStream, home: &str) -> VirtualStream {
    VirtualStream { consistency: Consistency::Mirrored { home: RegionName::parse(home).unwrap() }, ..stream }
}

/// Lists every destination of entries with and without clusters.
fn all_lines(mappings: &MappingSet) -> String {
    let line = |mapping: &crate::model::mapping::Mapping| {
        let to = mapping.destinations.iter().map(|d| format!("{}={}", d.cluster.as_deref().unwrap_or("*"), d.subject));
        format!("{} → {}", mapping.source, to.collect::<Vec<_>>().join(" "))
    };
    mappings.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_mapping_set_of_an_exclusive_account() {
    let streams = vec![
        stream("foo", &["foo.>"]),
        stream("bar", &["app.bar.>"]),
        stream("baz", &["app.baz"]),
        bucket("cfg", Kind::Kv),
        bucket("files", Kind::ObjectStore),
    ];
    let mut account = regional(streams);
    account.subject_roots = vec![SubjectFilter::parse("app").unwrap()];
    let desired = accounts(topology(), &account, &DesiredOptions::default()).unwrap();
    insta::assert_snapshot!(all_lines(&desired[0].mappings));
    let names: Vec<Vec<&str>> =
        desired.iter().map(|account| account.streams.iter().map(|stream| stream.name.as_str()).collect()).collect();
    assert_eq!(
        desired.iter().map(|account| account.name.as_str()).collect::<Vec<_>>(),
        ["APP", "APP-west", "APP-east"]
    );
    assert_eq!(names[1], ["foo", "bar", "baz", "KV_cfg", "OBJ_files"]);
    assert_eq!(names[0].len(), 10);
    assert!(desired[1].mappings.is_empty());
}

/// A server compares every message of the account with each entry.
#[test]
fn below_a_root_the_entries_are_at_most_eight() {
    let entries = |count: usize| {
        let streams = (0..count).map(|i| stream(&format!("s{i}"), &[&format!("app.s{i}.>")]));
        let buckets = [bucket("cfg", Kind::Kv), bucket("files", Kind::ObjectStore)];
        let mut account = regional(streams.chain(buckets).collect());
        account.subject_roots = vec![SubjectFilter::parse("app").unwrap()];
        accounts(topology(), &account, &DesiredOptions::default()).unwrap()[0].mappings.len()
    };
    assert_eq!(entries(100), entries(1));
    assert!(entries(100) <= 8, "{}", entries(100));
}

#[test]
fn beside_ordinary_streams_each_virtual_stream_has_entries_of_its_own() {
    let mut account = regional(vec![stream("foo", &["foo.>"]), bucket("cfg", Kind::Kv)]);
    account.exclusive = false;
    let desired = accounts(topology(), &account, &DesiredOptions::default()).unwrap();
    insta::assert_snapshot!(all_lines(&desired[0].mappings));
}

#[test]
fn the_streams_of_a_region() {
    let mut cfg = bucket("cfg", Kind::Kv);
    cfg.bucket = json!({ "history": 5, "ttl": 3_600_000_000_000_u64, "max_value_size": 1024, "compression": true, "limit_marker_ttl": 1_000_000_000, "num_replicas": 1, "metadata": { "team": "a" } }).as_object().unwrap().clone();
    let account = regional(vec![stream("foo", &["foo.*.>"]), cfg]);
    let desired = accounts(topology(), &account, &DesiredOptions::default()).unwrap();
    let configs = |account: &DesiredAccount<'_>| -> Value {
        account.streams.iter().filter(|s| s.region.as_str() == "east").map(|s| Value::Object(s.config())).collect()
    };
    insta::assert_snapshot!(format!("{:#}", json!([configs(&desired[0]), configs(&desired[2])])));
}

#[test]
fn no_write_stream_keeps_values_longer_than_the_bucket() {
    let hour = 3_600_000_000_000_u64;
    // Age 0 is unlimited.
    for (written, kept) in [(Some(2 * hour), hour), (Some(0), hour), (Some(hour / 2), hour / 2), (None, hour)] {
        let mut cfg = bucket("cfg", Kind::Kv);
        cfg.bucket.insert("ttl".to_owned(), hour.into());
        cfg.write.extend(written.map(|age| ("max_age".to_owned(), age.into())));
        let account = regional(vec![cfg]);
        let desired = accounts(topology(), &account, &DesiredOptions::default()).unwrap();
        let mut streams = desired.iter().flat_map(|account| &account.streams);
        let config = streams.find(|stream| stream.role == Role::Write).unwrap().config();
        assert_eq!(config["max_age"], kept, "{written:?}");
    }
}

/// One home stream, and a mirror in each region, including the home region.
#[test]
fn the_streams_of_a_mirrored_one() {
    let mut cfg = mirrored(bucket("cfg", Kind::Kv), "west");
    cfg.bucket = json!({ "history": 5, "ttl": 60_000_000_000_u64, "max_value_size": 1024, "max_bytes": 1 << 20, "limit_marker_ttl": 1_000_000_000 }).as_object().unwrap().clone();
    let mut foo = mirrored(stream("foo", &["foo.*.>"]), "east");
    foo.read = json!({ "max_msgs": 1000, "description": "foo", "duplicate_window": 0, "max_msg_size": -1 })
        .as_object()
        .unwrap()
        .clone();
    foo.write = json!({ "duplicate_window": 1_000_000_000, "discard": "new" }).as_object().unwrap().clone();
    let mut files = mirrored(bucket("files", Kind::ObjectStore), "west");
    files.bucket = json!({ "max_bytes": 1 << 30 }).as_object().unwrap().clone();
    let account = regional(vec![foo, cfg, files]);
    let desired = accounts(topology(), &account, &DesiredOptions::default()).unwrap();
    let configs =
        |account: &DesiredAccount<'_>| -> Value { account.streams.iter().map(|s| Value::Object(s.config())).collect() };
    insta::assert_snapshot!(format!("{:#}", json!([configs(&desired[0]), configs(&desired[2])])));
    let same =
        |a: &DesiredStream<'_>, b: &DesiredStream<'_>| a.config()["mirror"]["name"] == b.config()["mirror"]["name"];
    assert!(desired[1].streams.iter().zip(&desired[2].streams).all(|(a, b)| same(a, b)));
    insta::assert_snapshot!(all_lines(&desired[0].mappings), @"
    $JS.> → c-west=$VS.c-west.> c-east=$VS.c-east.>
    $VSH.> → *=$JS.>
    $KV.> → c-west=$VW.c-west.$KV.> c-east=$VW.c-east.$KV.>
    $O.> → c-west=$VW.c-west.$O.> c-east=$VW.c-east.$O.>
    $VSM.API.$KV.> → c-west=$VW.c-west.$KV.> c-east=$VW.c-east.$KV.>
    foo.*.> → c-west=$VW.c-west.foo.{{wildcard(1)}}.> c-east=$VW.c-east.foo.{{wildcard(1)}}.>
    ");
    let account = Account { exclusive: false, ..account };
    let desired = accounts(topology(), &account, &DesiredOptions::default()).unwrap();
    let lines = all_lines(&desired[0].mappings);
    let puts: Vec<&str> = lines.lines().filter(|line| line.starts_with("$VSM")).collect();
    assert_eq!(puts, ["$VSM.API.$KV.cfg.> → c-west=$VW.c-west.$KV.cfg.> c-east=$VW.c-east.$KV.cfg.>"]);
    let shared = Account { layout: Layout::Shared, ..account };
    let refused = application(topology(), &shared, &DesiredOptions::default());
    assert!(matches!(refused, Err(DesiredError::NotBuilt { .. })), "{refused:?}");
    // The home stream of one has the name of the other.
    let account = regional(vec![mirrored(stream("foo", &["a"]), "east"), stream("foo-home", &["b"])]);
    let error = accounts(topology(), &account, &DesiredOptions::default()).unwrap_err();
    assert!(error.to_string().contains("two streams would be called `foo-home`"), "{error}");
}

/// Below a root there is only one mapping, so only this check reports overlaps.
#[test]
fn common_subjects_below_a_root_are_refused() {
    let mut account = app(vec![stream("a", &["app.x.>"]), stream("b", &["app.x.y"])]);
    account.subject_roots = vec![SubjectFilter::parse("app").unwrap()];
    let error = application(topology(), &account, &DesiredOptions::default()).unwrap_err();
    assert!(matches!(error, DesiredError::WriteSubjects { .. }), "{error}");
}

/// A region's write streams capture messages of the clusters that it serves, and those clusters use its account.
#[test]
fn a_region_serves_other_clusters() {
    let mut topology = topology().clone();
    topology.regions[1].serves = vec![ClusterName::parse("edge.1").unwrap()];
    let account = regional(vec![stream("foo", &["foo.>"])]);
    let desired = accounts(&topology, &account, &DesiredOptions::default()).unwrap();
    insta::assert_snapshot!(all_lines(&desired[0].mappings), @"
    $JS.> → c-west=$VS.c-west.> c-east=$VS.c-east.> edge.1=$VS.edge_1.>
    $VSH.> → *=$JS.>
    foo.> → c-west=$VW.c-west.foo.> c-east=$VW.c-east.foo.> edge.1=$VW.edge_1.foo.>
    ");
    let write = &desired[0].streams[1];
    assert_eq!(write.config()["subjects"], json!(["$VW.c-east.foo.>", "$VW.edge_1.foo.>"]));
    let info = |account: &DesiredAccount<'_>, local: &str| {
        account.imports.iter().filter(|import| import.local() == local).map(|i| i.account.clone()).collect::<Vec<_>>()
    };
    let (west, east) = (&desired[1], &desired[2]);
    assert_eq!(info(&desired[0], "$VS.c-west.API.INFO"), std::slice::from_ref(&west.id));
    assert_eq!(info(&desired[0], "$VS.edge_1.API.INFO"), std::slice::from_ref(&east.id));
    let acks = |account: &DesiredAccount<'_>| {
        let acks = account.imports.iter().filter(|import| import.local() == "$JS.ACK.>");
        acks.map(|import| import.subject.clone()).collect::<Vec<_>>()
    };
    assert_eq!(acks(west), ["$VS.c-west.ACK.>"]);
    assert_eq!(acks(east), ["$VS.c-east.ACK.>", "$VS.edge_1.ACK.>"]);
    // Each region's deliveries are imported once.
    assert_eq!(info(&desired[0], "_INBOX.>"), [west.id.clone(), east.id.clone()]);
}

/// Subjects in the code are below a prefix of the table.
#[test]
fn constants_follow_the_table_of_prefixes() {
    for (subject, prefix) in [
        (regional::OWN_JS_API, OWN_JS_PREFIX),
        (regional::ORIGIN_JS_API, ORIGIN_JS_PREFIX),
        (lease::SUBJECT, RUNS_PREFIX),
    ] {
        assert!(is_below(subject, prefix), "{subject}");
        assert!(PREFIXES.iter().any(|known| known.token == prefix), "{prefix}");
    }
}

/// A filter with wildcards and a subject that it matches.
fn filter_and_subject() -> impl Strategy<Value = (String, String)> {
    let token = prop_oneof![
        3 => "[a-z]{1,4}".prop_map(|t| (t.clone(), t)),
        1 => "[a-z]{1,4}".prop_map(|t| ("*".to_owned(), t)),
    ];
    (prop::collection::vec(token, 1..5), prop::option::of("[a-z]{1,3}(\\.[a-z]{1,3}){0,2}")).prop_map(
        |(tokens, open)| {
            let (mut filter, mut subject): (Vec<_>, Vec<_>) = tokens.into_iter().unzip();
            if let Some(rest) = open {
                filter.push(">".to_owned());
                subject.push(rest);
            }
            // A wildcard as the first token would capture the API's subjects too.
            (format!("t.{}", filter.join(".")), format!("t.{}", subject.join(".")))
        },
    )
}

proptest! {
    /// A client's message gets the same subject again in every region.
    #[test]
    fn mapping_and_storing_give_the_subject_back((filter, subject) in filter_and_subject()) {
        let account = app(vec![stream("foo", &[&filter])]);
        let desired = application(topology(), &account, &DesiredOptions::default()).unwrap();
        let capture = desired.mappings.iter().next().unwrap();
        for (index, destination) in capture.destinations.iter().enumerate() {
            let mapped = Transform::parse_mapping(&filter, &destination.subject).unwrap().apply(&subject).unwrap();
            let write = desired.streams[index].config();
            let captured = SubjectFilter::parse(write["subjects"][0].as_str().unwrap()).unwrap();
            prop_assert!(captured.covers(&SubjectFilter::parse(&mapped).unwrap()));
            let strip = &write["subject_transform"];
            let back = Transform::parse(strip["src"].as_str().unwrap(), strip["dest"].as_str().unwrap()).unwrap();
            prop_assert_eq!(back.apply(&mapped).unwrap(), subject.clone());
        }
    }
}
