//! Super-clusters for tests: one that all tests share, each in its own account, and separate ones for single tests.

use super::{PATIENCE, VSTREAM};
use crate::interop::strict::signed;
use async_nats::ConnectOptions;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use vstream_jwt::dev::{DevError, DevOptions, DevServer, Lifetime, Status, SuperCluster};
use vstream_jwt::model::claims::AccountClaims;
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::sign::file::read_seed_file;
use vstream_jwt::sign::{Seed, Signer as _, issue};

/// Number of servers that may run at once in super-clusters of single tests, beside the shared one. If there were more
/// on the two cores of a small machine, servers would answer so late that runs take them for dead.
static SERVERS: Semaphore = Semaphore::const_new(18);

/// Number of tests that may use the shared super-cluster at once, for the same reason.
static TENANTS: Semaphore = Semaphore::const_new(4);

/// The servers that a test uses, and the folder of its definition and keys.
///
/// A test holds only one at a time. Dropping the value removes the servers and the folder; so does the end of the test
/// process, however it ends.
pub struct Cluster {
    servers: Servers,
    home: Home,
    _turn: Option<SemaphorePermit<'static>>,
}

enum Servers {
    Own(Box<SuperCluster>),
    Shared(&'static SuperCluster),
}

/// The command's working folder with definition and keys, and the application's account.
struct Home {
    folder: PathBuf,
    account: String,
    /// Suffix of the names of the regional accounts, which must differ among the tests on the shared super-cluster.
    suffix: String,
    /// Deletes the folder, if no separate super-cluster does.
    _made: Option<tempfile::TempDir>,
}

/// Returns the options of a 3 × 3 super-cluster in a temporary folder. Change what the test needs, and pass them to
/// [`up`]. The operator has strict signing key usage, as nsc recommends.
///
/// The folder is in memory if Linux offers that: servers write a lot, and tests only kill processes.
pub fn options() -> DevOptions {
    let memory = Path::new("/dev/shm");
    let parent = if room(memory) { memory.to_owned() } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix("vstream-").tempdir_in(parent).unwrap().keep();
    DevOptions {
        folder,
        server_version: std::env::var("VSTREAM_NATS_SERVER_VERSION").ok(),
        executable: Some(PathBuf::from(VSTREAM)),
        lifetime: Lifetime::Scoped { delete: std::env::var_os("VSTREAM_KEEP").is_none() },
        strict_signing_keys: true,
        ..DevOptions::default()
    }
}

/// Checks if there is room for all stores of a test run, which took at most 1 GiB.
fn room(folder: &Path) -> bool {
    const NEEDED: u64 = 4 << 30;
    rustix::fs::statvfs(folder).is_ok_and(|found| found.f_bavail * found.f_frsize >= NEEDED)
        && std::env::var_os("VSTREAM_KEEP").is_none()
}

/// Starts a super-cluster for one test that kills, cuts or fills servers, or needs a special kind of servers.
pub async fn up(options: DevOptions) -> Cluster {
    let servers = options.regions.len() * (options.servers + usize::from(options.stretch));
    let turn = SERVERS.acquire_many(servers as u32).await.unwrap();
    let running = SuperCluster::up(options).await.unwrap();
    running.wait_ready(PATIENCE).await.unwrap();
    let mut cluster = Cluster::opened(running);
    cluster._turn = Some(turn);
    cluster
}

/// Starts a 3 × 3 super-cluster for one test.
pub async fn cluster() -> Cluster {
    up(options()).await
}

/// Starts a super-cluster of one server per region for one test.
pub async fn small() -> Cluster {
    up(DevOptions { servers: 1, ..options() }).await
}

/// Starts a super-cluster of two regions, west and east, with three servers each, for one test.
pub async fn two_regions() -> Cluster {
    up(DevOptions { regions: vec!["west".to_owned(), "east".to_owned()], ..options() }).await
}

/// Makes an account on the 3 × 3 super-cluster that all tests share, for tests that do no harm to servers.
pub async fn account() -> Cluster {
    static SHARED: OnceCell<SuperCluster> = OnceCell::const_new();
    let turn = TENANTS.acquire().await.unwrap();
    let running = SHARED
        .get_or_init(|| async {
            let running = SuperCluster::up(options()).await.unwrap();
            running.wait_ready(PATIENCE).await.unwrap();
            running
        })
        .await;
    Cluster { servers: Servers::Shared(running), home: Home::make(running).await, _turn: Some(turn) }
}

/// Removes the account's streams: their leaders and sources would keep the shared servers busy.
impl Drop for Cluster {
    fn drop(&mut self) {
        let Servers::Shared(running) = &self.servers else { return };
        if std::env::var_os("VSTREAM_KEEP").is_some() {
            return;
        }
        let accounts = self.home.accounts(running);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                // A failure only costs time, and does not change the test's result.
                let _ = runtime.block_on(async { tokio::time::timeout(PATIENCE / 4, remove(running, accounts)).await });
            });
        });
    }
}

