//! Paths from a certificate to a root: what webpki checks of them, then what it leaves out.
//!
//! webpki: signatures (no SHA-1, no MD5, no RSA below 2048 bits), dates, CA and path length of the authorities sent
//! along, name constraints (those on directory names refuse everything), unknown critical extensions, extended key
//! usage where there is one. Added here: the root's own dates, path length and key usage; key usage of authorities;
//! the strength and the purpose of the end-entity's own key. Revocation and who may issue whom checks the verifier. Authorities that configuration names need not be sent along. Source: B.1, RFC 5280
//! section 6.
//!
//! 2026-11-21, why not the verifier that rustls builds: it tells neither the path nor the root it found, so whose
//! sub-authority issued a certificate, and which of the certificates sent along matter, would have to be found again.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::{DistinguishedName, RootCertStore};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::explanation::Explanation;
use super::key_purpose::KeyPurpose;
use super::strength;

/// Whom we believe: roots, and authorities below them that need not be sent along.
#[derive(Debug)]
pub(super) struct Authorities {
    anchors: Vec<TrustAnchor<'static>>,
    /// In the order of `anchors`.
    roots: Vec<CertificateDer<'static>>,
    known: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// A path verified for one purpose. Invariant: its certificates are readable, the end-entity first, the root last.
#[derive(Debug)]
pub(super) struct Path {
    certificates: Vec<CertificateDer<'static>>,
    /// When all of them are valid (seconds since 1970), both moments included.
    valid_s: (i64, i64),
}

impl Authorities {
    pub(super) fn new(
        roots: Vec<CertificateDer<'static>>,
        known: Vec<CertificateDer<'static>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, rustls::Error> {
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(root.clone())?;
        }
        Ok(Self { anchors: store.roots, roots, known, algorithms })
    }

    pub(super) fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// Names of the roots, for certificate requests.
    pub(super) fn hints(&self) -> Vec<DistinguishedName> {
        self.anchors.iter().map(|anchor| DistinguishedName::in_sequence(&anchor.subject)).collect()
    }

    pub(super) fn known(&self) -> &[CertificateDer<'static>] {
        &self.known
    }

    pub(super) fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }

    /// Finds and verifies a path for the first certificate of `chain`, valid at `at_s`.
    pub(super) fn find(
        &self,
        chain: &[CertificateDer<'_>],
        purpose: KeyPurpose,
        at_s: i64,
    ) -> Result<Path, Explanation> {
        self.build(chain, purpose, at_s).map_err(|error| Explanation::of(self, chain, purpose, at_s, &error))
    }

    fn build(&self, chain: &[CertificateDer<'_>], purpose: KeyPurpose, at_s: i64) -> Result<Path, PathError> {
        let (leaf, others) = chain.split_first().ok_or(PathError::WebPki(webpki::Error::BadDer))?;
        if others.len() > AUTHORITIES_SENT_MAX {
            return Err(PathError::WebPki(webpki::Error::MaximumPathDepthExceeded));
        }
        let candidates: Vec<CertificateDer<'_>> =
            others.iter().chain(&self.known).map(|der| CertificateDer::from(der.as_ref())).collect();
        let end_entity = EndEntityCert::try_from(leaf)?;
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(at_s).unwrap_or(0)));
        let usage = KeyUsage::required_if_present(purpose.extended_key_usage());
        let found =
            end_entity.verify_for_usage(self.algorithms.all, &self.anchors, &candidates, at, usage, None, None)?;
        let mut certificates = vec![leaf.clone().into_owned()];
        certificates.extend(found.intermediate_certificates().map(|one| one.der().into_owned()));
        let root = self.root_of(found.anchor(), certificates.len() - 1, at_s)?;
        certificates.push(root.clone());
        Path::new(certificates, purpose)
    }

    /// Of several certificates of one root (it was renewed with its key), one that carries this path now.
    fn root_of(
        &self,
        anchor: &TrustAnchor<'_>,
        authorities: usize,
        at_s: i64,
    ) -> Result<&CertificateDer<'static>, PathError> {
        let same = |(candidate, _): &(&TrustAnchor<'static>, _)| {
            candidate.subject == anchor.subject && candidate.subject_public_key_info == anchor.subject_public_key_info
        };
        let mut refusal = PathError::Root;
        for (_, root) in self.anchors.iter().zip(&self.roots).filter(same) {
            let Ok((_, parsed)) = X509Certificate::from_der(root) else { continue };
            let validity = parsed.validity();
            if at_s < validity.not_before.timestamp() || at_s > validity.not_after.timestamp() {
                refusal = PathError::RootDates;
                continue;
            }
            let constraints = parsed.basic_constraints().ok().flatten();
            let length_max = constraints.and_then(|constraints| constraints.value.path_len_constraint);
            if length_max.is_some_and(|max| authorities > usize::try_from(max).unwrap_or(usize::MAX)) {
                refusal = PathError::RootLength;
                continue;
            }
            return Ok(root);
        }
        Err(refusal)
    }
}

impl Path {
    fn new(certificates: Vec<CertificateDer<'static>>, purpose: KeyPurpose) -> Result<Self, PathError> {
        let parse = |der| X509Certificate::from_der(der).map(|(_, parsed)| parsed);
        let parsed: Result<Vec<_>, _> = certificates.iter().map(|der| parse(der)).collect();
        let parsed = parsed.map_err(|_| PathError::WebPki(webpki::Error::BadDer))?;
        check_uses(&parsed, purpose)?;
        let mut valid_s = (i64::MIN, i64::MAX);
        for certificate in &parsed {
            let validity = certificate.validity();
            valid_s.0 = valid_s.0.max(validity.not_before.timestamp());
            valid_s.1 = valid_s.1.min(validity.not_after.timestamp());
        }
        Ok(Self { certificates, valid_s })
    }

    pub(super) fn is_valid_at(&self, at_s: i64) -> bool {
        (self.valid_s.0..=self.valid_s.1).contains(&at_s)
    }

    /// The first second at which it is no longer valid: notAfter itself is still inside.
    pub(super) fn until_s(&self) -> i64 {
        self.valid_s.1.saturating_add(1)
    }

    /// End-entity first, root last.
    pub(super) fn parsed(&self) -> Vec<X509Certificate<'_>> {
        self.certificates.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)).collect()
    }
}

/// Keys of authorities must be there to sign certificates, and that of the end-entity for the purpose, and strong:
/// it has signed nothing that webpki looked at.
fn check_uses(path: &[X509Certificate<'_>], purpose: KeyPurpose) -> Result<(), PathError> {
    let (leaf, authorities) = path.split_first().ok_or(PathError::Root)?;
    if strength::weakness_of_key(leaf).is_some() {
        return Err(PathError::WeakKey);
    }
    let signs = |authority: &X509Certificate<'_>| {
        authority.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
    };
    if !authorities.iter().all(signs) {
        return Err(PathError::AuthorityUse);
    }
    purpose.check(leaf).map_err(|_| PathError::Purpose)
}

/// Why there is no path, before it is explained.
#[derive(Debug)]
pub(super) enum PathError {
    WebPki(webpki::Error),
    /// The root is there and cannot be read.
    Root,
    RootDates,
    RootLength,
    AuthorityUse,
    WeakKey,
    Purpose,
}

impl From<webpki::Error> for PathError {
    fn from(error: webpki::Error) -> Self {
        Self::WebPki(error)
    }
}

/// IGC-Santé has one level of authorities; longer chains cost signature checks before anybody is known.
const AUTHORITIES_SENT_MAX: usize = 8;
