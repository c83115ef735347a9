//! Which keys and signature algorithms are strong enough, in words for those whose are not.
//!
//! The algorithms are those of the TLS library; here is only what it does not look at, or does not explain.

use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::public_key::PublicKey;

/// What is weak about the key of a certificate: found, expected.
pub(super) fn weakness_of_key(certificate: &X509Certificate<'_>) -> Option<(String, &'static str)> {
    const EXPECTED: &str = "RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519";
    let key = certificate.public_key();
    let found = match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let significant = rsa.modulus.iter().skip_while(|byte| **byte == 0);
            let leading = significant.clone().next().map_or(0, |first| first.leading_zeros() as usize);
            match significant.count() * 8 - leading {
                2048..=8192 => return None,
                bits => format!("RSA of {bits} bits"),
            }
        }
        Ok(PublicKey::EC(_)) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|any| Oid::try_from(any).ok());
            match curve {
                Some(curve) if CURVES.contains(&curve) => return None,
                Some(curve) => format!("the curve {curve}"),
                None => "a curve without a name".to_owned(),
            }
        }
        _ if key.algorithm.algorithm == ED25519 => return None,
        _ => format!("a key of the algorithm {}", key.algorithm.algorithm),
    };
    Some((found, EXPECTED))
}

/// What is weak about the algorithm that a certificate was signed with.
pub(super) fn weakness_of_signature(certificate: &X509Certificate<'_>) -> Option<(String, &'static str)> {
    const EXPECTED: &str = "SHA-256, SHA-384 or SHA-512 with RSA or ECDSA, or Ed25519: nothing weaker below a root";
    let algorithm = &certificate.signature_algorithm.algorithm;
    if STRONG.contains(algorithm) {
        return None;
    }
    let name = WEAK.iter().find(|(oid, _)| oid == algorithm).map_or("an algorithm", |(_, name)| *name);
    Some((format!("{name} ({algorithm})"), EXPECTED))
}

const ED25519: Oid<'static> = oid!(1.3.101.112);

const CURVES: &[Oid<'static>] = &[oid!(1.2.840.10045.3.1.7), oid!(1.3.132.0.34), oid!(1.3.132.0.35)];

const STRONG: &[Oid<'static>] = &[
    oid!(1.2.840.113549.1.1.10),
    oid!(1.2.840.113549.1.1.11),
    oid!(1.2.840.113549.1.1.12),
    oid!(1.2.840.113549.1.1.13),
    oid!(1.2.840.10045.4.3.2),
    oid!(1.2.840.10045.4.3.3),
    oid!(1.2.840.10045.4.3.4),
    ED25519,
];

const WEAK: &[(Oid<'static>, &str)] = &[
    (oid!(1.2.840.113549.1.1.2), "md2WithRSAEncryption"),
    (oid!(1.2.840.113549.1.1.4), "md5WithRSAEncryption"),
    (oid!(1.2.840.113549.1.1.5), "sha1WithRSAEncryption"),
    (oid!(1.2.840.113549.1.1.14), "sha224WithRSAEncryption"),
    (oid!(1.2.840.10040.4.3), "dsa-with-sha1"),
    (oid!(1.2.840.10045.4.1), "ecdsa-with-SHA1"),
    (oid!(1.2.840.10045.4.3.1), "ecdsa-with-SHA224"),
];
