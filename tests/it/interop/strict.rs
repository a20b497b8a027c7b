//! The strict decoder and the tokens of other tools. It decodes everything that Go's library and nsc make, and encodes
//! it again byte for byte. Claims that it accepts have the same meaning to Go.

use crate::interop::fixtures::{claims_text, folder};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use vstream_jwt::model::claims::{AccountClaims, Activation, OperatorClaims, Token};
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::sign::{Seed, Signer as _, issue};

/// Returns a token of any claims, as any holder of a key can make it.
pub fn signed(claims: &Value, signer: &Seed) -> String {
    let mut claims = claims.clone();
    claims["iss"] = json!(signer.public_key());
    signed_as_it_is(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }), &claims, signer)
}

/// Returns a token with any header, and with whatever issuer the claims name.
pub fn signed_as_it_is(header: &Value, claims: &Value, signer: &Seed) -> String {
    let message = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
    format!("{message}.{}", B64.encode(signer.sign(message.as_bytes()).unwrap()))
}

/// Returns JSON as Go writes it: Go escapes line separators, and the characters that are special in HTML.
fn as_go(value: &Value) -> String {
    let mut text = value.to_string();
    for c in ['<', '>', '&', '\u{2028}', '\u{2029}'] {
        text = text.replace(c, &format!("\\u{:04x}", u32::from(c)));
    }
    text
}

/// Returns the tokens of Go's library and of nsc: the fixtures, and those that were just minted into `VSTREAM_TOKENS`.
fn corpus() -> Vec<(String, String)> {
    let folders = [Some(folder()), std::env::var_os("VSTREAM_TOKENS").map(PathBuf::from)];
    let mut tokens = Vec::new();
    for entry in folders.into_iter().flatten().flat_map(|folder| std::fs::read_dir(folder).unwrap()) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // Written by hand: refused, or with a form of numbers and escapes that Go does not write.
        let by_hand = ["duplicate-key", "case-variant", "version-", "account-unknown"];
        if name.ends_with(".jwt") && !by_hand.iter().any(|part| name.contains(part)) {
            tokens.push((name, std::fs::read_to_string(path).unwrap().trim().to_owned()));
        }
    }
    let of_nsc = tokens.iter().filter(|(name, _)| name.starts_with("nsc-")).count();
    assert!(tokens.len() >= 19 && of_nsc >= 6, "{}, {of_nsc} of nsc", tokens.len());
    tokens
}

#[test]
fn tokens_of_go_and_nsc_are_read_and_written_again_byte_for_byte() {
    for (name, token) in corpus() {
        let read = Token::decode(&token).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(as_go(read.claims()), claims_text(&token), "{name}");
        match read.claim_type() {
            "account" => assert_eq!(AccountClaims::decode(&token).unwrap().value(), read.claims()),
            "operator" => drop(OperatorClaims::decode(&token).unwrap()),
            "activation" => drop(Activation::decode(&token).unwrap()),
            _ => {}
        }
        // Signed again, the text only differs in the fields that a signature sets.
        let kind = match read.claim_type() {
            "account" | "operator" => KeyKind::Operator,
            "user" | "activation" => KeyKind::Account,
            _ => continue,
        };
        let signer = Seed::generate(kind).unwrap();
        let again = issue(read.claims(), &signer, 1_900_000_000).unwrap();
        let new = Token::decode(again.as_str()).unwrap();
        let mut expected = claims_text(&token);
        for field in ["iss", "iat", "jti"] {
            let [old, new] = [&read, &new].map(|token| format!("\"{field}\":{}", token.claims()[field]));
            assert_eq!(expected.matches(&old).count(), 1, "{name}: {old}");
            expected = expected.replace(&old, &new);
        }
        assert_eq!(claims_text(again.as_str()), expected, "{name}");
        assert_eq!(new.claims()["iat"], 1_900_000_000, "{name}");
    }
}

/// The tokens that should have a value in every field do have every field.
#[test]
fn the_corpus_has_every_field() {
    let text = std::fs::read_to_string(folder().join("../claims-fields.json")).unwrap();
    let listed: Value = serde_json::from_str(&text).unwrap();
    for claim_type in ["operator", "account", "user", "activation", "authorization_response"] {
        let name = format!("every-{}.jwt", claim_type.replace('_', "-"));
        let (_, token) = corpus().into_iter().find(|(found, _)| *found == name).unwrap();
        let claims: Value = serde_json::from_str(&claims_text(&token)).unwrap();
        let mut found = BTreeSet::new();
        paths("", &claims, &mut found);
        for path in listed["fields"][claim_type].as_object().unwrap().keys() {
            // Only older tokens and generic ones have these beside `nats`.
            if !["tags", "tags[]", "type", "version"].contains(&path.as_str()) {
                assert!(found.contains(path), "{claim_type}: {path}");
            }
        }
    }
}

