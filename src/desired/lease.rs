//! The stream that holds the lease of an application's account. The lease names the run that is changing the account.

use super::{DesiredAccount, DesiredStream, metadata};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Name of the stream, in the application's account.
pub const STREAM: &str = "vstream-lease";
/// The only subject that the stream captures.
pub const SUBJECT: &str = "$VSTREAM.LEASE";
/// The code of the finding about an unreachable lease. If the user allows it, a run continues without a lease.
pub const UNREACHABLE: &str = "lease-unreachable";
/// Time after which a lease that is not renewed expires, in seconds.
pub const EXPIRY: u64 = 15;
/// The largest valid sequence of the stream's last message. A user who may purge the stream can set its sequence. Once
/// the largest possible sequence is used, the stream refuses every message (measured, 2.15.1).
pub const LAST_SEQUENCE: u64 = u64::MAX / 2;

/// The message that is the lease. It is the last message of the stream, until it expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Identifies the run.
    pub id: String,
    /// The holder, `user@host`.
    pub holder: String,
    /// The verb that the holder runs, `apply`.
    pub verb: String,
    /// Name and version of the program.
    pub tool: String,
    /// The start of the lease (RFC 3339), by the holder's clock.
    pub since: String,
    /// `true` if the holder has released the lease.
    #[serde(default)]
    pub released: bool,
}

/// Returns the stream's config. The stream has the replicas and the storage of the account's other streams, because the
/// account's limits depend on both. Without an account or other streams, it has three replicas in files.
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
        // Accounts may require a limit (`max_bytes_required`).
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

/// Settings that the lease's stream must not have. With them, the stream refuses messages, its last message is not the
/// lease, or the lease never expires.
const STRANGE: [&str; 10] = [
    "mirror",
    "sources",
    "subject_transform",
    "republish",
    "sealed",
    "no_ack",
    "deny_purge",
    // Such a stream accepts only counters (nats-server 2.12).
    "allow_msg_counter",
    // Such a stream cannot discard old messages.
    "discard_new_per_subject",
    // Servers replace an expired message with a marker, which looks like another message.
    "subject_delete_marker_ttl",
];

/// Compares the config of an existing stream of this name with the required one. An application may have made the
/// stream without an expiry. Returns `None` if the config is right, otherwise the names of the wrong settings and the
/// corrected config.
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
