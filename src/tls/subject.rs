//! To whom a certificate was issued: the shapes of IGC-Santé and of the older IGC-CPS, and their card.
//!
//! A subject is read as sets of attributes, never as text: every stack renders a DN differently (`G=` or
//! `GN=`, reversed, `?` for é). Knows nothing of what the key may do, nor of chains and dates. Source: B.1.

use x509_parser::asn1_rs::{Any, Class, Error as Asn1Error, FromDer as _, Oid, Sequence, Tag, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::config::CertificateClass;
use crate::domain::code::Code;
use crate::domain::national_id::{PsIdNat, StructIdNat};
use crate::refusal::{Refusal, Rule};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Person(Person),
    Employee(Employee),
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
}

/// CPE of an employee: CN = id within a structure, O = raison sociale; most bear no name of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Employee {
    /// The structure's type digit and number, `/`, an id that only the structure knows.
    pub id: PsIdNat,
    pub organisation: String,
    /// Names where the card is of one person.
    pub names: Option<Names>,
}

/// SN and GN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub family: String,
    pub given: String,
}

/// ORG AUTH_CLI, ORG SIGN: OU = Struct_IdNat, O = raison sociale, CN = application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    pub struct_id: StructIdNat,
    pub name: String,
    pub application: String,
}

/// What a certificate says of the card, or the product, that holds its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// Absent from certificates that are not on a card.
    pub card_type: Option<CardType>,
    /// `8025000001/2500577253`: issuer and number.
    pub id: Option<String>,
    /// Extension 1.2.250.1.71.1.2.2: 0 in every published sample, and its other values are published nowhere.
    pub category: Option<u32>,
}

/// Kind of card: 0x00, 0x02, 0x03 real; the same with the high bit set on a test card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardType(u8);

impl Subject {
    /// Reads the subject of a certificate. One that has the marks of two classes is refused, not guessed.
    pub fn read(certificate: &X509Certificate<'_>) -> Result<Self, Refusal> {
        const CLASSES: &str =
            "CN + SN + GN of a professional, CN with `/` and O of an employee, or OU = Struct_IdNat of an organisation";
        let name = certificate.subject();
        let structures: Vec<StructIdNat> =
            values(name, &ORGANISATIONAL_UNIT)?.iter().filter_map(|unit| read_struct_id(unit)).collect();
        let has_names = name.iter_by_oid(&SURNAME).next().is_some() || name.iter_by_oid(&GIVEN_NAME).next().is_some();
        let has_profession = find_extension(certificate, &PROFESSION).is_some();
        let is_internal = values(name, &COMMON_NAME)?.iter().any(|common_name| common_name.contains('/'));
        match (has_names || has_profession, structures.as_slice()) {
            (_, []) if is_internal && !has_profession => Employee::read(name).map(Self::Employee),
            (true, []) => Person::read(certificate).map(Self::Person),
            (false, [struct_id]) => Organisation::read(struct_id, name).map(Self::Organisation),
            (true, [_, ..]) => {
                Err(refused("subject", "a person (SN, GN or profession) and a Struct_IdNat in OU", CLASSES))
            }
            (false, [_, _, ..]) => Err(refused("subject, OU", "several Struct_IdNat", "one")),
            (false, []) => Err(refused("subject", "neither", CLASSES)),
        }
    }

    pub fn class(&self) -> CertificateClass {
        match self {
            Self::Person(_) => CertificateClass::Person,
            Self::Employee(_) => CertificateClass::Employee,
            Self::Organisation(_) => CertificateClass::Organisation,
        }
    }
}

impl Person {
    /// IGC-Santé (`CN+SN+GN`, `title`) and the older IGC-CPS (`GN+SN+CN`, profession in `OU`) alike.
    fn read(certificate: &X509Certificate<'_>) -> Result<Self, Refusal> {
        let name = certificate.subject();
        let ps_id = read_ps_id(name)?;
        let mut titles = values(name, &TITLE)?;
        titles.append(&mut values(name, &ORGANISATIONAL_UNIT)?);
        Ok(Self {
            ps_id,
            family: one(name, &SURNAME, "subject, SN")?,
            given: one(name, &GIVEN_NAME, "subject, GN")?,
            profession: read_profession(certificate, titles.first())?,
            savoir_faire: read_savoir_faire(certificate)?,
        })
    }
}

impl Employee {
    fn read(name: &X509Name<'_>) -> Result<Self, Refusal> {
        let (mut families, mut givens) = (values(name, &SURNAME)?, values(name, &GIVEN_NAME)?);
        let names = match (families.pop(), givens.pop(), families.is_empty() && givens.is_empty()) {
            (None, None, _) => None,
            (Some(family), Some(given), true) => Some(Names { family, given }),
            _ => {
                return Err(refused(
                    "subject, SN and GN",
                    "one without the other, or several",
                    "both once, or neither",
                ));
            }
        };
        Ok(Self { id: read_ps_id(name)?, organisation: one(name, &ORGANISATION, "subject, O")?, names })
    }

    /// The name under which an employee acts. A card without one stands for its structure: raison sociale as family
    /// name, internal id as given name. Source: PDT-INF-617.
    pub fn name(&self) -> Names {
        let stand_in =
            || Names { family: without_forbidden(&self.organisation), given: without_forbidden(self.id.as_str()) };
        self.names.clone().unwrap_or_else(stand_in)
    }

