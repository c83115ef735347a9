//! OCSP: the question whether one certificate is still good, and what an answer is worth.
//!
//! An answer counts only if the authority of the certificate signed it, or a responder to whom that authority
//! gave a certificate for just that; if it names the very certificate that was asked for; if its nonce, where
//! it has one, is ours; and for its time. Sends nothing. Source: RFC 6960, RFC 5019, RFC 9654.

use rustls::crypto::WebPkiSupportedAlgorithms;
use sha1::{Digest as _, Sha1};
use x509_cert::der::asn1::{Null, ObjectIdentifier, OctetString};
use x509_cert::der::{self, Any, Decode as _, Encode as _};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::ext::Nonce;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspRequest, OcspResponse, OcspResponseStatus, Request, ResponderId,
    SingleResponse, TbsRequest, Version,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::signed::{is_signed_by, significant};
use super::{CLOCK_DIFFERENCE_S, Revocations, Status};

/// One certificate, as responders know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    issuer_name_hash: [u8; 20],
    issuer_key_hash: [u8; 20],
    serial: Box<[u8]>,
}

/// What a responder says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) standing: Said,
    pub(super) this_update_s: i64,
    /// Until when it may be relied on.
    pub(super) until_s: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Good,
    Revoked,
}

/// Why an answer is worth nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum OcspError {
    #[error("this is no OCSP answer")]
    Syntax,
    #[error("the responder answers {0:?}")]
    Refused(OcspResponseStatus),
    #[error("neither the authority of the certificate nor a responder that it names signed the answer")]
    Signature,
    #[error("the answer is to another question: its nonce is not ours")]
    Nonce,
    #[error("the answer says nothing of the certificate that was asked for")]
    OtherCertificate,
    #[error("the answer has a critical extension that this program does not know")]
    Extension,
    #[error("the answer is of the future, or past its nextUpdate")]
    Time,
    #[error("the responder does not know the certificate")]
    Unknown,
}

/// By whom and when an answer is judged.
pub(super) struct Bench<'a> {
    pub(super) issuer: &'a X509Certificate<'a>,
    pub(super) algorithms: &'a WebPkiSupportedAlgorithms,
    /// May say that the responder itself is revoked.
    pub(super) lists: &'a Revocations,
    pub(super) now_s: i64,
}

impl Question {
    pub(super) fn new(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Self {
        Self {
            issuer_name_hash: Sha1::digest(issuer.subject().as_raw()).into(),
            issuer_key_hash: key_hash(issuer),
            serial: significant(certificate.raw_serial()).into(),
        }
    }

    /// The request, DER. SHA-1 names the authority here and secures nothing; responders know no other.
    pub(super) fn request(&self, nonce: &[u8]) -> Result<Vec<u8>, der::Error> {
        let nonce = Nonce::new(nonce)?;
        let nonce = Extension { extn_id: NONCE, critical: false, extn_value: OctetString::new(nonce.to_der()?)? };
        let cert_id = CertId {
            hash_algorithm: AlgorithmIdentifierOwned { oid: SHA_1, parameters: Some(Any::from(Null)) },
            issuer_name_hash: OctetString::new(self.issuer_name_hash)?,
            issuer_key_hash: OctetString::new(self.issuer_key_hash)?,
            serial_number: SerialNumber::new(&self.serial)?,
        };
        let tbs_request = TbsRequest {
            version: Version::V1,
            requestor_name: None,
            request_list: vec![Request { req_cert: cert_id, single_request_extensions: None }],
            request_extensions: Some(vec![nonce]),
        };
        OcspRequest { tbs_request, optional_signature: None }.to_der()
    }

    /// Reads what came back.
    pub(super) fn read_answer(&self, bytes: &[u8], nonce: &[u8], bench: &Bench<'_>) -> Result<Answer, OcspError> {
        let response = OcspResponse::from_der(bytes).map_err(|_| OcspError::Syntax)?;
        if response.response_status != OcspResponseStatus::Successful {
            return Err(OcspError::Refused(response.response_status));
        }
        let content = response.response_bytes.filter(|content| content.response_type == BASIC);
        let content = content.ok_or(OcspError::Syntax)?;
        let basic = BasicOcspResponse::from_der(content.response.as_bytes()).map_err(|_| OcspError::Syntax)?;
        if !bench.is_signed(content.response.as_bytes(), &basic) {
            return Err(OcspError::Signature);
        }
        let extensions = &basic.tbs_response_data.response_extensions;
        if has_critical(extensions.as_ref()) {
            return Err(OcspError::Extension);
        }
        if has_nonce(extensions.as_ref()) && basic.nonce().is_none_or(|theirs| theirs.0.as_bytes() != nonce) {
            return Err(OcspError::Nonce);
        }
        let mut responses = basic.tbs_response_data.responses.iter();
        let single = responses.find(|single| self.is_of(&single.cert_id)).ok_or(OcspError::OtherCertificate)?;
        judge(single, bench.now_s)
    }

    fn is_of(&self, id: &CertId) -> bool {
        id.hash_algorithm.oid == SHA_1
            && id.issuer_name_hash.as_bytes() == self.issuer_name_hash
            && id.issuer_key_hash.as_bytes() == self.issuer_key_hash
            && significant(id.serial_number.as_bytes()) == self.serial.as_ref()
    }
}

impl Bench<'_> {
    /// By the authority itself, or by one to whom it gave a certificate for that.
    fn is_signed(&self, whole: &[u8], basic: &BasicOcspResponse) -> bool {
        let responder = &basic.tbs_response_data.responder_id;
        if is_named(responder, self.issuer) && is_signed_by(whole, self.issuer.public_key(), self.algorithms) {
            return true;
        }
        let sent = basic.certs.iter().flatten().filter_map(|certificate| certificate.to_der().ok());
        sent.take(RESPONDER_CERTIFICATES_MAX).any(|der| {
            X509Certificate::from_der(&der).is_ok_and(|(_, delegate)| {
                is_named(responder, &delegate)
                    && self.is_delegate(&delegate)
                    && is_signed_by(whole, delegate.public_key(), self.algorithms)
            })
        })
    }

