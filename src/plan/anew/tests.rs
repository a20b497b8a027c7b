use super::*;
use crate::desired::tests::{app, mirrored, regional, stream, topology};
use crate::desired::{DesiredOptions, accounts};
use crate::model::claims::TrustAnchor;
use crate::model::finding::Severity;
use crate::model::nkey::KeyKind;
use crate::model::virtual_stream::Account;
use crate::observed::Deployment;
use crate::observed::jetstream::{ObservedJetStream, SourceState, StreamState};
use crate::observed::listeners::Listeners;
use crate::observed::survey::{ConcurrentUpdates, ObservedAccount};
use crate::plan::Options;
use crate::plan::streams::streams;
use crate::sign::{Seed, Signer as _};
use serde_json::json;

const NOW: u64 = 1_800_000_000;

/// Returns the new streams (name, `first_seq`, mark) and the findings. `there` edits the observed streams, which
/// otherwise are as defined, and empty.
fn begins(
    account: &Account,
    version: Option<(u64, u64)>,
    unseen: &[&str],
    there: &dyn Fn(&mut Vec<ObservedStream>),
) -> (Vec<String>, Vec<Finding>) {
    let options = DesiredOptions { oldest_server: version, ..DesiredOptions::default() };
    let desired = accounts(topology(), account, &options).unwrap();
    let found = desired.iter().map(|desired| {
        let of = |stream: &DesiredStream<'_>| {
            let mut found = ObservedStream::from_info(json!({ "config": stream.config() })).unwrap();
            let sources = stream.config();
            let names = sources.get("sources").and_then(Value::as_array).into_iter().flatten();
            let names = names.chain(sources.get("mirror")).map(|source| source["name"].as_str().unwrap().to_owned());
            found.sources = names.map(|name| SourceState { name, ..<_>::default() }).collect();
            found
        };
        let mut streams: Vec<ObservedStream> = desired.streams.iter().map(of).collect();
        there(&mut streams);
        streams.sort_by(|a, b| a.name.cmp(&b.name));
        ObservedAccount {
            servers: Vec::new(),
            jetstream: ObservedJetStream { info: json!({}), streams, ..<_>::default() },
            listeners: Listeners::NotAsked,
            concurrent_updates: ConcurrentUpdates::Nothing,
            out_of_reach: false,
        }
    });
    let key = Seed::generate(KeyKind::Operator).unwrap().public_key();
    let observed = Observed {
        deployment: Deployment { servers: Vec::new(), expected: 0 },
        system_account: Seed::generate(KeyKind::Account).unwrap().public_key(),
        anchor: TrustAnchor::of_key(&key),
        pushed: Vec::new(),
        accounts: found.collect(),
    };
    let planned = desired.iter().zip(&observed.accounts).map(|(desired, found)| AccountPlan {
        streams: streams(desired, &found.jetstream, &Options::default()),
        ..AccountPlan::unchanged(desired, None)
    });
    let mut plans: Vec<AccountPlan> = planned.collect();
    let unseen = unseen.iter().copied().collect();
    let findings = begin_behind(&mut plans, &desired, &observed, &unseen, NOW);
    let made = plans.iter().flat_map(|plan| &plan.streams.changes).filter(|change| change.action == Action::Create);
    let made = made.map(|change| {
        let config = change.after.as_ref().unwrap();
        assert_eq!(change.loses_first_sequence(), config["metadata"].get(metadata::FIRST).is_some());
        let (first, marks) = (config.get("first_seq").unwrap_or(&json!(1)).clone(), &config["metadata"]);
        format!("{} {first} {} {}", change.name, marks["vstream.first"], marks["vstream.anew"])
    });
    (made.collect(), findings)
}

/// Removes the stream, as another tool's deletion does.
fn without(name: &'static str, read: u64) -> impl Fn(&mut Vec<ObservedStream>) {
    move |streams: &mut Vec<ObservedStream>| {
        streams.retain(|stream| stream.name != name);
        for stream in streams.iter_mut().filter(|stream| !stream.sources.is_empty()) {
            // An empty stream is at the sequence before its first.
            stream.state = StreamState { last_seq: stream.first_possible() - 1 + read, ..<_>::default() };
        }
    }
}

