//! Hostile names of other users' streams and clients, and hostile answers on the servers. They are shown as text,
//! without effect. Every run in the tests checks its output for that.

use crate::support::bench::{Bench, Ran, new_seed, now, public};
use crate::support::hostile::{HOSTILE, SEEN, SEEN_IN_JSON};
use crate::support::secrets::assert_harmless;
use crate::support::{Cluster, client, options, system_client, up};
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::sign::issue;

#[tokio::test(flavor = "multi_thread")]
async fn names_and_answers_of_others_are_shown_and_not_obeyed() {
    let regions = ["west", "east"].map(str::to_owned).to_vec();
    let cluster = up(vstream_jwt::dev::DevOptions { regions, servers: 1, ..options() }).await;
    let bench = Bench::new(&cluster).await;
    let mut definition = bench.definition();
    let one = json!({ "num_replicas": 1 });
    definition["accounts"]["APP"]["virtual_streams"]["foo"] =
        json!({ "subjects": ["foo.>"], "write": one, "read": one });
    bench.write("vstream", &definition);
    bench.run(&["apply", "--operator", "op.nk"]).ends(0);
    bench.until(0, &["verify"]).await;

    streams(&bench).await;
    clients(&bench).await;
    lease(&bench).await;
    claims(&bench, &definition).await;
    nsc_store(&bench, &definition).await;
    servers(&bench).await;
}

/// Runs a verb in all formats. Asserts that the output has the value, and no line that the value added.
fn seen(bench: &Bench<'_>, args: &[&str]) -> Ran {
    let json = bench.run(&[args, &["--format", "json"]].concat());
    json.document();
    let ran = bench.run(&[args, &["-v"]].concat());
    let brought = |line: &&str| ["account EVIL", "next: run me"].contains(&line.trim());
    for ran in [&ran, &bench.run(args)] {
        let forged = ran.out.lines().chain(ran.err.lines()).find(brought);
        assert_eq!(forged, None, "{ran}");
    }
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains(SEEN) || said.contains(SEEN_IN_JSON), "{ran}");
    ran
}

/// Returns the part of the hostile value that servers accept as the name of a stream.
fn name() -> String {
    HOSTILE
        .chars()
        .filter(|c| !matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}' | '.' | '*' | '>' | '/' | '\\'))
        .collect()
}

/// Tests streams and consumers of other users; the first stream has the metadata of a virtual stream that is in no
/// definition.
async fn streams(bench: &Bench<'_>) {
    let name = name();
    let marks = |region: &str| json!({ "vstream.name": HOSTILE, "vstream.region": region, "vstream.role": "write" });
    bench
        .make_stream(
            json!({ "name": name, "subjects": ["other.>"], "metadata": marks("west"), "description": HOSTILE }),
        )
        .await;
    bench
        .make_stream(json!({ "name": format!("{name}2"), "subjects": ["another.>"], "metadata": marks(HOSTILE) }))
        .await;
    seen(bench, &["plan"]);
    bench.run(&["status"]);
    seen(bench, &["plan", "--prune", HOSTILE, "--delete-streams"]);
    let markdown = bench.run(&["plan", "--format", "markdown", "--prune", HOSTILE, "--delete-streams"]);
    assert!(markdown.out.contains(SEEN), "{markdown}");
    assert!(!markdown.out.lines().any(|line| line.starts_with("account EVIL")), "{markdown}");

    // One of our streams, changed by another user, with a consumer that delivers to a subject without listener.
    let mut ours = bench.api("west", "STREAM.INFO.foo-read-west", Value::Null).await["config"].take();
    ours["description"] = HOSTILE.into();
    ours["metadata"][HOSTILE] = HOSTILE.into();
    let changed = bench.api("west", "STREAM.UPDATE.foo-read-west", ours).await;
    assert!(changed.get("error").is_none(), "{changed}");
    let consumer = json!({ "stream_name": "foo-read-west", "config": {
        "durable_name": name, "ack_policy": "none", "description": HOSTILE, "deliver_subject": format!("d{name}"),
    } });
    let made = bench.api("west", &format!("CONSUMER.DURABLE.CREATE.foo-read-west.{name}"), consumer).await;
    assert!(made.get("error").is_none(), "{made}");
    for verb in ["plan", "verify"] {
        seen(bench, &[verb]);
    }
    bench.run(&["apply", "--operator", "op.nk"]).ends(0);
}

