//! One super-cluster: makes or opens it, controls it, and reports its status.

use super::config;
use super::control::{self, Request, ServerState};
use super::error::DevError;
use super::layout::{self, DevLayout, DevServer};
use super::options::{DevOptions, Lifetime};
use super::{files, ports, prepare, program, ready, supervisor};
use crate::sign::memory;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Time for a supervisor to end before it is killed. Includes the time that it gives its servers.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// Time for a supervisor to start listening.
const START_TIMEOUT: Duration = Duration::from_secs(3);

/// A local super-cluster.
#[derive(Debug)]
pub struct SuperCluster {
    folder: PathBuf,
    layout: DevLayout,
    /// The supervisor's process with [`Lifetime::Scoped`]. It ends when its standard input closes.
    supervisor: Option<Child>,
}

/// The current status of a super-cluster.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The folder with all files.
    pub folder: PathBuf,
    /// Process id of the supervisor; `None` if the super-cluster is down.
    pub supervisor: Option<u32>,
    /// Process ids of servers that kept running after their supervisor was killed. [`SuperCluster::down`] and
    /// [`SuperCluster::up`] end them.
    pub left_behind: Vec<u32>,
    /// Version of the servers.
    pub server_version: String,
    /// The servers, in the order of the regions.
    pub servers: Vec<ServerStatus>,
    /// The regions that are cut off from the others.
    pub cut: Vec<String>,
}

/// The current status of a server.
#[derive(Debug, Clone, Serialize)]
pub struct ServerStatus {
    /// The server.
    #[serde(flatten)]
    pub server: DevServer,
    /// URL for clients.
    pub url: String,
    /// The state of its process.
    #[serde(flatten)]
    pub state: ServerState,
}

