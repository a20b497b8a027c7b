//! The stream that holds the lease of an application's account: who is changing it right now.

use super::{DesiredAccount, DesiredStream, metadata};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Name of the stream, in the application's account.
pub const STREAM: &str = "vstream-lease";
/// The one subject that it captures.
pub const SUBJECT: &str = "$VSTREAM.LEASE";
/// The finding that there is no way to take it; allowed, a run goes on without.
pub const UNREACHABLE: &str = "lease-unreachable";
/// How long a lease lasts that nobody renews, in seconds.
pub const EXPIRY: u64 = 15;
/// The largest sequence that its last message may have. Who may purge the stream can set it; once the largest of all is
/// used, the stream refuses every note (measured, 2.15.1).
pub const LAST_SEQUENCE: u64 = u64::MAX / 2;

/// The message that is the lease: the last one of the stream, until it expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Tells one run from all others.
    pub id: String,
    /// Who holds it, `user@host`.
    pub holder: String,
    /// What the holder does, `apply`.
    pub verb: String,
    /// Name and version of the program.
    pub tool: String,
    /// Since when (RFC 3339), by the holder's clock.
    pub since: String,
    /// Given back: nobody holds it.
    #[serde(default)]
    pub released: bool,
}

/// Returns the stream's config, with the replicas and the storage of the account's other streams: its limits are by both.
/// Without an account, or any stream of it, three replicas in files.
pub fn config(account: Option<&DesiredAccount<'_>>) -> Map<String, Value> {
    let like = account.and_then(|account| account.streams.first()).map(DesiredStream::config);
    let of = |key: &str| like.as_ref()?.get(key).cloned();
    let expiry = EXPIRY * 1_000_000_000;
    let config = json!({
        "name": STREAM,
        "description": "who is changing this account with vstream-jwt right now",
        "subjects": [SUBJECT],
        "retention": "limits",
        "storage": of("storage").unwrap_or("file".into()),
        "num_replicas": of("num_replicas").unwrap_or(3.into()),
        "max_msgs": 1,
        // Accounts may ask for a limit (`max_bytes_required`).
        "max_bytes": 16_384,
        "max_msg_size": 4096,
        "max_age": expiry,
        "duplicate_window": expiry,
        "discard": "old",
        "metadata": { metadata::ROLE: "lease" },
    });
    match config {
        Value::Object(config) => config,
        _ => Map::new(),
    }
}

/// Settings that a stream of that name must not have: with them it takes no note, its last message is not the lease, or
/// stays for ever.
const STRANGE: [&str; 10] = [
    "mirror",
    "sources",
    "subject_transform",
    "republish",
    "sealed",
    "no_ack",
    "deny_purge",
    // Such a stream takes counters, and nothing else (nats-server 2.12).
    "allow_msg_counter",
    // Such a stream cannot discard old messages.
    "discard_new_per_subject",
    // In the place of a note that expires, servers store a marker, which looks like another.
    "subject_delete_marker_ttl",
];

/// Compares the config of the stream of that name with what it has to be: an application may have made it, without an
/// expiry. `None` when it serves; otherwise the names of the settings that are wrong, and the config that it should get.
pub fn mended(found: &Map<String, Value>) -> Option<(Vec<String>, Map<String, Value>)> {
    let (mut mended, mut wrong) = (found.clone(), Vec::new());
    for (name, value) in config(None) {
        // A different description or storage does no harm.
        if ["description", "metadata", "storage", "num_replicas"].contains(&name.as_str()) {
            continue;
        }
        if found.get(&name) != Some(&value) {
            wrong.push(name.clone());
            mended.insert(name, value);
        }
    }
    for name in STRANGE {
        let harmless = match found.get(name) {
            None | Some(Value::Null | Value::Bool(false)) => true,
            Some(Value::Array(items)) => items.is_empty(),
            Some(value) => value.as_u64() == Some(0),
        };
        if !harmless {
            wrong.push(name.to_owned());
            mended.shift_remove(name);
        }
    }
    (!wrong.is_empty()).then_some((wrong, mended))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_program_made_serves_as_servers_tell_it() {
        let mut found = config(None);
        for (name, value) in
            [("max_consumers", json!(-1)), ("sealed", json!(false)), ("subject_delete_marker_ttl", json!(0))]
        {
            found.insert(name.to_owned(), value);
        }
        found.insert("metadata".to_owned(), json!({ "_nats.level": "1" }));
        assert_eq!(mended(&found), None);
    }

    #[test]
    fn what_others_made_is_named_and_mended() {
        let planted = json!({ "name": STREAM, "subjects": [SUBJECT], "storage": "memory", "num_replicas": 1 });
        let Value::Object(planted) = planted else { panic!("it is an object") };
        let (wrong, mended_one) = mended(&planted).unwrap();
        for name in ["max_age", "max_msgs", "max_msg_size", "retention", "discard", "duplicate_window"] {
            assert!(wrong.contains(&name.to_owned()), "{wrong:?}");
        }
        assert_eq!(mended(&mended_one), None);
        assert_eq!((&mended_one["storage"], &mended_one["num_replicas"]), (&json!("memory"), &json!(1)));

        for (name, value) in [
            ("max_age", json!(0)),
            ("max_age", json!(EXPIRY * 1_000_000_000 + 1)),
            ("max_msgs", json!(-1)),
            ("subjects", json!([SUBJECT, "$VSTREAM.>"])),
            ("subjects", json!(["a"])),
            ("retention", json!("workqueue")),
            ("discard", json!("new")),
            ("sealed", json!(true)),
            ("no_ack", json!(true)),
            ("deny_purge", json!(true)),
            ("allow_msg_counter", json!(true)),
            ("discard_new_per_subject", json!(true)),
            ("subject_delete_marker_ttl", json!(1_000_000_000)),
            ("mirror", json!({ "name": "a" })),
            ("sources", json!([{ "name": "a" }])),
            ("republish", json!({ "src": ">", "dest": "a.>" })),
            ("subject_transform", json!({ "src": SUBJECT, "dest": "a" })),
        ] {
            let mut found = config(None);
            found.insert(name.to_owned(), value);
            let (wrong, mended_one) = mended(&found).unwrap();
            assert_eq!((wrong, mended(&mended_one)), (vec![name.to_owned()], None));
        }
    }
}
