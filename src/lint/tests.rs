use super::*;
use crate::model::finding::Severity;
use crate::model::mapping::{Destination, RawMapping};
use proptest::prelude::*;

fn raw(source: &str, destinations: &[(&str, u8, Option<&str>)]) -> RawMapping {
    let destination = |(subject, weight, cluster): &(&str, u8, Option<&str>)| Destination {
        subject: (*subject).to_owned(),
        weight: *weight,
        cluster: cluster.map(str::to_owned),
    };
    RawMapping { source: source.to_owned(), destinations: destinations.iter().map(destination).collect() }
}

fn entry(mapping: &RawMapping, ours: bool) -> Entry<'_> {
    Entry { source: &mapping.source, destinations: &mapping.destinations, ours, in_force: false, known: false }
}

fn found(input: &LintInput<'_>) -> Vec<(Severity, &'static str)> {
    lint(&LintInput { account: "APP", ..*input }).into_iter().map(|f| (f.severity, f.code)).collect()
}

fn of_one(mapping: &RawMapping, ours: bool) -> Vec<(Severity, &'static str)> {
    found(&LintInput { entries: &[entry(mapping, ours)], ..LintInput::default() })
}

#[test]
fn what_servers_refuse() {
    for (mapping, code) in [
        (raw("a..b", &[("x", 100, None)]), "bad-source"),
        (raw("a.>.b", &[("x", 100, None)]), "bad-source"),
        (raw("a.*", &[("x.*", 100, None)]), "bad-destination"),
        (raw("a.*", &[("x.$2", 100, None)]), "bad-destination"),
        (raw("a.>", &[("x", 100, None)]), "bad-destination"),
        (raw("a.*", &[("x.{{nonsense(1)}}", 100, None)]), "bad-destination"),
        (raw("a", &[("x", 0, None)]), "weight-out-of-range"),
        (raw("a", &[("x", 101, None)]), "weight-out-of-range"),
        (raw("a", &[("x", 60, None), ("y", 60, None)]), "weights-over-100"),
        (raw("a", &[("x", 100, Some("w")), ("y", 1, Some("w"))]), "weights-over-100"),
        (raw("a", &[("x", 50, None), ("x", 50, None)]), "duplicate-destination"),
        (raw("a", &[("x", 100, Some("w")), ("x", 100, Some("e"))]), "duplicate-destination"),
        (raw("a.*", &[("x.$1", 50, None), ("x.{{wildcard(1)}}", 50, None)]), "duplicate-destination"),
        (raw("a.*", &[("x.{{ wildcard(1) }}", 100, None)]), "space-in-destination"),
        (raw("a.*", &[("x.$0", 100, None)]), "wildcard-zero"),
        (raw("a", &[("a", 50, None)]), "remainder-dropped"),
    ] {
        assert!(of_one(&mapping, true).contains(&(Severity::Error, code)), "{mapping:?}: {:?}", of_one(&mapping, true));
        assert!(of_one(&mapping, false).contains(&(Severity::Warning, code)), "{mapping:?}");
        assert!(of_one(&mapping, false).iter().all(|(severity, _)| *severity < Severity::Error));
    }
    for mapping in [
        raw("a", &[("x", 100, None)]),
        raw("a.*", &[("x.$1", 50, None), ("y.$1", 50, None)]),
        raw("a", &[("x", 100, Some("w")), ("y", 100, Some("e")), ("z", 100, None)]),
        raw("a.*.>", &[("x.{{partition(3,1)}}.>", 100, None)]),
        raw("a", &[]),
    ] {
        assert_eq!(of_one(&mapping, true), [], "{mapping:?}");
    }
}

