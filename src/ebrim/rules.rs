//! The table: which slot, identifier or classification is which attribute, how often, read by what.
//!
//! An attribute may come once unless its row says otherwise; only what no CDA header could supply is
//! required here, the gateway judges the rest once header and metadata are together. Slots in any order,
//! blank values as if absent. Source: D.2, D.3; A.3 for what is inside.

use super::hl7v2::{CodedText, Cx, Cxi, Hl7Error, Xcn, Xon, take_pid_field};
use super::object::{Classification, RegistryObject, slot_values};
use super::urn::{CUSTODIAN, REFERENCE_ID_LIST, document, submission_set};
use crate::domain::author::Author;
use crate::domain::code::Code;
use crate::domain::confidentiality::{CONFIDENTIALITY_OID, ConfidentialityLevel, VISIBILITY_OID, VisibilityLabel};
use crate::domain::dtm::Dtm;
use crate::domain::ids::UniqueId;
use crate::domain::ins::{Ins, InsError, mask};
use crate::domain::sha::Sha1Hash;
use crate::domain::value_set::Terminology;
use crate::operation::draft::{MetadataDraft, SubmissionSetDraft};
use crate::refusal::{Refusal, Rule};

/// What an `ExtrinsicObject` says: the entry, and what it claims of the bytes.
#[derive(Default)]
pub(super) struct DocumentFields {
    pub(super) metadata: MetadataDraft,
    pub(super) declared_hash: Option<Sha1Hash>,
    pub(super) declared_size: Option<u64>,
    pub(super) uri: Option<String>,
    /// A level was said: a second, different one contradicts it.
    level: Option<ConfidentialityLevel>,
}

/// Reads a document; what it cannot use comes back as notes.
pub(super) fn read_document(object: &RegistryObject, terminology: &Terminology) -> (DocumentFields, Findings) {
    let place = format!("ExtrinsicObject[{}]", object.id);
    let mut findings = Findings::default();
    let mut fields = DocumentFields::default();
    fill(&mut fields, object, &place, (DOCUMENT_TEXTS, DOCUMENT_CODES), terminology, &mut findings);
    for slot in object.slots.iter().filter(|slot| !is_known(&slot.name, DOCUMENT_TEXTS)) {
        fields.metadata.other_slots.push((slot.name.clone(), slot.values.clone()));
    }
    (fields, findings)
}

/// Reads a submission set; what it cannot use comes back as notes.
pub(super) fn read_submission_set(
    object: &RegistryObject,
    terminology: &Terminology,
) -> (SubmissionSetDraft, Findings) {
    let place = format!("RegistryPackage[{}]", object.id);
    let mut findings = Findings::default();
    let mut draft = SubmissionSetDraft { place: place.clone(), ..SubmissionSetDraft::default() };
    fill(&mut draft, object, &place, (SET_TEXTS, SET_CODES), terminology, &mut findings);
    for slot in object.slots.iter().filter(|slot| !is_known(&slot.name, SET_TEXTS)) {
        findings.notes.push(format!("{place}/Slot[{}] is not kept", slot.name));
    }
    (draft, findings)
}

/// What was wrong, and what was right but has no place in the record.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) refusals: Vec<Refusal>,
    pub(super) notes: Vec<String>,
}

