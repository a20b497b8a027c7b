//! Durable consumers that have to exist.

use crate::model::names::RegionName;
use crate::model::topology::{Region, Topology};
use crate::model::virtual_stream::{Account, VirtualStream};
use serde::Serialize;
use serde_json::{Map, Value};

/// A durable consumer that has to exist.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DesiredConsumer {
    /// The virtual stream it reads.
    pub virtual_stream: String,
    /// Its region.
    pub region: RegionName,
    /// The real (read) stream.
    pub stream: String,
    /// Its durable name.
    pub name: String,
    /// Its config as the API takes it.
    pub config: Map<String, Value>,
}

/// The definition's durables on the read streams of the regions that they are for.
pub(super) fn consumers(account: &Account, stream: &VirtualStream, topology: &Topology) -> Vec<DesiredConsumer> {
    let mut consumers = Vec::new();
    for consumer in &stream.consumers {
        let wanted = |region: &&Region| consumer.regions.is_empty() || consumer.regions.contains(&region.name);
        for region in topology.regions.iter().filter(wanted) {
            let mut config = Map::new();
            config.insert("name".to_owned(), consumer.name.as_str().into());
            config.insert("durable_name".to_owned(), consumer.name.as_str().into());
            // What every client asks for; the API's own default would be no acks at all.
            config.insert("ack_policy".to_owned(), "explicit".into());
            config.extend(consumer.config.clone());
            consumers.push(DesiredConsumer {
                virtual_stream: stream.name.to_string(),
                region: region.name.clone(),
                stream: account.read_name(stream, &region.name),
                name: consumer.name.to_string(),
                config,
            });
        }
    }
    consumers
}
