//! FHIR data types that several resources share.

use std::borrow::Cow;

use serde::Serialize;

use super::Writing;
use crate::domain::author;
use crate::domain::code::Code;
use crate::domain::dtm::Dtm;
use crate::domain::ins::Ins;

/// System of identifiers that are URIs themselves: `urn:oid:…`, `urn:uuid:…`.
pub const URI_SYSTEM: &str = "urn:ietf:rfc:3986";

pub type Text<'a> = Cow<'a, str>;

#[derive(Debug, Clone, Default, Serialize)]
pub struct Coding<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<Text<'a>>,
    pub code: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<Text<'a>>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct CodeableConcept<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub coding: Vec<Coding<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Identifier<'a> {
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<&'static str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<CodeableConcept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<Text<'a>>,
    pub value: Text<'a>,
}

/// A literal reference, a logical one (type and identifier), or both.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Reference<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<[Extension<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Identifier<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<Text<'a>>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Period {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profile: Vec<&'a str>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Extension<'a> {
    pub url: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extension: Vec<Extension<'a>>,
    #[serde(flatten)]
    pub value: Option<Value<'a>>,
}

/// `value[x]` of an extension, as far as we write it.
#[derive(Debug, Clone, Serialize)]
pub enum Value<'a> {
    #[serde(rename = "valueBoolean")]
    Boolean(bool),
    #[serde(rename = "valueCode")]
    Code(&'static str),
    #[serde(rename = "valueDateTime")]
    DateTime(String),
    #[serde(rename = "valueIdentifier")]
    Identifier(Box<Identifier<'a>>),
    #[serde(rename = "valueCodeableConcept")]
    CodeableConcept(Box<CodeableConcept<'a>>),
    #[serde(rename = "valueReference")]
    Reference(Box<Reference<'a>>),
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct HumanName<'a> {
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<&'a str>,
}

impl<'a> Writing<'a> {
    pub fn coding(&self, code: &'a Code) -> Coding<'a> {
        Coding {
            system: self.system(&code.system).map(Cow::Owned),
            code: Cow::Borrowed(&code.code),
            display: code.display.as_deref().filter(|text| !text.is_empty()).map(Cow::Borrowed),
        }
    }

    pub fn concept(&self, code: &'a Code) -> CodeableConcept<'a> {
        CodeableConcept { coding: vec![self.coding(code)], text: None }
    }

    pub fn identifier(&self, identifier: &'a author::Identifier) -> Identifier<'a> {
        let system = self.system(&identifier.system).map(Cow::Owned);
        Identifier { system, value: Cow::Borrowed(&identifier.value), ..Identifier::default() }
    }

    /// FHIR knows no empty string: an unknown system is left out.
    fn system(&self, system: &str) -> Option<String> {
        (!system.is_empty()).then(|| self.terminology.fhir_system(system))
    }
}

impl Identifier<'_> {
    /// An identifier that is a URI itself.
    pub fn of_uri(usage: &'static str, uri: String) -> Self {
        Self { usage: Some(usage), kind: None, system: Some(Cow::Borrowed(URI_SYSTEM)), value: Cow::Owned(uri) }
    }

    pub fn with_kind(mut self, system: &'static str, code: &'static str) -> Self {
        self.kind = Some(CodeableConcept::of(system, code));
        self
    }
}

impl CodeableConcept<'_> {
    pub fn of(system: &'static str, code: &'static str) -> Self {
        let coding = Coding { system: Some(Cow::Borrowed(system)), code: Cow::Borrowed(code), display: None };
        Self { coding: vec![coding], text: None }
    }
}

impl<'a> Reference<'a> {
    pub fn to(reference: String) -> Self {
        Self { reference: Some(reference), ..Self::default() }
    }

    /// A logical reference: this server gives a patient no id of its own, so that no URL needs one.
    pub fn to_patient(ins: &'a Ins) -> Self {
        Self { kind: Some("Patient"), identifier: Some(ins_identifier(ins)), ..Self::default() }
    }
}

/// An INS as fr-core writes it: the OID of its authority as system.
pub fn ins_identifier(ins: &Ins) -> Identifier<'_> {
    Identifier {
        usage: Some("official"),
        kind: None,
        system: Some(Cow::Owned(format!("urn:oid:{}", ins.authority().oid()))),
        value: Cow::Borrowed(ins.matricule()),
    }
}

impl<'a> Extension<'a> {
    pub fn of(url: &'static str, value: Value<'a>) -> Self {
        Self { url, extension: Vec::new(), value: Some(value) }
    }

    pub fn nested(url: &'static str, extension: Vec<Self>) -> Self {
        Self { url, extension, value: None }
    }
}

/// FHIR `date`: whatever was said below the day is cut, for the type cannot hold it.
pub fn date_of(dtm: Dtm) -> String {
    let mut text = dtm.to_fhir();
    text.truncate(DATE_CHARS);
    text
}

const DATE_CHARS: usize = "2019-12-03".len();
