//! The rules that metadata are held against: one method an attribute, each gives the value or writes a refusal.

use super::{Intake, Rules, is_signature};
use crate::cda::header::{Body, CdaHeader};
use crate::domain::author::{Author, Identifier};
use crate::domain::code::Code;
use crate::domain::ids::UniqueId;
use crate::domain::ins::{Ins, InsError, mask};
use crate::domain::value_set::ValueSetName;
use crate::operation::draft::MetadataDraft;
use crate::operation::media::MediaKind;
use crate::refusal::{Refusal, Rule};

/// One document under judgement, and the rules found broken so far.
pub(super) struct Judge<'a> {
    sent: &'a MetadataDraft,
    header: Option<&'a CdaHeader>,
    place: &'a str,
    intake: &'a Intake<'a>,
    pub(super) refusals: Vec<Refusal>,
}

const TITLE_CHARS_MAX: usize = 128;
/// IHE: "the media type says it all".
const FORMAT_THAT_SAYS_NOTHING: &str = "urn:ihe:iti:xds:2017:mimeTypeSufficient";

impl<'a> Judge<'a> {
    pub(super) fn new(
        sent: &'a MetadataDraft,
        header: Option<&'a CdaHeader>,
        place: &'a str,
        intake: &'a Intake<'a>,
    ) -> Self {
        Self { sent, header, place, intake, refusals: Vec::new() }
    }

    /// Elements that CI-SIS makes mandatory (J.2); those that identify were refused when the header was read.
    pub(super) fn check_header(&mut self) {
        let (Some(header), Rules::Deposit) = (self.header, self.intake.rules) else { return };
        for path in header.missing_elements() {
            self.refuse(Rule::CdaHeader, self.in_document(path), "nothing", "an element that CI-SIS makes mandatory");
        }
    }

    /// Gives nothing for a type that is not accepted or not true: no format follows from it.
    pub(super) fn mime_type(&mut self, head: &[u8]) -> Option<String> {
        let place = self.at("mimeType");
        let found = MediaKind::of_content(head);
        let Some(sent) = self.sent.mime_type.as_deref() else {
            if found.is_none() {
                self.refuse(Rule::MimeTypeMismatch, place, "bytes of no kind that is accepted", MediaKind::ACCEPTED);
            }
            return found.map(|kind| kind.mime_type().to_owned());
        };
        let Some(kind) = MediaKind::of_mime_type(sent) else {
            self.refuse(Rule::MimeTypeMismatch, place, sent, MediaKind::ACCEPTED);
            return None;
        };
        if !kind.admits(head) {
            let seen = found.map_or("bytes of no known kind", MediaKind::mime_type);
            self.refuse(Rule::MimeTypeMismatch, place, format!("{sent}, but the content is {seen}"), kind.mime_type());
            return None;
        }
        if kind == MediaKind::Xml && self.header.is_none() && !is_signature(self.sent) {
            self.refuse(Rule::CdaHeader, place, sent, "a CDA document that can be read");
            return None;
        }
        Some(sent.to_owned())
    }

    pub(super) fn unique_id(&mut self) -> Option<UniqueId> {
        const EXPECTED: &str = "a plain OID without extension (a UUID is accepted)";
        let of_header = self.header.and_then(|header| {
            let id = &header.id;
            let plain = id.extension.is_none().then(|| id.root.parse().ok()).flatten();
            if plain.is_none() {
                let found = if id.extension.is_some() { "an id with an extension" } else { id.root.as_str() };
                self.refuse(Rule::UniqueIdForm, self.in_document("ClinicalDocument/id"), found, EXPECTED);
            }
            plain
        });
        match (&self.sent.unique_id, of_header) {
            (Some(sent), Some(own)) if *sent != own => {
                let expected = format!("{own}, the ClinicalDocument/id of the document");
                self.refuse(Rule::CdaMetadataMismatch, self.at("uniqueId"), sent.to_string(), expected);
                None
            }
            (Some(sent), _) => Some(sent.clone()),
            (None, Some(own)) => Some(own),
            (None, None) if self.header.is_some() => None,
            (None, None) => self.missing("uniqueId", EXPECTED),
        }
    }

