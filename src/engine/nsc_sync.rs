//! The nsc store of a definition. A run compares it with the servers before it pushes anything, and updates it
//! afterwards.

use super::session::Session;
use crate::desired::{self, regional};
use crate::model::claims::OperatorClaims;
use crate::model::finding::{Finding, serialize_bounded};
use crate::model::nkey::PublicKey;
use crate::model::units::format_time;
use crate::model::virtual_stream::RegionalAccounts;
use crate::nsc::{Copy, Store, judge};
use crate::observed::survey::Observed;
use crate::observed::{AccountOnServer, Requests};
use crate::plan::preflight::Base;
use crate::plan::{NSC_STORE_DIFFERS, Options};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The finding about copies in the store that are older than the servers' tokens.
pub const BEHIND: &str = "nsc-store-behind";

/// The result of the comparison; empty without a store.
#[derive(Debug, Default)]
pub struct NscComparison {
    /// Accounts whose copies are older than the servers', or missing.
    pub stale_nsc_copies: Vec<String>,
    /// Findings that stop the run, and one about old copies.
    pub findings: Vec<Finding>,
}

/// Result of writing to the store.
#[derive(Debug, Clone, Serialize)]
pub struct WrittenBack {
    /// The operator's folder in the store.
    pub folder: PathBuf,
    /// Accounts whose tokens were written.
    pub written: Vec<String>,
    /// Reasons why other accounts were not written.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "serialize_bounded")]
    pub findings: Vec<Finding>,
}

/// An account of the definition, as the servers have it.
struct Member {
    name: String,
    id: PublicKey,
    /// `true` if this tool made the account.
    regional: bool,
    base: Option<Base>,
}

/// Compares the definition's nsc store with the tokens on the servers.
pub(crate) fn look<L: Requests>(session: &Session<'_, L>, observed: &Observed) -> NscComparison {
    let Some(path) = &session.definition.nsc_store else { return NscComparison::default() };
    let servers = observed.accounts.iter().map(|account| account.servers.as_slice());
    let members = members(session, servers);
    match Store::open(path, &operators(session)) {
        Err(error) => NscComparison { findings: vec![unusable(path, &error.to_string())], ..NscComparison::default() },
        Ok(store) => {
            let judged = members.iter().map(|member| (member, compare(&store, member)));
            let (mut stale_nsc_copies, mut replaced, mut findings) = (Vec::new(), Vec::new(), Vec::new());
            for (member, copy) in judged {
                match copy {
                    // A new account is on no server yet.
                    Copy::Stale if member.base.is_some() => stale_nsc_copies.push(member.name.clone()),
                    Copy::Differs { .. } => replaced.push(member.name.clone()),
                    _ => {}
                }
                findings.extend(in_the_way(&store, member, copy));
            }
            if !stale_nsc_copies.is_empty() {
                findings.push(Finding::warning(
                    BEHIND,
                    place(store.folder()),
                    format!(
                        "its copies of account {} are older than the servers' or not there: `nsc push -A` would remove \
                         what was pushed since, `nsc push -P` whole accounts",
                        stale_nsc_copies.join(", ")
                    ),
                    "Run apply: it brings them up to date.",
                ));
            }
            stale_nsc_copies.append(&mut replaced);
            NscComparison { stale_nsc_copies, findings }
        }
    }
}

/// Updates the store with the servers' tokens, no matter which tool pushed them. This also makes up for an earlier run
/// that stopped before this step. Returns `None` without a store.
pub async fn write_back<L: Requests>(session: &Session<'_, L>, options: &Options) -> Option<WrittenBack> {
    let path = session.definition.nsc_store.as_ref()?;
    let not_at_all = |reason: String| {
        let findings = vec![unusable(path, &reason)];
        Some(WrittenBack { folder: path.clone(), written: Vec::new(), findings })
    };
    let tokens = match session.tokens().await {
        Ok(tokens) => tokens,
        Err(error) => return not_at_all(error.to_string()),
    };
    let members = members(session, tokens.iter().map(Vec::as_slice));
    // Read again, so that edits made meanwhile are not overwritten.
    let store = match Store::open(path, &operators(session)) {
        Ok(store) => store,
        Err(error) => return not_at_all(error.to_string()),
    };
    let mut back = WrittenBack { folder: store.folder().to_owned(), written: Vec::new(), findings: Vec::new() };
    for member in &members {
        let Some(base) = &member.base else { continue };
        let copy = compare(&store, member);
        let allowed = matches!(copy, Copy::Differs { .. }) && options.allows(NSC_STORE_DIFFERS);
        if copy != Copy::Stale && !allowed {
            back.findings.extend(in_the_way(&store, member, copy));
            continue;
        }
        match store.write(&member.id, base.claims.name(), &base.token) {
            Ok(()) => back.written.push(member.name.clone()),
            Err(error) => back.findings.push(unusable(store.folder(), &error.to_string())),
        }
    }
    Some(back)
}

