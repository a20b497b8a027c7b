use super::token::body;
use super::*;
use crate::model::claims::{AccountClaims, ClaimsError, HEADER, LATEST};
use crate::model::nkey::{KeyKind, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Value, json};

/// Signs any claims without checks, as another tool with the key could.
pub(crate) fn unchecked(claims: &Value, signer: &dyn Signer, iat: u64) -> String {
    let body = body(claims.as_object().unwrap(), &signer.public_key(), iat);
    let message = format!("{}.{}", B64.encode(HEADER), B64.encode(body));
    format!("{message}.{}", B64.encode(signer.sign(message.as_bytes()).unwrap()))
}

/// Returns the token with its signature in other spellings that servers also accept: spare bits in the last letter,
/// line breaks.
pub(crate) fn respelled(token: &str) -> [String; 3] {
    let (start, last) = token.split_at(token.len() - 1);
    let next = char::from(last.as_bytes()[0] + 1);
    let (head, tail) = token.split_at(token.len() - 20);
    [format!("{start}{next}"), format!("{head}\n{tail}"), format!("{head}\r\n{}{next}\r", &tail[..19])]
}

#[test]
fn issues_what_decodes_and_keeps_the_rest() {
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let account = Seed::generate(KeyKind::Account).unwrap().public_key();
    let claims =
        json!({"z": 1.50, "sub": account.to_string(), "nats": {"type": "account", "version": 2, "new": [true]}});
    let token = issue(&claims, &operator, 7).unwrap();
    let read = AccountClaims::decode(token.as_str()).unwrap();
    assert_eq!((read.id(), read.issuer(), read.issued_at()), (&account, &operator.public_key(), 7));
    assert_eq!(read.value()["nats"], claims["nats"]);
    assert_eq!(read.value().as_object().unwrap().keys().next().unwrap(), "z");
}

#[test]
fn refuses_signers_and_subjects_of_the_wrong_kind() {
    let [operator, account, user] =
        [KeyKind::Operator, KeyKind::Account, KeyKind::User].map(|kind| Seed::generate(kind).unwrap());
    let claims =
        |kind: &str, sub: &Seed| json!({"sub": sub.public_key().to_string(), "nats": {"type": kind, "version": 2}});
    let refused = issue(&claims("account", &account), &account, 1).unwrap_err().to_string();
    assert!(refused.contains("signed by the key of an operator"), "{refused}");
    assert!(matches!(issue(&claims("user", &user), &operator, 1), Err(SignError::WrongSigner { .. })));
    assert!(matches!(issue(&claims("user", &account), &account, 1), Err(SignError::WrongSubject { .. })));
    assert!(matches!(issue(&json!({"nats": {}}), &operator, 1), Err(SignError::UnknownType(_))));
    assert!(matches!(issue(&json!([]), &operator, 1), Err(SignError::NotAnObject)));
    assert!(issue(&claims("user", &user), &account, 1).is_ok());
    assert!(issue(&claims("operator", &operator), &operator, 1).is_ok());
}

#[test]
fn a_signer_that_signs_wrongly_is_caught() {
    struct Liar(Seed, Seed);
    impl Signer for Liar {
        fn public_key(&self) -> PublicKey {
            self.0.public_key()
        }
        fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
            self.1.sign(message)
        }
    }
    let liar = Liar(Seed::generate(KeyKind::Operator).unwrap(), Seed::generate(KeyKind::Operator).unwrap());
    let account = Seed::generate(KeyKind::Account).unwrap();
    let claims = json!({"sub": account.public_key().to_string(), "nats": {"type": "account", "version": 2}});
    assert!(matches!(issue(&claims, &liar, 1), Err(SignError::BadSignature(_))));
}

#[test]
fn a_tampered_token_is_refused() {
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let account = Seed::generate(KeyKind::Account).unwrap();
    let claims =
        |n: u8| json!({"sub": account.public_key().to_string(), "nats": {"type": "account", "version": 2, "n": n}});
    let [one, two] = [1, 2].map(|n| issue(&claims(n), &operator, 5).unwrap());
    let parts = |token: &SignedToken| token.as_str().split('.').map(str::to_owned).collect::<Vec<_>>();
    let mixed = [&parts(&one)[0], &parts(&two)[1], &parts(&one)[2]].map(String::as_str).join(".");
    assert!(matches!(AccountClaims::decode(&mixed), Err(ClaimsError::Signature { .. })));
}

#[test]
fn the_next_iat_is_later_than_everything_stored() {
    assert_eq!(next_iat(100, []), 100);
    assert_eq!(next_iat(100, [7, 99]), 100);
    assert_eq!(next_iat(100, [100, 99]), 101);
    assert_eq!(next_iat(100, [500]), 501);
    assert_eq!(next_iat(100, [u64::MAX]), u64::MAX);
}