#[test]
fn overlaps_are_errors_when_one_is_ours() {
    let (foo, other, third) =
        (raw("foo.>", &[("x.>", 100, None)]), raw("foo.a", &[("y", 100, None)]), raw("foo.*", &[]));
    let entries = [entry(&foo, true), entry(&other, false), entry(&third, false)];
    let input = LintInput { entries: &entries, ..LintInput::default() };
    assert_eq!(found(&input), [(Severity::Error, "overlapping-sources"), (Severity::Warning, "overlapping-sources")]);
    let first = &lint(&input)[0];
    assert_eq!(first.place, "account , mapping foo.>");
    assert!(first.message.contains("`foo.a`, `foo.*`"), "{}", first.message);
}

#[test]
fn a_destination_inside_its_own_source_is_told() {
    let (foo, bar) =
        (raw("foo.>", &[("foo.west.>", 100, Some("west"))]), raw("bar.>", &[("$VW.west.bar.>", 100, None)]));
    let entries = [entry(&foo, false), entry(&bar, true)];
    let findings = lint(&LintInput { account: "APP", entries: &entries, ..LintInput::default() });
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].severity, findings[0].code), (Severity::Info, "destination-inside-source"));
    assert_eq!(findings[0].place, "account APP, mapping foo.>");
}

#[test]
fn a_chain_is_mapped_once_only() {
    let (ours, theirs) = (raw("foo.>", &[("bar.>", 100, None)]), raw("in", &[("foo.in", 100, None)]));
    let entries = [entry(&ours, true), entry(&theirs, false)];
    let input = LintInput { entries: &entries, ..LintInput::default() };
    assert_eq!(found(&input), [(Severity::Warning, "mapped-once")]);
    let entries = [entry(&theirs, true), entry(&ours, true)];
    assert_eq!(found(&LintInput { entries: &entries, ..input }), [(Severity::Info, "mapped-once")]);
}

#[test]
fn every_live_cluster_has_to_be_covered() {
    let scoped = raw("foo.>", &[("x.>", 100, Some("west"))]);
    let everywhere = raw("bar", &[("y", 100, Some("west")), ("z", 100, None)]);
    let plain = raw("baz", &[("q", 100, None)]);
    let entries = [entry(&scoped, true), entry(&everywhere, true), entry(&plain, true)];
    let input = LintInput { entries: &entries, clusters: &["east", "west"], ..LintInput::default() };
    assert_eq!(found(&input), [(Severity::Error, "cluster-not-covered")]);
    assert_eq!(
        found(&LintInput { clusters: &["east"], entries: &[entry(&scoped, false)], ..input }),
        [(Severity::Warning, "cluster-not-covered"), (Severity::Info, "unknown-cluster")]
    );
}

#[test]
fn names_of_api_tokens_are_refused() {
    let input = LintInput { virtual_streams: &["NEXT", "foo", "next"], ..LintInput::default() };
    let findings = lint(&input);
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].code, findings[0].severity), ("reserved-name", Severity::Error));
}

