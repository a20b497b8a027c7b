use super::*;
use crate::model::nkey::KeyKind;
use crate::sign::{Seed, Signer as _, issue};
use serde_json::json;

const NOW: u64 = 2_000_000_000;

/// An account with a plain and a scoped signing key, and one of its users, which servers accept without further
/// changes.
struct Case {
    account: Value,
    user: Value,
    strict: bool,
    said: &'static str,
    kind: &'static str,
}

struct Keys {
    account: String,
    plain: String,
    scoped: String,
    user: String,
}

impl Keys {
    fn new() -> Self {
        let key = |kind| Seed::generate(kind).unwrap().public_key().to_string();
        let [account, plain, scoped] = [(); 3].map(|()| key(KeyKind::Account));
        Self { account, plain, scoped, user: key(KeyKind::User) }
    }

    fn case(&self) -> Case {
        let scope = json!({ "kind": "user_scope", "key": self.scoped, "role": "writers",
            "template": { "subs": -1, "pub": { "allow": ["a"] } } });
        Case {
            account: json!({ "sub": self.account, "nats": { "type": "account", "version": 2,
                "limits": { "conn": 5 }, "signing_keys": [self.plain, scope] } }),
            user: json!({ "sub": self.user, "iss": self.plain, "iat": 1_900_000_000, "name": "u",
                "nats": { "type": "user", "version": 2, "issuer_account": self.account, "subs": -1 } }),
            strict: false,
            said: "authorization violation",
            kind: "STANDARD",
        }
    }
}

impl Case {
    fn account(&self) -> AccountClaims {
        let operator = Seed::generate(KeyKind::Operator).unwrap();
        AccountClaims::decode(issue(&self.account, &operator, 1).unwrap().as_str()).unwrap()
    }

    fn cause(&self) -> Option<Cause> {
        cause(&self.user, &self.account(), self.strict, self.said, self.kind, NOW)
    }
}

#[test]
fn each_cause_has_its_name() {
    let keys = Keys::new();
    let named = |change: &dyn Fn(&mut Case), what: &str| {
        let mut case = keys.case();
        change(&mut case);
        let found = case.cause().map(|cause| cause.what).unwrap_or_default();
        assert!(found.contains(what), "without `{what}`: {found}");
    };
    assert_eq!(keys.case().cause(), None);
    let strict_identity = |case: &mut Case| {
        case.user["iss"] = json!(keys.account);
        case.strict = true;
    };
    named(&strict_identity, "strict signing key usage, and the account's identity signed");
    named(&|case| case.account["nats"]["signing_keys"] = json!([]), "(or no more) a signing key of the account");
    named(
        &|case| case.user["iss"] = json!(keys.scoped),
        "of the role writers signed it, and it has permissions of its own",
    );
    named(&|case| case.account["exp"] = json!(NOW), "the account's token expired at 2033-05-18T03:33:20Z");
    let bearer = |case: &mut Case| {
        case.user["nats"]["bearer_token"] = json!(true);
        case.account["nats"]["limits"]["disallow_bearer"] = json!(true);
    };
    named(&bearer, "a bearer token, which the account does not allow");
    let kinds = |case: &mut Case| case.user["nats"]["allowed_connection_types"] = json!(["MQTT", "WEBSOCKET"]);
    named(&kinds, "may only connect as MQTT, WEBSOCKET");
    let revoke = |key: &str, before: u64| json!({ key: before });
    named(
        &|case| case.account["nats"]["revocations"] = revoke(&keys.user, 1_900_000_000),
        "its account revoked it as issued until",
    );
    named(&|case| case.account["nats"]["revocations"] = revoke("*", 1_950_000_000), "revoked all users of the account");
    let callout = |case: &mut Case| case.account["nats"]["authorization"] = json!({ "auth_users": ["UANOTHER"] });
    named(&callout, "has an auth callout, and this user is not one of the `auth_users`");
    let full = |case: &mut Case| case.said = "maximum account active connections exceeded";
    named(&full, "all 5 connections");
    // The server's message takes precedence over a likely cause.
    let full_with_callout = |case: &mut Case| {
        callout(case);
        full(case);
    };
    named(&full_with_callout, "all 5 connections");
    named(&|case| case.user["nats"]["src"] = json!(["10.0.0.0/8"]), "may only connect from 10.0.0.0/8");
    let times = |case: &mut Case| {
        case.user["nats"]["times"] = json!([{ "start": "08:00:00", "end": "09:00:00" }]);
        case.user["nats"]["times_location"] = json!("Europe/Oslo");
    };
    named(&times, "may only connect at 08:00:00 – 09:00:00 (Europe/Oslo)");
}

/// There is no cause to refuse a user that servers accept.
#[test]
fn what_is_allowed_is_not_blamed() {
    let keys = Keys::new();
    let fine = |change: &dyn Fn(&mut Case)| {
        let mut case = keys.case();
        change(&mut case);
        assert_eq!(case.cause(), None);
    };
    fine(&|case| case.user["iss"] = json!(keys.account));
    let scoped = |case: &mut Case| {
        case.user["iss"] = json!(keys.scoped);
        case.user["nats"].as_object_mut().unwrap().remove("subs");
    };
    fine(&scoped);
    fine(&|case| case.account["exp"] = json!(NOW + 1));
    fine(&|case| case.account["nats"]["revocations"] = json!({ "*": 1_899_999_999 }));
    fine(&|case| case.account["nats"]["authorization"] = json!({ "auth_users": [keys.user] }));
    fine(&|case| case.user["nats"]["allowed_connection_types"] = json!(["STANDARD"]));
    let by_web = |case: &mut Case| {
        case.user["nats"]["allowed_connection_types"] = json!(["WEBSOCKET"]);
        case.kind = "WEBSOCKET";
    };
    fine(&by_web);
    // The template counts, not the user's own settings.
    let of_template = |case: &mut Case| {
        scoped(case);
        case.account["nats"]["signing_keys"][1]["template"]["allowed_connection_types"] = json!(["STANDARD"]);
    };
    fine(&of_template);
}

#[test]
fn a_callout_may_say_nothing() {
    let keys = Keys::new();
    let mut case = keys.case();
    assert_eq!(silent_cause(&case.account()), None);
    case.account["nats"]["authorization"] = json!({ "auth_users": ["UANOTHER"] });
    assert!(silent_cause(&case.account()).unwrap().what.contains("auth callout"));
}