#[test]
fn a_write_stream_begins_behind_what_was_read_of_the_former_one() {
    let foo = || vec![stream("foo", &["foo.>"])];
    for account in [app(foo()), regional(foo())] {
        let (made, findings) = begins(&account, None, &[], &without("foo-write-west", 20));
        assert_eq!(made, ["foo-write-west 1800000000000000 null \"true\""]);
        let [finding] = &findings[..] else { panic!("{findings:#?}") };
        let Finding { code, severity, place, message, .. } = finding;
        assert_eq!(
            (*code, *severity, &**place),
            ("made-anew", Severity::Warning, "account APP, stream foo-write-west")
        );
        let regional = account.layout == crate::model::virtual_stream::Layout::Regional;
        let readers = if regional { "though foo read it" } else { "though foo-read-east, foo-read-west read it" };
        assert!(message.contains(readers) && message.contains("at sequence 1800000000000000,"), "{message}");

        // The config must lose the field on servers that would empty the stream for it.
        let (made, _) = begins(&account, Some((2, 10)), &[], &without("foo-write-west", 20));
        assert_eq!(made, ["foo-write-west 1800000000000000 \"1800000000000000\" \"true\""]);
        // The stream can begin at 1 if no reader has read anything.
        assert_eq!(begins(&account, None, &[], &without("foo-write-west", 0)).0, ["foo-write-west 1 null null"]);
        // A region that does not answer may have read the stream.
        let (made, findings) = begins(&account, None, &["east"], &without("foo-write-west", 0));
        assert_eq!((&made[..], findings.len()), (&["foo-write-west 1800000000000000 null null".to_owned()][..], 0));
    }
    // A reader that is offline, and a reader whose former origin had a sequence ahead of the clock.
    let account = app(foo());
    let offline = |streams: &mut Vec<ObservedStream>| {
        without("foo-write-west", 0)(streams);
        streams.iter_mut().find(|stream| stream.name == "foo-read-east").unwrap().offline = true;
    };
    assert_eq!(begins(&account, None, &[], &offline).0, ["foo-write-west 1800000000000000 null \"true\""]);
    let ahead = |streams: &mut Vec<ObservedStream>| {
        without("foo-write-west", 20)(streams);
        let reader = streams.iter_mut().find(|stream| stream.name == "foo-read-east").unwrap();
        reader.sources.iter_mut().find(|source| source.name == "foo-write-west").unwrap().seq = Some(1 << 52);
    };
    assert_eq!(begins(&account, None, &[], &ahead).0, [format!("foo-write-west {} null \"true\"", (1u64 << 52) + 1)]);
    // A region's first write stream: readers may have read an earlier stream of that name, which left no trace.
    let joins = |streams: &mut Vec<ObservedStream>| {
        without("foo-write-west", 20)(streams);
        for sources in streams.iter_mut().filter_map(|stream| stream.config.get_mut("sources")?.as_array_mut()) {
            sources.retain(|source| source["name"] != "foo-write-west");
        }
    };
    let (made, findings) = begins(&account, None, &[], &joins);
    assert_eq!((&made[..], findings.len()), (&["foo-write-west 1800000000000000 null null".to_owned()][..], 0));
    // A reader that a user made by hand, without our metadata.
    let adopted = |streams: &mut Vec<ObservedStream>| {
        without("foo-write-west", 20)(streams);
        streams.iter_mut().for_each(|stream| stream.owner = None);
    };
    assert_eq!(begins(&account, None, &[], &adopted).0, ["foo-write-west 1800000000000000 null \"true\""]);
    // A sequence that no real stream reaches does not count.
    let absurd = |streams: &mut Vec<ObservedStream>| {
        ahead(streams);
        let reader = streams.iter_mut().find(|stream| stream.name == "foo-read-east").unwrap();
        reader.sources.iter_mut().for_each(|source| source.seq = Some(u64::MAX));
    };
    assert_eq!(begins(&account, None, &[], &absurd).0, ["foo-write-west 1800000000000000 null \"true\""]);
    // No reader has read the other virtual stream.
    let account = app(vec![stream("foo", &["foo.>"]), stream("bar", &["bar.>"])]);
    let other = |streams: &mut Vec<ObservedStream>| {
        without("bar-write-west", 0)(streams);
        let reader = streams.iter_mut().find(|stream| stream.name == "foo-read-east").unwrap();
        reader.state.last_seq = 20;
    };
    assert_eq!(begins(&account, None, &[], &other).0, ["bar-write-west 1 null null"]);
}

/// A mirror stores a placeholder for each skipped sequence.
#[test]
fn a_home_stream_begins_right_behind_its_mirrors() {
    let account = regional(vec![mirrored(stream("foo", &["foo.>"]), "east")]);
    let (made, findings) = begins(&account, None, &[], &without("foo-home", 20));
    assert_eq!(made, ["foo-home 21 null \"true\""]);
    let [Finding { code: "made-anew", message, next, .. }] = &findings[..] else { panic!("{findings:#?}") };
    assert!(
        message.contains("though foo mirrored it") && message.contains("`create` of a key that they still show"),
        "{message}"
    );
    assert!(next.contains("hold as a lock"), "{next}");
    assert_eq!(begins(&account, Some((2, 10)), &[], &without("foo-home", 20)).0, ["foo-home 21 \"21\" \"true\""]);
    assert_eq!(begins(&account, None, &["west"], &without("foo-home", 20)).0, ["foo-home 10021 null \"true\""]);
    assert_eq!(begins(&account, None, &["west"], &without("foo-home", 0)).0, ["foo-home 1 null null"]);
    assert_eq!(begins(&account, None, &[], &|_| {}).0, Vec::<String>::new());
}

/// A plan file is applied some time after it was made.
#[test]
fn a_plan_does_not_move_with_the_clock() {
    let account = |first: u64, age: u64, read: u64| {
        json!({ "streams": [
            { "role": "write", "name": "w", "after": { "max_age": age, "first_seq": first, "metadata":
                { "vstream.first": first.to_string(), "vstream.name": "foo" } } },
            { "role": "read", "name": "r", "after": { "first_seq": read } },
            { "role": "write", "name": "gone" },
        ] })
    };
    assert_eq!(without_beginnings(account(1, 5, 7)), without_beginnings(account(2, 5, 7)));
    assert_ne!(without_beginnings(account(1, 5, 7)), without_beginnings(account(1, 6, 7)));
    assert_ne!(without_beginnings(account(1, 5, 7)), without_beginnings(account(1, 5, 8)));
}
