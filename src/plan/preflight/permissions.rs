//! Compares the permissions of the users that a run uses with those that its plan needs.

use crate::model::claims::AccountClaims;
use crate::model::finding::{Finding, Severity};
use crate::model::subject::SubjectFilter;
use crate::observed::User;
use crate::plan::{AccountPlan, Action};
use serde_json::Value;

/// Returns the subjects on which a run publishes in the account to change its streams and consumers. Servers check
/// permissions on the mapped subject, so the prefix of the API does not matter.
pub fn requests(account: &AccountPlan) -> Vec<String> {
    let streams = account.streams.changes.iter().flat_map(|change| {
        let verbs: &[&str] = match (change.action, &change.history) {
            (Action::Create, None) if change.loses_first_sequence() => &["CREATE", "UPDATE"],
            (Action::Create, None) => &["CREATE"],
            // The run reads the stream or consumer right before the update.
            (Action::Update, None) => &["INFO", "UPDATE"],
            (Action::Delete, _) => &["INFO", "DELETE"],
            (Action::Create, Some(_)) => &["CREATE", "INFO", "MSG.GET", "UPDATE"],
            (Action::Update, Some(_)) => &["INFO", "MSG.GET", "UPDATE"],
        };
        verbs.iter().map(|verb| format!("$JS.API.STREAM.{verb}.{}", change.name))
    });
    let consumers = account.consumers.changes.iter().flat_map(|change| {
        let verbs: &[&str] = if change.action == Action::Update { &["INFO", "CREATE"] } else { &["CREATE"] };
        verbs.iter().map(|verb| format!("$JS.API.CONSUMER.{verb}.{}.{}", change.stream, change.name))
    });
    streams.chain(consumers).collect()
}

/// Returns the subjects on which a run publishes in the application's account to backfill a regional account's streams.
pub fn history_requests(regional: &AccountPlan) -> impl Iterator<Item = String> {
    let old = regional.streams.changes.iter().filter_map(|change| Some(&change.history.as_ref()?.from));
    old.flat_map(|from| ["STREAM.INFO", "STREAM.MSG.GET", "CONSUMER.LIST"].map(|verb| format!("$JS.API.{verb}.{from}")))
}

/// Use of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Publishing on it.
    Publish,
    /// Subscribing to it. If a narrower rule denies part of the subject, servers withhold that part without an error.
    /// So ask for each subject that must be received, too.
    Subscribe,
}

/// Reports the subjects of `needed` on which `user` may not publish, or to which it may not subscribe. `account` are
/// the claims of the user's account, with scopes and default permissions. Without these claims, only the user's own
/// permissions are known.
pub fn permissions(
    place: &str,
    user: &User,
    account: Option<&AccountClaims>,
    verb: Verb,
    needed: &[String],
) -> Option<Finding> {
    let rules = rules(user, account, verb);
    // The server fills in `{{name()}}` in a scope.
    let unclear = rules.0.iter().chain(&rules.1).any(|rule| rule.contains("{{"));
    let denied: Vec<&str> = needed
        .iter()
        .map(String::as_str)
        .filter(|subject| SubjectFilter::parse(subject).is_ok_and(|subject| allowed(&rules, &subject) == Some(false)))
        .collect();
    if denied.is_empty() || unclear {
        return None;
    }
    const SHOWN: usize = 3;
    let more = match denied.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more subjects"),
    };
    let shown = denied.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    let (may_not, so, allow) = match verb {
        Verb::Publish => ("publish on", "the run would stop on its way", "publish there"),
        Verb::Subscribe => ("subscribe to", "it would not notice concurrent pushes of other tools", "subscribe to it"),
    };
    Some(Finding::error(
        "permission-missing",
        format!("{place}, {}", user.place),
        format!("the user {} may not {may_not} {shown}{more}: {so}", user.name()),
        format!("Allow the user to {allow}, or name other credentials."),
    ))
}

/// Subjects on which a run publishes to read an application's account, and to check what it made.
const READS: [&str; 2] = ["$JS.API.INFO", "$JS.API.STREAM.LIST"];

