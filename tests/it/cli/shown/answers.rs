//! Answers of servers: puts hostile text into every string of every recorded answer that the verbs read. Also covers
//! tokens, the note of the lease, and errors in place of each answer.

use super::servers::{Change, Place, Recorded, Servers, recorded};
use super::{Run, eighths, run, sweep_alike, sweep_harmless};
use crate::support::hostile::{Field, HOSTILE, TAME, everywhere, filled, strings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Timeout of a whole run on a busy machine. Few changed answers make a run wait that long.
const TIME: &str = "20s";

const PLAN: &[&str] = &["plan", "-v", "--allow", "subscription-stops", "--timeout", TIME];
const VERIFY: &[&str] = &["verify", "-v", "--timeout", TIME];
const STATUS: &[&str] = &["status", "--timeout", TIME];
const APPLY: &[&str] = &[
    "apply",
    "-v",
    "--operator",
    "op.nk",
    "--allow",
    "subscription-stops",
    "--lease-timeout",
    "0s",
    "--timeout",
    TIME,
];

const LEASE: &str = r#"$JS.API.STREAM.MSG.GET.vstream-lease {"last_by_subj":"$VSTREAM.LEASE"}"#;

/// Simulated servers, and the folder of the runs against them.
struct Deployment {
    folder: tempfile::TempDir,
    servers: Arc<Servers>,
}

impl Deployment {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let servers = Servers::start(folder.path());
        Self { folder, servers }
    }

    fn run(&self, verb: &[&str], change: Change) -> Run {
        self.servers.change(change);
        run(self.folder.path(), verb)
    }

    /// Returns the requests that a verb sends when all answers are as recorded.
    fn asked(&self, verb: &[&str], exit: i32) -> BTreeSet<String> {
        let run = self.run(verb, Change::Nothing);
        assert_eq!(run.code, exit, "{verb:?}: {}{}", run.out, run.err);
        self.servers.asked()
    }
}

/// Returns the requests of each verb, which include all recorded ones. `apply` reads in the same way as `plan`.
fn asked() -> [(&'static [&'static str], BTreeSet<String>); 4] {
    let deployment = Deployment::new();
    let [planned, verified, status] = [PLAN, VERIFY, STATUS].map(|verb| deployment.asked(verb, 3));
    let mut applied = deployment.asked(APPLY, 0);
    let Recorded { before, after, .. } = recorded();
    for of in before.keys().chain(after.keys()) {
        assert!([&planned, &verified, &status, &applied].iter().any(|asked| asked.contains(of)), "{of}");
    }
    applied.retain(|of| !planned.contains(of));
    [(PLAN, planned), (VERIFY, verified), (STATUS, status), (APPLY, applied)]
}

/// Splits the items among several deployments that work in parallel: most of the time is spent waiting for servers
/// whose names were changed.
fn apart<T: Sync, R: Send>(items: &[T], work: impl Fn(&Deployment, &[T]) -> R + Sync) -> Vec<R> {
    let part = items.len().div_ceil(4).max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let parts = items.chunks(part).map(|items| scope.spawn(move || work(&Deployment::new(), items)));
        let parts: Vec<_> = parts.collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    })
}

/// Returns all fields of the recorded answers.
fn places() -> Vec<Place> {
    let Recorded { before, after, .. } = recorded();
    let all = before.into_iter().map(|one| (one, false)).chain(after.into_iter().map(|one| (one, true)));
    let of = |((of, answer), after): ((String, Value), bool)| {
        everywhere(&answer).into_iter().map(move |field| Place { of: of.clone(), after, field })
    };
    all.flat_map(of).collect()
}

/// Tests each answer once, with the first verb that reads it, in two parts. The meaning of a field often depends on its
/// neighbors.
#[test]
fn answers_are_shown_without_obeying_them() {
    let places = places();
    let mut parts: Vec<(&[&str], Vec<Place>)> = Vec::new();
    let mut known = BTreeSet::new();
    for (verb, asked) in asked() {
        for (of, after) in asked.iter().flat_map(|of| [(of, false), (of, true)]) {
            let fields =
                places.iter().filter(|place| place.of == *of && place.after == after && (verb == APPLY || !after));
            let fields: Vec<&Place> = fields.collect();
            if !fields.is_empty() && known.insert((of.clone(), after)) {
                let part = |start| fields.iter().skip(start).step_by(2).map(|place| (*place).clone()).collect();
                parts.extend([(verb, part(0)), (verb, part(1))]);
            }
        }
    }
    let sights = apart(&parts, |deployment, parts| -> usize {
        let run = |(verb, part): &(&[&str], Vec<Place>)| {
            deployment.run(verb, Change::Fields(part.clone(), HOSTILE.to_owned()))
        };
        parts.iter().map(|part| run(part).sights(HOSTILE)).sum()
    });
    assert!(sights.iter().sum::<usize>() > 20, "{sights:?}");
}

