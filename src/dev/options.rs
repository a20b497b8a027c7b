//! The options of a super-cluster.

use std::path::PathBuf;
use std::time::Duration;

/// The folder that `dev` uses when the user names none.
pub const DEFAULT_FOLDER: &str = ".vstream-dev";

/// The options of a super-cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder for everything.
    pub folder: PathBuf,
    /// Names of the regions, which are also the names of their clusters.
    pub regions: Vec<String>,
    /// Servers in each region.
    pub servers: usize,
    /// Also a cluster named [`STRETCH`](super::STRETCH) with one server in each region, which shares its region's fate.
    pub stretch: bool,
    /// Clients must use TLS with their own certificate (mutual TLS).
    pub tls: bool,
    /// The operator's `strict_signing_key_usage`.
    pub strict_signing_keys: bool,
    /// The server binary; without it the one on PATH, else a downloaded one.
    pub nats_server: Option<PathBuf>,
    /// The exact version of the server.
    pub server_version: Option<String>,
    /// The `vstream-jwt` executable, which is started again as the supervisor; `None` means the running one.
    pub executable: Option<PathBuf>,
    /// Time to ask the server binary for its version, or to download it.
    pub patience: Duration,
    /// Lifetime of the servers.
    pub lifetime: Lifetime,
}

impl Default for Options {
    /// Returns three regions (west, central, east) of three servers in [`DEFAULT_FOLDER`], until
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

/// Time to download a server binary, by default.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// Lifetime of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until [`SuperCluster::down`](super::SuperCluster::down), beyond the end of this process.
    UntilDown,
    /// As long as the [`SuperCluster`](super::SuperCluster); at the latest until this process ends, even if it is
    /// killed.
    Scoped {
        /// Deletes the folder then, with everything in it.
        delete: bool,
    },
}
