//! Tests what users of the system account can do to a run that signs. They may push, or answer in servers' names, but
//! they cannot sign. Each of these attacks once made the operator sign claims of the attacker's choice.

use super::together::At;
use crate::interop::strict::signed;
use crate::support::bench::{Bench, Ran, new_seed, now, public, set_mode};
use crate::support::cluster::command;
use crate::support::{PATIENCE, client, connect_as, eventually, example, options, secrets, small, system_client, up};
use async_nats::Client;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vstream_jwt::desired::lease;
use vstream_jwt::engine::error::ApplyError;
use vstream_jwt::engine::lease::Holder;
use vstream_jwt::engine::report::Merged;
use vstream_jwt::engine::run::{Run, Signers, execute};
use vstream_jwt::engine::session::{Subscription, VerbInputs};
use vstream_jwt::engine::{ConnectionError, Connector, Deadline, Silent};
use vstream_jwt::model::claims::{AccountClaims, LATEST, Token};
use vstream_jwt::model::names::RegionName;
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::model::virtual_stream::Account;
use vstream_jwt::nats::{DefinitionConnector, NatsConnection, Purpose};
use vstream_jwt::ops::apply::ApplyPlanner;
use vstream_jwt::ops::load;
use vstream_jwt::ops::plan::plan;
use vstream_jwt::ops::trust::trust;
use vstream_jwt::plan::Options;
use vstream_jwt::sign::keyring::Keyring;
use vstream_jwt::sign::user::{UserPermissions, mint_user};
use vstream_jwt::sign::{Seed, SignedToken, Signer as _, issue};

const UPDATE: &str = "$SYS.REQ.CLAIMS.UPDATE";

/// Returns the definition with these virtual streams, without replicas.
fn definition(bench: &Bench<'_>, names: &[&str]) -> Value {
    let mut definition = bench.definition();
    let small = json!({ "num_replicas": 1 });
    let stream =
        |name: &&str| ((*name).to_owned(), json!({ "subjects": [format!("{name}.>")], "write": small, "read": small }));
    definition["accounts"]["APP"]["virtual_streams"] =
        names.iter().map(stream).collect::<serde_json::Map<_, _>>().into();
    definition
}

/// Adds a key to the claims, which the account gets if any of the attacker's claims are signed.
fn with_key(claims: &Value, key: &Seed) -> Value {
    let mut claims = claims.clone();
    claims["nats"]["signing_keys"].as_array_mut().unwrap().push(json!(public(key)));
    claims
}

