//! Judges chains: of clients in the handshake, and of those who signed what clients send.
//!
//! A path to a root (`tls::path`), the purpose of the key, who may issue whom (`tls.issuers`), test cards, and
//! revocation (`tls::revocation`). In the handshake the class of the holder does not matter yet: a wrong one
//! gets an answer that explains, which an alert cannot. Source: B.1.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::client_certificate::{ClientCertificate, serial_of};
use super::development_pki::is_development;
use super::explanation::Explanation;
use super::key_purpose::KeyPurpose;
use super::listener::{PresentedCertificate, RefusedCertificate};
use super::path::{Authorities, Path};
use super::revocation::Setback;
use super::revocation::judge::{Doubt, Judge, Judgement, Lenience};
use super::subject::Card;
use crate::config::CertificateClass;
use crate::domain::sha::Fingerprint;
use crate::refusal::{Refusal, Rule};

/// Roots, issuers and lists in force, and what they make of chains.
#[derive(Debug)]
pub struct ClientVerifier {
    authorities: Authorities,
    issuers: Issuers,
    test_cards: TestCards,
    pub(super) judge: Arc<Judge>,
    /// What certificate requests name, so that a client with several certificates picks a fitting one.
    hints: Vec<DistinguishedName>,
    /// Paths found before, by purpose and SHA-256 of the chain: a client that connects again and the next assertion
    /// of a signer pay no signature check and no parser. Dates and revocation are looked at each time.
    found: Mutex<FoundPaths>,
}

type FoundPaths = HashMap<(KeyPurpose, [u8; 32]), Arc<Found>>;

/// Certificates of the authorities that may issue a class; a class that is not there has no restriction, and one that
/// names none has nobody.
pub(super) type Issuers = BTreeMap<CertificateClass, Vec<CertificateDer<'static>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TestCards {
    Accepted,
    /// But those under a development root, which is for tests anyway.
    Refused,
}

/// A path, and what was worked out of it already, which holds for as long as its verifier is in force.
#[derive(Debug)]
pub(super) struct Found {
    path: Path,
    admitted: OnceLock<Result<(), Refusal>>,
    presented: OnceLock<PresentedCertificate>,
    judged: Mutex<Option<Judged>>,
}

/// A judgement in which no responder had a say: whoever shows the certificate again within these times, in seconds
/// since 1970, gets the same.
#[derive(Debug, Clone, Copy)]
struct Judged {
    from_s: i64,
    until_s: i64,
    lenience: Option<Lenience>,
}

impl ClientVerifier {
    pub(super) fn new(
        roots: Vec<CertificateDer<'static>>,
        issuers: Issuers,
        test_cards: TestCards,
        judge: Judge,
    ) -> Result<Self, Error> {
        let known = issuers.values().flatten().cloned().collect();
        let authorities = Authorities::new(roots, known, *judge.algorithms())?;
        let hints = authorities.hints();
        Ok(Self { authorities, issuers, test_cards, judge: Arc::new(judge), hints, found: Mutex::default() })
    }