    pub(super) fn patient_id(&mut self) -> Option<Ins> {
        let claimed = self.sent.patient_id.clone();
        let patient = match self.header {
            Some(header) => self.patient_of_document(claimed, &header.patient.ins)?,
            None => self.claimed_patient(claimed)?,
        };
        let domain = patient.authority().domain();
        if !self.intake.ins_domains.contains(&domain) {
            let accepted: Vec<String> =
                self.intake.ins_domains.iter().map(|domain| format!("{domain:?}").to_lowercase()).collect();
            let found = format!("an INS of {}", patient.authority().oid());
            self.refuse(Rule::InsDomain, self.at("patientId"), found, format!("an INS of {}", accepted.join(" or ")));
            return None;
        }
        Some(patient)
    }

    fn claimed_patient(&mut self, claimed: Option<Ins>) -> Option<Ins> {
        if claimed.is_none() {
            self.refuse(Rule::InsMissing, self.at("patientId"), "nothing", "the INS of the patient");
        }
        claimed
    }

    /// The patient that document and sender agree on. Identity is never taken from one against the other.
    fn patient_of_document(&mut self, claimed: Option<Ins>, candidates: &[Identifier]) -> Option<Ins> {
        const PATH: &str = "ClinicalDocument/recordTarget/patientRole/id";
        if candidates.is_empty() {
            if let (Some(claimed), Rules::Migration) = (&claimed, self.intake.rules) {
                return Some(claimed.clone());
            }
            let expected = "the INS of the patient: a deposit demands a qualified one";
            self.refuse(Rule::InsMissing, self.in_document(PATH), "no identifier of an INS authority", expected);
            return None;
        }
        let read: Vec<Result<Ins, InsError>> = candidates.iter().map(|id| Ins::parse(&id.value, &id.system)).collect();
        let fits = |own: &Ins| match &claimed {
            Some(claimed) => {
                own.matricule() == claimed.matricule() && own.authority().domain() == claimed.authority().domain()
            }
            None => true,
        };
        if let Some(own) = read.iter().flatten().find(|own| fits(own)) {
            return Some(claimed.unwrap_or_else(|| own.clone()));
        }
        let unreadable = candidates.iter().zip(&read).find_map(|(id, read)| Some((id, read.as_ref().err().copied()?)));
        if let Some((id, error)) = unreadable {
            let rule = if error == InsError::Key { Rule::InsKey } else { Rule::InsForm };
            self.refuse(rule, self.in_document(PATH), mask(&id.value), error.to_string());
        } else if let Some(claimed) = claimed {
            let expected = format!("the INS of the metadata, {} of {}", claimed.masked(), claimed.authority().oid());
            let found: Vec<String> =
                candidates.iter().map(|id| format!("{} of {}", mask(&id.value), id.system)).collect();
            self.refuse(Rule::PatientMismatch, self.in_document(PATH), found.join(", "), expected);
        }
        None
    }

    pub(super) fn type_code(&mut self) -> Option<Code> {
        let own = self.header.map(|header| &header.code);
        if let (Some(sent), Some(own)) = (&self.sent.type_code, own)
            && !sent.is(own)
        {
            let expected = format!("{}, the ClinicalDocument/code of the document", shown(own));
            self.refuse(Rule::CdaMetadataMismatch, self.at("typeCode"), shown(sent), expected);
            return None;
        }
        self.coded("typeCode", "ClinicalDocument/code", ValueSetName::Type, self.sent.type_code.as_ref(), own)
    }

    pub(super) fn format_code(&mut self, mime_type: Option<&str>) -> Option<Code> {
        let sent = self.sent.format_code.as_ref().filter(|format| format.code != FORMAT_THAT_SAYS_NOTHING);
        let derived = if sent.is_some() { None } else { self.derived_format(mime_type) };
        if sent.is_none() && derived.is_none() && mime_type.is_none() {
            return None;
        }
        self.coded("formatCode", "ClinicalDocument/templateId", ValueSetName::Format, sent, derived.as_ref())
    }

    /// Level 1 by the media type of its body (A12), level 3 by its templates (A11), others by their own media type.
    fn derived_format(&self, mime_type: Option<&str>) -> Option<Code> {
        let terminology = self.intake.terminology;
        match self.header.map(|header| (&header.body, header)) {
            Some((Body::Unstructured { media_type }, _)) => terminology.format_of_media_type(media_type.as_deref()?),
            Some((Body::Structured { .. }, header)) => {
                let by_template = terminology.format_of_templates(&header.template_ids);
                Some(by_template.unwrap_or_else(|| terminology.format_of_other_models().clone()))
            }
            None => terminology.format_of_media_type(MediaKind::of_mime_type(mime_type?)?.mime_type()),
        }
    }

