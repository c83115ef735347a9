//! What a verified client certificate says of its holder.
//!
//! A subject is read as sets of attributes, never as text: every stack renders a DN differently (`G=` or
//! `GN=`, reversed, `?` for é). Knows nothing of chains, dates and revocation: `tls::trust` has checked them.
//! Source: B.1.

use x509_parser::asn1_rs::{Any, Class, Error as Asn1Error, FromDer as _, Oid, Sequence, Tag, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::domain::code::Code;
use crate::domain::national_id::{PsIdNat, StructIdNat};
use crate::domain::sha::{Fingerprint, Sha256Hash, hex};
use crate::refusal::{Refusal, Rule};

/// A certificate whose chain, dates and revocation the handshake has verified.
#[derive(Debug)]
pub struct ClientCertificate {
    pub subject: Subject,
    /// Lower-case hexadecimal, as the journal and `pki revoke` show it.
    pub serial: String,
    pub fingerprint: Sha256Hash,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Person(Person),
    Organisation(Organisation),
}

/// CPS of a professional: CN = PS_IdNat, SN, GN, profession and savoir-faire in extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub ps_id: PsIdNat,
    pub family: String,
    pub given: String,
    /// TRE_G15 code, e.g. 10 médecin, 21 pharmacien.
    pub profession: Code,
    /// TRE_R38 and others: SM26...
    pub savoir_faire: Vec<Code>,
    /// Absent from certificates that are not on a card.
    pub card_type: Option<CardType>,
}

/// ORG AUTH_CLI: OU = Struct_IdNat, O = raison sociale, CN = application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    pub struct_id: StructIdNat,
    pub name: String,
    pub application: String,
}

/// Kind of card: 0x00, 0x02, 0x03 real; the same with the high bit set on a test card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardType(u8);

impl ClientCertificate {
    /// Reads the end-entity certificate of a verified chain.
    ///
    /// Errors: `CertificateClass` with the place in the certificate, for what is neither a professional nor an
    /// organisation, is both, or was issued for something else than client authentication.
    pub fn from_der(der: &[u8]) -> Result<Self, Refusal> {
        let Ok(([], certificate)) = X509Certificate::from_der(der) else {
            return Err(refused("DER", "bytes that are not one certificate", "X.509 version 3"));
        };
        check_purpose(&certificate)?;
        let subject = read_subject(&certificate)?;
        let serial = serial_hex(certificate.raw_serial());
        Ok(Self { subject, serial, fingerprint: Fingerprint::of(der).sha256 })
    }
}

impl CardType {
    pub fn new(byte: u8) -> Self {
        Self(byte)
    }

    pub fn byte(self) -> u8 {
        self.0
    }

