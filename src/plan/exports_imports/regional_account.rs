//! The initial claims of a regional account: limits, tags and keys.

use super::change::{ClaimPart, ClaimsEdit};
use crate::desired::DesiredAccount;
use crate::desired::regional::{self, AccountRole};
use crate::model::claims::TrustedClaims;
use crate::model::nkey::PublicKey;
use crate::model::virtual_stream::RegionalAccounts;
use crate::plan::Action;
use serde_json::{Map, Value, json};

/// Number of client connections that a regional account allows: enough for provisioning, and for one or two users of
/// the `nats` CLI.
const CONNECTIONS: i64 = 16;

/// Returns the initial claims of a regional account, without exports.
pub(in crate::plan) fn initial_claims(desired: &DesiredAccount<'_>, application: &TrustedClaims) -> Map<String, Value> {
    let mut nats = Map::new();
    nats.insert("limits".to_owned(), Value::Object(limits(desired, application)));
    nats.insert("default_permissions".to_owned(), json!({ "pub": {}, "sub": {} }));
    nats.insert("authorization".to_owned(), json!({}));
    nats.insert("type".to_owned(), "account".into());
    nats.insert("version".to_owned(), 2.into());
    nats
}

/// Returns the limits of a regional account: the application's JetStream limits and tiers, a few connections, no leaf
/// nodes. The definition's `regional_limits` override these.
fn limits(desired: &DesiredAccount<'_>, application: &TrustedClaims) -> Map<String, Value> {
    const JETSTREAM: [&str; 9] = [
        "mem_storage",
        "disk_storage",
        "streams",
        "consumer",
        "max_ack_pending",
        "mem_max_stream_bytes",
        "disk_max_stream_bytes",
        "max_bytes_required",
        "tiered_limits",
    ];
    let mut limits = Map::new();
    for (name, value) in [("subs", -1), ("data", -1), ("payload", -1), ("imports", -1), ("exports", -1)] {
        limits.insert(name.to_owned(), value.into());
    }
    limits.insert("wildcards".to_owned(), true.into());
    limits.insert("conn".to_owned(), CONNECTIONS.into());
    limits.insert("leaf".to_owned(), 0.into());
    let theirs = &application.value()["nats"]["limits"];
    for name in JETSTREAM {
        if let Some(value) = theirs.get(name) {
            limits.insert(name.to_owned(), value.clone());
        }
    }
    limits.extend(desired.account.regional_limits.clone());
    limits
}

/// Marks a regional account, and sets its limits.
pub(in crate::plan) fn init_claims(
    claims: &mut TrustedClaims,
    desired: &DesiredAccount<'_>,
    application: Option<&TrustedClaims>,
    new: bool,
) -> ClaimsEdit {
    let mut edited = ClaimsEdit::default();
    let (AccountRole::Regional(region), Some(application)) = (desired.account_role, application) else { return edited };
    if new {
        edited.note(Action::Create, ClaimPart::Account, &desired.name);
    }
    for tag in [regional::application_tag(application.id()), regional::region_tag(&region.name)] {
        if claims.add_tag(&tag) {
            edited.note(Action::Create, ClaimPart::Tag, tag);
        }
    }
    if matches!(desired.account.regional_accounts, RegionalAccounts::Named(_)) {
        for (name, value) in limits(desired, application) {
            // Go omits values that are zero or false.
            let found = &claims.value()["nats"]["limits"][&name];
            if found.is_null() && (value == 0 || value == false) {
                continue;
            }
            if claims.set_limit(&name, value) {
                edited.note(Action::Update, ClaimPart::Limit, name);
            }
        }
    }
    edited
}

/// Adds a signing key to an account whose other keys are lost.
pub(in crate::plan) fn signing_key(claims: &mut TrustedClaims, key: &PublicKey) -> ClaimsEdit {
    let mut edited = ClaimsEdit::default();
    if claims.add_signing_key(key) {
        edited.note(Action::Create, ClaimPart::SigningKey, key.to_string());
    }
    edited
}
