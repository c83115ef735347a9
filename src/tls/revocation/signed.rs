//! What an authority signed: the frame that CRLs, certificates and OCSP answers share.
//!
//! The signature is checked over the very bytes that arrived, with the algorithms that TLS itself accepts:
//! no SHA-1, no RSA below 2048 bits. Source: RFC 5280 4.1, 5.1; RFC 6960 4.2.1.

use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_parser::asn1_rs::{Any, FromDer as _, Tag};
use x509_parser::x509::SubjectPublicKeyInfo;

/// Whether `whole`, a sequence of what is signed, algorithm and signature, was signed with this key.
pub(super) fn is_signed_by(whole: &[u8], key: &SubjectPublicKeyInfo<'_>, known: &WebPkiSupportedAlgorithms) -> bool {
    let (Some(parts), Some(key_algorithm)) = (parts(whole), content(key.raw).and_then(content)) else {
        return false;
    };
    let mut fitting = known.all.iter().filter(|one| {
        one.public_key_alg_id().as_ref() == key_algorithm && one.signature_alg_id().as_ref() == parts.algorithm
    });
    fitting.any(|one| one.verify_signature(&key.subject_public_key.data, parts.signed, parts.signature).is_ok())
}

/// What is inside the first DER value of these bytes.
pub(super) fn content(der: &[u8]) -> Option<&[u8]> {
    Any::from_der(der).ok().map(|(_, any)| any.data)
}

/// Each DER value of these bytes, with its tag and length; ends before the first that is none.
pub(super) fn values(mut der: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (value, rest) = split(der)?;
        der = rest;
        Some(value)
    })
}

/// A number without the zero bytes in front, which authorities write differently in lists and certificates.
pub(super) fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

struct Parts<'a> {
    signed: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

fn parts(whole: &[u8]) -> Option<Parts<'_>> {
    let (signed, rest) = split(content(whole)?)?;
    let (algorithm, rest) = split(rest)?;
    let (_, bits) = Any::from_der(rest).ok().filter(|(_, bits)| bits.tag() == Tag::BitString)?;
    let (0, signature) = bits.data.split_first().map(|(unused, bytes)| (*unused, bytes))? else {
        return None;
    };
    Some(Parts { signed, algorithm: content(algorithm)?, signature })
}

fn split(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, _) = Any::from_der(der).ok()?;
    der.split_at_checked(der.len() - rest.len())
}
