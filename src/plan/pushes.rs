//! The tokens of one account to sign and push, stage by stage.
//!
//! In the layout `regional`, exporters come before importers, and the mappings that capture come last. In the reverse
//! order, a server waits 1.9 s for each account that it does not know, and clients time out (measured, 2.15.1). Removal
//! goes backwards.

use super::exports_imports::{self, ActivationRequest, ClaimChange, ClaimsEdit, Peer};
use super::mappings::{MappingChange, MappingPlan};
use super::starts::Start;
use super::{Action, Options};
use crate::desired::DesiredAccount;
use crate::desired::regional::AccountRole;
use crate::model::claims::TrustedClaims;
use crate::model::finding::Finding;
use crate::model::mapping::Mapping;
use crate::model::nkey::PublicKey;
use crate::model::prefixes::{OWN_JS_PREFIX, is_below};
use crate::model::virtual_stream::Layout;
use crate::observed::survey::ObservedAccount;
use crate::observed::{AccountOnServer, Live, Stored};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Stage in which a token is pushed. Every server must confirm each stage before the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Regional accounts gain exports.
    RegionalExports,
    /// The application's account gains exports, imports, and the mappings back to its own JetStream.
    #[serde(rename = "application_links")]
    ApplicationExportsImports,
    /// Regional accounts gain imports. Streams are made after this.
    RegionalImports,
    /// The account's capturing mappings change. Streams are deleted after this.
    Mappings,
    /// Regional accounts lose imports.
    RegionalImportsGone,
    /// The application's account loses exports, imports, and the mappings back to its own JetStream.
    #[serde(rename = "application_links_gone")]
    ApplicationExportsImportsGone,
    /// Regional accounts lose exports.
    RegionalExportsGone,
}

/// A token to be signed and pushed.
#[derive(Debug, Clone)]
pub struct Push {
    /// Stage of the push.
    pub stage: Stage,
    /// Reason for the push.
    pub reason: Reason,
    /// The claims to sign, once their activation tokens are issued.
    pub claims: TrustedClaims,
    /// Activation tokens that the imports need, including those of the account's earlier stages.
    pub activations: Vec<ActivationRequest>,
    /// The stored token from which the claims were edited; `None` for a new account.
    pub base: Option<String>,
    /// The largest `iat` (seconds) of a stored token by a trusted key.
    pub newest_iat: u64,
}

/// Reason for a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The claims change.
    Changed,
    /// These servers have another token than the newest, or none.
    Repair(Vec<String>),
}

/// Facts beyond the account whose claims are edited.
#[derive(Debug, Clone, Copy)]
pub(super) struct PushContext<'a> {
    /// All accounts of the definition, for their activation tokens.
    pub peers: &'a [Peer<'a>],
    /// The claims of the application's account that a regional account serves.
    pub application: Option<&'a TrustedClaims>,
    pub options: &'a Options,
    /// The time in seconds since 1970.
    pub now: u64,
}

/// All pushes of an account, and their changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Pushes {
    pub pushes: Vec<Push>,
    pub changes: Vec<ClaimChange>,
    pub findings: Vec<Finding>,
}

/// Claims as they change from stage to stage.
struct Draft<'s> {
    start: &'s Start,
    claims: TrustedClaims,
    activations: Vec<ActivationRequest>,
    out: Pushes,
}

impl<'s> Draft<'s> {
    fn of(start: &'s Start) -> Self {
        Self { start, claims: start.claims.clone(), activations: Vec::new(), out: Pushes::default() }
    }

    /// Ends a stage, and adds a push if `edited` or `mapped` changed anything.
    fn stage(&mut self, stage: Stage, edited: ClaimsEdit, mapped: bool) {
        let changed = mapped || !edited.is_empty();
        let ClaimsEdit { changes, activations, findings } = edited;
        self.out.changes.extend(changes);
        self.activations.extend(activations);
        self.out.findings.extend(findings);
        if changed {
            self.push(stage, Reason::Changed);
        }
    }

    fn push(&mut self, stage: Stage, reason: Reason) {
        self.out.pushes.push(Push {
            stage,
            reason,
            claims: self.claims.clone(),
            activations: self.activations.clone(),
            base: self.start.token.clone(),
            newest_iat: self.start.newest_iat,
        });
    }

    /// Adds a push of the newest token for servers that lack it, unless there is a push up to this stage anyway. What
    /// later stages and removals build on must be in force on them as well.
    fn repair(mut self, stage: Stage, found: &ObservedAccount) -> Pushes {
        if self.out.pushes.is_empty() && self.start.merged {
            self.push(stage, Reason::Changed);
        }
        if let (true, Some(token)) = (self.out.pushes.iter().all(|push| push.stage > stage), &self.start.token) {
            let behind: Vec<String> =
                found.servers.iter().filter(|server| is_behind(server, token)).map(|s| s.server.clone()).collect();
            if !behind.is_empty() {
                self.claims = self.start.claims.clone();
                self.activations.clear();
                self.push(stage, Reason::Repair(behind));
                self.out.pushes.rotate_right(1);
            }
        }
        self.out
    }
}

