//! Permissions on an account's own JetStream for users without permissions of their own.

use super::change::{ClaimPart, ClaimsEdit};
use crate::desired::DesiredAccount;
use crate::desired::regional::AccountRole;
use crate::model::claims::{AccountClaims, Permissions, TrustedClaims};
use crate::model::finding::Finding;
use crate::model::subject::SubjectFilter;
use crate::model::virtual_stream::Layout;
use crate::plan::Action;

/// Sets `restrict_users`: denies subjects to users without permissions of their own, unless the account sets default
/// permissions.
pub(in crate::plan) fn restrict(claims: &mut TrustedClaims, desired: &DesiredAccount<'_>) -> ClaimsEdit {
    let mut edited = ClaimsEdit::default();
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

/// Warns of default permissions and scopes that let applications publish on the account's own JetStream. There, a
/// request by the name of a write stream can change or empty the stream. The warning appears only when the account's
/// claims change anyway.
pub(in crate::plan) fn reachable(desired: &DesiredAccount<'_>, claims: &AccountClaims) -> Option<Finding> {
    if desired.account.layout != Layout::Regional || desired.account_role != AccountRole::Application {
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
