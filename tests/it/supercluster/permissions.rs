//! The smallest permissions: each verb works with exactly those in the table, and names each missing one. The test
//! tries every line of the table, for every verb that the line names, in a situation that needs it.

use crate::support::bench::{Bench, Ran, now, public};
use crate::support::{PATIENCE, account, client, eventually, small};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vstream_jwt::model::nkey::PublicKey;
use vstream_jwt::nats::Purpose;
use vstream_jwt::nats::permissions::{NEEDS, Need, Side, When, needs};
use vstream_jwt::sign::Seed;
use vstream_jwt::sign::user::{UserPermissions, mint_user};

const CONNZ: &str = "$SYS.REQ.SERVER.PING.CONNZ";
const LIST: &str = "$SYS.REQ.CLAIMS.LIST";
const PUSH: &str = "$SYS.REQ.CLAIMS.UPDATE";
const OLD: &str = "$SYS.ACCOUNT.*.CLAIMS.UPDATE";
const LEASE: &str = "$VSTREAM.LEASE";
const CREATE: &str = "$JS.API.STREAM.CREATE.*";
const UPDATE: &str = "$JS.API.STREAM.UPDATE.*";
const DELETE: &str = "$JS.API.STREAM.DELETE.*";
const INFO: &str = "$JS.API.STREAM.INFO.*";
const MESSAGES: &str = "$JS.API.STREAM.MSG.GET.*";
const CONSUMER: &str = "$JS.API.CONSUMER.CREATE.>";
const CONSUMER_INFO: &str = "$JS.API.CONSUMER.INFO.*.*";
const CONSUMER_LIST: &str = "$JS.API.CONSUMER.LIST.*";

const REGIONS: [&str; 3] = ["west", "central", "east"];
const OPERATOR: [&str; 2] = ["--operator", "op.nk"];
/// With no keys, regional accounts are read through the imports of the application's account.
const NO_KEYS: [&str; 2] = ["--keys", "no-keys"];

/// Permissions that this test cannot try. Some are needed only if a leader hangs for less time than an election takes.
/// While one of its servers is up, the list describes a stream without a leader. With a region down, `plan` and `apply`
/// skip its streams. `verify` sends the same requests with the same code, even in a region that is down, and is tested
/// there. The other permissions are needed only for servers with another resolver (`cache`, `url`), which `resolvers`
/// tests.
const UNTRIABLE: [&str; 9] = [
    "Read, Account: publish $JS.API.STREAM.INFO.*",
    "Read, Imports: publish $VS.*.API.STREAM.INFO.*",
    "Change, Imports: publish $VS.*.API.STREAM.INFO.*",
    "Read, System: publish $SYS.REQ.SERVER.PING.SUBSZ",
    "Verify, System: publish $SYS.REQ.SERVER.PING.SUBSZ",
    "Change, System: publish $SYS.REQ.SERVER.PING.SUBSZ",
    "Destroy, System: publish $SYS.REQ.SERVER.PING.SUBSZ",
    "Change, System: publish $SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE",
    "Destroy, System: publish $SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE",
];

/// A verb in a situation.
#[derive(Clone, Copy)]
struct Case<'a> {
    purpose: Purpose,
    args: &'a [&'a str],
    /// Exit codes when everything is permitted.
    good: &'a [i32],
    /// Permissions that this situation needs, beyond those that every run needs.
    besides: &'a [&'a str],
    /// `true` if another situation tests the permissions of every run.
    only_besides: bool,
    /// `true` if the test does not run the verb with all permissions.
    only_without: bool,
}

const fn case<'a>(purpose: Purpose, args: &'a [&'a str], good: &'a [i32], besides: &'a [&'a str]) -> Case<'a> {
    Case { purpose, args, good, besides, only_besides: false, only_without: false }
}

impl Case<'_> {
    const fn only_besides(self) -> Self {
        Self { only_besides: true, ..self }
    }

    const fn only_without(self) -> Self {
        Self { only_without: true, ..self }
    }

    fn needs(&self, side: Side) -> Vec<&'static Need> {
        let imports = self.args.contains(&NO_KEYS[1]).then(|| needs(self.purpose, Side::Imports)).into_iter().flatten();
        needs(self.purpose, side).chain(imports.filter(|_| side == Side::Account)).collect()
    }

    fn is_needed(&self, need: &Need) -> bool {
        // A run that uses imports has tested the other permissions before.
        let imports = need.side == Side::Imports || !self.args.contains(&NO_KEYS[1]);
        self.besides.contains(&need.subject) || (need.when == When::Always && imports && !self.only_besides)
    }
}

