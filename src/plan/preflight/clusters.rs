//! The clusters of the deployment against the regions of the definition.

use crate::model::finding::Finding;
use crate::model::topology::Topology;
use crate::observed::Deployment;
use std::collections::BTreeSet;

pub(super) fn missing_regions(topology: &Topology, deployment: &Deployment) -> Vec<Finding> {
    let live = deployment.clusters();
    let known: BTreeSet<&str> = known_clusters(topology);
    let missing = topology.regions.iter().filter(|region| !live.contains(&region.cluster.as_str()));
    missing
        .map(|region| {
            let unclaimed: Vec<&str> = live.iter().copied().filter(|cluster| !known.contains(cluster)).collect();
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

pub(super) fn uncovered_clusters(topology: &Topology, deployment: &Deployment) -> Vec<Finding> {
    let known = known_clusters(topology);
    let uncovered = deployment.clusters().into_iter().filter(|cluster| !known.contains(cluster));
    uncovered
        .map(|cluster| {
            let message = "no region of the definition covers this cluster: what its clients publish on virtual subjects \
                           would be captured by no stream, and their requests by virtual names would fail";
            let next = format!("Add a region with `cluster: {cluster}`; or, if it has no such clients, `--allow cluster-uncovered`.");
            Finding::error("cluster-uncovered", format!("cluster {cluster}"), message, next)
        })
        .collect()
}

pub(super) fn known_clusters(topology: &Topology) -> BTreeSet<&str> {
    let Topology { regions, stretch } = topology;
    let served = regions.iter().flat_map(|region| std::iter::once(&region.cluster).chain(&region.serves));
    served.chain(stretch).map(|cluster| cluster.as_str()).collect()
}

fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let rated = known.iter().map(|known| (similar::TextDiff::from_chars(*known, name).ratio(), *known));
    rated.filter(|(ratio, _)| *ratio > 0.6).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}