impl SuperCluster {
    /// Makes a super-cluster with these options, or opens the one in the folder, and starts the servers that are not
    /// running. Returns once the processes are started; see [`Self::wait_ready`].
    ///
    /// # Errors
    /// [`DevError`]; [`DevError::OtherOptions`] if the folder holds another super-cluster.
    pub async fn up(options: DevOptions) -> Result<Self, DevError> {
        let folder = absolute(&options.folder)?;
        layout::check(&options)?;
        if let Some(layout) = DevLayout::read(&folder)? {
            if let Some(difference) = layout.difference(&options) {
                return Err(DevError::OtherOptions { folder, difference });
            }
            if answers(&layout).await? {
                let cluster = Self { folder, layout, supervisor: None };
                let all = cluster.layout.servers.iter().map(|server| server.name.clone()).collect();
                control::ask(&cluster.layout, Request::Start(all)).await?;
                return Ok(cluster);
            }
        }
        let lifetime = options.lifetime;
        let executable = match &options.executable {
            Some(path) => path.clone(),
            None => std::env::current_exe().map_err(|e| DevError::Supervisor(format!("cannot be found: {e}")))?,
        };
        let into = folder.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare::prepare(&options, &into)).await;
        let (layout, ports) = prepared.map_err(|e| DevError::Supervisor(format!("cannot be started: {e}")))??;
        let mut supervisor = spawn_supervisor(&executable, &folder, lifetime, ports)?;

        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if control::ask(&layout, Request::Status).await.is_ok() {
                break;
            }
            let ended = supervisor.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                // Sends SIGTERM, so that the supervisor ends its servers, too.
                if let Some(pid) = rustix::process::Pid::from_raw(supervisor.id().cast_signed()) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                }
                if program::ended_by(&mut supervisor, Instant::now() + STOP_TIMEOUT).is_none() {
                    let _ = supervisor.kill();
                    let _ = supervisor.wait();
                }
                let said = files::end_of(&log_path(&folder));
                return Err(DevError::Supervisor(format!("did not start: {}", said.trim())));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let supervisor = (lifetime != Lifetime::UntilDown).then_some(supervisor);
        Ok(Self { folder, layout, supervisor })
    }

    /// Opens the super-cluster in a folder, running or not.
    ///
    /// # Errors
    /// [`DevError::NoCluster`]
    pub fn open(folder: &Path) -> Result<Self, DevError> {
        let folder = absolute(folder)?;
        match DevLayout::read(&folder)? {
            Some(layout) => Ok(Self { folder, layout, supervisor: None }),
            None => Err(DevError::NoCluster(folder)),
        }
    }

    /// Returns the options with which it was made. Options without lasting effect (binary, lifetime) are as in
    /// [`DevOptions::default`].
    pub fn made_with(&self) -> DevOptions {
        DevOptions { folder: self.folder.clone(), ..self.layout.options() }
    }

    /// Waits until all running servers have connected to each other: routes, gateways, and a JetStream meta leader that
    /// sees them as current (in the group with more than half of the servers). Servers of a region that is cut off only
    /// need connections within their region.
    ///
    /// # Errors
    /// [`DevError::NotReady`] with what is still missing after `timeout`.
    pub async fn wait_ready(&self, timeout: Duration) -> Result<(), DevError> {
        let started = Instant::now();
        let mut left_out: Option<(Vec<String>, Instant)> = None;
        let mut restarts = 0;
        loop {
            let state = self.ask(Request::Status).await?;
            let Some(missing) = ready::missing(&self.layout, &state, restarts).await else { return Ok(()) };
            let hopeless = state.servers.iter().any(|(_, state)| matches!(state, ServerState::Ended { .. }));
            if hopeless || started.elapsed() > timeout {
                return Err(DevError::NotReady { seconds: started.elapsed().as_secs(), missing: missing.what });
            }
            match &left_out {
                Some((names, since)) if *names == missing.left_out => {
                    if !names.is_empty() && since.elapsed() > missing.patience {
                        self.ask(Request::Kill(names.clone())).await?;
                        self.ask(Request::Start(names.clone())).await?;
                        left_out = None;
                        restarts += 1;
                    }
                }
                _ => left_out = Some((missing.left_out, Instant::now())),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Kills (SIGKILL) a region with its server of the stretch cluster, or a single server. Returns once they have
    /// ended.
    ///
    /// # Errors
    /// [`DevError::UnknownTarget`], [`DevError::NotRunning`]
    pub async fn kill(&self, target: &str) -> Result<(), DevError> {
        self.ask(Request::Kill(self.servers_of(target)?)).await.map(drop)
    }

    /// Starts a single server, or the servers of a region that are not running.
    ///
    /// # Errors
    /// [`DevError::UnknownTarget`], [`DevError::NotRunning`]
    pub async fn start(&self, target: &str) -> Result<(), DevError> {
        self.ask(Request::Start(self.servers_of(target)?)).await.map(drop)
    }

    /// Cuts a region off from all others while its servers keep running: drops and refuses connections between the
    /// regions.
    ///
    /// # Errors
    /// [`DevError::UnknownTarget`], [`DevError::NotRunning`]
    pub async fn cut(&self, region: &str) -> Result<(), DevError> {
        self.ask(Request::Cut(self.region(region)?)).await.map(drop)
    }

    /// Undoes [`Self::cut`].
    ///
    /// # Errors
    /// [`DevError::UnknownTarget`], [`DevError::NotRunning`]
    pub async fn heal(&self, region: &str) -> Result<(), DevError> {
        self.ask(Request::Heal(self.region(region)?)).await.map(drop)
    }

    /// Returns the current status of the super-cluster, even if it is down.
    pub async fn status(&self) -> Status {
        let state = control::ask(&self.layout, Request::Status).await.ok();
        let servers = self.layout.servers.iter().enumerate().map(|(n, server)| ServerStatus {
            server: server.clone(),
            url: self.layout.url(server),
            state: state.as_ref().map_or(ServerState::Down, |state| state.servers[n].1.clone()),
        });
        Status {
            folder: self.folder.clone(),
            supervisor: state.as_ref().map(|state| state.supervisor),
            left_behind: if state.is_some() { Vec::new() } else { supervisor::left_behind(&self.folder) },
            server_version: self.layout.server_version.clone(),
            servers: servers.collect(),
            cut: state.as_ref().map(|state| state.cut.clone()).unwrap_or_default(),
        }
    }

    /// Stops all servers and the supervisor. Keys, stores and configuration stay; [`Self::up`] starts the super-cluster
    /// again.
    ///
    /// # Errors
    /// [`DevError::Supervisor`] if the supervisor does not end.
    pub async fn down(mut self) -> Result<(), DevError> {
        if control::ask(&self.layout, Request::Status).await.is_err() {
            supervisor::kill_left_behind(&self.folder);
            return Ok(());
        }
        control::ask(&self.layout, Request::Stop).await?;
        let deadline = Instant::now() + Duration::from_secs(10);
        // The supervisor writes to the folder until it ends, and then releases the ports.
        while control::ask(&self.layout, Request::Status).await.is_ok() || ports::held(self.layout.ports().0)? {
            if Instant::now() > deadline {
                return Err(DevError::Supervisor("does not end".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if let Some(mut supervisor) = self.supervisor.take() {
            let _ = supervisor.wait();
        }
        Ok(())
    }

    /// Stops everything as [`Self::down`] does, then deletes what [`Self::up`] made: keys, stores, configuration, and
    /// an unchanged definition.
    ///
    /// # Errors
    /// [`DevError`]
    pub async fn delete(self) -> Result<(), DevError> {
        let (folder, layout) = (self.folder.clone(), self.layout.clone());
        self.down().await?;
        prepare::delete(&folder, &layout)
    }

    /// Returns the absolute path of the folder with all files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of the definition that was made for this super-cluster.
    pub fn definition_path(&self) -> PathBuf {
        prepare::definition_path(&self.folder)
    }

    /// Returns the keys folder: `op.nk` (operator signing key), `app.nk` and `sys.nk` (account signing keys),
    /// `*-identity.nk`, `app.creds` and `sys.creds`.
    pub fn keys_folder(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// Returns the path of the seed of the operator's signing key.
    pub fn operator_key_path(&self) -> PathBuf {
        self.keys_folder().join("op.nk")
    }

    /// Returns the path of the credentials of a user of the application account.
    pub fn credentials_path(&self) -> PathBuf {
        self.keys_folder().join("app.creds")
    }

    /// Returns the path of the credentials of a user of the system account.
    pub fn system_credentials_path(&self) -> PathBuf {
        self.keys_folder().join("sys.creds")
    }

    /// Returns the folder of certificates (`ca.pem`, `client.pem`, `client-key.pem`), if clients must use TLS.
    pub fn tls_folder(&self) -> Option<PathBuf> {
        self.layout.tls.then(|| self.folder.join("tls"))
    }

    /// Returns the `XDG_CONFIG_HOME` that makes the `nats` CLI find the contexts `vs-<region>` and `vs-sys`.
    pub fn nats_config_home(&self) -> PathBuf {
        self.folder.join("config")
    }

    /// Returns the public key of the application account `APP`.
    pub fn account_id(&self) -> &str {
        &self.layout.account_id
    }

    /// Returns the public key of the system account.
    pub fn system_account_id(&self) -> &str {
        &self.layout.system_account_id
    }

    /// Returns the public key of the operator.
    pub fn operator_id(&self) -> &str {
        &self.layout.operator_id
    }

    /// Returns the version of the servers.
    pub fn server_version(&self) -> &str {
        &self.layout.server_version
    }

    /// Returns the names of the regions.
    pub fn regions(&self) -> &[String] {
        &self.layout.regions
    }

    /// Returns all servers.
    pub fn servers(&self) -> &[DevServer] {
        &self.layout.servers
    }

    /// Returns URLs for clients of a cluster (a region's, or [`STRETCH`](super::STRETCH)). The result is empty if there
    /// is no such cluster.
    pub fn urls(&self, cluster: &str) -> Vec<String> {
        self.layout.in_cluster(cluster).map(|server| self.layout.url(server)).collect()
    }

    /// Returns URLs for clients of all servers.
    pub fn all_urls(&self) -> Vec<String> {
        self.layout.servers.iter().map(|server| self.layout.url(server)).collect()
    }

    /// Returns the folder of a server's configuration, log, JetStream store and account JWTs (`jwt/`).
    pub fn server_folder(&self, server: &DevServer) -> PathBuf {
        config::server_folder(&self.folder, server)
    }

    async fn ask(&self, request: Request) -> Result<control::State, DevError> {
        if !control::listening(&self.layout).await {
            return Err(DevError::NotRunning(self.folder.clone()));
        }
        control::ask(&self.layout, request).await
    }

    fn servers_of(&self, target: &str) -> Result<Vec<String>, DevError> {
        let region = self.layout.regions.iter().any(|region| region == target);
        let servers = self.layout.servers.iter();
        let hit = servers.filter(|s| if region { s.region == target } else { s.name == target || s.cluster == target });
        let names: Vec<String> = hit.map(|server| server.name.clone()).collect();
        if names.is_empty() { Err(self.unknown(target)) } else { Ok(names) }
    }

    fn region(&self, name: &str) -> Result<String, DevError> {
        let known = self.layout.regions.iter().find(|region| *region == name);
        known.cloned().ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> DevError {
        let servers = self.layout.servers.iter().map(|server| &server.name);
        let known: Vec<&str> = self.layout.regions.iter().chain(servers).map(String::as_str).collect();
        DevError::UnknownTarget { name: name.to_owned(), known: known.join(", ") }
    }
}

impl Drop for SuperCluster {
    fn drop(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            drop(supervisor.stdin.take());
            let _ = supervisor.wait();
        }
    }
}

/// Checks whether a supervisor runs. A supervisor that holds the ports but does not listen yet is just starting,
/// perhaps for a run that has been killed since.
async fn answers(layout: &DevLayout) -> Result<bool, DevError> {
    let until = Instant::now() + START_TIMEOUT;
    loop {
        if control::ask(layout, Request::Status).await.is_ok() {
            return Ok(true);
        }
        if !ports::held(layout.ports().0)? || Instant::now() > until {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn absolute(folder: &Path) -> Result<PathBuf, DevError> {
    std::path::absolute(folder).map_err(|error| DevError::file("find", folder, error))
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("supervisor.log")
}

fn spawn_supervisor(
    executable: &Path,
    folder: &Path,
    lifetime: Lifetime,
    ports: ports::Block,
) -> Result<Child, DevError> {
    let log = files::new_log(&log_path(folder)).map_err(|e| DevError::file("write", &log_path(folder), e))?;
    let mut command = memory::command(executable);
    command.args(["dev", "supervise", "--folder"]).arg(folder);
    // The supervisor inherits the lock on the ports as its standard output, and so holds it as long as it lives.
    command.stdout(ports.lock).stderr(log);
    match lifetime {
        Lifetime::UntilDown => command.stdin(Stdio::null()),
        Lifetime::Scoped { delete: false } => command.stdin(Stdio::piped()).arg("--with-stdin"),
        Lifetime::Scoped { delete: true } => command.stdin(Stdio::piped()).args(["--with-stdin", "--delete"]),
    };
    command.spawn().map_err(|e| DevError::Supervisor(format!("cannot be started ({}): {e}", executable.display())))
}
