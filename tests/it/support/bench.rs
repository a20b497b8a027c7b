//! Shared parts of the tests of whole runs: definitions to write, tokens to push, and a view of everything that a run
//! could have changed.

use crate::support::cluster::command;
use crate::support::{Cluster, PATIENCE, client, eventually, secrets};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vstream_jwt::model::claims::Token;
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::nats::{ConnectOptions, LoginMethod, NatsConnection, connect};
use vstream_jwt::observed::{Deployment, Live, Stored, system};
use vstream_jwt::resolver::{push, servers};
use vstream_jwt::sign::user::{MintedUser, UserPermissions, mint_user};
use vstream_jwt::sign::{Seed, SignedToken, Signer as _, file::read_seed_file, issue};

const TIME: Duration = Duration::from_secs(10);

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A super-cluster, observed through its system account.
pub struct Bench<'c> {
    pub cluster: &'c Cluster,
    system: NatsConnection,
    account: PublicKey,
    complaints: Mutex<Vec<String>>,
    /// `true` if runs accept that old values may return, on servers that bring them back.
    old_values: bool,
    /// `true` if streams have one replica, unless the test says otherwise.
    one_replica: bool,
}

/// Everything that a run can change: the account's tokens on every server, its streams and their consumers. Also the
/// tokens of every other account, on every server.
#[derive(Debug, PartialEq)]
pub struct Everything {
    pub tokens: Vec<(String, Option<String>)>,
    pub others: Vec<(String, String, Stored)>,
    pub streams: Vec<Value>,
    pub consumers: Vec<Value>,
}

impl Everything {
    /// Checks that all servers answered; there are `servers` of them.
    fn is_whole(&self, servers: usize) -> bool {
        let clear = |stored: &Stored| matches!(stored, Stored::Token(_) | Stored::Nothing);
        self.tokens.len() == servers
            && self.tokens.iter().all(|(_, token)| token.is_some())
            && self.others.iter().all(|(_, _, stored)| clear(stored))
    }

    /// Lists the changes, one per line.
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let all = |everything: &Self| {
            let tokens = everything.tokens.iter().map(|(server, token)| (format!("token on {server}"), json!(token)));
            let others = everything.others.iter().map(|(id, server, stored)| {
                let stored = match stored {
                    Stored::Token(token) => json!(token),
                    stored => json!(format!("{stored:?}")),
                };
                (format!("account {id} on {server}"), stored)
            });
            let streams = everything.streams.iter().map(|s| (format!("stream {}", s["name"]), s.clone()));
            let durable = |c: &Value| format!("consumer {} of {}", c["config"]["durable_name"], c["stream"]);
            let consumers = everything.consumers.iter().map(|c| (durable(c), c.clone()));
            tokens.chain(others).chain(streams).chain(consumers).collect::<BTreeMap<String, Value>>()
        };
        let shown = |value: Option<&Value>| match value {
            Some(Value::String(token)) => match Token::decode(token) {
                Ok(token) => token.claims().to_string(),
                Err(_) => token.clone(),
            },
            Some(value) => value.to_string(),
            None => "none".to_owned(),
        };
        let (old, new) = (all(before), all(self));
        let places: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let changed = places.into_iter().filter(|place| old.get(*place) != new.get(*place));
        changed.map(|at| format!("{at}: was {}\n  is {}", shown(old.get(at)), shown(new.get(at)))).collect()
    }
}

impl<'c> Bench<'c> {
    pub async fn new(cluster: &'c Cluster) -> Self {
        let access = LoginMethod::Credentials(cluster.system_credentials_path());
        let system = connect(ConnectOptions::new(&cluster.all_urls(), None, &access, TIME)).await.unwrap();
        Self {
            cluster,
            system,
            account: PublicKey::parse(cluster.account_id()).unwrap(),
            complaints: Mutex::default(),
            old_values: false,
            one_replica: cluster.servers().len() == cluster.regions().len() || cluster.is_shared(),
        }
    }

