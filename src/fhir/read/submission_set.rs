//! List -> submission set, as submitted. Source: D.3, D.6; IHE MHD SubmissionSet profiles.

use fhirkit::r4::{ExtensionValue, List};

use super::parties::Subject;
use super::reading::{Reading, Scope, Text as _, extension};
use crate::domain::author::Author;
use crate::domain::ids::UniqueId;
use crate::domain::ins::Ins;
use crate::domain::oid::Oid;
use crate::operation::draft::SubmissionSetDraft;
use crate::refusal::Rule;

/// What a List of MHD is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ListKind {
    SubmissionSet,
    Folder,
    Other,
}

/// A document of the Bundle, for what the List says of it.
pub(super) struct Member<'a> {
    pub(super) entry: usize,
    pub(super) place: &'a str,
    /// `subject.reference` as sent, and the INS it turned out to be.
    pub(super) subject: Option<&'a str>,
    pub(super) patient: Option<&'a Ins>,
}

/// By the code of `MHDlistTypes`, under both schemes of its URL (T-16).
pub(super) fn kind_of(list: &List) -> ListKind {
    let codings = list.code.iter().flat_map(|code| &code.coding);
    let is_list_type = |system: &str| system.ends_with("//profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes");
    let mut codes = codings.filter(|coding| coding.system.text().is_some_and(is_list_type)).map(|it| it.code.text());
    match codes.next().flatten() {
        Some("submissionset") => ListKind::SubmissionSet,
        Some("folder") => ListKind::Folder,
        _ => ListKind::Other,
    }
}

impl Reading<'_> {
    pub(super) fn submission_set(
        &mut self,
        list: &List,
        place: &str,
        scope: Scope<'_>,
        members: &[Member<'_>],
    ) -> SubmissionSetDraft {
        if list.status.text() != Some("current") {
            self.refuse(Rule::MetadataValue, format!("{place}.status"), "another status", "current");
        }
        self.check_members(list, place, scope, members);
        let comments: Vec<&str> = list.note.iter().filter_map(|note| note.text.text()).collect();
        SubmissionSetDraft {
            place: place.to_owned(),
            unique_id: self.submission_unique_id(list, place),
            source_id: self.source_id(list, place),
            submission_time: self.time(list.date.text(), &format!("{place}.date")),
            patient_id: self.submission_patient(list, place, scope, members),
            content_type_code: match extension(&list.extension, DESIGNATION_TYPE) {
                Some((index, ExtensionValue::CodeableConcept(concept))) => {
                    self.code(concept, &format!("{place}.extension[{index}].valueCodeableConcept"))
                }
                _ => None,
            },
            author: self.submission_author(list, place, scope),
            title: list.title.text().map(str::to_owned),
            comments: (!comments.is_empty()).then(|| comments.join("\n")),
        }
    }

    /// Every document of the Bundle is a member, and every member is a document of the Bundle.
    fn check_members(&mut self, list: &List, place: &str, scope: Scope<'_>, members: &[Member<'_>]) {
        let mut named = Vec::new();
        for (index, entry) in list.entry.iter().enumerate() {
            let reference = entry.item.as_ref().and_then(|item| item.reference.text());
            let found = reference.and_then(|text| scope.find(text)).and_then(|found| found.entry);
            if let Some(entry) = found.filter(|entry| members.iter().any(|member| member.entry == *entry)) {
                named.push(entry);
            } else {
                let place = format!("{place}.entry[{index}].item");
                let found = "a reference to no DocumentReference of the Bundle";
                self.refuse(Rule::ReferenceUnresolved, place, found, "the fullUrl of a DocumentReference");
            }
        }
        for member in members.iter().filter(|member| !named.contains(&member.entry)) {
            let expected = "each DocumentReference named by an entry of the submission set";
            self.refuse(Rule::BundleEntry, member.place, "a document that is not in the submission set", expected);
        }
    }

    /// A subject that leads out of the message is the patient of the document that names it in the same words.
    fn submission_patient(
        &mut self,
        list: &List,
        place: &str,
        scope: Scope<'_>,
        members: &[Member<'_>],
    ) -> Option<Ins> {
        let subject = list.subject.as_ref()?;
        let place = format!("{place}.subject");
        match self.subject(subject, &place, scope) {
            Subject::Known(ins) => return Some(ins),
            Subject::Refused => return None,
            Subject::Elsewhere => {}
        }
        let same_words = |member: &&Member<'_>| member.subject.is_some() && member.subject == subject.reference.text();
        if let Some(member) = members.iter().find(same_words) {
            // When the document's patient was refused, once is enough.
            return member.patient.cloned();
        }
        let found = "a reference that leads to no INS inside the message";
        let expected = "Patient?identifier=urn:oid:…|… with an INS, or the subject of the documents";
        self.refuse(Rule::InsMissing, place, found, expected);
        None
    }

    fn submission_author(&mut self, list: &List, place: &str, scope: Scope<'_>) -> Option<Author> {
        let source = list.source.as_ref()?;
        let place = format!("{place}.source");
        let mut author = self.author(source, &place, scope)?;
        if let Some((index, ExtensionValue::Reference(organization))) = extension(&source.extension, AUTHOR_ORG) {
            let place = format!("{place}.extension[{index}].valueReference");
            author.institution = self.institution(organization, &place, scope);
        }
        Some(author)
    }

    /// Use usual is the unique id, use official the entryUUID, which the registry gives anew.
    fn submission_unique_id(&mut self, list: &List, place: &str) -> Option<UniqueId> {
        let usual = list.identifier.iter().position(|it| it.use_.text() == Some("usual"));
        let index = usual.or_else(|| list.identifier.iter().position(|it| it.use_.text() != Some("official")))?;
        let value = list.identifier[index].value.text()?;
        let parsed = value.parse::<UniqueId>();
        parsed
            .map_err(|error| {
                let place = format!("{place}.identifier[{index}].value");
                self.refuse(Rule::UniqueIdForm, place, value, error.to_string());
            })
            .ok()
    }

    /// The OID of the source application: the value, or the system when the value is a local name.
    fn source_id(&mut self, list: &List, place: &str) -> Option<String> {
        let (index, ExtensionValue::Identifier(identifier)) = extension(&list.extension, SOURCE_ID)? else {
            return None;
        };
        let texts = [identifier.value.text(), identifier.system.text()];
        let oid = texts.into_iter().flatten().find_map(|text| Oid::from_urn_or_dotted(text).ok());
        if oid.is_none() {
            let place = format!("{place}.extension[{index}].valueIdentifier");
            self.refuse(Rule::MetadataValue, place, "no OID", "the OID of the source application, urn:oid:…");
        }
        oid.map(|oid| oid.to_string())
    }
}

const DESIGNATION_TYPE: &str = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-designationType";
const SOURCE_ID: &str = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-sourceId";
const AUTHOR_ORG: &str = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-authorOrg";
