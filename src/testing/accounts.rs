//! Accounts as they are in force on servers: where mappings, imports and exports lead a subject (nats-server 2.15
//! `server/accounts.go`).

use super::deployment::Node;
use crate::engine::clock::now;
use crate::model::claims::{AccountClaims, Activation, Import, ImportSpec, covers};
use crate::model::mapping::{Destination, RawMapping};
use crate::model::prefixes::is_below;
use crate::model::transform::Transform;
use crate::observed::jetstream::DEFAULT_PREFIX;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The most accounts that a request goes through.
const MOST_ACCOUNTS: usize = 4;
/// The start of the names of exports and imports that this tool makes.
const OURS: &str = "vstream ";

/// A token of an account, read once.
#[derive(Debug)]
pub(super) struct AccountToken {
    /// The number of the token in its deployment.
    pub(super) number: usize,
    pub(super) text: String,
    pub(super) claims: AccountClaims,
    pub(super) mappings: Vec<RawMapping>,
    /// The outcome for each import and exporter's token, by their numbers.
    judged: Mutex<HashMap<(usize, usize), bool>>,
}

impl AccountToken {
    /// Reads a token; `None` if it is no account's.
    pub(super) fn read(text: &str, number: usize) -> Option<Self> {
        let claims = AccountClaims::decode(text).ok()?;
        let mappings = claims.mappings();
        Some(Self { number, text: text.to_owned(), claims, mappings, judged: Mutex::default() })
    }

    /// Returns the account's public key.
    pub(super) fn id(&self) -> String {
        self.claims.id().to_string()
    }

    /// Returns the subjects of exports and imports that this tool made.
    pub(super) fn exports_and_imports(&self) -> impl Iterator<Item = &str> {
        let exports = self.claims.exports().iter().filter(|export| export.name.starts_with(OURS));
        let imports = self.claims.imports().iter().filter(|import| is_ours(import));
        exports.map(|export| export.subject.as_str()).chain(imports.map(Import::local))
    }

    /// Returns the accounts that serve requests below a prefix.
    pub(super) fn serving<'t>(&'t self, prefix: &'t str) -> impl Iterator<Item = &'t str> {
        let imports = self.claims.imports().iter();
        let services = imports.filter(move |import| import.kind == "service" && is_below(import.local(), prefix));
        services.map(|import| import.account.as_str())
    }

    /// Checks if an import holds, once the exporter has this token.
    fn holds(&self, index: usize, exporter: &Self) -> bool {
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        *judged.entry((index, exporter.number)).or_insert_with(|| self.may_import(index, exporter))
    }

    fn may_import(&self, index: usize, exporter: &Self) -> bool {
        let import = &self.claims.imports()[index];
        let mut exports = exporter.claims.exports().iter();
        let export = exports.find(|export| export.kind == import.kind && covers(&export.subject, &import.subject));
        let (Some(export), Some(wanted)) = (export, ImportSpec::of(import)) else { return false };
        let activation = import.token().and_then(|token| Activation::decode(token).ok());
        let holds =
            |activation: Activation| activation.judge(&exporter.claims, self.claims.id(), &wanted, now()).is_ok();
        !export.token_req || activation.is_some_and(holds)
    }
}

/// Returns `true` if this tool made the import.
pub(super) fn is_ours(import: &Import) -> bool {
    import.name.starts_with(OURS)
}

impl Node {
    /// Returns the imports of a token that do not hold here: the exporter is not loaded, it has no such export, or the
    /// activation token is not valid.
    pub(super) fn broken_imports<'t>(&'t self, token: &'t AccountToken) -> impl Iterator<Item = &'t Import> {
        let imports = token.claims.imports().iter().enumerate();
        imports.filter(move |(index, _)| !self.imports(token, *index)).map(|(_, import)| import)
    }

    fn imports(&self, token: &AccountToken, index: usize) -> bool {
        let exporter = self.live.get(&token.claims.imports()[index].account);
        exporter.is_some_and(|exporter| token.holds(index, exporter))
    }

    /// Returns the account in which a request of an account's client on this server ends, and its subject there. Each
    /// account on the way maps the subject once.
    pub(super) fn follow(&self, account: &str, subject: &str) -> Option<(String, String)> {
        let (mut account, mut subject) = (account.to_owned(), subject.to_owned());
        for _ in 0..MOST_ACCOUNTS {
            let token = self.live.get(&account)?;
            subject = self.mapped(token, &subject);
            let mut imports = token.claims.imports().iter();
            let service = |import: &Import| import.kind == "service" && covers(import.local(), &subject);
            let Some(index) = imports.position(service) else { return Some((account, subject)) };
            if !self.imports(token, index) {
                return None;
            }
            let import = &token.claims.imports()[index];
            subject = Transform::parse(import.local(), &import.subject).ok()?.apply(&subject)?;
            account.clone_from(&import.account);
        }
        None
    }

    /// Maps a subject as this server maps those of its own clients.
    fn mapped(&self, token: &AccountToken, subject: &str) -> String {
        let to = |mapping: &RawMapping| {
            let own = |to: &&Destination| to.cluster.as_deref() == Some(self.cluster.as_str());
            let any = |to: &&Destination| to.cluster.is_none();
            let destinations = &mapping.destinations;
            let to = destinations.iter().find(own).or_else(|| destinations.iter().find(any))?;
            Transform::parse_mapping(&mapping.source, &to.subject).ok()?.apply(subject)
        };
        token.mappings.iter().find_map(to).unwrap_or_else(|| subject.to_owned())
    }

    /// Returns the account with the origin of a source, for a stream in `account` that this server leads. `None` if the
    /// source's request, its messages or their flow control do not get through.
    pub(super) fn origin_of(&self, account: &str, source: &Value) -> Option<String> {
        let external = &source["external"];
        let (Some(api), Some(deliver)) = (external["api"].as_str(), external["deliver"].as_str()) else {
            return Some(account.to_owned());
        };
        let request = format!("CONSUMER.CREATE.{}", source["name"].as_str()?);
        let (origin, asked) = self.follow(account, &format!("{api}.{request}"))?;
        let flows = self.follow(account, "$JS.FC.x").is_some_and(|(controlled, _)| controlled == origin);
        let gets = self.gets(account, &format!("{deliver}.x"), &origin);
        (asked == format!("{DEFAULT_PREFIX}.{request}") && flows && gets).then_some(origin)
    }

    /// Checks if an account gets the messages that another one publishes on a subject.
    fn gets(&self, account: &str, subject: &str, from: &str) -> bool {
        let Some(token) = self.live.get(account) else { return false };
        let mut imports = token.claims.imports().iter().enumerate();
        imports.any(|(index, import)| {
            let brings = import.kind == "stream" && import.account == from && covers(import.local(), subject);
            brings && self.imports(token, index)
        })
    }
}