    /// Gives each stream three replicas, even on the shared super-cluster. If many streams had replicas, its servers
    /// would only be busy with elections and heartbeats.
    pub fn replicated(mut self) -> Self {
        self.one_replica &= !self.cluster.is_shared();
        self
    }

    /// Accepts streams to which older servers bring old values back (`old-values-return`).
    pub fn accepting_old_values(mut self) -> Self {
        self.old_values = crate::support::version(self.cluster) < (2, 15);
        self
    }

    pub async fn deployment(&self) -> Deployment {
        system::deployment(&self.system, TIME).await.unwrap()
    }

    /// Returns the account's token in force, by server.
    pub async fn tokens(&self) -> Vec<(String, Option<String>)> {
        let deployment = self.deployment().await;
        let ids = std::slice::from_ref(&self.account);
        let on_servers = servers::accounts(&self.system, &deployment, ids, TIME).await.unwrap().remove(0);
        let token = |stored, live| match (stored, live) {
            (Stored::Token(token), _) => Some(token),
            (_, Live::Loaded(detail)) => Some(detail.jwt),
            _ => None,
        };
        on_servers.into_iter().map(|on| (on.server, token(on.stored, on.live))).collect()
    }

    /// Returns the account's claims, which must be the same on every server.
    pub async fn claims(&self) -> Value {
        let mut tokens: Vec<String> = self.tokens().await.into_iter().map(|(_, token)| token.unwrap()).collect();
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "servers have different tokens");
        Token::decode(&tokens[0]).unwrap().claims().clone()
    }

    /// Returns the claims of another account that the servers store.
    pub async fn claims_of(&self, id: &str) -> Value {
        let others = self.others().await;
        let mut tokens =
            others.into_iter().filter(|(other, _, _)| other == id).filter_map(|(_, _, stored)| match stored {
                Stored::Token(token) => Some(token),
                _ => None,
            });
        Token::decode(&tokens.next().expect("the account is not stored")).unwrap().claims().clone()
    }

    /// Signs and pushes claims of the account, as another tool would, with a date later than all stored ones.
    pub async fn push(&self, claims: &Value) {
        let stored = self.tokens().await.into_iter().filter_map(|(_, token)| token);
        let newest = stored.filter_map(|token| Token::decode(&token).unwrap().claims()["iat"].as_u64()).max();
        self.push_signed(&self.key("op.nk"), claims, newest.unwrap_or(0).max(now()) + 1).await;
    }

    pub async fn push_signed(&self, signer: &Seed, claims: &Value, iat: u64) {
        self.push_token(claims, issue(claims, signer, iat).unwrap()).await;
    }

    /// Pushes a token of these claims, which every server must store.
    pub async fn push_token(&self, claims: &Value, token: SignedToken) {
        let id = PublicKey::parse(claims["sub"].as_str().unwrap()).unwrap();
        let deployment = self.deployment().await;
        let outcomes = push::push(&self.system, &deployment, &[(id, token)], TIME).await.unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.answer == push::Answer::Stored), "{outcomes:?}");
    }

    /// Sends a request to the account's JetStream API.
    pub async fn api(&self, region: &str, subject: &str, body: Value) -> Value {
        let client = client(self.cluster, region).await;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = client.request(format!("$JS.API.{subject}"), body.into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Creates a stream, as an application would. Servers may take a moment to enable JetStream after a push.
    pub async fn make_stream(&self, config: Value) {
        const NOT_ON_YET: u64 = 10039;
        let name = config["name"].as_str().unwrap();
        let answer = eventually("JetStream is on", || async {
            let answer = self.api("west", &format!("STREAM.CREATE.{name}"), config.clone()).await;
            (answer["error"]["err_code"] != NOT_ON_YET).then_some(answer)
        });
        let answer = answer.await;
        assert!(answer.get("error").is_none(), "{answer}");
    }

    pub async fn delete_stream(&self, name: &str) {
        let answer = self.api("west", &format!("STREAM.DELETE.{name}"), Value::Null).await;
        assert_eq!(answer["success"], true, "{answer}");
    }

    /// Deletes a write or home stream as an operator would, by the prefix of the account's own JetStream.
    pub async fn delete_home(&self, client: &async_nats::Client, name: &str) {
        let answer = client.request(format!("$VSH.API.STREAM.DELETE.{name}"), "".into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["success"], true, "{answer}");
    }

    /// Connects a client of the region's account in that region.
    pub async fn regional_client(&self, region: &str) -> async_nats::Client {
        let name = format!("hand-{region}.creds");
        let account = public(&self.regional_identity(region));
        self.write_credentials(&name, &self.regional_key(region), &account, now() + 600);
        let options = async_nats::ConnectOptions::with_credentials_file(self.cluster.keys_folder().join(name));
        options.await.unwrap().connect(self.cluster.urls(region)).await.unwrap()
    }

    /// Returns the names of all streams, including those that do not answer.
    pub async fn stream_names(&self) -> Vec<String> {
        let answer = self.api("west", "STREAM.NAMES", Value::Null).await;
        let names = answer["streams"].as_array().into_iter().flatten();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// Returns everything that a run can change. Repeats incomplete reads a few times: on a busy machine answers may be
    /// late, but servers may also be down.
    pub async fn everything(&self) -> Everything {
        for _ in 0..2 {
            let all = self.answered().await;
            if all.is_whole(self.cluster.servers().len()) {
                return all;
            }
        }
        self.answered().await
    }

    async fn answered(&self) -> Everything {
        let list = eventually("all streams answer", async || {
            let list = self.api("west", "STREAM.LIST", json!({})).await;
            list["missing"].is_null().then_some(list)
        });
        let list = list.await;
        let mut streams: Vec<Value> =
            list["streams"].as_array().into_iter().flatten().map(|s| s["config"].clone()).collect();
        streams.sort_by_key(|config| config["name"].to_string());
        let mut consumers = Vec::new();
        for stream in &streams {
            let list =
                self.api("west", &format!("CONSUMER.LIST.{}", stream["name"].as_str().unwrap()), json!({})).await;
            let found = list["consumers"].as_array().into_iter().flatten();
            let durable = found.filter(|c| c["config"]["durable_name"].is_string());
            consumers.extend(durable.map(|c| json!({ "stream": c["stream_name"], "config": c["config"] })));
        }
        Everything { tokens: self.tokens().await, others: self.others().await, streams, consumers }
    }

    /// Returns the tokens that each server stores of all other accounts. Those that expire are left out, because
    /// resolvers delete them.
    async fn others(&self) -> Vec<(String, String, Stored)> {
        let deployment = self.deployment().await;
        let stored = self.cluster.stored();
        let lasting = stored.iter().filter(|claims| claims.expires().is_none() && *claims.id() != self.account);
        let mut ids: Vec<PublicKey> = lasting.map(|claims| claims.id().clone()).collect();
        ids.sort();
        let found = servers::accounts(&self.system, &deployment, &ids, TIME).await.unwrap();
        let found = ids.iter().zip(found);
        found.flat_map(|(id, on)| on.into_iter().map(|on| (id.to_string(), on.server, on.stored))).collect()
    }

    pub fn key(&self, name: &str) -> Seed {
        read_seed_file(&self.cluster.keys_folder().join(name)).unwrap()
    }

    /// Returns the identity key of a region's account.
    pub fn regional_identity(&self, region: &str) -> Seed {
        self.key(&format!("{}.nk", self.cluster.regional_account(region)))
    }

    /// Returns the signing key of a region's account, which makes its users.
    pub fn regional_key(&self, region: &str) -> Seed {
        self.key(&format!("{}-signing.nk", self.cluster.regional_account(region)))
    }

    /// Returns the definition with one virtual stream `foo` on `foo.>`, for the test to change and write.
    pub fn definition(&self) -> Value {
        let regions = self.cluster.regions().iter().map(|r| (r.clone(), json!({ "servers": self.cluster.urls(r) })));
        json!({
            "version": 1,
            "system": { "credentials": "keys/sys.creds" },
            "regions": regions.collect::<serde_json::Map<_, _>>(),
            "accounts": { "APP": {
                "id": self.cluster.account_id(),
                "credentials": "keys/app.creds",
                "layout": "shared",
                "virtual_streams": { "foo": { "subjects": ["foo.>"] } },
            } },
        })
    }

    /// Writes a definition (JSON is YAML) beside the keys, and returns its name. If the test names no regional
    /// accounts, they get names that no other test has. Streams have one replica if regions have one server each, and
    /// on the shared super-cluster.
    pub fn write(&self, name: &str, definition: &Value) -> String {
        let name = format!("{name}.yaml");
        let mut definition = definition.clone();
        if let (Some(names), Some(app)) =
            (self.cluster.regional_accounts(), definition["accounts"]["APP"].as_object_mut())
            && app.get("layout") != Some(&json!("shared"))
        {
            app.entry("regional_accounts").or_insert(json!(names));
        }
        if self.one_replica {
            without_replicas(&mut definition);
        }
        std::fs::write(self.cluster.folder().join(&name), definition.to_string()).unwrap();
        name
    }

    /// Writes a file to the keys folder that only its owner can read.
    pub fn write_key(&self, name: &str, content: &str) -> PathBuf {
        let path = self.cluster.keys_folder().join(name);
        std::fs::write(&path, content).unwrap();
        set_mode(&path, 0o600);
        path
    }

    /// Writes credentials of a user with all permissions in an account; `signer` is a signing key of that account.
    pub fn write_credentials(&self, name: &str, signer: &Seed, account: &str, expires_at: u64) {
        let account = PublicKey::parse(account).unwrap();
        let everything = UserPermissions::only(&[], &[]);
        let user = mint_user(signer, Some(&account), &everything, expires_at, now() - 3600).unwrap();
        self.write_user(name, &user);
    }

    /// Writes credentials of a user.
    pub fn write_user(&self, name: &str, user: &MintedUser) {
        let lines = ["-----BEGIN NATS USER JWT-----", user.jwt.as_str(), "------END NATS USER JWT------", ""];
        let seed = user.seed.reveal();
        let more = ["-----BEGIN USER NKEY SEED-----", seed.as_str(), "------END USER NKEY SEED------", ""];
        self.write_key(name, &[lines, more].concat().join("\n"));
    }

    /// Runs the command in the folder of the super-cluster.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[])
    }

    /// Repeats the command until it ends with `code`, because the servers may take a while.
    pub async fn until(&self, code: i32, args: &[&str]) -> Ran {
        let started = Instant::now();
        loop {
            let ran = self.run(args);
            if ran.code == code {
                return ran;
            }
            assert!(started.elapsed() < PATIENCE, "never exit {code}: {ran}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    pub fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        let mut command = command(self.cluster);
        command.args(args);
        if self.old_values && ["apply", "plan"].contains(&args[0]) {
            command.args(["--allow", "old-values-return"]);
        }
        let output = secrets::output(command.envs(env.iter().copied()).stdin(std::process::Stdio::null()));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran {
            args: args
                .iter()
                .map(|arg| if secrets::secret_in(arg).is_some() { "SEED" } else { arg })
                .collect::<Vec<_>>()
                .join(" "),
            code: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Runs the command once, in human format.
    pub fn says(&self, code: i32, args: &[&str], said: &[&str]) {
        let started = Instant::now();
        let ran = self.run(args);
        println!("{:?} {}", started.elapsed(), ran.args);
        let missing: Vec<&&str> =
            said.iter().filter(|words| !ran.err.contains(**words) && !ran.out.contains(**words)).collect();
        if ran.code != code || !missing.is_empty() {
            self.complain(format!("not exit {code}, or without {missing:?}: {ran}"));
        }
    }

    /// Runs the command in JSON format. It must end with `code`, name the failure or finding, and contain `said`. It
    /// does not test the human format, which `cli::shell` makes. Complaints are kept until the bench is dropped, so one
    /// run of a test shows all of them.
    pub fn expect(&self, code: i32, args: &[&str], name: &str, said: &[&str]) {
        self.expect_with(code, args, &[], name, said);
    }

    pub fn expect_with(&self, code: i32, args: &[&str], env: &[(&str, &str)], name: &str, said: &[&str]) {
        let ran = self.run_with(&[args, &["--format", "json"]].concat(), env);
        let document = ran.document();
        let error = &document["error"];
        let online = &document["online"]["findings"];
        let lists = [&error["findings"], &document["findings"], &document["plan"]["findings"], online];
        let found: Vec<&Value> =
            [error].into_iter().chain(lists.into_iter().filter_map(Value::as_array).flatten()).collect();
        let codes: Vec<&str> = found.iter().filter_map(|found| found["code"].as_str()).collect();
        let text = found.iter().map(|found| shown(found)).collect::<String>() + &ran.err;
        let missing: Vec<&&str> = said.iter().filter(|words| !text.contains(**words)).collect();
        if ran.code != code || !codes.contains(&name) || !missing.is_empty() {
            self.complain(format!("{name}: not exit {code}, or only {codes:?}, or without {missing:?}: {ran}"));
        }
    }

    /// Complains if a run that was refused changed something.
    pub async fn unchanged_since(&self, before: &Everything, what: &str) {
        let changes = self.everything().await.changes_since(before);
        if !changes.is_empty() {
            self.complain(format!("{what} changed something:\n{}", changes.join("\n")));
        }
    }

    fn complain(&self, complaint: String) {
        println!("{complaint}");
        self.complaints.lock().unwrap().push(complaint);
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        let complaints = self.complaints.lock().unwrap();
        if !std::thread::panicking() {
            assert!(complaints.is_empty(), "{} complaints\n{}", complaints.len(), complaints.join("\n"));
        }
    }
}

/// Sets one replica for each stream of a definition that does not set replicas.
fn without_replicas(definition: &mut Value) {
    let streams = definition["accounts"]["APP"]["virtual_streams"].as_object_mut();
    for stream in streams.into_iter().flat_map(|streams| streams.values_mut()) {
        let kind = stream["kind"].as_str().unwrap_or("stream");
        let settings: &[&str] = match (kind, stream["consistency"].as_str()) {
            ("stream", Some("mirrored")) => &["read"],
            ("stream", _) => &["write", "read"],
            _ => &["bucket"],
        };
        for name in settings {
            let set = stream.as_object_mut().unwrap().entry(*name).or_insert(json!({}));
            set.as_object_mut().unwrap().entry("num_replicas").or_insert(json!(1));
        }
    }
}

/// Renders a failure or finding of a document in human format.
fn shown(found: &Value) -> String {
    let text = |key: &str| found[key].as_str().unwrap_or_default();
    let lines = found["lines"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let lines: String = lines.map(|line| format!("    {line}\n")).collect();
    let (severity, place) = (found["severity"].as_str().unwrap_or("error"), text("place"));
    let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
    format!("{severity}: {place}{} [{}]\n{lines}  next: {}\n", text("message"), text("code"), text("next"))
}

/// Result of a run of the command.
#[derive(Debug)]
pub struct Ran {
    pub args: String,
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { args, code, out, err } = self;
        write!(f, "\n$ vstream-jwt {args}\n{out}{err}(exit {code})\n")
    }
}

impl Ran {
    pub fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Returns the single document on standard output.
    pub fn document(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub fn new_seed(kind: KeyKind) -> Seed {
    Seed::generate(kind).unwrap()
}

pub fn public(seed: &Seed) -> String {
    seed.public_key().to_string()
}
