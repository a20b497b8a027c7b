//! The layout `regional` on the command line: created in stages, used by the virtual names, repaired after drift and
//! lost keys, and destroyed. It is closed to other accounts, and works beside ordinary streams.

use crate::supercluster::activations;
use crate::supercluster::deliveries::{self, Reach};
use crate::support::bench::{Bench, new_seed, now, public, set_mode};
use crate::support::{self, client, eventually};
use async_nats::Client;
use serde_json::{Value, json};
use std::time::Duration;
use vstream_jwt::model::claims::{AccountClaims, ExportKind, ImportSpec, Permission, Permissions};
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::nats::{ConnectOptions, LoginMethod, NatsConnection, connect};
use vstream_jwt::observed::Requests as _;
use vstream_jwt::resolver::{push, servers};
use vstream_jwt::sign::activation::issue_activation;
use vstream_jwt::sign::user::{UserPermissions, mint_user};
use vstream_jwt::sign::{Signer as _, issue};

const TIME: Duration = Duration::from_secs(10);
pub const APPLY: [&str; 4] = ["apply", "--operator", "op.nk", "--yes"];
const REGIONS: [&str; 3] = ["west", "central", "east"];

/// Sends a request. Returns `None` if there is no responder.
pub async fn ask(client: &Client, subject: &str, body: Value) -> Option<Value> {
    let payload = if body.is_null() { String::new() } else { body.to_string() };
    let reply = client.request(subject.to_owned(), payload.into()).await.ok()?;
    Some(serde_json::from_slice(&reply.payload).unwrap())
}

/// Returns every setting of a KV bucket.
fn settings(bench: &Bench<'_>) -> Value {
    let mut settings = json!({
        "description": "sessions", "history": 3, "ttl": "1h", "limit_marker_ttl": "1m", "max_value_size": "1KiB",
        "max_bytes": "1MiB", "storage": "memory", "num_replicas": 1, "compression": true, "metadata": { "team": "a" },
    });
    if before_2_11(bench) {
        settings.as_object_mut().unwrap().remove("limit_marker_ttl");
    }
    settings
}

/// Checks if the servers lack delete markers for limits, and sequences that differ by region.
fn before_2_11(bench: &Bench<'_>) -> bool {
    support::version(bench.cluster) < (2, 11)
}

fn regional(bench: &Bench<'_>) -> Value {
    let mut definition = bench.definition();
    let app = &mut definition["accounts"]["APP"];
    app.as_object_mut().unwrap().remove("layout");
    app["subject_roots"] = json!(["app"]);
    app["inbox_prefixes"] = json!(["_INBOX", "team.inbox", "deliver"]);
    app["activation_lifetime"] = json!("30d");
    app["virtual_streams"] = json!({
        "foo": { "subjects": ["foo.>"], "consumers": { "worker": { "ack_policy": "explicit" } } },
        "bar": {
            "subjects": ["app.bar.>"],
            "consumers": {
                "pushed": { "regions": ["east"], "deliver_subject": "deliver.pushed", "ack_policy": "none" },
            },
        },
        "cfg": { "kind": "kv", "bucket": { "history": 5 } },
        "files": { "kind": "object_store" },
        "session": { "kind": "kv", "bucket": settings(bench) },
    });
    definition
}