/// Runs `apply`, and calls `meanwhile` while the operator's key is asked for its first signature.
async fn apply_while(bench: &Bench<'_>, definition: &str, meanwhile: impl AsyncFnOnce()) -> Ran {
    let folder = bench.cluster.folder().to_owned();
    let [asked, go] = ["asked", "go"].map(|name| folder.join(name));
    let wait = "case $line in *'\"sign\"'*) touch asked; while [ ! -e go ]; do sleep 0.05; done;; esac";
    let signer = format!(
        "while read -r line; do {wait}; echo \"$line\"; done | {} keys/op.nk",
        example("operator_cmd").display()
    );
    let mut run = command(bench.cluster);
    run.args(["apply", "--definition", definition, "--operator-cmd", &signer]).stdin(Stdio::null());
    let running = tokio::task::spawn_blocking(move || secrets::output(&mut run));
    eventually("a signature is asked for", || async { asked.exists().then_some(()) }).await;
    meanwhile().await;
    // The run handles every update that it has received before it pushes.
    tokio::time::sleep(Duration::from_millis(300)).await;
    std::fs::write(&go, "").unwrap();
    let output = running.await.unwrap();
    [asked, go].iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    Ran { args: "apply".to_owned(), code, out: text(output.stdout), err: text(output.stderr) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_push_while_a_run_goes_on_is_signed_only_when_a_trusted_key_signed_it() {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    let operator = bench.key("op.nk");
    let (stranger, evil) = (new_seed(KeyKind::Operator), new_seed(KeyKind::Account));
    let attacker = system_client(&cluster).await;
    let push = async |subject: &str, token: &str| {
        attacker.request(subject.to_owned(), token.to_owned().into()).await.unwrap();
    };
    let bare = bench.claims().await;
    let revoked = public(&new_seed(KeyKind::User));
    let mut claims = bare.clone();
    claims["nats"]["revocations"] = json!({ &revoked: 1_600_000_000 });
    bench.push(&claims).await;

    // A1, A2: claims of the attacker's choice, signed with the attacker's own key, on each subject. One push has a
    // reply subject like those of this program.
    let by_name = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", cluster.account_id());
    let by_old = format!("$SYS.ACCOUNT.{}.CLAIMS.UPDATE", cluster.account_id());
    let forged = format!("_INBOX.{}.vstream-jwt.1", "x".repeat(22));
    let pushes =
        [("one", UPDATE, None), ("two", &*by_name, None), ("three", UPDATE, Some(forged)), ("old", &by_old, None)];
    for (name, subject, reply) in pushes {
        let all = ["one", "two", "three", "old"].into_iter().take_while(|other| *other != name).chain([name]);
        let file = bench.write("app", &definition(&bench, &all.collect::<Vec<_>>()));
        let before = bench.claims().await;
        let token = issue(&with_key(&before, &evil), &stranger, now() + 5).unwrap();
        let ran = apply_while(&bench, &file, async || match reply {
            None => push(subject, token.as_str()).await,
            Some(reply) => {
                attacker.publish_with_reply(subject.to_owned(), reply, token.as_str().to_owned().into()).await.unwrap();
                attacker.flush().await.unwrap();
            }
        })
        .await;
        ran.ends(0);
        for words in ["[token-untrusted]", &public(&stranger), subject, cluster.account_id(), "next:"] {
            assert!(ran.err.contains(words), "{words}: {ran}");
        }
        let claims = bench.claims().await;
        assert_eq!(claims["iss"], public(&operator), "{ran}");
        assert_eq!(claims["nats"]["signing_keys"], before["nats"]["signing_keys"], "{ran}");
        assert!(claims["nats"]["mappings"][format!("{name}.>")].is_array(), "{claims}");
        assert!(claims["iat"].as_u64().unwrap() <= now() + 1, "{claims}");
        bench.run(&["verify", "--definition", &file]).ends(0);
    }

    // A token that the operator signed long ago, without the revocation and the mappings: any user who kept it can push
    // it.
    let file = bench.write("app", &definition(&bench, &["one", "two", "three", "old", "four"]));
    let old = issue(&bare, &operator, now() - 1000).unwrap();
    let ran = apply_while(&bench, &file, async || push(UPDATE, old.as_str()).await).await;
    ran.ends(0);
    assert!(ran.err.contains("[token-pushed-again]") && ran.err.contains("an old token of it, issued"), "{ran}");
    let claims = bench.claims().await;
    assert_eq!(claims["nats"]["revocations"], json!({ &revoked: 1_600_000_000 }), "{ran}");
    assert_eq!(claims["nats"]["mappings"].as_object().unwrap().len(), 5 + claims_of_shared(&claims), "{claims}");
    bench.run(&["verify", "--definition", &file]).ends(0);

    // An update that another tool pushes with the operator's key is kept, and shown before it is signed.
    let file = bench.write("app", &definition(&bench, &["one", "two", "three", "old", "four", "five"]));
    let mut edit = bench.claims().await;
    edit["nats"]["tags"] = json!(["by-nsc"]);
    let token = issue(&edit, &operator, now()).unwrap();
    let ran = apply_while(&bench, &file, async || push(UPDATE, token.as_str()).await).await;
    ran.ends(0);
    let said = ["account APP: other tools changed this meanwhile, and it is kept:", "+ nats.tags: \"by-nsc\""];
    assert!(said.iter().all(|words| ran.err.contains(words) && ran.out.contains(words)), "{ran}");
    assert!(!ran.err.contains("[token-untrusted]"), "{ran}");
    assert_eq!(bench.claims().await["nats"]["tags"], json!(["by-nsc"]));
}

/// While no run is active, the last push wins, however old its token is. The record of the last push reveals this.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_token_that_is_pushed_again_is_named() {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    let file = bench.write("app", &definition(&bench, &["foo"]));
    let apply = ["apply", "--operator", "op.nk", "--definition", &file];
    bench.run(&apply).ends(0);
    let old = bench.tokens().await.into_iter().find_map(|(_, token)| token).unwrap();
    // The old token has all the mappings, and only lacks a revocation: no other check can find it.
    let mut revoking = bench.claims().await;
    revoking["nats"]["revocations"] = json!({ public(&new_seed(KeyKind::User)): 1_600_000_000 });
    bench.push(&revoking).await;
    bench.write("app", &definition(&bench, &["foo", "bar"]));
    assert!(!bench.run(&apply).ends(0).err.contains("token-pushed-again"));
    bench.write("app", &definition(&bench, &["foo"]));
    assert!(!bench.run(&[&apply[..], &["--prune", "bar"]].concat()).ends(0).err.contains("token-pushed-again"));
    bench.until(0, &["verify", "--definition", &file]).await;

    system_client(&cluster).await.request(UPDATE, old.into()).await.unwrap();
    let said = ["account APP", "(record ", "was pushed again over it", "since then must be made again"];
    for verb in ["plan", "verify"] {
        bench.says(0, &[verb, "--definition", &file], &said);
    }
}

/// Returns the number of mappings in the layout `shared` that are not for subjects of virtual streams.
fn claims_of_shared(claims: &Value) -> usize {
    let mappings = claims["nats"]["mappings"].as_object().unwrap();
    mappings.keys().filter(|source| source.starts_with('$')).count()
}

/// Changes without the user's agreement are not signed.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_merged_is_agreed_to_before_it_is_signed() {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    let file = bench.write("app", &definition(&bench, &["foo"]));
    let loaded = load::load(&cluster.folder().join(file)).unwrap();
    let folder = cluster.keys_folder();
    let mut keys = Keyring::open(&folder).unwrap();
    let connector = DefinitionConnector::new(&loaded.definition, Purpose::Change, &folder);
    let operator = bench.key("op.nk");
    let trust = trust(Some(&loaded.definition), &loaded.base, &folder).signing_with(Some(operator.public_key()));
    let inputs = VerbInputs { definition: &loaded.definition, keys: &keys, trust: &trust };
    let deadline = Deadline::after(PATIENCE);
    let planned = plan(inputs, &connector, &Options::default(), Subscription::On, deadline, &Silent).await;
    let (mut session, mut planned) = planned.unwrap();
    let mut edit = bench.claims().await;
    edit["nats"]["description"] = json!("theirs");
    bench.push(&edit).await;
    let asked: Mutex<Vec<Merged>> = Mutex::default();
    let refuse = |merged: &[Merged]| {
        asked.lock().unwrap().extend_from_slice(merged);
        false
    };
    let signers = Signers { operator: Some(&operator), keys: &mut keys, signed: None };
    let run = Run::new(ApplyPlanner(None), signers, Holder { who: "the test".to_owned(), verb: "apply" });
    let run = Run { agree: &refuse, ..run };
    let ended = execute(&mut session, &mut planned, run, &connector, &Silent).await;
    assert!(
        matches!(ended.as_ref().map_err(|stopped| &*stopped.cause), Err(ApplyError::NotAgreed { pushed: false })),
        "{ended:?}"
    );
    let asked = asked.into_inner().unwrap();
    let [Merged { account, changes, .. }] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((&**account, &changes[..]), ("APP", &[r#"+ nats.description: "theirs""#.to_owned()][..]));
    let claims = bench.claims().await;
    assert_eq!((&claims["nats"]["description"], &claims["nats"]["mappings"]), (&json!("theirs"), &Value::Null));
}

/// An update that another tool pushes after the run has read the servers, and before it plans, is merged into that
/// plan.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_plan_merges_is_agreed_to_before_it_is_signed() {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    let file = bench.write("app", &definition(&bench, &["foo"]));
    let loaded = load::load(&cluster.folder().join(file)).unwrap();
    let folder = cluster.keys_folder();
    let mut keys = Keyring::open(&folder).unwrap();
    let connector = DefinitionConnector::new(&loaded.definition, Purpose::Change, &folder);
    let operator = bench.key("op.nk");
    let trust = trust(Some(&loaded.definition), &loaded.base, &folder).signing_with(Some(operator.public_key()));
    let inputs = VerbInputs { definition: &loaded.definition, keys: &keys, trust: &trust };
    let mut edit = bench.claims().await;
    edit["nats"]["description"] = json!("theirs");
    let runtime = tokio::runtime::Handle::current();
    let push = || tokio::task::block_in_place(|| runtime.block_on(bench.push(&edit)));
    let progress = At { steps: Mutex::new(vec![("reading the streams", &push)]) };
    let planned =
        plan(inputs, &connector, &Options::default(), Subscription::On, Deadline::after(PATIENCE), &progress).await;
    let (mut session, mut planned) = planned.unwrap();
    let asked: Mutex<Vec<Merged>> = Mutex::default();
    let refuse = |merged: &[Merged]| {
        asked.lock().unwrap().extend_from_slice(merged);
        false
    };
    let signers = Signers { operator: Some(&operator), keys: &mut keys, signed: None };
    let run = Run::new(ApplyPlanner(None), signers, Holder { who: "the test".to_owned(), verb: "apply" });
    let ended = execute(&mut session, &mut planned, Run { agree: &refuse, ..run }, &connector, &Silent).await;
    assert!(
        matches!(ended.as_ref().map_err(|stopped| &*stopped.cause), Err(ApplyError::NotAgreed { pushed: false })),
        "{ended:?}"
    );
    let asked = asked.into_inner().unwrap();
    let [Merged { changes, .. }] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(changes[..], [r#"+ nats.description: "theirs""#.to_owned()]);
    let claims = bench.claims().await;
    assert_eq!((&claims["nats"]["description"], &claims["nats"]["mappings"]), (&json!("theirs"), &Value::Null));
}

/// Connects once; later attempts reach no server.
struct Once<'c> {
    real: DefinitionConnector<'c>,
    done: AtomicBool,
}

impl Connector for Once<'_> {
    type Connection = NatsConnection;

    fn changes(&self) -> bool {
        self.real.changes()
    }

    async fn system(&self, timeout: Duration) -> Result<(NatsConnection, PublicKey), ConnectionError> {
        if self.done.swap(true, Ordering::SeqCst) {
            let (message, next) = ("no server is reached".to_owned(), String::new());
            return Err(ConnectionError { code: "unreachable", message, next });
        }
        self.real.system(timeout).await
    }

    async fn account(
        &self,
        account: &Account,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> Result<NatsConnection, ConnectionError> {
        self.real.account(account, claims, strict, timeout).await
    }

    async fn regional(
        &self,
        account: &Account,
        region: &RegionName,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> Result<Option<NatsConnection>, ConnectionError> {
        self.real.regional(account, region, claims, strict, timeout).await
    }

    async fn load(
        &self,
        account: &Account,
        region: Option<&RegionName>,
        claims: &AccountClaims,
        strict: bool,
        timeout: Duration,
    ) -> Result<Vec<Result<String, ConnectionError>>, ConnectionError> {
        self.real.load(account, region, claims, strict, timeout).await
    }
}

/// A run that cannot plan again ends, and still reports the updates that it received and did not use.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_heard_is_told_when_it_cannot_be_planned_again() {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    let file = bench.write("app", &definition(&bench, &["foo"]));
    let loaded = load::load(&cluster.folder().join(file)).unwrap();
    let folder = cluster.keys_folder();
    let mut keys = Keyring::open(&folder).unwrap();
    let real = DefinitionConnector::new(&loaded.definition, Purpose::Change, &folder);
    let connector = Once { real, done: AtomicBool::new(false) };
    let operator = bench.key("op.nk");
    let trust = trust(Some(&loaded.definition), &loaded.base, &folder).signing_with(Some(operator.public_key()));
    let inputs = VerbInputs { definition: &loaded.definition, keys: &keys, trust: &trust };
    let deadline = Deadline::after(PATIENCE);
    let planned = plan(inputs, &connector, &Options::default(), Subscription::On, deadline, &Silent).await;
    let (mut session, mut planned) = planned.unwrap();
    let mut edit = bench.claims().await;
    bench.push_signed(&new_seed(KeyKind::Operator), &edit, now() + 1).await;
    edit["nats"]["description"] = json!("theirs");
    bench.push_signed(&operator, &edit, now() + 2).await;
    let signers = Signers { operator: Some(&operator), keys: &mut keys, signed: None };
    let run = Run::new(ApplyPlanner(None), signers, Holder { who: "the test".to_owned(), verb: "apply" });
    let ended = execute(&mut session, &mut planned, run, &connector, &Silent).await;
    let cause = ended.as_ref().map_err(|stopped| &*stopped.cause);
    assert!(matches!(cause, Err(ApplyError::Read(_))), "{ended:?}");
    let heard: Vec<&str> = session.unused_pushes().iter().map(|finding| finding.code).collect();
    assert_eq!(heard, ["token-untrusted"]);
}

/// If another tool pushed while the first question waited, a run on a terminal asks again, and shows the changes.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_what_was_merged_is_asked_for_again() {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    let file = bench.write("app", &definition(&bench, &["foo"]));
    let folder = cluster.folder().to_owned();
    let cases = [
        ("n", 1, "not confirmed; no token was pushed"),
        ("ctrl-c", 130, "ended at once; what was done until then stays"),
    ];
    for (second, exit, said) in cases {
        let mut run = Command::new("python3");
        run.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli/terminal.py"));
        run.arg(format!("answers:y,{second}")).arg(&folder).arg(crate::support::VSTREAM);
        run.args(["apply", "--definition", &file, "--operator", "op.nk", "--timeout", "2m"]);
        run.env("NO_COLOR", "1").env("TERM", "xterm-256color");
        let running = tokio::task::spawn_blocking(move || secrets::output(&mut run));
        let asked = async |number: usize| {
            let file = folder.join(format!("asked-{number}"));
            eventually("a question", || async { file.exists().then_some(()) }).await;
        };
        let answer = |number: usize| std::fs::write(folder.join(format!("answer-{number}")), "").unwrap();
        asked(0).await;
        let mut edit = bench.claims().await;
        let theirs = format!("theirs, before {second}");
        edit["nats"]["description"] = json!(theirs);
        bench.push(&edit).await;
        answer(0);
        asked(1).await;
        answer(1);
        let output = running.await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let happened: Value = serde_json::from_slice(&output.stdout).unwrap();
        let terminal = happened["terminal"].as_str().unwrap();
        let question = terminal.rfind("Other tools pushed this since; it is kept, and signed as well. Go on? [y/N]");
        let change = terminal.find(&theirs);
        assert!(change.is_some() && change < question, "the change comes before the question: {happened}");
        assert!(terminal.contains(said), "{happened}");
        assert_eq!(happened["exit"], exit, "{happened}");
        let claims = bench.claims().await;
        assert_eq!((&claims["nats"]["description"], &claims["nats"]["mappings"]), (&json!(theirs), &Value::Null));
        let streams = bench.stream_names().await;
        assert!(streams.iter().all(|name| name == lease::STREAM), "{streams:?}");
        for number in [0, 1] {
            std::fs::remove_file(folder.join(format!("asked-{number}"))).unwrap();
            std::fs::remove_file(folder.join(format!("answer-{number}"))).unwrap();
        }
    }
}

/// A user of the system account that answers like a server. It needs no permission but to receive requests and answer
/// them.
struct Impostor {
    client: Client,
    account: String,
    /// A real answer, which differs only in its server.
    varz: Value,
    operator: Seed,
    token: String,
    /// `true` to answer in the name of that server too.
    in_its_name: bool,
    /// Stopped processes, which continue a little after the first request.
    slow: Vec<u32>,
}

impl Impostor {
    async fn new(bench: &Bench<'_>, token: String, operator: Seed) -> Self {
        let system = PublicKey::parse(bench.cluster.system_account_id()).unwrap();
        let permissions = UserPermissions::only(&["_INBOX.>"], &["$SYS.REQ.>"]);
        let user = mint_user(&bench.key("sys.nk"), Some(&system), &permissions, now() + 3600, now()).unwrap();
        let client =
            connect_as(bench.cluster.urls("west"), user.jwt.as_str(), user.seed.reveal().as_str()).await.unwrap();
        let varz = system_client(bench.cluster).await.request("$SYS.REQ.SERVER.PING.VARZ", "".into()).await.unwrap();
        let varz = serde_json::from_slice(&varz.payload).unwrap();
        let account = bench.cluster.account_id().to_owned();
        Self { client, account, varz, operator, token, in_its_name: false, slow: Vec::new() }
    }

    async fn answer(self) {
        let mut requests = self.client.subscribe("$SYS.REQ.>").await.unwrap();
        self.client.flush().await.unwrap();
        let stamp = json!({ "name": "evil-1", "id": "NEVIL", "cluster": "west", "ver": "2.15.1" });
        let mut varz = self.varz.clone();
        let operator = json!({ "sub": public(&self.operator), "iss": public(&self.operator), "name": "EVIL",
            "nats": { "type": "operator", "version": 2 } });
        varz["data"]["trusted_operators_claim"].as_array_mut().unwrap().push(operator);
        let twin = varz.clone();
        varz["server"] = stamp.clone();
        (varz["data"]["server_id"], varz["data"]["server_name"]) = (json!("NEVIL"), json!("evil-1"));
        varz["data"].as_object_mut().unwrap().remove("jetstream");
        while let Some(request) = requests.next().await {
            let Some(reply) = request.reply else { continue };
            let subject = request.subject.as_str();
            let about = |id: &str| String::from_utf8_lossy(&request.payload).contains(id);
            let answers: Vec<String> = match subject {
                "$SYS.REQ.SERVER.PING.STATSZ" => {
                    vec![json!({ "server": stamp, "statsz": { "active_servers": 3 } }).to_string()]
                }
                "$SYS.REQ.SERVER.PING.VARZ" if self.in_its_name => vec![twin.to_string()],
                "$SYS.REQ.SERVER.PING.VARZ" => vec![varz.to_string()],
                "$SYS.REQ.SERVER.PING.ACCOUNTZ" if about(&self.account) => {
                    let detail = json!({ "jwt": self.token, "complete": true, "expired": false });
                    vec![json!({ "server": stamp, "data": { "account_detail": detail } }).to_string()]
                }
                subject if subject.ends_with(&format!("{}.CLAIMS.LOOKUP", self.account)) => vec![self.token.clone(); 3],
                _ => Vec::new(),
            };
            for answer in answers {
                self.client.publish(reply.clone(), answer.into()).await.unwrap();
            }
            self.client.flush().await.unwrap();
            if subject.ends_with("VARZ") && !self.slow.is_empty() {
                let slow = self.slow.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    slow.into_iter().for_each(|pid| signal(pid, "CONT"));
                });
            }
        }
    }
}