#[test]
fn listeners_that_would_stop_receiving() {
    let foo = raw("foo.>", &[("foo.west.>", 100, Some("west")), ("foo.east.>", 100, Some("east"))]);
    let check = |kind, subject: &str| {
        let listeners = [Listener { kind, subject, who: "client 7 on west-1" }];
        let entries = [entry(&foo, true)];
        let findings = found(&LintInput { entries: &entries, listeners: &listeners, ..LintInput::default() });
        findings.into_iter().filter(|(_, code)| *code != "destination-inside-source").collect::<Vec<_>>()
    };
    use ListenerKind::{ServiceExport, ServiceImport, StreamExport, StreamImport, Subscription};
    assert_eq!(check(Subscription, "foo.a"), [(Severity::Error, "subscription-stops")]);
    assert_eq!(check(Subscription, "foo.*.x"), [(Severity::Error, "subscription-stops")]);
    assert_eq!(check(ServiceImport, "foo.svc"), [(Severity::Error, "service-import-stops")]);
    assert_eq!(check(ServiceExport, "foo.svc"), [(Severity::Error, "service-export-stops")]);
    assert_eq!(check(StreamExport, "*.svc"), [(Severity::Error, "stream-export-stops")]);
    assert_eq!(check(StreamImport, "foo.a"), [(Severity::Error, "stream-import-unmapped")]);
    assert_eq!(check(StreamImport, ">"), [(Severity::Error, "stream-import-unmapped")]);
    assert_eq!(check(StreamImport, "bar"), []);
    assert_eq!(check(Subscription, ">"), [(Severity::Info, "listener-sees-mapped-subjects")]);
    assert_eq!(check(Subscription, "foo.west.>"), [], "the write stream itself");
    assert_eq!(check(Subscription, "bar"), []);
    let entries = [Entry { in_force: true, known: true, ..entry(&foo, true) }];
    let listeners = [Listener { kind: Subscription, subject: "foo.a", who: "" }];
    let findings = found(&LintInput { entries: &entries, listeners: &listeners, ..LintInput::default() });
    assert!(findings.iter().all(|(severity, _)| *severity == Severity::Info), "{findings:?}");
    // The problem remains, but the run does not cause it.
    let listeners = [Listener { kind: StreamImport, ..listeners[0] }];
    let findings = found(&LintInput { entries: &entries, listeners: &listeners, ..LintInput::default() });
    assert!(findings.contains(&(Severity::Warning, "stream-import-unmapped")), "{findings:?}");
    // Nor does a run that adds a cluster. A new entry takes precedence over an existing one.
    let bar = raw("bar", &[("bar.west", 100, Some("west"))]);
    let entries = [Entry { known: true, ..entry(&foo, true) }, entry(&bar, true)];
    let listeners = [Listener { kind: StreamImport, subject: "foo.a", who: "" }];
    let findings = found(&LintInput { entries: &entries, listeners: &listeners, ..LintInput::default() });
    assert!(findings.contains(&(Severity::Warning, "stream-import-unmapped")), "{findings:?}");
    let listeners = [Listener { subject: ">", ..listeners[0] }];
    let findings = found(&LintInput { entries: &entries, listeners: &listeners, ..LintInput::default() });
    assert!(findings.contains(&(Severity::Error, "stream-import-unmapped")), "{findings:?}");
}

/// JetStream itself subscribes to all of its subjects. Another account's JetStream, imported below them, does not.
#[test]
fn what_is_imported_below_the_api_stops() {
    let all = raw("$JS.>", &[("$VS.west.>", 100, Some("west"))]);
    let check = |kind, subject: &str| {
        let listeners = [Listener { kind, subject, who: "hub" }];
        let entries = [entry(&all, true)];
        found(&LintInput { entries: &entries, listeners: &listeners, ..LintInput::default() })
    };
    assert_eq!(check(ListenerKind::ServiceImport, "$JS.hub.API.>"), [(Severity::Error, "service-import-stops")]);
    assert_eq!(check(ListenerKind::ServiceExport, "$JS.API.STREAM.INFO.*"), []);
    assert_eq!(check(ListenerKind::StreamImport, "$JS.EVENT.>"), []);
    assert_eq!(check(ListenerKind::Subscription, "$JS.API.>"), []);
}

proptest! {
    #[test]
    fn whatever_a_token_holds_is_judged(
        mappings in prop::collection::vec((".{0,12}", prop::collection::vec((".{0,12}", any::<u8>()), 0..3)), 0..5),
    ) {
        let mappings: Vec<RawMapping> = mappings
            .iter()
            .map(|(source, to)| raw(source, &to.iter().map(|(d, w)| (d.as_str(), *w, None)).collect::<Vec<_>>()))
            .collect();
        let entries: Vec<Entry<'_>> = mappings.iter().map(|mapping| entry(mapping, false)).collect();
        let findings = lint(&LintInput { entries: &entries, clusters: &["a"], ..LintInput::default() });
        prop_assert!(findings.iter().all(|finding| finding.severity < Severity::Error));
    }
}
