use super::*;
use crate::model::subject::tests::filters;
use proptest::prelude::*;

fn apply(source: &str, destination: &str, subject: &str) -> String {
    Transform::parse(source, destination).unwrap().apply(subject).unwrap()
}

/// Cases and results of nats-server 2.15 `server/subject_transform_test.go` (the facts, not the text).
#[test]
fn gives_what_servers_give() {
    for (source, destination, subject, result) in [
        ("foo.>", "foo.west.>", "foo.a.b", "foo.west.a.b"),
        ("foo.*", "bar.$1", "foo.x", "bar.x"),
        ("foo.*.bar.*", "$2.{{wildcard(1)}}", "foo.a.bar.b", "b.a"),
        ("*.*", "x.{{ Wildcard ( 2 ) }}", "a.b", "x.b"),
        ("a.*.>", "$1.>", "a.b.c.d", "b.c.d"),
        ("foo.*", "foo.{{partition(10,1)}}", "foo.bar", "foo.2"),
        ("*", "bar.{{partition(10, 0)}}", "foo", "bar.3"),
        ("*.*", "bar.{{partition(10)}}", "foo.bar", "bar.6"),
        ("foo.baz", "qux.{{partition(10,7)}}", "foo.baz", "qux.4"),
        ("*", "bar.{{partition(0)}}", "baz", "bar.0"),
        ("*", "{{splitfromleft(1,3)}}", "12345", "123.45"),
        ("*", "{{SplitFromRight(1,3)}}", "12345", "12.345"),
        ("*", "{{SliceFromLeft(1,3)}}", "1234567890", "123.456.789.0"),
        ("*", "{{SliceFromRight(1,3)}}", "1234567890", "1.234.567.890"),
        ("*", "{{SliceFromLeft(1,3)}}", "123456", "123.456"),
        ("*", "{{split(1,-)}}", "-abc-def--ghi-", "abc.def.ghi"),
        ("*", "{{split(1,-)}}", "abc-def--ghi-", "abc.def.ghi"),
        ("*", "{{left(1,3)}}", "1234567890", "123"),
        ("*", "{{right(1,3)}}", "1234567890", "890"),
        ("*", "{{left(1,30)}}", "1234567890", "1234567890"),
        (
            "$JS.API.CONSUMER.*.foo",
            "$JS.API.CONSUMER.{{wildcard(1)}}.R",
            "$JS.API.CONSUMER.LIST.foo",
            "$JS.API.CONSUMER.LIST.R",
        ),
        ("foo.*", "foo.$0", "foo.x", "foo.foo"),
    ] {
        assert_eq!(apply(source, destination, subject), result, "{source} → {destination}");
    }
}

#[test]
fn what_does_not_match_gives_nothing() {
    let transform = Transform::parse("foo.*", "bar.$1").unwrap();
    for subject in ["foo", "foo.a.b", "bar.a"] {
        assert_eq!(transform.apply(subject), None);
    }
}

#[test]
fn refuses_with_the_servers_reason() {
    use TransformError as E;
    let error = |source, destination| Transform::parse_mapping(source, destination).unwrap_err();
    assert!(matches!(error("foo", "foo.*"), E::Wildcard(_)));
    assert!(matches!(error("foo.>", "foo.west"), E::OpenEnd { .. }));
    assert!(matches!(error("foo.*", "foo.$2"), E::IndexOutOfRange { wildcards: 1, .. }));
    assert!(matches!(error("foo", "foo.$1"), E::IndexOutOfRange { wildcards: 0, .. }));
    assert!(matches!(error("foo.*", "{{wildcard()}}"), E::NotEnoughArguments(_)));
    assert!(matches!(error("foo.*", "{{wildcard(1,2)}}"), E::TooManyArguments(_)));
    assert!(matches!(error("foo.*", "{{wildcard(x)}}"), E::BadArgument(_)));
    assert!(matches!(error("foo.*", "{{unknown(1)}}"), E::UnknownFunction(_)));
    assert!(matches!(error("foo..bar", "x"), E::BadSubject(_)));
    assert!(matches!(error("foo bar", "x"), E::BadSubject(_)));
}

#[test]
fn one_canonical_spelling() {
    for destination in ["x.$1", "x.{{wildcard(1)}}", "x.{{ Wildcard( 1 ) }}"] {
        assert_eq!(Transform::parse("*", destination).unwrap().canonical(), "x.{{wildcard(1)}}");
    }
    assert_eq!(Transform::parse("*.*", "{{Partition(3, 1,2)}}").unwrap().canonical(), "{{partition(3,1,2)}}");
    assert_eq!(Transform::parse("a", "$JS.x").unwrap().canonical(), "$JS.x");
}

#[test]
fn the_result_filter_matches_all_results() {
    for (destination, filter) in
        [("a.$1", "a.*"), ("a.{{split(1,-)}}.b", "a.>"), ("{{splitfromleft(1,2)}}", ">"), ("a.{{random(3)}}", "a.*")]
    {
        assert_eq!(Transform::parse("*", destination).unwrap().result_filter(), filter);
    }
}

proptest! {
    #[test]
    fn any_text_is_judged_without_a_panic(source in ".{0,20}", destination in "[{}()$a-z1-9,. *>]{0,30}") {
        for source in [source.as_str(), "a.*.*", "a.*.>", "a.b.c"] {
            if let Ok(transform) = Transform::parse_mapping(source, &destination) {
                let _ = (transform.apply("a.b.c"), transform.canonical(), transform.result_filter());
            }
        }
    }

    #[test]
    fn the_canonical_spelling_is_its_own(filter in filters(), destination in "[{}()$a-z1-9,. *>]{0,30}") {
        if let Ok(transform) = Transform::parse(&filter, &destination) {
            let canonical = transform.canonical();
            prop_assert_eq!(Transform::parse(&filter, &canonical).unwrap().canonical(), canonical);
        }
    }
}