/// Where an attribute that is a text lies.
#[derive(Clone, Copy)]
enum At {
    Slot(&'static str),
    Identifier(&'static str),
    Name,
    Description,
    MimeType,
}

/// Attribute, where, how often, and what reads one value of it.
struct TextRow<T>(&'static str, At, Count, fn(&mut T, &str, &Context<'_>) -> Result<(), Refusal>);

/// Attribute, classification scheme, how often, and what reads one of it.
struct CodeRow<T>(&'static str, &'static str, Count, fn(&mut T, &Classification, &Context<'_>) -> Result<(), Refusal>);

#[derive(Clone, Copy)]
enum Count {
    ZeroOrOne,
    One,
    Any,
}

struct Context<'c> {
    place: String,
    terminology: &'c Terminology,
}

impl Context<'_> {
    fn refuse(&self, rule: Rule, found: impl Into<String>, expected: impl Into<String>) -> Refusal {
        Refusal::new(rule, &self.place, found, expected)
    }

    fn canonical(&self, mut code: Code) -> Code {
        code.system = self.terminology.canonical_system(&code.system);
        code
    }
}

type Tables<T> = (&'static [TextRow<T>], &'static [CodeRow<T>]);

const DOCUMENT_TEXTS: &[TextRow<DocumentFields>] = &[
    TextRow("uniqueId", At::Identifier(document::UNIQUE_ID), Count::One, |to, text, context| {
        to.metadata.unique_id = Some(unique_id(text, context)?);
        Ok(())
    }),
    TextRow("patientId", At::Identifier(document::PATIENT_ID), Count::One, |to, text, context| {
        to.metadata.patient_id = Some(ins(text, context)?);
        Ok(())
    }),
    TextRow("sourcePatientId", At::Slot("sourcePatientId"), Count::ZeroOrOne, |to, text, context| {
        let id = hidden::<Cx>(text, context)?.into();
        to.metadata.source_patient.get_or_insert_default().id = Some(id);
        Ok(())
    }),
    TextRow("sourcePatientInfo", At::Slot(SOURCE_PATIENT_INFO), Count::Any, |to, text, _| {
        if !take_pid_field(&mut to.metadata.source_patient.get_or_insert_default().info, text) {
            keep_other(&mut to.metadata.other_slots, SOURCE_PATIENT_INFO, text);
        }
        Ok(())
    }),
    TextRow("legalAuthenticator", At::Slot("legalAuthenticator"), Count::ZeroOrOne, |to, text, context| {
        let person = Some(hidden::<Xcn>(text, context)?.into());
        to.metadata.legal_authenticator = Some(Author { person, ..Author::default() });
        Ok(())
    }),
    TextRow("custodian", At::Slot(CUSTODIAN), Count::ZeroOrOne, |to, text, context| {
        to.metadata.custodian = Some(hidden::<Xon>(text, context)?.into());
        Ok(())
    }),
    TextRow("title", At::Name, Count::ZeroOrOne, |to, text, _| {
        to.metadata.title = Some(text.to_owned());
        Ok(())
    }),
    TextRow("comments", At::Description, Count::ZeroOrOne, |to, text, _| {
        to.metadata.comments = Some(text.to_owned());
        Ok(())
    }),
    TextRow("mimeType", At::MimeType, Count::ZeroOrOne, |to, text, _| {
        to.metadata.mime_type = Some(text.to_owned());
        Ok(())
    }),
    TextRow("languageCode", At::Slot("languageCode"), Count::ZeroOrOne, |to, text, _| {
        to.metadata.language_code = Some(text.to_owned());
        Ok(())
    }),
    TextRow("creationTime", At::Slot("creationTime"), Count::ZeroOrOne, |to, text, context| {
        to.metadata.creation_time = Some(dtm(text, context)?);
        Ok(())
    }),
    TextRow("serviceStartTime", At::Slot("serviceStartTime"), Count::ZeroOrOne, |to, text, context| {
        to.metadata.service_start_time = Some(dtm(text, context)?);
        Ok(())
    }),
    TextRow("serviceStopTime", At::Slot("serviceStopTime"), Count::ZeroOrOne, |to, text, context| {
        to.metadata.service_stop_time = Some(dtm(text, context)?);
        Ok(())
    }),
    TextRow("referenceIdList", At::Slot(REFERENCE_ID_LIST), Count::Any, |to, text, context| {
        to.metadata.reference_ids.push(hidden::<Cxi>(text, context)?.into());
        Ok(())
    }),
    TextRow("hash", At::Slot("hash"), Count::ZeroOrOne, |to, text, context| {
        let hash =
            sha1(text).ok_or_else(|| context.refuse(Rule::MetadataValue, text, "SHA-1 in 40 hexadecimal digits"))?;
        to.declared_hash = Some(hash);
        Ok(())
    }),
    TextRow("size", At::Slot("size"), Count::ZeroOrOne, |to, text, context| {
        let size = text.parse().map_err(|_| context.refuse(Rule::MetadataValue, text, "a number of bytes"))?;
        to.declared_size = Some(size);
        Ok(())
    }),
    TextRow("URI", At::Slot("URI"), Count::ZeroOrOne, |to, text, _| {
        to.uri = Some(text.to_owned());
        Ok(())
    }),
    // Set by the repository that holds the document: the one it comes from is no longer it.
    TextRow("repositoryUniqueId", At::Slot("repositoryUniqueId"), Count::Any, |_, _, _| Ok(())),
];

const DOCUMENT_CODES: &[CodeRow<DocumentFields>] = &[
    CodeRow("author", document::AUTHOR, Count::Any, |to, classification, context| {
        to.metadata.authors.push(author(classification, context)?);
        Ok(())
    }),
    // Derived from the type by our table, never the sender's (D.2).
    CodeRow("classCode", document::CLASS, Count::ZeroOrOne, |_, _, _| Ok(())),
    CodeRow("typeCode", document::TYPE, Count::ZeroOrOne, |to, classification, context| {
        to.metadata.type_code = Some(code(classification, context)?);
        Ok(())
    }),
    CodeRow("confidentialityCode", document::CONFIDENTIALITY, Count::Any, |to, classification, context| {
        add_confidentiality(to, &code(classification, context)?, context)
    }),
    CodeRow("eventCodeList", document::EVENT, Count::Any, |to, classification, context| {
        to.metadata.event_codes.push(code(classification, context)?);
        Ok(())
    }),
    CodeRow("formatCode", document::FORMAT, Count::ZeroOrOne, |to, classification, context| {
        to.metadata.format_code = Some(code(classification, context)?);
        Ok(())
    }),
    CodeRow("healthcareFacilityTypeCode", document::FACILITY, Count::ZeroOrOne, |to, classification, context| {
        to.metadata.healthcare_facility_type_code = Some(code(classification, context)?);
        Ok(())
    }),
    CodeRow("practiceSettingCode", document::PRACTICE, Count::ZeroOrOne, |to, classification, context| {
        to.metadata.practice_setting_code = Some(code(classification, context)?);
        Ok(())
    }),
];

const SET_TEXTS: &[TextRow<SubmissionSetDraft>] = &[
    TextRow("uniqueId", At::Identifier(submission_set::UNIQUE_ID), Count::One, |to, text, context| {
        to.unique_id = Some(unique_id(text, context)?);
        Ok(())
    }),
    TextRow("patientId", At::Identifier(submission_set::PATIENT_ID), Count::One, |to, text, context| {
        to.patient_id = Some(ins(text, context)?);
        Ok(())
    }),
    TextRow("sourceId", At::Identifier(submission_set::SOURCE_ID), Count::One, |to, text, _| {
        to.source_id = Some(text.to_owned());
        Ok(())
    }),
    TextRow("submissionTime", At::Slot("submissionTime"), Count::One, |to, text, context| {
        to.submission_time = Some(dtm(text, context)?);
        Ok(())
    }),
    TextRow("title", At::Name, Count::ZeroOrOne, |to, text, _| {
        to.title = Some(text.to_owned());
        Ok(())
    }),
    TextRow("comments", At::Description, Count::ZeroOrOne, |to, text, _| {
        to.comments = Some(text.to_owned());
        Ok(())
    }),
];

const SET_CODES: &[CodeRow<SubmissionSetDraft>] = &[
    CodeRow("author", submission_set::AUTHOR, Count::ZeroOrOne, |to, classification, context| {
        to.author = Some(author(classification, context)?);
        Ok(())
    }),
    CodeRow("contentTypeCode", submission_set::CONTENT_TYPE, Count::ZeroOrOne, |to, classification, context| {
        to.content_type_code = Some(code(classification, context)?);
        Ok(())
    }),
];

fn fill<T>(
    to: &mut T,
    object: &RegistryObject,
    place: &str,
    (texts, codes): Tables<T>,
    terminology: &Terminology,
    findings: &mut Findings,
) {
    for TextRow(attribute, at, count, read) in texts {
        let context = Context { place: format!("{place}/{}", at.describe(attribute)), terminology };
        let values = at.values(object);
        findings.refusals.extend(miscount(*count, values.len(), &context));
        findings.refusals.extend(values.into_iter().filter_map(|value| read(to, value, &context).err()));
    }
    for CodeRow(attribute, scheme, count, read) in codes {
        let context = Context { place: format!("{place}/Classification[{attribute}]"), terminology };
        let found: Vec<_> = object.classifications.iter().filter(|c| c.scheme.as_deref() == Some(scheme)).collect();
        findings.refusals.extend(miscount(*count, found.len(), &context));
        findings.refusals.extend(found.into_iter().filter_map(|found| read(to, found, &context).err()));
    }
    for classification in &object.classifications {
        let Some(scheme) = classification.scheme.as_deref() else { continue };
        if !codes.iter().any(|CodeRow(_, known, ..)| *known == scheme) {
            findings.notes.push(format!("{place}/Classification[{scheme}] is not kept: unknown scheme"));
        }
        for slot in classification.slots.iter().filter(|slot| !CLASSIFICATION_SLOTS.contains(&slot.name.as_str())) {
            findings.notes.push(format!("{place}/Classification[{scheme}]/Slot[{}] is not kept", slot.name));
        }
    }
}

fn miscount(count: Count, found: usize, context: &Context<'_>) -> Option<Refusal> {
    match (count, found) {
        (Count::One, 0) => Some(Refusal::missing(&context.place, "one")),
        (Count::One | Count::ZeroOrOne, 2..) => {
            Some(context.refuse(Rule::MetadataValue, format!("{found} values"), "one"))
        }
        _ => None,
    }
}

impl At {
    fn describe(self, attribute: &str) -> String {
        match self {
            Self::Slot(name) => format!("Slot[{name}]"),
            Self::Identifier(_) => format!("ExternalIdentifier[{attribute}]"),
            Self::Name => "Name".to_owned(),
            Self::Description => "Description".to_owned(),
            Self::MimeType => "@mimeType".to_owned(),
        }
    }

