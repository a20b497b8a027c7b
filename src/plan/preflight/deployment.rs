//! Checks the deployment as a whole.

use super::{clocks, clusters, servers};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::model::topology::Topology;
use crate::observed::Deployment;

/// Checks the servers, the clusters and the system account of a deployment.
pub fn deployment(topology: &Topology, deployment: &Deployment, account: &PublicKey) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(servers::other_system_account(deployment, account));
    findings.extend(servers::too_old(deployment));
    findings.extend(servers::missing_servers(deployment));
    findings.extend(clusters::missing_regions(topology, deployment));
    findings.extend(clusters::served_clusters(topology, deployment));
    findings.extend(clusters::unknown_without_clients(topology, deployment));
    findings.extend(clusters::uncovered_clusters(topology, deployment));
    findings.extend(servers::domains(topology, deployment));
    findings.extend(clocks::clocks(deployment));
    findings
}
