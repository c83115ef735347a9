//! Why a chain leads nowhere: every rule that one of its certificates breaks, in words.
//!
//! Says nothing that [`super::path`] has not decided: it runs after a refusal, follows the chain by its names and
//! looks at each certificate again. Names of holders are never told, those of authorities are. Source: B.1.

use jiff::Timestamp;
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

use super::key_purpose::KeyPurpose;
use super::path::{Authorities, PathError};
use super::strength::{weakness_of_key, weakness_of_signature};
use crate::refusal::{Refusal, Rule};

/// What a refused chain breaks, and what the handshake tells of it.
#[derive(Debug)]
pub(super) struct Explanation {
    alert: CertificateError,
    refusals: Vec<Refusal>,
}

impl Explanation {
    pub(super) fn of(
        authorities: &Authorities,
        chain: &[CertificateDer<'_>],
        purpose: KeyPurpose,
        at_s: i64,
        error: &PathError,
    ) -> Self {
        let mut walk = Walk { authorities, purpose, at_s, refusals: Vec::new() };
        walk.follow(chain);
        let mut refusals = walk.refusals;
        if refusals.is_empty() {
            refusals.push(chain_refusal(purpose.holder(), &last_resort(error), "a path to a root of tls.client_roots"));
        }
        Self { alert: alert_of(error), refusals }
    }

    /// The rule that is broken nearest to the end-entity.
    pub(super) fn refusal(&self) -> Refusal {
        // Invariant: an explanation has at least one; the words are for a reader of this line.
        let first = self.refusals.first().cloned();
        first.unwrap_or_else(|| chain_refusal("chain", "nothing to explain", "a path to a root"))
    }

    pub(super) fn into_refusals(self) -> Vec<Refusal> {
        self.refusals
    }

    /// As TLS tells it to the client: a kind, no words. Those go to our own log.
    pub(super) fn alert(self) -> CertificateError {
        tracing::info!(refusal = %self.refusal(), "certificate refused in the handshake");
        self.alert
    }
}

/// From the end-entity up, by names.
struct Walk<'a> {
    authorities: &'a Authorities,
    purpose: KeyPurpose,
    at_s: i64,
    refusals: Vec<Refusal>,
}

/// A certificate on the way, and where the reader finds it.
struct Step<'a> {
    certificate: X509Certificate<'a>,
    place: String,
}