    pub(super) fn healthcare_facility_type_code(&mut self) -> Option<Code> {
        self.coded(
            "healthcareFacilityTypeCode",
            "ClinicalDocument/componentOf/encompassingEncounter/location/healthCareFacility/code",
            ValueSetName::HealthcareFacilityType,
            self.sent.healthcare_facility_type_code.as_ref(),
            self.header.and_then(|header| header.healthcare_facility_type_code.as_ref()),
        )
    }

    pub(super) fn practice_setting_code(&mut self) -> Option<Code> {
        self.coded(
            "practiceSettingCode",
            "ClinicalDocument/documentationOf/serviceEvent/performer/assignedEntity/representedOrganization/standardIndustryClassCode",
            ValueSetName::PracticeSetting,
            self.sent.practice_setting_code.as_ref(),
            self.header.and_then(CdaHeader::main_event).and_then(|event| event.practice_setting_code.as_ref()),
        )
    }

    pub(super) fn authors(&mut self) -> Vec<Author> {
        let own = self.header.map_or(&[] as &[Author], |header| &header.authors);
        let authors = if self.sent.authors.is_empty() { own } else { &self.sent.authors };
        if authors.is_empty() {
            self.refusals.push(Refusal::missing(self.at("author"), "at least one author"));
        }
        authors.to_vec()
    }

    pub(super) fn title(&mut self) -> Option<String> {
        let title = self.text("title", self.sent.title.as_ref(), |header| header.title.as_ref())?;
        let count = title.chars().count();
        if count > TITLE_CHARS_MAX {
            let place = match self.sent.title {
                Some(_) => self.at("title"),
                None => self.in_document("ClinicalDocument/title"),
            };
            self.refuse(Rule::MetadataValue, place, format!("{count} characters"), "at most 128 characters");
            return None;
        }
        Some(title)
    }

    /// A code of a value set: the sender's, else the header's; translated where our table says so.
    fn coded(
        &mut self,
        attribute: &str,
        path: &str,
        set: ValueSetName,
        sent: Option<&Code>,
        own: Option<&Code>,
    ) -> Option<Code> {
        let terminology = self.intake.terminology;
        let (code, place) = match (sent, own) {
            (Some(sent), _) => (sent, self.at(attribute)),
            (None, Some(own)) => (own, self.in_document(path)),
            (None, None) => return self.missing(attribute, format!("a code of {}", terminology.name_of(set))),
        };
        let code = terminology.translate(set, code).unwrap_or_else(|| code.clone());
        if self.intake.rules == Rules::Deposit && !terminology.contains(set, &code, self.intake.on) {
            let expected = format!("a code of {} in force on {}", terminology.name_of(set), self.intake.on);
            self.refuse(Rule::UnknownCode, place, shown(&code), expected);
            return None;
        }
        Some(code)
    }

    pub(super) fn text(
        &mut self,
        attribute: &str,
        sent: Option<&String>,
        own: impl FnOnce(&'a CdaHeader) -> Option<&'a String>,
    ) -> Option<String> {
        let sent = sent.filter(|text| !text.trim().is_empty()).cloned();
        self.required(attribute, sent, |header| own(header).cloned())
    }

    pub(super) fn required<T>(
        &mut self,
        attribute: &str,
        sent: Option<T>,
        own: impl FnOnce(&'a CdaHeader) -> Option<T>,
    ) -> Option<T> {
        match sent.or_else(|| own(self.header?)) {
            Some(value) => Some(value),
            // A CDA that lacks it was refused for its header already.
            None if self.header.is_some() && self.intake.rules == Rules::Deposit => None,
            None => self.missing(attribute, "a value"),
        }
    }

    fn missing<T>(&mut self, attribute: &str, expected: impl Into<String>) -> Option<T> {
        self.refusals.push(Refusal::missing(self.at(attribute), expected));
        None
    }

    fn refuse(&mut self, rule: Rule, place: String, found: impl Into<String>, expected: impl Into<String>) {
        self.refusals.push(Refusal::new(rule, place, found, expected));
    }

    /// Place of an attribute in the sender's metadata, by its IHE name.
    pub(super) fn at(&self, attribute: &str) -> String {
        if self.place.is_empty() { attribute.to_owned() } else { format!("{}.{attribute}", self.place) }
    }

    fn in_document(&self, path: &str) -> String {
        if self.place.is_empty() { path.to_owned() } else { format!("{}: {path}", self.place) }
    }
}

fn shown(code: &Code) -> String {
    format!("{} of {}", code.code, code.system)
}
