//! Users that servers refuse. Servers give almost no reason, but the account's token shows it.

use crate::support::bench::{Bench, new_seed, now, public};
use crate::support::{self, eventually};
use serde_json::{Value, json};
use std::time::Duration;
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::sign::user::{UserPermissions, mint_user};

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
        (of_account("revocations", json!({ "*": now() })), "revoked all users", "nsc add user"),
        (of_account("signing_keys", others), &public(&signing), "nsc add user"),
        (
            of_account("signing_keys", scoped),
            "the role writers signed it, and it has permissions of its own",
            "without permissions",
        ),
    ];
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
    bench.push(&good).await;
    bench.until(3, &plan).await;
    // Older servers disconnect all clients.
    let one = support::client(&cluster, "west").await;
    bench.push(&of_account("limits", limits(1))).await;
    let ran = bench.until(1, &plan).await;
    let said = ["account APP", "all 1 connections", "next:", "--conns"];
    assert!(said.iter().all(|said| ran.to_string().contains(said)), "{ran}");
    drop(one);
    bench.push(&good).await;
    bench.until(3, &plan).await;

    // Tested last: servers of 2.10 keep using the callout after it is removed from the token.
    let callout = json!({ "auth_users": [public(&new_seed(KeyKind::User))] });
    bench.push(&of_account("authorization", callout)).await;
    // Until it is in force on all servers, a connection may succeed and then break.
    eventually("an auth callout is named", async || {
        let ran = bench.run(&plan);
        let said = ["account APP", "auth callout", "--auth-user"];
        let is_named = ran.code == 1 && said.iter().all(|said| ran.to_string().contains(said));
        if !is_named {
            eprintln!("{ran}");
        }
        is_named.then_some(())
    })
    .await;
}

/// A role whose template was enough before the mappings: the run names it before they are in force, and servers do
/// refuse its users.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_too_narrow_is_named_before_the_mappings_are_in_force() {
    let cluster = support::account().await;
    let bench = Bench::new(&cluster).await;
    bench.write("vstream", &bench.definition());
    let signing = new_seed(KeyKind::Account);
    let with_role = async |allow: &[&str]| {
        let mut claims = bench.claims().await;
        let keys = claims["nats"]["signing_keys"].as_array_mut().unwrap();
        keys.retain(|key| key["role"] != "writers");
        let template = json!({ "subs": -1, "data": -1, "payload": -1, "pub": { "allow": allow }, "sub": { "allow": ["_INBOX.>"] } });
        keys.push(json!({ "kind": "user_scope", "key": public(&signing), "role": "writers", "template": template }));
        bench.push(&claims).await;
    };
    with_role(&["foo.new", "$JS.API.>", "$JS.ACK.>"]).await;
    let before = bench.everything().await;
    let apply = ["apply", "--operator", "op.nk"];
    let said = ["role writers", "may publish on foo.new, which would become $VW.", "render permissions"];
    bench.expect(1, &apply, "role-lacks-permissions", &said);
    bench.unchanged_since(&before, "a role that is too narrow").await;

    // Servers refuse the publish that the finding names, and `verify` still reports it.
    bench.says(0, &[&apply[..], &["--allow", "role-lacks-permissions"]].concat(), &["Done"]);
    bench.says(0, &["verify"], &["role-lacks-permissions", "foo.new, which becomes $VW."]);
    let publish = async || {
        let account = PublicKey::parse(cluster.account_id()).unwrap();
        let user = mint_user(&signing, Some(&account), &UserPermissions::FromScope, now() + 600, now()).unwrap();
        let client =
            support::connect_as(cluster.urls("west"), user.jwt.as_str(), user.seed.reveal().as_str()).await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), client.request("foo.new", "x".into())).await.ok()?.ok()
    };
    assert!(publish().await.is_none(), "a server took what it should refuse");

    with_role(&["foo.new", "$VW.*.foo.new", "$JS.API.>", "$JS.ACK.>"]).await;
    let ran = bench.until(0, &["verify"]).await;
    assert!(!ran.to_string().contains("role-lacks"), "{ran}");
    assert!(publish().await.is_some(), "a server refused what it should take");
}
