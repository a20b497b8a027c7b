use super::*;
use crate::model::nkey::KeyKind;
use crate::sign::{Seed, Signer as _, issue};
use serde_json::{Value, json};

const NOW: u64 = 2_000_000_000;

fn key() -> Seed {
    Seed::generate(KeyKind::Operator).unwrap()
}

/// An operator with an identity and signing keys.
struct Operator {
    identity: Seed,
    signing: Seed,
}

impl Operator {
    fn new() -> Self {
        Self { identity: key(), signing: key() }
    }

    fn id(&self) -> PublicKey {
        self.identity.public_key()
    }

    fn claims(&self, keys: &[&Seed]) -> Value {
        let keys: Vec<PublicKey> = keys.iter().map(|key| key.public_key()).collect();
        json!({ "sub": self.id(), "name": "OP", "nats": { "type": "operator", "version": 2, "signing_keys": keys } })
    }

    fn token(&self, keys: &[&Seed], iat: u64) -> OperatorToken {
        token(&self.claims(keys), &self.identity, iat).unwrap()
    }

    /// Returns the operator as a server names it.
    fn named(&self, keys: &[&Seed], iat: u64) -> NamedOperator {
        let token = self.token(keys, iat);
        NamedOperator { claims: token.claims.clone(), issued_at: iat, token: Some(token) }
    }
}

fn token(claims: &Value, signer: &Seed, iat: u64) -> Result<OperatorToken, ClaimsError> {
    OperatorToken::decode(issue(claims, signer, iat).unwrap().as_str(), "keys/operator.jwt")
}

fn trusted(trust: &Trust, servers: &[(&str, Vec<NamedOperator>)], keys: &[&Seed]) -> Vec<bool> {
    let anchor = trust.anchor(servers, NOW).unwrap();
    keys.iter().map(|key| anchor.trusts(&key.public_key())).collect()
}

#[test]
fn an_operators_token_counts_only_when_its_identity_signed_it() {
    let (ours, other) = (Operator::new(), Operator::new());
    assert!(token(&ours.claims(&[&ours.signing]), &ours.identity, 1).is_ok());
    // A stranger's token that lists the right signing key, or has the right operator as its subject. Also a token by
    // one of the operator's own signing keys, which could add keys that way.
    for (claims, signer) in [
        (ours.claims(&[&ours.signing]), &other.identity),
        (ours.claims(&[&ours.signing, &other.signing]), &ours.signing),
        (ours.claims(&[&other.signing]), &other.signing),
    ] {
        let issuer = signer.public_key();
        assert_eq!(token(&claims, signer, 1), Err(ClaimsError::WrongIssuer { issuer }));
    }
    let signed = issue(&ours.claims(&[&ours.signing]), &ours.identity, 1).unwrap();
    let [header, _, signature] = signed.as_str().split('.').collect::<Vec<_>>()[..] else { panic!() };
    let body = data_encoding::BASE64URL_NOPAD.encode(ours.claims(&[&other.signing]).to_string().as_bytes());
    assert!(OperatorToken::decode(&format!("{header}.{body}.{signature}"), "x").is_err());
    // Signed without the checks that `issue` makes.
    let ending = |exp: Value| {
        let mut claims = ours.claims(&[]);
        (claims["iss"], claims["iat"], claims["exp"]) = (json!(ours.id()), json!(1), exp);
        let body = data_encoding::BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
        let text = format!("{header}.{body}");
        let signature = ours.identity.sign(text.as_bytes()).unwrap();
        OperatorToken::decode(&format!("{text}.{}", data_encoding::BASE64URL_NOPAD.encode(&signature)), "x")
    };
    assert!(ending(json!(2)).is_ok());
    assert!(ending(json!("never")).is_err(), "an end that cannot be read is not no end");
}

/// If another operator is pinned, a stranger's key in an operator's own token has no effect.
#[test]
fn a_pin_takes_only_what_the_pinned_key_signed() {
    let (ours, other) = (Operator::new(), Operator::new());
    let keys = [&ours.identity, &ours.signing, &other.identity, &other.signing];
    let mut trust = Trust { pin: Some(ours.id()), ..Trust::default() };
    trust.tokens.push(other.token(&[&other.signing, &ours.signing], NOW));
    assert_eq!(trusted(&trust, &[], &keys), [true, false, false, false], "no token of the pinned operator is at hand");
    trust.tokens.push(ours.token(&[&ours.signing], NOW - 10));
    assert_eq!(trusted(&trust, &[], &keys), [true, true, false, false]);
    let anchor = trust.anchor(&[], NOW).unwrap();
    assert!(anchor.excludes(&other.signing.public_key()) && !anchor.excludes(&ours.signing.public_key()));
    // Servers' answers change nothing, unless the pinned key signed them later than the local token.
    let mut unproven = ours.named(&[&ours.signing, &other.signing], NOW);
    unproven.token = None;
    let older = ours.named(&[&ours.signing, &other.signing], NOW - 20);
    let servers = [("west-0", vec![unproven]), ("east-0", vec![older, other.named(&[&other.signing], NOW)])];
    assert_eq!(trusted(&trust, &servers, &keys), [true, true, false, false]);
    let signing = trust.signing_with(Some(other.signing.public_key()));
    assert_eq!(trusted(&signing, &servers, &keys), [true, true, false, false], "nor does a stranger that signs");
}

