use super::*;
use crate::model::subject::SubjectFilter;
use crate::observed::jetstream::ObservedStream;
use serde_json::json;

fn to(subject: &str, cluster: &str) -> Destination {
    Destination { subject: subject.to_owned(), weight: 100, cluster: Some(cluster.to_owned()) }
}

fn entry(source: &str, destinations: &[(&str, &str)]) -> RawMapping {
    let destinations = destinations.iter().map(|(subject, cluster)| to(subject, cluster)).collect();
    RawMapping { source: source.to_owned(), destinations }
}

fn desired(entries: &[(&str, &[(&str, &str)])]) -> MappingSet {
    let mapping = |(source, to): &(&str, &[(&str, &str)])| Mapping {
        source: SubjectFilter::parse(source).unwrap(),
        destinations: entry(source, to).destinations,
    };
    MappingSet::new(entries.iter().map(mapping).collect()).unwrap()
}

fn stream(name: &str, subjects: &[&str], virtual_stream: &str, role: &str) -> ObservedStream {
    let metadata = json!({"vstream.name": virtual_stream, "vstream.region": "west", "vstream.role": role});
    let config = json!({"name": name, "subjects": subjects, "metadata": metadata});
    ObservedStream::from_info(json!({"config": config, "state": {}, "cluster": {}})).unwrap()
}

fn ours() -> Vec<ObservedStream> {
    vec![stream("foo-write-west", &["foo.west.>"], "foo", "write"), stream("foo-read-west", &[], "foo", "read")]
}

const FOO: &[(&str, &[(&str, &str)])] = &[
    ("foo.>", &[("foo.west.>", "west"), ("foo.east.>", "east")]),
    ("$JS.API.STREAM.INFO.foo", &[("$JS.API.STREAM.INFO.foo-read-west", "west")]),
];

#[test]
fn creates_what_is_missing_and_keeps_what_is_equal() {
    let observed =
        [entry("foo.>", &[("foo.east.>", "east"), ("foo.west.>", "west")]), entry("bar", &[("baz", "west")])];
    let plan = mappings("APP", &HashSet::from(["foo"]), &desired(FOO), &observed, &ours(), &Options::default());
    let changes: Vec<_> = plan.changes.iter().map(|change| (change.action, change.source.as_str())).collect();
    assert_eq!(changes, [(Action::Create, "$JS.API.STREAM.INFO.foo")]);
    assert_eq!((plan.findings, plan.reports), (vec![], vec![]));
    assert!(!plan.ours.contains("bar"));
}

#[test]
fn updates_an_entry_that_leads_to_our_streams() {
    let observed = [entry("foo.>", &[("foo.west.>", "west")])];
    let plan = mappings("APP", &HashSet::from(["foo"]), &desired(&FOO[..1]), &observed, &ours(), &Options::default());
    assert_eq!(plan.changes.len(), 1);
    assert_eq!(plan.changes[0].action, Action::Update);
    assert_eq!(plan.changes[0].before.as_deref(), Some(&[to("foo.west.>", "west")][..]));
}

/// A home stream captures messages from every cluster.
#[test]
fn entries_that_lead_to_home_streams_are_ours() {
    let streams = [
        stream("KV_cfg", &["$VW.*.$KV.cfg.>"], "cfg", "home"),
        stream("foo-home", &["$VW.*.app.foo.>", "$VW.*.foo.*"], "foo", "home"),
    ];
    let of = |source: &str, to: &str| entry(source, &[(to, "west"), (&to.replace("west", "east"), "east")]);
    let one = of("foo.*", "$VW.west.foo.{{wildcard(1)}}");
    let put = of("$VSM.API.$KV.cfg.>", "$VW.west.$KV.cfg.>");
    let all = of("$VSM.API.$KV.>", "$VW.west.$KV.>");
    let root = of("app.>", "$VW.west.app.>");
    let others = of("bar", "$VW.west.bar");
    let owned = OwnedStreams::of(&streams);
    for (entry, owner) in [
        (&one, Some(Owned::By("foo"))),
        (&put, Some(Owned::By("cfg"))),
        (&all, Some(Owned::Shared)),
        (&root, Some(Owned::Shared)),
        (&others, None),
    ] {
        assert_eq!(owned.owner(&entry.destinations), owner, "{entry:?}");
    }
    // A root is removed with the last of its virtual streams.
    let options = Options { prune: vec!["foo".to_owned()], ..Options::default() };
    let observed = [one, put, all, root, others];
    let plan = mappings("APP", &HashSet::new(), &desired(&[]), &observed, &streams, &options);
    let gone: Vec<&str> = plan.changes.iter().map(|change| change.source.as_str()).collect();
    assert_eq!(gone, ["foo.*", "app.>"]);
}

#[test]
fn refuses_the_same_source_with_foreign_destinations_unless_adopted() {
    let observed = [entry("foo.>", &[("elsewhere.>", "west")])];
    let plan = mappings("APP", &HashSet::from(["foo"]), &desired(&FOO[..1]), &observed, &ours(), &Options::default());
    assert!(plan.changes.is_empty());
    assert_eq!(plan.findings[0].code, "foreign-mapping");
    let adopt = Options { adopt: true, ..Options::default() };
    let plan = mappings("APP", &HashSet::from(["foo"]), &desired(&FOO[..1]), &observed, &ours(), &adopt);
    assert_eq!(plan.changes[0].action, Action::Update);
    assert!(plan.findings.is_empty());
}

