//! The verifier of the handshake: what webpki checks of a chain, then what it leaves out.
//!
//! webpki: path to a root, signatures, dates, path length, name constraints, critical extensions, extended key
//! usage where there is one. Added here: extended key usage must be there; key usage (digitalSignature of the
//! client, keyCertSign of authorities); revocation (see [`super::revocation`]). What kind of holder it is
//! does not matter yet: a wrong class gets an answer that explains, which an alert cannot. Source: B.1.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::revocation::{Revocations, Status};

#[derive(Debug)]
pub(super) struct ClientVerifier {
    webpki: Arc<dyn ClientCertVerifier>,
    revocations: Revocations,
}

impl ClientVerifier {
    pub(super) fn new(
        roots: RootCertStore,
        provider: &Arc<CryptoProvider>,
        revocations: Revocations,
    ) -> Result<Self, VerifierBuilderError> {
        let webpki = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?;
        Ok(Self { webpki, revocations })
    }

    pub(super) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Name (DER) of an authority that had a list and has none now; not one that went together with its root.
    pub(super) fn list_lost_since<'b>(&self, before: &'b Self) -> Option<&'b [u8]> {
        let is_root =
            |verifier: &Self, name: &[u8]| verifier.root_hint_subjects().iter().any(|subject| subject.as_ref() == name);
        let went = |name: &[u8]| is_root(before, name) && !is_root(self, name);
        before.revocations.covered().find(|name| !self.revocations.covers(name) && !went(name))
    }

    /// Until when a chain that was verified stays good if nothing is revoked: the first end of validity in it,
    /// or of a list that vouches for it. Errors: revoked, or no fresh list where there ought to be one.
    pub(super) fn good_until_s(&self, chain: &[CertificateDer<'_>], now_s: i64) -> Result<i64, CertificateError> {
        let parsed = parse(chain)?;
        let mut until_s = i64::MAX;
        for certificate in &parsed {
            // The moment of notAfter itself is still inside.
            until_s = until_s.min(certificate.validity().not_after.timestamp().saturating_add(1));
            match self.revocations.status(certificate, &parsed, now_s)? {
                Status::GoodUntil(list_s) => until_s = until_s.min(list_s),
                Status::Unknown => metrics::counter!("carnet_tls_revocation_unknown_total").increment(1),
            }
        }
        Ok(until_s)
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.webpki.verify_client_cert(end_entity, intermediates, now)?;
        let leaf = parse(std::slice::from_ref(end_entity))?;
        let authorities = parse(intermediates)?;
        for certificate in &leaf {
            check_client_use(certificate)?;
        }
        for certificate in &authorities {
            check_authority_use(certificate)?;
        }
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        for certificate in leaf.iter().chain(&authorities) {
            self.revocations.status(certificate, &authorities, now_s)?;
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

fn parse<'a>(chain: &'a [CertificateDer<'_>]) -> Result<Vec<X509Certificate<'a>>, CertificateError> {
    let parsed = chain.iter().map(|der| X509Certificate::from_der(der).map(|(_, certificate)| certificate));
    parsed.collect::<Result<_, _>>().map_err(|_| CertificateError::BadEncoding)
}

fn check_client_use(certificate: &X509Certificate<'_>) -> Result<(), CertificateError> {
    let extended = certificate.extended_key_usage().map_err(|_| CertificateError::BadEncoding)?;
    let usage = certificate.key_usage().map_err(|_| CertificateError::BadEncoding)?;
    let for_clients = extended.is_some_and(|extended| extended.value.client_auth);
    let signs = usage.is_none_or(|usage| usage.value.digital_signature());
    if for_clients && signs { Ok(()) } else { Err(CertificateError::InvalidPurpose) }
}

/// Of every authority that was sent along, whether the path uses it or not: telling them apart would mean
/// building the path again.
fn check_authority_use(certificate: &X509Certificate<'_>) -> Result<(), CertificateError> {
    let usage = certificate.key_usage().map_err(|_| CertificateError::BadEncoding)?;
    let signs = usage.is_none_or(|usage| usage.value.key_cert_sign());
    if signs { Ok(()) } else { Err(CertificateError::InvalidPurpose) }
}
