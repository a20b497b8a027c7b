//! Decides whose signatures count in a run, and reports the source of that knowledge.

use super::names::names;
use crate::model::claims::{Basis, NamedOperator, OperatorClaims, OperatorToken, Trust, TrustAnchor};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::observed::{Deployment, Server};

/// The finding about a definition that pins no operator, if no local file has the operator's token either.
pub const NOT_PINNED: &str = "operator-not-pinned";

/// Returns the keys whose signatures count, and findings about their source. An error stops the run.
///
/// # Errors
/// A finding, if the servers name different operators and no pin or local file decides which of them counts.
pub fn anchor(trust: &Trust, deployment: &Deployment, now: u64) -> Result<(TrustAnchor, Vec<Finding>), Box<Finding>> {
    let named: Vec<(&str, Vec<NamedOperator>)> =
        deployment.servers.iter().map(|server| (server.name.as_str(), operators(server))).collect();
    let anchor = trust.anchor(&named, now).map_err(|differ| {
        Box::new(Finding::error(
            "operators-differ",
            "deployment",
            format!("{differ}; no operator is pinned, so that it is not known whose signatures count"),
            "Pin the right one in the definition, `operator: O…` (`nsc describe operator` shows it), and find out who \
             answers for the others.",
        ))
    })?;
    let refused = trust.refused.iter().map(|(place, reason)| {
        let next = "Put the operator's own token there (`nsc describe operator --raw`), or remove the file.";
        Finding::warning(
            "operator-token-refused",
            place,
            format!("it does not show an operator's keys: {reason}"),
            next,
        )
    });
    let mut findings: Vec<Finding> = refused.collect();
    match anchor.basis() {
        Basis::Servers(operators) if !operators.is_empty() => findings.push(not_pinned(operators)),
        Basis::Pin { operator, .. } | Basis::PinAlone { operator, .. } => {
            findings.extend(another_operator(operator, deployment, &named));
        }
        Basis::Servers(_) | Basis::Token { .. } | Basis::Signer(_) => {}
    }
    Ok((anchor, findings))
}

/// Returns the operator that all servers name, if they agree.
pub(crate) fn named_by_all(deployment: &Deployment) -> Option<PublicKey> {
    let mut named = deployment.servers.iter().map(|server| {
        let operators: Vec<PublicKey> = operators(server).into_iter().map(|named| named.claims.identity).collect();
        <[PublicKey; 1]>::try_from(operators).ok().map(|[operator]| operator)
    });
    let first = named.next()??;
    named.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

fn operators(server: &Server) -> Vec<NamedOperator> {
    let texts = server.varz["trusted_operators_jwt"].as_array().into_iter().flatten().filter_map(|jwt| jwt.as_str());
    let place = format!("the answer of server {}", server.name);
    let tokens: Vec<OperatorToken> = texts.filter_map(|text| OperatorToken::decode(text, &*place).ok()).collect();
    let claims = server.varz["trusted_operators_claim"].as_array().into_iter().flatten();
    let named = claims.filter_map(|value| {
        let claims = OperatorClaims::from_claims(value).ok()?;
        let token = tokens.iter().find(|token| token.claims().identity == claims.identity).cloned();
        Some(NamedOperator { claims, issued_at: value["iat"].as_u64().unwrap_or(0), token })
    });
    named.collect()
}

fn not_pinned(operators: &[PublicKey]) -> Finding {
    let names: Vec<String> = operators.iter().map(PublicKey::to_string).collect();
    Finding::warning(
        NOT_PINNED,
        "operator",
        format!(
            "no operator is pinned, and no local file has its token: it is taken from what the servers answer, which all \
             name {}; that proves nothing",
            names.join(" and ")
        ),
        format!(
            "Compare it with `nsc describe operator`, and pin it in the definition: `operator: {}`.",
            names.first().map_or("O…", String::as_str)
        ),
    )
}

/// Refuses servers that do not name the pinned operator.
fn another_operator(pin: &PublicKey, deployment: &Deployment, named: &[(&str, Vec<NamedOperator>)]) -> Option<Finding> {
    let owns = |named: &NamedOperator| named.claims.identity == *pin || named.claims.signing_keys.contains(pin);
    let others: Vec<usize> = (0..named.len()).filter(|at| !named[*at].1.iter().any(owns)).collect();
    let first = *others.first()?;
    let servers: Vec<&Server> = others.iter().map(|at| &deployment.servers[*at]).collect();
    let theirs: Vec<String> = named[first].1.iter().map(|named| named.claims.identity.to_string()).collect();
    let theirs = if theirs.is_empty() { "none".to_owned() } else { theirs.join(" and ") };
    Some(Finding::error(
        "operators-differ",
        names(&servers),
        format!("the definition pins operator {pin}, and the operator there is {theirs}"),
        "Correct `operator:` in the definition (`nsc describe operator` shows the key), or find out who answers in these \
         servers' names.",
    ))
}
