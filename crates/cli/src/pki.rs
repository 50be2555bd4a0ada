//! The ledger's own certificate authority for TLS. ECDSA P-256: Java and .NET clients cannot use Ed25519 certificates, whatever people
//! sign with.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

/// A certificate with its key, PEM.
pub struct Certificate {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key, PKCS#8.
    pub key_pem: String,
}

/// A new authority and a server certificate for these host names and addresses.
pub fn authority_and_server(name: &str, hosts: &[String]) -> Result<(Certificate, Certificate), rcgen::Error> {
    let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.distinguished_name.push(DnType::CommonName, format!("{name} certificate authority"));
    let authority_certificate = authority.self_signed(&authority_key)?;

    let server_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut server = CertificateParams::new(hosts.to_vec())?;
    server.distinguished_name.push(DnType::CommonName, format!("{name} ledger"));
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let authority_key_pem = authority_key.serialize_pem();
    let issuer = Issuer::new(authority, authority_key);
    let server_certificate = server.signed_by(&server_key, &issuer)?;
    Ok((
        Certificate { certificate_pem: authority_certificate.pem(), key_pem: authority_key_pem },
        Certificate { certificate_pem: server_certificate.pem(), key_pem: server_key.serialize_pem() },
    ))
}
