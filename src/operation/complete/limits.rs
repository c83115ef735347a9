//! How much the metadata of one document may hold: every list and every free text has its limit.
//!
//! Looked at once all else is in order, over what came from the sender and from the header alike, so that no face
//! needs limits of its own. Values that were parsed (identifiers, times, levels) are bounded by their types.
//! Source: limits of this server; no standard sets any but that of the title.

use crate::domain::author::{Author, Identifier, Institution};
use crate::domain::code::Code;
use crate::domain::document_entry::DocumentMetadata;
use crate::refusal::{Refusal, Rule};

/// What is too long or too many, under the place that `at` gives an attribute.
pub(super) fn exceeded(metadata: &DocumentMetadata, at: impl Fn(&str) -> String) -> Vec<Refusal> {
    let mut gauge = Gauge { at, refusals: Vec::new() };
    gauge.people(metadata);
    gauge.codes(metadata);
    gauge.hold("comments", metadata.comments.iter().map(|text| text.chars().count()).sum(), COMMENTS_CHARS_MAX, CHARS);
    gauge.text("languageCode", &metadata.language_code);
    gauge.text("mimeType", &metadata.mime_type);
    gauge.hold("referenceIdList", metadata.reference_ids.len(), ITEMS_MAX, VALUES);
    for id in &metadata.reference_ids {
        gauge.text("referenceIdList", &id.kind);
        gauge.identifier("referenceIdList", Some(&id.identifier));
    }
    let slots = &metadata.other_slots;
    gauge.hold("other slots", slots.iter().map(|(_, values)| values.len()).sum(), ITEMS_MAX, VALUES);
    let bytes_of = |(name, values): &(String, Vec<String>)| name.len() + values.iter().map(String::len).sum::<usize>();
    gauge.hold("other slots", slots.iter().map(bytes_of).sum(), SLOTS_BYTES_MAX, "bytes");
    gauge.refusals
}

struct Gauge<F> {
    at: F,
    refusals: Vec<Refusal>,
}

impl<F: Fn(&str) -> String> Gauge<F> {
    fn people(&mut self, metadata: &DocumentMetadata) {
        self.hold("author", metadata.authors.len(), AUTHORS_MAX, VALUES);
        for author in &metadata.authors {
            self.author("author", author);
        }
        if let Some(author) = &metadata.legal_authenticator {
            self.author("legalAuthenticator", author);
        }
        self.institution("custodian", metadata.custodian.as_ref());
        let patient = &metadata.source_patient;
        self.identifier("sourcePatientId", patient.id.as_ref());
        let info = &patient.info;
        for text in [&info.birth_family, &info.usual_family, &info.given, &info.sex].into_iter().flatten() {
            self.text("sourcePatientInfo", text);
        }
    }

    fn codes(&mut self, metadata: &DocumentMetadata) {
        for (attribute, code) in [
            ("classCode", &metadata.class_code),
            ("typeCode", &metadata.type_code),
            ("formatCode", &metadata.format_code),
            ("healthcareFacilityTypeCode", &metadata.healthcare_facility_type_code),
            ("practiceSettingCode", &metadata.practice_setting_code),
        ] {
            self.code(attribute, code);
        }
        self.hold("eventCodeList", metadata.event_codes.len(), ITEMS_MAX, VALUES);
        for code in &metadata.event_codes {
            self.code("eventCodeList", code);
        }
    }

    fn author(&mut self, attribute: &str, author: &Author) {
        if let Some(person) = &author.person {
            self.identifier(attribute, person.id.as_ref());
            for text in [&person.family, &person.given].into_iter().flatten() {
                self.text(attribute, text);
            }
        }
        self.institution(attribute, author.institution.as_ref());
        self.hold(attribute, author.roles.len(), ITEMS_MAX, "roles");
        for role in &author.roles {
            self.text(attribute, role);
        }
        if let Some(specialty) = &author.specialty {
            self.code(attribute, specialty);
        }
    }

    fn institution(&mut self, attribute: &str, institution: Option<&Institution>) {
        let Some(institution) = institution else { return };
        self.identifier(attribute, institution.id.as_ref());
        if let Some(name) = &institution.name {
            self.text(attribute, name);
        }
    }

    fn identifier(&mut self, attribute: &str, identifier: Option<&Identifier>) {
        for text in identifier.iter().flat_map(|it| [&it.system, &it.value]) {
            self.text(attribute, text);
        }
    }

    fn code(&mut self, attribute: &str, code: &Code) {
        for text in [&code.system, &code.code].into_iter().chain(&code.display) {
            self.text(attribute, text);
        }
    }

    fn text(&mut self, attribute: &str, text: &str) {
        self.hold(attribute, text.chars().count(), TEXT_CHARS_MAX, CHARS);
    }

    /// One refusal an attribute is enough to mend it.
    fn hold(&mut self, attribute: &str, count: usize, max: usize, unit: &str) {
        if count <= max {
            return;
        }
        let place = (self.at)(attribute);
        if self.refusals.iter().all(|known| known.place != place) {
            let (found, expected) = (format!("{count} {unit}"), format!("at most {max} {unit}"));
            self.refusals.push(Refusal::new(Rule::MetadataValue, place, found, expected));
        }
    }
}

const CHARS: &str = "characters";
const VALUES: &str = "values";
/// Of a name, an identifier, a code, a media type.
const TEXT_CHARS_MAX: usize = 1_000;
const COMMENTS_CHARS_MAX: usize = 4_000;
const AUTHORS_MAX: usize = 100;
const ITEMS_MAX: usize = 500;
/// Slots and extensions that are kept as they came: all of one document together.
const SLOTS_BYTES_MAX: usize = 64 * 1024;
