//! Checks the signer and the tokens: every server must trust the key, and no token may be too large.

use super::names::names;
use crate::model::claims::{MAX_TOKEN_SIZE, OperatorClaims, TrustAnchor};
use crate::model::finding::Finding;
use crate::model::nkey::PublicKey;
use crate::observed::{Deployment, Server};

/// Refuses a signing key that some server does not trust, or that is not the pinned operator's.
pub fn signer(anchor: &TrustAnchor, deployment: &Deployment, signer: &PublicKey) -> Option<Finding> {
    let key = signer.to_string();
    let distrust: Vec<&Server> =
        deployment.servers.iter().filter(|server| !server.trusted_keys.contains(&key)).collect();
    let Some(first) = distrust.first() else {
        let message = format!("{key} {}", anchor.why_not());
        let next = "Sign with one of that operator's keys; or put its newer token into the keys folder: `nsc describe \
                    operator --raw > keys/operator.jwt`.";
        return anchor.excludes(signer).then(|| Finding::error("signer-untrusted", "operator", message, next));
    };
    let operators: Vec<OperatorClaims> = operators(first);
    let (message, next) = match operators.iter().find(|operator| operator.identity == *signer) {
        Some(operator) => (
            format!("{key} is the identity of operator {}, and strict signing key usage is on", operator.name),
            format!("Sign with one of its signing keys: {}.", list(&operator.signing_keys)),
        ),
        None => (
            format!(
                "{key} is not a key of the operator that these servers trust ({}): they would store the token, \
                 not apply it, and not load the account after their next restart",
                operators.iter().map(|operator| operator.name.as_str()).collect::<Vec<_>>().join(", ")
            ),
            format!(
                "Sign with one of: {}. A new signing key has to be in every server's configuration first.",
                list(&operators.iter().flat_map(OperatorClaims::trusted_keys).collect::<Vec<_>>())
            ),
        ),
    };
    Some(Finding::error("signer-untrusted", names(&distrust), message, next))
}

fn operators(server: &Server) -> Vec<OperatorClaims> {
    let claims = server.varz["trusted_operators_claim"].as_array().into_iter().flatten();
    claims.filter_map(|claims| OperatorClaims::from_claims(claims).ok()).collect()
}

/// Refuses a token of `size` bytes if some server would refuse it.
pub fn size(account: &str, size: usize, deployment: &Deployment) -> Option<Finding> {
    let place = format!("account {account}");
    let next = "Use fewer or shorter mappings: virtual streams with a common root of subjects, or several accounts.";
    if size > MAX_TOKEN_SIZE {
        let message = format!("its token would have {size} bytes; servers refuse tokens over {MAX_TOKEN_SIZE} bytes");
        return Some(Finding::error("token-too-large", place, message, next));
    }
    let small: Vec<&Server> = deployment.servers.iter().filter(|server| server.max_payload < size as u64).collect();
    let least = small.iter().map(|server| server.max_payload).min()?;
    let message = format!("its token would have {size} bytes; max_payload of {} is {least} bytes", names(&small));
    Some(Finding::error("token-too-large", place, message, format!("{next} Or raise max_payload.")))
}

fn list(keys: &[PublicKey]) -> String {
    keys.iter().map(PublicKey::to_string).collect::<Vec<_>>().join(", ")
}