/// Returns the claims of all accounts that a server stores, read from its resolver's folder.
fn stored(cluster: &SuperCluster) -> Vec<AccountClaims> {
    let folders = cluster.servers().iter().map(|server| cluster.server_folder(server).join("jwt"));
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let files = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "jwt"));
    // A server may be writing the file right now.
    let read = |path: PathBuf| AccountClaims::decode(std::fs::read_to_string(path).ok()?.trim()).ok();
    let claims: BTreeMap<String, AccountClaims> =
        files.filter_map(read).map(|claims| (claims.id().to_string(), claims)).collect();
    claims.into_values().collect()
}

/// Deletes all streams of accounts, but not the accounts. If a server has to delete one (`$SYS.REQ.CLAIMS.DELETE`)
/// while a stream of any account ends, it can deadlock. Then it accepts no more tokens, of any test (2.15.1).
async fn remove(cluster: &SuperCluster, accounts: Vec<String>) -> Result<(), Box<dyn std::error::Error>> {
    let options = ConnectOptions::with_credentials_file(cluster.system_credentials_path()).await?;
    let client = options.connect(cluster.all_urls()).await?;
    for account in &accounts {
        client.request(format!("$JS.API.ACCOUNT.PURGE.{account}"), "".into()).await?;
    }
    Ok(())
}

/// Returns the request to delete accounts from all resolvers (`$SYS.REQ.CLAIMS.DELETE`).
pub fn deletion(accounts: &[String], operator: &Seed) -> String {
    let nats = json!({ "accounts": accounts, "type": "generic", "version": 2 });
    let iat = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    signed(&json!({ "jti": "deletion", "iat": iat, "sub": operator.public_key(), "nats": nats }), operator)
}

impl Home {
    /// Returns the account and its regional accounts.
    fn accounts(&self, cluster: &SuperCluster) -> Vec<String> {
        let regional = stored(cluster).into_iter().filter(|claims| claims.name().ends_with(&self.suffix));
        regional.map(|claims| claims.id().to_string()).chain([self.account.clone()]).collect()
    }

    /// Makes an account as `dev` does, and a folder like that of a super-cluster, with this account in place of the
    /// super-cluster's own.
    async fn make(cluster: &SuperCluster) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(1);
        let suffix = format!("-t{}", MADE.fetch_add(1, Ordering::Relaxed));
        let made = tempfile::Builder::new().prefix("vstream-account-").tempdir().unwrap();
        let (folder, made) = match std::env::var_os("VSTREAM_KEEP") {
            Some(_) => (made.keep(), None),
            None => (made.path().to_owned(), Some(made)),
        };
        copy(&cluster.keys_folder(), &folder.join("keys"), &|text| text);
        std::fs::copy(cluster.folder().join("operator.jwt"), folder.join("operator.jwt")).unwrap();

        let [identity, signing, user] =
            [KeyKind::Account, KeyKind::Account, KeyKind::User].map(|kind| Seed::generate(kind).unwrap());
        let account = identity.public_key().to_string();
        let keys = folder.join("keys");
        let iat = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        std::fs::write(keys.join("app-identity.nk"), identity.reveal().as_str()).unwrap();
        std::fs::write(keys.join("app.nk"), signing.reveal().as_str()).unwrap();
        std::fs::write(keys.join("app.creds"), credentials(&user, &account, &signing, iat)).unwrap();

        let here = folder.display().to_string();
        let there = cluster.folder().display().to_string();
        copy(&cluster.folder().join("config"), &folder.join("config"), &|text| text.replace(&there, &here));
        let old = app_claims(cluster).await;
        let definition = std::fs::read_to_string(cluster.definition_path()).unwrap();
        let (old_id, old_key) = (old["sub"].as_str().unwrap(), old["nats"]["signing_keys"][0].as_str().unwrap());
        assert!(definition.contains(old_id) && definition.contains("    layout: regional\n"), "{definition}");
        let definition = definition.replace(old_id, &account).replace(old_key, &signing.public_key().to_string());
        let names = format!("    regional_accounts: \"{{account}}-{{region}}{suffix}\"\n    layout: regional\n");
        std::fs::write(folder.join("vstream.yaml"), definition.replace("    layout: regional\n", &names)).unwrap();

        let mut claims = old;
        claims["sub"] = json!(account);
        claims["nats"]["signing_keys"] = json!([signing.public_key()]);
        push(cluster, &claims, iat).await;
        Self { folder, account, suffix, _made: made }
    }
}

