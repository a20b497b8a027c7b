//! Subject mappings of an account, as its JWT carries them (`nats.mappings`).

use super::subject::SubjectFilter;
use serde::Serialize;

/// One weighted destination of a mapping (`WeightedMapping` of nats-io/jwt v2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Destination {
    /// Destination subject; may use `{{wildcard(1)}}` and the other transform functions.
    pub subject: String,
    /// Percent of the messages; what the JWT leaves out or sets to 0 means 100.
    pub weight: u8,
    /// Only for clients of this cluster; for all clusters not listed when `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

/// One source subject with its destinations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// Source; may have wildcards.
    pub source: SubjectFilter,
    /// Destinations, in the order of the JWT.
    pub destinations: Vec<Destination>,
}

/// A mapping as found in a token; not validated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RawMapping {
    /// Source as the token has it.
    pub source: String,
    /// Destinations, in the order of the token.
    pub destinations: Vec<Destination>,
}

/// The mappings that a definition asks for, each source once, none overlapping another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct MappingSet(Vec<Mapping>);
