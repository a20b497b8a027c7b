//! Tests resolvers other than `full`.

use crate::disasters::traffic::{Ledger, Traffic, arrived_in};
use crate::support::account_server::AccountServer;
use crate::support::bench::{Bench, now};
use crate::support::killing::{Random, rounds};
use crate::support::{self, Cluster, PATIENCE, client, eventually};
use futures::StreamExt as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use vstream_jwt::dev::{ServerState, ServerStatus};
use vstream_jwt::model::claims::{AccountClaims, Permission, Permissions};
use vstream_jwt::model::nkey::PublicKey;
use vstream_jwt::sign::issue;
use vstream_jwt::sign::user::{UserPermissions, mint_user};

const APPLY: [&str; 3] = ["apply", "--operator", "op.nk"];
const REGIONS: [&str; 3] = ["west", "central", "east"];

/// Configures another resolver for the servers of these regions, which are down. `line` makes its line of configuration
/// from the folder of the old resolver.
pub(super) fn give(cluster: &Cluster, regions: &[&str], line: impl Fn(&str) -> String) {
    for server in cluster.servers().iter().filter(|server| regions.contains(&server.region.as_str())) {
        let file = cluster.server_folder(server).join("nats-server.conf");
        let config = std::fs::read_to_string(&file).unwrap();
        let (head, rest) = config.split_once("resolver { type: full, dir: ").unwrap();
        let (folder, tail) = rest.split_once(", allow_delete").unwrap();
        let (_, tail) = tail.split_once('\n').unwrap();
        std::fs::write(&file, format!("{head}{}\n{tail}", line(folder))).unwrap();
    }
}