    /// Who the first certificate of a chain is for, and whether they may call at all.
    pub fn present(&self, chain: &[CertificateDer<'_>], at: Timestamp) -> PresentedCertificate {
        // An empty chain cannot come out of a handshake that demands one; if it did, it is refused as unreadable.
        let leaf: &[u8] = chain.first().map_or(&[], |leaf| leaf.as_ref());
        let refused = |refusal| {
            let fingerprint = Fingerprint::of(leaf).sha256;
            RefusedCertificate { serial: serial_of(leaf), fingerprint, refusal }
        };
        match self.find(chain, CLIENT, at) {
            Ok(found) => {
                let read = || Arc::new(self.read(leaf, &found).map_err(refused));
                Arc::clone(found.presented.get_or_init(read))
            }
            Err(explanation) => {
                let unfit = ClientCertificate::from_der(leaf).err();
                Arc::new(Err(refused(unfit.unwrap_or_else(|| explanation.refusal()))))
            }
        }
    }

    /// Every rule that keeps a chain from its purpose, for who asks why.
    pub fn explain(&self, chain: &[CertificateDer<'_>], purpose: KeyPurpose, at: Timestamp) -> Vec<Refusal> {
        match self.find(chain, purpose, at) {
            Ok(found) => self.check_revocation(&found, purpose, at).err().into_iter().collect(),
            Err(explanation) => explanation.into_refusals(),
        }
    }

    /// Whether a chain that was good once still is, and until when.
    pub(super) fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        purpose: KeyPurpose,
        now: Timestamp,
    ) -> Result<Judgement, Refusal> {
        let found = self.find(chain, purpose, now).map_err(|error| withdrawn(purpose, &error.refusal().to_string()))?;
        self.check_revocation(&found, purpose, now)
    }

    pub(super) fn find(
        &self,
        chain: &[CertificateDer<'_>],
        purpose: KeyPurpose,
        at: Timestamp,
    ) -> Result<Arc<Found>, Explanation> {
        let mut digest = Sha256::new();
        for der in chain {
            digest.update(der);
        }
        let key = (purpose, digest.finalize().into());
        let known = lock(&self.found).get(&key).cloned();
        if let Some(found) = known.filter(|found| found.path.is_valid_at(at.as_second())) {
            return Ok(found);
        }
        let found = Arc::new(Found::of(self.authorities.find(chain, purpose, at.as_second())?));
        let mut all = lock(&self.found);
        if all.len() >= PATHS_KEPT_MAX {
            all.clear();
        }
        all.insert(key, Arc::clone(&found));
        Ok(found)
    }

    /// Whether its issuer may issue certificates of this class, and whether a test card counts here. `class` and
    /// `card` are those of the end-entity.
    pub(super) fn check_admission(
        &self,
        found: &Found,
        class: CertificateClass,
        card: &Card,
        purpose: KeyPurpose,
    ) -> Result<(), Refusal> {
        found.admitted.get_or_init(|| self.admit(&found.path, class, card, purpose)).clone()
    }

    /// As of what is known; what a responder has to be asked first is in the judgement.
    /// Errors: `CertificateWithdrawn`.
    pub(super) fn check_revocation(
        &self,
        found: &Found,
        purpose: KeyPurpose,
        now: Timestamp,
    ) -> Result<Judgement, Refusal> {
        self.judge_found(found, now.as_second()).map_err(|doubt| withdrawn(purpose, &doubt.to_string()))
    }

    /// What this set of lists would let in again; not what went together with its root.
    pub(super) fn setback_since<'b>(&self, before: &'b Self) -> Option<Setback<'b>> {
        let is_root =
            |verifier: &Self, name: &[u8]| verifier.root_hint_subjects().iter().any(|subject| subject.as_ref() == name);
        let went = |name: &[u8]| is_root(before, name) && !is_root(self, name);
        self.judge.lists.setback_since(&before.judge.lists, went)
    }

    fn read(&self, leaf: &[u8], found: &Found) -> Result<ClientCertificate, Refusal> {
        let certificate = ClientCertificate::from_der(leaf)?;
        self.check_admission(found, certificate.subject.class(), &certificate.card, CLIENT)?;
        Ok(certificate)
    }

    fn judge_found(&self, found: &Found, now_s: i64) -> Result<Judgement, Doubt> {
        let known = *lock(&found.judged);
        if let Some(Judged { until_s, lenience, .. }) = known.filter(|one| (one.from_s..one.until_s).contains(&now_s)) {
            return Ok(Judgement { until_s, lenience, ..Judgement::default() });
        }
        let mut judgement = self.judge.judge(&found.path.parsed(), now_s)?;
        judgement.until_s = judgement.until_s.min(found.path.until_s());
        if judgement.held.is_empty() {
            let Judgement { until_s, lenience, .. } = judgement;
            *lock(&found.judged) = Some(Judged { from_s: now_s, until_s, lenience });
        }
        Ok(judgement)
    }

    fn admit(&self, path: &Path, class: CertificateClass, card: &Card, purpose: KeyPurpose) -> Result<(), Refusal> {
        const REAL_CARD: &str = "a real card: this gateway takes no test cards (tls.allow_test_cards)";
        let parsed = path.parsed();
        let (Some(issuer), Some(root)) = (parsed.get(1), parsed.last()) else {
            return Err(withdrawn(purpose, "a path without a root"));
        };
        let named = self.issuers.get(&class);
        let allowed: Vec<_> = named.into_iter().flatten().filter_map(|der| parse(der)).collect();
        let is_issuer = |one: &X509Certificate<'_>| {
            one.subject().as_raw() == issuer.subject().as_raw() && one.public_key().raw == issuer.public_key().raw
        };
        if named.is_some() && !allowed.iter().any(is_issuer) {
            let names: Vec<String> = allowed.iter().map(|one| one.subject().to_string()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join("; ") };
            let expected = format!("an issuer that tls.issuers names for {class}: {names}");
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
}

impl Found {
    fn of(path: Path) -> Self {
        Self { path, admitted: OnceLock::new(), presented: OnceLock::new(), judged: Mutex::default() }
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
        let chain: Vec<_> =
            std::iter::once(end_entity).chain(intermediates).map(|der| CertificateDer::from(der.as_ref())).collect();
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let at = Timestamp::from_second(now_s).unwrap_or(Timestamp::MAX);
        let found = self.find(&chain, CLIENT, at).map_err(Explanation::alert)?;
        // Where a responder has to be asked first, that is done before the connection's first request.
        if let Err(doubt) = self.judge_found(&found, now_s) {
            tracing::info!(%doubt, "certificate refused in the handshake");
            return Err(CertificateError::from(doubt).into());
        }
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const CLIENT: KeyPurpose = KeyPurpose::Authentication;

/// Some 4 KiB each.
const PATHS_KEPT_MAX: usize = 4096;
