use super::*;
use crate::model::claims::Token;

fn claims(account: &Seed, signing_keys: Value) -> AccountClaims {
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let claims = json!({"sub": account.public_key().to_string(),
        "nats": {"type": "account", "version": 2, "signing_keys": signing_keys}});
    AccountClaims::decode(issue(&claims, &operator, 1).unwrap().as_str()).unwrap()
}

fn wanted() -> Permissions {
    let UserPermissions::Own(wanted) = UserPermissions::only(&["$JS.API.>", "a"], &["_INBOX.x.>"]) else {
        unreachable!("`only` gives permissions of its own")
    };
    wanted
}

#[test]
fn how_a_key_issues_depends_on_what_it_is() {
    let [account, plain, scoped, stranger] = [(); 4].map(|()| Seed::generate(KeyKind::Account).unwrap());
    let template =
        json!({"pub": {"allow": ["$JS.>"], "deny": ["$JS.API.STREAM.DELETE.>"]}, "sub": {"allow": ["_INBOX.>"]}});
    let scope =
        json!({"kind": "user_scope", "key": scoped.public_key().to_string(), "role": "r", "template": template});
    let claims = claims(&account, json!([plain.public_key().to_string(), scope]));
    let issuer = |seed: &Seed, strict| user_issuer(&claims, &seed.public_key(), strict, &wanted());

    let identity = issuer(&account, false).unwrap();
    assert_eq!((identity.account, identity.permissions), (None, UserPermissions::Own(wanted())));
    assert!(matches!(issuer(&account, true), Err(IssuerError::Strict { .. })));
    let by_key = issuer(&plain, true).unwrap();
    assert_eq!((by_key.account, by_key.missing.len()), (Some(account.public_key()), 0));
    let by_scope = issuer(&scoped, true).unwrap();
    assert_eq!(by_scope.permissions, UserPermissions::FromScope);
    assert_eq!(by_scope.missing, ["publish $JS.API.>", "publish a"]);
    assert!(matches!(issuer(&stranger, false), Err(IssuerError::NotOfAccount { .. })));
}

#[test]
fn denials_are_written_and_empty_lists_are_not() {
    let account = Seed::generate(KeyKind::Account).unwrap();
    let permissions = UserPermissions::Own(Permissions {
        publish: Permission { allow: vec!["a".into()], deny: vec!["a.b".into()] },
        subscribe: Permission::default(),
    });
    let user = mint_user(&account, None, &permissions, 20, 10).unwrap();
    let claims = Token::decode(user.jwt.as_str()).unwrap().into_claims();
    assert_eq!(claims["nats"]["pub"], json!({"allow": ["a"], "deny": ["a.b"]}));
    assert_eq!(claims["nats"]["sub"], json!({}));
    assert_eq!((claims["exp"].as_u64(), claims["iat"].as_u64()), (Some(20), Some(10)));
}
