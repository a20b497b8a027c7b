//! Resolvers of other kinds than `full`.

use crate::support::bench::{Bench, now};
use crate::support::{self, Cluster, PATIENCE, client, eventually};
use serde_json::{Value, json};
use vstream_jwt::model::claims::{Permission, Permissions};
use vstream_jwt::model::nkey::PublicKey;
use vstream_jwt::sign::user::{UserPermissions, mint_user};

const APPLY: [&str; 3] = ["apply", "--operator", "op.nk"];
const REGIONS: [&str; 3] = ["west", "central", "east"];

/// Three regions of one server, the last with a `cache` resolver that has nothing yet but the system account, without which a
/// server does not start where usage is strict.
async fn with_a_cache() -> Cluster {
    let cluster = support::small().await;
    cluster.kill("east").await.unwrap();
    let folder = cluster.server_folder(cluster.servers().iter().find(|server| server.region == "east").unwrap());
    let file = folder.join("nats-server.conf");
    let config = std::fs::read_to_string(&file).unwrap();
    let (head, rest) = config.split_once("resolver { type: full, dir: ").unwrap();
    let (resolver, tail) = rest.split_once(", allow_delete").unwrap();
    let (_, tail) = tail.split_once('\n').unwrap();
    std::fs::write(&file, format!("{head}resolver {{ type: cache, dir: {resolver}, ttl: \"1h\" }}\n{tail}")).unwrap();
    let system = format!("{}.jwt", cluster.system_account_id());
    for token in std::fs::read_dir(folder.join("jwt")).unwrap().map(|entry| entry.unwrap().path()) {
        if token.file_name().is_some_and(|name| *name != *system) {
            std::fs::remove_file(token).unwrap();
        }
    }
    cluster.start("east").await.unwrap();
    cluster.wait_ready(PATIENCE).await.unwrap();
    cluster
}

/// What a client in each region published arrives in both.
async fn flows(cluster: &Cluster, bench: &Bench<'_>) {
    let before = count(bench, "east").await;
    for region in REGIONS {
        let client = client(cluster, region).await;
        let stored = client.request("foo.x", "x".into()).await.unwrap();
        assert!(!String::from_utf8_lossy(&stored.payload).contains("error"), "{stored:?}");
    }
    for region in REGIONS {
        eventually("all messages", async || {
            (count(bench, region).await == before + REGIONS.len() as u64).then_some(())
        })
        .await;
    }
}

async fn count(bench: &Bench<'_>, region: &str) -> u64 {
    bench.api(region, "STREAM.INFO.foo", Value::Null).await["state"]["messages"].as_u64().unwrap()
}

/// To tell a cache from a server that says nothing.
fn each_verb_names_the_permission_that_it_lacks(cluster: &Cluster, bench: &Bench<'_>, definition: &Value) {
    const SUBSZ: &str = "$SYS.REQ.SERVER.PING.SUBSZ";
    let none = || Permission { allow: Vec::new(), deny: Vec::new() };
    let publish = Permission { deny: vec![SUBSZ.to_owned()], ..none() };
    let permissions = UserPermissions::Own(Permissions { publish, subscribe: none() });
    let system = PublicKey::parse(cluster.system_account_id()).unwrap();
    let user = mint_user(&bench.key("sys.nk"), Some(&system), &permissions, now() + 600, now() - 10).unwrap();
    bench.write_user("less.creds", &user);
    let mut definition = definition.clone();
    definition["system"] = json!({ "credentials": "keys/less.creds" });
    let file = bench.write("less", &definition);
    let destroy = ["destroy", "--yes", "--operator", "op.nk"];
    for verb in [&["plan"][..], &["verify"], &APPLY, &destroy] {
        let ran = bench.run(&[verb, &["--definition", &file]].concat());
        let named = ran.to_string().lines().any(|line| line.contains(" may not ") && line.contains(SUBSZ));
        assert!(ran.code == 1 && named, "{verb:?}: {ran}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_beside_full_resolvers() {
    let cluster = with_a_cache().await;
    let bench = Bench::new(&cluster).await;
    let mut definition = bench.definition();
    bench.write("vstream", &definition);
    bench.run(&["verify"]).ends(3);
    bench.says(0, &APPLY, &["3 of 3 servers confirm", "Done."]);
    bench.says(0, &["verify"], &["In sync: as defined, on all 3 servers."]);
    bench.run(&["plan"]).ends(0);
    flows(&cluster, &bench).await;
    each_verb_names_the_permission_that_it_lacks(&cluster, &bench, &definition);
    bench.run(&["destroy", "--delete-streams", "--operator", "op.nk", "--yes"]).ends(0);

    // A server applies imports of accounts that it has not loaded only after a second for each of them.
    definition["accounts"]["APP"]["layout"] = json!("regional");
    let written = bench.write("vstream", &definition);
    // A URL to it is needed for that.
    let mut without =
        serde_json::from_str::<Value>(&std::fs::read_to_string(cluster.folder().join(written)).unwrap()).unwrap();
    without["regions"]["east"]["servers"] = json!([cluster.urls("west")[0].replace("127.0.0.1", "localhost")]);
    bench.write("without", &without);
    let before = bench.tokens().await;
    for verb in [&APPLY[..], &["plan"]] {
        let ran = [verb, &["--definition", "without.yaml"]].concat();
        bench.expect(1, &ran, "cache-unreached", &["east-1", "no URL of the definition", "servers:"]);
    }
    assert!(bench.tokens().await == before, "something was pushed");
    bench.says(0, &APPLY, &["Done."]);
    bench.says(0, &["verify"], &["In sync: as defined, on all 3 servers."]);
    bench.run(&["plan"]).ends(0);
    flows(&cluster, &bench).await;
    // What needs no accounts to be loaded goes on without.
    bench.run(&["plan", "--definition", "without.yaml"]).ends(0);

    // It is away while a token is pushed, and comes back with its old copy, of which nobody knows.
    cluster.kill("east").await.unwrap();
    definition["accounts"]["APP"]["virtual_streams"]["foo"]["subjects"] = json!(["foo.>", "more.>"]);
    bench.write("vstream", &definition);
    bench.until(4, &[&APPLY[..], &["--allow", "region-missing"]].concat()).await;
    cluster.start("east").await.unwrap();
    cluster.wait_ready(PATIENCE).await.unwrap();
    let ran = bench.run(&["verify"]);
    assert!(ran.code != 0 && ran.to_string().contains("east-1 (east)"), "{ran}");
    bench.until(0, &APPLY).await;
    bench.until(0, &["verify"]).await;
    bench.run(&["plan"]).ends(0);
    flows(&cluster, &bench).await;
}
