//! The order of accounts in the desired state.

use crate::definition::Definition;
use crate::model::topology::Region;
use crate::model::virtual_stream::{Account, Layout};

/// Returns the definition's accounts, each followed by its regional accounts, in the order of the desired state.
pub(crate) fn members(definition: &Definition) -> impl Iterator<Item = (&Account, Option<&Region>)> {
    definition.accounts.iter().flat_map(|account| {
        let regions = match account.layout {
            Layout::Regional => definition.topology.regions.as_slice(),
            Layout::Shared => &[],
        };
        std::iter::once((account, None)).chain(regions.iter().map(move |region| (account, Some(region))))
    })
}
