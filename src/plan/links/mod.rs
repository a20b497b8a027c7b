//! What the regional layout needs in an account's claims beside mappings: exports, imports with their activation
//! tokens, and what a regional account is made with.
//!
//! Claims are edited in place; a change is what an edit changed.

use super::{Action, Options};
use crate::desired::DesiredAccount;
use crate::desired::regional::{self, Seat};
use crate::model::claims::{
    AccountClaims, Activation, Export, Import, ImportSpec, LinkKind, Permissions, TrustedClaims, covers,
};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::model::prefixes::{NEAR, is_below, near};
use crate::model::subject::SubjectFilter;
use crate::model::virtual_stream::{Layout, RegionalAccounts};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

mod requests;

pub(super) use requests::close_exports;
pub use requests::left_open;

/// One thing in an account's claims that is added, changed or taken away; not a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimChange {
    /// What is done.
    pub action: Action,
    /// What it is about.
    pub what: ClaimPart,
    /// The subject of an export, the local subject of an import, the name of a limit, a tag, a key.
    pub name: String,
    /// The other account of an import, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Why, where it is not plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Parts of an account's claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimPart {
    /// The account as a whole.
    Account,
    /// An export.
    Export,
    /// An import.
    Import,
    /// The activation token of an import.
    Activation,
    /// A limit.
    Limit,
    /// A tag.
    Tag,
    /// A signing key of the account.
    SigningKey,
    /// `default_permissions`.
    DefaultPermissions,
}

/// An activation token that has to be issued before the claims can be signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationRequest {
    /// The account that exports, whose key issues it.
    pub exporter: PublicKey,
    /// Its name.
    pub exporter_name: String,
    /// The account that imports.
    pub importer: PublicKey,
    /// The import that it is for.
    pub import: ImportSpec,
    /// For how many seconds it is valid; without end when `None`.
    pub lifetime: Option<u64>,
}

/// What was edited.
#[derive(Debug, Clone, Default)]
pub(super) struct Edited {
    pub changes: Vec<ClaimChange>,
    pub activations: Vec<ActivationRequest>,
    pub findings: Vec<Finding>,
}

impl Edited {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.activations.is_empty()
    }

    pub fn append(&mut self, mut other: Self) {
        self.changes.append(&mut other.changes);
        self.activations.append(&mut other.activations);
        self.findings.append(&mut other.findings);
    }

    fn remove(&mut self, what: ClaimPart, name: &str, why: Option<String>) {
        self.changes.push(ClaimChange { action: Action::Delete, what, name: name.to_owned(), account: None, why });
    }

    fn note(&mut self, action: Action, what: ClaimPart, name: impl Into<String>) {
        self.changes.push(ClaimChange { action, what, name: name.into(), account: None, why: None });
    }
}

/// An account that others import from.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'p> {
    /// Its public key.
    pub id: &'p PublicKey,
    /// Its name.
    pub name: &'p str,
    /// Its claims; `None` for an account that is yet to be made.
    pub claims: Option<&'p TrustedClaims>,
}

/// Names of exports and imports that we make begin so.
const OURS: &str = "vstream ";

/// Whether an export or import is of our making.
pub fn is_ours(name: &str) -> bool {
    name.starts_with(OURS)
}

