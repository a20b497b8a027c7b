//! Shared parts of the targets: the keys of one run, tokens of any claims, changes to JSON, and servers that answer
//! with the input.
//!
//! An input holds neither keys nor signatures. It names them (`@{A}`), and [`filled`] replaces the names by those of
//! this run. So an input works in any later run, and no seed is ever written down.

mod answers;
mod changes;

pub use answers::{Script, in_paused_time};
pub use changes::{Bytes, documents, mutate};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::model::shown::is_hidden;
use vstream_jwt::sign::{Seed, Signer as _, issue};

/// Time at which the tokens of [`filled`] were issued: 2020-09-13.
pub const ISSUED: u64 = 1_600_000_000;

/// Keys of one run, which no server trusts.
pub struct Keys {
    pub operator: Seed,
    pub account: Seed,
    pub other_account: Seed,
    pub user: Seed,
}

/// Returns the keys of this run.
pub fn keys() -> &'static Keys {
    static KEYS: LazyLock<Keys> = LazyLock::new(|| {
        let seed = |kind| Seed::generate(kind).expect("the system has random numbers");
        Keys {
            operator: seed(KeyKind::Operator),
            account: seed(KeyKind::Account),
            other_account: seed(KeyKind::Account),
            user: seed(KeyKind::User),
        }
    });
    &KEYS
}

/// Returns the names that an input may use, each with its value.
fn values() -> &'static [(&'static str, String)] {
    static VALUES: LazyLock<Vec<(&'static str, String)>> = LazyLock::new(|| {
        let Keys { operator, account, other_account, user } = keys();
        let [o, a, b, u] = [operator, account, other_account, user].map(|seed| seed.public_key().to_string());
        let [so, sa, su] = [operator, account, user].map(|seed| seed.reveal().as_str().to_owned());
        let token = |claims: Value, signer: &Seed| {
            issue(&claims, signer, ISSUED).expect("the claims are complete").as_str().to_owned()
        };
        let limits = json!({ "conn": 5, "subs": -1 });
        let of_account = token(
            json!({ "sub": a, "name": "APP", "nats": { "limits": limits, "type": "account", "version": 2 } }),
            operator,
        );
        let of_user = token(json!({ "sub": u, "name": "ops", "nats": { "type": "user", "version": 2 } }), account);
        let activation = token(
            json!({ "sub": a, "name": "x", "nats": {
                "subject": "x.>", "kind": "service", "type": "activation", "version": 2 } }),
            other_account,
        );
        vec![
            ("@{O}", o),
            ("@{A}", a),
            ("@{B}", b),
            ("@{U}", u),
            ("@{SO}", so),
            ("@{SA}", sa),
            ("@{SU}", su),
            ("@{TA}", of_account),
            ("@{TU}", of_user),
            ("@{TX}", activation),
        ]
    });
    &VALUES
}

/// Replaces the names of keys, seeds and tokens in a text by those of this run.
pub fn filled(text: &str) -> String {
    let mut text = text.to_owned();
    for (name, value) in values() {
        if text.contains(name) {
            text = text.replace(name, value);
        }
    }
    text
}

/// Returns the input as text with [`filled`] applied. Returns `None` if it is not UTF-8, or has part of a seed of its
/// own.
pub fn text(data: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(data).ok()?;
    (!shows_a_seed(text)).then(|| filled(text))
}

/// Checks if a text contains a seed of this run, or part of one. An input may contain such a part, which is not a leak:
/// libFuzzer learns compared values and puts them into inputs.
pub fn shows_a_seed(text: &str) -> bool {
    let seeds = values().iter().filter(|(name, _)| name.starts_with("@{S"));
    seeds.map(|(_, seed)| seed).any(|seed| [0, 19, 38].iter().any(|from| text.contains(&seed[*from..from + 20])))
}

/// Returns a token of any claims, well-formed or not.
pub fn signed(header: &str, claims: &str, signer: &Seed) -> String {
    let message = format!("{}.{}", B64.encode(header), B64.encode(claims));
    let signature = signer.sign(message.as_bytes()).expect("a seed signs");
    format!("{message}.{}", B64.encode(signature))
}

/// Reads an input as a token: the claims, after an optional line with a header. The key that `iss` names signs them. If
/// `iss` names no key of this run, a key that fits the type of the claims signs.
pub fn token(data: &[u8]) -> Option<(String, String)> {
    let text = text(data)?;
    let (header, claims) = match text.split_once('\n') {
        Some((header, claims)) if header.contains("\"alg\"") => (header, claims),
        _ => (r#"{"typ":"JWT","alg":"ed25519-nkey"}"#, text.as_str()),
    };
    let read: Value = serde_json::from_str(claims).unwrap_or_default();
    let Keys { operator, account, other_account, user } = keys();
    let named = [operator, account, other_account, user]
        .into_iter()
        .find(|seed| read["iss"] == json!(seed.public_key().to_string()));
    let (claims, signer) = match named {
        Some(signer) => (claims.to_owned(), signer),
        None => {
            let by_account =
                matches!(read["nats"]["type"].as_str(), Some("user" | "activation" | "authorization_response"));
            let signer = if by_account { account } else { operator };
            let mut read = read;
            match read.as_object_mut() {
                Some(fields) => {
                    fields.insert("iss".to_owned(), json!(signer.public_key().to_string()));
                    (read.to_string(), signer)
                }
                None => (claims.to_owned(), signer),
            }
        }
    };
    Some((signed(header, &claims, signer), claims))
}

/// Fails if a text [shows a seed](shows_a_seed).
pub fn assert_no_seed(text: &str) {
    assert!(!shows_a_seed(text), "a piece of a seed is in a text");
}

/// Fails if the text has control characters for a terminal or hidden characters; line breaks are allowed.
pub fn assert_harmless(text: &str) {
    assert!(!text.contains(|c: char| c != '\n' && is_hidden(c)), "not to be shown: {text:?}");
}

/// Fails if a text is more than one line that can be shown.
pub fn assert_one_line(text: &str) {
    assert!(!text.contains(is_hidden), "not to be shown on one line: {text:?}");
}

/// Returns the folder of this run, in memory where possible. A fuzzer ends without cleaning up, so each run removes the
/// folders of ended ones.
pub fn folder() -> &'static Path {
    const PREFIX: &str = "vstream-fuzz-";
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        for entry in std::fs::read_dir(&parent).expect("it can be read").flatten() {
            let of = entry.file_name().to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
            if of.is_some_and(|of| !Path::new("/proc").join(of.to_string()).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let folder = parent.join(format!("{PREFIX}{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a folder can be made");
        folder
    });
    &FOLDER
}

/// Writes a file that only its owner can read.
pub fn write_secret(path: &Path, content: &[u8]) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::File::options();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content)).expect("the file can be written");
}
