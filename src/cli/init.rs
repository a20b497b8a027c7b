//! `init`: creates a new project.

use super::shell::quoted;
use super::text::{Text, put};
use super::{Exit, Failure, Shell};
use crate::engine::session::ReadError;
use crate::nats::{ConnectError, ConnectOptions, LoginMethod, connect, context_servers};
use crate::nsc::{StoreError, keystore, survey};
use crate::observed::RequestError;
use crate::ops::init::running::{Running, running};
use crate::ops::init::{InitError, free, init};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Write a commented vstream.yaml and a keys folder for a new project
///
/// Overwrites nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder to write them to; made if it does not exist
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,

    /// Fill in facts from an nsc store: operator, accounts, locations of their keys
    #[arg(long, value_name = "STORE")]
    from_nsc: Option<PathBuf>,

    /// Fill in facts from a running deployment: clusters, servers, accounts. NAME is a context of the nats CLI for its
    /// system account
    #[arg(long, value_name = "NAME")]
    from_context: Option<String>,
}

impl Args {
    /// Runs the verb.
    ///
    /// # Errors
    /// Exit 1 if a definition exists, a file cannot be written, or the servers of a context do not answer. Exit 2 for a
    /// missing store or context.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        free(&self.folder).map_err(failure)?;
        let store = self.from_nsc.as_deref().map(|path| {
            survey(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()), &keystore()).map_err(|error| {
                let next = match &error {
                    StoreError::Several { .. } => "Name the folder of one of them with --from-nsc.",
                    _ => "`nsc env` shows the store: \"Stores Dir\".",
                };
                Failure::usage("nsc-store-unusable", error.to_string()).next(next)
            })
        });
        let store = store.transpose()?;
        let running = match &self.from_context {
            Some(context) => Some(asked(context, shell).await?),
            None => None,
        };
        if let (Some(store), Some(told)) = (&store, running.as_ref().and_then(|running| running.operator.as_ref()))
            && store.operator.identity != *told
        {
            let own = &store.operator.identity;
            let message = format!("the operator of the store is {own}, and the servers of the context trust {told}");
            return Err(
                Failure::failed("operators-differ", message).next("Name a store and a context of one deployment.")
            );
        }
        let written = init(&self.folder, store.as_ref(), running.as_ref()).map_err(failure)?;
        let mut text = Text::new();
        written.iter().for_each(|path| put!(text, "wrote {}", path.display()));
        let definition = self.folder.join("vstream.yaml");
        let next = if definition == Path::new("./vstream.yaml") {
            "vstream-jwt validate".to_owned()
        } else {
            format!("vstream-jwt validate --definition {}", quoted(&definition))
        };
        let blanks = match (&store, &running) {
            (None, None) => "the regions, their servers and the account's id",
            (Some(_), None) => "the regions, their servers and the virtual streams",
            (None, Some(_)) => "the account's credentials and the virtual streams",
            (Some(_), Some(_)) => "the virtual streams",
        };
        put!(text, "next: Fill in {blanks} and everything else marked FILL IN, then run `{next}`.");
        shell.result(text, &json!({ "written": written }));
        Ok(Exit::Done)
    }
}

fn failure(error: InitError) -> Failure {
    let message = error.to_string();
    match error {
        InitError::Exists(_) => {
            Failure::failed("exists", message).next("Edit that file, or name another folder: `vstream-jwt init DIR`.")
        }
        InitError::Io { .. } => {
            Failure::failed("unwritable", message).next("Name another folder, or make this one writable.")
        }
    }
}

/// Queries the deployment to which a context connects.
async fn asked(context: &str, shell: &Shell) -> Result<Running, Failure> {
    let place = format!("--from-context {context}");
    let unreached = |error: ConnectError| {
        let next = match &error {
            ConnectError::Unreachable { .. } => "Check the `url` of the context, and that a server runs there.",
            ConnectError::Tls { .. } => "Check `ca`, `cert`, `key` and `tls_first` of the context.",
            ConnectError::File { .. } | ConnectError::Credentials { .. } => {
                "Fix the context: `nats context edit`; it needs a `url` and `creds` of a user of the system account."
            }
            error => error.next(),
        };
        let by_servers =
            matches!(error, ConnectError::Refused { .. } | ConnectError::Tls { .. } | ConnectError::Unreachable { .. });
        let exit = if by_servers { Exit::Failed } else { Exit::Usage };
        Failure::new(exit, error.code(), format!("{place}: {error}")).next(next)
    };
    let servers = context_servers(context).map_err(unreached)?;
    let access = LoginMethod::Context(context.to_owned());
    let started = Instant::now();
    let options = ConnectOptions::new(&servers.urls, servers.tls.as_ref(), &access, shell.timeout);
    let connection = connect(options).await.map_err(unreached)?;
    let left = shell.timeout.saturating_sub(started.elapsed());
    let (named, server) = ((context, servers.tls.as_ref()), connection.server_name());
    running(&connection, named, (&servers.urls, &server), left).await.map_err(|error| match error {
        error @ RequestError::TwoAnswers { .. } => ReadError::System(error).into(),
        error => Failure::failed("system-account", format!("{place}: asking the servers: {error}"))
            .next("Name a context whose user is one of the system account, and check that the servers are up."),
    })
}
