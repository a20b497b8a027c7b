//! A throw-away certificate authority, and certificates for the servers and their clients.

use super::{DevError, files};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rcgen::{KeyUsagePurpose, SanType};
use std::net::Ipv4Addr;
use std::path::Path;

/// Writes `ca.pem`, `server.pem`, `server-key.pem`, `client.pem` and `client-key.pem`. The authority's own key is not
/// kept.
pub(super) fn make(folder: &Path) -> Result<(), DevError> {
    make_all(folder).map_err(DevError::identity("the certificates"))
}

fn make_all(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "vstream-jwt dev authority");
    let key = KeyPair::generate()?;
    files::write_private(&folder.join("ca.pem"), params.self_signed(&key)?.pem())?;
    let authority = Issuer::new(params, key);

    for (name, purpose) in
        [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
        params.distinguished_name.push(DnType::CommonName, format!("vstream-jwt dev {name}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        files::write_private(&folder.join(format!("{name}.pem")), params.signed_by(&key, &authority)?.pem())?;
        files::write_private(&folder.join(format!("{name}-key.pem")), key.serialize_pem())?;
    }
    Ok(())
}
