//! The smallest permissions: with exactly what the table says each verb works; without any one of them it says which.

use crate::bench::{Bench, Ran, now, public};
use crate::support::cluster;
use serde_json::{Value, json};
use vstream_jwt::model::nkey::PublicKey;
use vstream_jwt::nats::Purpose;
use vstream_jwt::nats::permissions::{Need, Side, When, needs};
use vstream_jwt::sign::Seed;
use vstream_jwt::sign::user::{UserPermissions, mint_user};

/// Credentials that are allowed just these.
fn write_credentials(bench: &Bench<'_>, name: &str, signer: &Seed, account: &str, allowed: &[&Need]) {
    let account = PublicKey::parse(account).unwrap();
    let of = |publish: bool| -> Vec<&str> {
        let subjects: Vec<&str> =
            allowed.iter().filter(|need| need.publish == publish).map(|need| need.subject).collect();
        // An empty list allows everything.
        if subjects.is_empty() { vec!["nothing"] } else { subjects }
    };
    let issuer = (public(signer) != account.to_string()).then_some(&account);
    let user =
        mint_user(signer, issuer, &UserPermissions::only(&of(true), &of(false)), now() + 3600, now() - 10).unwrap();
    let seed = user.seed.reveal();
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.jwt.as_str(),
        seed.as_str()
    );
    bench.write_key(name, &text);
}

struct Verb<'a> {
    purpose: Purpose,
    args: &'a [&'a str],
    /// Exit codes when all is permitted.
    good: &'a [i32],
    /// Needs beside those of every run that are needed as things stand.
    besides: &'a [&'a str],
    imports: bool,
}

impl Verb<'_> {
    fn needs(&self, side: Side) -> Vec<&'static Need> {
        let imports = self.imports.then(|| needs(self.purpose, Side::Imports)).into_iter().flatten();
        needs(self.purpose, side).chain(imports.filter(|_| side == Side::Account)).collect()
    }

    fn is_needed(&self, need: &Need) -> bool {
        need.when == When::Always || self.besides.contains(&need.subject)
    }
}

struct Users<'b, 'c> {
    bench: &'b Bench<'c>,
    system: Seed,
    app: Seed,
}

impl Users<'_, '_> {
    fn allow(&self, system: &[&Need], app: &[&Need]) {
        let cluster = self.bench.cluster;
        write_credentials(self.bench, "least-sys.creds", &self.system, cluster.system_account_id(), system);
        write_credentials(self.bench, "least-app.creds", &self.app, cluster.account_id(), app);
    }

