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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    use x509_parser::prelude::FromDer as _;

    use super::*;

    fn weaknesses(der: &[u8]) -> [Option<String>; 2] {
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        [weakness_of_key(&certificate), weakness_of_signature(&certificate)]
            .map(|weakness| weakness.map(|(found, _)| found))
    }

    fn of_pem(pem: &str) -> [Option<String>; 2] {
        weaknesses(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
    }

    #[test]
    fn what_the_field_uses_is_strong() {
        let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let elliptic = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
        for key in elliptic.map(|algorithm| KeyPair::generate_for(algorithm).unwrap()).iter().chain([&rsa]) {
            let certificate = CertificateParams::default().self_signed(key).unwrap();
            assert_eq!(weaknesses(certificate.der()), [None, None]);
        }
    }

    #[test]
    fn a_short_key_sha_1_and_another_curve_are_named() {
        let [key, signature] = of_pem(RSA_1024_WITH_SHA_1);
        assert_eq!(key.as_deref(), Some("RSA of 1024 bits"));
        assert_eq!(signature.as_deref(), Some("sha1WithRSAEncryption (1.2.840.113549.1.1.5)"));
        assert_eq!(of_pem(SECP256K1), [Some("the curve 1.3.132.0.10".to_owned()), None]);
    }

    /// Made with openssl, which still makes them; self-signed, of nobody.
    const RSA_1024_WITH_SHA_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIB+jCCAWOgAwIBAgIUSvd2ew7QiLxyBjGz7qmjH4Bq4uIwDQYJKoZIhvcNAQEF
BQAwDzENMAsGA1UEAwwEd2VhazAeFw0yNjExMjIwMDAyMzNaFw0zNjExMTkwMDAy
MzNaMA8xDTALBgNVBAMMBHdlYWswgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGB
AJbVepfFXBytLRYBaodMpSh2ElZV6/Ix+r75FG1bf9EY71Oy+dF9Tln3HI5J2gkR
hIBQ+F3SCMAuAz/PDtfzL/OJbymn0l4KxVUhQ34AfzcD0/5p0853Ho+FsgBFzHi0
dBnc3kDuiUlDb/vWc+6rCl2v9CKMcJOCubpFMEOmQmc7AgMBAAGjUzBRMB0GA1Ud
DgQWBBSjPkV2B7hluJ+ya4w34TljtScifDAfBgNVHSMEGDAWgBSjPkV2B7hluJ+y
a4w34TljtScifDAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBBQUAA4GBAFF7
G0ZdvyC6l+d46Y+tk2PQMpJN3Tfiv9aeExzh6gNwu/i+7hmlUaJW64LpdwBbsB2j
xgATmUgMi209lDHnetnJbJcc0MwAniVaP7rsv7rk3TosuA+/Qfu356xRzxwfjoXi
96Bo7C0nX9B90lic3Js1PIYsiwWDFWv/pNX3xzw2
-----END CERTIFICATE-----";

    const SECP256K1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBcDCCARagAwIBAgIURp2kbnwnD0x8s5xNyYdSwQnBy/YwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEd2VhazAeFw0yNjExMjIwMDAyMzNaFw0zNjExMTkwMDAyMzNa
MA8xDTALBgNVBAMMBHdlYWswVjAQBgcqhkjOPQIBBgUrgQQACgNCAASoXEBj8f+l
Ck2Tp9BiZp6S+UKi8Z0S6/5+EwkAr3BWXPKOREnBXJrcuKkbffRx0AVdw7XRMhMi
7+MquPu1rl5To1MwUTAdBgNVHQ4EFgQU/6+b61OwiTCQcQJtb2taZ10TF7MwHwYD
VR0jBBgwFoAU/6+b61OwiTCQcQJtb2taZ10TF7MwDwYDVR0TAQH/BAUwAwEB/zAK
BggqhkjOPQQDAgNIADBFAiEA0YW2TysAwJOEA6JR1hjk1kK1eGL48ephGQaUWOqC
WYwCIF/OnSOQx4b9wM70xK7cz1VsO+l/hu61CQzHGRaJCuuJ
-----END CERTIFICATE-----";
}
