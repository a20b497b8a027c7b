//! Users that servers refuse: they say hardly why, and the account's token does.

use crate::support;
use crate::support::bench::{Bench, new_seed, now, public};
use serde_json::{Value, json};
use vstream_jwt::model::nkey::KeyKind;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_refused_user_lacks_is_named() {
    let cluster = support::account().await;
    let bench = Bench::new(&cluster).await;
    bench.write("vstream", &bench.definition());
    let (signing, stranger) = (new_seed(KeyKind::Account), new_seed(KeyKind::Account));
    bench.write_credentials("own.creds", &signing, cluster.account_id(), now() + 3600);
    let mut by_own = bench.definition();
    by_own["accounts"]["APP"]["credentials"] = json!("keys/own.creds");
    bench.write("own", &by_own);

    let mut good = bench.claims().await;
    good["nats"]["signing_keys"].as_array_mut().unwrap().push(json!(public(&signing)));
    bench.push(&good).await;
    let plan = ["plan", "--definition", "own.yaml"];
    bench.run(&plan).ends(3);

    let scope = json!({ "kind": "user_scope", "key": public(&signing), "role": "writers", "template": {} });
    let mut scoped = good["nats"]["signing_keys"].clone();
    *scoped.as_array_mut().unwrap().last_mut().unwrap() = scope;
    let others: Value = json!([public(&stranger)]);
    let of_account = |field: &str, value: Value| {
        let mut claims = good.clone();
        claims["nats"][field] = value;
        claims
    };
    let limits = |conn: u64| {
        let mut limits = good["nats"]["limits"].clone();
        limits["conn"] = json!(conn);
        limits
    };
    let cases = [
        (
            of_account("authorization", json!({ "auth_users": [public(&new_seed(KeyKind::User))] })),
            "auth callout",
            "--auth-user",
        ),
        (of_account("revocations", json!({ "*": now() })), "revoked all users", "nsc add user"),
        (of_account("signing_keys", others), &public(&signing), "nsc add user"),
        (
            of_account("signing_keys", scoped),
            "the role writers signed it, and it has permissions of its own",
            "without permissions",
        ),
        (of_account("limits", limits(1)), "all 1 connections", "--conns"),
    ];
    let one = support::client(&cluster, "west").await;
    for (claims, cause, next) in cases {
        bench.push(&claims).await;
        let before = bench.tokens().await;
        bench.expect(1, &plan, "authorization-violation", &["account APP", cause, "next:", next]);
        bench.expect(
            1,
            &["apply", "--operator", "op.nk", "--definition", "own.yaml"],
            "authorization-violation",
            &[cause],
        );
        assert!(bench.tokens().await == before, "{cause}: something was pushed");
    }
    drop(one);
    bench.push(&good).await;
    bench.until(3, &plan).await;
}