#[test]
fn an_entry_of_another_definitions_virtual_stream_is_not_taken_over() {
    let observed = [entry("foo.>", &[("foo.west.>", "west")])];
    let wanted = desired(&[("foo.>", &[("west.foo.>", "west")])]);
    let plan = |options| mappings("APP", &HashSet::from(["baz"]), &wanted, &observed, &ours(), &options);
    for adopt in [false, true] {
        let refused = plan(Options { adopt, ..Options::default() });
        assert_eq!((refused.changes.len(), refused.findings[0].code), (0, "belongs-to-another"));
    }
    let pruned = plan(Options { prune: vec!["foo".to_owned()], ..Options::default() });
    assert_eq!((pruned.changes.len(), pruned.findings.len()), (1, 0));
}

#[test]
fn reports_our_leftovers_and_prunes_them_by_name() {
    let observed =
        [entry("old.>", &[("foo.west.>", "west")]), entry("bar.>", &[("foo.west.>", "west"), ("x.>", "east")])];
    let plan = mappings("APP", &HashSet::from(["foo"]), &desired(&[]), &observed, &ours(), &Options::default());
    assert!(plan.changes.is_empty());
    assert_eq!(plan.reports.len(), 1);
    assert!(plan.reports[0].place.contains("old.>"), "{:?}", plan.reports);
    let prune = Options { prune: vec!["foo".to_owned()], ..Options::default() };
    let plan = mappings("APP", &HashSet::from(["foo"]), &desired(&[]), &observed, &ours(), &prune);
    assert_eq!(plan.changes.len(), 1);
    assert_eq!((plan.changes[0].action, plan.changes[0].source.as_str()), (Action::Delete, "old.>"));
}

#[test]
fn requests_that_a_definition_no_longer_opens_are_closed() {
    let purge = |owner: &str| {
        entry(&format!("$JS.API.STREAM.PURGE.{owner}"), &[("$JS.API.STREAM.PURGE.foo-read-west", "west")])
    };
    let observed = [purge("foo")];
    let plan =
        |defined| mappings("APP", &HashSet::from([defined]), &desired(&[]), &observed, &ours(), &Options::default());
    let changes = plan("foo").changes;
    assert_eq!(
        (changes.len(), changes[0].action, changes[0].source.as_str()),
        (1, Action::Delete, "$JS.API.STREAM.PURGE.foo")
    );
    // Another definition's virtual stream stays.
    assert_eq!((plan("bar").changes.len(), plan("bar").reports.len()), (0, 1));
}

#[test]
fn removal_takes_desired_entries_and_those_that_lead_to_the_named_streams() {
    let observed = [
        entry("foo.>", FOO[0].1),
        entry("old.>", &[("foo.west.>", "west")]),
        entry("bar.>", &[("bar.west.>", "west")]),
    ];
    let changes = mapping_removal(&desired(FOO), &observed, &ours(), &["foo".to_owned()]);
    let sources: Vec<_> = changes.iter().map(|change| change.source.as_str()).collect();
    assert_eq!(sources, ["foo.>", "old.>"]);
    // Even without the streams, the desired entries are known to be ours.
    let changes = mapping_removal(&desired(FOO), &observed, &[], &["foo".to_owned()]);
    assert_eq!(changes.len(), 1);
}

#[test]
fn functions_of_destinations_count_as_wildcards_of_the_captured_subject() {
    assert_eq!(captured("a.{{wildcard(1)}}.west.$2.>"), "a.*.west.*.>");
}

/// A run was killed while it handed a cluster over: for a moment, no stream captures the cluster's destination.
#[test]
fn an_entry_with_a_cluster_that_is_handed_over_stays_ours() {
    let streams = [stream("foo-write-west", &["$VW.west.foo.>"], "foo", "write")];
    let stored = [entry("foo.>", &[("$VW.west.foo.>", "west"), ("$VW.edge.foo.>", "edge")])];
    let wanted: &[(&str, &[(&str, &str)])] = &[("foo.>", &[("$VW.west.foo.>", "west")])];
    let plan = |streams: &[ObservedStream], stored: &[RawMapping]| {
        mappings("APP", &HashSet::from(["foo"]), &desired(wanted), stored, streams, &Options::default())
    };
    assert_eq!((plan(&streams, &stored).findings, plan(&streams, &stored).changes.len()), (vec![], 1));
    // If no stream captures any of its destinations, the entry is foreign.
    let lost = [entry("foo.>", &[("$VW.east.foo.>", "east"), ("$VW.edge.foo.>", "edge")])];
    assert_eq!(plan(&streams, &lost).findings[0].code, "foreign-mapping");
}

/// The mapping of a root is removed with the last virtual stream below it.
#[test]
fn a_root_goes_when_all_below_it_are_pruned() {
    let streams = [
        stream("foo-write-west", &["$VW.west.app.foo.>"], "foo", "write"),
        stream("bar-write-west", &["$VW.west.app.bar"], "bar", "write"),
    ];
    let root = [entry("app.>", &[("$VW.west.app.>", "west")])];
    let gone = |prune: &[&str]| {
        let options = Options { prune: prune.iter().map(|name| (*name).to_owned()).collect(), ..Options::default() };
        let plan = mappings("APP", &HashSet::from(["foo"]), &desired(&[]), &root, &streams, &options);
        assert_eq!(plan.findings, vec![]);
        plan.changes.len()
    };
    assert_eq!((gone(&[]), gone(&["foo"]), gone(&["foo", "bar"])), (0, 0, 1));
}
