//! The process that owns the servers and the forwarders of one super-cluster.

use super::control::{Envelope, MOST, Request, ServerState, State};
use super::forwarder::GatewayProxies;
use super::layout::{DevLayout, DevServer};
use super::{DevError, config, files, ports, program};
use crate::sign::memory;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify};

/// Time for servers to end after SIGTERM before they are killed.
const SIGTERM_TIMEOUT: Duration = Duration::from_secs(8);

/// Time for `ps` to answer.
const PS_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest command line of a server, in bytes.
const LONGEST: usize = 64 * 1024;

/// Condition under which the supervisor ends without a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// None: the supervisor ends only on request.
    Never,
    /// The supervisor's standard input closes. It then kills the servers.
    WithStdin {
        /// `true` to delete the whole folder afterwards.
        delete: bool,
    },
}

struct Supervisor {
    layout: DevLayout,
    folder: PathBuf,
    proxies: Arc<GatewayProxies>,
    servers: Mutex<Vec<Option<Child>>>,
    stop: Notify,
}

/// Runs the servers of the super-cluster in `folder` until a request stops it. Runs in a separate process, which
/// [`SuperCluster::up`](super::SuperCluster::up) starts and which ends with it.
///
/// # Errors
/// [`DevError`] if the folder's layout is invalid or the super-cluster's ports are taken.
pub async fn supervise(folder: &Path, ending: Ending) -> Result<(), DevError> {
    // A separate session, so that an interrupt at the terminal does not reach the servers.
    let _ = rustix::process::setsid();
    let layout = DevLayout::read(folder)?.ok_or_else(|| DevError::NoCluster(folder.to_owned()))?;
    let taken = |error: std::io::Error| DevError::Ports(error.to_string());
    let control = TcpListener::bind((Ipv4Addr::LOCALHOST, layout.control_port)).await.map_err(taken)?;
    let proxies = GatewayProxies::start(&layout).await.map_err(taken)?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| DevError::Supervisor(format!("cannot run: {error}")))?;
    let supervisor = Arc::new(Supervisor {
        servers: Mutex::new(layout.servers.iter().map(|_| None).collect()),
        layout,
        folder: folder.to_owned(),
        proxies,
        stop: Notify::new(),
    });
    let all: Vec<String> = supervisor.layout.servers.iter().map(|server| server.name.clone()).collect();
    supervisor.start(&all).await.map_err(DevError::Supervisor)?;

    let graceful = tokio::select! {
        () = Arc::clone(&supervisor).listen(control) => true,
        () = supervisor.stop.notified() => true,
        _ = terminate.recv() => true,
        () = stdin_closed(), if ending != Ending::Never => false,
    };
    supervisor.end(graceful).await;
    if ending == (Ending::WithStdin { delete: true }) {
        std::fs::remove_dir_all(folder).map_err(|error| DevError::file("delete", folder, error))?;
    }
    Ok(())
}

/// Waits for the end of standard input, on a thread that nothing waits for.
async fn stdin_closed() {
    let (sender, closed) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = sender.send(());
    });
    let _ = closed.await;
}

