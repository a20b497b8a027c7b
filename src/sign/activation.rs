//! Activation tokens, each for one import.

use super::{SignError, SignedToken, Signer, issue};
use crate::model::claims::ImportSpec;
use crate::model::nkey::PublicKey;
use serde_json::{Map, Value, json};

/// Signs an activation token that lets `importer` import exactly this subject from `exporter`. `signer` is the
/// exporter's identity or one of its signing keys. `expires` and `iat` are in seconds since 1970.
///
/// # Errors
/// [`SignError`]; [`SignError::WrongSigner`] if the signer isn't an account's key.
pub fn issue_activation(
    signer: &dyn Signer,
    exporter: &PublicKey,
    importer: &PublicKey,
    import: &ImportSpec,
    expires: Option<u64>,
    iat: u64,
) -> Result<SignedToken, SignError> {
    let mut nats = Map::new();
    nats.insert("subject".to_owned(), import.subject.as_str().into());
    nats.insert("kind".to_owned(), import.kind.as_str().into());
    if signer.public_key() != *exporter {
        nats.insert("issuer_account".to_owned(), exporter.to_string().into());
    }
    nats.insert("type".to_owned(), "activation".into());
    nats.insert("version".to_owned(), 2.into());
    let mut claims = json!({
        "jti": "", "iat": iat, "iss": "", "name": import.name, "sub": importer.to_string(), "nats": nats,
    });
    if let (Some(at), Some(fields)) = (expires, claims.as_object_mut()) {
        fields.insert("exp".to_owned(), Value::from(at));
    }
    issue(&claims, signer, iat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::claims::{AccountClaims, Activation, ActivationFault, ExportKind};
    use crate::model::nkey::KeyKind;
    use crate::sign::Seed;

    fn import(exporter: &PublicKey) -> ImportSpec {
        ImportSpec {
            name: "x".to_owned(),
            account: exporter.clone(),
            subject: "$VS.west.ACK.>".to_owned(),
            local_subject: "$JS.ACK.>".to_owned(),
            kind: ExportKind::Stream,
        }
    }

    #[test]
    fn a_token_holds_for_its_import_and_no_other() {
        let (identity, other) = (Seed::generate(KeyKind::Account).unwrap(), Seed::generate(KeyKind::Account).unwrap());
        let signing = Seed::generate(KeyKind::Account).unwrap();
        let (exporter, importer) = (identity.public_key(), other.public_key());
        let nats = json!({ "type": "account", "version": 2, "signing_keys": [signing.public_key().to_string()] });
        let claims = AccountClaims::init(&exporter, "EX", nats.as_object().unwrap().clone()).unwrap();
        let wanted = import(&exporter);
        for signer in [&identity, &signing] {
            let token = issue_activation(signer, &exporter, &importer, &wanted, Some(2000), 1000).unwrap();
            let activation = Activation::decode(token.as_str()).unwrap();
            assert_eq!(activation.expires(), Some(2000));
            assert_eq!(activation.judge(&claims, &importer, &wanted, 1500), Ok(()));
            assert_eq!(activation.judge(&claims, &importer, &wanted, 2000), Err(ActivationFault::Expired));
            assert_eq!(
                activation.judge(&claims, &exporter, &wanted, 1500),
                Err(ActivationFault::Importer(importer.clone()))
            );
            let mut wider = wanted.clone();
            wider.subject = "$VS.>".to_owned();
            assert!(matches!(activation.judge(&claims, &importer, &wider, 1500), Err(ActivationFault::Subject { .. })));
        }
        let foreign = issue_activation(&other, &exporter, &importer, &wanted, None, 1000).unwrap();
        let foreign = Activation::decode(foreign.as_str()).unwrap();
        assert_eq!(foreign.judge(&claims, &importer, &wanted, 1500), Err(ActivationFault::Issuer(importer.clone())));
    }
}
