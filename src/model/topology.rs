//! The topology of a deployment: regions, their clusters, and the URLs of their servers.

use super::names::{ClusterName, RegionName};
use std::path::PathBuf;

/// The regions of a super-cluster: at least one, each with a cluster of its own.
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
    /// Every cluster whose clients use virtual streams, with the region that those clients use.
    pub fn clusters(&self) -> impl Iterator<Item = (&Region, &ClusterName)> {
        self.regions.iter().flat_map(|region| region.clusters().map(move |cluster| (region, cluster)))
    }
}

/// One region: a cluster with storage of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Name of the region, which is part of the names of its streams.
    pub name: RegionName,
    /// The cluster (gateway name) that serves the region.
    pub cluster: ClusterName,
    /// URLs of the region's servers (`nats://host:port`), at least one.
    pub servers: Vec<String>,
    /// Placement tags for the region's streams.
    pub tags: Vec<String>,
    /// Other clusters whose clients use this region.
    pub serves: Vec<ClusterName>,
    /// TLS towards this region's servers, if it differs from the definition's.
    pub tls: Option<Tls>,
}

impl Region {
    /// Returns a region with these servers of a cluster, and defaults for all other settings.
    pub fn new(name: RegionName, cluster: ClusterName, servers: Vec<String>) -> Self {
        Self { name, cluster, servers, tags: Vec::new(), serves: Vec::new(), tls: None }
    }

    /// The clusters whose clients use this region: first its own, then those that it serves.
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