/// Returns the claims of the super-cluster's own account, which nothing ever changes.
async fn app_claims(cluster: &SuperCluster) -> Value {
    let token = format!("{}.jwt", cluster.account_id());
    let path = cluster.server_folder(&cluster.servers()[0]).join("jwt").join(token);
    let token = std::fs::read_to_string(path).unwrap();
    vstream_jwt::model::claims::Token::decode(token.trim()).unwrap().into_claims()
}

/// Pushes the first token of an account to all servers.
async fn push(cluster: &SuperCluster, claims: &Value, iat: u64) {
    use futures::StreamExt as _;
    let operator = read_seed_file(&cluster.operator_key_path()).unwrap();
    let token = issue(claims, &operator, iat).unwrap().as_str().to_owned();
    let mut silent: Vec<&DevServer> = cluster.servers().iter().collect();
    // On 2.10.26, answers of one server to clients of another cluster may get lost for good. So each attempt connects
    // anew, to any server.
    for _ in 0..ATTEMPTS {
        let options = ConnectOptions::with_credentials_file(cluster.system_credentials_path()).await.unwrap();
        let client = options.connect(cluster.all_urls()).await.unwrap();
        let inbox = client.new_inbox();
        let mut replies = client.subscribe(inbox.clone()).await.unwrap();
        client.publish_with_reply("$SYS.REQ.CLAIMS.UPDATE", inbox, token.clone().into()).await.unwrap();
        while !silent.is_empty() {
            let Ok(reply) = tokio::time::timeout(PATIENCE / ATTEMPTS, replies.next()).await else { break };
            let reply: Value = serde_json::from_slice(&reply.unwrap().payload).unwrap();
            assert_eq!(reply["data"]["code"], 200, "{reply}");
            silent.retain(|server| server.name != reply["server"]["name"]);
        }
        if silent.is_empty() {
            return;
        }
        let names: Vec<&str> = silent.iter().map(|server| server.name.as_str()).collect();
        eprintln!("a push through {} got no answer from {}", client.server_info().server_name, names.join(", "));
    }
    panic!("{}", words_of(cluster, &silent))
}

/// Number of pushes of a token that not all servers answer.
const ATTEMPTS: u32 = 6;

/// Returns the log lines about connections of servers that did not answer.
fn words_of(cluster: &SuperCluster, silent: &[&DevServer]) -> String {
    let mut said = "no answer to a push from:\n".to_owned();
    for server in silent {
        let log = std::fs::read_to_string(cluster.server_folder(server).join("server.log")).unwrap_or_default();
        let about =
            |line: &&str| ["[WRN]", "[ERR]", "ateway", "Route", "Slow", "Stale"].iter().any(|word| line.contains(word));
        let lines: Vec<&str> = log.lines().filter(about).collect();
        said += &format!("{}:\n{}\n", server.name, lines[lines.len().saturating_sub(20)..].join("\n"));
    }
    said
}

/// Returns a `.creds` file of a user with the account's default permissions, as `dev` makes it.
fn credentials(user: &Seed, account: &str, signing: &Seed, iat: u64) -> String {
    let nats = json!({ "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "issuer_account": account,
        "type": "user", "version": 2 });
    let token = issue(&json!({ "name": "app", "sub": user.public_key(), "nats": nats }), signing, iat).unwrap();
    let dashes = "------";
    format!(
        "-----BEGIN NATS USER JWT-----\n{}\n{dashes}END NATS USER JWT{dashes}\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n{dashes}END USER NKEY SEED{dashes}\n",
        token.as_str(),
        user.reveal().as_str()
    )
}

/// Copies a folder with its modes, and edits each text.
fn copy(from: &Path, to: &Path, edit: &dyn Fn(String) -> String) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to, edit);
        } else {
            std::fs::copy(&from, &to).unwrap();
            std::fs::write(&to, edit(std::fs::read_to_string(&from).unwrap())).unwrap();
        }
    }
}

impl Cluster {
    /// Uses a super-cluster that the test started itself.
    pub fn opened(running: SuperCluster) -> Self {
        let (folder, account) = (running.folder().to_owned(), running.account_id().to_owned());
        let home = Home { folder, account, suffix: String::new(), _made: None };
        Self { servers: Servers::Own(Box::new(running)), home, _turn: None }
    }

    /// Returns the servers, to read from. Actions that harm them are methods of this type, which the shared
    /// super-cluster refuses.
    pub fn running(&self) -> &SuperCluster {
        match &self.servers {
            Servers::Own(running) => running,
            Servers::Shared(running) => running,
        }
    }

