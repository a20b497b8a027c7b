//! Throw-away identities of a super-cluster: operator, system account, application account, and one user of each
//! account.

use super::{DevError, DevOptions, files};
use crate::model::nkey::{KeyKind, PublicKey};
use crate::sign::{Seed, SignedToken, Signer as _, issue};
use serde_json::{Value, json};
use std::path::Path;
use zeroize::Zeroizing;

/// Name of the application account.
pub(super) const ACCOUNT: &str = "APP";

/// The identities that the servers' configuration and the definition need.
pub(super) struct Identities {
    pub(super) operator: PublicKey,
    pub(super) operator_token: SignedToken,
    pub(super) system: PublicKey,
    pub(super) system_token: SignedToken,
    pub(super) account: PublicKey,
    pub(super) account_signing_key: PublicKey,
    pub(super) account_token: SignedToken,
}

/// Makes the identities, and writes their seeds and credentials to `keys` with mode 0600.
pub(super) fn make(options: &DevOptions, keys: &Path) -> Result<Identities, DevError> {
    make_all(options, keys).map_err(DevError::identity("the keys"))
}

fn make_all(options: &DevOptions, keys: &Path) -> Result<Identities, Box<dyn std::error::Error>> {
    let iat = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let operator = Seed::generate(KeyKind::Operator)?;
    let operator_signing = Seed::generate(KeyKind::Operator)?;
    let [system, system_signing, app, app_signing] = [0; 4].map(|_| Seed::generate(KeyKind::Account));
    let (system, system_signing, app, app_signing) = (system?, system_signing?, app?, app_signing?);

    for (name, seed) in [
        ("operator-identity.nk", &operator),
        ("op.nk", &operator_signing),
        ("sys-identity.nk", &system),
        ("sys.nk", &system_signing),
        ("app-identity.nk", &app),
        ("app.nk", &app_signing),
    ] {
        files::write_private(&keys.join(name), seed.reveal().as_bytes())?;
    }

    let operator_claims = json!({
        "name": "vstream-dev",
        "sub": operator.public_key(),
        "nats": {
            "signing_keys": [operator_signing.public_key()],
            "system_account": system.public_key(),
            "strict_signing_key_usage": options.strict_signing_keys,
            "type": "operator",
            "version": 2,
        }
    });
    let account_token = |name: &str, identity: &Seed, signing: &Seed, jetstream: i64| {
        issue(&account_claims(name, identity, signing, jetstream), &operator_signing, iat)
    };
    let identities = Identities {
        operator_token: issue(&operator_claims, &operator, iat)?,
        system_token: account_token("SYS", &system, &system_signing, 0)?,
        account_token: account_token(ACCOUNT, &app, &app_signing, -1)?,
        operator: operator.public_key(),
        system: system.public_key(),
        account: app.public_key(),
        account_signing_key: app_signing.public_key(),
    };
    for (name, account, signing) in [("sys", &system, &system_signing), ("app", &app, &app_signing)] {
        let user = Seed::generate(KeyKind::User)?;
        let token = issue(&user_claims(name, &user, &account.public_key()), signing, iat)?;
        files::write_private(&keys.join(format!("{name}.creds")), credentials(&token, &user).as_bytes())?;
    }
    Ok(identities)
}

/// Returns an account's claims. They include all limits, because servers treat a missing limit as 0. `jetstream` is -1
/// (no limit) or 0 (no JetStream).
fn account_claims(name: &str, identity: &Seed, signing: &Seed, jetstream: i64) -> Value {
    json!({
        "name": name,
        "sub": identity.public_key(),
        "nats": {
            "limits": {
                "subs": -1, "data": -1, "payload": -1,
                "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
                "mem_storage": jetstream, "disk_storage": jetstream, "streams": jetstream, "consumer": jetstream,
                "max_ack_pending": jetstream,
            },
            "signing_keys": [signing.public_key()],
            "default_permissions": { "pub": {}, "sub": {} },
            "type": "account",
            "version": 2,
        }
    })
}

fn user_claims(name: &str, user: &Seed, account: &PublicKey) -> Value {
    json!({
        "name": name,
        "sub": user.public_key(),
        "nats": {
            "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
            "issuer_account": account,
            "type": "user",
            "version": 2,
        }
    })
}

/// Returns a `.creds` file in the format that the NATS clients read.
fn credentials(token: &SignedToken, user: &Seed) -> Zeroizing<String> {
    let dashes = "------";
    Zeroizing::new(format!(
        "-----BEGIN NATS USER JWT-----\n{}\n{dashes}END NATS USER JWT{dashes}\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n{dashes}END USER NKEY SEED{dashes}\n",
        token.as_str(),
        user.reveal().as_str()
    ))
}
