//! Findings about streams that are not as defined. Each case is correct data with one fault.

use super::*;
use crate::desired::tests::{app, application, bucket, mirrored, regional, stream, topology};
use crate::desired::{DesiredOptions, accounts, metadata};
use crate::model::finding::Finding;
use crate::model::names::ConsumerName;
use crate::model::virtual_stream::{Account, ConsumerDefinition, Kind};
use crate::observed::jetstream::{ObservedConsumer, Replica, StreamState, Unknown};
use crate::verify::flow::Flow;
use crate::verify::status::status;
use serde_json::{Map, json};
use std::sync::LazyLock;

pub(in crate::verify) const SECOND: u64 = 1_000_000_000;

static ACCOUNT: LazyLock<Account> = LazyLock::new(|| {
    let mut foo = stream("foo", &["foo.>"]);
    let worker = ConsumerName::parse("worker").unwrap();
    foo.consumers = vec![ConsumerDefinition { name: worker, regions: Vec::new(), config: Map::new() }];
    app(vec![foo])
});

/// Virtual stream `foo` in two regions, all in one account.
fn foo() -> DesiredAccount<'static> {
    application(topology(), &ACCOUNT, &DesiredOptions::default()).unwrap()
}

/// Returns streams and consumers without any problem.
pub(crate) fn as_defined(desired: &DesiredAccount<'_>) -> ObservedJetStream {
    let replica = |server| Replica { server, current: true, offline: false, active: SECOND, lag: 0 };
    let at = |cluster: &str| Placement {
        cluster: cluster.to_owned(),
        leader: Some(format!("{cluster}-1")),
        replicas: [2, 3].map(|n| replica(format!("{cluster}-{n}"))).into(),
    };
    let mut streams: Vec<ObservedStream> = (desired.streams.iter())
        .map(|stream| {
            let mut found = ObservedStream::from_info(json!({ "config": stream.config() })).unwrap();
            let names = found.config.get("sources").and_then(Value::as_array).into_iter().flatten();
            let names = names.chain(found.config.get("mirror"));
            let names = names.map(|source| source["name"].as_str().unwrap().to_owned());
            let heard = |name| SourceState { name, seq: Some(0), active: Some(SECOND), ..<_>::default() };
            found.sources = names.map(heard).collect();
            found.cluster = at(stream.cluster.as_str());
            found.state = StreamState { first_seq: 1, ..<_>::default() };
            found.ts = "2026-01-02T00:00:00Z".to_owned();
            found
        })
        .collect();
    streams.sort_by(|a, b| a.name.cmp(&b.name));
    let consumers = desired.consumers.iter().map(|consumer| ObservedConsumer {
        stream: consumer.stream.clone(),
        name: consumer.name.clone(),
        config: consumer.config.clone(),
        cluster: at(&format!("c-{}", consumer.region)),
        ..<_>::default()
    });
    ObservedJetStream { info: json!({}), streams, consumers: consumers.collect(), ..<_>::default() }
}

pub(in crate::verify) fn edit<'o>(observed: &'o mut ObservedJetStream, name: &str) -> &'o mut ObservedStream {
    observed.streams.iter_mut().find(|stream| stream.name == name).unwrap()
}

/// Returns the read stream's source.
pub(in crate::verify) fn source<'o>(
    observed: &'o mut ObservedJetStream,
    stream: &str,
    origin: &str,
) -> &'o mut SourceState {
    edit(observed, stream).sources.iter_mut().find(|source| source.name == origin).unwrap()
}

/// Returns all problems after `change`.
pub(in crate::verify) fn said(change: impl FnOnce(&mut ObservedJetStream)) -> Vec<StreamProblem> {
    let desired = foo();
    let mut observed = as_defined(&desired);
    change(&mut observed);
    let checked = streams(&desired, &observed);
    let worst = |c: &Checked| c.problems.iter().map(|p| p.verdict).max().unwrap_or(Verdict::Ok);
    assert!(checked.iter().all(|c| c.verdict == worst(c)), "{checked:#?}");
    checked.into_iter().flat_map(|checked| checked.problems).collect()
}

