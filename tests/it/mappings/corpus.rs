//! Valid and invalid mappings: lint finds everything that the server refuses, and more.

use crate::mappings::server::verdicts;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use vstream_jwt::lint::{Entry, LintInput, lint};
use vstream_jwt::model::mapping::{Destination, RawMapping};
use vstream_jwt::model::transform::Transform;

fn mapping(source: &str, destinations: &[(&str, u8, &str)]) -> RawMapping {
    let destination = |(subject, weight, cluster): &(&str, u8, &str)| Destination {
        subject: (*subject).to_owned(),
        weight: *weight,
        cluster: (!cluster.is_empty()).then(|| (*cluster).to_owned()),
    };
    RawMapping { source: source.to_owned(), destinations: destinations.iter().map(destination).collect() }
}

fn codes(mapping: &RawMapping) -> Vec<&'static str> {
    let entries = [Entry {
        source: &mapping.source,
        destinations: &mapping.destinations,
        ours: true,
        in_force: false,
        known: false,
    }];
    let findings = lint(&LintInput { account: "APP", entries: &entries, ..LintInput::default() });
    findings.into_iter().map(|finding| finding.code).collect()
}

#[test]
fn lint_finds_what_servers_refuse() {
    let one = |source: &str, destination: &str| mapping(source, &[(destination, 100, "")]);
    // The mapping, and the finding for the server's refusal; empty if the server accepts it.
    let corpus = [
        (one("foo.>", "foo.west.>"), ""),
        (one("foo.*", "bar.$1"), ""),
        (one("foo.*.*", "bar.{{wildcard(2)}}.{{ Wildcard( 1 ) }}"), ""),
        (one("foo.*", "bar.{{partition(3,1)}}"), ""),
        (one("foo.*", "bar.{{Partition(3)}}"), ""),
        (one("foo", "bar.{{partition(3)}}"), ""),
        (one("foo.*", "bar.{{split(1,-)}}"), ""),
        (one("foo.*", "bar.{{splitFromLeft(1,2)}}.{{splitfromright(1,2)}}"), ""),
        (one("foo.*", "bar.{{SliceFromLeft(1,2)}}.{{slicefromRight(1,2)}}"), ""),
        (one("foo.*", "bar.{{left(1,2)}}.{{Right(1,2)}}"), ""),
        (one("foo.*", "bar.{{random(9)}}"), ""),
        (one("foo", "$JS.API.bar"), ""),
        (one("foo.*", "$0.bar"), ""),
        (mapping("foo", &[("a", 100, "west"), ("b", 100, "east"), ("c", 100, "")]), ""),
        (mapping("foo", &[("a", 50, "west"), ("b", 50, "west")]), ""),
        (mapping("foo", &[]), ""),
        (one("", "x"), "bad-source"),
        (one("foo..bar", "x"), "bad-source"),
        (one("foo.>.bar", "x"), "bad-source"),
        (one("foo bar", "x"), "bad-source"),
        (one("foo.", "x"), "bad-source"),
        (one("foo.*", "bar.*"), "bad-destination"),
        (one("foo.>", "bar"), "bad-destination"),
        (one("foo", "bar.>"), "bad-destination"),
        (one("foo", "bar..x"), "bad-destination"),
        (one("foo", "bar x"), "bad-destination"),
        (one("foo.*", "bar.$2"), "bad-destination"),
        (one("foo.>", "$1.>"), "bad-destination"),
        (one("foo", "bar.$1"), "bad-destination"),
        (one("foo.*", "bar.{{wildcard()}}"), "bad-destination"),
        (one("foo.*", "bar.{{wildcard(1,2)}}"), "bad-destination"),
        (one("foo.*", "bar.{{wildcard(x)}}"), "bad-destination"),
        (one("foo.*", "bar.{{partition()}}"), "bad-destination"),
        (one("foo.*", "bar.{{partition(2147483648)}}"), "bad-destination"),
        (one("foo.*", "bar.{{split(1)}}"), "bad-destination"),
        (one("foo.*", "bar.{{split(1,a b)}}"), "bad-destination"),
        (one("foo.*", "bar.{{sliceFromLeft(1,2,3)}}"), "bad-destination"),
        (one("foo.*", "bar.{{random(1,2)}}"), "bad-destination"),
        (one("foo.*", "bar.{{WILDCARD(1)}}"), "bad-destination"),
        (one("foo.*", "bar.{{wild(1)}}"), "bad-destination"),
        (mapping("foo", &[("a", 101, "")]), "weight-out-of-range"),
        (mapping("foo", &[("a", 60, ""), ("b", 60, "")]), "weights-over-100"),
        (mapping("foo", &[("a", 60, "west"), ("b", 60, "west")]), "weights-over-100"),
        (mapping("foo", &[("a", 50, ""), ("a", 50, "")]), "duplicate-destination"),
        (mapping("foo", &[("a", 100, "west"), ("a", 100, "east")]), "duplicate-destination"),
    ];
    let mappings: Vec<RawMapping> = corpus.iter().map(|(mapping, _)| mapping.clone()).collect();
    for ((mapping, code), verdict) in corpus.iter().zip(verdicts(&mappings)) {
        let found = codes(mapping);
        assert_eq!(verdict.is_some(), !code.is_empty(), "{mapping:?}: the server says {verdict:?}");
        if code.is_empty() {
            let refusals = ["bad-source", "bad-destination", "weights-over-100", "duplicate-destination"];
            assert!(!found.iter().any(|code| refusals.contains(code)), "{mapping:?}: {found:?}");
        } else {
            assert!(found.contains(code), "{mapping:?}: {found:?}; the server says {verdict:?}");
        }
    }
}

