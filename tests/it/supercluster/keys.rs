//! Tests which keys may sign tokens and make users: strict signing key usage, scoped signing keys, keys of other
//! accounts.

use crate::support::bench::{Bench, new_seed, public};
use crate::support::{Cluster, options, up};
use serde_json::{Value, json};
use vstream_jwt::dev::DevOptions;
use vstream_jwt::model::nkey::KeyKind;

/// Starts two regions of one server each, whose operator has strict signing key usage or not.
async fn usage(strict: bool) -> Cluster {
    let regions = vec!["west".to_owned(), "east".to_owned()];
    up(DevOptions { regions, servers: 1, strict_signing_keys: strict, ..options() }).await
}

/// Without strict usage, identity keys sign: the operator's signs account tokens, and an account's signs its users,
/// even in the system account. All other tests have an operator with strict usage.
#[tokio::test(flavor = "multi_thread")]
async fn identities_sign_where_usage_is_not_strict() {
    let cluster = usage(false).await;
    let bench = Bench::new(&cluster).await;
    let mut definition = bench.definition();
    definition["system"] = json!({ "key": "keys/sys-identity.nk" });
    let account = definition["accounts"]["APP"].as_object_mut().unwrap();
    account.remove("credentials");
    account.insert("key".to_owned(), json!("keys/app-identity.nk"));
    account.insert("layout".to_owned(), json!("regional"));
    bench.write("vstream", &definition);
    let apply = ["apply", "--operator", "operator-identity.nk"];
    bench.says(0, &apply, &["Done"]);
    assert_eq!(bench.claims().await["iss"], cluster.operator_id());
    let regional = bench.claims_of(&public(&bench.regional_identity("west"))).await;
    assert_eq!(regional["iss"], cluster.operator_id());
    bench.says(0, &["verify"], &["In sync"]);
    bench.says(0, &["plan"], &[]);

    // The identity key of a regional account is enough too.
    std::fs::remove_file(cluster.keys_folder().join("APP-west-signing.nk")).unwrap();
    definition["accounts"]["APP"]["virtual_streams"]["bar"] = json!({ "subjects": ["bar.>"] });
    bench.write("vstream", &definition);
    bench.says(0, &apply, &["Done"]);
    bench.says(0, &["verify"], &["In sync"]);
    bench.run(&["destroy", "--operator", "operator-identity.nk", "--delete-streams", "--yes"]).ends(0);
}