/// Checks that the change raises only this problem. The severity follows from the verdict.
#[track_caller]
pub(in crate::verify) fn raises(
    change: impl FnOnce(&mut ObservedJetStream),
    verdict: Verdict,
    code: &str,
    place: &str,
    words: &[&str],
) {
    let said = said(change);
    let [StreamProblem { verdict: given, finding }] = &said[..] else { panic!("not {code} alone: {said:#?}") };
    let Finding { code: found, severity, place: at, message, lines: _, next } = finding;
    let severity_of_verdict = if verdict == Verdict::Wrong { Severity::Error } else { Severity::Warning };
    assert_eq!((*given, *found, *severity), (verdict, code, severity_of_verdict));
    assert_eq!(*at, format!("account APP, stream {place}"));
    for words in words {
        assert!(format!("{message}\n{next}").contains(words), "{code} without {words:?}: {message}\n{next}");
    }
    assert!(!next.is_empty(), "{code} has no next step");
}

#[test]
fn nothing_is_said_of_what_is_as_defined() {
    assert_eq!(said(|_| ()), []);
    // Servers that are not clustered have no cluster and no leader.
    let single = |observed: &mut ObservedJetStream| {
        observed.streams.iter_mut().for_each(|stream| stream.cluster = Placement::default());
        observed.consumers.iter_mut().for_each(|consumer| consumer.cluster = Placement::default());
    };
    assert_eq!(said(single), []);
}

#[test]
fn where_a_stream_lives_is_checked() {
    let lives = |placed: &'static str| {
        move |observed: &mut ObservedJetStream| {
            let stream = edit(observed, "foo-write-west");
            stream.cluster.cluster = "c-east".to_owned();
            stream.config["placement"]["cluster"] = json!(placed);
        }
    };
    let said_of = ["lives in cluster c-east, should be in c-west", "Wait: it is being moved."];
    raises(lives("c-west"), Verdict::Wrong, "in-other-cluster", "foo-write-west", &said_of);
    let both = said(lives("c-east"));
    assert_eq!(both.iter().map(|p| p.finding.code).collect::<Vec<_>>(), ["config-differs", "in-other-cluster"]);
    assert_eq!(both[1].finding.next, "Run plan, which shows the effect of moving it back.");
}

#[test]
fn servers_that_are_down_or_behind_are_named() {
    let leaderless = |observed: &mut ObservedJetStream| {
        let cluster = &mut edit(observed, "foo-read-west").cluster;
        cluster.leader = None;
        // A follower's view of the other replicas.
        cluster.replicas.iter_mut().for_each(|replica| (replica.current, replica.active) = (false, 0));
    };
    let words = ["has no leader: takes no messages until most of its servers are back", "nats server report jetstream"];
    raises(leaderless, Verdict::Wrong, "no-leader", "foo-read-west", &words);
    let of_consumer = |observed: &mut ObservedJetStream| observed.consumers[0].cluster.leader = None;
    let words = ["has no leader: delivers nothing until most of its servers are back"];
    raises(of_consumer, Verdict::Wrong, "no-leader", "foo-read-west, consumer worker", &words);

    let offline = |observed: &mut ObservedJetStream| {
        let stream = edit(observed, "foo-read-east");
        (stream.offline, stream.cluster.leader) = (true, None);
    };
    let words = ["all its servers are offline", "nats server report jetstream"];
    raises(offline, Verdict::CantTell, "stream-offline", "foo-read-east", &words);

    let replica = |change: fn(&mut Replica)| {
        move |observed: &mut ObservedJetStream| change(&mut edit(observed, "foo-write-east").cluster.replicas[1])
    };
    let down = replica(|replica| (replica.offline, replica.current, replica.lag) = (true, false, 5_000));
    let words = ["its replica on c-east-3 does not answer the leader", "Bring that server back"];
    raises(down, Verdict::Ok, "replica-offline", "foo-write-east", &words);
    // A killed replica: servers do not report it as offline for minutes. It may have been the leader.
    for change in [
        |replica: &mut Replica| (replica.current, replica.active) = (false, 11 * SECOND),
        |replica: &mut Replica| (replica.current, replica.active) = (false, 0),
    ] {
        raises(replica(change), Verdict::Ok, "replica-offline", "foo-write-east", &words);
    }
    let behind = replica(|replica| (replica.current, replica.lag) = (false, 1_001));
    let words = ["its replica on c-east-3 is 1001 entries behind", "it catches up by itself"];
    raises(behind, Verdict::Ok, "replica-behind", "foo-write-east", &words);
    // A few entries are always in flight.
    assert_eq!(said(replica(|replica| (replica.current, replica.lag) = (false, 1_000))), []);
}