/// Checks the user against the permissions that the account's new tokens bring. `restrict_users` in the first of
/// several stages must not lock out the user that the run then makes the streams with. Users with permissions of their
/// own are not affected.
pub fn permissions_brought(place: &str, user: &User, account: &AccountPlan, needed: &[String]) -> Option<Finding> {
    let needed: Vec<String> = needed.iter().cloned().chain(READS.map(str::to_owned)).collect();
    let mut brought = account.pushes.iter().filter(|push| {
        let before = account.current.as_ref().map(|current| current.default_permissions());
        before != Some(push.claims.default_permissions())
    });
    brought.find_map(|push| {
        let finding = permissions(place, user, Some(&push.claims), Verb::Publish, &needed)?;
        let message = format!(
            "by the permissions that this plan brings for users without any of their own (`restrict_users`), {}: it would \
             lock itself out",
            finding.message.strip_suffix(": the run would stop on its way").unwrap_or(&finding.message)
        );
        let next = "Give that user permissions of its own (docs/permissions.md), or name the account's `key:` instead \
                    of credentials; or leave out `restrict_users`.";
        Some(Finding { message, next: next.to_owned(), ..finding })
    })
}

/// Turns the finding into severity info, for a run that only reads.
pub fn as_information(finding: Finding) -> Finding {
    Finding { severity: Severity::Info, ..finding }
}

/// Returns the user's rules for a use: its own, those of the scope that issued it, or the account's defaults
/// (nats-server 2.15 `auth.go`, `processClientOrLeafAuthentication`).
fn rules(user: &User, account: Option<&AccountClaims>, verb: Verb) -> (Vec<String>, Vec<String>) {
    let nats = &user.claims["nats"];
    let issuer = user.claims["iss"].as_str().unwrap_or_default();
    let scope = account.and_then(|account| {
        let mut keys = account.signing_keys().iter();
        keys.find(|key| key.key.to_string() == issuer)?.scope.as_ref().map(|scope| &scope.template)
    });
    let own = scope.unwrap_or(nats);
    let list = |side: &str, rule: &str| subjects(&own[side][rule]);
    let any = ["pub", "sub"].iter().any(|side| !list(side, "allow").is_empty() || !list(side, "deny").is_empty());
    match account {
        Some(account) if !any && !own["resp"].is_object() => {
            let defaults = account.default_permissions();
            let rules = if verb == Verb::Publish { &defaults.publish } else { &defaults.subscribe };
            (rules.allow.clone(), rules.deny.clone())
        }
        _ => {
            let side = if verb == Verb::Publish { "pub" } else { "sub" };
            (list(side, "allow"), list(side, "deny"))
        }
    }
}

/// Returns the subjects of a list in a token.
pub(super) fn subjects(rules: &Value) -> Vec<String> {
    rules.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Returns the rules as they could apply to any user: `{{name()}}`, which servers fill in per user, becomes `*`.
pub(super) fn any_user(rules: &[String]) -> Vec<SubjectFilter> {
    let any = |token| if str::contains(token, "{{") { "*" } else { token };
    filters(&rules.iter().map(|rule| rule.split('.').map(any).collect::<Vec<_>>().join(".")).collect::<Vec<_>>())
}

/// Returns only the rules that are the same for all users.
pub(super) fn for_all(rules: &[String]) -> Vec<SubjectFilter> {
    filters(&rules.iter().filter(|rule| !rule.contains("{{")).cloned().collect::<Vec<_>>())
}

/// Returns `true` if a user may use a subject, and `false` if not. Returns `None` if the answer depends on text that a
/// server fills into a scope, or on unknown claims of the account.
pub fn may(user: &User, account: Option<&AccountClaims>, verb: Verb, subject: &SubjectFilter) -> Option<bool> {
    let rules = rules(user, account, verb);
    let known = account.is_some() || !rules.0.is_empty() || !rules.1.is_empty();
    allowed(&rules, subject).filter(|_| known)
}

/// Returns the answer of [`may`] for these lists of allowed and denied subjects. A rule with a queue group applies only
/// to members of that group, which this tool is not.
fn allowed((allow, deny): &(Vec<String>, Vec<String>), subject: &SubjectFilter) -> Option<bool> {
    let covered = |rules: Vec<SubjectFilter>| rules.iter().any(|rule| rule.covers(subject));
    if covered(for_all(deny)) || (!allow.is_empty() && !covered(any_user(allow))) {
        return Some(false);
    }
    let certain = (allow.is_empty() || covered(for_all(allow))) && !covered(any_user(deny));
    certain.then_some(true)
}

fn filters(rules: &[String]) -> Vec<SubjectFilter> {
    rules.iter().filter_map(|rule| SubjectFilter::parse(rule).ok()).collect()
}