    /// The verb without each of what it needs, then with all of it.
    fn prove(&self, verb: &Verb<'_>) -> Ran {
        let (system, app) = (verb.needs(Side::System), verb.needs(Side::Account));
        let mut wrong = Vec::new();
        for (side, list) in [(Side::System, &system), (Side::Account, &app)] {
            for lacking in list.iter().filter(|need| verb.is_needed(need)) {
                let without = |all: &[&'static Need], here: bool| -> Vec<&'static Need> {
                    all.iter().copied().filter(|need| !here || need != lacking).collect()
                };
                self.allow(&without(&system, side == Side::System), &without(&app, side == Side::Account));
                let ran = self.bench.run(&[verb.args, &["--timeout", "20s"]].concat());
                let said = format!("{}{}", ran.out, ran.err);
                let named = |line: &str| lacking.subject.split(['*', '>']).all(|part| line.contains(part));
                if verb.good.contains(&ran.code) || !said.lines().any(named) {
                    wrong.push(format!("without {} of {side:?}: {ran}", lacking.subject));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        self.allow(&system, &app);
        let ran = self.bench.run(verb.args);
        assert!(verb.good.contains(&ran.code), "with all that {:?} needs: {ran}", verb.purpose);
        ran
    }
}

const CONNZ: &str = "$SYS.REQ.SERVER.PING.CONNZ";
const LIST: &str = "$SYS.REQ.CLAIMS.LIST";
const UPDATE: &str = "$SYS.REQ.CLAIMS.UPDATE";
const LEASE: &str = "$VSTREAM.LEASE";
const CREATE: &str = "$JS.API.STREAM.CREATE.*";
const CONSUMER: &str = "$JS.API.CONSUMER.CREATE.>";
const CONSUMER_INFO: &str = "$JS.API.CONSUMER.INFO.*.*";
const DELETE: &str = "$JS.API.STREAM.DELETE.*";

const LEAST: [&str; 2] = ["--definition", "least.yaml"];

fn definition(bench: &Bench<'_>, layout: &str) -> Value {
    let mut definition = bench.definition();
    definition["system"] = json!({ "credentials": "keys/least-sys.creds" });
    let app = &mut definition["accounts"]["APP"];
    app["credentials"] = json!("keys/least-app.creds");
    app["layout"] = json!(layout);
    app["virtual_streams"]["foo"]["consumers"] = json!({ "worker": { "ack_policy": "explicit" } });
    definition
}

async fn each_verb(layout: &str) {
    let cluster = cluster().await;
    let bench = Bench::new(&cluster).await;
    let account = bench.claims().await["nats"]["signing_keys"][0].clone();
    let key = account.as_str().or(account["key"].as_str()).unwrap().to_owned();
    let keyring = vstream_jwt::sign::keyring::Keyring::open(&cluster.keys_folder()).unwrap();
    let app = keyring.find(&PublicKey::parse(&key).unwrap()).unwrap().expect("a signing key of the account");
    let users = Users { bench: &bench, system: bench.key("sys-identity.nk"), app };
    let file = bench.write("least", &definition(&bench, layout));
    assert_eq!(file, LEAST[1]);
    let regional = layout == "regional";
    let with = |verb: &[&'static str]| -> Vec<&'static str> { [verb, &LEAST[..]].concat() };

    // Nothing is there yet: all has to be made.
    let list: &[&str] = if regional { &[CONNZ, LIST] } else { &[CONNZ] };
    let prove = |purpose, args: &[&'static str], good: &[i32], besides: &[&str]| {
        let (args, imports) = (with(args), args.contains(&"--keys"));
        users.prove(&Verb { purpose, args: &args, good, besides, imports })
    };
    prove(Purpose::Read, &["plan"], &[3], list);
    prove(Purpose::Read, &["validate", "--online"], &[0], list);
    // Consumers of regional streams are made by users of the regional accounts.
    let mut apply = vec![UPDATE, LEASE, CREATE];
    apply.extend(list);
    if !regional {
        apply.push(CONSUMER);
    }
    prove(Purpose::Change, &["apply", "--operator", "op.nk"], &[0], &apply);
    bench.until(0, &with(&["verify"])).await;

    // It stands: it is looked at.
    let consumers: &[&str] = if regional { &[] } else { &[CONSUMER_INFO] };
    prove(Purpose::Read, &["plan"], &[0], consumers);
    let ran = prove(Purpose::Verify, &["verify"], &[0], consumers);
    println!("{ran}");
    prove(Purpose::Verify, &["status"], &[0], consumers);

    if regional {
        // Without the regional accounts' keys they are read by what the application's account imports.
        std::fs::create_dir(cluster.folder().join("no-keys")).unwrap();
        let info = "$VS.*.API.CONSUMER.INFO.*.*";
        prove(Purpose::Verify, &["verify", "--keys", "no-keys"], &[0], &[info]);
    }

    // Away with it.
    let destroy = vec![UPDATE, LEASE, DELETE];
    prove(Purpose::Destroy, &["destroy", "--yes", "--delete-streams", "--operator", "op.nk"], &[0], &destroy);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verb_works_with_the_least_and_names_what_it_lacks_shared() {
    each_verb("shared").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verb_works_with_the_least_and_names_what_it_lacks_regional() {
    each_verb("regional").await;
}