    fn values(self, object: &RegistryObject) -> Vec<&str> {
        match self {
            Self::Slot(name) => slot_values(&object.slots, name).collect(),
            Self::Identifier(scheme) => {
                let same = object.external_identifiers.iter().filter(|identifier| identifier.scheme == scheme);
                same.map(|identifier| identifier.value.trim()).filter(|value| !value.is_empty()).collect()
            }
            Self::Name => object.name.as_deref().into_iter().collect(),
            Self::Description => object.description.as_deref().into_iter().collect(),
            Self::MimeType => object.mime_type.as_deref().into_iter().collect(),
        }
    }
}

fn is_known<T>(slot: &str, texts: &[TextRow<T>]) -> bool {
    texts.iter().any(|TextRow(_, at, ..)| matches!(at, At::Slot(name) if *name == slot))
}

fn author(classification: &Classification, context: &Context<'_>) -> Result<Author, Refusal> {
    let values = |name: &'static str| {
        let place = format!("{}/Slot[{name}]", context.place);
        let inner = Context { place, terminology: context.terminology };
        (slot_values(&classification.slots, name).collect::<Vec<_>>(), inner)
    };
    let one = |name: &'static str| {
        let (values, inner) = values(name);
        match miscount(Count::ZeroOrOne, values.len(), &inner) {
            Some(refusal) => Err(refusal),
            None => Ok((values.first().copied(), inner)),
        }
    };
    let (person, at_person) = one("authorPerson")?;
    let (institution, at_institution) = one("authorInstitution")?;
    let (specialty, at_specialty) = one("authorSpecialty")?;
    let (roles, _) = values("authorRole");
    let specialty = specialty.map(|text| hidden::<CodedText>(text, &at_specialty)).transpose()?;
    Ok(Author {
        person: person.map(|text| hidden::<Xcn>(text, &at_person)).transpose()?.map(Into::into),
        institution: institution.map(|text| hidden::<Xon>(text, &at_institution)).transpose()?.map(Into::into),
        roles: roles.into_iter().map(str::to_owned).collect(),
        specialty: specialty.map(|text| context.canonical(text.into())),
    })
}