    pub fn is_test(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// Lower-case hexadecimal without the sign byte that DER puts before a high bit.
pub fn serial_hex(raw_serial: &[u8]) -> String {
    match raw_serial {
        [0, rest @ ..] if !rest.is_empty() => hex(rest),
        _ => hex(raw_serial),
    }
}

/// The serial of a certificate that need not be of any class.
pub fn serial_of(der: &[u8]) -> String {
    X509Certificate::from_der(der)
        .map_or_else(|_| "unreadable".to_owned(), |(_, certificate)| serial_hex(certificate.raw_serial()))
}

/// TRE_G15, the code system of professions: also the OID of the extension that carries the code.
pub const PROFESSION_SYSTEM: &str = "1.2.250.1.71.1.2.7";
/// The code system of savoir-faire: also the OID of the extension that carries the codes.
pub const SAVOIR_FAIRE_SYSTEM: &str = "1.2.250.1.71.4.2.5";

/// Authentication certificates only: digitalSignature and clientAuth, never a CA, never a signature certificate.
fn check_purpose(certificate: &X509Certificate<'_>) -> Result<(), Refusal> {
    let unreadable = |_| refused("extensions", "an extension twice, or one that cannot be read", "RFC 5280 extensions");
    certificate.extensions_map().map_err(unreadable)?;
    let broken = |extension: &ParsedExtension<'_>| matches!(extension, ParsedExtension::ParseError { .. });
    if let Some(extension) = certificate.extensions().iter().find(|one| broken(one.parsed_extension())) {
        return Err(refused(&format!("extension {}", extension.oid), "bytes that cannot be read", "RFC 5280 syntax"));
    }
    if certificate.is_ca() {
        return Err(refused("basicConstraints", "a CA", "an end-entity certificate: an authority is nobody's client"));
    }
    let client_auth =
        certificate.extended_key_usage().map_err(unreadable)?.is_some_and(|usage| usage.value.client_auth);
    if !client_auth {
        const EXPECTED: &str = "clientAuth: an authentication certificate, not one for signature or servers";
        return Err(refused("extendedKeyUsage", "no clientAuth", EXPECTED));
    }
    match certificate.key_usage().map_err(unreadable)? {
        Some(usage) if usage.value.non_repudiation() => {
            Err(refused("keyUsage", "nonRepudiation", "an authentication certificate: signature keys only sign"))
        }
        Some(usage) if !usage.value.digital_signature() => {
            Err(refused("keyUsage", "no digitalSignature", "digitalSignature"))
        }
        _ => Ok(()),
    }
}

/// Who the certificate was issued to. A subject that has the marks of both classes is refused, not guessed.
pub(super) fn read_subject(certificate: &X509Certificate<'_>) -> Result<Subject, Refusal> {
    const CLASSES: &str = "CN + SN + GN of a professional, or OU = Struct_IdNat of an organisation";
    let name = certificate.subject();
    let structures: Vec<StructIdNat> =
        values(name, &ORGANISATIONAL_UNIT)?.iter().filter_map(|unit| read_struct_id(unit)).collect();
    let has_names = name.iter_by_oid(&SURNAME).next().is_some() || name.iter_by_oid(&GIVEN_NAME).next().is_some();
    let has_profession = find_extension(certificate, &PROFESSION).is_some();
    match (has_names || has_profession, structures.as_slice()) {
        (true, []) => read_person(certificate).map(Subject::Person),
        (false, [struct_id]) => Ok(Subject::Organisation(Organisation {
            struct_id: struct_id.clone(),
            name: one(name, &ORGANISATION, "subject, O")?,
            application: one(name, &COMMON_NAME, "subject, CN")?,
        })),
        (true, [_, ..]) => Err(refused("subject", "a person (SN, GN or profession) and a Struct_IdNat in OU", CLASSES)),
        (false, [_, _, ..]) => Err(refused("subject, OU", "several Struct_IdNat", "one")),
        (false, []) if one(name, &COMMON_NAME, "").is_ok_and(|cn| cn.contains('/')) => {
            const EXPECTED: &str = "a professional's card or an organisation: cards of employees are not accepted";
            Err(refused("subject", "CN with an internal id and no names (CPE)", EXPECTED))
        }
        (false, []) => Err(refused("subject", "neither", CLASSES)),
    }
}

/// IGC-Santé (`CN+SN+GN`, `title`) and the older IGC-CPS (`GN+SN+CN`, profession in `OU`) alike.
fn read_person(certificate: &X509Certificate<'_>) -> Result<Person, Refusal> {
    let name = certificate.subject();
    let ps_id = one(name, &COMMON_NAME, "subject, CN")?
        .parse::<PsIdNat>()
        .map_err(|error| refused("subject, CN", "something else than a PS_IdNat", &error.to_string()))?;
    let mut titles = values(name, &TITLE)?;
    titles.append(&mut values(name, &ORGANISATIONAL_UNIT)?);
    Ok(Person {
        ps_id,
        family: one(name, &SURNAME, "subject, SN")?,
        given: one(name, &GIVEN_NAME, "subject, GN")?,
        profession: read_profession(certificate, titles.first())?,
        savoir_faire: read_savoir_faire(certificate)?,
        card_type: read_card_type(certificate)?,
    })
}

/// The extension alone decides: the text beside it is the same for a professional and for one in training.
fn read_profession(certificate: &X509Certificate<'_>, title: Option<&String>) -> Result<Code, Refusal> {
    const PLACE: &str = "extension 1.2.250.1.71.1.2.7";
    const EXPECTED: &str = "INTEGER, a code of TRE_G15, e.g. 10";
    let Some(der) = find_extension(certificate, &PROFESSION) else {
        return Err(refused(PLACE, "no profession", EXPECTED));
    };
    let Ok(([], number)) = u32::from_der(der) else {
        return Err(refused(PLACE, "something else than one number", EXPECTED));
    };
    let code = Code::new(PROFESSION_SYSTEM, &number.to_string());
    Ok(match title {
        Some(title) => code.with_display(title),
        None => code,
    })
}

fn read_savoir_faire(certificate: &X509Certificate<'_>) -> Result<Vec<Code>, Refusal> {
    let malformed = || refused("extension 1.2.250.1.71.4.2.5", "something else", "SEQUENCE OF UTF8String, e.g. SM26");
    let Some(der) = find_extension(certificate, &SAVOIR_FAIRE) else {
        return Ok(Vec::new());
    };
    let (rest, sequence) = Sequence::from_der(der).map_err(|_| malformed())?;
    let codes = sequence.der_sequence_of::<&str, Asn1Error>().map_err(|_| malformed())?;
    let is_code = |code: &&str| {
        (1..=CODE_CHARS_MAX).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if rest.is_empty() && codes.len() <= SAVOIR_FAIRE_MAX && codes.iter().all(is_code) {
        Ok(codes.into_iter().map(|code| Code::new(SAVOIR_FAIRE_SYSTEM, code)).collect())
    } else {
        Err(malformed())
    }
}

fn read_card_type(certificate: &X509Certificate<'_>) -> Result<Option<CardType>, Refusal> {
    let Some(der) = find_extension(certificate, &CARD_TYPE) else {
        return Ok(None);
    };
    match Any::from_der(der) {
        Ok(([], any)) if any.class() == Class::Universal && any.tag() == Tag::OctetString && any.data.len() == 1 => {
            Ok(Some(CardType(any.data[0])))
        }
        Ok(_) | Err(_) => Err(refused("extension 1.2.250.1.71.1.2.5", "something else", "OCTET STRING of one byte")),
    }
}

/// A text of letters alone (the profession in `OU` of an old card) is no Struct_IdNat.
fn read_struct_id(unit: &str) -> Option<StructIdNat> {
    if unit.bytes().any(|byte| byte.is_ascii_digit()) { unit.parse().ok() } else { None }
}

fn find_extension<'a>(certificate: &'a X509Certificate<'_>, oid: &Oid<'_>) -> Option<&'a [u8]> {
    certificate.extensions().iter().find(|extension| extension.oid == *oid).map(|extension| extension.value)
}

fn one(name: &X509Name<'_>, oid: &Oid<'static>, place: &str) -> Result<String, Refusal> {
    let mut all = values(name, oid)?;
    match (all.pop(), all.is_empty()) {
        (Some(value), true) => Ok(value),
        (Some(_), false) => Err(refused(place, "several", "one")),
        (None, _) => Err(refused(place, "nothing", "one")),
    }
}

fn values(name: &X509Name<'_>, oid: &Oid<'static>) -> Result<Vec<String>, Refusal> {
    const EXPECTED: &str = "printable text of 1 to 128 characters";
    let of_type = name.iter_attributes().filter(|attribute| attribute.attr_type() == oid);
    of_type
        .map(|attribute| {
            let text = read_text(attribute).map(|text| text.trim().to_owned());
            text.filter(|text| {
                !text.is_empty() && text.chars().count() <= NAME_CHARS_MAX && !text.contains(char::is_control)
            })
            .ok_or_else(|| refused("subject", "an attribute that is no text, or empty, or too long", EXPECTED))
        })
        .collect()
}

fn read_text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    text_of(attribute.attr_value())
}

