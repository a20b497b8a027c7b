//! Durable consumers that must exist.

use crate::model::names::RegionName;
use crate::model::topology::{Region, Topology};
use crate::model::virtual_stream::{Account, VirtualStream};
use serde::Serialize;
use serde_json::{Map, Value};

/// A durable consumer that must exist.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DesiredConsumer {
    /// The virtual stream that the consumer reads.
    pub virtual_stream: String,
    /// The consumer's region.
    pub region: RegionName,
    /// The real (read) stream.
    pub stream: String,
    /// The durable name.
    pub name: String,
    /// The config in the form of the API.
    pub config: Map<String, Value>,
}

/// Returns the definition's durable consumers on the read streams of their regions.
pub(super) fn consumers(account: &Account, stream: &VirtualStream, topology: &Topology) -> Vec<DesiredConsumer> {
    let mut consumers = Vec::new();
    for consumer in &stream.consumers {
        let wanted = |region: &&Region| consumer.regions.is_empty() || consumer.regions.contains(&region.name);
        for region in topology.regions.iter().filter(wanted) {
            let mut config = Map::new();
            config.insert("name".to_owned(), consumer.name.as_str().into());
            config.insert("durable_name".to_owned(), consumer.name.as_str().into());
            // Every client sets this. The API's own default is no acks at all.
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