fn signal(pid: u32, signal: &str) {
    let kill = std::process::Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    assert!(kill.unwrap().success());
}

/// A definition in another folder, with its own keys folder, where no operator's token is at hand.
struct Elsewhere {
    _folder: tempfile::TempDir,
    definition: String,
    keys: String,
}

impl Elsewhere {
    fn new(bench: &Bench<'_>, definition: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("k");
        std::fs::create_dir(&keys).unwrap();
        set_mode(&keys, 0o700);
        let mut definition = definition.clone();
        definition["system"]["credentials"] = json!(bench.cluster.system_credentials_path());
        definition["accounts"]["APP"]["credentials"] = json!(bench.cluster.credentials_path());
        let path = folder.path().join("vstream.yaml");
        std::fs::write(&path, definition.to_string()).unwrap();
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        Self { definition: text(path), keys: text(keys), _folder: folder }
    }

    fn args<'a>(&'a self, verb: &[&'a str]) -> Vec<&'a str> {
        [verb, &["--definition", &self.definition, "--keys", &self.keys]].concat()
    }
}

/// A5: one region is slow, and a user of the system account, who may not even push, poses as the third server.
#[tokio::test(flavor = "multi_thread")]
async fn answers_in_servers_names_are_not_signed() {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    let (stranger, evil) = (new_seed(KeyKind::Operator), new_seed(KeyKind::Account));
    let before = bench.everything().await;
    let claims = bench.claims().await;
    let token = issue(&with_key(&claims, &evil), &stranger, now() + 2).unwrap().as_str().to_owned();
    // All regions connect to a server that is not slow.
    let mut definition = definition(&bench, &["foo"]);
    let west = cluster.urls("west")[0].clone();
    definition["regions"]["west"]["servers"] = json!([west]);
    definition["regions"]["central"]["servers"] = json!([west.replace("127.0.0.1", "localhost")]);
    definition["regions"]["east"]["servers"] = json!([west.replace("127.0.0.1", "LOCALHOST")]);
    let status = cluster.status().await;
    let east = status.servers.iter().find(|server| server.server.cluster == "east").unwrap();
    let pid = serde_json::to_value(east).unwrap()["pid"].as_u64().unwrap() as u32;

    let mut pinned = definition.clone();
    pinned["operator"] = json!(cluster.operator_id());
    let (plain, pinned) = (bench.write("plain", &definition), bench.write("pinned", &pinned));
    let elsewhere = Elsewhere::new(&bench, &definition);
    let op = cluster.operator_key_path();
    let op = ["apply", "--operator", op.to_str().unwrap()];
    let mut runs = vec![
        ([&op[..], &["--definition", &plain]].concat(), "token-untrusted"),
        ([&op[..], &["--definition", &pinned]].concat(), "token-untrusted"),
        (elsewhere.args(&op), "token-untrusted"),
        (elsewhere.args(&["plan"]), "operators-differ"),
        (elsewhere.args(&["verify"]), "operators-differ"),
    ];
    for (args, code) in runs.drain(..) {
        let mut impostor = Impostor::new(&bench, token.clone(), Seed::parse(&stranger.reveal()).unwrap()).await;
        impostor.slow = vec![pid];
        let impostor = tokio::spawn(impostor.answer());
        tokio::time::sleep(Duration::from_millis(200)).await;
        signal(pid, "STOP");
        let ran = bench.run(&[&args[..], &["--format", "json"]].concat());
        signal(pid, "CONT");
        impostor.abort();
        let told = ran.document()["error"].to_string();
        assert!(ran.code == 1 && told.contains(&format!("\"{code}\"")), "not {code}: {ran}");
        assert!(code != "operators-differ" || told.contains("evil-1"), "the server is not named: {ran}");
    }
    // In the name of a real server.
    let mut impostor = Impostor::new(&bench, token.clone(), Seed::parse(&stranger.reveal()).unwrap()).await;
    impostor.in_its_name = true;
    let impostor = tokio::spawn(impostor.answer());
    tokio::time::sleep(Duration::from_millis(200)).await;
    for verb in [&op[..], &["verify"]] {
        bench.expect(1, &[verb, &["--definition", &plain]].concat(), "answers-differ", &["in the name of server"]);
    }
    impostor.abort();
    bench.unchanged_since(&before, "an apply or verify that an impostor answered").await;
    bench.run(&[&op[..], &["--definition", &plain]].concat()).ends(0);
    assert!(!bench.claims().await.to_string().contains(&public(&evil)));
}

/// A14: a token that is stored everywhere and in force nowhere, with a date that every later token would have to
/// exceed.
#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_token_sets_no_date_and_is_replaced() {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    let (stranger, evil) = (new_seed(KeyKind::Operator), new_seed(KeyKind::Account));
    let file = bench.write("app", &definition(&bench, &["foo"]));
    let apply = ["apply", "--operator", "op.nk", "--definition", &file];
    bench.run(&apply).ends(0);
    for (iat, named) in [
        (now() + 10 * 365 * 86_400, "token-untrusted"),
        (LATEST, "token-untrusted"),
        (1, "token-untrusted"),
        // A date that servers cannot represent: they store the token, but the tool cannot even read it.
        (i64::MAX as u64, "token-unreadable"),
    ] {
        let before = bench.claims().await;
        let mut claims = with_key(&before, &evil);
        (claims["exp"], claims["iat"]) = (json!(now() + 60), json!(iat));
        let token = SignedToken::verified(&signed(&claims, &stranger), &stranger.public_key()).unwrap();
        bench.push_token(&claims, token).await;
        let seen = bench.run(&["verify", "--definition", &file]);
        assert!(seen.code == 3 && seen.out.contains(named), "{seen}");
        let planned = bench.run(&["plan", "--definition", &file]);
        assert!(planned.code == 3 && !planned.err.contains("issued-in-future"), "{planned}");
        let ran = bench.run(&apply);
        assert!(ran.ends(0).err.contains("`apply` restores the newest trusted token"), "{ran}");
        let claims = bench.claims().await;
        assert_eq!((&claims["iss"], &claims["nats"]), (&before["iss"], &before["nats"]));
        assert!(claims["exp"].is_null() && claims["iat"].as_u64().unwrap() <= now() + 5, "{claims}");
        bench.run(&["verify", "--definition", &file]).ends(0);
        let again = bench.run(&apply);
        assert!(again.ends(0).out.contains("nothing was pushed"), "{again}");
    }
    // A date by the operator's own clock is allowed.
    bench.push_signed(&bench.key("op.nk"), &bench.claims().await, now() + 3600).await;
    bench.expect(1, &apply, "issued-in-future", &["--allow issued-in-future"]);
}