#[test]
fn the_newest_token_of_the_pinned_operator_counts() {
    let (ours, removed) = (Operator::new(), key());
    let keys = [&ours.signing, &removed];
    let both = ours.token(&[&ours.signing, &removed], NOW - 100);
    let newer = ours.token(&[&ours.signing], NOW - 50);
    for tokens in [vec![both.clone(), newer.clone()], vec![newer, both.clone()]] {
        let trust = Trust { pin: Some(ours.id()), tokens, ..Trust::default() };
        assert_eq!(trusted(&trust, &[], &keys), [true, false]);
    }
    // An expired newer token is no reason to fall back to an older one. A token that is not valid yet does not count.
    let dated = |field: &str, at: u64| {
        let mut claims = ours.claims(&[&ours.signing]);
        claims[field] = json!(at);
        token(&claims, &ours.identity, NOW - 1).unwrap()
    };
    let trust = Trust { pin: Some(ours.id()), tokens: vec![both.clone(), dated("exp", NOW)], ..Trust::default() };
    assert_eq!(trusted(&trust, &[], &keys), [false, false]);
    let anchor = trust.anchor(&[], NOW).unwrap();
    assert!(anchor.trusts(&ours.id()) && anchor.why_not().contains("has expired"), "{}", anchor.why_not());
    let trust = Trust { pin: Some(ours.id()), tokens: vec![both, dated("nbf", NOW + 1)], ..Trust::default() };
    assert_eq!(trusted(&trust, &[], &keys), [true, true]);
}

/// The local copy is stale: a key was revoked, and another added.
#[test]
fn a_newer_token_of_the_pinned_operator_that_a_server_shows_counts() {
    let (ours, revoked, added) = (Operator::new(), key(), key());
    let keys = [&ours.signing, &revoked, &added];
    let tokens = vec![ours.token(&[&ours.signing, &revoked], NOW - 100)];
    let trust = Trust { pin: Some(ours.id()), tokens, ..Trust::default() };
    let old = || ("east-0", vec![ours.named(&[&ours.signing, &revoked], NOW - 100)]);
    let shows = |iat| [old(), ("west-0", vec![ours.named(&[&ours.signing, &added], iat)])];
    for signer in [None, Some(ours.signing.public_key()), Some(revoked.public_key())] {
        let trust = trust.clone().signing_with(signer);
        assert_eq!(trusted(&trust, &shows(NOW - 50), &keys), [true, false, true]);
        let anchor = trust.anchor(&shows(NOW - 50), NOW).unwrap();
        assert!(anchor.excludes(&revoked.public_key()) && !anchor.excludes(&added.public_key()));
        // With an older token, or a pin alone.
        assert_eq!(trusted(&trust, &shows(NOW - 150), &keys), [true, true, false]);
    }
    let alone = Trust { tokens: vec![], ..trust.clone() }.signing_with(Some(ours.signing.public_key()));
    assert_eq!(trusted(&alone, &shows(NOW - 50), &keys), [true, false, false], "what signs now, and no more");
    // Without a pin, what servers show proves nothing.
    let unpinned = Trust { pin: None, ..trust }.signing_with(Some(ours.signing.public_key()));
    assert_eq!(trusted(&unpinned, &shows(NOW - 50), &keys), [true, true, false]);
}

#[test]
fn with_strict_signing_key_usage_the_identity_signs_no_account() {
    let ours = Operator::new();
    let mut claims = ours.claims(&[&ours.signing]);
    claims["nats"]["strict_signing_key_usage"] = json!(true);
    let tokens = vec![token(&claims, &ours.identity, 1).unwrap()];
    let trust = Trust { pin: Some(ours.id()), tokens, ..Trust::default() };
    assert_eq!(trusted(&trust, &[], &[&ours.identity, &ours.signing]), [false, true]);
    let trust = Trust { pin: None, signer: Some(ours.id()), ..trust };
    assert_eq!(trusted(&trust, &[], &[&ours.identity, &ours.signing]), [false, true]);
}