fn compare(store: &Store, member: &Member) -> Copy {
    let Member { name, id, regional, base } = member;
    judge(store, id, name, *regional, base.as_ref().map(|base| (base.token.as_str(), &*base.claims)))
}

fn members<'t, L>(session: &Session<'_, L>, servers: impl Iterator<Item = &'t [AccountOnServer]>) -> Vec<Member> {
    let members = desired::members(session.definition).zip(servers);
    let members = members.map(|((account, region), servers)| {
        let (name, id) = match region {
            None => (account.name.clone(), account.id.clone()),
            Some(region) => (regional::name(account, &region.name), session.regional.get(account, &region.name)),
        };
        let named = matches!(account.regional_accounts, RegionalAccounts::Named(_));
        let (base, _) = session.base(&name, &id, servers);
        Member { name, id, regional: region.is_some() && named, base }
    });
    members.collect()
}

/// Returns the identity of the operator whose signatures count. If only its signing key is known, returns the operators
/// that servers report.
fn operators<L>(session: &Session<'_, L>) -> Vec<PublicKey> {
    if let Some(operator) = session.anchor.operator() {
        return vec![operator.clone()];
    }
    let claims = session.deployment.servers.iter().flat_map(|server| server.varz["trusted_operators_claim"].as_array());
    let operators = claims.flatten().filter_map(|claims| OperatorClaims::from_claims(claims).ok());
    let mut operators: Vec<PublicKey> = operators.map(|operator| operator.identity).collect();
    operators.sort();
    operators.dedup();
    operators
}

fn place(folder: &Path) -> String {
    format!("nsc store {}", folder.display())
}

fn unusable(folder: &Path, reason: &str) -> Finding {
    Finding::error(
        "nsc-store-unusable",
        place(folder),
        format!("what is pushed cannot be written back to it: {reason}"),
        "Name the store of the deployment's operator under `nsc_store` (`nsc env` shows it), or take the key out.",
    )
}

fn in_the_way(store: &Store, member: &Member, copy: Copy) -> Option<Finding> {
    let Member { name, id: _, regional, base } = member;
    let place = format!("{}, account {name}", place(store.folder()));
    let since = base.as_ref().map(|base| format_time(base.claims.issued_at())).unwrap_or_default();
    match copy {
        Copy::Same | Copy::Stale => None,
        Copy::Newer { diff, removes_needed } => {
            let finding = Finding::error(
                "nsc-store-newer",
                place,
                format!(
                    "its copy was edited and not pushed: the servers' token was issued {since}, before it or in the \
                     same second. Pushing it would change"
                ),
                match removes_needed {
                    false => format!(
                        "Push it (`nsc push -a {name}`), then run this again. Or drop the edit: `nsc pull -A -F`."
                    ),
                    true => "Do not push it: that removes what virtual streams need. Take the servers' copy \
                             (`nsc pull -A -F`), make the edit again, `nsc push`, then run this again."
                        .to_owned(),
                },
            );
            Some(finding.lines(diff))
        }
        Copy::Differs { diff } => {
            let finding = Finding::error(
                NSC_STORE_DIFFERS,
                place,
                format!(
                    "its copy is older than the servers' token, which was issued {since}, and says otherwise what \
                     virtual streams have nothing to do with: an edit that was not pushed, or another tool changed it \
                     elsewhere"
                ),
                format!(
                    "Take the servers' copy (`nsc pull -A`) and make the edit again if it was one; or have it replaced: \
                     --allow {NSC_STORE_DIFFERS}."
                ),
            );
            Some(finding.lines(diff))
        }
        Copy::NameTaken { by } => Some(Finding::error(
            "nsc-store-name-taken",
            place,
            format!("nsc knows {by} by that name, so that this account cannot be written there"),
            match regional {
                true => {
                    "Rename the other one (`nsc rename account`), or choose another name under `regional_accounts`."
                }
                false => "Rename the other one: `nsc rename account`.",
            },
        )),
    }
}