impl Walk<'_> {
    fn follow(&mut self, chain: &[CertificateDer<'_>]) {
        let Some((leaf, others)) = chain.split_first() else {
            return;
        };
        let Some(leaf) = parse(leaf) else {
            self.refusals.push(self.purpose.unreadable());
            return;
        };
        let sent = others.iter().enumerate().filter_map(|(at, der)| {
            let certificate = parse(der)?;
            Some(Step { place: format!("certificate {} of the chain{}", at + 2, name_of(&certificate)), certificate })
        });
        let known = self.authorities.known().iter().filter_map(|der| {
            let certificate = parse(der)?;
            Some(Step { place: format!("authority of tls.issuers{}", name_of(&certificate)), certificate })
        });
        let mut candidates: Vec<Step<'_>> = sent.chain(known).collect();
        let mut step = Step { certificate: leaf, place: self.purpose.holder().to_owned() };
        let mut depth = 0;
        loop {
            self.look_at(&step, depth);
            if self.reaches_root(&step, depth) {
                return;
            }
            let Some(next) = self.issuer_among(&step, &candidates) else {
                return;
            };
            step = candidates.swap_remove(next);
            depth += 1;
        }
    }

    /// Whether a root issued this certificate; the root is looked at too.
    fn reaches_root(&mut self, step: &Step<'_>, authorities: usize) -> bool {
        let authorities_in_force = self.authorities;
        let mut roots = authorities_in_force.roots().iter().filter_map(|der| parse(der));
        let issued = |root: &X509Certificate<'_>| self.signed_by(&step.certificate, root);
        let Some(root) = roots.find(issued) else {
            return false;
        };
        let place = format!("root{}", name_of(&root));
        self.check_dates(&root, &place);
        self.check_authority(&root, &place, authorities);
        true
    }

    /// Where among the candidates the issuer is. Tells why there is none.
    fn issuer_among(&mut self, step: &Step<'_>, candidates: &[Step<'_>]) -> Option<usize> {
        let issuer = step.certificate.issuer();
        let place = format!("{}, issuer", step.place);
        let found = candidates.iter().position(|candidate| self.signed_by(&step.certificate, &candidate.certificate));
        if found.is_some() {
            return found;
        }
        let in_force = self.authorities;
        let of_that_name = candidates.iter().any(|candidate| candidate.certificate.subject() == issuer)
            || in_force.roots().iter().any(|der| parse(der).is_some_and(|root| root.subject() == issuer));
        if step.certificate.subject() == issuer {
            let expected = self.expected_issuer();
            self.refusals.push(chain_refusal(&place, "itself: a self-signed certificate", &expected));
        } else if of_that_name {
            let (place, expected) =
                (format!("{}, signature", step.place), format!("a signature by the key of {issuer}"));
            self.refusals.push(chain_refusal(&place, "one that the key of its issuer did not make", &expected));
        } else {
            let expected = self.expected_issuer();
            self.refusals.push(chain_refusal(&place, &issuer.to_string(), &expected));
        }
        None
    }

    fn expected_issuer(&self) -> String {
        let roots: Vec<String> =
            self.authorities.roots().iter().filter_map(|der| Some(parse(der)?.subject().to_string())).collect();
        format!("an authority sent along or named in tls.issuers, or a root of tls.client_roots: {}", roots.join("; "))
    }

    fn look_at(&mut self, step: &Step<'_>, depth: usize) {
        let (certificate, place) = (&step.certificate, step.place.as_str());
        self.check_dates(certificate, place);
        let weaknesses = [("signature", weakness_of_signature(certificate)), ("key", weakness_of_key(certificate))];
        for (part, weakness) in weaknesses {
            let refusal = weakness.map(|(found, expected)| {
                Refusal::new(Rule::CertificateAlgorithm, format!("{place}, {part}"), found, expected)
            });
            self.refusals.extend(refusal);
        }
        if certificate.version() != X509Version::V3 {
            let found = format!("version {}", certificate.version().0.saturating_add(1));
            self.refusals.push(chain_refusal(&format!("{place}, version"), &found, "X.509 version 3"));
        }
        let unknown = |oid: &str| !KNOWN_EXTENSIONS.contains(&oid);
        for extension in certificate.extensions().iter().filter(|extension| extension.critical) {
            let oid = extension.oid.to_id_string();
            if unknown(&oid) {
                const EXPECTED: &str = "critical extensions that this program knows";
                self.refusals.push(chain_refusal(
                    &format!("{place}, extension {oid}"),
                    "critical and unknown",
                    EXPECTED,
                ));
            }
        }
        if depth == 0 {
            self.refusals.extend(self.purpose.check(certificate).err());
        } else {
            self.check_authority(certificate, place, depth - 1);
        }
    }

    fn check_dates(&mut self, certificate: &X509Certificate<'_>, place: &str) {
        let (from_s, until_s) =
            (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
        let (name, bound) = if self.at_s < from_s {
            ("notBefore", from_s)
        } else if self.at_s > until_s {
            ("notAfter", until_s)
        } else {
            return;
        };
        let found = format!("{name} {}, judged at {}", moment(bound), moment(self.at_s));
        self.refusals.push(chain_refusal(
            &format!("{place}, validity"),
            &found,
            "a certificate in its time of validity",
        ));
    }

    /// `below`: authorities between this one and the end-entity.
    fn check_authority(&mut self, certificate: &X509Certificate<'_>, place: &str, below: usize) {
        if !certificate.is_ca() {
            const EXPECTED: &str = "an authority: CA TRUE";
            self.refusals.push(chain_refusal(&format!("{place}, basicConstraints"), "no CA", EXPECTED));
        }
        let usage = certificate.key_usage().ok().flatten();
        if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
            const EXPECTED: &str = "keyCertSign: an authority that may sign certificates";
            self.refusals.push(chain_refusal(&format!("{place}, keyUsage"), "no keyCertSign", EXPECTED));
        }
        let constraints = certificate.basic_constraints().ok().flatten();
        let length_max = constraints.and_then(|constraints| constraints.value.path_len_constraint);
        if let Some(max) = length_max.filter(|max| below > usize::try_from(*max).unwrap_or(usize::MAX)) {
            let found = format!("{below} authorities below it");
            let expected = format!("at most {max}");
            self.refusals.push(chain_refusal(&format!("{place}, pathLenConstraint"), &found, &expected));
        }
    }

    /// By name and key; by name alone where the algorithm is too weak to be tried.
    fn signed_by(&self, certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
        certificate.issuer() == issuer.subject()
            && (weakness_of_signature(certificate).is_some()
                || weakness_of_key(issuer).is_some()
                || self.verifies(certificate, issuer.public_key()))
    }

    fn verifies(&self, certificate: &X509Certificate<'_>, key: &SubjectPublicKeyInfo<'_>) -> bool {
        let signed: &[u8] = certificate.tbs_certificate.as_ref();
        let whole = certificate.as_raw();
        let algorithm = content(whole).and_then(|inner| content(inner.get(signed.len()..)?));
        let (Some(algorithm), Some(key_algorithm)) = (algorithm, content(key.raw).and_then(content)) else {
            return false;
        };
        let mut fitting = self.authorities.algorithms().all.iter().filter(|one| {
            one.public_key_alg_id().as_ref() == key_algorithm && one.signature_alg_id().as_ref() == algorithm
        });
        let signature = &certificate.signature_value.data;
        fitting.any(|one| one.verify_signature(&key.subject_public_key.data, signed, signature).is_ok())
    }
}

