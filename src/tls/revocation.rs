//! Certificate revocation lists: which serials of which authority, proven once, looked up in nanoseconds.
//!
//! 2026-11-21, why not the verifier's own CRL support: it checks the signature of the list again in each
//! handshake (100,000 entries made a handshake 4 times dearer, measured), and a resumed session or a
//! connection that stays open never comes back to it. Here a list is parsed when it is read, its signature is
//! checked once with the key of its authority (at loading where that is a root, else when the authority first
//! shows up in a chain), and one lookup serves handshakes, resumptions and requests alike.
//!
//! - A serial on any list that carries its authority's name is revoked, whatever else that list lacks.
//! - An authority that publishes a list must have one that is signed by it and not past its nextUpdate: else
//!   nobody it issued gets in.
//! - An authority without any list is let through, and counted: development authorities and private
//!   intermediates have none.
//! - Only a complete list vouches, and only for the kind of certificate in its scope: one of some reasons or of
//!   attribute certificates for nobody. A delta list adds to what is revoked, takes nothing away, and makes its
//!   base no fresher. Source: RFC 5280 sections 5 and 6.3.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustls::CertificateError;
use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_parser::asn1_rs::{Any, Class, FromDer as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{
    OID_X509_EXT_DELTA_CRL_INDICATOR, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT, OID_X509_EXT_REASON_CODE,
};
use x509_parser::revocation_list::{CertificateRevocationList, RevokedCertificate};
use x509_parser::x509::{ReasonCode, SubjectPublicKeyInfo};

/// Every list in force, by the DER of the name of its authority.
#[derive(Debug)]
pub(super) struct Revocations {
    by_issuer: HashMap<Box<[u8]>, Vec<Crl>>,
    algorithms: WebPkiSupportedAlgorithms,
    /// Authorities without a list of which the log has been told.
    unlisted: Mutex<HashSet<Box<[u8]>>>,
}

/// What the lists say of one certificate that is not revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Good, as of lists that hold until then (seconds since 1970).
    GoodUntil(i64),
    /// Its authority publishes no list that we know.
    Unknown,
}

/// Why a file is no usable list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    #[error("this is no DER certificate revocation list")]
    Syntax,
    #[error("the list has no nextUpdate: nobody can tell when it is stale")]
    NoNextUpdate,
    #[error("the list is indirect, or has a critical extension that this program does not know")]
    Scope,
    #[error("the list names a root of ours as its issuer and is not signed by it")]
    Signature,
}

/// For which certificates a list is all there is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Users,
    Authorities,
    /// Of a part of the revocations: a delta, some reasons only, attribute certificates.
    None,
}

#[derive(Debug)]
struct Crl {
    der: Vec<u8>,
    scope: Scope,
    next_update_s: i64,
    revoked: HashSet<Box<[u8]>>,
    /// Set once the signature was found good.
    proven: OnceLock<()>,
}

impl Revocations {
    pub(super) fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { by_issuer: HashMap::new(), algorithms, unlisted: Mutex::default() }
    }

    /// Adds one list. Where `roots` has its authority, the signature is checked here and now.
    pub(super) fn add(&mut self, der: Vec<u8>, roots: &[X509Certificate<'_>]) -> Result<(), CrlError> {
        let Ok(([], parsed)) = CertificateRevocationList::from_der(&der) else {
            return Err(CrlError::Syntax);
        };
        let scope = read_scope(&parsed)?;
        let next_update_s = parsed.next_update().ok_or(CrlError::NoNextUpdate)?.timestamp();
        let listed = parsed.iter_revoked_certificates();
        let revoked = listed
            .filter(|one| one.reason_code().is_none_or(|(_, reason)| reason != ReasonCode::RemoveFromCRL))
            .map(|one| significant(one.raw_serial()).into())
            .collect();
        let issuer: Box<[u8]> = parsed.issuer().as_raw().into();
        let crl = Crl { der, scope, next_update_s, revoked, proven: OnceLock::new() };
        let of_ours = roots.iter().any(|root| root.subject().as_raw() == issuer.as_ref());
        if of_ours && !crl.is_proven(&issuer, roots, &self.algorithms) {
            return Err(CrlError::Signature);
        }
        self.by_issuer.entry(issuer).or_default().push(crl);
        Ok(())
    }

    /// Whether there is a list of this authority that can vouch.
    pub(super) fn covers(&self, issuer: &[u8]) -> bool {
        self.by_issuer.get(issuer).is_some_and(|crls| crls.iter().any(|crl| crl.scope != Scope::None))
    }

    /// Names (DER) of all authorities whose lists can vouch.
    pub(super) fn covered(&self) -> impl Iterator<Item = &[u8]> {
        self.by_issuer.keys().map(AsRef::as_ref).filter(|issuer| self.covers(issuer))
    }

    /// Looks a certificate up. `presented`: the chain it came with, where its authority may be found.
    pub(super) fn status(
        &self,
        certificate: &X509Certificate<'_>,
        presented: &[X509Certificate<'_>],
        now_s: i64,
    ) -> Result<Status, CertificateError> {
        let issuer = certificate.issuer().as_raw();
        let Some(crls) = self.by_issuer.get(issuer) else {
            self.warn_once(certificate);
            return Ok(Status::Unknown);
        };
        let serial = significant(certificate.raw_serial());
        if crls.iter().any(|crl| crl.revoked.contains(serial)) {
            return Err(CertificateError::Revoked);
        }
        let vouching = crls.iter().filter(|crl| crl.scope.includes(certificate));
        let proven = vouching.filter(|crl| crl.is_proven(issuer, presented, &self.algorithms));
        match proven.map(|crl| crl.next_update_s).max() {
            Some(until_s) if now_s < until_s => Ok(Status::GoodUntil(until_s)),
            Some(_) => Err(CertificateError::ExpiredRevocationList),
            None => Err(CertificateError::UnknownRevocationStatus),
        }
    }

    /// Authorities under a root show up with the first chain, not at the start.
    fn warn_once(&self, certificate: &X509Certificate<'_>) {
        let mut unlisted = self.unlisted.lock().unwrap_or_else(PoisonError::into_inner);
        if unlisted.len() < UNLISTED_MAX && unlisted.insert(certificate.issuer().as_raw().into()) {
            tracing::warn!(authority = %certificate.issuer(), "no CRL of this authority: revocations by it stay unknown");
        }
    }
}

impl Scope {
    fn includes(self, certificate: &X509Certificate<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Users => !certificate.is_ca(),
            Self::Authorities => certificate.is_ca(),
            Self::None => false,
        }
    }
}

