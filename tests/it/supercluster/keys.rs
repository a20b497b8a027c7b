//! Which keys may sign and make users: strict signing key usage, scoped signing keys, keys of others.

use crate::support::bench::{Bench, new_seed, public};
use crate::support::{options, up};
use serde_json::{Value, json};
use vstream_jwt::model::nkey::KeyKind;

#[tokio::test(flavor = "multi_thread")]
async fn only_signing_keys_sign_where_usage_is_strict_and_scopes_are_minded() {
    let regions = vec!["west".to_owned(), "east".to_owned()];
    let strict = vstream_jwt::dev::Options { regions, servers: 1, strict_signing_keys: true, ..options() };
    let cluster = up(strict).await;
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
    let mut by_identity = definition.clone();
    by_identity["system"] = json!({ "key": "keys/sys-identity.nk" });
    bench.write("system-by-key", &by_identity);
    let said = ["keys/sys-identity.nk", "strict signing key usage", "credentials"];
    bench.expect(1, &["plan", "--definition", "system-by-key.yaml"], "authorization-violation", &said);
    bench.unchanged_since(&before, "a refusal").await;

    for (key, pending) in [("wide.nk", 3), ("app.nk", 0)] {
        by_key(key);
        bench.says(pending, &["plan", "--definition", "by-key.yaml"], &[]);
        bench.says(0, &apply, &[]);
    }
    bench.no_complaints();
}
