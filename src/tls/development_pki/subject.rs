//! Subjects that rcgen cannot write: it gives each attribute a set of its own, and the CN, SN and GN of a
//! professional share one. The certificate is made with a stand-in subject, which is then exchanged and the
//! whole signed again. Source: B.1 for the layouts, X.690 for the encoding.

use rcgen::SigningKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::nom::Offset as _;
use x509_parser::prelude::FromDer as _;

/// Last arc of the attribute type, under 2.5.4 (X.520).
pub(in crate::tls) const COMMON_NAME: u8 = 3;
pub(in crate::tls) const SURNAME: u8 = 4;
pub(in crate::tls) const COUNTRY: u8 = 6;
pub(in crate::tls) const STATE: u8 = 8;
pub(in crate::tls) const ORGANISATION: u8 = 10;
pub(in crate::tls) const ORGANISATIONAL_UNIT: u8 = 11;
pub(in crate::tls) const TITLE: u8 = 12;
pub(in crate::tls) const GIVEN_NAME: u8 = 42;

/// The attributes of one relative distinguished name.
pub(in crate::tls) type Rdn<'a> = Vec<(u8, &'a str)>;

/// A distinguished name in DER; attributes of one set in the order that DER demands.
pub(in crate::tls) fn encode(name: &[Rdn<'_>]) -> Vec<u8> {
    let sets: Vec<Vec<u8>> = name
        .iter()
        .map(|rdn| {
            let mut attributes: Vec<Vec<u8>> = rdn.iter().map(|&(arc, text)| encode_attribute(arc, text)).collect();
            attributes.sort();
            tlv(SET, &attributes.concat())
        })
        .collect();
    tlv(SEQUENCE, &sets.concat())
}

/// The same certificate for another subject, signed again by its issuer. `None`: these are no bytes of a certificate.
pub(in crate::tls) fn exchange(
    certificate: &[u8],
    subject: &[u8],
    issuer: &impl SigningKey,
) -> Option<Result<Vec<u8>, rcgen::Error>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let signed: &[u8] = parsed.tbs_certificate.as_ref();
    let stand_in = parsed.subject().as_raw();
    let subject_at = signed.offset(stand_in);
    let head = header_length(signed)?;
    let content = [signed.get(head..subject_at)?, subject, signed.get(subject_at + stand_in.len()..)?].concat();
    let signed_again = tlv(SEQUENCE, &content);

    let after_signed = certificate.get(certificate.offset(signed) + signed.len()..)?;
    let algorithm_length = header_length(after_signed)? + usize::from(*after_signed.get(1)?);
    let algorithm = after_signed.get(..algorithm_length)?;
    Some(issuer.sign(&signed_again).map(|signature| {
        let bits = tlv(BIT_STRING, &[&[0], signature.as_slice()].concat());
        tlv(SEQUENCE, &[signed_again.as_slice(), algorithm, &bits].concat())
    }))
}

pub(in crate::tls) fn encode_integer(number: u8) -> Vec<u8> {
    let sign_byte: &[u8] = if number >= 0x80 { &[0] } else { &[] };
    tlv(INTEGER, &[sign_byte, &[number]].concat())
}

pub(in crate::tls) fn encode_octet(octet: u8) -> Vec<u8> {
    tlv(OCTET_STRING, &[octet])
}

pub(in crate::tls) fn encode_printable(text: &str) -> Vec<u8> {
    tlv(PRINTABLE_STRING, text.as_bytes())
}

/// Private key usage period: `[0]` and `[1]` IMPLICIT GeneralizedTime.
pub(in crate::tls) fn encode_period(from: &str, until: &str) -> Vec<u8> {
    tlv(SEQUENCE, &[tlv(0x80, from.as_bytes()), tlv(0x81, until.as_bytes())].concat())
}

pub(in crate::tls) fn encode_texts(texts: &[String]) -> Vec<u8> {
    let encoded: Vec<Vec<u8>> = texts.iter().map(|text| tlv(UTF8_STRING, text.as_bytes())).collect();
    tlv(SEQUENCE, &encoded.concat())
}

fn encode_attribute(arc: u8, text: &str) -> Vec<u8> {
    let kind = if arc == COUNTRY { PRINTABLE_STRING } else { UTF8_STRING };
    let attribute_type = tlv(OBJECT_IDENTIFIER, &[0x55, 0x04, arc]);
    tlv(SEQUENCE, &[attribute_type, tlv(kind, text.as_bytes())].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut der = vec![tag];
    match significant {
        [] => der.push(0),
        [short] if *short < 0x80 => der.push(*short),
        // At most 8 bytes: the length of a usize.
        long => {
            der.push(0x80 | u8::try_from(long.len()).unwrap_or(0x7f));
            der.extend_from_slice(long);
        }
    }
    der.extend_from_slice(content);
    der
}

/// Bytes of the tag and the length in front of a value.
fn header_length(der: &[u8]) -> Option<usize> {
    let first = *der.get(1)?;
    Some(if first < 0x80 { 2 } else { 2 + usize::from(first & 0x7f) })
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