fn code(classification: &Classification, context: &Context<'_>) -> Result<Code, Refusal> {
    let code = classification.node_representation.as_deref().map(str::trim);
    let code = code.ok_or_else(|| Refusal::missing(format!("{}/@nodeRepresentation", context.place), "a code"))?;
    let system = slot_values(&classification.slots, "codingScheme").next();
    let system = system
        .ok_or_else(|| Refusal::missing(format!("{}/Slot[codingScheme]", context.place), "the system of the code"))?;
    let display = classification.name.clone();
    Ok(context.canonical(Code { system: system.to_owned(), code: code.to_owned(), display }))
}

fn add_confidentiality(to: &mut DocumentFields, code: &Code, context: &Context<'_>) -> Result<(), Refusal> {
    let confidentiality = to.metadata.confidentiality.get_or_insert_default();
    let level = ConfidentialityLevel::from_code(&code.code).filter(|_| code.system == CONFIDENTIALITY_OID);
    // One name of TRE_A07 goes round in a short form too (T-13).
    let label = match code.code.as_str() {
        "INVISIBLE_REP_LEGAUX" => Some(VisibilityLabel::InvisibleRepresentantsLegaux),
        other => VisibilityLabel::from_code(other),
    };
    match (level, label.filter(|_| code.system == VISIBILITY_OID)) {
        (Some(level), _) if to.level.is_some_and(|said| said != level) => {
            Err(context.refuse(Rule::MetadataValue, "two levels", "one of N, R, V"))
        }
        (Some(level), _) => {
            to.level = Some(level);
            confidentiality.level = level;
            Ok(())
        }
        (None, Some(label)) => {
            confidentiality.labels.insert(label);
            Ok(())
        }
        (None, None) => Err(context.refuse(
            Rule::UnknownCode,
            format!("{}|{}", code.system, code.code),
            format!("N, R or V of {CONFIDENTIALITY_OID}, or a visibility of {VISIBILITY_OID}"),
        )),
    }
}

