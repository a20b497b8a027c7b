//! Where the deployment is: regions, their clusters and how to reach their servers.

use super::names::{ClusterName, RegionName};
use std::path::PathBuf;

/// The regions of a super-cluster, at least one, each on a cluster of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The regions in the order of the definition.
    pub regions: Vec<Region>,
    /// The cluster that stretches over the regions; needed by `ordered` and `immediate`.
    pub stretch: Option<ClusterName>,
    /// Clusters without clients of virtual streams, which need no region.
    pub without_clients: Vec<ClusterName>,
}

impl Topology {
    /// Every cluster whose clients use virtual streams, with the region that they use.
    pub fn clusters(&self) -> impl Iterator<Item = (&Region, &ClusterName)> {
        self.regions.iter().flat_map(|region| region.clusters().map(move |cluster| (region, cluster)))
    }
}

/// One region: a cluster with storage of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Name of the region; part of the names of its streams.
    pub name: RegionName,
    /// The cluster (gateway name) that it is served by.
    pub cluster: ClusterName,
    /// URLs of its servers (`nats://host:port`), at least one.
    pub servers: Vec<String>,
    /// Placement tags for the region's streams.
    pub tags: Vec<String>,
    /// Other clusters whose clients use this region.
    pub serves: Vec<ClusterName>,
    /// TLS towards this region's servers, when it differs from the definition's.
    pub tls: Option<Tls>,
}

impl Region {
    /// Returns a region served by these servers of a cluster, every other setting at the definition's default.
    pub fn new(name: RegionName, cluster: ClusterName, servers: Vec<String>) -> Self {
        Self { name, cluster, servers, tags: Vec::new(), serves: Vec::new(), tls: None }
    }

    /// The clusters whose clients use this region: its own, then those that it serves.
    pub fn clusters(&self) -> impl Iterator<Item = &ClusterName> {
        std::iter::once(&self.cluster).chain(&self.serves)
    }
}

/// TLS settings of a connection; relative paths are relative to the working directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Certificate authorities (PEM), instead of the system's.
    pub ca: Option<PathBuf>,
    /// Client certificate (PEM), for mutual TLS.
    pub cert: Option<PathBuf>,
    /// Key of the client certificate (PEM).
    pub key: Option<PathBuf>,
    /// TLS handshake before the server's INFO (nats-server `tls { handshake_first }`).
    pub first: bool,
}
