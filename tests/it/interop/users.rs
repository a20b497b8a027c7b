//! Users that are minted for one run.

use crate::interop::fixtures::{claims_text, token};
use crate::interop::others::ring_accepts;
use serde_json::Value;
use vstream_jwt::model::claims::Token;
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::sign::user::{UserPermissions, mint_user};
use vstream_jwt::sign::{Seed, Signer as _};

#[test]
fn users_are_short_lived_and_narrow() {
    let out = std::env::var_os("VSTREAM_INTEROP_OUT").map(std::path::PathBuf::from);
    let identity = Seed::generate(KeyKind::Account).unwrap();
    let signing = Seed::generate(KeyKind::Account).unwrap();
    let account = identity.public_key();
    let narrow = UserPermissions::only(&["$JS.API.INFO"], &["_INBOX.>"]);
    let cases = [
        ("user-by-identity", &identity, None, &narrow),
        ("user-by-signing-key", &signing, Some(&account), &narrow),
        ("user-scoped", &signing, Some(&account), &UserPermissions::FromScope),
    ];
    for (name, signer, issuer_account, permissions) in cases {
        let user = mint_user(signer, issuer_account, permissions, 4_000_000_600, 4_000_000_000).unwrap();
        assert!(ring_accepts(user.jwt.as_str(), signer.public_key().bytes()));
        let claims = Token::decode(user.jwt.as_str()).unwrap().into_claims();
        assert_eq!(claims["sub"], user.seed.public_key().to_string());
        assert_eq!((claims["exp"].as_u64(), claims["iat"].as_u64()), (Some(4_000_000_600), Some(4_000_000_000)));
        let named = claims["nats"].get("issuer_account").and_then(Value::as_str).map(str::to_owned);
        assert_eq!(named, issuer_account.map(ToString::to_string));
        let scoped = *permissions == UserPermissions::FromScope;
        assert_eq!(claims["nats"].get("pub").is_none() && claims["nats"].get("subs").is_none(), scoped);
        assert!(!format!("{user:?}").contains(user.seed.reveal().as_str()));
        if let Some(out) = &out {
            std::fs::create_dir_all(out).unwrap();
            std::fs::write(out.join(format!("{name}.jwt")), user.jwt.as_str()).unwrap();
        }
    }
    assert!(mint_user(&Seed::generate(KeyKind::Operator).unwrap(), None, &narrow, 2, 1).is_err());
    assert!(claims_text(&token("user")).contains("\"type\":\"user\""));
}