/// Tests a subscriber with a name.
async fn clients(bench: &Bench<'_>) {
    let cluster: &Cluster = bench.cluster;
    let options = async_nats::ConnectOptions::with_credentials_file(cluster.credentials_path()).await.unwrap();
    let client = options.name(HOSTILE).connect(cluster.urls("west")).await.unwrap();
    let _subscription = client.subscribe("bar.x").await.unwrap();
    client.flush().await.unwrap();
    let mut definition = bench.definition();
    let one = json!({ "num_replicas": 1 });
    definition["accounts"]["APP"]["virtual_streams"] = json!({
        "foo": { "subjects": ["foo.>"], "write": one, "read": one },
        "bar": { "subjects": ["bar.>"], "write": one, "read": one },
    });
    bench.write("bar", &definition);
    let ran = seen(bench, &["plan", "--definition", "bar.yaml"]);
    let line = ran.err.lines().find(|line| line.contains("[subscription-stops]")).unwrap();
    assert!(line.contains(SEEN), "the subject, the client and the reason are one line: {line}");
    seen(bench, &["validate", "--online", "--definition", "bar.yaml"]);
    let markdown = bench.run(&["plan", "--format", "markdown", "--definition", "bar.yaml"]);
    assert!(markdown.out.contains(r"h\\u{1b}\[2J"), "{markdown}");
}

/// Tests the note in the lease: the holder and the purpose.
async fn lease(bench: &Bench<'_>) {
    let note = json!({ "id": "x", "holder": HOSTILE, "verb": HOSTILE, "tool": HOSTILE, "since": HOSTILE });
    let publisher = client(bench.cluster, "west").await;
    let note = async || {
        let answer = publisher.request("$VSTREAM.LEASE", note.to_string().into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(answer.get("error").is_none(), "{answer}");
    };
    let mut definition = bench.definition();
    definition["accounts"]["APP"]["virtual_streams"]["foo"]["write"] = json!({ "num_replicas": 1, "max_age": "12h" });
    definition["accounts"]["APP"]["virtual_streams"]["foo"]["read"] = json!({ "num_replicas": 1 });
    bench.write("changed", &definition);
    let apply = ["apply", "--operator", "op.nk", "--definition", "changed.yaml"];
    note().await;
    seen(bench, &["status"]);
    note().await;
    bench.says(1, &[&apply[..], &["--lease-timeout", "0s"]].concat(), &["is being changed by", SEEN]);
    // A run that waits for the lease, with a bar on a terminal that names its holder.
    note().await;
    let on_terminal = on_terminal(bench.cluster.folder(), &[&apply[..], &["--lease-timeout", "2s", "--yes"]].concat());
    assert!(on_terminal.contains(SEEN), "{on_terminal:?}");
}

/// Returns the command's output on a terminal, without the codes that it may use there: colors, and those of the bar.
fn on_terminal(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli/terminal.py")).arg("nothing").arg(folder);
    command.arg(crate::support::VSTREAM).args(args).env("TERM", "xterm-256color").env_remove("NO_COLOR");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let happened: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut plain = String::new();
    for (number, part) in happened["terminal"].as_str().unwrap().split('\u{1b}').enumerate() {
        // Colors, and the codes of a bar, which moves up and down over its own rows and clears them.
        let code = part.strip_prefix('[').map(|code| code.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';'));
        match code.and_then(|code| code.strip_prefix(['m', 'A', 'B', 'K'])) {
            _ if number == 0 => plain.push_str(part),
            Some(rest) => plain.push_str(rest),
            None => panic!("{args:?}: {:?}", part.chars().take(20).collect::<String>()),
        }
    }
    let plain = plain.replace('\r', "\n");
    assert_harmless(&args.join(" "), &plain);
    plain
}

/// Tests a token of the account with hostile text everywhere that servers accept it.
async fn claims(bench: &Bench<'_>, definition: &Value) {
    let before = bench.claims().await;
    let mut claims = before.clone();
    claims["name"] = HOSTILE.into();
    claims[HOSTILE] = HOSTILE.into();
    let nats = claims["nats"].as_object_mut().unwrap();
    nats.insert("description".to_owned(), HOSTILE.into());
    nats.insert("tags".to_owned(), json!([HOSTILE.to_lowercase()]));
    nats["mappings"][name()] = json!([{ "subject": format!("other{}", name()) }]);
    nats["mappings"]["foo.>"] = json!([{ "subject": format!("other{}.>", name()), "weight": 100 }]);
    bench.push(&claims).await;
    for verb in [&["plan"][..], &["verify"], &["status"], &["validate", "--online"]] {
        bench.run(verb);
        bench.run(&[verb, &["-v"]].concat());
        bench.run(&[verb, &["--format", "json"]].concat()).document();
    }
    seen(bench, &["plan"]);
    // Its plan file, which `sign` and `history` show.
    bench.run(&["plan", "--adopt", "--out", "plan.json"]).ends(3);
    let signed = bench.run(&["sign", "plan.json", "--operator", "op.nk", "--out", "signed.json"]);
    assert!(signed.ends(0).err.contains(SEEN), "{signed}");
    bench.run(&["apply", "--adopt", "--operator", "op.nk"]).ends(0);
    seen(bench, &["history", "last"]);
    bench.push(&before).await;
    bench.write("vstream", definition);
}

