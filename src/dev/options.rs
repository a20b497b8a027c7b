//! The options of a super-cluster.

use std::path::PathBuf;
use std::time::Duration;

/// The default folder of `dev`.
pub const DEFAULT_FOLDER: &str = ".vstream-dev";

/// The options of a super-cluster.
#[derive(Debug, Clone)]
pub struct DevOptions {
    /// The folder for all files.
    pub folder: PathBuf,
    /// Names of the regions, which are also the names of their clusters.
    pub regions: Vec<String>,
    /// Servers in each region.
    pub servers: usize,
    /// `true` for another cluster named [`STRETCH`](super::STRETCH), with one server in each region that shares its
    /// region's fate.
    pub stretch: bool,
    /// `true` if clients must use TLS with a certificate (mutual TLS).
    pub tls: bool,
    /// The operator's `strict_signing_key_usage`.
    pub strict_signing_keys: bool,
    /// The server binary. The default is the one on PATH, otherwise a downloaded one.
    pub nats_server: Option<PathBuf>,
    /// The exact version of the server.
    pub server_version: Option<String>,
    /// The `vstream-jwt` executable to start as the supervisor; `None` means the running one.
    pub executable: Option<PathBuf>,
    /// Time for the server binary to print its version, and for its download.
    pub patience: Duration,
    /// Lifetime of the servers.
    pub lifetime: Lifetime,
}

impl Default for DevOptions {
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
            patience: DOWNLOAD_TIMEOUT,
            lifetime: Lifetime::UntilDown,
        }
    }
}

/// Time to download a server binary, by default.
pub(super) const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(300);

/// Lifetime of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until [`SuperCluster::down`](super::SuperCluster::down), beyond the end of this process.
    UntilDown,
    /// As long as the [`SuperCluster`](super::SuperCluster), and at most until this process ends, even if it is killed.
    Scoped {
        /// `true` to delete the folder afterwards, with everything in it.
        delete: bool,
    },
}