#[test]
fn with_neither_pin_nor_token_only_the_key_that_signs_counts() {
    let (ours, evil) = (Operator::new(), Operator::new());
    let keys = [&ours.identity, &ours.signing, &evil.identity, &evil.signing];
    let trust = Trust { signer: Some(ours.signing.public_key()), ..Trust::default() };
    // For any answers of all or some servers.
    let says = |operators: Vec<NamedOperator>| operators;
    let named = || ours.named(&[&ours.signing, &evil.signing], NOW);
    for servers in [
        vec![],
        vec![("west-0", says(vec![named()])), ("east-0", says(vec![named()]))],
        vec![("west-0", says(vec![named(), evil.named(&[&evil.signing], NOW)]))],
        vec![("west-0", says(vec![named()])), ("east-0", says(vec![evil.named(&[], NOW)]))],
    ] {
        assert_eq!(trusted(&trust, &servers, &keys), [false, true, false, false]);
    }
    assert_eq!(trust.anchor(&[], NOW).unwrap().operator(), None);
    // An operator's token without the key proves nothing, unless the servers name that operator. Then the token is
    // older than the key.
    let tokens = vec![evil.token(&[&evil.signing], NOW)];
    let trust = Trust { tokens, ..trust };
    assert_eq!(trusted(&trust, &[("west-0", vec![named()])], &keys), [false, true, false, false]);
    let trust = Trust { tokens: vec![ours.token(&[], NOW)], ..trust };
    assert_eq!(trusted(&trust, &[], &keys), [false, true, false, false]);
    assert_eq!(trusted(&trust, &[("west-0", vec![named()])], &keys), [true, true, false, false]);
    // The token of the key's own operator.
    let trust = Trust { tokens: vec![ours.token(&[&ours.signing], NOW), evil.token(&[&evil.signing], NOW)], ..trust };
    assert_eq!(trusted(&trust, &[], &keys), [true, true, false, false]);
}

/// Covers runs that sign nothing.
#[test]
fn to_read_the_operator_is_the_one_that_all_servers_name() {
    let (ours, evil) = (Operator::new(), Operator::new());
    let keys = [&ours.identity, &ours.signing, &evil.identity, &evil.signing];
    let trust = Trust::default();
    let old = || ours.named(&[], NOW - 10);
    let new = || ours.named(&[&ours.signing], NOW);
    // During a change of keys, the servers still name one operator.
    let servers = [("west-0", vec![new()]), ("east-0", vec![old()])];
    assert_eq!(trusted(&trust, &servers, &keys), [true, true, false, false]);
    assert_eq!(trust.anchor(&servers, NOW).unwrap().basis(), &Basis::Servers(vec![ours.id()]));
    // The servers trust two operators, while one replaces the other.
    let both = || vec![new(), evil.named(&[&evil.signing], NOW)];
    assert_eq!(trusted(&trust, &[("west-0", both()), ("east-0", both())], &keys), [true; 4]);
    // One server also names another operator. Its answer is forged, or its configuration differs.
    for odd in [both(), vec![evil.named(&[&evil.signing], NOW)], vec![]] {
        let differ = trust.anchor(&[("west-0", vec![new()]), ("evil-0", odd)], NOW).unwrap_err();
        assert!(differ.to_string().contains("on evil-0") && differ.to_string().contains("on west-0"), "{differ}");
    }
    // A local token of that operator takes precedence over an answer.
    let trust = Trust { tokens: vec![ours.token(&[&ours.signing], 1)], ..trust };
    let servers = [("west-0", vec![ours.named(&[&evil.signing], NOW)])];
    assert_eq!(trusted(&trust, &servers, &keys), [true, true, false, false]);
    // With a pin but no local token, only a token that the pinned key signed counts.
    let trust = Trust { pin: Some(ours.id()), ..Trust::default() };
    assert_eq!(trusted(&trust, &[("west-0", vec![new()])], &keys), [true, true, false, false]);
    let mut forged = new();
    (forged.claims.signing_keys, forged.token) = (vec![evil.signing.public_key()], None);
    assert_eq!(trusted(&trust, &[("west-0", vec![forged])], &keys), [true, false, false, false]);
    // In a run that signs, even that token does not count.
    let trust = trust.signing_with(Some(key().public_key()));
    assert_eq!(trusted(&trust, &[("west-0", vec![new()])], &keys), [true, false, false, false]);
}

#[test]
fn a_refusal_says_what_to_pin() {
    let ours = Operator::new();
    let anchor = TrustAnchor::of_key(&ours.signing.public_key());
    let line = format!("`operator: {}`", ours.id());
    assert!(anchor.how_to_trust(Some(&ours.id())).contains(&line));
    assert!(anchor.how_to_trust(None).contains("`operator: O…`"));
    let pinned = Trust { pin: Some(ours.id()), ..Trust::default() }.anchor(&[], NOW).unwrap();
    assert!(pinned.how_to_trust(None).contains("keys/operator.jwt"));
}
