//! The party's ephemeral TLS certificate for one session.
//!
//! There is no authority: each party makes one self-signed certificate, all of them together are
//! MPyC's `mpyc_ca.crt`, and the gate pins each connection to the certificate of its party.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use zeroize::Zeroizing;

/// A certificate and its key, both PEM.
pub struct Ephemeral {
    /// For everybody.
    pub certificate: String,
    /// For this party's MPyC.
    pub key: Zeroizing<String>,
}

/// The name by which MPyC looks for party `index`.
fn name(index: usize) -> String {
    format!("MPyC party {index}")
}

/// Makes the certificate of party `index`.
///
/// It is valid at all times (RFC 5280, 4.1.2.5, has 9999 for that): it dies with its session, the gates pin it, and a
/// board without a clock must take part, too.
pub fn make(index: usize) -> Result<Ephemeral, rcgen::Error> {
    let mut params = CertificateParams::default();
    // One distinguished name shared by all certificates would make OpenSSL take them for one another.
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, name(index));
    params.subject_alt_names = vec![SanType::DnsName(name(index).try_into()?)];
    // Not an authority: otherwise one party could sign a certificate in another one's name.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    Ok(Ephemeral {
        certificate,
        key: Zeroizing::new(key.serialize_pem()),
    })
}
