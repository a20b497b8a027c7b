//! Ways to reach servers and accounts: WebSockets, one address for all regions, contexts of the `nats` CLI.

use crate::support::bench::Bench;
use crate::support::{self, Cluster, PATIENCE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::Output;
use std::time::Duration;
use vstream_jwt::dev::DevOptions;
use vstream_jwt::model::topology::Tls;
use vstream_jwt::nats::{ConnectOptions, LoginMethod, connect};
use vstream_jwt::observed::system;

/// Restarts the server of a region with an additional listener for WebSockets, and returns the port.
async fn with_websocket(cluster: &Cluster, region: &str, tls: &str) -> u16 {
    let server = cluster.servers().iter().find(|server| server.region == region).unwrap().clone();
    let file = cluster.server_folder(&server).join("nats-server.conf");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = std::fs::read_to_string(&file).unwrap();
    let listener = format!("websocket {{ host: 127.0.0.1, port: {port}, {tls} }}\n");
    cluster.kill(region).await.unwrap();
    std::fs::write(&file, config + &listener).unwrap();
    cluster.start(region).await.unwrap();
    cluster.wait_ready(PATIENCE).await.unwrap();
    port
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// Clients reach the servers only through a load balancer for all regions, which speaks WebSocket.
#[tokio::test(flavor = "multi_thread")]
async fn one_websocket_before_all_regions() {
    let cluster = support::up(DevOptions { servers: 1, tls: true, ..support::options() }).await;
    let folder = cluster.tls_folder().unwrap();
    let file = |name: &str| folder.join(name).display().to_string();
    let tls = format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}", file("server.pem"), file("server-key.pem"));
    let secure = with_websocket(&cluster, "west", &tls).await;
    let open = with_websocket(&cluster, "east", "no_tls: true").await;
    let definition = std::fs::read_to_string(cluster.folder().join("vstream.yaml")).unwrap();
    let reached_by = |url: &str, tls: bool| {
        let mut text = cluster.all_urls().iter().fold(definition.clone(), |text, own| text.replace(own, url));
        if !tls {
            let (before, after) = text.split_once("tls:\n").unwrap();
            let after: Vec<&str> = after.lines().skip_while(|line| line.starts_with("  ")).collect();
            text = format!("{before}{}\n", after.join("\n"));
        }
        std::fs::write(cluster.folder().join("vstream.yaml"), text).unwrap();
    };
    let run = |args: &[&str]| support::vstream(&cluster, args);
    reached_by(&format!("wss://127.0.0.1:{secure}"), true);
    let applied = run(&["apply", "--operator", "op.nk"]);
    assert!(applied.status.success() && said(&applied).contains("3 of 3 servers confirm"), "{}", said(&applied));
    let verified = run(&["verify"]);
    assert!(verified.status.success(), "{}", said(&verified));

    // An encrypted connection stays encrypted, even when its server goes down.
    let urls = [format!("wss://127.0.0.1:{secure}"), format!("ws://127.0.0.1:{open}")];
    let tls = Tls { ca: Some(folder.join("ca.pem")), ..Tls::default() };
    let access = LoginMethod::Credentials(cluster.system_credentials_path());
    let connection = connect(ConnectOptions::new(&urls, Some(&tls), &access, PATIENCE)).await.unwrap();
    assert_eq!(connection.server_name(), "west-1");
    cluster.kill("west").await.unwrap();
    let seen = system::deployment(&connection, Duration::from_secs(5)).await;
    assert!(seen.is_err(), "over {}: {seen:?}", connection.server_name());
    cluster.start("west").await.unwrap();
    cluster.wait_ready(PATIENCE).await.unwrap();

    // If the definition requires encryption, the run uses it.
    reached_by(&format!("ws://127.0.0.1:{open}"), true);
    let refused = run(&["verify"]);
    assert!(refused.status.code() == Some(1) && said(&refused).contains("write wss://"), "{}", said(&refused));
    reached_by(&format!("ws://127.0.0.1:{open}"), false);
    let verified = run(&["verify", "--wait", "1m"]);
    assert!(verified.status.success(), "{}", said(&verified));
}

/// `init` makes a definition from a running deployment: valid at once, and ready for `plan` once there are credentials.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_begins_with_what_a_deployment_tells() {
    let cluster = support::account().await;
    let bench = Bench::new(&cluster).await;
    let home = cluster.keys_folder().display().to_string();
    std::fs::create_dir_all(cluster.keys_folder().join("nats/context")).unwrap();
    let context = |name: &str, fields: &Value| {
        bench.write_key(&format!("nats/context/{name}.json"), &fields.to_string());
    };
    let url = cluster.urls("west")[0].clone();
    context("sys", &json!({ "url": url, "creds": cluster.system_credentials_path() }));
    context("app", &json!({ "url": url, "creds": cluster.credentials_path() }));
    context("nobody", &json!({ "url": "nats://127.0.0.1:1", "creds": cluster.system_credentials_path() }));
    context("bare", &json!({ "url": url }));
    context("secret", &json!({ "url": "nats://me:hunter2@127.0.0.1:1", "creds": cluster.system_credentials_path() }));
    let run = |args: &[&str]| bench.run_with(args, &[("XDG_CONFIG_HOME", home.as_str())]);

    // If the deployment cannot be read, `init` writes nothing.
    for (name, code, said) in [
        ("none", 2, &["there is no context `none`", "nats context ls"][..]),
        ("bare", 2, &["has no `creds`", "next:"]),
        ("secret", 2, &["`url` cannot be used", "a user or a token"]),
        ("nobody", 1, &["no server answers", "`url` of the context"]),
        ("app", 1, &["asking the servers", "one of the system account"]),
    ] {
        let ran = run(&["init", "from-nothing", "--from-context", name]);
        let text = ran.to_string();
        assert!(ran.code == code && said.iter().all(|said| text.contains(said)), "{name}: {text}");
        assert!(text.contains("--from-context") && !text.contains("hunter2"), "{name}: {text}");
        assert!(!cluster.folder().join("from-nothing").exists(), "{name}");
    }

    run(&["init", "told", "--from-context", "sys"]).ends(0);
    let file = cluster.folder().join("told/vstream.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    for region in cluster.regions() {
        let urls = cluster.urls(region);
        let line = text.lines().skip_while(|line| *line != format!("  {region}:")).nth(1).unwrap();
        assert!(urls.iter().all(|url| line.contains(url.as_str())), "{line}: not {urls:?}");
    }
    assert!(text.contains(&format!("\n# operator: {}\n", cluster.operator_id())), "{text}");
    let first = format!("servers: [\"{url}\"");
    assert!(text.contains(&first), "{first}: not the URL that led there\n{text}");
    assert!(text.contains("  context: sys\n") && text.contains(cluster.account_id()), "{text}");
    assert!(!text.contains(&format!("id: {}", cluster.system_account_id())), "{text}");
    assert!(text.lines().all(|line| !line.contains("APP-west")), "{text}");

    // The user chooses one of several accounts.
    let chosen = text.lines().find(|line| line.starts_with("    id: ")).unwrap();
    let chosen = text.replace(chosen, &format!("    id: {}", cluster.account_id()));
    let chosen = chosen.replace("credentials: keys/app.creds", "credentials: ../keys/app.creds");
    let chosen = chosen.replace("# operator: O", "operator: O");
    std::fs::write(&file, chosen).unwrap();
    run(&["validate", "--definition", "told/vstream.yaml"]).ends(0);
    let planned = run(&["plan", "--definition", "told/vstream.yaml"]);
    assert!(planned.code == 3 && planned.to_string().contains("3 regional accounts to make"), "{planned}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_refers_to_its_secrets() {
    let cluster = support::account().await;
    let bench = Bench::new(&cluster).await;
    let creds = std::fs::read_to_string(cluster.system_credentials_path()).unwrap();
    let of = |name: &str, fields: &Value| {
        let mut definition = bench.definition();
        definition["system"] = json!({ "context": name });
        bench.write_key(&format!("nats/context/{name}.json"), &fields.to_string());
        bench.write(name, &definition)
    };
    let home = cluster.keys_folder();
    std::fs::create_dir_all(home.join("nats/context")).unwrap();
    let home = home.display().to_string();
    let env =
        [("XDG_CONFIG_HOME", home.as_str()), ("SYS_CREDS", creds.as_str()), ("KEYS", home.as_str()), ("PATH", "")];
    let path = cluster.system_credentials_path();
    let in_keys = path.file_name().unwrap().to_str().unwrap();
    for (name, fields) in [
        ("env", json!({ "creds": "env://SYS_CREDS", "socks_proxy": "" })),
        ("data", json!({ "creds": format!("data:;base64,{}", B64.encode(&creds)) })),
        ("file", json!({ "creds": format!("file://{}", path.display()) })),
        ("variable", json!({ "creds": format!("${{KEYS}}/{in_keys}") })),
    ] {
        let ran = bench.run_with(&["plan", "--definition", &of(name, &fields)], &env);
        assert_eq!(ran.code, 3, "{name}: {ran}");
    }
    for (name, fields, why) in [
        ("gone", json!({ "creds": "env://NOT_SET" }), "`creds` is in the environment variable NOT_SET"),
        ("proxy", json!({ "creds": path, "socks_proxy": "socks5://h" }), "`socks_proxy` is not supported"),
        ("vault", json!({ "creds": "op://vault/item" }), "`op://` reference, which is not supported"),
        ("nsc", json!({ "nsc": "nsc://OP/SYS/sys" }), "there is no `nsc` on the PATH"),
    ] {
        let ran = bench.run_with(&["plan", "--definition", &of(name, &fields)], &env);
        let said = ran.to_string();
        assert!(ran.code == 1 && said.contains(why) && said.contains("next:"), "{name}: {said}");
    }
}
