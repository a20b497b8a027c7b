//! What a super-cluster should be.

use std::path::PathBuf;
use std::time::Duration;

/// The folder that is used when none is named.
pub const DEFAULT_FOLDER: &str = ".vstream-dev";

/// What the super-cluster should be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything goes.
    pub folder: PathBuf,
    /// Names of the regions, which are the names of their clusters too.
    pub regions: Vec<String>,
    /// Servers in each region.
    pub servers: usize,
    /// Also a cluster named [`STRETCH`](super::STRETCH) with one server in each region, which shares its region's fate.
    pub stretch: bool,
    /// Clients must use TLS with a certificate of their own (mutual TLS).
    pub tls: bool,
    /// The operator's `strict_signing_key_usage`.
    pub strict_signing_keys: bool,
    /// The server binary; else PATH, else fetched.
    pub nats_server: Option<PathBuf>,
    /// This very version of the server.
    pub server_version: Option<String>,
    /// The `vstream-jwt` executable, which is started again as the supervisor; `None` is the running one.
    pub executable: Option<PathBuf>,
    /// How long the server binary may take to say its version, or to be fetched.
    pub patience: Duration,
    /// How long the servers live.
    pub lifetime: Lifetime,
}

impl Default for Options {
    /// Three regions (west, central, east) of three servers in [`DEFAULT_FOLDER`], until
    /// [`SuperCluster::down`](super::SuperCluster::down).
    fn default() -> Self {
        Self {
            folder: DEFAULT_FOLDER.into(),
            regions: ["west", "central", "east"].map(str::to_owned).to_vec(),
            servers: 3,
            stretch: false,
            tls: false,
            strict_signing_keys: false,
            nats_server: None,
            server_version: None,
            executable: None,
            patience: PATIENCE,
            lifetime: Lifetime::UntilDown,
        }
    }
}

/// How long fetching a server binary may take where nothing is said.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// How long the servers live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until [`SuperCluster::down`](super::SuperCluster::down), beyond the end of this process.
    UntilDown,
    /// As long as the [`SuperCluster`](super::SuperCluster); at the latest until this process ends, in whatever way.
    Scoped {
        /// Also delete the folder then, with all that is in it.
        delete: bool,
    },
}