/// Adds and corrects exports; narrower ones of ours give way to a wider one.
pub(super) fn exports(claims: &mut TrustedClaims, desired: &DesiredAccount<'_>, options: &Options) -> Edited {
    let mut edited = Edited::default();
    let place = |subject: &str| format!("account {}, export {subject}", desired.name);
    for wanted in &desired.exports {
        let kind = wanted.kind.as_str();
        let near = claims.exports().iter().filter(|e| e.kind == kind && nested(&e.subject, &wanted.subject));
        let (same, near): (Vec<Export>, Vec<Export>) = near.cloned().partition(|e| e.subject == wanted.subject);
        let (ours, others): (Vec<Export>, Vec<Export>) = near.into_iter().partition(|export| is_ours(&export.name));
        if same.is_empty() && ours.iter().any(|export| covers(&export.subject, &wanted.subject)) {
            continue;
        }
        let taken = same.iter().find(|export| !is_ours(&export.name) && !options.adopt);
        if let Some(foreign) = taken.or(others.first()) {
            let (message, next) = match taken {
                Some(_) => ("it already, and not for this definition", "or take it over with --adopt."),
                None => ("what overlaps it, and servers refuse a token with both", "or let it export other subjects."),
            };
            edited.findings.push(Finding::error(
                "foreign-export",
                place(&wanted.subject),
                format!("the account exports {message}: {kind} {} ({})", foreign.subject, foreign.name),
                format!("Take that export away, {next}"),
            ));
            if !options.adopt {
                continue;
            }
        }
        // Narrower ones of ours give way to it.
        for export in ours {
            claims.remove_export(wanted.kind, &export.subject);
            edited.note(Action::Delete, ClaimPart::Export, export.subject);
        }
        let action = if same.is_empty() { Action::Create } else { Action::Update };
        if claims.set_export(wanted) {
            edited.note(action, ClaimPart::Export, &wanted.subject);
        }
    }
    edited
}