impl Crl {
    fn is_proven(
        &self,
        issuer: &[u8],
        authorities: &[X509Certificate<'_>],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> bool {
        if self.proven.get().is_some() {
            return true;
        }
        let may_sign = |authority: &&X509Certificate<'_>| {
            authority.subject().as_raw() == issuer
                && authority.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
        };
        let mut candidates = authorities.iter().filter(may_sign);
        let signed = candidates.any(|authority| is_signed_by(&self.der, authority.public_key(), algorithms));
        if signed {
            self.proven.get_or_init(|| ());
        }
        signed
    }
}

/// Entries of an indirect list belong to other authorities than the one that signs it.
fn read_scope(crl: &CertificateRevocationList<'_>) -> Result<Scope, CrlError> {
    let mut entries = crl.iter_revoked_certificates().flat_map(RevokedCertificate::extensions);
    if entries.any(|extension| extension.critical && extension.oid != OID_X509_EXT_REASON_CODE) {
        return Err(CrlError::Scope);
    }
    let (mut scope, mut is_delta) = (Scope::All, false);
    for extension in crl.extensions() {
        if extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT {
            scope = read_distribution_point(extension.value).ok_or(CrlError::Scope)?;
        } else if extension.oid == OID_X509_EXT_DELTA_CRL_INDICATOR {
            is_delta = true;
        } else if extension.critical {
            return Err(CrlError::Scope);
        }
    }
    Ok(if is_delta { Scope::None } else { scope })
}

/// By tags, since DER leaves out what is FALSE. `None`: indirect, or not to be understood. RFC 5280 5.2.5.
fn read_distribution_point(der: &[u8]) -> Option<Scope> {
    let mut rest = content(der)?;
    let mut scope = Scope::All;
    while !rest.is_empty() {
        let (after, field) = Any::from_der(rest).ok().filter(|(_, field)| field.class() == Class::ContextSpecific)?;
        scope = match (field.tag().0, scope) {
            (0, scope) => scope,
            (1, Scope::All) => Scope::Users,
            (2, Scope::All) => Scope::Authorities,
            (1 | 2 | 3 | 5, _) => Scope::None,
            _ => return None,
        };
        rest = after;
    }
    Some(scope)
}

/// Verifies with the algorithms that TLS itself accepts: no SHA-1, no RSA below 2048 bits.
fn is_signed_by(crl: &[u8], key: &SubjectPublicKeyInfo<'_>, algorithms: &WebPkiSupportedAlgorithms) -> bool {
    let Ok((_, list)) = CertificateRevocationList::from_der(crl) else {
        return false;
    };
    let signed: &[u8] = list.tbs_cert_list.as_ref();
    let (Some(algorithm), Some(key_algorithm)) =
        (content(crl).and_then(|whole| content(whole.get(signed.len()..)?)), content(key.raw).and_then(content))
    else {
        return false;
    };
    let mut fitting = algorithms.all.iter().filter(|one| {
        one.public_key_alg_id().as_ref() == key_algorithm && one.signature_alg_id().as_ref() == algorithm
    });
    fitting.any(|one| one.verify_signature(&key.subject_public_key.data, signed, &list.signature_value.data).is_ok())
}

