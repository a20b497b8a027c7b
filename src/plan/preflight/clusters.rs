//! Compares the clusters of the deployment with the regions of the definition.

use crate::model::finding::Finding;
use crate::model::names::ClusterName;
use crate::model::topology::{Region, Topology};
use crate::observed::Deployment;
use crate::plan::allowable::SERVED_MISSING;
use std::collections::BTreeSet;

pub(super) fn missing_regions(topology: &Topology, deployment: &Deployment) -> Vec<Finding> {
    let live = deployment.clusters();
    let unclaimed = unclaimed(topology, deployment);
    let missing = topology.regions.iter().filter(|region| !live.contains(&region.cluster.as_str()));
    missing
        .map(|region| {
            let place = format!("region {}", region.name);
            let next = match nearest(region.cluster.as_str(), &unclaimed) {
                Some(cluster) => format!("Did you mean `cluster: {cluster}`?"),
                None => "Start its servers; or go on without the region: `--allow region-missing`.".to_owned(),
            };
            let message = format!(
                "no server of cluster {} answers; those that do are in {}",
                region.cluster,
                if live.is_empty() { "no cluster".to_owned() } else { live.join(", ") }
            );
            Finding::error("region-missing", place, message, next)
        })
        .collect()
}

/// Returns the clusters that a region serves and from which no server answers.
pub(crate) fn missing_served<'t>(
    topology: &'t Topology,
    deployment: &Deployment,
) -> Vec<(&'t Region, &'t ClusterName)> {
    let live = deployment.clusters();
    let served = topology.regions.iter().flat_map(|region| region.serves.iter().map(move |cluster| (region, cluster)));
    served.filter(|(_, cluster)| !live.contains(&cluster.as_str())).collect()
}

pub(super) fn served_clusters(topology: &Topology, deployment: &Deployment) -> Vec<Finding> {
    let unclaimed = unclaimed(topology, deployment);
    let finding = |(region, cluster): (&Region, &ClusterName)| {
        let next = match nearest(cluster.as_str(), &unclaimed) {
            Some(near) => format!("Did you mean `serves: [{near}]`?"),
            None => format!("Start its servers; or go on without looking at them: `--allow {SERVED_MISSING}`."),
        };
        let message = format!("no server of cluster {cluster}, which it serves, answers");
        Finding::error(SERVED_MISSING, format!("region {}", region.name), message, next)
    };
    missing_served(topology, deployment).into_iter().map(finding).collect()
}

/// Warns of clusters that the definition lists as without clients, but that are not in the deployment.
pub(super) fn unknown_without_clients(topology: &Topology, deployment: &Deployment) -> Vec<Finding> {
    let live = deployment.clusters();
    let unknown = topology.without_clients.iter().filter(|cluster| !live.contains(&cluster.as_str()));
    let finding = |cluster: &ClusterName| {
        let message = "no server of this cluster answers";
        let next = "If there is no such cluster, remove it from `clusters_without_clients`.";
        Finding::warning("unknown-cluster", format!("cluster {cluster}"), message, next)
    };
    unknown.map(finding).collect()
}

pub(super) fn uncovered_clusters(topology: &Topology, deployment: &Deployment) -> Vec<Finding> {
    unclaimed(topology, deployment)
        .into_iter()
        .map(|cluster| {
            let message = "no region of the definition covers this cluster: no stream would capture what its clients \
                           publish on virtual subjects, and their requests by virtual names would fail";
            let next = format!(
                "Add a region with `cluster: {cluster}`; or name it under `serves` of a region, whose streams its clients use \
                 then; or, if it has no such clients, under `clusters_without_clients`."
            );
            Finding::error("cluster-uncovered", format!("cluster {cluster}"), message, next)
        })
        .collect()
}

/// Returns the live clusters that the definition does not mention.
fn unclaimed<'d>(topology: &Topology, deployment: &'d Deployment) -> Vec<&'d str> {
    let known = known_clusters(topology);
    deployment.clusters().into_iter().filter(|cluster| !known.contains(cluster)).collect()
}

pub(super) fn known_clusters(topology: &Topology) -> BTreeSet<&str> {
    let Topology { regions: _, stretch, without_clients } = topology;
    let used = topology.clusters().map(|(_, cluster)| cluster);
    used.chain(stretch).chain(without_clients).map(|cluster| cluster.as_str()).collect()
}

fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let rated = known.iter().map(|known| (similar::TextDiff::from_chars(*known, name).ratio(), *known));
    rated.filter(|(ratio, _)| *ratio > 0.6).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}
