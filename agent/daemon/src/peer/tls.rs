//! TLS 1.3 with raw public keys (RFC 7250): the identity key itself is the certificate.
//!
//! No authority, no names, no expiry: a connection is to the key it was made for, or it is not made.
//! Signatures of TLS and of documents cannot be confused: both begin with a context of their own
//! (RFC 8446, section 4.4.3; DSSE's `DSSEv1`).

use std::sync::Arc;
use std::time::Duration;

use e3_client::tls::provider;
use e3_core::key::{PublicKey, SecretKey};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer,
    UnixTime,
};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use zeroize::Zeroizing;

/// A handshake takes one round trip; whoever needs longer has not come to talk.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The protocol that runs inside.
const ALPN: &[u8] = b"e3-agent/1";
/// DER of `SubjectPublicKeyInfo` for Ed25519 (RFC 8410), up to the 32 bytes of the key.
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// DER of `PrivateKeyInfo` version 1 for Ed25519 (RFC 8410), up to the 32 bytes of the seed. ring
/// does not read the version 2 form that key files have.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// This party's side of every connection.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    acceptor: TlsAcceptor,
}

/// Why a connection to a party was not made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The network, or a handshake that failed: somebody else is there.
    #[error("no secure connection")]
    Io(#[from] std::io::Error),
    /// The handshake took too long.
    #[error("no secure connection in time")]
    Timeout,
    /// The other side has shown no usable key.
    #[error("the other side has no Ed25519 identity")]
    NoIdentity,
    /// The own key cannot be used.
    #[error("the identity key cannot be used for TLS")]
    Key(#[source] Error),
}

impl Identity {
    /// Prepares TLS for `key`.
    pub fn new(key: &SecretKey) -> Result<Self, TlsError> {
        let provider = provider();
        let der = Zeroizing::new([PKCS8.as_slice(), key.seed().as_slice()].concat());
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_slice()));
        let signing = provider
            .key_provider
            .load_private_key(der.clone_key())
            .map_err(TlsError::Key)?;
        let certificate = CertificateDer::from(spki(&key.public()).to_vec());
        let certified = Arc::new(CertifiedKey::new(vec![certificate], signing));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Key)?
            .with_client_cert_verifier(Arc::new(AnyKey { provider }))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(
                Arc::clone(&certified),
            )));
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            certified,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    /// Accepts a connection and tells whose it is.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(server::TlsStream<TcpStream>, PublicKey), TlsError> {
        stream.set_nodelay(true)?;
        let handshake = tokio::time::timeout(HANDSHAKE, self.acceptor.accept(stream)).await;
        let stream = handshake.map_err(|_| TlsError::Timeout)??;
        let keys = stream.get_ref().1.peer_certificates();
        let key = keys
            .and_then(|keys| keys.first())
            .and_then(|key| public_key(key.as_ref()));
        Ok((stream, key.ok_or(TlsError::NoIdentity)?))
    }

    /// Makes `stream` a connection to `peer`, or fails, at the latest after `within`.
    pub async fn connect(
        &self,
        stream: TcpStream,
        peer: PublicKey,
        within: Duration,
    ) -> Result<client::TlsStream<TcpStream>, TlsError> {
        stream.set_nodelay(true)?;
        let provider = provider();
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Key)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(OneKey {
                provider,
                spki: spki(&peer),
            }))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                Arc::clone(&self.certified),
            )));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = false;
        let name = ServerName::try_from("party.e3.invalid")
            .expect("a constant DNS name")
            .to_owned();
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        Ok(tokio::time::timeout(within, handshake)
            .await
            .map_err(|_| TlsError::Timeout)??)
    }
}

fn spki(key: &PublicKey) -> [u8; 44] {
    let mut der = [0; 44];
    der[..12].copy_from_slice(&SPKI);
    der[12..].copy_from_slice(key.as_bytes());
    der
}

fn public_key(der: &[u8]) -> Option<PublicKey> {
    let key: &[u8; 32] = der.strip_prefix(&SPKI)?.try_into().ok()?;
    PublicKey::from_bytes(key).ok()
}

fn verify(
    provider: &CryptoProvider,
    message: &[u8],
    key: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = &provider.signature_verification_algorithms;
    verify_tls13_signature_with_raw_key(
        message,
        &SubjectPublicKeyInfoDer::from(key.as_ref()),
        signature,
        algorithms,
    )
}

fn tls12() -> Error {
    Error::General("TLS 1.2 is not spoken here".to_owned())
}

/// Accepts any Ed25519 key that proves itself; whether it is a party's is asked afterwards.
#[derive(Debug)]
struct AnyKey {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let known = public_key(key.as_ref()).map(|_| ClientCertVerified::assertion());
        known.ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12())
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(&self.provider, message, key, signature)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Accepts one key.
#[derive(Debug)]
struct OneKey {
    provider: Arc<CryptoProvider>,
    spki: [u8; 44],
}

impl ServerCertVerifier for OneKey {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if key.as_ref() == self.spki.as_slice() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ))
        }
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12())
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(&self.provider, message, key, signature)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn meet(
        expected: &SecretKey,
        actual: &SecretKey,
    ) -> (Result<(), TlsError>, Option<PublicKey>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Identity::new(actual).unwrap();
        let dialler = SecretKey::from_seed(&[9; 32]);
        let client = Identity::new(&dialler).unwrap();
        let accept = async { server.accept(listener.accept().await.unwrap().0).await };
        let connect = async {
            let stream = TcpStream::connect(address).await.unwrap();
            client.connect(stream, expected.public(), HANDSHAKE).await
        };
        let (accepted, connected) = tokio::join!(accept, connect);
        (connected.map(drop), accepted.ok().map(|(_, key)| key))
    }

    #[tokio::test]
    async fn both_sides_prove_their_identity_key() {
        let key = SecretKey::from_seed(&[1; 32]);
        let (connected, dialler) = meet(&key, &key).await;
        connected.unwrap();
        assert_eq!(dialler, Some(SecretKey::from_seed(&[9; 32]).public()));
    }

    #[tokio::test]
    async fn another_identity_at_the_right_address_is_not_spoken_to() {
        let (connected, _) = meet(
            &SecretKey::from_seed(&[1; 32]),
            &SecretKey::from_seed(&[2; 32]),
        )
        .await;
        assert!(connected.is_err());
    }
}