/// Tests an nsc store: names of operators and accounts, of files, and an edited copy of the token.
async fn nsc_store(bench: &Bench<'_>, definition: &Value) {
    let operator = new_seed(KeyKind::Operator);
    let store = bench.cluster.folder().join("nsc-h\u{1b}[2J");
    let folder = store.join("op");
    std::fs::create_dir_all(&folder).unwrap();
    let of_another = json!({
        "sub": public(&operator), "name": HOSTILE, "nats": { "type": "operator", "version": 2 },
    });
    std::fs::write(folder.join(".nsc"), json!({ "name": "op" }).to_string()).unwrap();
    std::fs::write(folder.join("op.jwt"), issue(&of_another, &operator, now()).unwrap().as_str()).unwrap();
    let mut with_store = definition.clone();
    with_store["nsc_store"] = store.file_name().unwrap().to_str().unwrap().into();
    let name = bench.write("store", &with_store);
    let plan = ["plan", "--definition", &name];
    seen(bench, &plan);
    std::fs::write(folder.join(".nsc"), json!({ "name": HOSTILE }).to_string()).unwrap();
    seen(bench, &plan);
    // The operator of the deployment, and the account's token with an edit.
    let varz = &bench.deployment().await.servers[0].varz;
    let token = varz["trusted_operators_jwt"][0].as_str().unwrap();
    std::fs::write(folder.join(".nsc"), json!({ "name": "op" }).to_string()).unwrap();
    std::fs::write(folder.join("op.jwt"), token).unwrap();
    let account = folder.join("accounts").join(self::name());
    std::fs::create_dir_all(&account).unwrap();
    let mut claims = bench.claims().await;
    claims[format!("x\n    - {HOSTILE}")] = HOSTILE.into();
    claims["nats"]["tags"] = json!(["a", HOSTILE]);
    let issued = claims["iat"].as_u64().unwrap() + 1;
    let edited = issue(&claims, &bench.key("op.nk"), issued).unwrap();
    std::fs::write(account.join(format!("{}.jwt", self::name())), edited.as_str()).unwrap();
    let ran = seen(bench, &plan);
    let finding = ran.err.lines().skip_while(|line| !line.contains("[nsc-store-newer]"));
    let lines: Vec<&str> = finding.skip(1).take_while(|line| line.starts_with("    ")).collect();
    assert!(lines.len() >= 2 && lines.iter().all(|line| line.trim_start().starts_with(['+', '-', '~'])), "{ran}");
    let json = bench.run(&[&plan[..], &["--format", "json"]].concat()).document();
    let finding = json["findings"].as_array().unwrap().iter().find(|finding| finding["code"] == "nsc-store-newer");
    assert_eq!(finding.unwrap()["lines"].as_array().unwrap().len(), lines.len(), "{json:#}");
    let markdown = bench.run(&[&plan[..], &["--format", "markdown"]].concat());
    assert!(markdown.out.contains("<br>"), "{markdown}");
}

/// A user of the system account that answers every request to servers, as one of them. The run may or may not see an
/// answer: it waits for as many answers as there are servers.
async fn servers(bench: &Bench<'_>) {
    let system = system_client(bench.cluster).await;
    let mut requests = system.subscribe("$SYS.REQ.>").await.unwrap();
    system.flush().await.unwrap();
    let answers = |subject: &str| {
        let server = json!({ "name": HOSTILE, "id": format!("N{HOSTILE}"), "cluster": HOSTILE, "ver": HOSTILE, "host": HOSTILE });
        let varz = json!({
            "server_id": HOSTILE, "server_name": HOSTILE, "version": HOSTILE, "gateway": { "name": HOSTILE }, "now": HOSTILE,
            "system_account": HOSTILE, "jetstream": { "config": { "domain": HOSTILE } }, "max_payload": 1, "cluster": { "name": HOSTILE },
        });
        let connections = json!({ "connections": [{ "kind": "Client", "name": HOSTILE, "cid": 1, "subscriptions_list": ["foo.x", "bar.x"] }] });
        let error = json!({ "code": 500, "description": HOSTILE });
        match subject {
            "$SYS.REQ.SERVER.PING.STATSZ" => json!({ "server": server, "statsz": { "active_servers": 3 } }),
            "$SYS.REQ.SERVER.PING.VARZ" => json!({ "server": server, "data": varz }),
            "$SYS.REQ.SERVER.PING.CONNZ" => json!({ "server": server, "data": connections }),
            "$SYS.REQ.CLAIMS.LIST" => json!({ "server": server, "data": [HOSTILE] }),
            _ => json!({ "server": server, "error": error }),
        }
    };
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                let _ = system.publish(reply, answers(&request.subject).to_string().into()).await;
            }
        }
    });
    seen(bench, &["plan"]);
    for verb in ["verify", "status"] {
        bench.run(&[verb, "-v"]);
        bench.run(&[verb, "--format", "json"]).document();
    }
    bench.run(&["apply", "--operator", "op.nk", "--definition", "bar.yaml", "--allow", "subscription-stops"]);
    on_terminal(bench.cluster.folder(), &["status"]);
    on_terminal(bench.cluster.folder(), &["plan", "-v"]);
}