/// The string types of X.520 that authorities use; old cards hold T.61, which is read as Latin-1 as all do.
pub(super) fn text_of(value: &Any<'_>) -> Option<String> {
    let bytes = value.data;
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        }
        Tag::T61String => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString if bytes.len().is_multiple_of(2) => {
            let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    }
}

fn refused(place: &str, found: &str, expected: &str) -> Refusal {
    Refusal::new(Rule::CertificateClass, format!("client certificate, {place}"), found, expected)
}

const COMMON_NAME: Oid<'static> = oid!(2.5.4.3);
const SURNAME: Oid<'static> = oid!(2.5.4.4);
const ORGANISATION: Oid<'static> = oid!(2.5.4.10);
const ORGANISATIONAL_UNIT: Oid<'static> = oid!(2.5.4.11);
const TITLE: Oid<'static> = oid!(2.5.4.12);
const GIVEN_NAME: Oid<'static> = oid!(2.5.4.42);
const CARD_TYPE: Oid<'static> = oid!(1.2.250.1.71.1.2.5);
const PROFESSION: Oid<'static> = oid!(1.2.250.1.71.1.2.7);
const SAVOIR_FAIRE: Oid<'static> = oid!(1.2.250.1.71.4.2.5);

const NAME_CHARS_MAX: usize = 128;
const CODE_CHARS_MAX: usize = 32;
const SAVOIR_FAIRE_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
        KeyPair, KeyUsagePurpose,
    };

    use super::*;
    use crate::tls::development_pki::subject;

    const SN: &[u64] = &[2, 5, 4, 4];
    const CN: &[u64] = &[2, 5, 4, 3];
    const O: &[u64] = &[2, 5, 4, 10];
    const OU: &[u64] = &[2, 5, 4, 11];
    const GN: &[u64] = &[2, 5, 4, 42];
    const DOCTOR: &[(&[u64], &str)] = &[(GN, "Romuald"), (SN, "DURANT"), (CN, "801234567897"), (OU, "Médecin")];
    const LABORATORY: &[(&[u64], &str)] = &[(O, "LABO TEST"), (OU, "1750803447"), (CN, "SIL")];
    const PROFESSION_10: (&[u64], &[u8]) = (&[1, 2, 250, 1, 71, 1, 2, 7], &[2, 1, 10]);

    fn params(subject: &[(&[u64], &str)], extensions: &[(&[u64], &[u8])]) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (oid, text) in subject {
            params.distinguished_name.push(DnType::CustomDnType(oid.to_vec()), *text);
        }
        let custom = |(oid, content): &(&[u64], &[u8])| CustomExtension::from_oid_content(oid, content.to_vec());
        params.custom_extensions = extensions.iter().map(custom).collect();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params
    }

    fn read(params: &CertificateParams) -> Result<ClientCertificate, Refusal> {
        let key = KeyPair::generate().unwrap();
        ClientCertificate::from_der(params.self_signed(&key).unwrap().der())
    }

    fn refusal(params: &CertificateParams) -> String {
        let refusal = read(params).unwrap_err();
        assert_eq!(refusal.rule, Rule::CertificateClass);
        refusal.to_string()
    }

    #[test]
    fn an_old_card_has_its_profession_in_ou() {
        let Subject::Person(person) = read(&params(DOCTOR, &[PROFESSION_10])).unwrap().subject else {
            panic!("not a person");
        };
        assert_eq!(person.ps_id.as_str(), "801234567897");
        assert_eq!((person.family.as_str(), person.given.as_str()), ("DURANT", "Romuald"));
        assert!(person.profession.is(&Code::new(PROFESSION_SYSTEM, "10")));
        assert_eq!(person.profession.display.as_deref(), Some("Médecin"));
        assert_eq!(person.card_type, None);
    }

    #[test]
    fn savoir_faire_and_card_type_are_read_from_their_extensions() {
        let savoir_faire: (&[u64], &[u8]) = (&[1, 2, 250, 1, 71, 4, 2, 5], b"\x30\x06\x0c\x04SM26");
        let card: (&[u64], &[u8]) = (&[1, 2, 250, 1, 71, 1, 2, 5], &[4, 1, 0x82]);
        let Subject::Person(person) = read(&params(DOCTOR, &[PROFESSION_10, savoir_faire, card])).unwrap().subject
        else {
            panic!("not a person");
        };
        assert_eq!(person.savoir_faire, [Code::new(SAVOIR_FAIRE_SYSTEM, "SM26")]);
        assert!(person.card_type.is_some_and(CardType::is_test));
    }

    #[test]
    fn an_organisation_is_its_struct_id_nat() {
        let expected = Organisation {
            struct_id: "1750803447".parse().unwrap(),
            name: "LABO TEST".to_owned(),
            application: "SIL".to_owned(),
        };
        assert_eq!(read(&params(LABORATORY, &[])).unwrap().subject, Subject::Organisation(expected));
    }

    #[test]
    fn both_classes_at_once_is_neither() {
        let both = [LABORATORY, &[(SN, "DURANT")]].concat();
        assert!(refusal(&params(&both, &[])).contains("a person (SN, GN or profession) and a Struct_IdNat"));
        refusal(&params(LABORATORY, &[PROFESSION_10]));
    }

    #[test]
    fn an_identifier_given_twice_is_refused() {
        use subject::{COMMON_NAME, ORGANISATION, ORGANISATIONAL_UNIT};
        let key = KeyPair::generate().unwrap();
        let stand_in = params(LABORATORY, &[]).self_signed(&key).unwrap();
        let read = |name: &[subject::Rdn<'_>]| {
            let der = subject::exchange(stand_in.der(), &subject::encode(name), &key).unwrap().unwrap();
            ClientCertificate::from_der(&der).unwrap_err().to_string()
        };
        let (name, unit) = ((ORGANISATION, "LABO TEST"), (ORGANISATIONAL_UNIT, "1750803447"));
        let two_units = [vec![name], vec![unit], vec![(ORGANISATIONAL_UNIT, "1310000017")], vec![(COMMON_NAME, "SIL")]];
        assert!(read(&two_units).contains("several Struct_IdNat"));
        let two_names = [vec![name], vec![unit], vec![(COMMON_NAME, "SIL"), (COMMON_NAME, "LIS")]];
        assert!(read(&two_names).contains("subject, CN: found several"));
    }

    #[test]
    fn an_incomplete_subject_says_what_is_missing() {
        assert!(refusal(&params(&[(CN, "client")], &[])).contains("CN + SN + GN"));
        assert!(refusal(&params(DOCTOR, &[])).contains("no profession"));
        assert!(refusal(&params(&DOCTOR[1..], &[PROFESSION_10])).contains("subject, GN"));
        assert!(refusal(&params(&[(SN, "DURANT"), (GN, "R"), (CN, "Romuald")], &[PROFESSION_10])).contains("PS_IdNat"));
        assert!(refusal(&params(&[(CN, "310000017/42"), (O, "CLINIQUE")], &[])).contains("CPE"));
    }

    #[test]
    fn a_key_for_signatures_or_servers_opens_no_connection() {
        let mut server = params(DOCTOR, &[PROFESSION_10]);
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        assert!(refusal(&server).contains("clientAuth"));
        let mut silent = params(DOCTOR, &[PROFESSION_10]);
        silent.extended_key_usages.clear();
        assert!(refusal(&silent).contains("clientAuth"));
        let mut signature = params(DOCTOR, &[PROFESSION_10]);
        signature.key_usages.push(KeyUsagePurpose::ContentCommitment);
        assert!(refusal(&signature).contains("nonRepudiation"));
        let mut authority = params(LABORATORY, &[]);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        assert!(refusal(&authority).contains("a CA"));
    }

    #[test]
    fn a_malformed_extension_is_refused_and_named() {
        for content in [&[][..], &[2, 1], &[2, 0], &[4, 1, 10], &[2, 1, 10, 0], &[2, 1, 0xff]] {
            let text = refusal(&params(DOCTOR, &[(PROFESSION_10.0, content)]));
            assert!(text.contains(PROFESSION_SYSTEM), "{text}");
        }
        for content in [&b"\x30\x04\x0c\x04SM"[..], b"\x0c\x04SM26", b"\x30\x06\x0c\x04SM 6", b"\x30\x02\x0c\x00"] {
            let text = refusal(&params(DOCTOR, &[PROFESSION_10, (&[1, 2, 250, 1, 71, 4, 2, 5], content)]));
            assert!(text.contains(SAVOIR_FAIRE_SYSTEM), "{text}");
        }
        refusal(&params(DOCTOR, &[PROFESSION_10, (&[1, 2, 250, 1, 71, 1, 2, 5], &[4, 2, 0, 0])]));
    }

    #[test]
    fn a_serial_shows_no_sign_byte() {
        assert_eq!(serial_hex(&[0, 0x9a, 1]), "9a01");
        assert_eq!(serial_hex(&[0]), "00");
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = ClientCertificate::from_der(&bytes);
        }

        #[test]
        fn a_damaged_certificate_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            static GOOD: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
                let key = KeyPair::generate().unwrap();
                params(DOCTOR, &[PROFESSION_10]).self_signed(&key).unwrap().der().to_vec()
            });
            let mut bytes = GOOD.clone();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = ClientCertificate::from_der(&bytes);
            let _ = ClientCertificate::from_der(&bytes[..at]);
        }
    }
}