    /// Source: RFC 6960 4.2.2.2. One without `id-pkix-ocsp-nocheck` may be revoked like anybody.
    fn is_delegate(&self, certificate: &X509Certificate<'_>) -> bool {
        let for_ocsp =
            certificate.extended_key_usage().is_ok_and(|usage| usage.is_some_and(|usage| usage.value.ocsp_signing));
        let signs =
            certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.digital_signature()));
        let validity = certificate.validity();
        let valid = (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&self.now_s);
        for_ocsp
            && signs
            && valid
            && certificate.issuer().as_raw() == self.issuer.subject().as_raw()
            && is_signed_by(certificate.as_raw(), self.issuer.public_key(), self.algorithms)
            && self.lists.status(certificate, &[], self.now_s) != Status::Revoked
    }
}

fn judge(single: &SingleResponse, now_s: i64) -> Result<Answer, OcspError> {
    if has_critical(single.single_extensions.as_ref()) {
        return Err(OcspError::Extension);
    }
    let seconds =
        |at: &x509_ocsp::OcspGeneralizedTime| i64::try_from(at.0.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    let this_update_s = seconds(&single.this_update);
    // Without nextUpdate the responder has news at any time.
    let until_s = single.next_update.as_ref().map_or(this_update_s.saturating_add(WITHOUT_NEXT_UPDATE_S), seconds);
    if this_update_s > now_s.saturating_add(CLOCK_DIFFERENCE_S) || until_s <= now_s {
        return Err(OcspError::Time);
    }
    let standing = match single.cert_status {
        CertStatus::Good(_) => Said::Good,
        CertStatus::Revoked(_) => Said::Revoked,
        CertStatus::Unknown(_) => return Err(OcspError::Unknown),
    };
    Ok(Answer { standing, this_update_s, until_s })
}

fn is_named(responder: &ResponderId, certificate: &X509Certificate<'_>) -> bool {
    match responder {
        ResponderId::ByName(name) => name.to_der().is_ok_and(|der| der == certificate.subject().as_raw()),
        ResponderId::ByKey(hash) => hash.as_bytes() == key_hash(certificate),
    }
}

fn key_hash(certificate: &X509Certificate<'_>) -> [u8; 20] {
    Sha1::digest(&certificate.public_key().subject_public_key.data).into()
}

fn has_nonce(extensions: Option<&Extensions>) -> bool {
    extensions.into_iter().flatten().any(|extension| extension.extn_id == NONCE)
}

fn has_critical(extensions: Option<&Extensions>) -> bool {
    extensions.into_iter().flatten().any(|extension| extension.critical && extension.extn_id != NONCE)
}

/// id-sha1, id-pkix-ocsp-basic, id-pkix-ocsp-nonce.
const SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");
pub(super) const NONCE_BYTES: usize = 32;
const WITHOUT_NEXT_UPDATE_S: i64 = 300;
const RESPONDER_CERTIFICATES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SigningKey as _};
    use x509_cert::der::DateTime;
    use x509_cert::der::asn1::BitString;
    use x509_ocsp::{AsResponseBytes as _, ResponseData};

    use super::*;

    const NOW_S: i64 = 1_780_000_000;
    const OURS: [u8; NONCE_BYTES] = [5; NONCE_BYTES];

    struct Case {
        issuer: Vec<u8>,
        question: Question,
        answer: Vec<u8>,
    }

    fn algorithms() -> WebPkiSupportedAlgorithms {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms
    }

    fn moment(seconds: i64) -> x509_ocsp::OcspGeneralizedTime {
        let since = std::time::Duration::from_secs(seconds.try_into().unwrap());
        DateTime::from_unix_duration(since).unwrap().into()
    }

    /// A certificate, and the good answer of its authority about it.
    fn case() -> Case {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer_der = params.self_signed(&key).unwrap().der().to_vec();
        let leaf = CertificateParams::default();
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &Issuer::from_params(&params, &key)).unwrap();
        let (_, issuer) = X509Certificate::from_der(&issuer_der).unwrap();
        let (_, leaf) = X509Certificate::from_der(leaf.der()).unwrap();
        let question = Question::new(&leaf, &issuer);
        let request = OcspRequest::from_der(&question.request(&OURS).unwrap()).unwrap().tbs_request;
        let single = SingleResponse {
            cert_id: request.request_list[0].req_cert.clone(),
            cert_status: CertStatus::good(),
            this_update: moment(NOW_S),
            next_update: Some(moment(NOW_S + 3_600)),
            single_extensions: None,
        };
        let tbs_response_data = ResponseData {
            version: Version::V1,
            responder_id: ResponderId::ByKey(OctetString::new(key_hash(&issuer)).unwrap()),
            produced_at: moment(NOW_S),
            responses: vec![single],
            response_extensions: request.request_extensions,
        };
        let signature = key.sign(&tbs_response_data.to_der().unwrap()).unwrap();
        let basic = BasicOcspResponse {
            tbs_response_data,
            signature_algorithm: AlgorithmIdentifierOwned {
                oid: ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
                parameters: None,
            },
            signature: BitString::from_bytes(&signature).unwrap(),
            certs: None,
        };
        let response = OcspResponse {
            response_status: OcspResponseStatus::Successful,
            response_bytes: Some(basic.to_response_bytes().unwrap()),
        };
        Case { issuer: issuer_der, question, answer: response.to_der().unwrap() }
    }

    impl Case {
        fn read(&self, bytes: &[u8], nonce: &[u8], now_s: i64) -> Result<Answer, OcspError> {
            let (_, issuer) = X509Certificate::from_der(&self.issuer).unwrap();
            let (algorithms, lists) = (algorithms(), Revocations::new(algorithms()));
            let bench = Bench { issuer: &issuer, algorithms: &algorithms, lists: &lists, now_s };
            self.question.read_answer(bytes, nonce, &bench)
        }
    }

    #[test]
    fn an_answer_holds_for_its_question_and_its_time() {
        let case = case();
        let answer = case.read(&case.answer, &OURS, NOW_S).unwrap();
        assert_eq!((answer.standing, answer.until_s), (Said::Good, NOW_S + 3_600));
        assert_eq!(case.read(&case.answer, &[6; NONCE_BYTES], NOW_S), Err(OcspError::Nonce));
        assert_eq!(case.read(&case.answer, &OURS, NOW_S + 3_600), Err(OcspError::Time));
        assert_eq!(case.read(&case.answer, &OURS, NOW_S - 3_600), Err(OcspError::Time));
        let other = self::case();
        assert_eq!(other.read(&case.answer, &OURS, NOW_S), Err(OcspError::Signature));
    }

    proptest! {
        #[test]
        fn a_damaged_answer_never_panics_and_never_says_something_else(
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            static GOOD: LazyLock<Case> = LazyLock::new(case);
            let good = GOOD.read(&GOOD.answer, &OURS, NOW_S).unwrap();
            let mut bytes = GOOD.answer.clone();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            prop_assert!(GOOD.read(&bytes, &OURS, NOW_S).is_ok_and(|answer| answer == good)
                || GOOD.read(&bytes, &OURS, NOW_S).is_err());
            prop_assert!(GOOD.read(&bytes[..at], &OURS, NOW_S).is_err());
        }

        #[test]
        fn random_bytes_are_no_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            static GOOD: LazyLock<Case> = LazyLock::new(case);
            prop_assert!(GOOD.read(&bytes, &OURS, NOW_S).is_err());
        }
    }
}