/// Errors that servers accept silently, but should not.
#[test]
fn lint_finds_what_servers_overlook() {
    let corpus = [
        (mapping("foo.*", &[("a.$1", 50, ""), ("a.{{wildcard(1)}}", 50, "")]), "duplicate-destination"),
        (mapping("foo.*", &[("a.$0", 100, "")]), "wildcard-zero"),
        (mapping("foo.a*", &[("a", 100, "")]), "bad-source"),
        (mapping("foo", &[("", 100, "")]), "bad-destination"),
        (mapping("foo", &[("foo", 50, "")]), "remainder-dropped"),
    ];
    let mappings: Vec<RawMapping> = corpus.iter().map(|(mapping, _)| mapping.clone()).collect();
    for ((mapping, code), verdict) in corpus.iter().zip(verdicts(&mappings)) {
        assert_eq!(verdict, None, "{mapping:?}");
        assert!(codes(mapping).contains(code), "{mapping:?}: {:?}", codes(mapping));
    }
}

/// A thousand destinations, built from pieces of functions: lint and server agree.
#[test]
fn destinations_are_judged_as_servers_judge_them() {
    let piece = prop::sample::select(vec![
        "{{",
        "}}",
        "{{ ",
        " }}",
        "(",
        ")",
        "()",
        "(1)",
        "(2)",
        "( 1 )",
        "(1,2)",
        "(1, 2)",
        "(3,1,2)",
        "(x)",
        "(-1)",
        "(+1)",
        "(1,-)",
        "wildcard",
        "Wildcard",
        "partition",
        "split",
        "SplitFromLeft",
        "slicefromright",
        "left",
        "right",
        "random",
        "$",
        "$1",
        "$2",
        "$x",
        "a",
        "*",
        ">",
        ".",
        ".",
    ]);
    let function = (
        prop::sample::select(vec![
            "wildcard",
            "partition",
            "split",
            "splitFromRight",
            "sliceFromLeft",
            "left",
            "random",
        ]),
        prop::sample::select(vec![
            "(1)",
            "(1,2)",
            "(2,1)",
            "(1,2,3)",
            "(0)",
            "()",
            "(9999999999)",
            "(1,x)",
            "( 2 , 1 )",
        ]),
    )
        .prop_map(|(name, arguments)| format!("{{{{{name}{arguments}}}}}"));
    let pieces = prop::collection::vec(prop_oneof![3 => piece.prop_map(str::to_owned), 1 => function], 1..6);
    let source = prop::sample::select(vec!["a", "a.*", "a.*.*", "a.>", "a.*.>", ">"]);
    let strategy = (source, pieces).prop_map(|(source, pieces)| mapping(source, &[(&pieces.concat(), 100, "")]));
    let mut runner = TestRunner::deterministic();
    let mappings: Vec<RawMapping> = (0..1000).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let mut taken = 0;
    for (mapping, verdict) in mappings.iter().zip(verdicts(&mappings)) {
        let ours = Transform::parse_mapping(&mapping.source, &mapping.destinations[0].subject);
        assert_eq!(ours.is_ok(), verdict.is_none(), "{mapping:?}: we say {ours:?}, the server says {verdict:?}");
        taken += usize::from(ours.is_ok());
    }
    assert!((100..900).contains(&taken), "the cases are one-sided: {taken} of 1000 are good");
}
