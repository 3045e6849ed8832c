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

/// Makes the certificate of party `index`; `now` in seconds since 1970.
///
/// Valid from a day before to 31 days after now: a session lasts 30 days at most, and clocks differ.
pub fn make(index: usize, now: i64) -> Result<Ephemeral, rcgen::Error> {
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
    let day = 86_400;
    let at = |seconds: i64| {
        rcgen::date_time_ymd(1970, 1, 1)
            + std::time::Duration::from_secs(seconds.max(0).unsigned_abs())
    };
    params.not_before = at(now - day);
    params.not_after = at(now + 31 * day);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    Ok(Ephemeral {
        certificate,
        key: Zeroizing::new(key.serialize_pem()),
    })
}