#[test]
fn what_does_not_answer_cannot_be_told() {
    let unknown = |name: &str| Unknown { name: name.to_owned(), reason: "its leader did not answer".to_owned() };
    let stream = |observed: &mut ObservedJetStream| {
        observed.streams.retain(|stream| stream.name != "foo-write-east");
        observed.unknown_streams = vec![unknown("foo-write-east")];
    };
    let words = ["exists, but its leader did not answer", "nats server report jetstream"];
    raises(stream, Verdict::CantTell, "stream-unknown", "foo-write-east", &words);
    let consumer = |observed: &mut ObservedJetStream| {
        observed.consumers.remove(0);
        observed.unknown_consumers = vec![unknown("foo-read-west > worker")];
    };
    let words = ["could not be asked: its leader did not answer", "nats server report jetstream"];
    raises(consumer, Verdict::CantTell, "consumer-unknown", "foo-read-west, consumer worker", &words);
}

#[test]
fn sources_are_compared() {
    let missing = |observed: &mut ObservedJetStream| {
        let stream = edit(observed, "foo-read-west");
        stream.config["sources"].as_array_mut().unwrap().remove(1);
        stream.sources.remove(1);
    };
    let words = ["does not source foo-write-east: what is published there does not arrive", "Run apply."];
    raises(missing, Verdict::Wrong, "source-missing", "foo-read-west", &words);

    let extra = |observed: &mut ObservedJetStream| {
        edit(observed, "foo-read-west").config["sources"].as_array_mut().unwrap().push(json!({ "name": "other" }));
    };
    let words = ["sources other, which the definition doesn't have", "Run plan"];
    raises(extra, Verdict::Wrong, "source-extra", "foo-read-west", &words);

    let changed = |observed: &mut ObservedJetStream| {
        let source = &mut edit(observed, "foo-read-west").config["sources"][1];
        source["subject_transforms"] = json!([{ "src": "a", "dest": "b" }]);
    };
    let words = [
        r#"sources foo-write-east in another way: `subject_transforms` is [{"src":"a","dest":"b"}], should be unset"#,
        "Run plan",
    ];
    raises(changed, Verdict::Wrong, "source-changed", "foo-read-west", &words);
}

#[test]
fn sources_that_are_not_heard_from_are_told_apart() {
    let silent = |ns: Option<u64>| {
        move |observed: &mut ObservedJetStream| {
            let source = source(observed, "foo-read-west", "foo-write-east");
            (source.active, source.lag) = (ns, 7);
        }
    };
    assert_eq!(said(silent(Some(9 * SECOND))), []);
    let words = [
        "has not heard from its source foo-write-east for 20 s; 7 messages were waiting there then",
        "Wait: servers try again after 30 s",
        "If it lasts for 5 min",
    ];
    raises(silent(Some(20 * SECOND)), Verdict::CantTell, "source-waiting", "foo-read-west", &words);
    let words = [
        "has not heard from its source foo-write-east for 4 min; 7 messages were waiting there then",
        "nats stream cluster step-down",
    ];
    raises(silent(Some(241 * SECOND)), Verdict::Wrong, "source-stalled", "foo-read-west", &words);
    // A source without any contact has no figures.
    let never = said(silent(None));
    assert_eq!((never.len(), never[0].finding.code), (1, "source-waiting"));
    assert_eq!(never[0].finding.message, "has not heard from its source foo-write-east yet");
    let failing = |observed: &mut ObservedJetStream| {
        let error = ApiError { code: 404, err_code: 10059, description: "stream not found".to_owned() };
        source(observed, "foo-read-west", "foo-write-east").error = Some(error);
    };
    raises(failing, Verdict::CantTell, "source-waiting", "foo-read-west", &["stream not found", "10059"]);
}