impl Supervisor {
    async fn listen(self: Arc<Self>, control: TcpListener) {
        loop {
            match control.accept().await {
                Ok((stream, _)) => {
                    let supervisor = Arc::clone(&self);
                    // A caller that closed the connection needs no answer.
                    tokio::spawn(async move { drop(supervisor.serve(stream).await) });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut line = Vec::new();
        BufReader::new(&mut stream).take(MOST).read_until(b'\n', &mut line).await?;
        let stopping = matches!(serde_json::from_slice(&line), Ok(Envelope { request: Request::Stop, .. }));
        let answer = match serde_json::from_slice(&line) {
            Ok(Envelope { token, request }) if token == self.layout.control_token => self.answer(request).await,
            Ok(_) => Err("wrong token".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        stream.write_all(&text).await?;
        stream.shutdown().await?;
        if stopping && answer.is_ok() {
            self.stop.notify_one();
        }
        Ok(())
    }

    async fn answer(&self, request: Request) -> Result<State, String> {
        match request {
            Request::Status => {}
            Request::Kill(names) => self.kill(&names).await?,
            Request::Start(names) => self.start(&names).await?,
            Request::Cut(region) => self.proxies.cut(&region),
            Request::Heal(region) => self.proxies.heal(&region),
            Request::Stop => self.terminate().await,
        }
        Ok(self.state().await)
    }

    async fn state(&self) -> State {
        let mut servers = Vec::new();
        for (server, child) in self.layout.servers.iter().zip(self.servers.lock().await.iter_mut()) {
            let state = match child.as_mut().map(|child| (child.id(), child.try_wait())) {
                None => ServerState::Down,
                Some((_, Ok(Some(status)))) => {
                    ServerState::Ended { why: format!("{status}{}", self.last_words(server)) }
                }
                Some((Some(pid), _)) => ServerState::Running { pid },
                Some((None, _)) => ServerState::Down,
            };
            servers.push((server.name.clone(), state));
        }
        State { supervisor: std::process::id(), servers, cut: self.proxies.cut_off().into_iter().collect() }
    }

    fn last_words(&self, server: &DevServer) -> String {
        let folder = config::server_folder(&self.folder, server);
        let last = ["console.log", "server.log"].iter().find_map(|name| {
            let text = files::end_of(&folder.join(name));
            text.lines().last().map(|line| format!(": {line}"))
        });
        last.unwrap_or_default()
    }

    async fn start(&self, names: &[String]) -> Result<(), String> {
        let mut children = self.servers.lock().await;
        for (server, child) in self.layout.servers.iter().zip(children.iter_mut()) {
            if !names.contains(&server.name) {
                continue;
            }
            if child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
                continue;
            }
            *child = Some(self.spawn(server).map_err(|error| format!("cannot start {}: {error}", server.name))?);
        }
        self.note_pids(&children);
        Ok(())
    }

    fn spawn(&self, server: &DevServer) -> std::io::Result<Child> {
        let console = files::new_log(&config::server_folder(&self.folder, server).join("console.log"))?;
        Command::from(memory::command(&self.layout.binary))
            .arg("--config")
            .arg(config::server_config_path(&self.folder, server))
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .kill_on_drop(true)
            .spawn()
    }

    /// Sends SIGKILL, and waits until the servers have ended.
    async fn kill(&self, names: &[String]) -> Result<(), String> {
        let mut children = self.servers.lock().await;
        let mut dying = Vec::new();
        for (server, child) in self.layout.servers.iter().zip(children.iter_mut()) {
            if names.contains(&server.name)
                && let Some(mut child) = child.take()
            {
                // An error means that the process has already ended.
                let _ = child.start_kill();
                dying.push(child);
            }
        }
        for mut child in dying {
            let _ = child.wait().await;
        }
        self.note_pids(&children);
        Ok(())
    }

    /// Sends SIGTERM to all servers, and SIGKILL to those that take too long.
    async fn terminate(&self) {
        let mut children = self.servers.lock().await;
        for child in children.iter().flatten() {
            let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        let deadline = tokio::time::Instant::now() + SIGTERM_TIMEOUT;
        for child in children.iter_mut() {
            if let Some(mut child) = child.take()
                && tokio::time::timeout_at(deadline, child.wait()).await.is_err()
            {
                let _ = child.kill().await;
            }
        }
        self.note_pids(&children);
    }

    async fn end(&self, graceful: bool) {
        if graceful {
            return self.terminate().await;
        }
        let all: Vec<String> = self.layout.servers.iter().map(|server| server.name.clone()).collect();
        let _ = self.kill(&all).await;
    }

    /// Writes the servers' process ids to a file, so that they can be found if the supervisor is killed.
    fn note_pids(&self, children: &[Option<Child>]) {
        let pids: Vec<u32> = children.iter().flatten().filter_map(Child::id).collect();
        if let Ok(text) = serde_json::to_vec(&pids) {
            let _ = files::write_private(&pids_path(&self.folder), text);
        }
    }
}

pub(super) fn pids_path(folder: &Path) -> PathBuf {
    folder.join("pids.json")
}

/// Returns the servers that an earlier supervisor of this folder left running when it was killed: processes in its file
/// whose command line names a configuration of this folder.
pub(super) fn left_behind(folder: &Path) -> Vec<u32> {
    let pids = files::read(&pids_path(folder)).ok();
    let pids: Vec<u32> = pids.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let needle = folder.join("servers").display().to_string();
    // No more than there can be servers.
    pids.into_iter()
        .take(usize::from(ports::BLOCK_SIZE))
        .filter(|pid| command_line(*pid).is_some_and(|line| line.contains(&needle)))
        .collect()
}

/// Kills the servers that were left running, and waits until they have ended.
pub(super) fn kill_left_behind(folder: &Path) {
    for _ in 0..100 {
        let left = left_behind(folder);
        if left.is_empty() {
            return;
        }
        for pid in left.into_iter().filter_map(|pid| rustix::process::Pid::from_raw(pid.cast_signed())) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Returns the command line of a process, from `/proc` if the system has it, otherwise from `ps`.
fn command_line(pid: u32) -> Option<String> {
    let of = |pid: &dyn std::fmt::Display| {
        let line = crate::files::read(&PathBuf::from(format!("/proc/{pid}/cmdline")), LONGEST).ok()?;
        Some(String::from_utf8_lossy(&line).into_owned())
    };
    match of(&"self") {
        Some(_) => of(&pid),
        None => {
            let mut ps = memory::command(program::on_path("ps")?);
            program::run(ps.args(["-o", "command=", "-p", &pid.to_string()]), PS_TIMEOUT).ok().map(|said| said.out)
        }
    }
}