    /// Checks if other tests use the servers too.
    pub fn is_shared(&self) -> bool {
        matches!(self.servers, Servers::Shared(_))
    }

    /// Returns the servers of a super-cluster that no other test uses.
    pub fn own(&self) -> &SuperCluster {
        match &self.servers {
            Servers::Own(running) => running,
            Servers::Shared(_) => panic!("the shared super-cluster is not to be harmed: start one for this test"),
        }
    }

    /// Sets the layout `shared` in the definition of the folder.
    pub fn with_shared_layout(self) -> Self {
        let definition = std::fs::read_to_string(self.definition_path()).unwrap();
        let names = format!("    regional_accounts: \"{{account}}-{{region}}{}\"\n", self.home.suffix);
        let shared = definition.replace("layout: regional", "layout: shared").replace(&names, "");
        assert_ne!(shared, definition);
        std::fs::write(self.definition_path(), shared).unwrap();
        self
    }

    /// Returns the name of a region's account.
    pub fn regional_account(&self, region: &str) -> String {
        format!("APP-{region}{}", self.home.suffix)
    }

    /// Returns `regional_accounts` for definitions; `None` if it is the default.
    pub fn regional_accounts(&self) -> Option<String> {
        let suffix = Some(&self.home.suffix).filter(|suffix| !suffix.is_empty())?;
        Some(format!("{{account}}-{{region}}{suffix}"))
    }

    /// Returns the claims of this test's accounts that a server stores; the shared super-cluster also stores those of
    /// other tests.
    pub fn stored(&self) -> Vec<AccountClaims> {
        let of_all = [self.system_account_id(), self.running().account_id()];
        let concerns = |claims: &AccountClaims| {
            !self.is_shared()
                || claims.name().ends_with(&self.home.suffix)
                || of_all.contains(&claims.id().to_string().as_str())
        };
        stored(self.running()).into_iter().filter(concerns).collect()
    }

    pub fn folder(&self) -> &Path {
        &self.home.folder
    }

    pub fn definition_path(&self) -> PathBuf {
        self.home.folder.join("vstream.yaml")
    }

    pub fn keys_folder(&self) -> PathBuf {
        self.home.folder.join("keys")
    }

    pub fn operator_key_path(&self) -> PathBuf {
        self.keys_folder().join("op.nk")
    }

    pub fn credentials_path(&self) -> PathBuf {
        self.keys_folder().join("app.creds")
    }

    pub fn system_credentials_path(&self) -> PathBuf {
        self.keys_folder().join("sys.creds")
    }

    pub fn account_id(&self) -> &str {
        &self.home.account
    }

    pub fn system_account_id(&self) -> &str {
        self.running().system_account_id()
    }

    pub fn operator_id(&self) -> &str {
        self.running().operator_id()
    }

    pub fn server_version(&self) -> &str {
        self.running().server_version()
    }

    pub fn regions(&self) -> &[String] {
        self.running().regions()
    }

    pub fn servers(&self) -> &[DevServer] {
        self.running().servers()
    }

    pub fn server_folder(&self, server: &DevServer) -> PathBuf {
        self.running().server_folder(server)
    }

    pub fn urls(&self, cluster: &str) -> Vec<String> {
        self.running().urls(cluster)
    }

    pub fn all_urls(&self) -> Vec<String> {
        self.running().all_urls()
    }

    pub fn tls_folder(&self) -> Option<PathBuf> {
        self.running().tls_folder()
    }

    pub async fn status(&self) -> Status {
        self.running().status().await
    }

    pub async fn wait_ready(&self, timeout: std::time::Duration) -> Result<(), DevError> {
        self.running().wait_ready(timeout).await
    }

    pub async fn kill(&self, target: &str) -> Result<(), DevError> {
        self.own().kill(target).await
    }

    pub async fn start(&self, target: &str) -> Result<(), DevError> {
        self.own().start(target).await
    }

    pub async fn cut(&self, region: &str) -> Result<(), DevError> {
        self.own().cut(region).await
    }

    pub async fn heal(&self, region: &str) -> Result<(), DevError> {
        self.own().heal(region).await
    }
}

/// Returns the major and minor version of the servers: older ones behave or answer differently.
pub fn version(cluster: &Cluster) -> (u64, u64) {
    vstream_jwt::model::server_version::minor(cluster.server_version()).unwrap()
}

/// Returns the command in the folder of the test, without settings from the environment of the tests.
pub fn command(cluster: &Cluster) -> Command {
    let mut command = Command::new(VSTREAM);
    command.current_dir(cluster.folder()).env("NO_COLOR", "1");
    for name in ["VSTREAM_OPERATOR_FILE", "VSTREAM_OPERATOR_SEED", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    command
}
