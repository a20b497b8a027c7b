//! Reports tokens that expire soon, while there is still time to renew them.

use crate::model::claims::{AccountClaims, Activation};
use crate::model::finding::Finding;
use crate::model::units::format_duration;
use crate::observed::User;
use crate::plan::exports_imports::is_ours;

/// Seconds before its end when a token counts as expiring soon. Less than a third of its lifetime must be left, too.
/// Otherwise credentials for an hour would always count.
const SOON: u64 = 14 * 86_400;

/// Returns the seconds left if a token issued at `issued` expires soon. Returns `None` for an expired token. `now` is
/// in seconds since 1970.
fn soon(issued: u64, expires: Option<u64>, now: u64) -> Option<u64> {
    let expires = expires?;
    let left = expires.checked_sub(now).filter(|left| *left > 0)?;
    (left < SOON && left < expires.saturating_sub(issued) / 3).then_some(left)
}

/// Checks an account's token, and those activation tokens of its imports that this tool does not renew.
pub(super) fn account(place: &str, claims: &AccountClaims, now: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(left) = soon(claims.issued_at(), claims.expires(), now) {
        findings.push(Finding::warning(
            "account-expires",
            place,
            format!(
                "its token expires in {}: from then on servers refuse the account's users, and delete the token",
                text(left)
            ),
            "Issue it anew in time: `nsc edit account … --expiry`; tokens that are pushed here keep their expiry.",
        ));
    }
    for import in claims.imports().iter().filter(|import| !is_ours(&import.name)) {
        let Some(activation) = import.token().and_then(|token| Activation::decode(token).ok()) else { continue };
        if let Some(left) = soon(activation.issued_at(), activation.expires(), now) {
            findings.push(Finding::warning(
                "activation-expires",
                format!("{place}, import {}", import.local()),
                format!("its activation token expires in {}: from then on nothing arrives by the import", text(left)),
                "Ask the exporting account for a new one; this tool did not issue it.",
            ));
        }
    }
    findings
}

/// Checks the credentials in use. `run` is the longest time that the run may take, in seconds.
pub fn credentials(place: &str, user: &User, now: u64, run: u64) -> Option<Finding> {
    if user.minted {
        return None;
    }
    let (issued, expires) =
        (user.claims["iat"].as_u64().unwrap_or(0), user.claims["exp"].as_u64().filter(|at| *at > 0));
    let place = format!("{place}, {}", user.place);
    let next = "Issue the user anew, or name the account's `key:` instead of credentials.";
    if let Some(left) = expires.map(|at| at.saturating_sub(now)).filter(|left| *left <= run) {
        let message = format!(
            "the user {} expires in {}, and the run may take {}: servers would disconnect it on the way",
            user.name(),
            text(left),
            text(run)
        );
        return Some(Finding::error("credentials-expire", place, message, next));
    }
    let left = soon(issued, expires, now)?;
    let message = format!("the user {} expires in {}", user.name(), text(left));
    Some(Finding::warning("credentials-expire", place, message, next))
}

/// Formats seconds in days, hours or minutes, rounded.
fn text(seconds: u64) -> String {
    let unit = match seconds {
        172_800.. => 86_400,
        7_200.. => 3_600,
        120.. => 60,
        _ => 1,
    };
    format_duration(i64::try_from(seconds / unit * unit).unwrap_or(i64::MAX).saturating_mul(1_000_000_000))
}
