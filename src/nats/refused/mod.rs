//! Finds the reason why a server refused a user, from the token of the user's account. Servers report little more than
//! "authorization violation".

use crate::model::claims::AccountClaims;
use crate::model::units::format_time;
use serde_json::Value;

/// The cause, and the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    /// The cause, as a phrase that follows `refused user …:`.
    pub what: String,
    /// The next step, an imperative sentence.
    pub next: String,
}

/// Returns the first cause for which servers refuse the user, in the order of their checks (nats-server 2.15 `auth.go`,
/// `processClientOrLeafAuthentication`; `accounts.go`, `hasIssuer`). `user` has the user's claims, `strict` is the
/// operator's strict signing key usage, and `said` is the server's message. `kind` is the type of the connection
/// (`STANDARD`, `WEBSOCKET`), and `now` is in seconds since 1970.
pub(super) fn cause(
    user: &Value,
    account: &AccountClaims,
    strict: bool,
    said: &str,
    kind: &str,
    now: u64,
) -> Option<Cause> {
    let because = |what: String, next: &str| Some(Cause { what, next: next.to_owned() });
    let text = |field: &str| user[field].as_str().unwrap_or_default();
    let anew = "Make the user anew: `nsc add user --account ACCOUNT --name USER`, and name its credentials.";

    let (issuer, id) = (text("iss"), account.id().to_string());
    let is_identity = issuer == id;
    let signing_key = account.signing_keys().iter().find(|key| key.key.to_string() == issuer);
    if is_identity && strict {
        let what = "the operator has strict signing key usage, and the account's identity signed this user".to_owned();
        return because(what, "Make the user anew by a signing key of the account: `nsc add user … -K KEY`.");
    }
    if !is_identity && signing_key.is_none() {
        let what = format!("the key that signed it, {issuer}, is not (or no more) a signing key of the account");
        return because(what, anew);
    }
    let scope = signing_key.and_then(|key| key.scope.as_ref());
    if let Some(scope) = scope.filter(|_| has_rights(&user["nats"])) {
        let role = &scope.role;
        let what = format!("the scoped signing key of the role {role} signed it, and it has permissions of its own");
        return because(what, "Make the user anew without permissions or limits: they come from the role.");
    }
    if let Some(at) = account.expires().filter(|at| *at <= now) {
        let what = format!("the account's token expired at {}", format_time(at));
        return because(what, "Issue the account's token anew: `nsc edit account NAME --expiry 0`, then `nsc push`.");
    }
    // With a scope, all of these come from its template.
    let rights = scope.map_or(&user["nats"], |scope| &scope.template);
    if rights["bearer_token"] == true && account.limits().disallow_bearer {
        let what = "it is a bearer token, which the account does not allow".to_owned();
        return because(what, anew);
    }
    let kinds = texts(&rights["allowed_connection_types"]);
    if !kinds.is_empty() && !kinds.iter().any(|allowed| allowed.eq_ignore_ascii_case(kind)) {
        let what = format!("it may only connect as {}, and this connection is a {kind} one", kinds.join(", "));
        return because(what, "Allow it connections of this type, or name other credentials.");
    }
    let issued = user["iat"].as_i64().unwrap_or_default();
    let mut revocations = account.revocations().iter();
    let revoked = |key: &str| key == "*" || key == text("sub");
    if let Some(found) = revocations.find(|found| revoked(&found.key) && issued <= found.before) {
        let whom = if found.key == "*" { "all users of the account" } else { "it" };
        let at = format_time(u64::try_from(found.before).unwrap_or_default());
        return because(format!("its account revoked {whom} as issued until {at}"), anew);
    }
    if said.contains("maximum account active connections") {
        let what = format!("all {} connections that its account may have are in use", account.limits().conn);
        return because(what, "Allow the account more: `nsc edit account NAME --conns N`, then `nsc push`.");
    }
    // The remaining causes cannot be checked from here, but there are no others.
    if has_callout(account) && !callout_users(account).any(|key| key == text("sub")) {
        let what =
            "its account has an auth callout, and this user is not one of the `auth_users` that connect without it";
        return because(what.to_owned(), LEFT_ALONE);
    }
    let places = texts(&rights["src"]);
    if !places.is_empty() {
        let what = format!("it may only connect from {}", places.join(", "));
        return because(what, "Run from there, allow it this machine's address, or name other credentials.");
    }
    if let Some(times) = rights["times"].as_array().filter(|times| !times.is_empty()) {
        let range = |time: &Value| {
            let at = |end: &str| time[end].as_str().unwrap_or_default();
            format!("{} – {}", at("start"), at("end"))
        };
        let zone = rights["times_location"].as_str().map(|zone| format!(" ({zone})")).unwrap_or_default();
        let what = format!("it may only connect at {}{zone}", times.iter().map(range).collect::<Vec<_>>().join(", "));
        return because(what, "Run at these times, or name other credentials.");
    }
    None
}

/// Returns the likely cause if the server closed the connection without a message. Some servers do so when an auth
/// callout refuses the user (measured, 2.10.26).
pub(super) fn silent_cause(account: &AccountClaims) -> Option<Cause> {
    has_callout(account).then(|| Cause {
        what: "its account has an auth callout, and some servers say nothing to whom that does not let in".to_owned(),
        next: LEFT_ALONE.to_owned(),
    })
}

const LEFT_ALONE: &str = "Name credentials of a user that the callout leaves alone: `nsc edit authcallout --account NAME --auth-user USER`, then \
     `nsc push`.";

fn has_callout(account: &AccountClaims) -> bool {
    callout_users(account).next().is_some()
}

/// Returns the users that bypass the account's auth callout. Returns none if the account has no callout.
fn callout_users(account: &AccountClaims) -> impl Iterator<Item = &str> {
    let users = account.value().pointer("/nats/authorization/auth_users").and_then(Value::as_array);
    users.into_iter().flatten().filter_map(Value::as_str)
}

/// Checks whether a user has permissions of its own, although only its scope may grant any (nats-io/jwt v2
/// `signingkeys.go`, `ValidateScopedSigner`).
fn has_rights(nats: &Value) -> bool {
    let Some(nats) = nats.as_object() else { return false };
    let any = |value: &Value| match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::String(text) => !text.is_empty(),
        Value::Null => false,
    };
    let claims = ["issuer_account", "tags", "type", "version"];
    nats.iter().any(|(name, value)| !claims.contains(&name.as_str()) && any(value))
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests;
