//! Lists the receivers of messages on subjects in an account: live subscriptions, and the exports and imports of its
//! claims.

use super::allowable::LISTENERS_UNKNOWN;
use super::exports_imports::is_ours;
use crate::lint::{Listener, ListenerKind};
use crate::model::claims::AccountClaims;
use crate::model::finding::{Finding, Severity};
use crate::observed::RequestError;
use crate::observed::listeners::{Listeners, SUBJECT};

/// A [`Listener`] that owns its texts.
pub(super) struct Listening {
    kind: ListenerKind,
    subject: String,
    who: String,
}

impl Listening {
    pub(super) fn as_listener(&self) -> Listener<'_> {
        let Self { kind, subject, who } = self;
        Listener { kind: *kind, subject, who }
    }
}

/// Returns all listeners of an account, and a warning if some may be unknown.
pub(super) fn listening(account: &str, claims: &AccountClaims, live: &Listeners) -> (Vec<Listening>, Option<Finding>) {
    let mut all = Vec::new();
    let mut add = |kind, subject: &str, who: &str| {
        let (subject, who) = (without_references(subject), who.to_owned());
        all.push(Listening { kind, subject, who });
    };
    // Our own exports are mapped intentionally.
    for export in claims.exports().iter().filter(|export| !is_ours(&export.name)) {
        let kind = match export.kind.as_str() {
            "service" => ListenerKind::ServiceExport,
            _ => ListenerKind::StreamExport,
        };
        add(kind, &export.subject, &export.name);
    }
    for import in claims.imports().iter().filter(|import| !is_ours(&import.name)) {
        let kind = match import.kind.as_str() {
            "service" => ListenerKind::ServiceImport,
            _ => ListenerKind::StreamImport,
        };
        add(kind, import.local(), &import.name);
    }
    let unknown = match live {
        Listeners::NotAsked => None,
        Listeners::Known(subscriptions) => {
            for subscription in subscriptions {
                add(ListenerKind::Subscription, &subscription.subject, &subscription.who);
            }
            None
        }
        Listeners::Unknown(error) => {
            // If servers do not answer, the run can go on. But an administrator can grant a missing permission, or find
            // the user that forges answers.
            let stops = matches!(error, RequestError::Permission(_) | RequestError::TwoAnswers { .. });
            let finding = Finding::warning(
                LISTENERS_UNKNOWN,
                format!("account {account}"),
                format!(
                    "the subscribers of the subjects to be mapped are not known ({error}); they would no longer \
                     receive messages published there"
                ),
                format!(
                    "Allow the system user to publish on `{SUBJECT}`; or ask the owners of the applications, and \
                     --allow {LISTENERS_UNKNOWN}."
                ),
            );
            Some(if stops { Finding { severity: Severity::Error, ..finding } } else { finding })
        }
    };
    (all, unknown)
}

/// Replaces references by wildcards: `mine.$1` → `mine.*`.
fn without_references(subject: &str) -> String {
    subject
        .split('.')
        .map(|token| if token.starts_with('$') && token[1..].parse::<u8>().is_ok() { "*" } else { token })
        .collect::<Vec<_>>()
        .join(".")
}