#[test]
fn what_refuses_a_source_is_named() {
    let refused = |err_code: u64| {
        move |observed: &mut ObservedJetStream| {
            let error = ApiError { code: 400, err_code, description: "the server's words".to_owned() };
            // With or without contact, the source reads nothing.
            source(observed, "foo-read-west", "foo-write-east").error = Some(error);
        }
    };
    let words = ["cannot read its source foo-write-east", "the server's words", "--js-tier 1"];
    raises(refused(10120), Verdict::Wrong, "source-without-tier", "foo-read-west", &words);
    let words = ["takes no more consumers", "--js-consumer"];
    raises(refused(10026), Verdict::Wrong, "source-consumer-limit", "foo-read-west", &words);
}

/// Returns the sources that do not flow, in two observations: before and after `meanwhile`.
#[test]
fn a_source_flows_when_it_is_heard_and_comes_closer() {
    let (read, origin, desired) = ("foo-read-west", "foo-write-east", foo());
    let looks = |change: &dyn Fn(&mut ObservedJetStream), meanwhile: &dyn Fn(&mut ObservedJetStream)| {
        let (mut flow, mut observed) = (Flow::default(), as_defined(&desired));
        change(&mut observed);
        let codes = |checked: Vec<Checked>| -> Vec<&str> {
            checked.iter().flat_map(|one| &one.problems).map(|problem| problem.finding.code).collect()
        };
        let first = codes(flow.look(&desired, &observed));
        meanwhile(&mut observed);
        (first, codes(flow.look(&desired, &observed)))
    };
    let got = |active: u64, got: u64| {
        move |observed: &mut ObservedJetStream| {
            edit(observed, origin).state.last_seq = 10;
            edit(observed, "foo-read-east").sources.clear();
            edit(observed, read).state.last_seq = got;
            let source = source(observed, read, origin);
            (source.active, source.seq) = (Some(active), Some(got));
        }
    };
    let nothing = || Vec::<&str>::new();
    assert_eq!(looks(&|_| {}, &|_| {}), (nothing(), nothing()));
    assert_eq!(looks(&got(SECOND, 10), &|_| {}), (nothing(), nothing()));
    assert_eq!(looks(&got(3 * SECOND, 10), &got(SECOND, 10)), (vec!["source-waiting"], nothing()));
    // A source that lags: a second observation shows whether it progresses.
    assert_eq!(looks(&got(SECOND, 5), &got(SECOND, 6)), (vec!["source-behind"], nothing()));
    assert_eq!(looks(&got(SECOND, 5), &|_| {}), (vec!["source-behind"], vec!["source-behind"]));
    // A single observation proves nothing: the origin is always slightly ahead while messages are published.
    let (mut flow, mut observed) = (Flow::default(), as_defined(&desired));
    for (has, behind) in [(5, true), (6, false), (6, false)] {
        got(SECOND, has)(&mut observed);
        assert_eq!(!flow.look(&desired, &observed).is_empty(), behind, "{has}");
    }
    // In the layout `regional`, streams of two accounts have the same name.
    let other = DesiredAccount { name: "APP-east".to_owned(), ..foo() };
    let mut flow = Flow::default();
    got(SECOND, 5)(&mut observed);
    assert_eq!(flow.look(&desired, &observed).len(), 1);
    got(SECOND, 6)(&mut observed);
    assert_eq!(flow.look(&other, &observed).len(), 1);
    let never = |observed: &mut ObservedJetStream| source(observed, read, origin).active = None;
    assert_eq!(looks(&never, &|_| {}), (vec!["source-waiting"], vec!["source-waiting"]));
}