/// Collects the paths of a document in the form of the list of fields. A map is an object whose keys are subjects.
fn paths(at: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = match (at, name.contains('.')) {
                    (_, true) => format!("{at}{{}}"),
                    ("", false) => name.clone(),
                    (_, false) => format!("{at}.{name}"),
                };
                found.insert(path.clone());
                paths(&path, value, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                found.insert(format!("{at}[]"));
                paths(&format!("{at}[]"), item, found);
            }
        }
        _ => {}
    }
}

/// Random numbers that repeat in each run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Makes one change somewhere in a document: spells a name differently, adds a name, changes a value or removes one.
fn mutate(random: &mut Random, value: &mut Value) {
    let inner = match value {
        Value::Object(fields) if !fields.is_empty() => fields.len(),
        Value::Array(items) if !items.is_empty() => items.len(),
        _ => 0,
    };
    if inner > 0 && random.below(4) > 0 {
        let place = random.below(inner);
        return match value {
            Value::Object(fields) => mutate(random, fields.values_mut().nth(place).unwrap()),
            Value::Array(items) => mutate(random, &mut items[place]),
            _ => unreachable!("it has something in it"),
        };
    }
    const VALUES: [&str; 22] = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "-0",
        "2",
        "255",
        "256",
        "1.0",
        "1e2",
        "9223372036854775807",
        "9223372036854775808",
        "9007199254740993",
        "\"\"",
        "\"x\"",
        "\"stream\"",
        "[]",
        "{}",
        "[null]",
        "[\"x\",1]",
    ];
    let other = |random: &mut Random| serde_json::from_str::<Value>(VALUES[random.below(VALUES.len())]).unwrap();
    match value {
        Value::Object(fields) if inner > 0 => {
            let place = random.below(inner);
            let (name, old) = fields.iter().nth(place).map(|(name, value)| (name.clone(), value.clone())).unwrap();
            let spelled = match random.below(5) {
                0 => name.to_ascii_uppercase(),
                1 => name.replacen('s', "ſ", 1),
                2 => name.replacen('k', "\u{212a}", 1),
                // A name that was changed before may begin with a letter of several bytes.
                3 => name.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(name.chars().skip(1)).collect(),
                _ => format!("{name}x"),
            };
            match random.below(4) {
                0 => drop(fields.shift_remove(&name)),
                1 => {
                    let renamed: Map<String, Value> = std::mem::take(fields)
                        .into_iter()
                        .map(|(key, value)| (if key == name { spelled.clone() } else { key }, value))
                        .collect();
                    *fields = renamed;
                }
                2 => drop(fields.insert(spelled, if random.below(2) == 0 { old } else { other(random) })),
                _ => drop(fields.insert(name, other(random))),
            }
        }
        Value::Array(items) if inner > 0 && random.below(2) == 0 => {
            let item = items[random.below(inner)].clone();
            items.push(item);
        }
        value => *value = other(random),
    }
}

/// Changes claims thousands of times. With `VSTREAM_INTEROP_OUT`, they are written there with the decoder's result.
/// `tests/peers/strict` then checks that Go accepts the claims that the decoder accepts, with the same meaning.
#[test]
fn changed_tokens_are_refused_or_kept() {
    let out = std::env::var_os("VSTREAM_INTEROP_OUT").map(PathBuf::from);
    let mut random = Random(0x5eed_0000_0000_0001);
    let signers = [KeyKind::Operator, KeyKind::Account].map(|kind| Seed::generate(kind).unwrap());
    let (mut text, mut read, mut refused) = (String::new(), 0, 0);
    let corpus: Vec<Value> = corpus().iter().map(|(_, token)| Token::decode(token).unwrap().into_claims()).collect();
    for round in 0..if out.is_some() { 20_000 } else { 3_000 } {
        let original = &corpus[round % corpus.len()];
        let mut claims = original.clone();
        for _ in 0..=random.below(3) {
            mutate(&mut random, &mut claims);
        }
        if !claims.is_object() {
            continue;
        }
        let by_operator = matches!(original["nats"]["type"].as_str(), Some("account" | "operator"));
        let token = signed(&claims, &signers[usize::from(!by_operator)]);
        match Token::decode(&token) {
            Ok(found) => {
                read += 1;
                assert_eq!(
                    found.claims().to_string(),
                    serde_json::from_str::<Value>(&claims_text(&token)).unwrap().to_string()
                );
                let _ = writeln!(text, "read {token}");
            }
            Err(_) => {
                refused += 1;
                let _ = writeln!(text, "refused {token}");
            }
        }
    }
    assert!(read > 300 && refused > 300, "{read} read, {refused} refused");
    if let Some(out) = out {
        std::fs::create_dir_all(&out).unwrap();
        std::fs::write(out.join("strict.txt"), text).unwrap();
    }
}
