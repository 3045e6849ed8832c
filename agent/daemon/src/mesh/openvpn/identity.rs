//! What a machine shows on OpenVPN: born here, kept in the state folder. As the server a certificate, and as one of the others a
//! secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e3_client::files::{private_folder, read_secret, write_secret};
use e3_core::digest::Digest;
use e3_core::mesh::NotJoined;
use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use zeroize::Zeroizing;

use super::NAME;
use crate::mesh::{key, unable};
use crate::shared::Shared;

/// Where the private key begins, and where the certificate does.
const BEGIN: [&str; 2] = ["-----BEGIN PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----"];

/// What a machine shows.
pub(super) struct Identity {
    /// 32 bytes in base64.
    pub(super) secret: Zeroizing<String>,
    /// As PEM.
    pub(super) key: Zeroizing<String>,
    /// As PEM.
    pub(super) certificate: String,
    /// The digests of certificate and secret, in base64.
    pub(super) public: String,
}

/// What the others know of it.
pub(super) struct Digests {
    pub(super) certificate: Digest,
    pub(super) secret: Digest,
}

impl Digests {
    /// Those in a key of the roster; none if it is none.
    pub(super) fn read(key: &str) -> Option<Self> {
        let bytes: [u8; 64] = STANDARD.decode(key).ok()?.try_into().ok()?;
        let (certificate, secret) = bytes.split_at(32);
        Some(Self {
            certificate: Digest::from_bytes(certificate.try_into().ok()?),
            secret: Digest::from_bytes(secret.try_into().ok()?),
        })
    }
}

impl Identity {
    /// The one of this machine, made if there is none; its public half is told to the fleet.
    pub(super) fn of(shared: &Shared) -> Result<Self, NotJoined> {
        let folder = key::folder(shared, NAME);
        // One file, so that there is never one part without the others.
        let path = folder.join("key");
        if !path.exists() {
            let new = make().map_err(|error| unable(&error))?;
            private_folder(&folder).map_err(|error| unable(&error))?;
            write_secret(&path, new.as_bytes()).map_err(|error| unable(&error))?;
        }
        let text = read_secret(&path).map_err(|error| unable(&error))?;
        let identity = Self::read(&text).ok_or_else(|| NotJoined::Unable {
            detail: format!("{} is no key; remove it for a new one", path.display()),
        })?;
        shared.board.mesh_key(NAME, &identity.public);
        Ok(identity)
    }

    fn read(text: &str) -> Option<Self> {
        let (secret, rest) = text.split_at(text.find(BEGIN[0])?);
        let (key, certificate) = rest.split_at(rest.find(BEGIN[1])?);
        let body: String = certificate
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let certified = Digest::of(&STANDARD.decode(body).ok()?);
        let secret = secret.strip_suffix('\n').filter(|text| !text.is_empty())?;
        let digests = [
            *certified.as_bytes(),
            *Digest::of(secret.as_bytes()).as_bytes(),
        ];
        Some(Self {
            secret: Zeroizing::new(secret.to_owned()),
            key: Zeroizing::new(key.to_owned()),
            certificate: certificate.to_owned(),
            public: STANDARD.encode(digests.concat()),
        })
    }
}

/// All of it in one. The certificate is valid at all times (RFC 5280, 4.1.2.5, has 9999 for that): the head says whether it is
/// accepted, and a board without a clock must join, too.
fn make() -> Result<Zeroizing<String>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "e3");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    let key = Zeroizing::new(key.serialize_pem());
    let secret = Zeroizing::new(STANDARD.encode(*e3_client::random::bytes32()));
    Ok(Zeroizing::new(format!(
        "{}\n{}{certificate}",
        *secret, *key
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_read_again_and_known_by_its_digests() {
        let (one, other) = (make().unwrap(), make().unwrap());
        let [one, again, other] = [&one, &one, &other].map(|text| Identity::read(text).unwrap());
        assert!(one.key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(one.key.ends_with("-----END PRIVATE KEY-----\n"));
        assert!(one.certificate.ends_with("-----END CERTIFICATE-----\n"));
        assert_eq!(one.public, again.public);
        assert_ne!(one.public, other.public);
        let digests = Digests::read(&one.public).unwrap();
        assert_eq!(digests.secret, Digest::of(one.secret.as_bytes()));
        assert_ne!(digests.certificate, digests.secret);
        // A part of it, or a key of something else.
        assert!(Identity::read("").is_none());
        assert!(Identity::read(&one.key).is_none());
        assert!(Digests::read(&STANDARD.encode([1; 32])).is_none());
    }
}