/// Starts three regions of one server each, the last with a `cache` resolver. That one only has the token of the system
/// account, without which a server with strict usage does not start.
async fn with_a_cache() -> Cluster {
    let cluster = support::small().await;
    cluster.kill("east").await.unwrap();
    give(&cluster, &["east"], |folder| format!("resolver {{ type: cache, dir: {folder}, ttl: \"1h\" }}"));
    let folder = cluster.server_folder(cluster.servers().iter().find(|server| server.region == "east").unwrap());
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

/// Returns the tokens in the servers' folders, by account.
fn tokens_in_folders(cluster: &Cluster) -> BTreeMap<String, String> {
    let folder = cluster.server_folder(&cluster.servers()[0]).join("jwt");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let tokens = files.filter(|path| path.extension().is_some_and(|extension| extension == "jwt"));
    tokens
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

/// Kills all servers, and starts them with another resolver.
async fn restart_with(cluster: &Cluster, line: &str) {
    for region in REGIONS {
        cluster.kill(region).await.unwrap();
    }
    give(cluster, &REGIONS, |_| line.to_owned());
    for region in REGIONS {
        cluster.start(region).await.unwrap();
    }
    cluster.wait_ready(PATIENCE).await.unwrap();
}

/// Starts three regions of one server each, whose configuration includes a file with all tokens. Returns that file too.
async fn with_a_preload() -> (Cluster, PathBuf) {
    let cluster = support::small().await;
    let tokens = tokens_in_folders(&cluster);
    let lines: Vec<String> =
        tokens.iter().map(|(id, token)| format!("  # one of the accounts\n  {id}: {token}\n")).collect();
    let file = cluster.folder().join("preload.conf");
    std::fs::write(&file, format!("resolver_preload: {{\n{}}}\n", lines.concat())).unwrap();
    restart_with(&cluster, "resolver: MEMORY\ninclude \"../../preload.conf\"").await;
    (cluster, file)
}

/// Starts three regions of one server each that fetch tokens from an account server.
async fn with_an_account_server() -> (Cluster, AccountServer) {
    let cluster = support::small().await;
    let server = AccountServer::start(tokens_in_folders(&cluster)).await;
    restart_with(&cluster, &format!("resolver: URL({})", server.url)).await;
    (cluster, server)
}

/// Returns the processes of a region's servers.
async fn pids(cluster: &Cluster, region: &str) -> Vec<Pid> {
    let status = cluster.status().await;
    let of_region = status.servers.iter().filter(|server| server.server.region == region);
    let pid = |server: &ServerStatus| match server.state {
        ServerState::Running { pid } => Pid::from_raw(pid.cast_signed()).unwrap(),
        _ => panic!("{server:?}"),
    };
    of_region.map(pid).collect()
}

/// Makes the servers of a region reload their configuration.
async fn reload(cluster: &Cluster, region: &str) {
    pids(cluster, region).await.into_iter().for_each(|pid| kill_process(pid, Signal::HUP).unwrap());
}

/// Asserts that messages published by a client in each region arrive in both.
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

const DESTROY: [&str; 4] = ["destroy", "--yes", "--operator", "op.nk"];

/// The permission is needed to distinguish a cache from a server that does not answer, or to inform servers of a token.
fn each_verb_names_the_permission_that_it_lacks(
    cluster: &Cluster,
    bench: &Bench<'_>,
    definition: &Value,
    subject: &str,
    verbs: &[&[&str]],
) {
    let none = || Permission { allow: Vec::new(), deny: Vec::new() };
    let publish = Permission { deny: vec![subject.to_owned()], ..none() };
    let permissions = UserPermissions::Own(Permissions { publish, subscribe: none() });
    let system = PublicKey::parse(cluster.system_account_id()).unwrap();
    let user = mint_user(&bench.key("sys.nk"), Some(&system), &permissions, now() + 600, now() - 10).unwrap();
    bench.write_user("less.creds", &user);
    let mut definition = definition.clone();
    definition["system"] = json!({ "credentials": "keys/less.creds" });
    let file = bench.write("less", &definition);
    for verb in verbs {
        let ran = bench.run(&[verb, &["--definition", &file][..]].concat());
        let named = ran.to_string().lines().any(|line| line.contains(" may not ") && line.contains(subject));
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
    let verbs = [&["plan"][..], &["verify"], &APPLY, &DESTROY];
    each_verb_names_the_permission_that_it_lacks(&cluster, &bench, &definition, "$SYS.REQ.SERVER.PING.SUBSZ", &verbs);
    bench.run(&["destroy", "--delete-streams", "--operator", "op.nk", "--yes"]).ends(0);

    // A server takes a second for each imported account that it has not loaded, before it applies the imports.
    definition["accounts"]["APP"]["layout"] = json!("regional");
    let written = bench.write("vstream", &definition);
    // That needs a URL of this server.
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
    // A run that needs no loaded accounts works without it.
    bench.run(&["plan", "--definition", "without.yaml"]).ends(0);

    // The server is down while a token is pushed, and returns with its old copy, which no other server knows of.
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

/// Servers have the tokens in the preload file only after a reload; until then, `apply` goes no further.
#[tokio::test(flavor = "multi_thread")]
async fn a_preload_that_servers_reload() {
    let (cluster, file) = with_a_preload().await;
    let bench = Bench::new(&cluster).await;
    let mut definition = bench.definition();
    definition["resolver"] = json!({ "type": "memory", "preload": "preload.conf" });
    let text = || std::fs::read_to_string(&file).unwrap();
    let before = text();

    // The tool does not write any settings of servers other than tokens.
    std::fs::write(&file, format!("{before}\nresolver: MEMORY\n")).unwrap();
    bench.write("vstream", &definition);
    for verb in [&APPLY[..], &["plan"], &["verify"]] {
        bench.expect(2, verb, "preload", &["preload.conf:", "`resolver` is not expected", "alone in a file"]);
    }
    std::fs::remove_file(&file).unwrap();
    bench.expect(2, &APPLY, "preload", &["there is no such file", "nsc generate config --mem-resolver"]);
    std::fs::write(&file, &before).unwrap();
    assert!(bench.stream_names().await.is_empty(), "something was made");

    // Servers would lose the accounts that the file lacks.
    let system = cluster.system_account_id();
    let alone: Vec<&str> = before.lines().filter(|line| !line.contains(system)).collect();
    std::fs::write(&file, alone.join("\n")).unwrap();
    bench.says(1, &APPLY, &["[preload-stale]", system, "the file lacks it"]);
    bench.says(3, &["verify"], &["preload-stale"]);
    std::fs::write(&file, &before).unwrap();
    assert!(bench.stream_names().await.is_empty(), "something was made");

    bench.says(
        3,
        &APPLY,
        &["token written to", "0 of 3 servers confirm", "has not reloaded the preload", "apply again"],
    );
    let written = text();
    let lines = || before.lines().zip(written.lines());
    let changed: Vec<&str> = lines().filter(|(old, new)| old != new).map(|(_, new)| new.trim()).collect();
    assert!(before.lines().count() == written.lines().count(), "{written}");
    assert!(matches!(changed[..], [one] if one.starts_with(cluster.account_id())), "{changed:?}");

    reload(&cluster, "west").await;
    let waits = ["central-1 (central): has not reloaded", "east-1 (east): has not reloaded"];
    eventually("the reload", async || bench.run(&["verify"]).to_string().contains("1 of 3 servers").then_some(()))
        .await;
    bench.says(3, &["verify"], &waits);
    bench.says(3, &["plan"], &["have not reloaded the preload", "central-1, east-1", "preload-not-reloaded"]);
    bench.says(3, &APPLY, &waits);
    let (code, document) = support::vstream_json(&cluster, &["apply", "--operator", "op.nk", "--yes"]);
    let behind = document["applied"]["behind"].as_array().unwrap();
    assert!(code == 3 && behind.iter().all(|one| one["verdict"] == "not_reloaded") && behind.len() == 2, "{document}");
    assert_eq!(document["confirmed"], false);
    assert!(text() == written, "the token was signed again");

    for region in ["central", "east"] {
        reload(&cluster, region).await;
    }
    bench.until(0, &APPLY).await;
    bench.says(0, &["verify"], &["In sync: as defined, on all 3 servers."]);
    flows(&cluster, &bench).await;

    // A server that was down reads the file when it starts.
    cluster.kill("east").await.unwrap();
    definition["accounts"]["APP"]["virtual_streams"]["foo"]["subjects"] = json!(["foo.>", "more.>"]);
    bench.write("vstream", &definition);
    bench.until(4, &[&APPLY[..], &["--allow", "region-missing"]].concat()).await;
    cluster.start("east").await.unwrap();
    cluster.wait_ready(PATIENCE).await.unwrap();
    for region in ["west", "central"] {
        reload(&cluster, region).await;
    }
    bench.until(0, &APPLY).await;
    bench.says(0, &["verify"], &["In sync"]);
    flows(&cluster, &bench).await;

    // `destroy` deletes streams only when no server has mappings to them any more.
    let destroy = ["destroy", "--delete-streams", "--operator", "op.nk", "--yes"];
    bench.says(3, &destroy, &["kept, since not every server confirmed", "has not reloaded the preload"]);
    assert!(bench.stream_names().await.len() >= 6, "streams are gone while mappings lead to them");
    for region in REGIONS {
        reload(&cluster, region).await;
    }
    bench.until(0, &destroy).await;
    assert!(bench.stream_names().await.iter().all(|name| !name.starts_with("foo-")));
}

/// An account server keeps the tokens. Servers fetch a token when they load its account, and the tool tells them of new
/// ones.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_server_keeps_the_tokens() {
    let (cluster, server) = with_an_account_server().await;
    let bench = Bench::new(&cluster).await;
    let mut definition = bench.definition();
    definition["accounts"]["APP"]["layout"] = json!("regional");
    bench.write("vstream", &definition);
    let said = ["account-unreadable", "`resolver: { type: url, url: … }`"];
    bench.says(1, &["plan", "--format", "json"], &said);
    definition["resolver"] = json!({ "type": "url", "url": server.url });
    bench.write("vstream", &definition);

    let before = server.tokens.lock().unwrap().clone();
    *server.refuses.lock().unwrap() = Some("untrusted\u{1b}[31m issuer in request");
    let words = ["account server http://127.0.0.1:", "400 (untrusted", "issuer in request)", "run apply again"];
    bench.expect(1, &APPLY, "account-server", &words);
    assert!(*server.tokens.lock().unwrap() == before, "something was stored");
    *server.refuses.lock().unwrap() = None;
    // nats-account-server answers look-ups as servers do that store tokens.
    let system = support::system_client(&cluster).await;
    let mut look_ups = system.subscribe("$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP").await.unwrap();
    let tokens = server.tokens.clone();
    tokio::spawn(async move {
        while let Some(asked) = look_ups.next().await {
            let id = asked.subject.split('.').nth(3).unwrap().to_owned();
            let token = tokens.lock().unwrap().get(&id).cloned().unwrap_or_default();
            let _ = system.publish(asked.reply.unwrap(), token.into()).await;
        }
    });
    bench.says(0, &APPLY, &["3 of 3 servers confirm", "Done."]);
    bench.says(0, &["verify"], &["In sync: as defined, on all 3 servers."]);
    bench.run(&["plan"]).ends(0);
    flows(&cluster, &bench).await;

    let told = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", cluster.account_id());
    let mut other = definition.clone();
    other["accounts"]["APP"]["virtual_streams"]["foo"]["subjects"] = json!(["foo.>", "other.>"]);
    let before = server.tokens.lock().unwrap().clone();
    each_verb_names_the_permission_that_it_lacks(&cluster, &bench, &other, &told, &[&APPLY, &DESTROY]);
    assert!(*server.tokens.lock().unwrap() == before, "something was stored");

    // Two edits of one token, neither of which includes the other: one would be lost.
    let id = cluster.account_id();
    let newest = AccountClaims::decode(&server.token(id).unwrap()).unwrap();
    let mut claims = newest.value().clone();
    claims["nats"]["revocations"] = json!({ "*": 900 });
    let kept = server.token(id).unwrap();
    let older = issue(&claims, &bench.key("op.nk"), newest.issued_at() - 1).unwrap();
    server.tokens.lock().unwrap().insert(id.to_owned(), older.as_str().to_owned());
    for verb in [&APPLY[..], &["plan"]] {
        let ran = bench.run(verb);
        let said = ["[kept-differs]", "revocations", "--allow kept-differs"];
        assert!(ran.code == 1 && said.iter().all(|said| ran.to_string().contains(said)), "{ran}");
    }
    bench.says(3, &["verify"], &["kept-differs", "revocations"]);
    assert_eq!(server.token(id).unwrap(), older.as_str());
    server.tokens.lock().unwrap().remove(id);
    bench.says(1, &APPLY, &["[kept-differs]", "the account server has no token of it"]);
    server.tokens.lock().unwrap().insert(id.to_owned(), kept);
    bench.run(&["plan"]).ends(0);

    // Another tool stores a claim only on the account server: it is kept, and reaches the servers.
    let mut claims = AccountClaims::decode(&server.token(id).unwrap()).unwrap().value().clone();
    claims["nats"]["tags"] = json!(["of-others"]);
    let later = claims["iat"].as_u64().unwrap() + 1;
    let token = issue(&claims, &bench.key("op.nk"), later).unwrap();
    server.tokens.lock().unwrap().insert(id.to_owned(), token.as_str().to_owned());
    bench.says(3, &["verify"], &["stored, but the token of"]);
    bench.says(0, &APPLY, &["3 of 3 servers confirm"]);
    assert!(server.token(id).unwrap().len() > token.as_str().len() / 2);
    let kept = AccountClaims::decode(&server.token(id).unwrap()).unwrap();
    assert!(kept.tags().contains(&"of-others"), "{:?}", kept.tags());

    // A server that was down fetches the token that it missed.
    cluster.kill("east").await.unwrap();
    definition["accounts"]["APP"]["virtual_streams"]["foo"]["subjects"] = json!(["foo.>", "more.>"]);
    bench.write("vstream", &definition);
    bench.until(4, &[&APPLY[..], &["--allow", "region-missing"]].concat()).await;
    cluster.start("east").await.unwrap();
    cluster.wait_ready(PATIENCE).await.unwrap();
    bench.until(0, &APPLY).await;
    bench.until(0, &["verify"]).await;
    flows(&cluster, &bench).await;
    bench.run(&["destroy", "--delete-streams", "--operator", "op.nk", "--yes"]).ends(0);

    // The tool asks the account server, whatever token is in force.
    definition["resolver"] = json!({ "type": "url", "url": "http://127.0.0.1:1/jwt/v1/accounts/" });
    bench.write("vstream", &definition);
    for verb in [&APPLY[..], &["plan"], &["verify"]] {
        bench.expect(1, verb, "account-server", &["http://127.0.0.1:1/", "no answer"]);
    }
}

/// Kills runs that change subjects at random moments, under traffic. The next run finishes, no claim of another tool is
/// lost, and every region has each message once.
pub(super) async fn killed(
    cluster: &Cluster,
    bench: &Bench<'_>,
    regions: &[&str],
    definition: &mut Value,
    kept: impl AsyncFn() -> String,
) {
    let ledger = Ledger::default();
    let traffic = Traffic::start_where(cluster, regions, &ledger).await;
    let mut random = Random::seeded();
    for round in 0..rounds(2) {
        let subjects = if round % 2 == 0 { json!(["foo.>", "more.>"]) } else { json!(["foo.>"]) };
        definition["accounts"]["APP"]["virtual_streams"]["foo"]["subjects"] = subjects;
        bench.write("vstream", definition);
        let mut run = support::cluster::command(cluster);
        let flags = ["--yes", "--allow", "old-values-return", "--prune", "foo"];
        run.args(APPLY).args(flags).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut run = run.spawn().unwrap();
        tokio::time::sleep(random.below(Duration::from_secs(4))).await;
        run.kill().unwrap();
        run.wait().unwrap();
        let claims = AccountClaims::decode(&kept().await).unwrap();
        assert!(claims.tags().contains(&"of-others"), "round {round}: {:?}", claims.tags());
    }
    // The next run waits for the lease of the killed one.
    bench.until(0, &[&APPLY[..], &["--prune", "foo"]].concat()).await;
    bench.until(0, &["verify"]).await;
    let claims = AccountClaims::decode(&kept().await).unwrap();
    assert!(claims.tags().contains(&"of-others"), "{:?}", claims.tags());
    traffic.stop().await;
    assert!(ledger.len() > 100, "{} messages were published", ledger.len());
    arrived_in(cluster, regions, &ledger, "after runs were killed").await;
}

/// Adds a claim as another tool would.
pub(super) fn tagged(bench: &Bench<'_>, token: &str) -> String {
    let known = AccountClaims::decode(token).unwrap();
    let mut claims = known.value().clone();
    claims["nats"]["tags"] = json!(["of-others"]);
    issue(&claims, &bench.key("op.nk"), known.issued_at() + 1).unwrap().as_str().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_to_an_account_server_that_are_killed_go_on() {
    let (cluster, server) = with_an_account_server().await;
    let bench = Bench::new(&cluster).await;
    let mut definition = bench.definition();
    definition["accounts"]["APP"]["layout"] = json!("regional");
    definition["resolver"] = json!({ "type": "url", "url": server.url });
    bench.write("vstream", &definition);
    let id = cluster.account_id();
    let token = tagged(&bench, &server.token(id).unwrap());
    server.tokens.lock().unwrap().insert(id.to_owned(), token);
    bench.run(&APPLY).ends(0);
    killed(&cluster, &bench, &REGIONS, &mut definition, async || server.token(id).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_to_a_preload_that_are_killed_go_on() {
    let (cluster, file) = with_a_preload().await;
    let bench = Bench::new(&cluster).await;
    let mut definition = bench.definition();
    definition["resolver"] = json!({ "type": "memory", "preload": "preload.conf" });
    bench.write("vstream", &definition);
    let kept = || {
        let text = std::fs::read_to_string(&file).unwrap();
        let line = text.lines().find(|line| line.trim().starts_with(cluster.account_id())).unwrap();
        line.trim().split_once(": ").unwrap().1.to_owned()
    };
    let (before, token) = (kept(), tagged(&bench, &kept()));
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap().replace(&before, &token)).unwrap();
    bench.run(&APPLY).ends(3);
    // Reloads all the time, like a program that watches the file.
    let mut servers = Vec::new();
    for region in REGIONS {
        servers.extend(pids(&cluster, region).await);
    }
    let reloads = tokio::spawn(async move {
        loop {
            servers.iter().for_each(|pid| kill_process(*pid, Signal::HUP).unwrap());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    bench.until(0, &APPLY).await;
    killed(&cluster, &bench, &REGIONS, &mut definition, async || kept()).await;
    reloads.abort();
}

/// Servers that store tokens would never fetch them from the place that the definition names.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_keep_tokens_do_not_look_elsewhere() {
    let cluster = support::account().await;
    let bench = Bench::new(&cluster).await;
    let before = bench.everything().await;
    let server =
        AccountServer::start(bench.tokens().await.into_iter().filter_map(|(id, token)| Some((id, token?))).collect())
            .await;
    let preload = cluster.folder().join("preload.conf");
    std::fs::write(&preload, "resolver_preload: {}").unwrap();
    for resolver in
        [json!({ "type": "url", "url": server.url }), json!({ "type": "memory", "preload": preload.to_str().unwrap() })]
    {
        let mut definition = bench.definition();
        definition["resolver"] = resolver;
        let file = bench.write("elsewhere", &definition);
        for verb in [&APPLY[..], &["plan"], &["verify"]] {
            let said = ["a resolver that keeps them (`full`, `cache`)", "resolver: { type: nats }"];
            let ran = bench.run(&[verb, &["--definition", &file]].concat());
            assert!(ran.code == 1 && said.iter().all(|said| ran.to_string().contains(said)), "{ran}");
        }
    }
    bench.unchanged_since(&before, "a refusal").await;
    assert_eq!(std::fs::read_to_string(&preload).unwrap(), "resolver_preload: {}");
}