#[test]
fn an_origin_that_was_made_anew_is_not_read_yet() {
    let anew = |active: Option<u64>| {
        move |observed: &mut ObservedJetStream| {
            let source = source(observed, "foo-read-west", "foo-write-east");
            (source.active, source.seq) = (active, Some(5));
            let reader = observed.streams.iter_mut().find(|stream| stream.name == "foo-read-west").unwrap();
            reader.state.last_seq = reader.first_possible() + 4;
        }
    };
    let words = ["has read more of its source foo-write-east than that has", "made anew", "within a minute"];
    raises(anew(Some(4 * SECOND)), Verdict::Wrong, "origin-anew", "foo-read-west", &words);
    raises(anew(None), Verdict::Wrong, "origin-anew", "foo-read-west", &words);
    // One stream was read a moment before the other, while messages came in.
    assert!(said(anew(Some(SECOND))).iter().all(|problem| problem.finding.code != "origin-anew"));
}

/// The last contact with a former origin does not count as contact with the recreated one.
#[test]
fn the_last_word_of_a_former_origin_does_not_count() {
    let read = 1_767_312_000; // 2026-01-02T00:00:00Z, when the streams were read
    let said = |reader: Option<u64>, origin: Option<u64>| {
        // The time is by the origin's clock, which may differ from the reader's.
        let mut observed = as_defined(&foo());
        edit(&mut observed, "foo-read-west").created = reader;
        edit(&mut observed, "foo-write-east").created = origin;
        edit(&mut observed, "foo-read-west").ts = "2026-01-01T23:00:00Z".to_owned();
        observed.forget_former_origins();
        source(&mut observed, "foo-read-west", "foo-write-east").active
    };
    assert_eq!(said(Some(read - 100), Some(read)), None);
    assert_eq!(said(Some(read - 100), Some(read - 1)), Some(SECOND), "it was heard from a second ago");
    assert_eq!(said(Some(read), Some(read)), Some(SECOND), "it was made with its origin");
    assert_eq!((said(None, Some(read)), said(Some(1), None)), (Some(SECOND), Some(SECOND)));
}

/// An origin that was recreated after the messages that were read begins there. Nothing is missing before it.
#[test]
fn an_origin_that_begins_later_lacks_nothing() {
    let first = 1_800_000_000_000_000_u64;
    let codes = |got: Option<u64>, marked: bool, change: &dyn Fn(&mut ObservedJetStream)| {
        let problems = said(|observed| {
            let origin = edit(observed, "foo-write-east");
            match marked {
                true => origin.config["metadata"]["vstream.first"] = first.to_string().into(),
                false => drop(origin.config.insert("first_seq".to_owned(), first.into())),
            }
            origin.state = StreamState { first_seq: first, last_seq: first - 1, ..<_>::default() };
            for reader in ["foo-read-west", "foo-read-east"] {
                source(observed, reader, "foo-write-east").seq = got;
            }
            change(observed);
        });
        problems.iter().map(|problem| problem.finding.code).collect::<Vec<_>>()
    };
    for marked in [true, false] {
        for got in [None, Some(0), Some(20)] {
            let empty: Vec<&str> = Vec::new();
            assert_eq!(codes(got, marked, &|_| {}), empty, "{got:?}");
            let dropped = |observed: &mut ObservedJetStream| {
                edit(observed, "foo-write-east").state =
                    StreamState { first_seq: first + 3, last_seq: first + 4, messages: 2, ..<_>::default() };
                for reader in ["foo-read-west", "foo-read-east"] {
                    source(observed, reader, "foo-write-east").lag = 5;
                }
            };
            assert!(codes(got, marked, &dropped).contains(&"gap"), "{got:?}");
            // If the origin does not answer, its first sequence is unknown.
            let unknown = |observed: &mut ObservedJetStream| {
                observed.streams.retain(|stream| stream.name != "foo-write-east");
                for reader in ["foo-read-west", "foo-read-east"] {
                    source(observed, reader, "foo-write-east").seq = Some(first + 4);
                }
            };
            assert!(!codes(got, marked, &unknown).contains(&"messages-missing"), "{got:?}");
        }
    }
}