/// Servers accept a signature in any encoding that they decode to the same bytes, and store that. So any user who may
/// push can encode each token differently, without a key.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_another_spelling_blocks_nothing_and_is_replaced() {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    let file = bench.write("app", &definition(&bench, &["foo"]));
    let apply = ["apply", "--operator", "op.nk", "--definition", &file];
    bench.run(&apply).ends(0);
    let attacker = system_client(&cluster).await;
    let stored = async || bench.tokens().await.into_iter().map(|(_, token)| token.unwrap()).collect::<Vec<_>>();
    let old = stored().await.remove(0);
    for respell in [spare_bits, line_feed] {
        let before = stored().await.remove(0);
        let respelled = respell(&before);
        attacker.request(UPDATE, respelled.clone().into()).await.unwrap();
        eventually("all servers store it", async || {
            stored().await.iter().all(|token| *token == respelled).then_some(())
        })
        .await;
        let said = ["[stored-differently]", "its signature in another spelling"];
        bench.says(0, &["verify", "--definition", &file], &said);
        bench.says(3, &["plan", "--definition", &file], &said);
        bench.run(&apply).ends(0);
        let after = stored().await;
        assert!(after.iter().all(|token| *token == after[0] && !token.contains('\n')), "{after:?}");
        let claims = |token: &str| Token::decode(token).unwrap().claims()["nats"].clone();
        assert!(after[0] != before && claims(&after[0]) == claims(&before), "it was issued anew");
        bench.run(&["verify", "--definition", &file]).ends(0);
        assert!(bench.run(&apply).ends(0).out.contains("nothing was pushed"));
    }
    // During a run: the newest token again, and an old one. A token that is less than 5 s old when the run begins may
    // come from another run.
    let issued = Token::decode(&old).unwrap().claims()["iat"].as_u64().unwrap();
    eventually("the first token is old", async || (issued + 6 < now()).then_some(())).await;
    let newest = stored().await.remove(0);
    for (name, respelled, code) in [("bar", spare_bits(&newest), ""), ("baz", line_feed(&old), "[token-pushed-again]")]
    {
        let file =
            bench.write("app", &definition(&bench, &["foo", "bar", "baz"][..if code.is_empty() { 2 } else { 3 }]));
        let ran = apply_while(&bench, &file, async || {
            attacker.request(UPDATE, respelled.clone().into()).await.unwrap();
        })
        .await;
        assert!(ran.ends(0).err.contains(code) && !ran.err.contains("unreadable"), "{ran}");
        let claims = bench.claims().await;
        assert!(claims["nats"]["mappings"][format!("{name}.>")].is_array(), "{claims}");
        bench.run(&["verify", "--definition", &file]).ends(0);
    }
}