/// Regional accounts get signing keys, because servers refuse users that their identity keys sign.
#[tokio::test(flavor = "multi_thread")]
async fn the_default_layout_is_made_where_usage_is_strict() {
    let cluster = usage(true).await;
    let bench = Bench::new(&cluster).await;
    let mut definition = bench.definition();
    definition["accounts"]["APP"]["layout"] = json!("regional");
    bench.write("vstream", &definition);
    // A plan file names the keys, so they must exist first.
    bench.expect(1, &["plan", "--out", "first.vsplan"], "regional-keys-first", &["APP-west", "--regional"]);
    bench.says(0, &["keys", "generate", "--regional"], &["APP-west-signing.nk", "APP-east-signing.nk"]);
    bench.run(&["plan", "--out", "first.vsplan"]).ends(3);
    bench.run(&["sign", "first.vsplan", "--out", "signed.vsplan", "--operator", "op.nk", "--yes"]).ends(0);
    bench.run(&["apply", "signed.vsplan"]).ends(0);
    bench.says(0, &["verify"], &["In sync"]);
    bench.run(&["plan"]).ends(0);
    for region in ["west", "east"] {
        let id = public(&bench.regional_identity(region));
        let signing = public(&bench.regional_key(region));
        let claims = bench.claims_of(&id).await;
        assert_eq!(claims["nats"]["signing_keys"], json!([signing]), "{claims}");
    }

    // One regional account only has an identity key, which cannot make users here. `apply` changes nothing until there
    // is a key that can, even if the operator would sign another one.
    let file = cluster.keys_folder().join(format!("{}-signing.nk", cluster.regional_account("west")));
    std::fs::remove_file(&file).unwrap();
    bench.says(0, &["verify"], &["In sync"]);
    bench.run(&["plan"]).ends(0);
    definition["accounts"]["APP"]["virtual_streams"]["bar"] = json!({ "subjects": ["bar.>"] });
    bench.write("vstream", &definition);
    let before = bench.everything().await;
    let apply = ["apply", "--operator", "op.nk"];
    let said = ["account APP-west", "strict signing key usage", "-signing.nk", "--allow regional-key-missing"];
    bench.expect(1, &apply, "regional-key-missing", &said);
    bench.unchanged_since(&before, "a signing key that is missing").await;
    bench.says(0, &[&apply[..], &["--allow", "regional-key-missing"]].concat(), &["Done"]);
    assert!(!file.exists());
    let west = bench.claims_of(&public(&bench.regional_identity("west"))).await;
    assert_eq!(west["nats"]["signing_keys"].as_array().unwrap().len(), 2, "{west}");

    // This also holds if only the plan has no token to push: the plan with the new key leaves a record like any other.
    let new = cluster.keys_folder().join(format!("{}-signing-1.nk", cluster.regional_account("west")));
    std::fs::remove_file(&new).unwrap();
    definition["accounts"]["APP"]["virtual_streams"]["bar"]["read"] = json!({ "description": "changed" });
    bench.write("vstream", &definition);
    let records = || std::fs::read_dir(cluster.folder().join("history")).unwrap().count();
    let before = records();
    bench.says(0, &[&apply[..], &["--allow", "regional-key-missing"]].concat(), &["Done"]);
    assert_eq!(records(), before + 1);
    let west = bench.claims_of(&public(&bench.regional_identity("west"))).await;
    assert_eq!(west["nats"]["signing_keys"].as_array().unwrap().len(), 3, "{west}");
    bench.says(0, &["verify"], &["In sync"]);
    bench.run(&["plan"]).ends(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_signing_keys_sign_where_usage_is_strict_and_scopes_are_minded() {
    let cluster = usage(true).await;
    let bench = Bench::new(&cluster).await;
    let (wide, narrow, foreign) = (new_seed(KeyKind::Account), new_seed(KeyKind::Account), new_seed(KeyKind::Account));
    for (name, seed) in [("wide.nk", &wide), ("narrow.nk", &narrow), ("foreign.nk", &foreign)] {
        bench.write_key(name, seed.reveal().as_str());
    }
    let scope = |seed, allow: &[&str]| {
        let template = json!({ "pub": { "allow": allow }, "sub": { "allow": ["_INBOX.>"] } });
        json!({ "kind": "user_scope", "key": public(seed), "role": allow[0], "template": template })
    };
    let mut claims = bench.claims().await;
    let keys = claims["nats"]["signing_keys"].as_array_mut().unwrap();
    keys.extend([scope(&wide, &["$JS.API.>", "$VSTREAM.LEASE"]), scope(&narrow, &["$JS.API.STREAM.INFO.*"])]);
    bench.push(&claims).await;
    let before = bench.everything().await;

    let one = json!({ "num_replicas": 1 });
    let mut definition = bench.definition();
    definition["accounts"]["APP"]["virtual_streams"]["foo"] =
        json!({ "subjects": ["foo.>"], "write": one, "read": one });
    bench.write("vstream", &definition);
    let said = [
        "is the identity of operator vstream-dev, and strict signing key usage is on",
        &public(&bench.key("op.nk")),
        "nothing was changed",
    ];
    bench.expect(1, &["apply", "--operator", "operator-identity.nk"], "signer-untrusted", &said);

    let by_key = |name: &str| {
        let mut definition = definition.clone();
        let account = definition["accounts"]["APP"].as_object_mut().unwrap();
        account.remove("credentials");
        account.insert("key".to_owned(), Value::from(format!("keys/{name}")));
        bench.write("by-key", &definition)
    };
    let apply = ["apply", "--operator", "op.nk", "--definition", "by-key.yaml"];
    for (key, code, said) in [
        ("app-identity.nk", "strict-signing-keys", ["strict signing key usage", "signing key of the account"]),
        ("foreign.nk", "key-of-another-account", [&public(&foreign), "signing key of the account"]),
        ("narrow.nk", "scope-too-narrow", ["publish $JS.API.STREAM.CREATE.foo-write-west", "Widen the scope"]),
        ("op.nk", "key-unusable", ["keys/op.nk", "seed of the account"]),
    ] {
        by_key(key);
        bench.expect(1, &apply, code, &[&said[..], &["account APP", key, "next:"]].concat());
    }
    let by_system_key = |name: &str| {
        let mut definition = definition.clone();
        definition["operator"] = json!(cluster.operator_id());
        definition["system"] = json!({ "key": format!("keys/{name}") });
        bench.write("system-by-key", &definition);
    };
    let plan = ["plan", "--definition", "system-by-key.yaml"];
    by_system_key("sys-identity.nk");
    let said = ["keys/sys-identity.nk", "strict signing key usage", "signing key of the system account"];
    bench.expect(1, &plan, "strict-signing-keys", &said);
    by_system_key("foreign.nk");
    bench.expect(1, &plan, "authorization-violation", &["foreign.nk", cluster.system_account_id()]);
    // The operator's token names the account of a signing key.
    by_system_key("sys.nk");
    bench.says(3, &plan, &[]);
    let operator = cluster.folder().join("operator.jwt");
    let token = std::fs::read(&operator).unwrap();
    std::fs::remove_file(&operator).unwrap();
    bench.expect(1, &plan, "authorization-violation", &["sys.nk", "operator.jwt"]);
    std::fs::write(&operator, token).unwrap();
    bench.unchanged_since(&before, "a refusal").await;

    for (key, pending) in [("wide.nk", 3), ("app.nk", 0)] {
        by_key(key);
        bench.says(pending, &["plan", "--definition", "by-key.yaml"], &[]);
        bench.says(0, &apply, &[]);
    }
}
