//! The desired state of one account.

use super::consumer::DesiredConsumer;
use super::regional::Seat;
use super::stream::DesiredStream;
use crate::model::claims::{ExportSpec, ImportSpec, Permissions};
use crate::model::mapping::MappingSet;
use crate::model::nkey::PublicKey;
use crate::model::virtual_stream::{Account, RegionalAccounts};

/// All that one account has to have: the application's, or in the layout `regional` also that of a region.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredAccount<'a> {
    /// The account of the definition that it is, or that it serves.
    pub account: &'a Account,
    /// Which of its accounts this is.
    pub seat: Seat<'a>,
    /// The definition's name for it, `APP` or `APP-west`.
    pub name: String,
    /// Its public key; a stand-in for a regional account that is yet to be made.
    pub id: PublicKey,
    /// Its mappings.
    pub mappings: MappingSet,
    /// What it exports for the regional layout.
    pub exports: Vec<ExportSpec>,
    /// What it imports for the regional layout.
    pub imports: Vec<ImportSpec>,
    /// What users without permissions of their own are denied (`restrict_users`).
    pub denied: Option<Permissions>,
    /// Write streams first, then read streams.
    pub streams: Vec<DesiredStream<'a>>,
    /// Consumers of the definition.
    pub consumers: Vec<DesiredConsumer>,
}

impl DesiredAccount<'_> {
    /// Whether it is a regional account that the tool makes, and not one that the definition names.
    pub fn is_made_here(&self) -> bool {
        self.seat != Seat::Application && matches!(self.account.regional_accounts, RegionalAccounts::Named(_))
    }
}