/// Returns the token with other spare bits in its last letter.
fn spare_bits(token: &str) -> String {
    let (start, last) = token.split_at(token.len() - 1);
    format!("{start}{}", char::from(last.as_bytes()[0] + 1))
}

/// Returns the token with a line feed in its signature.
fn line_feed(token: &str) -> String {
    let (start, end) = token.split_at(token.len() - 20);
    format!("{start}\n{end}")
}

/// Without a pin and an operator's token, a run trusts only the key that it signs with. A pin or a token must confirm
/// any other key of the same operator, here its identity key.
#[tokio::test(flavor = "multi_thread")]
async fn a_colleagues_token_is_believed_once_the_operator_is_pinned() {
    let cluster = up(vstream_jwt::dev::DevOptions { servers: 1, strict_signing_keys: false, ..options() }).await;
    let bench = Bench::new(&cluster).await;
    let op = cluster.operator_key_path();
    let op = ["apply", "--operator", op.to_str().unwrap()];
    let plain = definition(&bench, &["foo"]);
    let mut claims = bench.claims().await;
    claims["nats"]["description"] = json!("by a colleague");
    bench.push_signed(&bench.key("operator-identity.nk"), &claims, now() + 1).await;

    let elsewhere = Elsewhere::new(&bench, &plain);
    let line = format!("`operator: {}`", cluster.operator_id());
    let said = ["which servers say they trust", "no operator is pinned", &line];
    bench.expect(1, &elsewhere.args(&op), "token-untrusted", &said);
    // For a run that only reads, the servers' agreement is enough.
    bench.expect(3, &elsewhere.args(&["plan"]), "operator-not-pinned", &["that proves nothing", &line]);
    bench.expect(0, &elsewhere.args(&["validate", "--online"]), "operator-not-pinned", &[&line]);

    let with_pin = |key: &str| {
        let mut pinned = plain.clone();
        pinned["operator"] = json!(key);
        pinned
    };
    let other = public(&new_seed(KeyKind::Operator));
    let wrong = Elsewhere::new(&bench, &with_pin(&other));
    for verb in [&op[..], &["plan"], &["verify"]] {
        bench.expect(1, &wrong.args(verb), "operators-differ", &[&other, cluster.operator_id(), "operator:"]);
    }
    // An operator's token with the right keys proves nothing if another key signed it.
    let right = Elsewhere::new(&bench, &with_pin(cluster.operator_id()));
    let claims = json!({ "sub": cluster.operator_id(), "name": "OP",
        "nats": { "type": "operator", "version": 2, "signing_keys": [public(&bench.key("op.nk"))] } });
    let forged = issue(&claims, &new_seed(KeyKind::Operator), now()).unwrap();
    let path = PathBuf::from(&right.keys).join("operator.jwt");
    std::fs::write(&path, forged.as_str()).unwrap();
    bench.expect(3, &right.args(&["plan"]), "operator-token-refused", &["operator.jwt", "may not issue it"]);
    // The operator's own token lists only another key.
    let claims = json!({ "sub": cluster.operator_id(), "name": "OP", "nats": { "type": "operator", "version": 2,
        "signing_keys": [public(&new_seed(KeyKind::Operator))] } });
    let own = issue(&claims, &bench.key("operator-identity.nk"), now()).unwrap();
    std::fs::write(&path, own.as_str()).unwrap();
    bench.expect(1, &right.args(&op), "signer-untrusted", &["the pinned operator", "operator.jwt"]);
    std::fs::remove_file(&path).unwrap();
    bench.run(&right.args(&op)).ends(0);
    let claims = bench.claims().await;
    assert_eq!(
        (&claims["nats"]["description"], &claims["iss"]),
        (&json!("by a colleague"), &json!(public(&bench.key("op.nk"))))
    );
    let ran = bench.run(&right.args(&["verify"]));
    assert!(!ran.ends(0).out.contains("pinned"), "{ran}");
}