/// By the count, more messages arrived in a bucket than its origins ever stored: it imported again what it had dropped.
#[test]
fn a_bucket_that_went_back_is_named() {
    let account = regional(vec![bucket("cfg", Kind::Kv)]);
    let desired = accounts(topology(), &account, &DesiredOptions::default()).unwrap();
    let (application, west) = (&desired[0], &desired[1]);
    let codes = |arrived: u64, change: &dyn Fn(&mut ObservedStream)| {
        let mut observed = as_defined(west);
        observed.origins = as_defined(application).streams;
        for origin in &mut observed.origins {
            let last_ts = "2026-01-01T00:00:00Z".to_owned();
            origin.state = StreamState { first_seq: 1, last_seq: 15, messages: 15, last_ts, ..<_>::default() };
            change(origin);
        }
        let reader = &mut observed.streams[0];
        reader.state.last_seq = reader.first_possible() - 1 + arrived;
        reader.sources.iter_mut().for_each(|source| source.seq = Some(15));
        let problems = streams(west, &observed).into_iter().flat_map(|checked| checked.problems);
        problems.map(|problem| (problem.finding.code, problem.verdict)).collect::<Vec<_>>()
    };
    assert_eq!(codes(30, &|_| {}), []);
    assert_eq!(codes(33, &|_| {}), [("values-went-back", Verdict::Ok)]);
    assert_eq!(codes(29, &|_| {}), [("messages-missing", Verdict::Ok)]);
    // Messages from a former origin are counted here, but not at the origin.
    let anew = |origin: &mut ObservedStream| origin.config["metadata"]["vstream.anew"] = json!("true");
    assert_eq!(codes(33, &anew), []);
}

/// Another leader would restore old values.
#[test]
fn nobody_is_told_to_step_down_what_goes_back() {
    let next = |kind: Kind, version: (u64, u64), silent: u64| {
        let account = regional(vec![match kind {
            Kind::Stream => stream("foo", &["foo.>"]),
            kind => bucket("cfg", kind),
        }]);
        let options = DesiredOptions { oldest_server: Some(version), ..DesiredOptions::default() };
        let desired = accounts(topology(), &account, &options).unwrap();
        let mut observed = as_defined(&desired[1]);
        observed.origins = as_defined(&desired[0]).streams;
        observed.streams[0].sources[0].active = Some(silent * SECOND);
        let problems = streams(&desired[1], &observed).into_iter().flat_map(|checked| checked.problems);
        problems.map(|problem| problem.finding.next.to_string()).collect::<String>()
    };
    for silent in [30, 300] {
        for kind in [Kind::Kv, Kind::ObjectStore] {
            assert!(!next(kind, (2, 14), silent).contains("step-down"), "{}", next(kind, (2, 14), silent));
            assert!(next(kind, (2, 15), silent).contains("step-down"), "{}", next(kind, (2, 15), silent));
        }
        assert!(next(Kind::Stream, (2, 14), silent).contains("step-down"));
    }
}

#[test]
fn only_what_servers_mend_by_themselves_is_worth_a_wait() {
    let desired = foo();
    let waits = |change: &dyn Fn(&mut ObservedJetStream)| {
        let mut observed = as_defined(&desired);
        source(&mut observed, "foo-read-west", "foo-write-east").active = None;
        change(&mut observed);
        let checked = streams(&desired, &observed);
        checked.iter().filter(|one| one.verdict != Verdict::Ok).all(Checked::waits_for_sources)
    };
    assert!(waits(&|_| ()));
    assert!(waits(&|observed| edit(observed, "foo-read-west").cluster.leader = None), "an election");
    let silent = &|observed: &mut ObservedJetStream| edit(observed, "foo-write-east").cluster.leader = None;
    assert!(waits(silent), "its origin has none");
    assert!(!waits(&|observed| edit(observed, "foo-read-west").config["num_replicas"] = json!(5)));
    assert!(!waits(&|observed| observed.streams.retain(|stream| stream.name != "foo-read-east")));
}

