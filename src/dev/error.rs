//! Errors of local super-clusters.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Reason why a request to the local super-cluster failed.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The options contradict each other or name something impossible.
    #[error("{0}")]
    Options(String),
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {cause}", path.display())]
    File {
        /// The action that failed (`read`, `write`, `create`, …).
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        cause: String,
    },
    /// The folder holds no super-cluster.
    #[error("{} holds no super-cluster", .0.display())]
    NoCluster(PathBuf),
    /// The super-cluster of the folder is not running.
    #[error("the super-cluster in {} is not running", .0.display())]
    NotRunning(PathBuf),
    /// The folder holds a super-cluster with other options.
    #[error("{} holds a super-cluster made with other options: {difference}", folder.display())]
    OtherOptions {
        /// The folder.
        folder: PathBuf,
        /// The options that differ, with both values.
        difference: String,
    },
    /// No region or server of that name.
    #[error("there is no region or server `{name}`; there are {known}")]
    UnknownTarget {
        /// The name that the user gave.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// There is no usable server binary.
    #[error("no nats-server: {0}")]
    Binary(String),
    /// There are no free ports on the loopback interface.
    #[error("no free loopback ports: {0}")]
    Ports(String),
    /// A key or certificate could not be made.
    #[error("cannot make {what}: {cause}")]
    Identity {
        /// The key or certificate.
        what: &'static str,
        /// The cause.
        cause: String,
    },
    /// The supervisor process ended or does not answer.
    #[error("the supervisor of the servers {0}")]
    Supervisor(String),
    /// The servers did not become ready in time.
    #[error("the super-cluster is not ready after {seconds} s: {missing}")]
    NotReady {
        /// Time waited so far, in seconds.
        seconds: u64,
        /// The reason why they are not ready.
        missing: String,
    },
}

impl DevError {
    pub(super) fn file(action: &'static str, path: &Path, cause: impl Display) -> Self {
        Self::File { action, path: path.to_owned(), cause: cause.to_string() }
    }

    pub(super) fn identity(what: &'static str) -> impl FnOnce(Box<dyn std::error::Error>) -> Self {
        move |cause| Self::Identity { what, cause: cause.to_string() }
    }
}