/// D11: denials for applications also apply to the user that creates the streams.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_does_not_lock_itself_out() {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    let before = bench.everything().await;
    let mut definition = definition(&bench, &["foo"]);
    let app = &mut definition["accounts"]["APP"];
    (app["layout"], app["restrict_users"]) = (json!("regional"), json!(true));
    let file = bench.write("app", &definition);
    let apply = ["apply", "--operator", "op.nk", "--definition", &file];
    let said =
        ["restrict_users", "$JS.API.STREAM.CREATE.foo-write-west", "keys/app.creds", "lock itself out", "`key:`"];
    bench.expect(1, &apply, "permission-missing", &said);
    bench.unchanged_since(&before, "a run that would lock itself out").await;
    // A user that the tool mints itself has its own permissions.
    let app = definition["accounts"]["APP"].as_object_mut().unwrap();
    app.remove("credentials");
    app.insert("key".to_owned(), json!("keys/app.nk"));
    let file = bench.write("app", &definition);
    bench.run(&["apply", "--operator", "op.nk", "--definition", &file]).ends(0);
    bench.until(0, &["verify", "--definition", &file]).await;
    let application = client(&cluster, "west").await;
    let denied = application.request("$JS.API.STREAM.LIST", "{}".into()).await;
    assert!(denied.is_ok(), "applications are led to their region: {denied:?}");
    // The stream exists by now, and would store a published message.
    let lease = async |user: &Client| {
        let note = user.request(lease::SUBJECT, "{}".into());
        tokio::time::timeout(Duration::from_secs(2), note).await.is_ok_and(|answer| answer.is_ok())
    };
    let claims = bench.claims().await;
    let denied = claims["nats"]["default_permissions"]["pub"]["deny"].as_array().unwrap();
    assert!(denied.contains(&json!("$VSTREAM.>")) && !lease(&application).await, "{claims}");
    // It cannot listen to a run either, which would let it answer in place of the stream. It receives everything else.
    let mut heard = application.subscribe(">").await.unwrap();
    application.flush().await.unwrap();
    definition["accounts"]["APP"]["virtual_streams"]["bar"] = json!({ "subjects": ["bar.>"] });
    let file = bench.write("app", &definition);
    bench.run(&["apply", "--operator", "op.nk", "--definition", &file]).ends(0);
    application.publish("last", "".into()).await.unwrap();
    loop {
        let message = tokio::time::timeout(PATIENCE, heard.next()).await.unwrap().unwrap();
        assert!(!message.subject.starts_with("$VSTREAM"), "{message:?}");
        if message.subject.as_str() == "last" {
            break;
        }
    }

    let mut without = claims;
    without["nats"].as_object_mut().unwrap().remove("default_permissions");
    bench.push(&without).await;
    assert!(lease(&client(&cluster, "west").await).await, "without the denial anybody may publish there");
}
