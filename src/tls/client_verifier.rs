//! Judges chains: of clients in the handshake, and of those who signed what clients send.
//!
//! A path to a root ([`super::path`]), the purpose of the key, who may issue whom (`tls.issuers`), test cards, and
//! revocation ([`super::revocation`]). In the handshake the class of the holder does not matter yet: a wrong one
//! gets an answer that explains, which an alert cannot. Source: B.1.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::client_certificate::{ClientCertificate, serial_of};
use super::development_pki::is_development;
use super::explanation::Explanation;
use super::key_purpose::KeyPurpose;
use super::listener::RefusedCertificate;
use super::path::{Authorities, Path};
use super::revocation::{Revocations, Status};
use super::subject::Card;
use crate::config::CertificateClass;
use crate::domain::sha::{Fingerprint, Fingerprinter, Sha256Hash};
use crate::refusal::{Refusal, Rule};

/// Roots, issuers and lists in force, and what they make of chains.
#[derive(Debug)]
pub struct ClientVerifier {
    authorities: Authorities,
    issuers: Issuers,
    test_cards: TestCards,
    revocations: Revocations,
    /// What certificate requests name, so that a client with several certificates picks a fitting one.
    hints: Vec<DistinguishedName>,
    /// Paths found before, by purpose and chain: a resumed session and the next assertion of a signer pay no
    /// signature check. Dates and revocation are looked at each time.
    found: Mutex<HashMap<(KeyPurpose, Sha256Hash), Arc<Path>>>,
}

/// Certificates of the authorities that may issue a class; a class that is not there has no restriction.
pub(super) type Issuers = BTreeMap<CertificateClass, Vec<CertificateDer<'static>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TestCards {
    Accepted,
    /// But those under a development root, which is for tests anyway.
    Refused,
}

impl ClientVerifier {
    pub(super) fn new(
        roots: Vec<CertificateDer<'static>>,
        issuers: Issuers,
        test_cards: TestCards,
        algorithms: WebPkiSupportedAlgorithms,
        revocations: Revocations,
    ) -> Result<Self, Error> {
        let known = issuers.values().flatten().cloned().collect();
        let authorities = Authorities::new(roots, known, algorithms)?;
        let hints = authorities.hints();
        Ok(Self { authorities, issuers, test_cards, revocations, hints, found: Mutex::default() })
    }

