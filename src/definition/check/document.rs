//! The definition as a whole.

use super::checker::Checker;
use crate::definition::problem::Collected;
use crate::definition::{Definition, ResolverConfig, raw};
use crate::model::nkey::KeyKind;
use std::path::Path;

/// Checks the whole definition. Returns `None` if its problems leave no usable definition.
pub(in crate::definition) fn definition(
    document: raw::Document,
    base: &Path,
    problems: &mut Collected,
) -> Option<Definition> {
    let mut checker = Checker { base, problems };
    let raw::Document {
        place,
        version,
        resolver,
        system,
        nsc_store,
        operator,
        tls,
        regions,
        stretch,
        clusters_without_clients,
        accounts,
    } = document;
    if let Some(version) = version.filter(|version| version.value != 1) {
        let message = format!("version {} is not known", version.value);
        checker.report("unknown-value", version.place, message, "write `version: 1`");
    }
    let system = match system {
        Some(raw::SystemAccess { place, credentials, key, context }) => {
            checker.access("the system account", place, credentials, key, context)
        }
        None => checker.missing(place, "system", "add `system: { credentials: FILE }`, access to the system account"),
    };
    let tls = tls.map(|tls| checker.tls(tls));
    let nsc_store = nsc_store.and_then(|path| checker.path(path));
    let operator = operator.and_then(|key| {
        let help = "write the operator's public key, O and 55 more characters; `nsc describe operator` shows it";
        checker.public_key(&key, KeyKind::Operator, help)
    });
    let topology = match regions {
        Some(regions) => checker.topology(regions, stretch, clusters_without_clients),
        None => checker.missing(place, "regions", "add `regions:`, with a name, and `servers:`, for each"),
    };
    let accounts = match accounts {
        Some(accounts) => checker.accounts(accounts, topology.as_ref()),
        None => checker.missing(place, "accounts", "add `accounts:`, with a name, and `id:`, for each"),
    };
    let resolver = match resolver {
        Some(resolver) => checker.resolver(resolver, accounts.as_deref().unwrap_or_default()),
        None => Some(ResolverConfig::Nats),
    };
    Some(Definition {
        resolver: resolver?,
        system: system?,
        nsc_store,
        operator,
        tls,
        topology: topology?,
        accounts: accounts?,
    })
}
