//! The desired state of one account.

use super::consumer::DesiredConsumer;
use super::regional::AccountRole;
use super::stream::DesiredStream;
use crate::model::claims::{ExportSpec, ImportSpec, Permissions};
use crate::model::mapping::MappingSet;
use crate::model::nkey::PublicKey;
use crate::model::virtual_stream::{Account, RegionalAccounts};

/// Everything that one account must have. It is the application's account or, in the layout `regional`, the account of
/// a region.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredAccount<'a> {
    /// The account of the definition that this account is, or that it serves.
    pub account: &'a Account,
    /// The role of this account: the application's, or a region's.
    pub account_role: AccountRole<'a>,
    /// The account's name: `APP`, or `APP-west` for a regional account.
    pub name: String,
    /// The public key. It is a placeholder if the regional account does not exist yet.
    pub id: PublicKey,
    /// The mappings.
    pub mappings: MappingSet,
    /// The exports of the regional layout.
    pub exports: Vec<ExportSpec>,
    /// The imports of the regional layout.
    pub imports: Vec<ImportSpec>,
    /// Permissions that are denied to users without permissions of their own (`restrict_users`).
    pub denied: Option<Permissions>,
    /// The streams: first write streams, then read streams.
    pub streams: Vec<DesiredStream<'a>>,
    /// The consumers of the definition.
    pub consumers: Vec<DesiredConsumer>,
}

impl DesiredAccount<'_> {
    /// Returns `true` if this is a regional account that the tool makes, and not one that the definition names.
    pub fn is_made_here(&self) -> bool {
        self.account_role != AccountRole::Application
            && matches!(self.account.regional_accounts, RegionalAccounts::Named(_))
    }
}