/// Adds and corrects imports, takes away those that open more than the definition does, and asks for activation tokens
/// where there is none that holds. `now` in seconds since 1970.
pub(super) fn imports(
    claims: &mut TrustedClaims,
    desired: &DesiredAccount<'_>,
    peers: &[Peer<'_>],
    options: &Options,
    now: u64,
) -> Edited {
    let mut edited = requests::close_imports(claims, desired, options);
    edited.append(of_other_clusters(claims, desired));
    let lifetime = desired.account.activation_lifetime;
    for wanted in &desired.imports {
        let Some(wanted) = &make_room(claims, wanted, &desired.name, options, &mut edited) else { continue };
        // One wider import may serve several that are wanted.
        if edited.activations.iter().any(|request| request.import == *wanted) {
            continue;
        }
        let peer = peers.iter().find(|peer| *peer.id == wanted.account);
        let name = peer.map_or_else(|| wanted.account.to_string(), |peer| peer.name.to_owned());
        let local = wanted.local();
        let found = claims.imports().iter().find(|import| is_same(import, wanted));
        let action = if found.is_some() { Action::Update } else { Action::Create };
        let fault = match found.map(|import| import.token()) {
            None => None,
            Some(None) => Some("it has no activation token".to_owned()),
            Some(Some(token)) => {
                token_fault(token, peer.and_then(|peer| peer.claims), claims.id(), wanted, lifetime, now)
            }
        };
        let changed = claims.set_import(wanted, None);
        if changed {
            edited.changes.push(ClaimChange {
                action,
                what: ClaimPart::Import,
                name: local.to_owned(),
                account: Some(name.clone()),
                why: None,
            });
        }
        if action == Action::Create || fault.is_some() {
            edited.activations.push(ActivationRequest {
                exporter: wanted.account.clone(),
                exporter_name: name.clone(),
                importer: claims.id().clone(),
                import: wanted.clone(),
                lifetime,
            });
        }
        if let Some(why) = fault {
            edited.changes.push(ClaimChange {
                action: Action::Update,
                what: ClaimPart::Activation,
                name: local.to_owned(),
                account: Some(name),
                why: Some(why),
            });
        }
    }
    edited
}

/// Takes away what servers would refuse beside a wanted import: service imports that overlap it. Gives the import to
/// have, which may be a wider one that is there, and none where others are in the way.
fn make_room(
    claims: &mut TrustedClaims,
    wanted: &ImportSpec,
    account: &str,
    options: &Options,
    edited: &mut Edited,
) -> Option<ImportSpec> {
    if wanted.kind == LinkKind::Stream || claims.imports().iter().any(|import| is_same(import, wanted)) {
        return Some(wanted.clone());
    }
    let local = wanted.local();
    let near = claims.imports().iter().filter(|import| import.kind == "service" && nested(import.local(), local));
    let (ours, others): (Vec<Import>, Vec<Import>) = near.cloned().partition(|import| is_ours(&import.name));
    let wider = |import: &&Import| import.account == wanted.account.to_string() && covers(import.local(), local);
    if let Some(wider) = ours.iter().find(wider) {
        return ImportSpec::of(wider);
    }
    let (same, others): (Vec<Import>, Vec<Import>) = others.into_iter().partition(|import| import.local() == local);
    let taken = same.first().filter(|_| !options.adopt);
    if let Some(foreign) = taken.or(others.first()) {
        let (message, next) = match taken {
            Some(_) => ("on that subject already", "or take its place with --adopt."),
            None => {
                ("on subjects that overlap it, so that requests would not go to one of them", "or import elsewhere.")
            }
        };
        edited.findings.push(Finding::error(
            "foreign-import",
            format!("account {account}, import {local}"),
            format!(
                "the account has an import {message}: {} ({}), service {} of account {}",
                foreign.local(),
                foreign.name,
                foreign.subject,
                foreign.account
            ),
            format!("Take that import away, {next}"),
        ));
        // Else it is noted all the same: for [`claim_drift`], which asks what is not as desired.
        if !options.adopt {
            return None;
        }
    }
    // What is to come from another account now, and narrower ones of ours, give way to it.
    for import in same.iter().chain(&ours) {
        claims.remove_import(import);
        edited.note(Action::Delete, ClaimPart::Import, import.local());
    }
    Some(wanted.clone())
}

/// Takes away what a regional account imports of clusters that do not use its region any more: their pull requests would
/// be answered by two regions.
fn of_other_clusters(claims: &mut TrustedClaims, desired: &DesiredAccount<'_>) -> Edited {
    let Seat::Regional(region) = desired.seat else { return Edited::default() };
    let application = desired.account.id.to_string();
    let uses = |import: &Import| region.clusters().any(|cluster| is_below(&import.subject, &near(cluster)));
    let clusters = |import: &Import| is_below(&import.subject, NEAR) && import.account == application && !uses(import);
    let why = |_: &str| Some("clients of that cluster do not use this region".to_owned());
    remove_imports(claims, clusters, why)
}

/// Takes away imports of ours that `goes` names; `why` says the reason for one, by its subject.
pub(super) fn remove_imports(
    claims: &mut TrustedClaims,
    goes: impl Fn(&Import) -> bool,
    why: impl Fn(&str) -> Option<String>,
) -> Edited {
    let mut edited = Edited::default();
    let gone = claims.imports().iter().filter(|import| is_ours(&import.name) && goes(import));
    for import in gone.cloned().collect::<Vec<_>>() {
        if claims.remove_import(&import) {
            edited.remove(ClaimPart::Import, import.local(), why(&import.subject));
        }
    }
    edited
}

/// Takes away exports of ours that `goes` names; `why` says the reason for one, by its subject.
pub(super) fn remove_exports(
    claims: &mut TrustedClaims,
    goes: impl Fn(&Export) -> bool,
    why: impl Fn(&str) -> Option<String>,
) -> Edited {
    let mut edited = Edited::default();
    let gone = claims.exports().iter().filter(|export| is_ours(&export.name) && goes(export));
    let gone = gone.filter_map(|export| Some((LinkKind::parse(&export.kind)?, export.subject.clone())));
    for (kind, subject) in gone.collect::<Vec<_>>() {
        if claims.remove_export(kind, &subject) {
            edited.remove(ClaimPart::Export, &subject, why(&subject));
        }
    }
    edited
}

/// What of an account's exports and imports is not as desired, requests that are open and should not be among them, and
/// activation tokens that do not hold.
pub fn claim_drift(
    desired: &DesiredAccount<'_>,
    claims: &TrustedClaims,
    peers: &[Peer<'_>],
    now: u64,
) -> Vec<ClaimChange> {
    let mut claims = claims.clone();
    let adopt = Options { adopt: true, ..Options::default() };
    let mut edited = exports(&mut claims, desired, &adopt);
    edited.append(imports(&mut claims, desired, peers, &adopt, now));
    edited.append(close_exports(&mut claims, desired, &adopt));
    edited.changes
}

fn is_same(import: &Import, wanted: &ImportSpec) -> bool {
    import.kind == wanted.kind.as_str()
        && import.subject == wanted.subject
        && import.local() == wanted.local()
        && import.account == wanted.account.to_string()
}

/// Whether one of two subjects is within the other.
fn nested(one: &str, other: &str) -> bool {
    covers(one, other) || covers(other, one)
}

/// Why an activation token has to be issued anew, if it has.
fn token_fault(
    token: &str,
    exporter: Option<&TrustedClaims>,
    importer: &PublicKey,
    import: &ImportSpec,
    lifetime: Option<u64>,
    now: u64,
) -> Option<String> {
    let activation = match Activation::decode(token) {
        Ok(activation) => activation,
        Err(error) => return Some(error.to_string()),
    };
    let Some(exporter) = exporter else { return Some("the exporting account is new".to_owned()) };
    if let Err(fault) = activation.judge(exporter, importer, import, now) {
        return Some(fault.to_string());
    }
    match (activation.expires(), lifetime) {
        (None, None) => None,
        (None, Some(_)) => Some("it never expires, and `activation_lifetime` says otherwise".to_owned()),
        (Some(_), None) => Some("it expires, and the definition has no `activation_lifetime`".to_owned()),
        // Renewed when a third is left: a weekly run is enough for a month.
        (Some(at), Some(lifetime)) => {
            let left = at.saturating_sub(now);
            (left < lifetime / 3).then(|| format!("it expires in {}", days(left)))
        }
    }
}

fn days(seconds: u64) -> String {
    match seconds {
        s if s < 7200 => format!("{} min", s / 60),
        s if s < 2 * 86_400 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}

/// The claims that a regional account is founded with: no exports yet.
pub(super) fn founding(desired: &DesiredAccount<'_>, application: &TrustedClaims) -> Map<String, Value> {
    let mut nats = Map::new();
    nats.insert("limits".to_owned(), Value::Object(limits(desired, application)));
    nats.insert("default_permissions".to_owned(), json!({ "pub": {}, "sub": {} }));
    nats.insert("authorization".to_owned(), json!({}));
    nats.insert("type".to_owned(), "account".into());
    nats.insert("version".to_owned(), 2.into());
    nats
}

/// Client connections of a regional account: provisioning, and an operator with the `nats` CLI or two.
const CONNECTIONS: i64 = 16;

/// The limits of a regional account: the application's JetStream limits and tiers, a handful of connections, no leaf
/// nodes; the definition's `regional_limits` over these.
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

/// Marks a regional account, and gives it its limits.
pub(super) fn furnish(
    claims: &mut TrustedClaims,
    desired: &DesiredAccount<'_>,
    application: Option<&TrustedClaims>,
    new: bool,
) -> Edited {
    let mut edited = Edited::default();
    let (Seat::Regional(region), Some(application)) = (desired.seat, application) else { return edited };
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
            // Go leaves out what is zero or false.
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
pub(super) fn signing_key(claims: &mut TrustedClaims, key: &PublicKey) -> Edited {
    let mut edited = Edited::default();
    if claims.add_signing_key(key) {
        edited.note(Action::Create, ClaimPart::SigningKey, key.to_string());
    }
    edited
}

/// `restrict_users`: what users without permissions of their own may not do, where the account says nothing yet.
pub(super) fn restrict(claims: &mut TrustedClaims, desired: &DesiredAccount<'_>) -> Edited {
    let mut edited = Edited::default();
    let Some(denied) = &desired.denied else { return edited };
    if *claims.default_permissions() != Permissions::default() {
        return edited;
    }
    if claims.set_default_permissions(denied) {
        let [publish, subscribe] = [&denied.publish, &denied.subscribe].map(|permission| permission.deny.join(", "));
        let what = format!("publish denied: {publish}; subscribe denied: {subscribe}");
        edited.note(Action::Update, ClaimPart::DefaultPermissions, what);
    }
    edited
}

/// Defaults and scopes by which applications may publish on the account's own JetStream: there, a request by the name of
/// a write stream changes or empties it. Said when the account's claims change anyway.
pub(super) fn reachable(desired: &DesiredAccount<'_>, claims: &AccountClaims) -> Option<Finding> {
    if desired.account.layout != Layout::Regional || desired.seat != Seat::Application {
        return None;
    }
    let open = |allow: &[String], deny: &[String]| {
        let own = ["$JS.API.STREAM.PURGE.x", "$JS.API.STREAM.DELETE.x"].map(|s| SubjectFilter::parse(s).ok());
        own.into_iter().flatten().any(|own| {
            let covers =
                |list: &[String]| list.iter().filter_map(|s| SubjectFilter::parse(s).ok()).any(|s| s.covers(&own));
            (allow.is_empty() || covers(allow)) && !covers(deny)
        })
    };
    let defaults = claims.default_permissions();
    let mut who = Vec::new();
    if open(&defaults.publish.allow, &defaults.publish.deny) {
        who.push("users without permissions of their own".to_owned());
    }
    for key in claims.signing_keys() {
        let Some(scope) = &key.scope else { continue };
        let list = |name: &str| -> Vec<String> {
            let items = scope.template["pub"][name].as_array().into_iter().flatten();
            items.filter_map(|s| s.as_str().map(str::to_owned)).collect()
        };
        if open(&list("allow"), &list("deny")) {
            who.push(format!("users of the scoped signing key {}", scope.role));
        }
    }
    let next = match desired.account.restrict_users {
        true => {
            "Deny publishing on `$JS.>` where these permissions are set; `render permissions` says what users need."
        }
        false => {
            "Set `restrict_users: true`, or deny publishing on `$JS.>` where their permissions are set; `render \
             permissions` says what users need."
        }
    };
    (!who.is_empty()).then(|| {
        Finding::warning(
            "users-reach-write-streams",
            format!("account {}", desired.name),
            format!(
                "{} may publish on the account's own JetStream, by `$VSH.>`: a mistake there can empty a write stream",
                who.join(", ")
            ),
            next,
        )
    })
}

/// Limits of an account's claims that its exports and imports exceed.
pub(super) fn exceeded(desired: &DesiredAccount<'_>, claims: &AccountClaims) -> Vec<Finding> {
    let limits = claims.limits();
    let mut findings = Vec::new();
    let place = format!("account {}", desired.name);
    for (what, flag, count, limit) in [
        ("imports", "imports", claims.imports().len(), limits.imports),
        ("exports", "exports", claims.exports().len(), limits.exports),
    ] {
        let over = limit >= 0 && i64::try_from(count).unwrap_or(i64::MAX) > limit;
        if over {
            findings.push(Finding::error(
                "link-limit",
                &place,
                format!("it would have {count} {what}, and its claims allow {limit}: servers would refuse the rest"),
                format!("Raise the limit: `nsc edit account {} --{flag} -1`, then push it.", desired.name),
            ));
        }
    }
    if !limits.wildcards && !desired.exports.is_empty() {
        findings.push(Finding::error(
            "wildcard-exports",
            place,
            "its claims forbid exports with wildcards, which the layout `regional` needs",
            format!("Allow them: `nsc edit account {} --wildcard-exports`, then push it.", desired.name),
        ));
    }
    findings
}

#[cfg(test)]
mod tests;
