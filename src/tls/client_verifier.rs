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

use super::revocation::Setback;
use super::revocation::judge::Judge;

#[derive(Debug)]
pub(super) struct ClientVerifier {
    webpki: Arc<dyn ClientCertVerifier>,
    pub(super) judge: Arc<Judge>,
}

impl ClientVerifier {
    pub(super) fn new(
        roots: RootCertStore,
        provider: &Arc<CryptoProvider>,
        judge: Judge,
    ) -> Result<Self, VerifierBuilderError> {
        let webpki = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?;
        Ok(Self { webpki, judge: Arc::new(judge) })
    }

    /// What this set of lists would let in again; not what went together with its root.
    pub(super) fn setback_since<'b>(&self, before: &'b Self) -> Option<Setback<'b>> {
        let is_root =
            |verifier: &Self, name: &[u8]| verifier.root_hint_subjects().iter().any(|subject| subject.as_ref() == name);
        let went = |name: &[u8]| is_root(before, name) && !is_root(self, name);
        self.judge.lists.setback_since(&before.judge.lists, went)
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
        // Where a responder has to be asked first, that is done before the connection's first request.
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let chain: Vec<_> =
            std::iter::once(end_entity).chain(intermediates).map(|der| CertificateDer::from(der.as_ref())).collect();
        if let Err(doubt) = self.judge.judge(&chain, now_s) {
            tracing::info!(%doubt, "chain refused");
            return Err(CertificateError::from(doubt).into());
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