/// What is inside the first DER value of these bytes.
fn content(der: &[u8]) -> Option<&[u8]> {
    Any::from_der(der).ok().map(|(_, any)| any.data)
}

/// A serial without the zero bytes in front, which authorities write differently in lists and certificates.
fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}

/// A client may send along certificates of authorities that do not exist.
const UNLISTED_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
        KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
    };

    use rcgen::SigningKey as _;

    use super::*;

    const IN_2026: i64 = 1_780_000_000;
    const IN_2028: i64 = 1_840_000_000;

    struct Authority {
        params: CertificateParams,
        key: KeyPair,
        der: Vec<u8>,
        leaf: Vec<u8>,
    }

    fn authority(usages: &[KeyUsagePurpose]) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = usages.to_vec();
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let mut leaf = CertificateParams::default();
        leaf.serial_number = Some(SerialNumber::from_slice(&[0x80, 7]));
        let issuer = Issuer::from_params(&params, &key);
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().to_vec();
        Authority { params, key, der, leaf }
    }

    impl Authority {
        /// A list of 2026 that names the leaf, or not.
        fn list(&self, reason: Option<RevocationReason>) -> Vec<u8> {
            let revoked = |reason| RevokedCertParams {
                serial_number: SerialNumber::from_slice(&[0x80, 7]),
                revocation_time: date_time_ymd(2026, 1, 1),
                reason_code: Some(reason),
                invalidity_date: None,
            };
            let params = CertificateRevocationListParams {
                this_update: date_time_ymd(2026, 1, 1),
                next_update: date_time_ymd(2027, 1, 1),
                crl_number: SerialNumber::from(1_u64),
                issuing_distribution_point: None,
                revoked_certs: reason.map(revoked).into_iter().collect(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(&Issuer::from_params(&self.params, &self.key)).unwrap().der().to_vec()
        }
    }

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], content].concat()
    }

    /// An extension of 2.5.29: its last arc and its value.
    type Extension<'a> = (u8, &'a [u8]);

    impl Authority {
        /// An empty list by hand, for what rcgen does not write.
        fn list_with(&self, until: &[u8], extensions: &[Extension<'_>]) -> Vec<u8> {
            let ecdsa_with_sha256 = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
            let extension = |(arc, value): &Extension<'_>| {
                tlv(0x30, &[&[6, 3, 0x55, 0x1d, *arc, 1, 1, 0xff], &tlv(4, value)[..]].concat())
            };
            let extensions: Vec<u8> = extensions.iter().flat_map(extension).collect();
            let issuer = parse(&self.der).subject().as_raw().to_vec();
            let dates = [tlv(0x17, b"260101000000Z"), tlv(0x17, until)].concat();
            let extensions = tlv(0xa0, &tlv(0x30, &extensions));
            let list = [&[2, 1, 1], &ecdsa_with_sha256[..], &issuer, &dates, &extensions].concat();
            let list = tlv(0x30, &list);
            let signature = [&[0], &self.key.sign(&list).unwrap()[..]].concat();
            tlv(0x30, &[&list, &ecdsa_with_sha256[..], &tlv(3, &signature)].concat())
        }
    }

    fn revocations() -> Revocations {
        Revocations::new(rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms)
    }

    fn parse(der: &[u8]) -> X509Certificate<'_> {
        X509Certificate::from_der(der).unwrap().1
    }

    /// Looks up the leaf of `authority`, which came with the authority's certificate.
    fn status(lists: &[Vec<u8>], authority: &Authority, now_s: i64) -> Result<Status, CertificateError> {
        let mut revocations = revocations();
        for list in lists {
            revocations.add(list.clone(), &[]).unwrap();
        }
        revocations.status(&parse(&authority.leaf), &[parse(&authority.der)], now_s)
    }

    #[test]
    fn a_serial_on_the_list_is_revoked_and_another_is_not() {
        let authority = authority(&[]);
        let (empty, full) = (authority.list(None), authority.list(Some(RevocationReason::KeyCompromise)));
        assert!(matches!(status(std::slice::from_ref(&empty), &authority, IN_2026), Ok(Status::GoodUntil(_))));
        assert_eq!(status(&[empty, full], &authority, IN_2026), Err(CertificateError::Revoked));
    }

    #[test]
    fn a_serial_that_left_the_list_is_not_revoked() {
        let authority = authority(&[]);
        let list = authority.list(Some(RevocationReason::RemoveFromCrl));
        assert!(status(&[list], &authority, IN_2026).is_ok());
    }

    #[test]
    fn an_authority_without_a_list_leaves_the_status_unknown() {
        assert_eq!(status(&[], &authority(&[]), IN_2026), Ok(Status::Unknown));
    }

    #[test]
    fn a_stale_list_still_revokes_and_no_longer_vouches() {
        let authority = authority(&[]);
        let (empty, full) = (authority.list(None), authority.list(Some(RevocationReason::Superseded)));
        assert_eq!(status(&[empty], &authority, IN_2028), Err(CertificateError::ExpiredRevocationList));
        assert_eq!(status(&[full], &authority, IN_2028), Err(CertificateError::Revoked));
    }

    #[test]
    fn a_list_vouches_only_when_its_authority_signed_it_and_may() {
        let (ours, twin) = (authority(&[]), authority(&[]));
        let of_twin = twin.list(None);
        let unknown = Err(CertificateError::UnknownRevocationStatus);
        assert_eq!(status(std::slice::from_ref(&of_twin), &ours, IN_2026), unknown);
        assert_eq!(revocations().add(of_twin, &[parse(&ours.der)]), Err(CrlError::Signature));

        let mut powerless = authority(&[KeyUsagePurpose::KeyCertSign]);
        powerless.params.key_usages.push(KeyUsagePurpose::CrlSign);
        let list = powerless.list(None);
        assert_eq!(status(&[list], &powerless, IN_2026), Err(CertificateError::UnknownRevocationStatus));
    }

    const UNTIL_2027: &[u8] = b"270101000000Z";
    const UNTIL_2040: &[u8] = b"400101000000Z";
    const DISTRIBUTION_POINT: u8 = 28;
    const DELTA: Extension<'_> = (27, &[2, 1, 1]);

    #[test]
    fn a_list_of_users_or_of_everybody_vouches_for_a_user() {
        let authority = authority(&[]);
        for point in [&[0x30, 0][..], &[0x30, 3, 0x81, 1, 0xff]] {
            let list = authority.list_with(UNTIL_2027, &[(DISTRIBUTION_POINT, point)]);
            assert!(matches!(status(&[list], &authority, IN_2026), Ok(Status::GoodUntil(_))), "{point:?}");
        }
    }

    #[test]
    fn a_list_of_another_scope_vouches_for_no_user() {
        let authority = authority(&[]);
        let authorities_only = &[0x30, 3, 0x82, 1, 0xff][..];
        let some_reasons = &[0x30, 4, 0x83, 2, 1, 0x40][..];
        let attributes_only = &[0x30, 3, 0x85, 1, 0xff][..];
        for point in [authorities_only, some_reasons, attributes_only] {
            let list = authority.list_with(UNTIL_2027, &[(DISTRIBUTION_POINT, point)]);
            let unknown = Err(CertificateError::UnknownRevocationStatus);
            assert_eq!(status(&[list], &authority, IN_2026), unknown, "{point:?}");
        }
    }

    #[test]
    fn an_indirect_list_or_one_of_an_unknown_scope_is_refused() {
        let authority = authority(&[]);
        for point in
            [&[0x30, 3, 0x84, 1, 0xff][..], &[0x30, 3, 0x89, 1, 0xff], &[0x30, 3, 1, 1, 0xff], &[0x30, 2, 0x81]]
        {
            let list = authority.list_with(UNTIL_2027, &[(DISTRIBUTION_POINT, point)]);
            assert_eq!(revocations().add(list, &[]), Err(CrlError::Scope), "{point:?}");
        }
    }

    #[test]
    fn a_delta_list_needs_its_base_and_makes_it_no_fresher() {
        let authority = authority(&[]);
        let (base, delta) = (authority.list(None), authority.list_with(UNTIL_2040, &[DELTA]));
        let alone = status(std::slice::from_ref(&delta), &authority, IN_2026);
        assert_eq!(alone, Err(CertificateError::UnknownRevocationStatus));
        let both = [base, delta];
        assert!(matches!(status(&both, &authority, IN_2026), Ok(Status::GoodUntil(until_s)) if until_s < IN_2028));
        assert_eq!(status(&both, &authority, IN_2028), Err(CertificateError::ExpiredRevocationList));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let authority = authority(&[]);
        let mut longer = authority.list(None);
        longer.push(0);
        for bytes in [longer, authority.der, Vec::new()] {
            assert_eq!(revocations().add(bytes, &[]), Err(CrlError::Syntax));
        }
    }

    proptest! {
        #[test]
        fn a_damaged_list_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            static GOOD: std::sync::LazyLock<Vec<u8>> =
                std::sync::LazyLock::new(|| authority(&[]).list(Some(RevocationReason::KeyCompromise)));
            let mut bytes = GOOD.clone();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = revocations().add(bytes[..at].to_vec(), &[]);
            let _ = revocations().add(bytes, &[]);
        }
    }
}
