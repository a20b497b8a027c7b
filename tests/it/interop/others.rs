//! The same tokens, read by other implementations.

use crate::interop::fixtures::{accounts, claims_text, mapping, operator, token};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, UnparsedPublicKey};
use vstream_jwt::model::claims::AccountClaims;
use vstream_jwt::sign::{self, Signer as _};

/// Checks a signature with ring, which is not the implementation that signs.
pub fn ring_accepts(token: &str, key: &[u8; 32]) -> bool {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&ED25519, key).verify(message.as_bytes(), &signature).is_ok()
}

#[test]
fn signatures_hold_for_ring_and_basil() {
    for name in accounts() {
        let mut claims = AccountClaims::decode(&token(&name)).unwrap();
        assert!(ring_accepts(&token(&name), claims.issuer().bytes()), "{name}");
        claims.set_mapping(&mapping("ours.>", &[("ours.west.>", 100, Some("west"))]));
        let operator = operator();
        let ours = sign::issue(claims.value(), &operator, 4_000_000_000).unwrap();
        let key = operator.public_key();
        assert!(ring_accepts(ours.as_str(), key.bytes()), "{name}");
        assert!(!ring_accepts(ours.as_str(), claims.id().bytes()), "{name}: by another key");

        let read = basil_nats::decode_nats_jwt(ours.as_str()).unwrap();
        assert!(read.verify_signature(key.bytes()), "{name}");
        assert_eq!(read.claims().issuer, key.to_string());
        assert_eq!(read.claims().subject, claims.id().to_string());
        assert_eq!(read.claims().issued_at, Some(4_000_000_000));
        assert_eq!(read.claims().nats_type.as_deref(), Some("account"));
        assert_eq!(read.claims().raw["nats"], claims.value()["nats"], "{name}");
    }
}

/// nats-jwt knows limits, plain signing keys and default permissions, but no mappings.
#[test]
fn claims_read_the_same_for_nats_jwt() {
    let theirs = nats_jwt::KeyPair::new_operator();
    let account = nats_jwt::KeyPair::new_account();
    let text = nats_jwt::Token::new_account(account.public_key())
        .name("THEIRS")
        .add_signing_key(&nats_jwt::KeyPair::new_account())
        .max_connections(17)
        .max_payload(4096)
        .allow_publish("a")
        .deny_publish("b")
        .allow_subscribe("c")
        .deny_subscribe("d")
        .expires(4_100_000_000)
        .sign(&theirs);
    let read = |token: &str| -> nats_jwt::Claims { serde_json::from_str(&claims_text(token)).unwrap() };
    let mut claims = AccountClaims::decode(&text).unwrap();
    assert_eq!((claims.name(), claims.limits().conn, claims.signing_keys().len()), ("THEIRS", 17, 1));
    claims.set_mapping(&mapping("ours.>", &[("ours.west.>", 100, Some("west"))]));
    let ours = sign::issue(claims.value(), &operator(), claims.issued_at() + 1).unwrap();
    let (before, after) = (read(&text), read(ours.as_str()));
    assert_eq!(format!("{:?}", before.nats), format!("{:?}", after.nats));
    assert_eq!((before.sub, before.name, before.expires), (after.sub, after.name, after.expires));
    assert_eq!(after.issued_at, before.issued_at + 1);
}

#[test]
fn seeds_mean_the_same_to_nkeys() {
    use vstream_jwt::model::nkey::{KeyKind, PublicKey};
    use vstream_jwt::sign::Seed;
    let kinds = [
        (KeyKind::Operator, nkeys::KeyPairType::Operator),
        (KeyKind::Account, nkeys::KeyPairType::Account),
        (KeyKind::User, nkeys::KeyPairType::User),
    ];
    for (ours, theirs) in kinds {
        for _ in 0..50 {
            let seed = Seed::generate(ours).unwrap();
            let pair = nkeys::KeyPair::from_seed(&seed.reveal()).unwrap();
            assert_eq!(pair.public_key(), seed.public_key().to_string());
            assert_eq!(pair.sign(b"m").unwrap(), seed.sign(b"m").unwrap());
            let pair = nkeys::KeyPair::new(theirs.clone());
            let seed = Seed::parse(&pair.seed().unwrap()).unwrap();
            assert_eq!((seed.kind(), seed.public_key().to_string()), (ours, pair.public_key()));
            assert_eq!(*seed.reveal(), pair.seed().unwrap());
            assert_eq!(PublicKey::parse(&pair.public_key()).unwrap(), seed.public_key());
        }
    }
    for other in [nkeys::KeyPairType::Server, nkeys::KeyPairType::Cluster] {
        let refused = Seed::parse(&nkeys::KeyPair::new(other).seed().unwrap()).unwrap_err();
        assert_eq!(refused, vstream_jwt::sign::SeedError::UnknownKind);
    }
}