/// Tested lines of the table, each with its verb.
type Tried = BTreeSet<String>;

fn line(purpose: Purpose, need: &Need) -> String {
    let verb = if need.publish { "publish" } else { "subscribe" };
    format!("{purpose:?}, {:?}: {verb} {}", need.side, need.subject)
}

struct Users<'b, 'c> {
    bench: &'b Bench<'c>,
    system: Seed,
    app: Seed,
    /// Regions for whose accounts the definition gives credentials.
    regional: &'static [&'static str],
    tried: Mutex<Tried>,
    runs: AtomicUsize,
}

impl Users<'_, '_> {
    /// Runs with users that have only these permissions.
    fn run(&self, definition: &Value, args: &[&str], system: &[&Need], account: &[&Need]) -> Ran {
        let (number, cluster) = (self.runs.fetch_add(1, Ordering::SeqCst), self.bench.cluster);
        let mut definition = definition.clone();
        let name = |of: &str| format!("least-{number}-{of}.creds");
        write_credentials(self.bench, &name("sys"), &self.system, cluster.system_account_id(), system);
        write_credentials(self.bench, &name("app"), &self.app, cluster.account_id(), account);
        definition["system"] = json!({ "credentials": format!("keys/{}", name("sys")) });
        let app = &mut definition["accounts"]["APP"];
        app["credentials"] = json!(format!("keys/{}", name("app")));
        for region in self.regional {
            let id = public(&self.bench.regional_identity(region));
            write_credentials(self.bench, &name(region), &self.bench.regional_key(region), &id, account);
            app["regional_accounts"][region] = json!({ "id": id, "credentials": format!("keys/{}", name(region)) });
        }
        let file = self.bench.write(&format!("least-{number}"), &definition);
        self.bench.run(&[args, &["--definition", &file]].concat())
    }

    /// Runs each verb without each of its permissions, several at a time, then with all of them.
    fn prove(&self, definition: &Value, cases: &[Case<'_>]) {
        const AT_ONCE: usize = 6;
        let mut work = Vec::new();
        for case in cases {
            for need in [Side::System, Side::Account].into_iter().flat_map(|side| case.needs(side)) {
                if case.is_needed(need) {
                    work.push((case, need));
                }
            }
        }
        let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some((case, lacking)) = work.get(next.fetch_add(1, Ordering::SeqCst)) {
                        if let Some(complaint) = self.without(definition, case, lacking) {
                            wrong.lock().unwrap().push(complaint);
                        }
                        self.tried.lock().unwrap().insert(line(case.purpose, lacking));
                    }
                });
            }
        });
        let wrong = wrong.into_inner().unwrap();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        for case in cases.iter().filter(|case| !case.only_without) {
            let (system, account) = (case.needs(Side::System), case.needs(Side::Account));
            let begun = Instant::now();
            loop {
                let ran = self.run(definition, case.args, &system, &account);
                let denied = format!("{}{}", ran.out, ran.err).contains(" may not ");
                let good = case.good.contains(&ran.code);
                // On a busy machine, a source may not have been heard from in time, which is not a lack of permissions.
                let late = ran.code == 4 && begun.elapsed() < PATIENCE;
                assert!((good || late) && !denied, "with all that {:?} needs: {ran}", case.purpose);
                if good {
                    break;
                }
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }

    /// Runs a verb without an optional permission, and asserts that it warns.
    fn warned(&self, definition: &Value, case: &Case<'_>, lacking: &str) {
        let rest = |side: Side| -> Vec<&'static Need> {
            case.needs(side).into_iter().filter(|need| need.subject != lacking).collect()
        };
        let ran = self.run(definition, case.args, &rest(Side::System), &rest(Side::Account));
        let named = |line: &str| line.starts_with("warning: ") && line.contains(" may not ") && line.contains(lacking);
        assert!(case.good.contains(&ran.code) && ran.err.lines().any(named), "without {lacking}: {ran}");
        let need = case.needs(Side::System).into_iter().find(|need| need.subject == lacking).unwrap();
        self.tried.lock().unwrap().insert(line(case.purpose, need));
    }

    fn without(&self, definition: &Value, case: &Case<'_>, lacking: &Need) -> Option<String> {
        let rest = |side: Side| -> Vec<&'static Need> {
            case.needs(side).into_iter().filter(|need| *need != lacking).collect()
        };
        let args = [case.args, &["--timeout", "20s"]].concat();
        let ran = self.run(definition, &args, &rest(Side::System), &rest(Side::Account));
        let said = format!("{}{}", ran.out, ran.err);
        let named = |line: &str| {
            line.contains(" may not ") && lacking.subject.split(['*', '>']).all(|part| line.contains(part))
        };
        // `status` prints no codes.
        let code = finding(case.purpose, lacking).filter(|_| case.args[0] != "status");
        let coded = |line: &str| code.is_none_or(|code| line.ends_with(&format!("[{code}]")));
        // A failed or unconfirmed run must name the permission.
        let failed = ran.code == 1 || ran.code == 4;
        (!failed || !said.lines().any(|line| named(line) && coded(line)))
            .then(|| format!("without {} of {:?}: {ran}", lacking.subject, lacking.side))
    }
}