/// Tests each field alone, with every verb that reads it.
#[test]
#[ignore = "long: scripts/nightly"]
fn each_field_of_each_answer_is_shown_without_obeying_it() {
    let places = places();
    for (verb, asked) in asked() {
        let is_read = |place: &&Place| match place.after {
            false => asked.contains(&place.of),
            true => verb == APPLY,
        };
        let places: Vec<&Place> = places.iter().filter(is_read).collect();
        assert!(places.len() > 50, "{verb:?}: {}", places.len());
        let sights = apart(&places, |deployment, places| -> usize {
            let run = |place: &Place| deployment.run(verb, Change::Fields(vec![place.clone()], HOSTILE.to_owned()));
            places.iter().map(|place| run(place).sights(HOSTILE)).sum()
        });
        assert!(sights.iter().sum::<usize>() > 10, "{verb:?}: {sights:?}");
    }
}

/// Tests errors in place of each answer, and text that is not an answer.
#[test]
fn errors_of_servers_are_shown_without_obeying_them() {
    let mut known = BTreeSet::new();
    let asked: Vec<_> =
        asked().into_iter().flat_map(|(verb, asked)| asked.into_iter().map(move |of| (verb, of))).collect();
    let asked: Vec<_> = asked.into_iter().filter(|(_, of)| known.insert(of.clone())).collect();
    let sights = apart(&asked, |deployment, asked| {
        let mut sights = 0;
        for (verb, of) in asked {
            let error = |value: &str| match of.starts_with("$SYS") {
                true => {
                    json!({ "server": { "name": "{name}", "id": "{id}" }, "error": { "code": 500, "description": value } })
                }
                false => json!({ "type": value, "error": { "code": 400, "err_code": 10000, "description": value } }),
            };
            let run = |answer: Value| deployment.run(verb, Change::Answer(of.clone(), answer));
            sights += run(error(HOSTILE)).sights(HOSTILE) + run(HOSTILE.into()).sights(HOSTILE);
        }
        sights
    });
    assert!(sights.iter().sum::<usize>() > 10, "{sights:?}");
}

#[test]
fn tokens_of_servers_are_shown_without_obeying_them() {
    let deployment = Deployment::new();
    let claims = deployment.servers.claims();
    let mut filled = |fields: &[Field], value: &str| {
        Some(vec![deployment.run(PLAN, Change::Token(fields.to_vec(), value.to_owned()))])
    };
    let sights = sweep_harmless(eighths(&everywhere(&claims)), &mut filled);
    assert!(sights > 10, "{sights}");
}

/// Tests the holder of the lease, from the message in its stream, and the origin that a message names.
#[test]
fn messages_are_shown_without_obeying_them() {
    let deployment = Deployment::new();
    let recorded = recorded();
    let message = &recorded.before[LEASE];
    let mut note: Value =
        serde_json::from_slice(&STANDARD.decode(message["message"]["data"].as_str().unwrap()).unwrap()).unwrap();
    note["released"] = false.into();
    let with = |field: &str, bytes: &[u8]| {
        let mut message = message.clone();
        message["message"][field] = STANDARD.encode(bytes).into();
        message
    };
    let mut sights = 0;
    for verb in [STATUS, APPLY] {
        let mut filled = |fields: &[Field], value: &str| {
            let answer = with("data", filled(&note, fields, value).to_string().as_bytes());
            Some(vec![deployment.run(verb, Change::Answer(LEASE.to_owned(), answer))])
        };
        sights += sweep_alike(&strings(&note), &mut filled);
    }
    assert!(sights > 3, "{sights}");
    let from = recorded.before.keys().find(|key| key.starts_with("$JS.API.STREAM.MSG.GET.foo-read-west")).unwrap();
    let run = |value: &str| {
        let mut answer = recorded.before[from].clone();
        let headers = format!(
            "NATS/1.0\r\nNats-Stream-Source: {} 5 > > foo.a\r\n\r\n",
            value.replace(['\r', '\n', ' ', '\t'], "")
        );
        answer["message"]["hdrs"] = STANDARD.encode(headers).into();
        deployment.run(VERIFY, Change::Answer(from.clone(), answer))
    };
    let (tame, hostile) = (run(TAME), run(HOSTILE));
    hostile.assert_like(&tame, &"headers");
}