/// Returns the pushes that bring the account to its desired state.
pub(super) fn pushes(
    desired: &DesiredAccount<'_>,
    start: &Start,
    found: &ObservedAccount,
    mappings: &MappingPlan,
    context: &PushContext<'_>,
) -> Pushes {
    let PushContext { peers, application, options, now } = *context;
    let mut draft = Draft::of(start);
    match desired.account_role {
        AccountRole::Regional(_) => {
            let mut edited =
                exports_imports::init_claims(&mut draft.claims, desired, application, start.token.is_none());
            for (_, key) in options.signing_keys.iter().filter(|(id, _): &&(PublicKey, PublicKey)| *id == desired.id) {
                edited.append(exports_imports::signing_key(&mut draft.claims, key));
            }
            edited.append(exports_imports::exports(&mut draft.claims, desired, options));
            draft.stage(Stage::RegionalExports, edited, start.merged);
            let edited = exports_imports::imports(&mut draft.claims, desired, peers, options, now);
            draft.stage(Stage::RegionalImports, edited, false);
            let edited = exports_imports::close_exports(&mut draft.claims, desired, options);
            draft.stage(Stage::RegionalExportsGone, edited, false);
            draft.repair(Stage::RegionalImports, found)
        }
        AccountRole::Application => {
            let (own_js, captures): (Vec<_>, Vec<_>) = mappings
                .changes
                .iter()
                .partition(|change| is_own_js_mapping(&change.source) && change.action != Action::Delete);
            let mut edited = exports_imports::exports(&mut draft.claims, desired, options);
            edited.append(exports_imports::imports(&mut draft.claims, desired, peers, options, now));
            edited.append(exports_imports::close_exports(&mut draft.claims, desired, options));
            edited.append(exports_imports::restrict(&mut draft.claims, desired));
            let mapped = edit(&mut draft.claims, &own_js, desired);
            // Entries that another tool's push removed must be in force again before the streams are made, because the
            // run makes them through these entries.
            let taken_back = start.merged && desired.account.layout == Layout::Regional;
            draft.stage(Stage::ApplicationExportsImports, edited, mapped || taken_back);
            let mapped = edit(&mut draft.claims, &captures, desired);
            draft.stage(Stage::Mappings, ClaimsEdit::default(), mapped);
            draft.repair(Stage::Mappings, found)
        }
    }
}

/// Returns the push that sets one mapping and changes nothing else.
pub(super) fn setting(start: &Start, mapping: &Mapping) -> Vec<Push> {
    let mut draft = Draft::of(start);
    let mapped = draft.claims.set_mapping(mapping);
    draft.stage(Stage::ApplicationExportsImports, ClaimsEdit::default(), mapped || start.merged);
    draft.out.pushes
}

/// Returns the pushes that remove the mappings of `removals`. With `all`, they also remove everything that belongs to
/// them.
pub(super) fn removal(
    desired: &DesiredAccount<'_>,
    start: &Start,
    found: &ObservedAccount,
    removals: &MappingPlan,
    all: bool,
) -> Pushes {
    let mut draft = Draft::of(start);
    let (own_js, captures): (Vec<_>, Vec<_>) =
        removals.changes.iter().partition(|change| is_own_js_mapping(&change.source));
    let mapped = edit(&mut draft.claims, &captures, desired);
    draft.stage(Stage::Mappings, ClaimsEdit::default(), mapped);
    if all {
        match desired.account_role {
            AccountRole::Application => {
                let mut edited = exports_imports::remove_imports(&mut draft.claims, |_| true, |_| None);
                edited.append(exports_imports::remove_exports(&mut draft.claims, |_| true, |_| None));
                let mapped = edit(&mut draft.claims, &own_js, desired);
                draft.stage(Stage::ApplicationExportsImportsGone, edited, mapped);
            }
            AccountRole::Regional(_) => {
                let edited = exports_imports::remove_imports(&mut draft.claims, |_| true, |_| None);
                draft.stage(Stage::RegionalImportsGone, edited, false);
                let edited = exports_imports::remove_exports(&mut draft.claims, |_| true, |_| None);
                draft.stage(Stage::RegionalExportsGone, edited, false);
            }
        }
    }
    draft.repair(Stage::Mappings, found)
}

/// Returns `true` for mappings that serve sources and provisioning. They come before the streams, and go after them.
pub(super) fn is_own_js_mapping(source: &str) -> bool {
    is_below(source, OWN_JS_PREFIX)
}

/// Edits the mappings. Returns `true` if any changed.
fn edit(claims: &mut TrustedClaims, changes: &[&MappingChange], desired: &DesiredAccount<'_>) -> bool {
    let wanted: HashMap<&str, &Mapping> = desired.mappings.iter().map(|m| (m.source.as_str(), m)).collect();
    let mut changed = false;
    for change in changes {
        changed |= match (change.action, wanted.get(change.source.as_str())) {
            (Action::Delete, _) => claims.remove_mapping(&change.source),
            (_, Some(mapping)) => claims.set_mapping(mapping),
            (_, None) => false,
        };
    }
    changed
}

/// Returns `true` if a server stores or uses another token than the newest, or the newest in another spelling. Line
/// feeds in a signature keep servers from exchanging tokens (nats-server 2.15 `dirstore.go`, `Merge`).
fn is_behind(server: &AccountOnServer, newest: &str) -> bool {
    let stored = match &server.stored {
        Stored::Token(stored) => stored.trim() != newest,
        Stored::Nothing | Stored::Unclear(_) => true,
        // The copy may be an old one. The run has the server load the account before it pushes.
        Stored::NotKept { cached } => *cached && server.live == Live::NotLoaded,
        // The token that a server uses depends on when it reloads.
        Stored::Outside { token, by_reload: true } => return token.as_deref().map(str::trim) != Some(newest),
        Stored::Outside { token, by_reload: false } => token.as_deref().map(str::trim) != Some(newest),
        Stored::NoAnswer => false,
    };
    let live = match &server.live {
        Live::Loaded(detail) => detail.jwt.trim() != newest,
        Live::NotLoaded | Live::NoAnswer | Live::Failed(_) => false,
    };
    stored || live
}