/// Returns the finding that names the missing permission, if there always is one.
fn finding(purpose: Purpose, lacking: &Need) -> Option<&'static str> {
    let below = |ending: &str| lacking.subject.ends_with(ending);
    match purpose {
        _ if lacking.subject == CONNZ => Some("listeners-unknown"),
        Purpose::Verify if below("STREAM.MSG.GET.*") || below("CONSUMER.LIST.*") => Some("not-permitted"),
        Purpose::Read | Purpose::Change if below("CONSUMER.INFO.*.*") => Some("consumer-unknown"),
        Purpose::Change | Purpose::Destroy if lacking.publish && [PUSH, LEASE, DELETE].contains(&lacking.subject) => {
            Some("permission-missing")
        }
        _ => None,
    }
}

/// Writes credentials that have only these permissions.
fn write_credentials(bench: &Bench<'_>, name: &str, signer: &Seed, account: &str, allowed: &[&Need]) {
    let account = PublicKey::parse(account).unwrap();
    let of = |publish: bool| -> Vec<&str> {
        let subjects: Vec<&str> =
            allowed.iter().filter(|need| need.publish == publish).map(|need| need.subject).collect();
        // An empty list would allow everything.
        if subjects.is_empty() { vec!["nothing"] } else { subjects }
    };
    let issuer = (public(signer) != account.to_string()).then_some(&account);
    let user =
        mint_user(signer, issuer, &UserPermissions::only(&of(true), &of(false)), now() + 3600, now() - 10).unwrap();
    bench.write_user(name, &user);
}

async fn users<'b, 'c>(bench: &'b Bench<'c>) -> Users<'b, 'c> {
    let account = bench.claims().await["nats"]["signing_keys"][0].clone();
    let key = account.as_str().or(account["key"].as_str()).unwrap().to_owned();
    let keyring = vstream_jwt::sign::keyring::Keyring::open(&bench.cluster.keys_folder()).unwrap();
    let app = keyring.find(&PublicKey::parse(&key).unwrap()).unwrap().expect("a signing key of the account");
    let system = bench.key("sys.nk");
    Users { bench, system, app, regional: &[], tried: Mutex::default(), runs: AtomicUsize::new(0) }
}

fn definition(bench: &Bench<'_>, layout: &str) -> Value {
    let mut definition = bench.definition();
    let app = &mut definition["accounts"]["APP"];
    app["layout"] = json!(layout);
    app["virtual_streams"]["foo"]["consumers"] = json!({ "worker": { "ack_policy": "explicit" } });
    definition
}

/// Creates the write stream in west before the run, and deletes one of its messages, which a read stream will lack.
async fn a_message_that_is_gone(bench: &Bench<'_>, definition: &Value) {
    let file = bench.write("vstream", definition);
    let ran = bench.run(&["render", "streams", "--format", "json", "--definition", &file]);
    let configs = ran.ends(0).document();
    let west = configs.as_array().unwrap().iter().find(|config| config["name"] == "foo-write-west").unwrap().clone();
    bench.make_stream(west.clone()).await;
    let subject = west["subjects"][0].as_str().unwrap().replace('>', "x");
    let client = client(bench.cluster, "west").await;
    for _ in 0..3 {
        let answer = client.request(subject.clone(), "".into()).await.unwrap();
        assert!(!String::from_utf8_lossy(&answer.payload).contains("error"), "{answer:?}");
    }
    let gone = bench.api("west", "STREAM.MSG.DELETE.foo-write-west", json!({ "seq": 2 })).await;
    assert_eq!(gone["success"], true, "{gone}");
}

