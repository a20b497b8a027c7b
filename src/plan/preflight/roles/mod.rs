//! Finds users that may publish on virtual names, but not on the mapped subjects. Servers check permissions after
//! mapping (nats-server 2.15, measured). Covers roles and default permissions, which the account's token shows.

use super::permissions::{any_user, for_all, subjects};
use crate::desired::{DesiredAccount, lease};
use crate::model::claims::{AccountClaims, Permission};
use crate::model::finding::{Finding, Severity};
use crate::model::mapping::{Destination, Mapping};
use crate::model::prefixes::{PREFIXES, is_below};
use crate::model::subject::SubjectFilter;
use crate::model::transform::Transform;
use crate::model::virtual_stream::Layout;
use crate::plan::Action;
use crate::plan::allowable::ROLE_LACKS_PERMISSIONS;
use crate::plan::mappings::MappingChange;
use std::collections::{BTreeSet, HashMap};

/// Users with the same permissions.
struct Users {
    /// Name of the users in messages: `users of the role writers`.
    who: String,
    place: String,
    publish: Permission,
}

/// Reports the mapped subjects that each role in `claims` may not publish on. The finding is an error if `changes` stop
/// the role from publishing in all clusters. It is a warning if the role could not publish before either. It is also a
/// warning if users can still publish in some cluster, which may be the one that their role is for.
pub fn roles(desired: &DesiredAccount<'_>, claims: &AccountClaims, changes: &[MappingChange]) -> Vec<Finding> {
    let roles = with_permissions(&desired.name, claims);
    if roles.is_empty() {
        return Vec::new();
    }
    let paths = paths(desired);
    let changed = changes.iter().filter(|change| change.action != Action::Delete);
    let changed: HashMap<&str, &MappingChange> = changed.map(|change| (change.source.as_str(), change)).collect();
    roles.iter().filter_map(|role| lacks(role, &paths, &changed)).collect()
}

fn with_permissions(account: &str, claims: &AccountClaims) -> Vec<Users> {
    let scopes = claims.signing_keys().iter().filter_map(|key| Some((key, key.scope.as_ref()?)));
    let mut roles: Vec<Users> = scopes
        .map(|(key, scope)| {
            let name = if scope.role.is_empty() { key.key.to_string() } else { scope.role.clone() };
            let list = |rule: &str| subjects(&scope.template["pub"][rule]);
            Users {
                who: format!("users of the role {name}"),
                place: format!("account {account}, role {name}"),
                publish: Permission { allow: list("allow"), deny: list("deny") },
            }
        })
        .collect();
    roles.push(Users {
        who: "users without permissions of their own".to_owned(),
        place: format!("account {account}, default permissions"),
        publish: claims.default_permissions().publish.clone(),
    });
    let of_lease = |rule: &str| rule == lease::SUBJECT || is_below(lease::SUBJECT, rule.trim_end_matches(".>"));
    roles.retain(|Users { publish: Permission { allow, deny }, .. }| {
        let restricted = !allow.is_empty() || !deny.is_empty();
        // Users that may take the lease run this tool, and reach real streams by the way back.
        restricted && !allow.iter().any(|rule| of_lease(rule))
    });
    roles
}

/// A subject that applications publish on, and the mapped subjects.
struct Path {
    from: String,
    to: Vec<String>,
    /// The source of the mapping.
    by: String,
}

fn paths(desired: &DesiredAccount<'_>) -> Vec<Path> {
    // Applications do not use this tool's own subjects, and cannot make a virtual stream on any layout.
    let ours = PREFIXES.iter().map(|prefix| prefix.token);
    let unused: Vec<&str> = ours.chain(["$JS.API.STREAM.CREATE", "$JS.API.STREAM.UPDATE"]).collect();
    let used = |mapping: &&Mapping| !unused.iter().any(|prefix| is_below(mapping.source.as_str(), prefix));
    let mapped = desired.mappings.iter().filter(used).map(|mapping| {
        let to: BTreeSet<String> = mapping.destinations.iter().map(|to| to.subject.clone()).collect();
        let from = mapping.source.to_string();
        Path { to: to.into_iter().collect(), by: from.clone(), from }
    });
    let mut all: Vec<Path> = mapped.collect();
    // Acknowledgements have the real name of the stream that delivered the message.
    if desired.account.layout == Layout::Shared {
        all.extend(desired.account.virtual_streams.iter().map(|stream| {
            let name = stream.name.as_str();
            let reads = desired.streams.iter().filter(|read| read.virtual_stream == name && read.role.serves());
            let to = reads.map(|read| format!("$JS.ACK.{}.>", read.name)).collect();
            Path { from: format!("$JS.ACK.{name}.>"), to, by: format!("$JS.API.STREAM.INFO.{name}") }
        }));
    }
    all
}

fn lacks(role: &Users, paths: &[Path], changed: &HashMap<&str, &MappingChange>) -> Option<Finding> {
    let (allow, deny) = (any_user(&role.publish.allow), for_all(&role.publish.deny));
    let denied = |subject: &SubjectFilter| deny.iter().any(|rule| rule.covers(subject));
    let may = |subject: &SubjectFilter| {
        (allow.is_empty() || allow.iter().any(|rule| rule.covers(subject))) && !denied(subject)
    };
    let everything = SubjectFilter::parse(">").ok()?;
    let before: Vec<&SubjectFilter> = if allow.is_empty() { vec![&everything] } else { allow.iter().collect() };
    let mut lost: Vec<(String, String)> = Vec::new();
    let mut is_new = false;
    for Path { from, to, by } in paths {
        let Ok(filter) = SubjectFilter::parse(from) else { continue };
        for part in before.iter().filter_map(|rule| rule.intersection(&filter)).filter(|part| !denied(part)) {
            let becomes =
                |to: &str| SubjectFilter::parse(&Transform::parse_mapping(from, to).ok()?.apply(part.as_str())?).ok();
            let after: Vec<SubjectFilter> = to.iter().filter_map(|to| becomes(to)).collect();
            is_new |= changed.get(by.as_str()).is_some_and(|change| match &change.before {
                None => !after.is_empty() && !after.iter().any(may),
                // Acknowledgements keep the name that they have.
                Some(_) if by != from => false,
                Some(before) => (change.after.iter().flatten()).any(|to| {
                    let of_cluster = |of: &&Destination| of.cluster == to.cluster || of.cluster.is_none();
                    let mut worked = before.iter().filter(of_cluster).filter_map(|of| becomes(&of.subject));
                    becomes(&to.subject).is_some_and(|to| !may(&to)) && worked.any(|before| may(&before))
                }),
            });
            lost.extend(after.iter().filter(|after| !may(after)).map(|after| (part.to_string(), after.to_string())));
        }
    }
    let (from, to) = lost.first()?;
    let more = match lost.len() - 1 {
        0 => String::new(),
        1 => ", and 1 more such subject".to_owned(),
        more => format!(", and {more} more such subjects"),
    };
    let when = if is_new { "would become" } else { "becomes" };
    let finding = Finding::error(
        ROLE_LACKS_PERMISSIONS,
        &role.place,
        format!(
            "{} may publish on {from}, which {when} {to}, where they may not{more}: servers check permissions after \
             mapping, and refuse it",
            role.who
        ),
        format!(
            "Allow it first: `vstream-jwt render permissions` has all that users need. If they publish nothing there, \
             --allow {ROLE_LACKS_PERMISSIONS}."
        ),
    );
    Some(if is_new { finding } else { Finding { severity: Severity::Warning, ..finding } })
}

#[cfg(test)]
mod tests;