    /// Who the first certificate of a chain is for, and whether they may call at all.
    pub fn present(
        &self,
        chain: &[CertificateDer<'_>],
        at: Timestamp,
    ) -> Result<ClientCertificate, Box<RefusedCertificate>> {
        const PURPOSE: KeyPurpose = KeyPurpose::Authentication;
        // An empty chain cannot come out of a handshake that demands one; if it did, it is refused as unreadable.
        let leaf: &[u8] = chain.first().map_or(&[], |leaf| leaf.as_ref());
        let read = || {
            let certificate = ClientCertificate::from_der(leaf)?;
            let path = self.path(chain, PURPOSE, at).map_err(|error| error.refusal())?;
            self.check_admission(&path, certificate.subject.class(), &certificate.card, PURPOSE)?;
            Ok(certificate)
        };
        let refused = |refusal| {
            let fingerprint = Fingerprint::of(leaf).sha256;
            Box::new(RefusedCertificate { serial: serial_of(leaf), fingerprint, refusal })
        };
        read().map_err(refused)
    }

    /// Every rule that keeps a chain from its purpose, for who asks why.
    pub fn explain(&self, chain: &[CertificateDer<'_>], purpose: KeyPurpose, at: Timestamp) -> Vec<Refusal> {
        let path = match self.path(chain, purpose, at) {
            Ok(path) => path,
            Err(explanation) => return explanation.into_refusals(),
        };
        let misused = path.parsed().first().and_then(|leaf| purpose.check(leaf).err());
        misused.into_iter().chain(self.check_revocation(&path, purpose, at).err()).collect()
    }

    /// Until when a client's chain that is good now stays good if nothing is revoked: the first end of validity in
    /// it, or of a list that vouches for it.
    pub(super) fn good_until_s(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<i64, Refusal> {
        const PURPOSE: KeyPurpose = KeyPurpose::Authentication;
        let path = self.path(chain, PURPOSE, now).map_err(|error| withdrawn(PURPOSE, &error.refusal().to_string()))?;
        self.check_revocation(&path, PURPOSE, now)
    }

    pub(super) fn path(
        &self,
        chain: &[CertificateDer<'_>],
        purpose: KeyPurpose,
        at: Timestamp,
    ) -> Result<Arc<Path>, Explanation> {
        let mut fingerprinter = Fingerprinter::default();
        for der in chain {
            fingerprinter.update(der);
        }
        let key = (purpose, fingerprinter.finish().sha256);
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(path) = known.filter(|path| path.is_valid_at(at.as_second())) {
            return Ok(path);
        }
        let path = Arc::new(self.authorities.find(chain, purpose, at.as_second())?);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= PATHS_KEPT_MAX {
            found.clear();
        }
        found.insert(key, Arc::clone(&path));
        Ok(path)
    }

    /// Whether its issuer may issue certificates of this class, and whether a test card counts here.
    pub(super) fn check_admission(
        &self,
        path: &Path,
        class: CertificateClass,
        card: &Card,
        purpose: KeyPurpose,
    ) -> Result<(), Refusal> {
        const REAL_CARD: &str = "a real card: this gateway takes no test cards (tls.allow_test_cards)";
        let parsed = path.parsed();
        let (Some(issuer), Some(root)) = (parsed.get(1), parsed.last()) else {
            return Err(withdrawn(purpose, "a path without a root"));
        };
        let allowed: Vec<_> = self.issuers.get(&class).into_iter().flatten().filter_map(|der| parse(der)).collect();
        let is_issuer = |one: &X509Certificate<'_>| {
            one.subject().as_raw() == issuer.subject().as_raw() && one.public_key().raw == issuer.public_key().raw
        };
        if !allowed.is_empty() && !allowed.iter().any(is_issuer) {
            let names: Vec<String> = allowed.iter().map(|one| one.subject().to_string()).collect();
            let expected = format!("an issuer that tls.issuers names for {class}: {}", names.join("; "));
            let place = format!("{}, issuer", purpose.holder());
            return Err(Refusal::new(Rule::CertificateIssuer, place, issuer.subject().to_string(), expected));
        }
        match card.card_type.filter(|card_type| card_type.is_test()) {
            Some(card_type) if self.test_cards == TestCards::Refused && !is_development(root) => {
                let place = format!("{}, extension 1.2.250.1.71.1.2.5", purpose.holder());
                let found = format!("0x{:02x}: a test card", card_type.byte());
                Err(Refusal::new(Rule::CertificateTestCard, place, found, REAL_CARD))
            }
            _ => Ok(()),
        }
    }

    /// Until when the path stays good. Errors: `CertificateWithdrawn`.
    pub(super) fn check_revocation(&self, path: &Path, purpose: KeyPurpose, now: Timestamp) -> Result<i64, Refusal> {
        self.status(path, now.as_second()).map_err(|error| withdrawn(purpose, &error.to_string()))
    }

    /// Of every certificate below the root.
    fn status(&self, path: &Path, now_s: i64) -> Result<i64, CertificateError> {
        let mut until_s = path.until_s();
        let parsed = path.parsed();
        let (_, below) = parsed.split_last().ok_or(CertificateError::BadEncoding)?;
        for certificate in below {
            match self.revocations.status(certificate, &parsed, now_s)? {
                Status::GoodUntil(list_s) => until_s = until_s.min(list_s),
                Status::Unknown => metrics::counter!("carnet_tls_revocation_unknown_total").increment(1),
            }
        }
        Ok(until_s)
    }

    /// Name (DER) of an authority that had a list and has none now; not one that went together with its root.
    pub(super) fn list_lost_since<'b>(&self, before: &'b Self) -> Option<&'b [u8]> {
        let is_root =
            |verifier: &Self, name: &[u8]| verifier.root_hint_subjects().iter().any(|subject| subject.as_ref() == name);
        let went = |name: &[u8]| is_root(before, name) && !is_root(self, name);
        before.revocations.covered().find(|name| !self.revocations.covers(name) && !went(name))
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        const PURPOSE: KeyPurpose = KeyPurpose::Authentication;
        let chain: Vec<_> =
            std::iter::once(end_entity).chain(intermediates).map(|der| CertificateDer::from(der.as_ref())).collect();
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let at = Timestamp::from_second(now_s).unwrap_or(Timestamp::MAX);
        let path = self.path(&chain, PURPOSE, at).map_err(Explanation::alert)?;
        let purpose = parse(end_entity).map_or(Err(PURPOSE.unreadable()), |leaf| PURPOSE.check(&leaf));
        if let Err(refusal) = purpose {
            tracing::info!(%refusal, "certificate refused in the handshake");
            return Err(CertificateError::InvalidPurpose.into());
        }
        self.status(&path, now_s)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, self.authorities.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, self.authorities.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.algorithms().supported_schemes()
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

/// Good once, no longer.
pub(super) fn withdrawn(purpose: KeyPurpose, found: &str) -> Refusal {
    const EXPECTED: &str = "a certificate that is still valid, not revoked and issued under a current root";
    Refusal::new(Rule::CertificateWithdrawn, purpose.holder(), found, EXPECTED)
}

/// Some 3 KiB each.
const PATHS_KEPT_MAX: usize = 4096;
