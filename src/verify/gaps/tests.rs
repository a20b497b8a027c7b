//! Findings about messages that will be lost, are lost, or arrived twice.

use crate::observed::jetstream::{ObservedJetStream, StreamState, Waiting};
use crate::verify::streams::tests::{SECOND, edit, raises, said, source};
use crate::verify::streams::{StreamProblem, Verdict};

const READ: &str = "foo-read-west";
const ORIGIN: &str = "foo-write-east";

/// Sets figures: the origin has stored messages up to `last`, and still has those from `first` on. All sources of both
/// read streams have received the messages up to `got`.
fn stored(observed: &mut ObservedJetStream, first: u64, last: u64, got: u64) {
    let origin = edit(observed, ORIGIN);
    let last_ts = "2026-01-01T00:00:00Z".to_owned();
    origin.state =
        StreamState { first_seq: first, last_seq: last, messages: last + 1 - first, last_ts, ..<_>::default() };
    for stream in [READ, "foo-read-east"] {
        let at = source(observed, stream, ORIGIN);
        (at.seq, at.lag) = (Some(got), last - got);
        edit(observed, stream).state.last_seq = got;
    }
}

/// Returns the problems with this code.
fn coded(said: Vec<StreamProblem>, code: &str) -> Vec<StreamProblem> {
    said.into_iter().filter(|problem| problem.finding.code == code).collect()
}

#[test]
fn messages_that_wait_are_named_before_they_are_dropped() {
    let waiting = |time: &'static str| {
        move |observed: &mut ObservedJetStream| {
            stored(observed, 1, 10, 5);
            let (stream, origin) = (READ.to_owned(), ORIGIN.to_owned());
            observed.waiting = vec![Waiting { stream, origin, sequence: 6, time: time.to_owned() }];
        }
    };
    let words = [
        "message 6 of foo-write-east has been waiting for 13 h, and is dropped there after 24 h",
        "Connect the regions again before that",
    ];
    raises(waiting("2026-01-01T11:00:00Z"), Verdict::Ok, "gap-ahead", READ, &words);
    assert_eq!(said(waiting("2026-01-01T13:00:00Z")), [], "less than half of the time is over");
}

/// Older servers do not report which messages arrived. Then the time since the last contact counts.
#[test]
fn a_long_silence_is_named_where_nothing_else_is_known() {
    let silent = |hours: u64| {
        coded(
            said(|observed| {
                stored(observed, 1, 10, 5);
                let at = source(observed, READ, ORIGIN);
                (at.seq, at.active) = (None, Some(hours * 3600 * SECOND));
            }),
            "gap-ahead",
        )
    };
    let [StreamProblem { verdict: Verdict::Ok, finding }] = &silent(13)[..] else { panic!("{:#?}", silent(13)) };
    assert_eq!(finding.place, "account APP, stream foo-read-west");
    assert_eq!(
        finding.message,
        "has heard nothing from foo-write-east for 13 h, and that stream keeps messages for 24 h: older ones that were \
         not sent on are lost"
    );
    assert_eq!(silent(12), []);
}

#[test]
fn a_region_that_is_away_for_long_is_named() {
    let away = |hours: u64| {
        coded(
            said(|observed| {
                edit(observed, READ).offline = true;
                source(observed, "foo-read-east", "foo-write-west").active = Some(hours * 3600 * SECOND);
            }),
            "gap-ahead",
        )
    };
    let [StreamProblem { verdict: Verdict::Ok, finding }] = &away(13)[..] else { panic!("{:#?}", away(13)) };
    assert_eq!(finding.place, "account APP, stream foo-read-west");
    assert!(finding.message.starts_with("the other regions have heard nothing from this one for 13 h"), "{finding:?}");
    assert!(finding.message.contains("keep messages for 24 h"), "{finding:?}");
    assert_eq!(away(12), []);
}

#[test]
fn a_gap_is_named_by_its_sequences() {
    let gap = |observed: &mut ObservedJetStream| {
        stored(observed, 26, 30, 10);
        // The other region received them in time.
        source(observed, "foo-read-east", ORIGIN).seq = Some(30);
    };
    let words = ["will never get messages 11 – 25 of foo-write-east", "read streams of other regions"];
    raises(gap, Verdict::Wrong, "gap", READ, &words);
    assert_eq!(said(|observed| stored(observed, 11, 30, 10)), [], "the next one is still there");
}

#[test]
fn messages_that_came_twice_or_never_show_in_the_count() {
    let arrived = |last: u64| {
        move |observed: &mut ObservedJetStream| {
            stored(observed, 1, 30, 30);
            edit(observed, READ).state.last_seq = last;
        }
    };
    assert_eq!(said(arrived(30)), []);
    let words = [
        "3 messages of its sources arrived more than once: its origins have stored 30 in all, 33 arrived",
        "Nats-Stream-Source headers",
    ];
    raises(arrived(33), Verdict::Ok, "messages-doubled", READ, &words);
    // The figures of a younger origin start over, so more messages may have arrived than it ever stored.
    let anew = |observed: &mut ObservedJetStream| {
        arrived(33)(observed);
        edit(observed, READ).created = Some(1_000);
        edit(observed, ORIGIN).created = Some(1_001);
    };
    assert_eq!(said(anew), []);
    let words = ["1 message of its sources never arrived here: its origins have stored 30 in all, 29 arrived"];
    raises(arrived(29), Verdict::Ok, "messages-missing", READ, &words);
    // The figures of a busy origin are not from one instant, and those of a recreated origin do not match.
    let busy = |observed: &mut ObservedJetStream| {
        arrived(33)(observed);
        edit(observed, ORIGIN).state.last_ts = "2026-01-01T23:59:58Z".to_owned();
    };
    assert_eq!(said(busy), []);
    let anew = |observed: &mut ObservedJetStream| {
        arrived(33)(observed);
        edit(observed, ORIGIN).state.last_seq = 29;
    };
    assert_eq!(said(anew), []);
}
