//! The input of a stream's config.

use crate::model::topology::{Region, Topology};
use crate::model::virtual_stream::{Account, VirtualStream};

/// The input of a stream's config. A definition may have tens of thousands of streams, so each config is made when it
/// is needed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::desired) struct StreamTemplate<'a> {
    pub topology: &'a Topology,
    pub account: &'a Account,
    pub stream: &'a VirtualStream,
    pub region: &'a Region,
    pub oldest_server: Option<(u64, u64)>,
}
