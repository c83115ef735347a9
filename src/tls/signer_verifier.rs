//! Whether the authorities vouch for the certificate behind a signature: path to a root, dates, revocation.
//!
//! The same library as in the handshake builds the path, asking for emailProtection where TLS asks for clientAuth.
//! What the certificate says is `signature_certificate`'s question. Source: B.1, C.1.

use std::time::Duration;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::revocation::Revocations;
use super::signature_certificate::refused;
use crate::refusal::Refusal;

#[derive(Debug)]
pub(super) struct SignerVerifier {
    roots: Vec<TrustAnchor<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl SignerVerifier {
    pub(super) fn new(roots: RootCertStore, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { roots: roots.roots, algorithms }
    }

    /// Errors: `SignatureCertificate`, with what is wrong with the chain.
    pub(super) fn verify(
        &self,
        signer: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        revocations: &Revocations,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        let now_s = at.as_second();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now_s).unwrap_or(0)));
        let end_entity = EndEntityCert::try_from(signer).map_err(|error| not_believed(&error))?;
        let path = end_entity
            .verify_for_usage(
                self.algorithms.all,
                &self.roots,
                sent,
                now,
                KeyUsage::required(EMAIL_PROTECTION),
                None,
                None,
            )
            .map_err(|error| not_believed(&error))?;
        let on_path: Vec<CertificateDer<'_>> = path.intermediate_certificates().map(|one| one.der()).collect();
        let issuers: Vec<X509Certificate<'_>> = on_path.iter().filter_map(|der| parse(der)).collect();
        let leaf = parse(signer).ok_or_else(|| refused("DER", "bytes that are not one certificate", "X.509"))?;
        for certificate in std::iter::once(&leaf).chain(&issuers) {
            revocations
                .status(certificate, &issuers, now_s)
                .map_err(|error| refused("revocation", &error.to_string(), "a certificate that is not revoked"))?;
        }
        Ok(())
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

fn not_believed(error: &webpki::Error) -> Refusal {
    use webpki::Error;
    let (found, expected) = match error {
        Error::CertExpired { .. } => ("expired", "a certificate that is valid now: renew it".to_owned()),
        Error::CertNotValidYet { .. } => ("not valid yet", "a certificate that is valid now".to_owned()),
        Error::UnknownIssuer => (
            "an issuer that is not sent along, or no root of ours",
            "a chain to a root of tls.client_roots, its sub-authorities sent in X509Data".to_owned(),
        ),
        other => ("a chain that does not hold", format!("a valid chain ({other:?})")),
    };
    refused("chain", found, &expected)
}

/// id-kp-emailProtection, 1.3.6.1.5.5.7.3.4, as DER encodes it without its head.
const EMAIL_PROTECTION: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x04];