/// A number that is written in one way and read in another would be signed unreviewed. So the decoded token must equal
/// the claims to sign.
#[test]
fn a_token_that_reads_back_otherwise_is_not_handed_out() {
    let [operator, account] = [KeyKind::Operator, KeyKind::Account].map(|kind| Seed::generate(kind).unwrap());
    let claims = |odd: &str| {
        let mut claims =
            json!({ "sub": account.public_key(), "nats": { "type": "account", "version": 2, "limits": {} } });
        // Unchecked, because every other way to make a number normalizes it.
        claims["odd"] = Value::Number(serde_json::Number::from_string_unchecked(odd.to_owned()));
        claims
    };
    // Written unchanged, and read back as `1e+16`.
    let token = unchecked(&claims("1E16"), &operator, 7);
    assert_ne!(AccountClaims::decode(&token).unwrap().value()["odd"], claims("1E16")["odd"]);
    assert!(matches!(issue(&claims("1E16"), &operator, 7), Err(SignError::ReadBack)));
    assert!(issue(&claims("1e+16"), &operator, 7).is_ok());
}

/// Go escapes these characters. Claims that nsc wrote are signed again byte for byte.
#[test]
fn claims_are_written_as_go_writes_them() {
    let [operator, account] = [KeyKind::Operator, KeyKind::Account].map(|kind| Seed::generate(kind).unwrap());
    let name = "<a>&\u{2028}\u{2029}\"\\ \u{7}\u{7f}ſ>";
    let claims = json!({ "sub": account.public_key(), "name": name, "nats": { "type": "account", "version": 2,
        "mappings": { "a.>": [{ "subject": "b.>" }] } } });
    let token = issue(&claims, &operator, 1_700_000_000).unwrap();
    let body = B64.decode(token.as_str().split('.').nth(1).unwrap()).unwrap();
    let text = String::from_utf8(body).unwrap();
    let written = r#""name":"\u003ca\u003e\u0026\u2028\u2029\"\\ \u0007"#.to_owned() + "\u{7f}ſ" + r#"\u003e","nats""#;
    assert!(text.contains(&written) && text.contains(r#"{"a.\u003e":[{"subject":"b.\u003e"}]}"#), "{text}");
    let read = AccountClaims::decode(token.as_str()).unwrap();
    assert_eq!((&read.value()["name"], read.token_size()), (&json!(name), token.as_str().len()));
}

/// A key of small order, for which the same signature matches every message, or one in eight.
#[test]
fn a_weak_key_signs_nothing() {
    struct Weak(PublicKey);
    impl Signer for Weak {
        fn public_key(&self) -> PublicKey {
            self.0.clone()
        }
        fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignError> {
            let mut signature = [0; 64];
            signature[0] = 1;
            Ok(signature)
        }
    }
    let mut one = [0; 32];
    one[0] = 1;
    let weak = Weak(PublicKey::from_bytes(KeyKind::Operator, one));
    let account = Seed::generate(KeyKind::Account).unwrap();
    let claims = json!({"sub": account.public_key().to_string(), "nats": {"type": "account", "version": 2}});
    assert!(matches!(issue(&claims, &weak, 1), Err(SignError::WeakKey(_))));
    assert!(matches!(verify(b"m", &weak.sign(b"m").unwrap(), &weak.0), Err(SignError::WeakKey(_))));
}

#[test]
fn what_the_strict_reader_refuses_is_not_signed() {
    let [operator, account] = [KeyKind::Operator, KeyKind::Account].map(|kind| Seed::generate(kind).unwrap());
    struct Untouched(Seed);
    impl Signer for Untouched {
        fn public_key(&self) -> PublicKey {
            self.0.public_key()
        }
        fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignError> {
            panic!("it was asked for a signature")
        }
    }
    let untouched = Untouched(operator);
    let claims = |top: serde_json::Value| {
        let mut claims =
            json!({"sub": account.public_key().to_string(), "nats": {"type": "account", "version": 2, "limits": {}}});
        claims.as_object_mut().unwrap().extend(top.as_object().unwrap().clone());
        claims
    };
    for top in [json!({"Sub": "x"}), json!({"ſub": "x"}), json!({"exp": "never"}), json!({"aud": 1})] {
        assert!(matches!(issue(&claims(top), &untouched, 1), Err(SignError::Claims(ClaimsError::Field { .. }))));
    }
    for iat in [LATEST + 1, i64::MAX as u64, u64::MAX] {
        assert!(matches!(issue(&claims(json!({})), &untouched, iat), Err(SignError::Date(_))));
    }
    // The JSON library reads this reserved key back as a number.
    let number = json!({"x": {"$serde_json::private::Number": "1"}});
    assert!(issue(&claims(number), &Seed::generate(KeyKind::Operator).unwrap(), 1).is_err());
}
