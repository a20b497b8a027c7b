use super::*;
use crate::model::claims::{AccountClaims, ClaimsError};
use serde_json::json;

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
