//! The stream that holds the lease of an application's account: who is changing it right now.

use super::metadata;
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

/// The stream's config; `replicas` as the account's other streams have them, since limits are by replicas.
pub fn config(replicas: u64) -> Map<String, Value> {
    let expiry = EXPIRY * 1_000_000_000;
    let config = json!({
        "name": STREAM,
        "description": "who is changing this account with vstream-jwt right now",
        "subjects": [SUBJECT],
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
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