    /// The structure to which what an employee does is imputed: the type digits of persons in a structure and of the
    /// structures themselves differ by two, but for the cabinets. Source: A.2.
    pub fn structure(&self) -> Option<StructIdNat> {
        let (structure, _) = self.id.as_str().split_once('/')?;
        let (kind, number) = structure.split_at_checked(1)?;
        let kind = match kind {
            "1" => "0",
            "3" => "1",
            "4" => "2",
            "5" => "3",
            "6" => "4",
            _ => return None,
        };
        format!("{kind}{number}").parse().ok()
    }
}

impl Organisation {
    fn read(struct_id: &StructIdNat, name: &X509Name<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            struct_id: struct_id.clone(),
            name: one(name, &ORGANISATION, "subject, O")?,
            application: one(name, &COMMON_NAME, "subject, CN")?,
        })
    }
}

impl Card {
    pub fn read(certificate: &X509Certificate<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            card_type: read_card_type(certificate)?,
            id: read_card_id(certificate)?,
            category: read_card_category(certificate)?,
        })
    }

    pub fn is_test(&self) -> bool {
        self.card_type.is_some_and(CardType::is_test)
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

/// TRE_G15, the code system of professions: also the OID of the extension that carries the code.
pub const PROFESSION_SYSTEM: &str = "1.2.250.1.71.1.2.7";
/// The code system of savoir-faire: also the OID of the extension that carries the codes.
pub const SAVOIR_FAIRE_SYSTEM: &str = "1.2.250.1.71.4.2.5";

fn read_ps_id(name: &X509Name<'_>) -> Result<PsIdNat, Refusal> {
    one(name, &COMMON_NAME, "subject, CN")?
        .parse::<PsIdNat>()
        .map_err(|error| refused("subject, CN", "something else than a PS_IdNat", &error.to_string()))
}

/// The extension alone decides: the text beside it is the same for a professional and for one in training.
fn read_profession(certificate: &X509Certificate<'_>, title: Option<&String>) -> Result<Code, Refusal> {
    const PLACE: &str = "extension 1.2.250.1.71.1.2.7";
    const EXPECTED: &str = "INTEGER, a code of TRE_G15, e.g. 10";
    let Some(number) = read_number(certificate, &PROFESSION, PLACE, EXPECTED)? else {
        return Err(refused(PLACE, "no profession", EXPECTED));
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

fn read_card_id(certificate: &X509Certificate<'_>) -> Result<Option<String>, Refusal> {
    const EXPECTED: &str = "PrintableString `ISSUER/NUMBER`, e.g. 8025000001/2500577253";
    let Some(der) = find_extension(certificate, &CARD_ID) else {
        return Ok(None);
    };
    let text = match Any::from_der(der) {
        Ok(([], any)) if any.class() == Class::Universal && any.tag() == Tag::PrintableString => {
            std::str::from_utf8(any.data).ok()
        }
        Ok(_) | Err(_) => None,
    };
    let is_id = |text: &&str| {
        (1..=CODE_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'/')
    };
    match text.filter(is_id) {
        Some(id) => Ok(Some(id.to_owned())),
        None => Err(refused("extension 1.2.250.1.71.1.2.3", "something else", EXPECTED)),
    }
}

fn read_card_category(certificate: &X509Certificate<'_>) -> Result<Option<u32>, Refusal> {
    read_number(certificate, &CARD_CATEGORY, "extension 1.2.250.1.71.1.2.2", "INTEGER, e.g. 0")
}

fn read_number(
    certificate: &X509Certificate<'_>,
    oid: &Oid<'_>,
    place: &str,
    expected: &str,
) -> Result<Option<u32>, Refusal> {
    match find_extension(certificate, oid).map(u32::from_der) {
        None => Ok(None),
        Some(Ok(([], number))) => Ok(Some(number)),
        Some(Ok(_) | Err(_)) => Err(refused(place, "something else than one number", expected)),
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

/// The string types of X.520 that authorities use; old cards hold T.61, which is read as Latin-1 as all do.
fn read_text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    text_of(attribute.attr_value())
}

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

/// The document does not list what is forbidden: what can neither stand in a name nor in a field of HL7 v2 goes.
fn without_forbidden(text: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '\'' | '-' | '.');
    text.chars().map(|c| if allowed(c) { c } else { '-' }).collect()
}

fn refused(place: &str, found: &str, expected: &str) -> Refusal {
    Refusal::new(Rule::CertificateClass, place, found, expected)
}

const COMMON_NAME: Oid<'static> = oid!(2.5.4.3);
const SURNAME: Oid<'static> = oid!(2.5.4.4);
const ORGANISATION: Oid<'static> = oid!(2.5.4.10);
const ORGANISATIONAL_UNIT: Oid<'static> = oid!(2.5.4.11);
const TITLE: Oid<'static> = oid!(2.5.4.12);
const GIVEN_NAME: Oid<'static> = oid!(2.5.4.42);
const CARD_CATEGORY: Oid<'static> = oid!(1.2.250.1.71.1.2.2);
const CARD_ID: Oid<'static> = oid!(1.2.250.1.71.1.2.3);
const CARD_TYPE: Oid<'static> = oid!(1.2.250.1.71.1.2.5);
const PROFESSION: Oid<'static> = oid!(1.2.250.1.71.1.2.7);
const SAVOIR_FAIRE: Oid<'static> = oid!(1.2.250.1.71.4.2.5);

const NAME_CHARS_MAX: usize = 128;
const CODE_CHARS_MAX: usize = 32;
const SAVOIR_FAIRE_MAX: usize = 32;