async fn each_verb_shared() -> Tried {
    let cluster = account().await;
    let bench = Bench::new(&cluster).await;
    let users = users(&bench).await;
    let apply = [&["apply"][..], &OPERATOR].concat();
    let mut shared = definition(&bench, "shared");
    shared["accounts"]["APP"]["virtual_streams"]["bar"] = json!({ "subjects": ["bar.>"] });
    a_message_that_is_gone(&bench, &shared).await;

    // Nothing exists yet: everything must be created.
    users.prove(
        &shared,
        &[
            case(Purpose::Read, &["plan"], &[3], &[CONNZ]),
            case(Purpose::Read, &["validate", "--online"], &[0], &[CONNZ]).only_besides(),
        ],
    );
    users.prove(&shared, &[case(Purpose::Change, &apply, &[0], &[CONNZ, PUSH, LEASE, MESSAGES, CREATE, CONSUMER])]);
    bench.until(0, &["verify"]).await;
    users.warned(&shared, &case(Purpose::Change, &apply, &[0], &[]), OLD);

    // Everything exists: the verbs only read.
    users.prove(
        &shared,
        &[
            case(Purpose::Read, &["plan"], &[0], &[CONSUMER_INFO]).only_besides(),
            case(Purpose::Verify, &["verify"], &[0], &[CONSUMER_INFO, MESSAGES]),
            case(Purpose::Verify, &["status"], &[0], &[CONSUMER_INFO, MESSAGES]).only_besides(),
        ],
    );
    let ran = bench.until(0, &["verify"]).await.to_string();
    assert!(ran.contains("1 message of its sources never arrived here"), "nothing is missing: {ran}");

    // Changes a stream and a consumer, and deletes others.
    let mut changed = definition(&bench, "shared");
    let stream = &mut changed["accounts"]["APP"]["virtual_streams"]["foo"];
    stream["write"] = json!({ "max_age": "2h" });
    stream["consumers"]["worker"]["max_ack_pending"] = json!(7);
    let prune = [&apply[..], &["--prune", "bar", "--delete-streams", "--yes"]].concat();
    let needed = [PUSH, LEASE, MESSAGES, INFO, UPDATE, DELETE, CONSUMER, CONSUMER_INFO];
    users.prove(&changed, &[case(Purpose::Change, &prune, &[0], &needed).only_besides()]);

    // `destroy` would delete it.
    let destroy = [&["destroy", "--yes", "--delete-streams"][..], &OPERATOR].concat();
    let needed = [PUSH, LEASE, MESSAGES, INFO, DELETE];
    users.prove(&changed, &[case(Purpose::Destroy, &destroy, &[0], &needed).only_without()]);

    // Moves to the other layout, with the positions of its consumers.
    changed["accounts"]["APP"]["layout"] = json!("regional");
    bench.run(&["keys", "generate", "--definition", &bench.write("vstream", &changed)]).ends(0);
    let needed = [LIST, PUSH, LEASE, MESSAGES, INFO, CONSUMER_LIST];
    users.prove(&changed, &[case(Purpose::Change, &apply, &[0], &needed).only_besides()]);
    users.tried.into_inner().unwrap()
}

