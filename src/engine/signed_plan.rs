//! Compares plan files with the run's plan: their content, and the tokens of signed ones.

use super::clock::now;
use super::planned::Planned;
use super::session::Session;
use super::tokens::SignedPush;
use crate::model::claims::{AccountClaims, Activation};
use crate::observed::connection::Connection;
use crate::plan::file::{File, PlanContent, planned_accounts};
use crate::plan::{Plan, claims_diff, preflight};
use crate::secrets;
use crate::sign::SignedToken;
use serde_json::Value;

/// Error about a token in a signed plan file that differs from the plan.
#[derive(Debug, thiserror::Error)]
#[error("the signed token of account {account} is not what the plan says: {reason}")]
pub struct NotAsPlanned {
    /// The account's name.
    pub account: String,
    /// The difference.
    pub reason: String,
}

/// Returns the content of a plan file. `text` and `changes` are the plan's two views. The caller sets its author.
pub fn content<L: Connection>(
    session: &Session<'_, L>,
    planned: &Planned<'_>,
    definition: Vec<File>,
    text: &str,
    changes: Value,
) -> PlanContent {
    let bases = planned.plan.accounts.iter().zip(&planned.observed.accounts).map(|(account, found)| {
        let (base, _) = session.base(&account.name, &account.id, &found.servers);
        base.map(|base| base.token)
    });
    PlanContent {
        tool: concat!("vstream-jwt ", env!("CARGO_PKG_VERSION")).to_owned(),
        created: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        who: None,
        definition,
        options: planned.options.clone(),
        // Applications choose the names and metadata of streams.
        text: text.lines().map(|line| secrets::hide(line).into_owned()).collect(),
        changes: secrets::hide_json(changes),
        accounts: planned_accounts(&planned.plan, &planned.desired, &planned.observed, bases.collect()),
        signed: None,
    }
}

/// Returns a description of everything that changed since a plan file was written. `planned` is the new plan from its
/// definition.
pub(crate) fn moved<L: Connection>(file: &PlanContent, session: &Session<'_, L>, planned: &Planned<'_>) -> Vec<String> {
    file.moved(&content(session, planned, Vec::new(), "", file.changes.clone()))
}

/// Returns the tokens of a signed plan file after comparing each one with `plan`, which was made again. A token must
/// have the same claims, signed by the operator that sealed the file. It must have activation tokens by the exporters
/// for exactly those imports that need them.
pub(crate) fn tokens(content: &PlanContent, plan: &Plan) -> Result<Vec<SignedPush>, NotAsPlanned> {
    let Some(signed) = &content.signed else { return Ok(Vec::new()) };
    let mut tokens = Vec::new();
    for (index, account) in plan.accounts.iter().enumerate() {
        let wrong = |reason: &str| NotAsPlanned { account: account.name.clone(), reason: reason.to_owned() };
        let in_file = content.accounts.get(index).filter(|other| other.id == account.id);
        let in_file = in_file.map(|account| account.tokens.as_slice()).unwrap_or_default();
        let mut before: Option<(String, u64)> = None;
        for push in &account.pushes {
            let text = in_file.iter().find(|token| token.stage == push.stage).and_then(|token| token.token.as_deref());
            let text = text.ok_or_else(|| wrong("there is none"))?;
            let token = SignedToken::verified(text, &signed.operator).map_err(|error| wrong(&error.to_string()))?;
            let claims = AccountClaims::decode(text).map_err(|error| wrong(&error.to_string()))?;
            if *claims.issuer() != signed.operator {
                return Err(wrong("another key signed it"));
            }
            let newest = before.as_ref().map_or(push.newest_iat, |(_, iat)| *iat);
            if claims.issued_at() <= newest {
                return Err(wrong(&format!(
                    "its iat {} is not later than a stored one ({newest})",
                    claims.issued_at()
                )));
            }
            // If the user allows it, a stored token may be dated in the future. Then one second more suffices.
            if claims.issued_at() > (now() + preflight::CLOCK_SKEW).max(newest + 1) {
                return Err(wrong(&format!("its iat {} is in the future", claims.issued_at())));
            }
            let mut expected = push.claims.clone();
            for request in &push.activations {
                let import = claims.imports().iter().find(|import| request.import.is(import));
                let activation =
                    import.and_then(|import| import.token()).ok_or_else(|| wrong("an activation is missing"))?;
                let judged = Activation::decode(activation).map_err(|error| wrong(&error.to_string()))?;
                let until = request.lifetime.map(|lifetime| now() + lifetime + preflight::CLOCK_SKEW);
                if judged.subject() != request.import.subject
                    || judged.expires().is_some() != until.is_some()
                    || judged.expires() > until
                {
                    return Err(wrong("an activation token is for more than the plan says"));
                }
                let exporter = plan.accounts.iter().find(|account| account.id == request.exporter);
                let exporter = exporter
                    .and_then(|account| account.pushes.last().map(|push| &push.claims).or(account.current.as_ref()));
                if let Some(exporter) = exporter {
                    judged
                        .judge(exporter, &request.importer, &request.import, now())
                        .map_err(|fault| wrong(&format!("an activation token: {fault}")))?;
                }
                expected.set_import(&request.import, Some(activation));
            }
            if content_of(claims.value()) != content_of(expected.value()) {
                let lines = claims_diff(Some(expected.value()), claims.value());
                let shown = lines.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("; ");
                return Err(wrong(&format!("its claims differ: {shown}{}", if lines.len() > 3 { "; …" } else { "" })));
            }
            let base = before.take().map(|(token, _)| token).or_else(|| push.base.clone());
            before = Some((text.to_owned(), claims.issued_at()));
            tokens.push(SignedPush { index, id: account.id.clone(), stage: push.stage, base, token });
        }
    }
    tokens.sort_by_key(|one| one.stage);
    Ok(tokens)
}

/// Returns claims without the fields that a signature adds.
fn content_of(claims: &Value) -> Value {
    let mut claims = claims.clone();
    if let Value::Object(fields) = &mut claims {
        for field in ["iss", "iat", "jti"] {
            fields.shift_remove(field);
        }
    }
    claims
}