/// A reader does not know whether a source is late or its origin is down. The check finds out.
#[test]
fn a_source_is_silent_when_its_origin_is() {
    for away in [
        |origin: &mut ObservedStream| origin.offline = true,
        |origin: &mut ObservedStream| origin.cluster.leader = None,
    ] {
        let said = said(|observed| {
            away(edit(observed, "foo-write-east"));
            source(observed, "foo-read-west", "foo-write-east").active = Some(600 * SECOND);
        });
        let found = said.iter().find(|problem| problem.finding.code == "source-silent").expect("it is silent");
        assert_eq!((found.verdict, found.finding.severity), (Verdict::CantTell, Severity::Warning));
        assert_eq!(found.finding.place, "account APP, stream foo-read-west");
        let message =
            "has not heard from its source foo-write-east for 10 min, and foo-write-east does not answer either";
        assert_eq!(found.finding.message, message);
        assert!(found.finding.next.starts_with("Bring that region back"), "{found:?}");
    }
    // Without a leader the reader has no contacts, which is not the origin's fault.
    let deaf = |observed: &mut ObservedJetStream| {
        edit(observed, "foo-read-west").cluster.leader = None;
        source(observed, "foo-read-west", "foo-write-east").active = None;
    };
    raises(deaf, Verdict::Wrong, "no-leader", "foo-read-west", &[]);
}

/// The history of the other layout is backfilled first. Until then, nothing is wrong with the sources.
#[test]
fn history_that_is_under_way_is_said() {
    let account = regional(vec![stream("foo", &["foo.>"])]);
    let west = accounts(topology(), &account, &DesiredOptions::default()).unwrap().remove(1);
    let mut observed = as_defined(&west);
    let config = &mut edit(&mut observed, "foo").config;
    let history = backfill::History { from: "foo-read-west".to_owned(), messages: 600 };
    *config = backfill::filling(config, &history);
    assert_eq!(config["metadata"][metadata::HISTORY], "foo-read-west");
    let words =
        ["does not have all the history of foo-read-west yet", "has no sources, as while the history of foo-read-west"];
    for words in words {
        let checked = streams(&west, &observed);
        let [Checked { verdict: Verdict::Wrong, problems, .. }] = &checked[..] else { panic!("{checked:#?}") };
        let finding = &problems[0].finding;
        assert_eq!((problems.len(), finding.code), (1, "history-under-way"), "{problems:#?}");
        assert_eq!(finding.place, "account APP-west, stream foo");
        assert!(finding.message.starts_with(words), "{finding:?}");
        assert_eq!(finding.next, "Run apply: it continues from here.");
        let config = &mut edit(&mut observed, "foo").config;
        *config = backfill::held(config);
    }
    // Everything else has its final value.
    edit(&mut observed, "foo").config.insert("max_age".to_owned(), json!(1));
    let codes: Vec<&str> = streams(&west, &observed)[0].problems.iter().map(|problem| problem.finding.code).collect();
    assert_eq!(codes, ["history-under-way", "config-differs"]);
}