fn unique_id(text: &str, context: &Context<'_>) -> Result<UniqueId, Refusal> {
    text.parse().map_err(|_| context.refuse(Rule::UniqueIdForm, text, "an OID without extension"))
}

fn ins(text: &str, context: &Context<'_>) -> Result<Ins, Refusal> {
    let cx = text.parse::<Cx>().map_err(|Hl7Error(expected)| context.refuse(Rule::InsForm, mask(text), expected))?;
    Ins::parse(&cx.id, cx.authority.as_deref().unwrap_or_default()).map_err(|error| {
        let (rule, found) = match error {
            InsError::Length | InsError::Character => (Rule::InsForm, mask(&cx.id)),
            InsError::Key => (Rule::InsKey, mask(&cx.id)),
            InsError::Authority => (Rule::InsDomain, cx.authority.unwrap_or_else(|| "no authority".to_owned())),
        };
        context.refuse(rule, found, error.to_string())
    })
}

fn dtm(text: &str, context: &Context<'_>) -> Result<Dtm, Refusal> {
    Dtm::from_hl7(text).map_err(|error| context.refuse(Rule::MetadataValue, text, error.to_string()))
}

/// Reads what may hold a name or an identity: a refusal says what was expected, not what was found.
fn hidden<T: std::str::FromStr<Err = Hl7Error>>(text: &str, context: &Context<'_>) -> Result<T, Refusal> {
    text.parse().map_err(|Hl7Error(expected)| context.refuse(Rule::MetadataValue, "another form", expected))
}

fn sha1(text: &str) -> Option<Sha1Hash> {
    let mut bytes = [0; 20];
    if text.len() != 2 * bytes.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(Sha1Hash(bytes))
}

fn keep_other(slots: &mut Vec<(String, Vec<String>)>, name: &str, value: &str) {
    match slots.iter_mut().find(|(known, _)| known == name) {
        Some((_, values)) => values.push(value.to_owned()),
        None => slots.push((name.to_owned(), vec![value.to_owned()])),
    }
}

const CLASSIFICATION_SLOTS: [&str; 5] =
    ["codingScheme", "authorPerson", "authorInstitution", "authorRole", "authorSpecialty"];

pub(super) const SOURCE_PATIENT_INFO: &str = "sourcePatientInfo";