/// Such servers map `$JS.<domain>.API.…` themselves. For a domain of this name, that is the subject on which read
/// streams ask for their sources.
#[tokio::test(flavor = "multi_thread")]
async fn servers_may_have_a_jetstream_domain() {
    let cluster = support::small().await;
    for region in cluster.regions() {
        cluster.kill(region).await.unwrap();
    }
    for server in cluster.servers() {
        let file = cluster.folder().join("servers").join(&server.name).join("nats-server.conf");
        let config = std::fs::read_to_string(&file).unwrap();
        assert!(config.contains("max_file_store"), "{config}");
        std::fs::write(&file, config.replace("max_file_store", "domain: HUB, max_file_store")).unwrap();
    }
    for region in cluster.regions() {
        cluster.start(region).await.unwrap();
    }
    cluster.wait_ready(support::PATIENCE).await.unwrap();

    let bench = Bench::new(&cluster).await.accepting_old_values();
    let mut definition = bench.definition();
    definition["accounts"]["APP"]["layout"] = json!("regional");
    bench.write("vstream", &definition);
    let ran = bench.run(&APPLY);
    assert!(ran.ends(0).to_string().contains("JetStream domain HUB"), "{ran}");
    bench.run(&["verify"]).ends(0);
    for region in REGIONS {
        let stored = ask(&client(&cluster, region).await, "foo.x", json!({})).await.unwrap();
        assert_eq!(stored["domain"], "HUB", "{stored}");
    }
    for region in REGIONS {
        let client = client(&cluster, region).await;
        eventually(&format!("all messages in {region}"), async || {
            let info = ask(&client, "$JS.API.STREAM.INFO.foo", Value::Null).await?;
            (info["state"]["messages"] == 3).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_regional_layout_lives_through_its_whole_life() {
    let cluster = support::small().await;
    let bench = Bench::new(&cluster).await.accepting_old_values();
    bench.write("vstream", &regional(&bench));

    bench.says(
        3,
        &["plan"],
        &["accounts APP-<region> to be made", "$JS.>  →  $VS.<cluster>.>", "3 regional accounts to make"],
    );
    if before_2_11(&bench) {
        bench.says(3, &["plan"], &["an ack that a client carries to another region counts", "[sequences-alike]"]);
    }
    bench.run(&APPLY).ends(0);
    bench.run(&["verify"]).ends(0);
    bench.says(0, &APPLY, &["In sync: nothing to do, nothing was pushed"]);
    let claims = bench.claims().await;
    let sources: Vec<&String> = claims["nats"]["mappings"].as_object().unwrap().keys().collect();
    assert_eq!(sources.len(), 6, "{sources:?}");

    by_the_virtual_names(&bench).await;
    nothing_destructive_by_accident(&bench).await;
    if !before_2_11(&bench) {
        an_ack_from_another_region_is_void(&bench).await;
    }
    deliveries::by_prefix(&bench).await;
    narrow_users(&bench).await;
    a_hostile_users_reach(&bench).await;
    let reach = deliveries::hostile(&bench, true).await;
    let none = matches!(&reach, Reach { silent, stored: 0, acknowledged: 0, requested: false } if silent.len() == 12);
    assert!(none, "{reach:?}");
    others_stay_outside(&bench).await;
    drift_is_named_and_mended(&bench).await;
    requests_are_opened_wider_and_closed(&bench).await;
    lost_keys(&bench).await;
    destroyed(&bench).await;
    the_same_in_a_plain_account(&bench).await;
    ordinary_streams(&bench).await;
}

/// Clients publish in any region, and read all messages in every region from local storage. Lists show exactly the
/// virtual streams.
async fn by_the_virtual_names(bench: &Bench<'_>) {
    for region in REGIONS {
        let client = client(bench.cluster, region).await;
        for subject in ["foo.x", "app.bar.x"] {
            let ack = ask(&client, subject, json!(region)).await.unwrap();
            assert!(ack["stream"].as_str().unwrap().ends_with(&format!("-write-{region}")), "{ack}");
        }
    }
    for region in REGIONS {
        let client = client(bench.cluster, region).await;
        for stream in ["foo", "bar"] {
            eventually("three messages in each region", async || {
                let info = ask(&client, &format!("$JS.API.STREAM.INFO.{stream}"), Value::Null).await.unwrap();
                assert_eq!((&info["config"]["name"], &info["cluster"]["name"]), (&json!(stream), &json!(region)));
                (info["state"]["messages"] == 3).then_some(())
            })
            .await;
        }
        let names = ask(&client, "$JS.API.STREAM.NAMES", Value::Null).await.unwrap();
        let mut names: Vec<&str> = names["streams"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["KV_cfg", "KV_session", "OBJ_files", "bar", "foo"]);
        let found = ask(&client, "$JS.API.STREAM.NAMES", json!({ "subject": "app.bar.y" })).await.unwrap();
        assert_eq!(found["streams"], json!(["bar"]));
        a_bucket_as_set(bench, &client, region).await;
    }
}

/// Checks the stream information from which clients read a bucket's status.
async fn a_bucket_as_set(bench: &Bench<'_>, client: &Client, region: &str) {
    let info = ask(client, "$JS.API.STREAM.INFO.KV_session", Value::Null).await.unwrap();
    let mut shown = json!({
        "description": "sessions", "max_msgs_per_subject": 3, "max_age": 3_600_000_000_000_u64, "max_bytes": 1 << 20,
        "storage": "memory", "num_replicas": 1, "compression": "s2", "allow_rollup_hdrs": true, "allow_direct": true,
    });
    if !before_2_11(bench) {
        (shown["allow_msg_ttl"], shown["subject_delete_marker_ttl"]) = (json!(true), json!(60_000_000_000_u64));
    }
    for (field, value) in shown.as_object().unwrap() {
        assert_eq!(info["config"][field], *value, "{field} in {region}");
    }
    assert_eq!(info["config"]["metadata"]["team"], "a");
    // The write stream checks the size of a value: a message that a read stream could not store would block its source.
    let put = async |size: usize| ask(client, "$KV.session.key", json!("x".repeat(size))).await.unwrap();
    assert_eq!(put(1025).await["error"]["err_code"], 10054);
    assert_eq!(put(1000).await["stream"], format!("session-write-{region}"));
}

async fn nothing_destructive_by_accident(bench: &Bench<'_>) {
    let client = client(bench.cluster, "east").await;
    for request in ["CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "RESTORE", "SNAPSHOT", "LEADER.STEPDOWN"] {
        let subject = format!("$JS.API.STREAM.{request}.foo");
        assert_eq!(ask(&client, &subject, json!({ "name": "foo", "subjects": ["foo.>"] })).await, None, "{request}");
    }
}

/// A client that moves to another region keeps its ack subjects, which match no message there.
async fn an_ack_from_another_region_is_void(bench: &Bench<'_>) {
    let (west, east) = (client(bench.cluster, "west").await, client(bench.cluster, "east").await);
    // A pulled message arrives in the inbox under its own subject, so `request` would not recognize it.
    let pull = |client: Client| async move {
        let inbox = client.new_inbox();
        let mut messages = client.subscribe(inbox.clone()).await.unwrap();
        for _ in 0..10 {
            let subject = "$JS.API.CONSUMER.MSG.NEXT.foo.worker";
            client.publish_with_reply(subject, inbox.clone(), "1".into()).await.unwrap();
            let next = tokio::time::timeout(Duration::from_secs(2), futures::StreamExt::next(&mut messages)).await;
            if let Some(message) = next.ok().flatten().filter(|message| message.reply.is_some()) {
                return message;
            }
        }
        panic!("no message for the worker");
    };
    let (here, there) = (pull(west.clone()).await, pull(east.clone()).await);
    east.publish(here.reply.unwrap(), "+ACK".into()).await.unwrap();
    east.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    for client in [&west, &east] {
        let info = ask(client, "$JS.API.CONSUMER.INFO.foo.worker", Value::Null).await.unwrap();
        assert_eq!(info["num_ack_pending"], 1, "{info}");
    }
    east.publish(there.reply.unwrap(), "+ACK".into()).await.unwrap();
    eventually("its own ack counts", async || {
        let info = ask(&east, "$JS.API.CONSUMER.INFO.foo.worker", Value::Null).await.unwrap();
        (info["num_ack_pending"] == 0).then_some(())
    })
    .await;
}

/// Connects as a user of the account with these publish permissions.
async fn user(bench: &Bench<'_>, publish: Permission) -> NatsConnection {
    let subscribe = Permission { allow: vec!["_INBOX.>".to_owned()], deny: Vec::new() };
    let permissions = UserPermissions::Own(Permissions { publish, subscribe });
    let account = PublicKey::parse(bench.cluster.account_id()).unwrap();
    let minted = mint_user(&bench.key("app.nk"), Some(&account), &permissions, now() + 300, now()).unwrap();
    let access = LoginMethod::User { jwt: minted.jwt.as_str().to_owned(), seed: minted.seed.into() };
    connect(ConnectOptions::new(&bench.cluster.urls("central"), None, &access, TIME)).await.unwrap()
}

/// The output of `render permissions` is enough for applications, and keeps them from the write streams.
async fn narrow_users(bench: &Bench<'_>) {
    let rendered = bench.run(&["render", "permissions", "--format", "json"]).ends(0).document();
    let list = |name: &str| -> Vec<String> {
        let lines = rendered[0]["publish"][name].as_array().unwrap();
        lines.iter().map(|line| line["subject"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(list("deny"), ["$JS.>", "$VSTREAM.>"]);
    assert_eq!(rendered[0]["subscribe"]["deny"][0]["subject"], "$VSTREAM.>");
    let purge = "$VSH.API.STREAM.PURGE.foo-write-west";
    for permission in
        [Permission { allow: list("allow"), deny: Vec::new() }, Permission { allow: Vec::new(), deny: list("deny") }]
    {
        let link = user(bench, permission).await;
        for subject in ["foo.y", "app.bar.y", "$KV.cfg.y", "$O.files.M.y"] {
            let ack = link.request(subject, b"y".to_vec(), TIME).await.unwrap();
            assert!(String::from_utf8_lossy(&ack.payload).contains("-write-central"), "{subject}");
        }
        for subject in ["$JS.API.INFO", "$JS.API.STREAM.INFO.foo", "$JS.API.CONSUMER.NAMES.foo", "$JS.API.STREAM.LIST"]
        {
            let reply = link.request(subject, Vec::new(), TIME).await.unwrap();
            assert!(!String::from_utf8_lossy(&reply.payload).contains("\"error\":"), "{subject}");
        }
        assert!(link.request(purge, Vec::new(), Duration::from_secs(2)).await.is_err(), "it purged a write stream");
    }
    // Without these permissions, the second prefix leads to the write streams: the case of the warning
    // `users-reach-write-streams`.
    let open = user(bench, Permission::default()).await;
    let reply = open.request("$VSH.API.STREAM.INFO.foo-write-west", Vec::new(), TIME).await.unwrap();
    assert!(String::from_utf8_lossy(&reply.payload).contains("foo-write-west"));
}

/// Tests what a user who may only acknowledge can reach. The reply of an acknowledgment is published in the regional
/// account, as it would be in any account. The write streams are out of reach.
async fn a_hostile_users_reach(bench: &Bench<'_>) {
    let client = client(bench.cluster, "central").await;
    let size = async |subject: &str| ask(&client, subject, Value::Null).await.unwrap()["state"]["messages"].clone();
    let written = size("$VSH.API.STREAM.INFO.foo-write-central").await;
    for (reply, reached) in [("$VSM.API.STREAM.PURGE.foo-write-central", false), ("$JS.API.STREAM.PURGE.foo", true)] {
        ask(&client, "foo.x", json!("hostile")).await.unwrap();
        let inbox = client.new_inbox();
        let mut messages = client.subscribe(inbox.clone()).await.unwrap();
        let pull = "$JS.API.CONSUMER.MSG.NEXT.foo.worker";
        client.publish_with_reply(pull, inbox, json!({ "batch": 1 }).to_string().into()).await.unwrap();
        let next = tokio::time::timeout(TIME, futures::StreamExt::next(&mut messages)).await;
        let ack = next.unwrap().unwrap().reply.unwrap();
        client.publish_with_reply(ack, reply, "".into()).await.unwrap();
        client.flush().await.unwrap();
        if reached {
            eventually("the read stream is emptied", async || {
                (size("$JS.API.STREAM.INFO.foo").await == 0).then_some(())
            })
            .await;
        } else {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_ne!(size("$JS.API.STREAM.INFO.foo").await, 0);
        }
    }
    let now = size("$VSH.API.STREAM.INFO.foo-write-central").await;
    assert_eq!(now.as_u64(), written.as_u64().map(|count| count + 2), "a write stream was reached");
}

/// Returns the import as its layout specifies it, for an activation token.
pub fn spec(import: &Value) -> ImportSpec {
    let text = |name: &str| import[name].as_str().unwrap_or_default().to_owned();
    ImportSpec {
        name: text("name"),
        account: PublicKey::parse(&text("account")).unwrap(),
        subject: text("subject"),
        local_subject: text("local_subject"),
        kind: ExportKind::parse(&text("type")).unwrap(),
    }
}

/// Another account of the operator imports the private exports: without a token, with one that it signed itself, and
/// with one for the application's account.
async fn others_stay_outside(bench: &Bench<'_>) {
    let claims = bench.claims().await;
    let imports = claims["nats"]["imports"].as_array().unwrap();
    let list = imports.iter().find(|i| i["local_subject"] == "$VS.west.API.STREAM.LIST").unwrap();
    let wanted = spec(list);
    let (intruder, key) = (new_seed(KeyKind::Account), new_seed(KeyKind::Account));
    let id = intruder.public_key();
    let own = issue_activation(&key, &wanted.account, &intruder.public_key(), &wanted, None, now()).unwrap();
    let claims = |token: Option<&str>| {
        let mut import = json!({
            "name": "x", "subject": list["subject"], "account": list["account"], "type": "service",
            "local_subject": "theirs.list",
        });
        if let Some(token) = token {
            import["token"] = token.into();
        }
        let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1 });
        json!({
            "sub": public(&intruder), "name": "INTRUDER",
            "nats": { "limits": limits, "imports": [import], "signing_keys": [public(&key)], "type": "account", "version": 2 },
        })
    };
    for (age, token) in [None, Some(own.as_str())].into_iter().enumerate() {
        bench.push_signed(&bench.key("op.nk"), &claims(token), now() + age as u64).await;
        let everything = UserPermissions::only(&[], &[]);
        let minted = mint_user(&key, Some(&id), &everything, now() + 300, now()).unwrap();
        let access = LoginMethod::User { jwt: minted.jwt.as_str().to_owned(), seed: minted.seed.into() };
        let link = connect(ConnectOptions::new(&bench.cluster.urls("west"), None, &access, TIME)).await.unwrap();
        let answer = link.request("theirs.list", Vec::new(), Duration::from_secs(3)).await;
        assert!(
            answer.is_err(),
            "with {}: {answer:?}",
            if token.is_some() { "a token of its own" } else { "no token" }
        );
    }
    // A token by the exporter lets it in, until the exporter revokes that token.
    let exporter = bench.regional_key("west");
    let given = issue_activation(&exporter, &wanted.account, &intruder.public_key(), &wanted, None, now()).unwrap();
    bench.push_signed(&bench.key("op.nk"), &claims(Some(given.as_str())), now() + 3).await;
    let everything = UserPermissions::only(&[], &[]);
    let minted = mint_user(&key, Some(&id), &everything, now() + 300, now()).unwrap();
    let access = LoginMethod::User { jwt: minted.jwt.as_str().to_owned(), seed: minted.seed.into() };
    let link = connect(ConnectOptions::new(&bench.cluster.urls("west"), None, &access, TIME)).await.unwrap();
    let answer = link.request("theirs.list", Vec::new(), TIME).await.unwrap();
    assert!(String::from_utf8_lossy(&answer.payload).contains("\"foo\""));
    let before = stored(bench, "APP-west").await;
    let mut revoking = before.clone();
    let exports = revoking["nats"]["exports"].as_array_mut().unwrap();
    let export = exports.iter_mut().find(|export| export["subject"] == list["subject"]).unwrap();
    export["revocations"] = json!({ public(&intruder): now() + 60 });
    let iat = before["iat"].as_u64().unwrap().max(now()) + 2;
    bench.push_signed(&bench.key("op.nk"), &revoking, iat).await;
    eventually("a revoked token is refused", async || {
        link.request("theirs.list", Vec::new(), Duration::from_secs(1)).await.is_err().then_some(())
    })
    .await;
    bench.push_signed(&bench.key("op.nk"), &before, iat + 2).await;
    // Every server refuses a stolen activation token, together with the account token that contains it.
    let stolen = claims(Some(list["token"].as_str().unwrap()));
    let token = issue(&stolen, &bench.key("op.nk"), now() + 6).unwrap();
    let system = LoginMethod::Credentials(bench.cluster.system_credentials_path());
    let system = connect(ConnectOptions::new(&bench.cluster.all_urls(), None, &system, TIME)).await.unwrap();
    let outcomes =
        push::push(&system, &bench.deployment().await, &[(intruder.public_key(), token)], TIME).await.unwrap();
    assert!(outcomes.iter().all(|one| matches!(one.answer, push::Answer::Refused { .. })), "{outcomes:?}");
}

/// Returns the claims of a regional account, as stored.
async fn stored(bench: &Bench<'_>, name: &str) -> Value {
    let link = LoginMethod::Credentials(bench.cluster.system_credentials_path());
    let link = connect(ConnectOptions::new(&bench.cluster.all_urls(), None, &link, TIME)).await.unwrap();
    let decoded = |token: &str| AccountClaims::decode(token).ok();
    let all = servers::stored_claims(&link, &bench.deployment().await, TIME, decoded).await.unwrap();
    all.iter().find(|claims| claims.name() == name).unwrap().value().clone()
}

async fn drift_is_named_and_mended(bench: &Bench<'_>) {
    // This missing import only shows with a backlog of more than 2 MB.
    let mut claims = stored(bench, "APP-east").await;
    let imports = claims["nats"]["imports"].as_array_mut().unwrap();
    imports.retain(|import| import["subject"] != "$VSH.FC.>");
    let iat = claims["iat"].as_u64().unwrap().max(now()) + 2;
    bench.push_signed(&bench.key("op.nk"), &claims, iat).await;
    bench.says(3, &["verify"], &["import $JS.FC.> of APP: missing"]);
    bench.run(&APPLY).ends(0);
    bench.until(0, &["verify"]).await;

    activations::drift(bench).await;
    the_way_back_is_put_back(bench).await;
}

/// Without this mapping, the usual names lead to the streams of the regions, which must not pass for the account's own.
async fn the_way_back_is_put_back(bench: &Bench<'_>) {
    let before = bench.claims().await;
    let mut claims = before.clone();
    claims["nats"]["mappings"].as_object_mut().unwrap().remove("$VSH.>").expect("it was there");
    bench.push(&claims).await;
    let pushed = bench.everything().await;
    let names = streams_of_regions(bench).await;
    bench.says(1, &["plan"], &["[way-back-missing]", "+ $VSH.>", "stream foo-write-central"]);
    for verb in [&APPLY[..], &["destroy", "--operator", "op.nk", "--delete-streams", "--yes"]] {
        bench.says(1, verb, &["[way-back-missing]", "apply --allow way-back-missing"]);
    }
    bench.unchanged_since(&pushed, "refused since the way back is missing").await;
    bench.says(3, &["verify"], &["missing: $VSH.>", "no mapping leads to it"]);

    // Nothing else is pushed, even if the definition has more: it would send messages to streams that do not exist.
    let mut more = regional(bench);
    more["accounts"]["APP"]["virtual_streams"]["later"] = json!({ "subjects": ["later.>"] });
    bench.write("vstream", &more);
    let allowed = [&APPLY[..], &["--allow", "way-back-missing"]].concat();
    let said = ["going on without the lease of APP", "left out, cannot be reached: stream foo-write-west", "confirm"];
    bench.says(4, &allowed, &said);
    assert_eq!(bench.claims().await["nats"], before["nats"], "more than the way back was changed");
    bench.write("vstream", &regional(bench));
    bench.until(0, &["verify"]).await;
    bench.says(0, &APPLY, &["In sync"]);
    assert_eq!(streams_of_regions(bench).await, names, "a stream was made or lost in a region");
}

/// Returns the names of the streams that clients reach by the usual names, by region.
async fn streams_of_regions(bench: &Bench<'_>) -> Vec<Value> {
    let mut names = Vec::new();
    for region in REGIONS {
        let client = client(bench.cluster, region).await;
        names.push(ask(&client, "$JS.API.STREAM.NAMES", Value::Null).await.unwrap()["streams"].clone());
    }
    names
}

/// Opens a request for one stream, then for all: servers refuse a token with both exports.
async fn requests_are_opened_wider_and_closed(bench: &Bench<'_>) {
    let client = client(bench.cluster, "east").await;
    let purge = async |stream: &str| {
        let answer = ask(&client, &format!("$JS.API.STREAM.PURGE.{stream}"), Value::Null).await;
        answer.is_some_and(|answer| answer["success"] == true)
    };
    let mut definition = regional(bench);
    let account = &mut definition["accounts"]["APP"];
    account["virtual_streams"]["foo"]["map_requests"] = json!(["purge"]);
    bench.write("vstream", &definition);
    bench.run(&APPLY).ends(0);
    assert_eq!((purge("foo").await, purge("bar").await), (true, false));
    definition["accounts"]["APP"]["map_requests"] = json!(["purge"]);
    bench.write("vstream", &definition);
    one_server_refuses(bench);
    bench.run(&APPLY).ends(0);
    assert_eq!((purge("foo").await, purge("bar").await), (true, true));
    // Back to the narrower export, and once more to the wider one.
    for bar in [false, true] {
        bench.run(&["rollback", "--last", "--operator", "op.nk", "--yes"]).ends(0);
        assert_eq!((purge("foo").await, purge("bar").await), (true, bar));
    }
    // Another definition of the account may have opened it for all.
    bench.write("vstream", &regional(bench));
    let open = "applications may request STREAM.PURGE of any virtual stream by its name, which this definition does";
    bench.says(0, &APPLY, &["In sync", open, "[requests-left-open]", "write as `map_requests` of the account"]);
    let ran = bench.until(0, &["verify"]).await;
    assert!(ran.out.contains(open), "{ran}");
    assert_eq!((purge("foo").await, purge("bar").await), (true, true));
    // A list closes the requests that it lacks, but those of a single virtual stream follow its own definition. Clients
    // may still purge chunks of object stores.
    let chunks = async || {
        let nothing = json!({ "filter": "$O.files.C.nothing" });
        ask(&client, "$JS.API.STREAM.PURGE.OBJ_files", nothing).await.is_some_and(|answer| answer["success"] == true)
    };
    for (of_foo, opens) in [(json!(["purge"]), true), (json!([]), false)] {
        let mut definition = regional(bench);
        let account = &mut definition["accounts"]["APP"];
        account["map_requests"] = json!([]);
        account["virtual_streams"]["foo"]["map_requests"] = of_foo;
        bench.write("vstream", &definition);
        bench.says(3, &["verify"], &["STREAM.PURGE", "the definition does not open STREAM.PURGE"]);
        bench.run(&APPLY).ends(0);
        assert_eq!((purge("foo").await, purge("bar").await, chunks().await), (opens, false, true));
        let ran = bench.until(0, &["verify"]).await;
        assert!(!ran.out.contains("requests-left-open"), "{ran}");
    }
}

/// The server's resolver cannot store the exports of regional accounts, so no token that depends on them is pushed.
fn one_server_refuses(bench: &Bench<'_>) {
    let server = bench.cluster.servers().iter().find(|server| server.name == "central-1").unwrap();
    let folder = bench.cluster.server_folder(server).join("jwt");
    let away = folder.with_extension("away");
    std::fs::rename(&folder, &away).unwrap();
    std::fs::write(&folder, "").unwrap();
    let ran = bench.run(&[&APPLY[..], &["--format", "json"]].concat());
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    let error = &ran.ends(1).document()["error"];
    assert_eq!(error["code"], "stage-unconfirmed", "{ran}");
    assert!(error["message"].as_str().unwrap().contains("the new token of account APP-"), "{ran}");
    let lines: Vec<&str> = error["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    for words in ["central-1 (central): ", "refused by central-1: 500 "] {
        assert!(lines.iter().any(|line| line.starts_with(words)), "{ran}");
    }
}

/// Reads keep working by the application's imports. Actions that require the key are refused, and a new signing key
/// restores them.
async fn lost_keys(bench: &Bench<'_>) {
    let keys = bench.cluster.keys_folder();
    let away = bench.cluster.folder().join("away.nk");
    let mut definition = regional(bench);
    definition["accounts"]["APP"]["virtual_streams"]["baz"] = json!({ "subjects": ["app.baz"] });
    let more = bench.write("more", &definition);
    let before = bench.tokens().await;
    let former = public(&bench.key("APP-west-signing.nk"));
    set_mode(&keys.join("APP-west-signing.nk"), 0o644);
    bench.expect(
        1,
        &[&APPLY[..], &["--definition", &more]].concat(),
        "regional-key-unusable",
        &["account APP-west", "keys/APP-west-signing.nk is open to others (mode 0644)", "chmod 600", "next:"],
    );
    // With strict usage, the identity key alone makes no users.
    std::fs::remove_file(keys.join("APP-west-signing.nk")).unwrap();
    let said = ["account APP-west", "the identity alone", "--allow regional-key-missing"];
    bench.expect(1, &[&APPLY[..], &["--definition", &more]].concat(), "regional-key-missing", &said);
    std::fs::rename(keys.join("APP-west.nk"), &away).unwrap();
    bench.until(0, &["verify"]).await;
    bench.says(0, &APPLY, &["In sync"]);
    bench.write("vstream", &definition);
    bench.expect(
        1,
        &APPLY,
        "regional-key-missing",
        &["account APP-west", "not made anew", "--allow regional-key-missing"],
    );
    assert_eq!(bench.tokens().await, before);
    bench.run(&[&APPLY[..], &["--allow", "regional-key-missing"]].concat()).ends(0);
    assert!(keys.join("APP-west-signing-1.nk").exists() && !keys.join("APP-west.nk").exists());
    bench.until(0, &["verify"]).await;
    let signing = public(&bench.key("APP-west-signing-1.nk"));
    assert_eq!(stored(bench, "APP-west").await["nats"]["signing_keys"], json!([former, signing]));
    bench.says(0, &APPLY, &["In sync"]);
}

async fn destroyed(bench: &Bench<'_>) {
    bench.run(&["destroy", "--operator", "op.nk", "--yes", "--delete-streams"]).ends(0);
    let claims = bench.claims().await;
    for part in ["mappings", "imports", "exports"] {
        assert_eq!(claims["nats"][part], Value::Null, "{part}");
    }
    assert_eq!(bench.stream_names().await, Vec::<String>::new());
    let region = stored(bench, "APP-east").await;
    assert_eq!((&region["nats"]["imports"], &region["nats"]["exports"]), (&Value::Null, &Value::Null));
}

/// Tests what a user of a plain account reaches by deliver subjects, for comparison. The streams are in the user's
/// cluster: the user does not receive deliveries to the API by a consumer in another one (measured, 2.15.1).
async fn the_same_in_a_plain_account(bench: &Bench<'_>) {
    for (name, subjects) in [("foo", "foo.>"), ("bar", "app.bar.>")] {
        let placement = json!({ "cluster": "central" });
        let config = json!({ "name": name, "subjects": [subjects], "num_replicas": 1, "placement": placement });
        bench.make_stream(config).await;
    }
    let reach = deliveries::hostile(bench, false).await;
    // Whether deliveries count as acks and requests depends on the version, and on the server that leads the consumer.
    assert!(matches!(&reach, Reach { silent, stored: 3, .. } if silent.is_empty()), "{reach:?}");
    println!("in a plain account: {reach:?}");
    for name in ["foo", "bar"] {
        bench.delete_stream(name).await;
    }
}

/// An account with streams of its own: refused while `exclusive`, otherwise both kinds work side by side.
async fn ordinary_streams(bench: &Bench<'_>) {
    bench.make_stream(json!({ "name": "own", "subjects": ["own.>"], "num_replicas": 1 })).await;
    bench.write("vstream", &regional(bench));
    let before = bench.everything().await;
    bench.expect(1, &APPLY, "ordinary-streams", &["it has stream own besides", "exclusive: false"]);
    bench.unchanged_since(&before, "an exclusive layout").await;
    let mut definition = regional(bench);
    definition["accounts"]["APP"]["exclusive"] = json!(false);
    bench.write("vstream", &definition);
    bench.run(&APPLY).ends(0);
    bench.until(0, &["verify"]).await;
    for region in REGIONS {
        let client = client(bench.cluster, region).await;
        assert_eq!(ask(&client, "own.x", json!(1)).await.unwrap()["stream"], "own");
        let ack = ask(&client, "$KV.cfg.x", json!(1)).await.unwrap();
        assert_eq!(ack["stream"], format!("cfg-write-{region}"));
        let config = json!({ "durable_name": "d", "ack_policy": "explicit" });
        for (stream, virtual_one) in [("own", false), ("foo", true), ("KV_cfg", true)] {
            let body = json!({ "stream_name": stream, "config": config });
            let made = ask(&client, &format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.d"), body).await.unwrap();
            assert_eq!(made["name"], "d", "{made}");
            let info = ask(&client, &format!("$JS.API.STREAM.INFO.{stream}"), Value::Null).await.unwrap();
            assert_eq!(info["config"]["name"], stream);
            assert!(!virtual_one || info["cluster"]["name"] == region, "{info}");
        }
        assert_eq!(ask(&client, "$JS.API.STREAM.CREATE.foo", json!({ "name": "foo" })).await, None);
    }
    let client = client(bench.cluster, "east").await;
    eventually("all regions' values", async || {
        let info = ask(&client, "$JS.API.STREAM.INFO.KV_cfg", Value::Null).await.unwrap();
        let sources = info["sources"].as_array().unwrap();
        let sequences = before_2_11(bench) || info["state"]["last_seq"].as_u64() >= Some(3_000_000_000_003);
        let all = sequences && info["state"]["messages"] == 3;
        (all && sources.iter().all(|source| source["lag"] == 0)).then_some(())
    })
    .await;
    let own = ask(&client, "$JS.API.STREAM.INFO.own", Value::Null).await.unwrap();
    assert_eq!(own["state"]["messages"], 3);
}
