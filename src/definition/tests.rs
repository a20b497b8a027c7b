use super::*;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::prefixes::PREFIXES;
use crate::model::subject::SubjectFilter;
use crate::model::virtual_stream::{Access, Layout};
use crate::sign::Seed;
use proptest::prelude::*;
use serde_json::json;
use std::path::Path;

fn key() -> String {
    PublicKey::from_bytes(KeyKind::Account, [7; 32]).to_string()
}

/// A definition with one virtual stream, whose settings are `stream` (lines of YAML).
fn with_stream(stream: &str) -> String {
    let indented: String = stream.lines().map(|line| format!("        {line}\n")).collect();
    format!(
        "version: 1
system: {{ credentials: keys/sys.creds }}
regions:
  west: {{ servers: [nats://127.0.0.1:14222] }}
  east: {{ servers: [nats://127.0.0.1:24222] }}
accounts:
  APP:
    id: {}
    credentials: keys/app.creds
    layout: shared
    virtual_streams:
      foo:
{indented}",
        key()
    )
}

fn source(text: &str) -> SourceFile {
    SourceFile { name: "vstream.yaml".to_owned(), text: text.to_owned() }
}

fn parsed(text: &str) -> Result<Definition, Problems> {
    parse(&[source(text)], Path::new("base"))
}

/// Asserts that there is exactly one problem, with this code and location, and these words in its message.
#[track_caller]
fn refuses(text: &str, code: &str, words: &str, at: &str) -> DefinitionReport {
    let problems = parsed(text).expect_err("accepted");
    let reports = problems.reports();
    assert_eq!(reports.len(), 1, "{problems}");
    let report = reports.into_iter().next().unwrap();
    assert_eq!(report.code, code, "{problems}");
    assert!(report.message.contains(words) || report.help.contains(words), "{problems}");
    let (line, column) = (report.position.line as usize, report.position.column as usize);
    let rest: String = text.lines().nth(line - 1).unwrap_or_default().chars().skip(column - 1).collect();
    assert!(rest.starts_with(at), "points at {rest:?}\n{problems}");
    report
}

#[track_caller]
fn refuses_stream(stream: &str, code: &str, words: &str, at: &str) {
    refuses(&with_stream(stream), code, words, at);
}

#[test]
fn no_error_has_a_seed_of_a_text_or_of_a_files_name() {
    let seed = Seed::generate(KeyKind::Account).unwrap().reveal();
    let name = format!("vstream {}.yaml", seed.as_str());
    for url in [format!("n{}/127.0.0.1:2", seed.as_str()), "n:/127.0.0.1:2".to_owned()] {
        let text = format!("version: 1\nregions:\n  west: {{ servers: [{url}] }}\n");
        let problems = parse(&[SourceFile { name: name.clone(), text }], Path::new("base")).expect_err("accepted");
        let all = format!("{problems} {problems:?} {}", serde_json::to_string(&problems).unwrap());
        let pieces = (0..seed.len() - 16).map(|from| &seed[from..from + 16]);
        assert_eq!(pieces.filter(|piece| all.contains(piece)).count(), 0, "{}", crate::secrets::hide(&all));
        assert!(all.contains("vstream *"), "{}", crate::secrets::hide(&all));
    }
}

#[test]
fn the_values_arrive_in_the_model_as_the_api_takes_them() {
    let text = with_stream(
        "subjects: [foo.>, bar]
write: { max_age: 1d12h, max_bytes: 10GB, duplicate_window: 90s, extra: { future: [1, 2.5] } }
read: { allow_direct: true, duplicate_window: 0, max_msg_size: -1 }
consumers:
  worker: { ack_policy: explicit, backoff: [1s, 2m], filter_subject: foo.a }
  west_only: { regions: [west], deliver_subject: push.foo }
map_requests: [purge]",
    );
    let definition = parsed(&text).unwrap();
    let account = &definition.accounts[0];
    let stream = &account.virtual_streams[0];
    assert_eq!(account.layout, Layout::Shared);
    assert_eq!(definition.system, Access::Credentials("base/keys/sys.creds".into()));
    assert_eq!(
        serde_json::Value::from(stream.write.clone()),
        json!({ "max_age": 129_600_000_000_000u64, "max_bytes": 10_000_000_000u64,
                "duplicate_window": 90_000_000_000u64, "future": [1, 2.5] })
    );
    assert_eq!(
        serde_json::Value::from(stream.consumers[0].config.clone())["backoff"],
        json!([1_000_000_000, 120_000_000_000u64])
    );
    assert_eq!(stream.consumers[1].regions.len(), 1);
    assert_eq!(stream.subjects.iter().map(SubjectFilter::as_str).collect::<Vec<_>>(), ["foo.>", "bar"]);
}

#[test]
fn keys_and_types() {
    refuses_stream(
        "subjects: [foo.>]\nmap_reqeusts: []",
        "unknown-key",
        "did you mean `map_requests`?",
        "map_reqeusts",
    );
    refuses_stream("subject: [foo.>]", "unknown-key", "did you mean `subjects`?", "subject");
    refuses_stream("subjects: [foo.>]\nsubjects: [a]", "duplicate-key", "given twice", "subjects: [a]");
    refuses_stream("subjects: foo.>", "wrong-type", "expected a list, found the text", "foo.>");
    refuses_stream("subjects: [7]", "wrong-type", "put it in quotes", "7");
    refuses_stream("subjects: [foo.>]\nregion_token: 1", "gone-key", "in front of the whole subject", "region_token");
    refuses_stream("subjects: [foo.>]\nread: { allow_direct: yes }", "wrong-type", "only `true` and `false`", "yes");
    refuses_stream("subjects: [foo.>]\nmap_requests: [purg]", "unknown-value", "did you mean `purge`?", "purg");
    refuses_stream("subjects: [foo.>", "yaml", "not valid YAML", "[foo.>");
    refuses_stream("write: {}", "missing-key", "`subjects` is missing", "foo:");
    refuses("regions: {west: {}}", "missing-key", "`servers` is missing", "west");
    refuses("", "empty", "init", "");
    refuses("- a", "wrong-type", "expected a mapping", "- a");
    refuses(&format!("{}7: a\n", with_stream("subjects: [a]")), "wrong-type", "a key has to be a text", "7");
}

#[test]
fn subjects() {
    for (subject, code, words) in [
        ("''", "bad-subject", "is empty"),
        ("foo.>.bar", "bad-subject", "only be the last token"),
        ("foo..bar", "bad-subject", "empty token"),
        ("'foo bar'", "bad-subject", "white space"),
        ("'foo.$1'", "bad-subject", "function"),
        ("$JS.API.>", "reserved-subject", "JetStream"),
        ("$SYS.>", "reserved-subject", "servers"),
        ("_INBOX.>", "reserved-subject", "replies"),
        ("'>'", "reserved-subject", "token of its own"),
        ("'*.x'", "reserved-subject", "token of its own"),
    ] {
        refuses_stream(&format!("subjects: [{subject}]"), code, words, subject);
    }
    refuses_stream("subjects: []", "bad-subject", "no subjects", "[]");
    refuses_stream("subjects: [foo.*, foo.a]", "overlapping-subjects", "narrower", "foo.a");
    assert!(parsed(&with_stream("subjects: [foo.*.x, orders]")).is_ok());
    for prefix in PREFIXES {
        let subject = format!("{}.mine.>", prefix.token);
        refuses_stream(&format!("subjects: [{subject}]"), "reserved-subject", "this tool's own", &subject);
    }
}

#[test]
fn virtual_streams_among_each_other() {
    let two = |a: &str, b: &str| format!("{}      {a}\n      {b}\n", with_stream("subjects: [foo.>]"));
    refuses(
        &two("a: { subjects: [a.>] }", "b: { subjects: [a.b] }"),
        "overlapping-subjects",
        "`a.b` of virtual stream `b` and `a.>` of virtual stream `a`",
        "a.b",
    );
    refuses(
        &two("a: { subjects: [a] }", "a-read-west: { subjects: [b] }"),
        "name-collision",
        "like a real one",
        "a-read-west",
    );
    refuses(
        &two("a: { subjects: [a] }", "NEXT: { subjects: [b] }"),
        "reserved-name",
        "token of JetStream's API",
        "NEXT",
    );
    refuses(&two("a: { subjects: [a] }", "'a.b': { subjects: [b] }"), "bad-name", "one subject token", "'a.b'");
    let long = format!("{}: {{ subjects: [b] }}", "n".repeat(250));
    let problems = parsed(&two("a: { subjects: [a] }", &long)).unwrap_err();
    assert!(problems.to_string().contains("255"), "{problems}");
}

#[test]
fn names_consistency_and_kind() {
    refuses_stream("subjects: [a]\nnames: { write: 'w-{region}' }", "bad-template", "lacks `{stream}`", "'w-");
    refuses_stream(
        "subjects: [a]\nnames: { write: '{stream}-{region}-{x}' }",
        "bad-template",
        "not known",
        "'{stream}",
    );
    refuses_stream(
        "subjects: [a]\nnames: { write: '{stream}-{region}', read: '{stream}-{region}' }",
        "conflict",
        "the same names",
        "names",
    );
    refuses_stream("subjects: [a]\nconsistency: mirrored", "missing-key", "home", "mirrored");
    refuses_stream(
        "subjects: [a]\nconsistency: mirrored\nhome: wset",
        "unknown-region",
        "did you mean `west`?",
        "wset",
    );
    let mirrored = "subjects: [a]\nconsistency: mirrored\nhome: west\n";
    for (more, words, at) in [
        ("write: { max_age: 1h }", "set it under `read`; of `write` it takes `duplicate_window`", "max_age"),
        ("write: { extra: { future: 1 } }", "`extra` does not go under `write`", "extra"),
        ("names: { write: 'x-{stream}-{region}' }", "remove `names`", "names"),
        ("map_requests: [purge]", "the mirror of one region", "purge"),
        ("read: { max_age: 1m }\nwrite: { duplicate_window: 2m }", "longer than the home stream keeps", "write"),
    ] {
        let text = with_stream(&format!("{mirrored}{more}")).replace("    layout: shared\n", "");
        refuses(&text, "conflict", words, at);
    }
    refuses_stream(mirrored, "conflict", "choose `layout: regional`", "foo");
    refuses_stream("subjects: [a]\nhome: west", "conflict", "mirrored", "west");
    refuses_stream("subjects: [a]\nbucket: { history: 5 }", "conflict", "kv", "bucket");
    let problems = parsed(&with_stream("kind: kv\nsubjects: [a]")).unwrap_err();
    assert!(problems.to_string().contains("follow from its kind"), "{problems}");
}

#[test]
fn what_is_not_built_is_named() {
    let text = with_stream("subjects: [foo.>]");
    let stretched = format!("{text}stretch: {{ cluster: stretch }}\n");
    refuses(
        &stretched.replace("subjects: [foo.>]", "subjects: [foo.>]\n        consistency: ordered"),
        "not-built",
        "`ordered`",
        "ordered",
    );
}

#[test]
fn resolvers() {
    let text = with_stream("subjects: [foo.>]");
    let resolver = |keys: &str| format!("{text}resolver: {{ {keys} }}\n");
    let parsed_resolver = |keys: &str| parsed(&resolver(keys)).unwrap().resolver;
    assert_eq!(parsed(&text).unwrap().resolver, ResolverConfig::Nats);
    assert_eq!(parsed_resolver("type: nats"), ResolverConfig::Nats);
    assert_eq!(parsed_resolver("type: memory, preload: p.conf"), ResolverConfig::Memory("base/p.conf".into()));
    let url = ResolverConfig::Url("https://a:1/jwt/v1/accounts/".to_owned());
    for written in ["https://a:1/jwt/v1/accounts", "https://a:1/jwt/v1/accounts/"] {
        assert_eq!(parsed_resolver(&format!("type: url, url: \"{written}\"")), url);
    }
    refuses(&resolver("type: memory"), "missing-key", "`preload` is missing", "memory");
    refuses(&resolver("type: url"), "missing-key", "`url` is missing", "url");
    refuses(&resolver("type: nats, preload: p"), "conflict", "goes with `type: memory`", "p");
    refuses(&resolver("type: memory, preload: p, url: u"), "conflict", "goes with `type: url`", "u");
    for (url, why) in [
        ("ftp://a/", "scheme `ftp`"),
        ("a/b", "neither with"),
        ("http://u:p@a/", "user or a password"),
        ("http:///x", "no host"),
        ("http://a/x?y=", "contains '?'"),
    ] {
        refuses(&resolver(&format!("type: url, url: \"{url}\"")), "bad-url", why, &format!("\"{url}\""));
    }
    let regional = resolver("type: memory, preload: p").replace("layout: shared", "layout: regional");
    refuses(&regional, "memory-layout", "account APP has layout `regional`", "memory");
}

#[test]
fn layouts() {
    let text = with_stream("subjects: [foo.>]");
    let setting = |line: &str| text.replace("    layout: shared\n", &format!("    layout: shared\n    {line}\n"));
    for (line, at) in [
        ("exclusive: false", "false"),
        ("regional_limits: { conn: 1 }", "regional_limits"),
        ("inbox_prefixes: [mine]", "[mine]"),
        ("activation_lifetime: 90d", "90d"),
    ] {
        refuses(&setting(line), "conflict", "is for `layout: regional`", at);
    }
    let regional = |line: &str| text.replace("    layout: shared\n", &format!("    {line}\n"));
    refuses(&regional("regional_accounts: '{region}'"), "bad-template", "lacks `{account}`", "'{region}'");
    refuses(&regional("activation_lifetime: 10m"), "wrong-value", "less than an hour", "10m");
    for line in ["subject_roots: [_INBOX]", "inbox_prefixes: [_INBOX, $JS.API]", "inbox_prefixes: [VSD]"] {
        let at = line.split([',', '[', ']']).rfind(|token| !token.is_empty()).unwrap().trim();
        refuses(&regional(line), "reserved-subject", &format!("subject `{at}`"), at);
    }
    assert!(parsed(&regional("inbox_prefixes: [_INBOX.team, team, _INBOX_team]")).is_ok());
    refuses(
        &regional("subject_roots: [foo.bar]"),
        "overlapping-subjects",
        "takes in subjects of the root `foo.bar`",
        "foo.>",
    );
    let pushed = regional("layout: regional")
        .replace("[foo.>]", "[foo.>]\n        consumers: { w: { regions: [west], deliver_subject: deliver.w } }");
    refuses(&pushed, "conflict", "add `deliver` to `inbox_prefixes`", "foo");
    refuses_stream("kind: kv", "conflict", "is a bucket, and this account has `layout: shared`", "foo");
    let bucket = regional("layout: regional").replace("        subjects: [foo.>]", "        kind: kv");
    assert!(parsed(&bucket).is_ok(), "{bucket}");
    refuses(&bucket.replace("      foo:", "      'foé':"), "bad-name", "", "'foé'");
    let named =
        regional("layout: regional").replace("[foo.>]", "[foo.>]\n        names: { read: '{stream}.{region}' }");
    refuses(&named, "conflict", "carries the virtual name", "foo");
}

#[test]
fn regions() {
    let text = with_stream("subjects: [foo.>]");
    let east = "east: { servers: [nats://127.0.0.1:24222] }";
    let with = |region: &str| text.replace(east, region);
    refuses(&with("east: { servers: [] }"), "no-servers", "`east` has no servers", "[]");
    refuses(&with("east: { cluster: west, servers: [nats://a:1] }"), "cluster-twice", "used twice", "west");
    refuses(&with("east: { servers: [http://a:1] }"), "bad-url", "scheme `http`", "http://a:1");
    refuses(&with("east: { servers: [nats://a:1, a:1] }"), "server-twice", "listed twice", "a:1] }");
    // The same load balancer in front of all regions.
    assert!(parsed(&with("east: { servers: [nats://127.0.0.1:14222] }")).is_ok());
    refuses(&with("e.st: { servers: [nats://a:1] }"), "bad-name", "one subject token", "e.st");
    assert!(parsed(&with("east: { cluster: e.st, servers: [nats://a:1] }")).is_ok());
    refuses(&with("east: { cluster: 'e st', servers: [nats://a:1] }"), "bad-name", "cluster name", "'e st'");
    refuses(&with("$1: { servers: [nats://a:1] }"), "bad-name", "function", "$1");
    refuses(&with("east: { servers: [nats://a:1], tls: { cert: c.pem } }"), "missing-key", "no `key`", "tls");
    refuses(&with("west: { servers: [nats://a:1] }"), "duplicate-key", "`west` is given twice", "west");
    refuses(&format!("{text}stretch: {{ cluster: east }}\n"), "cluster-twice", "`east`", "east");
}

#[test]
fn clusters_that_are_no_regions() {
    let text = with_stream("subjects: [foo.>]").replace("layout: shared", "layout: regional");
    let with = |serves: &str| text.replace("24222] }", &format!("24222], serves: {serves} }}"));
    let definition = parsed(&format!("{}clusters_without_clients: [arbiter]\n", with("[edge, dc1.prod]"))).unwrap();
    let clusters: Vec<String> =
        definition.topology.clusters().map(|(region, cluster)| format!("{}: {cluster}", region.name)).collect();
    assert_eq!(clusters, ["west: west", "east: east", "east: edge", "east: dc1.prod"]);
    refuses(&with("[edge, edge]"), "cluster-twice", "`edge`", "edge]");
    refuses(&with("[west]"), "cluster-twice", "`west`", "west]");
    refuses(&format!("{}clusters_without_clients: [edge]\n", with("[edge]")), "cluster-twice", "`edge`", "edge");
    refuses(&with("[dc1.prod, dc1_prod]"), "clusters-alike", "one token in subjects, `dc1_prod`", "dc1_prod");
    refuses(
        &with("[edge]").replace("layout: regional", "layout: shared"),
        "conflict",
        "`east` serves other clusters",
        "shared",
    );
}

/// A password with a percent-encoded `@`, or without a host, looks like a port.
#[test]
fn what_stands_in_the_place_of_a_port_is_not_cited() {
    let text = with_stream("subjects: [foo.>]");
    for url in
        ["nats://me:cret1%40h:4222", "nats://me:cret1", "me:cret1%40h:4222", "nats://me:cret1%40[h", "me:se cret1"]
    {
        let text = text.replace("nats://127.0.0.1:24222", &format!("\"{url}\""));
        let report = refuses(&text, "bad-url", "", "\"");
        let problems = parsed(&text).expect_err("accepted");
        let all = format!("{problems} {} {}", report.message, serde_json::to_string(&problems).unwrap());
        assert!(!all.contains("cret1"), "{all}");
    }
    let text = text.replace("nats://127.0.0.1:24222", "nats://h:99999");
    refuses(&text, "bad-url", "`nats://h:99999`: `99999` is not a port", "nats://h");
}

#[test]
fn accounts() {
    let text = with_stream("subjects: [foo.>]");
    let key = key();
    refuses(&text.replace(&key, &key[..40]), "bad-key", "A and 55 more", "AADQ");
    refuses(&text.replace(&key, "SOMETHING"), "bad-key", "A and 55 more", "SOMETHING");
    refuses(&text.replace("    credentials: keys/app.creds\n", ""), "missing-key", "no way into account `APP`", "APP");
    refuses(
        &text.replace("    credentials: keys/app.creds\n", "    credentials: a\n    context: b\n"),
        "conflict",
        "keep one",
        "b",
    );
    refuses(&text.replace(&format!("    id: {key}\n"), ""), "missing-key", "public key", "APP");
    refuses(&text.replace("system: { credentials: keys/sys.creds }", ""), "missing-key", "`system`", "version");
}

#[test]
fn seeds_never_come_back_out() {
    let seed = crate::sign::Seed::generate(KeyKind::Account).unwrap().reveal().to_string();
    let text = with_stream("subjects: [foo.>]");
    for text in [
        text.replace(&key(), &seed),
        text.replace("keys/app.creds", &seed),
        text.replace("credentials: keys/app.creds", &format!("key: {seed}")),
        text.replace("layout: shared", &format!("layout: {}", &seed[..30])),
        format!("{text}{seed}: 1\n"),
    ] {
        let problems = parsed(&text).unwrap_err();
        let all = format!("{problems}{problems:?}{}", serde_json::to_string(&problems).unwrap());
        assert!(!all.contains(&seed[..20]), "{all}");
    }
}

#[test]
fn fields() {
    let write = |field: &str| format!("subjects: [a]\nwrite: {{ {field} }}");
    let read = |field: &str| format!("subjects: [a]\nread: {{ {field} }}");
    let consumer = |field: &str| format!("subjects: [a]\nconsumers: {{ c: {{ {field} }} }}");
    refuses_stream(&write("max_aeg: 1h"), "unknown-field", "did you mean `max_age`? A field of a newer", "max_aeg");
    refuses_stream(&write("max_age: 24"), "wrong-value", "write `24s`", "24");
    refuses_stream(&write("max_age: 24 hours"), "wrong-value", "write it like `24h`", "24 hours");
    refuses_stream(&write("max_bytes: lots"), "wrong-value", "`512MiB`", "lots");
    refuses_stream(&write("num_replicas: 9"), "wrong-value", "1 to 5", "9");
    refuses_stream(&write("storage: disk"), "unknown-value", "`file`, `memory`", "disk");
    refuses_stream(&write("retention: workqueue"), "refused-field", "Work-queue", "workqueue");
    refuses_stream(&write("metadata: { vstream.name: x }"), "refused-field", "vstream.", "vstream.name");
    refuses_stream(&write("extra: { max_age: 1h }"), "known-field", "move it out", "max_age");
    refuses_stream(&write("extra: { sources: [] }"), "refused-field", "the tool sets it", "sources");
    refuses_stream(&write("max_age: 1m, duplicate_window: 2m"), "conflict", "longer than `max_age`", "write");
    refuses_stream(&read("discard: new"), "refused-field", "blocks its sources", "new");
    refuses_stream(&read("duplicate_window: 2m"), "refused-field", "dropped differently", "2m");
    refuses_stream(&read("max_msg_size: 1MB"), "refused-field", "blocks its source forever", "1MB");
    refuses_stream(
        "subjects: [a]\nread: { deny_purge: true }\nmap_requests: [purge]",
        "conflict",
        "deny_purge",
        "purge",
    );
    refuses_stream(&consumer("durable_name: x"), "refused-field", "named by its key", "durable_name");
    refuses_stream(&consumer("ack_polcy: none"), "unknown-field", "did you mean `ack_policy`?", "ack_polcy");
    refuses_stream(&consumer("deliver_subject: d"), "refused-field", "one region", "deliver_subject");
    refuses_stream(&consumer("filter_subject: b"), "bad-filter", "meets none", "b");
    refuses_stream(&consumer("regions: [wset]"), "unknown-region", "did you mean `west`?", "wset");
    refuses_stream(&consumer("pause_until: tomorrow"), "wrong-value", "RFC 3339", "tomorrow");
    for field in ["name", "subjects", "sources", "mirror", "sealed", "republish", "subject_transform", "placement"] {
        refuses_stream(&write(&format!("{field}: x")), "refused-field", "cannot be set", field);
        refuses_stream(&read(&format!("{field}: x")), "refused-field", "cannot be set", field);
    }
    assert!(parsed(&with_stream(&write("retention: limits, discard: new, extra: { new_field: true }"))).is_ok());
}

#[test]
fn several_files_are_one_definition() {
    let whole = with_stream("subjects: [foo.>]");
    let more = |stream: &str| SourceFile {
        name: "more.yaml".to_owned(),
        text: format!("accounts:\n  APP:\n    layout: shared\n    virtual_streams:\n      {stream}\n"),
    };
    let parse_with = |stream| parse(&[source(&whole), more(stream)], Path::new(""));
    let definition = parse_with("bar: { subjects: [bar.>] }").unwrap();
    let names: Vec<&str> = definition.accounts[0].virtual_streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["foo", "bar"]);

    let report = |result: Result<Definition, Problems>| result.unwrap_err().reports().remove(0);
    let twice = report(parse_with("foo: { subjects: [bar.>] }"));
    assert_eq!((twice.code, twice.position.file.as_str()), ("duplicate-key", "more.yaml"));
    assert_eq!(twice.also.unwrap().file, "vstream.yaml");

    let mut other = more("bar: { subjects: [bar.>] }");
    other.text = other.text.replace("shared", "regional");
    let conflict = report(parse(&[source(&whole), other], Path::new("")));
    assert_eq!((conflict.code, conflict.position.line), ("conflict", 3));

    let topology = SourceFile { name: "more.yaml".to_owned(), text: "regions: {}".to_owned() };
    let regions = report(parse(&[source(&whole), topology], Path::new("")));
    assert_eq!((regions.code, regions.position.file.as_str()), ("duplicate-key", "more.yaml"));
}

#[test]
fn all_problems_are_reported_at_once() {
    let text = with_stream("subjects: [foo..a, $JS.x]\nwrite: { max_age: 7, sealed: true }\nconsumers: { 'a b': {} }");
    let codes: Vec<&str> = parsed(&text).unwrap_err().reports().iter().map(|report| report.code).collect();
    assert_eq!(codes, ["bad-subject", "reserved-subject", "wrong-value", "refused-field", "bad-name"]);
}

#[test]
fn a_problem_shows_the_source() {
    let problems = parsed(&with_stream("subjects: [foo.>]\nmap_reqeusts: 1")).unwrap_err();
    insta::assert_snapshot!(problems.to_string(), @"
    error[unknown-key]: unknown key `map_reqeusts`
      --> vstream.yaml:14:9
       |
    14 |         map_reqeusts: 1
       |         ^^^^^^^^^^^^
       |
       = help: did you mean `map_requests`?
    ");
}

/// In YAML, a carriage return alone ends a line.
#[test]
fn lines_are_counted_as_yaml_does() {
    let said = parsed("version: 1\r\r\n\rb: [\r- x").unwrap_err().to_string();
    assert!(said.contains("vstream.yaml:5:1") && said.contains("5 | - x"), "{said}");
}

proptest! {
    #[test]
    fn parsing_never_panics_on_arbitrary_text(text in any::<String>()) {
        prop_assert!(parsed(&text).is_ok() || !parsed(&text).unwrap_err().to_string().is_empty());
    }

    #[test]
    fn parsing_never_panics_on_damaged_definitions(at in 0usize..600, cut in 0usize..40, put in "[\\PC\n]{0,8}") {
        let text = with_stream("subjects: [foo.>]\nwrite: { max_age: 24h }\nconsumers: { w: { backoff: [1s] } }");
        let boundary = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let (from, to) = (boundary(at), boundary(at + cut));
        let damaged = format!("{}{put}{}", &text[..from], &text[to..]);
        prop_assert!(parsed(&damaged).is_ok() || !parsed(&damaged).unwrap_err().to_string().is_empty());
    }
}

/// A secret that is written with escapes, or over several lines.
#[test]
fn a_secret_that_is_written_otherwise_is_refused_and_not_shown() {
    let seed = Seed::generate(KeyKind::Account).unwrap().reveal();
    let (begin, end) = seed.split_at(30);
    let escaped: String = seed.chars().map(|c| format!("\\x{:02x}", u32::from(c))).collect();
    for written in [
        format!("\"{begin}\\x{:02x}{}\"", u32::from(end.as_bytes()[0]), &end[1..]),
        format!("\"{escaped}\""),
        format!("\"{begin}\\\n        {end}\""),
        "\"nats\\x3a//me\\x3asecret1234\\x40h\\x3a4222\"".to_owned(),
    ] {
        for text in [
            format!("{}    description: {written}\n", with_stream("subjects: [foo.>]")),
            format!("{}? {written}\n: 1\n", with_stream("subjects: [foo.>]")),
            with_stream("subjects: [foo.>]").replace("keys/app.creds", &written),
        ] {
            let problems = parsed(&text).expect_err(&text);
            assert!(problems.reports().iter().any(|problem| problem.code == "secret"), "{text}{problems}");
            let shown = problems.to_string();
            for part in [begin, &end[1..], &escaped[..80], "secret1234"] {
                assert!(!shown.contains(part), "{shown}");
            }
        }
    }
}

fn files(texts: impl IntoIterator<Item = String>) -> Vec<SourceFile> {
    let file = |(number, text)| SourceFile { name: format!("{number:05}.yaml"), text };
    texts.into_iter().enumerate().map(file).collect()
}

/// A short text that expands to many nodes.
fn repeated(account: usize, nodes: usize) -> String {
    let list = format!("[{}]", vec!["1"; 999].join(","));
    let again = vec!["*l"; nodes / 1000 - 1].join(",");
    format!("accounts:\n  A{account}: {{ x: &l {list}, y: [{again}] }}\n")
}

/// The bounds apply to any number of files.
#[test]
fn the_bounds_are_those_of_the_whole_definition() {
    let too_large = |files: &[SourceFile], words: &str, file: &str| {
        let problems = parse(files, Path::new("base")).expect_err("accepted");
        let report = problems.reports().pop().unwrap();
        let found = (report.code, problems.len(), report.position.file.as_str());
        assert_eq!(found, ("too-large", 1, file), "{problems}");
        assert!(report.message.contains(words) && !report.help.is_empty(), "{problems}");
    };
    let nodes = "more than 250000 keys and values";
    too_large(&files((0..10).map(|account| repeated(account, 100_000))), nodes, "00002.yaml");
    // Many files together may be as large as one file.
    let many = parse(&files((0..80).map(|account| repeated(account, 3000))), Path::new("base")).expect_err("accepted");
    assert!(many.reports().iter().all(|report| report.code != "too-large"), "{many}");
    let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 60].join(","));
    too_large(&files(vec![long; 3]), "more than 16 MB of text", "00002.yaml");
    too_large(&files(vec!["# ".repeat(500_001); 10]), "more than 8 MB", "00007.yaml");
    too_large(&files(vec![String::new(); 10_001]), "more than 10000 files", "10000.yaml");
    let name = "n".repeat(5000);
    let named = [SourceFile { name: name.clone(), text: String::new() }];
    too_large(&named, "more than 4096 bytes", &name[..1024]);
}

/// Files with an error near the end take no longer to read than valid ones.
#[test]
fn broken_files_spend_what_they_may_have_held() {
    let broken = files((0..50).map(|account| repeated(account, 100_000) + "broken: ["));
    let problems = parse(&broken, Path::new("base")).expect_err("accepted");
    assert_eq!(problems.len(), 1, "{problems}");
    let few = files(vec!["broken: [".to_owned(); 50]);
    assert_eq!(parse(&few, Path::new("base")).expect_err("accepted").len(), 50);
}

/// Settings in several files, with their keys in any order.
#[test]
fn equal_settings_of_files_are_equal_in_any_order() {
    let whole = with_stream("subjects: [foo.>]");
    let with = |limits: &str| format!("accounts:\n  APP:\n    users: {limits}\n");
    let merged = |first: &str, second: &str| {
        let problems = parse(&files([whole.clone(), with(first), with(second)]), Path::new("base")).err();
        problems.is_some_and(|problems| problems.reports().iter().any(|report| report.code == "conflict"))
    };
    assert!(!merged("{ a: k/a.creds, b: k/b.creds }", "{ b: k/b.creds, a: k/a.creds }"));
    for other in ["{ a: k/a.creds }", "{ a: k/a.creds, b: k/a.creds }", "{ a: k/a.creds, c: k/b.creds }"] {
        assert!(merged("{ a: k/a.creds, b: k/b.creds }", other), "{other}");
    }
}
