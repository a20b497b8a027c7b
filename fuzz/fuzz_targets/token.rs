//! Tokens of any claims, signed by a key of this run. Decoding returns the document as it was, and the token that is
//! issued from it decodes to the same. Claims that decoding refuses cannot be signed either.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use support::{assert_harmless, assert_no_seed, keys, token};
use vstream_jwt::model::claims::{
    AccountClaims, Activation, MAX_TOKEN_SIZE, OperatorClaims, Token, TrustAnchor, TrustedClaims,
};
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::model::shown::shown;
use vstream_jwt::sign::{Seed, SignError, Signer as _, issue};

const AGAIN: u64 = 1_900_000_000;

fuzz_target!(|data: &[u8]| {
    // The raw input is never a valid token.
    if let Ok(text) = std::str::from_utf8(data)
        && let Err(error) = Token::decode(text)
    {
        assert_harmless(&shown(&error.to_string()));
    }
    let Some((token, claims)) = token(data) else { return };
    let read = match Token::decode(&token) {
        Ok(read) => read,
        Err(error) => {
            assert_no_seed(&error.to_string());
            return;
        }
    };
    let document: Value = serde_json::from_str(&claims).expect("what is read is JSON");
    assert_eq!(read.claims().to_string(), document.to_string());
    assert_eq!(document["iss"], read.issuer().to_string());
    for part in ["account", "operator", "activation"] {
        let typed = match part {
            "account" => AccountClaims::decode(&token).map(drop),
            "operator" => OperatorClaims::decode(&token).map(drop),
            _ => Activation::decode(&token).map(drop),
        };
        assert!(typed.is_err() || read.claim_type() == part, "{part}: {claims}");
    }
    let anchor = TrustAnchor::of_key(&keys().operator.public_key());
    if let Ok(trusted) = TrustedClaims::verify(&token, &anchor) {
        assert_eq!(*trusted.issuer(), keys().operator.public_key());
        edited(&trusted);
    }
    again(&read);
});

/// Issues the decoded token again, and checks that only the signature's fields differ.
fn again(read: &Token) {
    let signer: &Seed = match read.claim_type() {
        "account" | "operator" => &keys().operator,
        "user" | "activation" => &keys().account,
        _ => return,
    };
    match issue(read.claims(), signer, AGAIN) {
        Ok(token) => {
            let found = Token::decode(token.as_str()).expect("what is issued is read");
            let mut expected = read.claims().clone();
            for field in ["iss", "iat", "jti"] {
                expected[field] = found.claims()[field].clone();
            }
            assert_eq!(found.claims(), &expected);
            assert_eq!((found.claims()["iat"].as_u64(), found.issuer()), (Some(AGAIN), &signer.public_key()));
            if let Ok(account) = AccountClaims::decode(token.as_str()) {
                assert_eq!(account.token_size(), token.as_str().len());
                assert!(account.token_size() <= MAX_TOKEN_SIZE);
            }
        }
        // The token decodes, but not as an account's: the typed views require more.
        Err(SignError::Claims(error)) => {
            let typed = match read.claim_type() {
                "account" => AccountClaims::unsigned(read.claims().clone()).err(),
                "operator" => OperatorClaims::from_claims(read.claims()).err(),
                "activation" => Some(error.clone()),
                _ => None,
            };
            assert!(typed.is_some(), "{error}: {}", read.claims());
        }
        Err(SignError::WrongSubject { .. }) => {
            let kind = match read.claim_type() {
                "operator" => KeyKind::Operator,
                "user" => KeyKind::User,
                _ => KeyKind::Account,
            };
            assert_ne!(read.subject().kind(), kind);
        }
        Err(error) => panic!("{error}: {}", read.claims()),
    }
}

/// Checks that an edit and its reversal leave everything else unchanged.
fn edited(before: &TrustedClaims) {
    let mut claims = before.clone();
    let tag = "fuzz-tag";
    if claims.add_tag(tag) {
        assert!(claims.has_tag(tag) && !claims.clone().add_tag(tag));
        let count = |claims: &TrustedClaims| claims.tags().len();
        assert_eq!(count(&claims), count(before) + 1);
    }
    let mut other = claims.value().clone();
    other["nats"]["tags"] = before.value()["nats"]["tags"].clone();
    let mut was = before.value().clone();
    was["nats"]["tags"] = before.value()["nats"]["tags"].clone();
    assert_eq!(other, was, "an edit touched more than it names");
    for mapping in before.mappings() {
        let mut less = before.clone();
        assert!(less.remove_mapping(&mapping.source));
        assert_eq!(less.mappings().len() + 1, before.mappings().len());
    }
}
