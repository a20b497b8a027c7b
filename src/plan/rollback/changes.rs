//! Lists the changes between two claims of one account, in the form that plans have.

use crate::model::claims::AccountClaims;
use crate::plan::mappings::{MappingChange, MappingPlan};
use crate::plan::{Action, ClaimChange, ClaimPart};
use serde_json::Value;
use std::collections::HashSet;

pub(super) fn mappings(current: &AccountClaims, goal: &AccountClaims) -> MappingPlan {
    let (before, after) = (current.mappings(), goal.mappings());
    let mut changes = Vec::new();
    for mapping in &after {
        let was = before.iter().find(|other| other.source == mapping.source);
        let action = match was {
            Some(was) if was == mapping => continue,
            Some(_) => Action::Update,
            None => Action::Create,
        };
        changes.push(MappingChange {
            action,
            source: mapping.source.clone(),
            before: was.map(|was| was.destinations.clone()),
            after: Some(mapping.destinations.clone()),
        });
    }
    let gone = before.iter().filter(|was| after.iter().all(|mapping| mapping.source != was.source));
    changes.extend(gone.map(|was| MappingChange {
        action: Action::Delete,
        source: was.source.clone(),
        before: Some(was.destinations.clone()),
        after: None,
    }));
    // Restored entries were in force before. Lint reports problems with them as with any entry of ours.
    let ours: HashSet<String> = changes.iter().map(|change| change.source.clone()).collect();
    MappingPlan { changes, ours, ..MappingPlan::default() }
}

/// Returns the changes other than mappings.
pub(super) fn claims(current: &AccountClaims, goal: &AccountClaims) -> Vec<ClaimChange> {
    let mut changes = Vec::new();
    let mut compare = |what: ClaimPart, before: Vec<(String, Value)>, after: Vec<(String, Value)>| {
        let of =
            |list: &[(String, Value)], name: &str| list.iter().find(|(other, _)| other == name).map(|(_, v)| v.clone());
        let names: Vec<&String> = after.iter().chain(&before).map(|(name, _)| name).collect();
        let mut seen = HashSet::new();
        for name in names.into_iter().filter(|name| seen.insert(*name)) {
            let action = match (of(&before, name), of(&after, name)) {
                (before, after) if before == after => continue,
                (None, _) => Action::Create,
                (_, None) => Action::Delete,
                _ => Action::Update,
            };
            let (name, account) = match name.split_once(FROM) {
                Some((name, account)) => (name.to_owned(), Some(account.to_owned())),
                None => (name.clone(), None),
            };
            changes.push(ClaimChange { action, what, name, account, why: None });
        }
    };
    compare(ClaimPart::Export, exports(current), exports(goal));
    compare(ClaimPart::Import, imports(current), imports(goal));
    compare(ClaimPart::Limit, fields(current, "limits"), fields(goal, "limits"));
    compare(ClaimPart::DefaultPermissions, fields(current, "default_permissions"), fields(goal, "default_permissions"));
    compare(ClaimPart::Tag, tags(current), tags(goal));
    changes
}

fn exports(claims: &AccountClaims) -> Vec<(String, Value)> {
    list(claims, "exports", |entry| entry["subject"].as_str().unwrap_or_default().to_owned())
}

/// Separator between the local subject of an import and its account. Imports from several accounts may have the same
/// local subject.
const FROM: &str = " of ";

fn imports(claims: &AccountClaims) -> Vec<(String, Value)> {
    let local = |entry: &Value| {
        ["local_subject", "to", "subject"].iter().find_map(|name| entry[*name].as_str().map(str::to_owned))
    };
    list(claims, "imports", move |entry| {
        format!("{}{FROM}{}", local(entry).unwrap_or_default(), entry["account"].as_str().unwrap_or_default())
    })
}

fn tags(claims: &AccountClaims) -> Vec<(String, Value)> {
    list(claims, "tags", |tag| tag.as_str().unwrap_or_default().to_owned())
}

fn list(claims: &AccountClaims, name: &str, of: impl Fn(&Value) -> String) -> Vec<(String, Value)> {
    let entries = claims.value()["nats"][name].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|entry| (of(entry), entry.clone())).collect()
}

fn fields(claims: &AccountClaims, name: &str) -> Vec<(String, Value)> {
    let fields = claims.value()["nats"][name].as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}