/// A bucket of one home stream in east, seen from west: its mirror has the same name.
#[test]
fn a_mirror_lags_and_has_no_gaps() {
    let account = regional(vec![mirrored(bucket("cfg", Kind::Kv), "east")]);
    let desired = accounts(topology(), &account, &DesiredOptions::default()).unwrap();
    let (application, west) = (&desired[0], &desired[1]);
    let see = |change: &dyn Fn(&mut ObservedStream, &mut ObservedStream)| {
        let mut observed = as_defined(west);
        observed.origins = as_defined(application).streams;
        let (home, mirror) = (&mut observed.origins[0], &mut observed.streams[0]);
        home.state = StreamState { messages: 3, first_seq: 98, last_seq: 100, ..<_>::default() };
        mirror.state = home.state.clone();
        change(home, mirror);
        let problems: Vec<StreamProblem> =
            streams(west, &observed).into_iter().flat_map(|checked| checked.problems).collect();
        let codes: Vec<&str> = problems.iter().map(|problem| problem.finding.code).collect();
        let [status] = &status(west, &observed)[..] else { panic!() };
        let [source] = &status.sources[..] else { panic!("{status:?}") };
        let mirrors = observed.streams[0].is_mirror();
        assert_eq!((source.origin.as_str(), source.region.as_str()), ("KV_cfg", if mirrors { "east" } else { "west" }));
        (codes.join(" "), source.lag)
    };
    let nothing = || String::new();
    assert_eq!(see(&|_, _| {}), (nothing(), Some(0)));
    // The mirror is supposed to drop messages that the home stream dropped meanwhile.
    let behind = |home: &mut ObservedStream, mirror: &mut ObservedStream| {
        mirror.state = StreamState { messages: 2, first_seq: 1, last_seq: 10, ..<_>::default() };
        home.config.insert("max_age".to_owned(), json!(SECOND));
        mirror.config.insert("max_age".to_owned(), json!(0));
        mirror.sources[0].lag = 3;
    };
    assert_eq!(see(&behind), (nothing(), Some(90)));
    // The home stream's last message was deleted before it arrived here.
    assert_eq!(see(&|_, mirror| mirror.state.last_seq = 99), (nothing(), Some(0)));
    // A mirror ahead of its home stream: a user recreated the home stream, or restored it from an older copy.
    let ahead = |home: &mut ObservedStream, mirror: &mut ObservedStream, stored: &str| {
        home.ts = "2026-01-02T00:00:00Z".to_owned();
        (home.state.last_seq, home.state.last_ts) = (99, stored.to_owned());
        mirror.state.last_ts = "2026-01-01T00:00:00Z".to_owned();
    };
    let quiet = |home: &mut ObservedStream, mirror: &mut ObservedStream| ahead(home, mirror, "2026-01-01T23:59:54Z");
    assert_eq!(see(&quiet), ("mirror-ahead".to_owned(), None));
    let busy = |home: &mut ObservedStream, mirror: &mut ObservedStream| ahead(home, mirror, "2026-01-01T23:59:56Z");
    assert_eq!(see(&busy), (nothing(), Some(0)), "it was asked a moment before its mirror");
    let young = |home: &mut ObservedStream, mirror: &mut ObservedStream| {
        busy(home, mirror);
        home.created = Some(1_767_312_000);
    };
    assert_eq!(see(&young), ("mirror-ahead".to_owned(), None), "it is younger than what its mirror has");
    let empty = |home: &mut ObservedStream, _: &mut ObservedStream| home.state = StreamState::default();
    assert_eq!(see(&empty), ("mirror-ahead".to_owned(), None));
    let behind_it = |home: &mut ObservedStream, _: &mut ObservedStream| {
        home.config.insert("first_seq".to_owned(), 101.into());
        home.state = StreamState { first_seq: 101, last_seq: 100, ..<_>::default() };
    };
    assert_eq!(see(&behind_it), (nothing(), Some(0)));
    let new = |_: &mut ObservedStream, mirror: &mut ObservedStream| mirror.state = StreamState::default();
    assert_eq!(see(&new), (nothing(), Some(3)));
    assert_eq!(see(&|_, mirror| mirror.sources[0].active = None), ("source-waiting".to_owned(), Some(0)));
    let away = |home: &mut ObservedStream, mirror: &mut ObservedStream| {
        (home.offline, mirror.sources[0].active) = (true, Some(30 * SECOND));
    };
    assert_eq!(see(&away), ("source-silent".to_owned(), None));
    let elsewhere = |_: &mut ObservedStream, mirror: &mut ObservedStream| {
        mirror.config["mirror"]["external"]["deliver"] = json!("elsewhere");
    };
    assert_eq!(see(&elsewhere), ("config-differs".to_owned(), Some(0)));
    let read = |_: &mut ObservedStream, mirror: &mut ObservedStream| drop(mirror.config.shift_remove("mirror"));
    assert!(see(&read).0.starts_with("consistency-changed"));

    // The info in the servers' format.
    let info = json!({
        "config": west.streams[0].config(), "mirror": { "name": "KV_cfg", "lag": 2, "active": -1, "external": {} },
    });
    let found = ObservedStream::from_info(info).unwrap();
    assert!(found.is_mirror() && !found.only_sources());
    assert_eq!(found.sources, [SourceState { name: "KV_cfg".to_owned(), lag: 2, ..<_>::default() }]);
}
