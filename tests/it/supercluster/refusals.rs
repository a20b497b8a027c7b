//! Refusals of a run: each for its own reason, with the next step, and without a change on any server.

use crate::support::bench::{Bench, new_seed, now, public, set_mode};
use crate::support::{PATIENCE, account, client, cluster, eventually, version};
use serde_json::{Value, json};
use vstream_jwt::model::nkey::KeyKind;

fn apply(definition: &str) -> Vec<&str> {
    vec!["apply", "--operator", "op.nk", "--definition", definition]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_reason_and_changes_nothing() {
    let cluster = account().await;
    let bench = Bench::new(&cluster).await.replicated();
    let before = bench.everything().await;
    access(&bench);
    operator_keys(&bench);
    definition_and_deployment(&bench);
    bench.unchanged_since(&before, "a refusal").await;
    account_limits(&bench).await;
    one_consumer_of_each_tier(&bench).await;
    others_in_the_way(&bench).await;
    regional_account_of_another(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_servers_that_do_not_allow_it_are_named() {
    let cluster = cluster().await;
    let bench = Bench::new(&cluster).await;
    settings_of_servers(&bench).await;
}

/// Writes a definition that differs in one value; `path` is a JSON pointer.
fn with(bench: &Bench<'_>, name: &str, path: &str, value: Value) -> String {
    let mut definition = bench.definition();
    let (parent, key) = path.rsplit_once('/').unwrap();
    definition.pointer_mut(parent).unwrap()[key] = value;
    bench.write(name, &definition)
}

fn access(bench: &Bench<'_>) {
    let (app, system) = (bench.cluster.account_id(), bench.cluster.system_account_id());
    let refused = |name: &str, path: &str, value: Value, code: &str, said: &[&str]| {
        let file = with(bench, name, path, value);
        bench.expect(1, &apply(&file), code, &[said, &["next:"]].concat());
    };
    let credentials = |file: &str| json!({ "credentials": file });
    let (of_app, of_system) = ("/accounts/APP/credentials", "/system");

    let said = ["system credentials are of account", app, "Name credentials of the system account"];
    refused("system-is-app", of_system, credentials("keys/app.creds"), "system-account", &said);
    let said = ["account APP", "keys/sys.creds", system, app, "Name credentials of that account"];
    refused("app-is-system", of_app, json!("keys/sys.creds"), "credentials-of-another-account", &said);

    bench.write_credentials("old-sys.creds", &bench.key("sys.nk"), system, now() - 120);
    let said = ["keys/old-sys.creds", "expired 2 minutes ago"];
    refused("old-system", of_system, credentials("keys/old-sys.creds"), "credentials-expired", &said);
    bench.write_credentials("old-app.creds", &bench.key("app.nk"), app, now() - 120);
    let said = ["account APP", "keys/old-app.creds", "expired 2 minutes ago"];
    refused("old-app", of_app, json!("keys/old-app.creds"), "credentials-expired", &said);

    let said = ["keys/none.creds", "no such file"];
    refused("no-file", of_system, credentials("keys/none.creds"), "file-unreadable", &said);
    let whole = std::fs::read_to_string(bench.cluster.system_credentials_path()).unwrap();
    let cut = whole.find("------END NATS USER JWT").unwrap() - 20;
    bench.write_key("broken.creds", &[&whole[..cut], &whole[cut + 19..]].concat());
    refused("broken", of_system, credentials("keys/broken.creds"), "credentials-invalid", &["keys/broken.creds"]);

    let said = ["keys/op.nk", "operator", "seed of the account"];
    refused("key-of-operator", of_system, json!({ "key": "keys/op.nk" }), "key-unusable", &said);
    let open = bench.write_key("open.nk", bench.key("sys.nk").reveal().as_str());
    set_mode(&open, 0o644);
    refused("open-key", of_system, json!({ "key": "keys/open.nk" }), "key-unusable", &["keys/open.nk", "chmod 600"]);

    let mut definition = bench.definition();
    for (port, region) in bench.cluster.regions().iter().enumerate() {
        definition["regions"][region] = json!({ "servers": [format!("nats://127.0.0.1:{}", port + 1)] });
    }
    let file = bench.write("nobody", &definition);
    bench.expect(1, &apply(&file), "unreachable", &["nats://127.0.0.1:1", "refused", "next:"]);

    let nobody = public(&new_seed(KeyKind::Account));
    let said = ["account APP", "no server has a token of it", "nsc push"];
    refused("no-account", "/accounts/APP/id", json!(nobody), "account-unknown", &said);
}

fn operator_keys(bench: &Bench<'_>) {
    let file = bench.write("plain", &bench.definition());
    let refused = |exit, operator: &[&str], env: &[(&str, &str)], code: &str, said: &[&str]| {
        let args = [&["apply", "--definition", &file], operator].concat();
        bench.expect_with(exit, &args, env, code, &[said, &["next:"]].concat());
    };
    let key = |name: &'static str| ["--operator", name];

    refused(2, &[], &[], "no-operator-key", &["nothing was changed", "--operator FILE"]);
    refused(2, &key("none.nk"), &[], "operator-key", &["none.nk"]);
    refused(2, &key("app.nk"), &[], "operator-key", &["app.nk", "account", "SO…"]);
    let seed = new_seed(KeyKind::Operator);
    let open = bench.write_key("open-op.nk", bench.key("op.nk").reveal().as_str());
    set_mode(&open, 0o644);
    refused(2, &key("open-op.nk"), &[], "operator-key", &["open-op.nk", "chmod 600"]);
    bench.write_key("broken-op.nk", &seed.reveal()[..40]);
    refused(2, &key("broken-op.nk"), &[], "operator-key", &["broken-op.nk"]);
    let as_argument = bench.key("op.nk").reveal();
    refused(2, &["--operator", as_argument.as_str()], &[], "operator-key", &["seed"]);
    let both = [("VSTREAM_OPERATOR_FILE", "op.nk"), ("VSTREAM_OPERATOR_SEED", as_argument.as_str())];
    refused(2, &[], &both, "operator-key", &["VSTREAM_OPERATOR_FILE", "VSTREAM_OPERATOR_SEED"]);
    let both = [("VSTREAM_OPERATOR_FILE", "op.nk"), ("VSTREAM_OPERATOR_CMD", "exit 9")];
    refused(2, &[], &both, "operator-key", &["VSTREAM_OPERATOR_FILE", "VSTREAM_OPERATOR_CMD"]);

    bench.write_key("other-op.nk", seed.reveal().as_str());
    let said = [&public(&seed), "not a key of the operator", &public(&bench.key("op.nk")), "nothing was changed"];
    refused(1, &key("other-op.nk"), &[], "signer-untrusted", &said);
    std::fs::remove_file(open).unwrap();
}

fn definition_and_deployment(bench: &Bench<'_>) {
    let mut definition = bench.definition();
    definition["regions"].as_object_mut().unwrap().remove("east");
    let file = bench.write("two-regions", &definition);
    let said = ["cluster east", "no region of the definition covers", "Add a region with `cluster: east`"];
    bench.expect(1, &apply(&file), "cluster-uncovered", &said);

    let north = json!({ "servers": ["nats://127.0.0.1:1"] });
    let file = with(bench, "four-regions", "/regions/north", north);
    let said = ["region north", "no server of cluster north", "--allow region-missing"];
    bench.expect(1, &apply(&file), "region-missing", &said);

    let serves = json!({ "servers": bench.cluster.urls("west"), "serves": ["wset"] });
    let mut definition = bench.definition();
    definition["accounts"]["APP"]["layout"] = json!("regional");
    definition["regions"]["west"] = serves;
    let file = bench.write("serves-nobody", &definition);
    bench.expect(1, &apply(&file), "served-cluster-missing", &["region west", "wset", "next:"]);

    let wests = json!({ "cluster": "wests", "servers": bench.cluster.urls("west") });
    let file = with(bench, "misspelt", "/regions/west", wests);
    bench.expect(1, &apply(&file), "region-missing", &["Did you mean `cluster: west`?"]);
}

async fn account_limits(bench: &Bench<'_>) {
    let file = bench.write("plain", &bench.definition());
    let claims = bench.claims().await;
    let limited = async |change: &dyn Fn(&mut Value), code: &str, said: &[&str]| {
        let mut changed = claims.clone();
        change(&mut changed["nats"]);
        bench.push(&changed).await;
        let before = bench.everything().await;
        bench.expect(1, &apply(&file), code, &[said, &["account APP", "next:"]].concat());
        bench.unchanged_since(&before, code).await;
    };

    let none: &dyn Fn(&mut Value) = &|nats| {
        for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
            nats["limits"][limit] = json!(0);
        }
    };
    limited(none, "jetstream-not-enabled", &["JetStream"]).await;
    let tier = json!({ "disk_storage": -1, "mem_storage": -1, "streams": -1, "consumer": -1 });
    let only_r1: &dyn Fn(&mut Value) = &|nats| nats["limits"]["tiered_limits"] = json!({ "R1": tier });
    limited(only_r1, "tier-missing", &["R3"]).await;
    // The consumers of sources have one replica.
    let only_r3: &dyn Fn(&mut Value) = &|nats| nats["limits"]["tiered_limits"] = json!({ "R3": tier });
    limited(only_r3, "tier-missing", &["no tier R1", "nothing would be copied", "--js-tier 1"]).await;
    limited(&|nats| nats["limits"]["streams"] = json!(5), "stream-limit", &["5"]).await;
    let most: &dyn Fn(&mut Value) = &|nats| nats["limits"]["max_bytes_required"] = json!(true);
    limited(most, "max-bytes-required", &["max_bytes"]).await;

    // Six streams of 1 GB, with three replicas each.
    let mut definition = bench.definition();
    let stream = &mut definition["accounts"]["APP"]["virtual_streams"]["foo"];
    stream["write"] = json!({ "max_bytes": "1GB" });
    stream["read"] = json!({ "max_bytes": "1GB" });
    bench.write("plain", &definition);
    let five: &dyn Fn(&mut Value) = &|nats| nats["limits"]["disk_storage"] = json!(5_000_000_000_u64);
    limited(five, "storage-limit", &["file storage"]).await;
    // Six of 100 MB would fit if another stream, which is empty, did not reserve most of the storage.
    let stream = &mut definition["accounts"]["APP"]["virtual_streams"]["foo"];
    stream["write"] = json!({ "max_bytes": "100MB" });
    stream["read"] = json!({ "max_bytes": "100MB" });
    bench.write("plain", &definition);
    bench.says(3, &["plan", "--definition", "plain.yaml", "--allow", "old-values-return"], &[]);
    bench
        .make_stream(json!({ "name": "held", "subjects": ["held"], "max_bytes": 4_000_000_000_u64, "num_replicas": 1 }))
        .await;
    limited(five, "storage-limit", &["file storage", "4000000000 of 5000000000 are used"]).await;
    bench.delete_stream("held").await;
    // Stored messages take most of the allowed storage.
    bench.make_stream(json!({ "name": "held", "subjects": ["held"], "num_replicas": 1 })).await;
    let client = client(bench.cluster, "west").await;
    for _ in 0..4 {
        let answer = client.request("held", vec![b'x'; 950_000].into()).await.unwrap();
        assert!(answer.payload.starts_with(b"{\"stream\":\"held\""), "{answer:?}");
    }
    // Servers tell each other only now and then how much an account uses.
    eventually("the account's usage is known", async || {
        (bench.api("west", "INFO", Value::Null).await["storage"].as_u64()? > 3_800_000).then_some(())
    })
    .await;
    let mut full = claims.clone();
    full["nats"]["limits"]["disk_storage"] = json!(4_100_000);
    bench.push(&full).await;
    bench.write("plain", &bench.definition());
    let said = ["account APP", "of 4100000 bytes of file storage are used", "servers refuse messages"];
    bench.expect(3, &["plan", "--definition", "plain.yaml"], "storage-nearly-full", &said);
    bench.delete_stream("held").await;
    bench.write("plain", &bench.definition());

    // The stored token fits, but with the mappings it is over 1 MiB.
    let long = "x".repeat(785_000);
    limited(&|nats| nats["note"] = json!(long), "token-too-large", &["1048576"]).await;
    bench.push(&claims).await;
}

/// The account allows one consumer per stream in each tier. Servers before 2.15.1 also count the consumers of other
/// tiers.
async fn one_consumer_of_each_tier(bench: &Bench<'_>) {
    let claims = bench.claims().await;
    let mut tiered = claims.clone();
    let tier = json!({ "disk_storage": -1, "mem_storage": -1, "streams": -1, "consumer": 1 });
    tiered["nats"]["limits"]["tiered_limits"] = json!({ "R1": tier, "R3": tier });
    bench.push(&tiered).await;
    let with_consumers = |consumers: Value| {
        let file = with(bench, "tiers", "/accounts/APP/virtual_streams/foo/consumers", consumers);
        apply(&file).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = |consumers: Value| {
        let args = with_consumers(consumers);
        bench.run(&args.iter().map(String::as_str).chain(["--allow", "old-values-return"]).collect::<Vec<_>>())
    };
    let refused = |consumers: Value| {
        let ran = run(consumers);
        assert!(ran.code == 1 && ran.to_string().contains("[consumer-limit]"), "{ran}");
    };
    let [one, three] = [1, 3].map(|replicas| json!({ "num_replicas": replicas }));
    refused(json!({ "first": three, "second": three }));
    let by_tier = vstream_jwt::model::server_version::numbers(bench.cluster.server_version()).ge([2, 15, 1]);
    let both = json!({ "one": one, "three": three });
    if by_tier {
        run(both).ends(0);
    } else {
        refused(both);
        run(json!({ "three": three })).ends(0);
    }
    // The server's answer to one more consumer.
    let more = |replicas: u64| {
        let config = json!({ "durable_name": "more", "ack_policy": "explicit", "num_replicas": replicas });
        json!({ "stream_name": "foo-read-west", "config": config })
    };
    let subject = "CONSUMER.DURABLE.CREATE.foo-read-west.more";
    for replicas in [1, 3] {
        let answer = bench.api("west", subject, more(replicas)).await;
        assert_eq!(answer["error"]["err_code"], 10026, "{answer}");
    }
    bench.run(&["destroy", "--definition", "tiers.yaml", "--delete-streams", "--operator", "op.nk", "--yes"]).ends(0);
    bench.push(&claims).await;
}

async fn others_in_the_way(bench: &Bench<'_>) {
    let file = bench.write("plain", &bench.definition());
    let refused = async |config: Value, code: &str, said: &[&str]| {
        let name = config["name"].as_str().unwrap().to_owned();
        bench.make_stream(config).await;
        let before = bench.everything().await;
        bench.expect(1, &apply(&file), code, &[said, &["stream", &name, "next:"]].concat());
        bench.unchanged_since(&before, code).await;
        bench.delete_stream(&name).await;
    };
    refused(
        json!({ "name": "foo", "subjects": ["other"] }),
        "virtual-name-taken",
        &["Give the virtual stream another name"],
    )
    .await;
    refused(json!({ "name": "old", "subjects": ["$VW.west.>"] }), "subjects-taken", &["nats stream rm old"]).await;
    refused(
        json!({ "name": "old", "subjects": ["foo.orders"] }),
        "captures-virtual-subjects",
        &["subjects of foo.>", "--allow"],
    )
    .await;
    refused(
        json!({
            "name": "foo-write-west", "subjects": ["foo.west.>"],
            "metadata": { "vstream.name": "foo", "vstream.region": "west", "vstream.role": "write" },
        }),
        "former-shape",
        &["an earlier version of vstream-jwt made it", "`destroy foo --delete-streams`"],
    )
    .await;

    // Another stream captures the subject of the lease.
    bench.make_stream(json!({ "name": "old", "subjects": ["$VSTREAM.>"] })).await;
    let before = bench.everything().await;
    let said = [
        "account APP, stream old: it is where the lease that keeps two runs apart has to be",
        "captures $VSTREAM",
        "next:",
    ];
    bench.expect(1, &apply(&file), "lease-unreachable", &said);
    bench.unchanged_since(&before, "a lease that cannot be taken").await;
    bench.delete_stream("old").await;

    let claims = bench.claims().await;
    let mapped = async |source: &str, code: &str, said: &[&str]| {
        let mut changed = claims.clone();
        changed["nats"]["mappings"] = json!({ source: [{ "subject": source.replace("foo", "elsewhere") }] });
        bench.push(&changed).await;
        let before = bench.everything().await;
        bench.expect(1, &apply(&file), code, &[said, &["account APP", source, "next:"]].concat());
        bench.unchanged_since(&before, code).await;
    };
    mapped("foo.special", "overlapping-sources", &["foo.>"]).await;
    let mut exporting = claims.clone();
    exporting["nats"]["exports"] = json!([{ "name": "desk", "subject": "foo.desk.*", "type": "service" }]);
    bench.push(&exporting).await;
    let said = ["service export foo.desk.* of desk", "mapped by `foo.>`", "--allow service-export-stops"];
    bench.expect(1, &apply(&file), "service-export-stops", &said);

    mapped("foo.>", "foreign-mapping", &["elsewhere", "--adopt"]).await;
    bench.push(&claims).await;
}

/// The definition names an account that serves another application's region as one of ours.
async fn regional_account_of_another(bench: &Bench<'_>) {
    let mut given = serde_json::Map::new();
    let other = public(&new_seed(KeyKind::Account)).to_lowercase();
    for region in bench.cluster.regions() {
        let (identity, signing) = (new_seed(KeyKind::Account), new_seed(KeyKind::Account));
        let mut claims = bench.claims().await;
        claims["sub"] = json!(public(&identity));
        claims["name"] = json!(format!("theirs-{region}"));
        claims["nats"]["signing_keys"] = json!([public(&signing)]);
        claims["nats"]["tags"] = json!([format!("vstream.application:{other}")]);
        bench.push_signed(&bench.key("op.nk"), &claims, now()).await;
        let file = format!("theirs-{region}.creds");
        bench.write_credentials(&file, &signing, &public(&identity), now() + 3600);
        given.insert(region.clone(), json!({ "id": public(&identity), "credentials": format!("keys/{file}") }));
    }
    let mut definition = bench.definition();
    definition["accounts"]["APP"]["layout"] = json!("regional");
    definition["accounts"]["APP"]["regional_accounts"] = given.into();
    let file = bench.write("taken", &definition);
    let before = bench.everything().await;
    let said = ["account APP-west", "serves another application already", &other, "one regional account serves one"];
    bench.expect(1, &apply(&file), "regional-account-taken", &said);
    bench.unchanged_since(&before, "a regional account of another").await;

    // nsc knows accounts by their names, so it would take this one for ours.
    let mut claims = bench.claims().await;
    let other = public(&new_seed(KeyKind::Account));
    claims["sub"] = json!(other);
    claims["name"] = json!(bench.cluster.regional_account("west"));
    bench.push_signed(&bench.key("op.nk"), &claims, now()).await;
    definition["accounts"]["APP"].as_object_mut().unwrap().remove("regional_accounts");
    let file = bench.write("named", &definition);
    let before = bench.everything().await;
    let said = ["account APP-west", "another account has this name already", &other, "regional_accounts"];
    bench.expect(1, &apply(&file), "regional-name-taken", &said);
    bench.unchanged_since(&before, "a name that is taken").await;
}

/// Limits and settings in the servers' configuration that streams cannot have, or that clients must know.
async fn settings_of_servers(bench: &Bench<'_>) {
    let cluster = bench.cluster;
    let of = |server: &str| cluster.folder().join("servers").join(server).join("nats-server.conf");
    let change = |server: &str, from: &str, to: &str| {
        let config = std::fs::read_to_string(of(server)).unwrap();
        assert!(config.contains(from), "{config}");
        std::fs::write(of(server), config.replace(from, to)).unwrap();
    };
    for region in cluster.regions() {
        cluster.kill(region).await.unwrap();
    }
    let limits = r#"max_file_store: 64MB, domain: "hub", limits { duplicate_window: "1m", max_ha_assets: 1, max_ack_pending: 500 }"#;
    for server in cluster.servers() {
        change(&server.name, "max_file_store: 100GB", limits);
    }
    for region in cluster.regions() {
        cluster.start(region).await.unwrap();
    }
    cluster.wait_ready(PATIENCE).await.unwrap();

    let mut definition = bench.definition();
    let stream = &mut definition["accounts"]["APP"]["virtual_streams"]["foo"];
    stream["write"] = json!({ "max_bytes": "1GB" });
    stream["consumers"] = json!({ "worker": { "max_ack_pending": 1000 } });
    let file = bench.write("plain", &definition);
    let before = bench.everything().await;
    let limits = [
        ("server-limit", ["`duplicate_window` of 60000000000", "has 120000000000"]),
        ("server-limit", ["`max_ack_pending` of 500", "has 1000"]),
        ("server-full", ["replicated streams and consumers, and its limit is 1", "max_ha_assets"]),
    ];
    // Servers before 2.11 do not report these limits.
    let limits = limits.into_iter().filter(|_| version(cluster) >= (2, 11));
    for (code, said) in limits.chain([
        ("server-storage", ["stream foo-write-", "insufficient storage"]),
        ("jetstream-domain", ["JetStream domain hub", "`$JS.hub.API`"]),
    ]) {
        bench.expect(1, &apply(&file), code, &said);
    }
    bench.unchanged_since(&before, "what servers do not allow").await;

    // A server without a domain: its streams would not find those of the other servers.
    cluster.kill("central-3").await.unwrap();
    change("central-3", "domain: \"hub\", ", "");
    cluster.start("central-3").await.unwrap();
    cluster.wait_ready(PATIENCE).await.unwrap();
    let said = ["none on server central-3", "hub on servers ", "Give the servers of all regions one domain"];
    bench.expect(1, &apply(&file), "jetstream-domains-differ", &said);
}