fn chain_refusal(place: &str, found: &str, expected: &str) -> Refusal {
    Refusal::new(Rule::CertificateChain, place, found, expected)
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(certificate),
        Ok(_) | Err(_) => None,
    }
}

/// `, CN=...` of an authority; a person is not named.
fn name_of(certificate: &X509Certificate<'_>) -> String {
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    name.filter(|_| certificate.is_ca()).map_or_else(String::new, |name| format!(", CN={name}"))
}

fn content(der: &[u8]) -> Option<&[u8]> {
    Any::from_der(der).ok().map(|(_, any)| any.data)
}

fn moment(at_s: i64) -> String {
    Timestamp::from_second(at_s).map_or_else(|_| at_s.to_string(), |at| at.to_string())
}

/// For what no single certificate tells.
fn last_resort(error: &PathError) -> String {
    match error {
        PathError::WebPki(webpki::Error::NameConstraintViolation) => {
            "a name outside the name constraints of an authority".to_owned()
        }
        PathError::WebPki(webpki::Error::MaximumPathDepthExceeded) => "more authorities than any real chain".to_owned(),
        PathError::WebPki(error) => error.to_string(),
        PathError::Root => "a root that cannot be read".to_owned(),
        PathError::RootDates => "a root outside its time of validity".to_owned(),
        PathError::RootLength => "a path longer than the root allows".to_owned(),
        PathError::AuthorityUse => "an authority that may not sign certificates".to_owned(),
        PathError::WeakKey => "a weak key".to_owned(),
        PathError::Purpose => "a key for something else".to_owned(),
    }
}

fn alert_of(error: &PathError) -> CertificateError {
    use webpki::Error as E;
    match error {
        PathError::WebPki(E::CertExpired { time, not_after }) => {
            CertificateError::ExpiredContext { time: *time, not_after: *not_after }
        }
        PathError::WebPki(E::CertNotValidYet { time, not_before }) => {
            CertificateError::NotValidYetContext { time: *time, not_before: *not_before }
        }
        PathError::WebPki(E::UnknownIssuer) => CertificateError::UnknownIssuer,
        PathError::WebPki(E::BadDer | E::BadDerTime | E::TrailingData(_)) => CertificateError::BadEncoding,
        PathError::WebPki(E::InvalidSignatureForPublicKey) => CertificateError::BadSignature,
        PathError::WebPki(E::UnsupportedCriticalExtension) => CertificateError::UnhandledCriticalExtension,
        PathError::WebPki(E::RequiredEkuNotFoundContext(_)) | PathError::AuthorityUse | PathError::Purpose => {
            CertificateError::InvalidPurpose
        }
        PathError::RootDates => CertificateError::Expired,
        PathError::WebPki(_) | PathError::Root | PathError::RootLength | PathError::WeakKey => {
            CertificateError::ApplicationVerificationFailure
        }
    }
}

/// Those that the path builder or this module reads, and the one that only points to lists.
const KNOWN_EXTENSIONS: &[&str] = &["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.37"];