async fn each_verb_regional() -> Tried {
    let cluster = small().await;
    let bench = Bench::new(&cluster).await;
    let mut users = users(&bench).await;
    let apply = [&["apply"][..], &OPERATOR].concat();
    let destroy = [&["destroy", "--yes", "--delete-streams"][..], &OPERATOR].concat();
    let regional = definition(&bench, "regional");
    a_message_that_is_gone(&bench, &regional).await;

    // Nothing exists yet, and the run looks for the regional accounts. Two runs at once would make two keys for each.
    bench.run(&["keys", "generate"]).ends(0);
    users.prove(
        &regional,
        &[
            case(Purpose::Read, &["plan"], &[3], &[CONNZ, LIST]),
            case(Purpose::Verify, &["verify"], &[3], &[LIST]).only_besides(),
            case(Purpose::Destroy, &destroy, &[0], &[LIST]).only_besides().only_without(),
        ],
    );
    let needed = [CONNZ, LIST, PUSH, LEASE, MESSAGES, CREATE];
    users.prove(&regional, &[case(Purpose::Change, &apply, &[0], &needed)]);
    bench.until(0, &["verify"]).await;

    // Everything exists: the verbs only read, also without the keys of the regional accounts.
    std::fs::create_dir(cluster.folder().join(NO_KEYS[1])).unwrap();
    let with = |verb: &[&'static str]| -> Vec<&'static str> { [verb, &NO_KEYS].concat() };
    let (plan, verify) = (with(&["plan"]), with(&["verify"]));
    let (apply_blind, destroy_blind) =
        (with(&["apply", "--operator", "keys/op.nk"]), with(&["destroy", "--yes", "--operator", "keys/op.nk"]));
    let [read, list] = ["$VS.*.API.INFO", "$VS.*.API.STREAM.LIST"];
    let [info, messages] = ["$VS.*.API.STREAM.INFO.*", "$VS.*.API.STREAM.MSG.GET.*"];
    let [consumer, consumers] = ["$VS.*.API.CONSUMER.INFO.*.*", "$VS.*.API.CONSUMER.LIST.*"];
    users.prove(
        &regional,
        &[
            case(Purpose::Verify, &["verify"], &[0], &[MESSAGES]),
            case(Purpose::Read, &plan, &[0], &[read, list, consumer]),
            case(Purpose::Verify, &verify, &[0], &[read, list, consumer, consumers, messages]),
            case(Purpose::Change, &apply_blind, &[0], &[read, list, consumer]),
            case(Purpose::Destroy, &destroy_blind, &[0], &[read, list]).only_without(),
        ],
    );

    // The definition has credentials for the regional accounts.
    users.regional = &REGIONS;
    users.prove(
        &regional,
        &[
            case(Purpose::Verify, &["verify"], &[0], &[CONSUMER_LIST, CONSUMER_INFO, MESSAGES]).only_besides(),
            case(Purpose::Read, &["plan"], &[0], &[CONSUMER_INFO]).only_besides(),
        ],
    );
    users.regional = &[];

    // A region is down: its streams do not answer, and servers need a while to report that themselves.
    cluster.kill("east").await.unwrap();
    // One of its servers may have led the meta group. Until there is another leader, no request is answered.
    let west = client(&cluster, "west").await;
    eventually("another meta leader", async || west.request("$VSH.API.INFO", "".into()).await.ok()).await;
    users.prove(&regional, &[case(Purpose::Verify, &verify, &[4], &[INFO, info]).only_besides()]);
    cluster.start("east").await.unwrap();
    cluster.wait_ready(PATIENCE).await.unwrap();
    bench.until(0, &["verify"]).await;

    // Deletes the lease's stream first, so that `destroy` must create it.
    west.request("$VSH.API.STREAM.DELETE.vstream-lease", "".into()).await.unwrap();
    users.prove(&regional, &[case(Purpose::Destroy, &destroy, &[0], &[CREATE]).only_besides().only_without()]);
    users.prove(&regional, &[case(Purpose::Destroy, &destroy, &[0], &[PUSH, LEASE, MESSAGES, INFO, DELETE])]);
    users.warned(&regional, &case(Purpose::Destroy, &destroy, &[0], &[]), OLD);
    users.tried.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verb_works_with_the_least_and_names_what_it_lacks() {
    // Each on its own thread, because runs of the command block it.
    let runtime = tokio::runtime::Handle::current();
    let shared = tokio::task::spawn_blocking({
        let runtime = runtime.clone();
        move || runtime.block_on(each_verb_shared())
    });
    let regional = tokio::task::spawn_blocking(move || runtime.block_on(each_verb_regional()));
    let mut tried = shared.await.unwrap();
    tried.extend(regional.await.unwrap());
    let all = NEEDS.iter().flat_map(|need| need.purposes.iter().map(move |purpose| line(*purpose, need)));
    let untried: Vec<String> =
        all.filter(|line| !tried.contains(line) && !UNTRIABLE.contains(&line.as_str())).collect();
    let reasons: Vec<_> = UNTRIABLE.iter().filter(|line| tried.contains(**line)).collect();
    assert!(reasons.is_empty(), "tried after all: {reasons:?}");
    assert!(untried.is_empty(), "in the table, and never taken away:\n{}", untried.join("\n"));
}
