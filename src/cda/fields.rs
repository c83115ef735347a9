//! The elements of the header that matter and the fields they fill: one table of paths.
//!
//! What the table does not name is passed over, for elements beyond the model must be accepted (SM 3.4.2).

use super::guard::Element;
use super::header::{CdaPatient, InstanceId, Order, RelatedDocument, ServiceEvent, place_in};
use crate::domain::author::{Author, AuthorPerson, Institution, PersonKind};
use crate::domain::code::Code;
use crate::domain::confidentiality::ConfidentialityLevel;
use crate::domain::dtm::Dtm;
use crate::domain::ins::InsAuthority;
use crate::refusal::{Failure, Refusal, Rule};

/// The header before it is known to be complete.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) template_ids: Vec<String>,
    pub(super) id: Option<InstanceId>,
    pub(super) set_id: Option<InstanceId>,
    pub(super) version_number: Option<u32>,
    pub(super) code: Option<Code>,
    pub(super) title: Option<String>,
    pub(super) effective_time: Option<Dtm>,
    pub(super) confidentiality: Option<ConfidentialityLevel>,
    pub(super) language_code: Option<String>,
    pub(super) record_targets: usize,
    pub(super) patient: CdaPatient,
    pub(super) authors: Vec<Author>,
    pub(super) custodian: Option<Institution>,
    pub(super) legal_authenticator: Option<Author>,
    pub(super) service_events: Vec<ServiceEvent>,
    pub(super) healthcare_facility_type_code: Option<Code>,
    pub(super) orders: Vec<Order>,
    pub(super) related_documents: Vec<RelatedDocument>,
}

/// What is wrong with an element of the header. Never quotes a value that may be a name or a date of birth.
pub(super) struct Problem {
    pub(super) rule: Rule,
    pub(super) path: String,
    pub(super) found: String,
    pub(super) expected: &'static str,
}

const HEADER_LIST_MAX: usize = 500;

impl Fields {
    pub(super) fn open(&mut self, path: &str, element: &Element<'_>) -> Result<(), Problem> {
        match path {
            "templateId" => push(&mut self.template_ids, element.attribute("root"), path)?,
            "id" => set(&mut self.id, instance_id(element)),
            "setId" => set(&mut self.set_id, instance_id(element)),
            "versionNumber" => set(&mut self.version_number, version_number(element)?),
            "code" => set(&mut self.code, code(element)),
            "effectiveTime" => set(&mut self.effective_time, time(path, element)?),
            "confidentialityCode" => set(&mut self.confidentiality, confidentiality(element)?),
            "languageCode" => set(&mut self.language_code, element.attribute("code")),
            "componentOf/encompassingEncounter/location/healthCareFacility/code" => {
                set(&mut self.healthcare_facility_type_code, code(element));
            }
            "inFulfillmentOf/order/id" => push(&mut self.orders, instance_id(element).map(Order::Id), path)?,
            "inFulfillmentOf/order/dicom:accessionNumber" => {
                push(&mut self.orders, instance_id(element).map(Order::AccessionNumber), path)?;
            }
            "relatedDocument" => {
                let type_code = element.attribute("typeCode").unwrap_or_default();
                push(&mut self.related_documents, Some(RelatedDocument { type_code, ids: Vec::new() }), path)?;
            }
            "relatedDocument/parentDocument/id" => {
                if let Some(related) = self.related_documents.last_mut() {
                    push(&mut related.ids, instance_id(element), path)?;
                }
            }
            "author" => push(&mut self.authors, Some(Author::default()), path)?,
            "legalAuthenticator" => set(&mut self.legal_authenticator, Some(Author::default())),
            "custodian/assignedCustodian/representedCustodianOrganization" => {
                set(&mut self.custodian, Some(Institution::default()));
            }
            "custodian/assignedCustodian/representedCustodianOrganization/id" => {
                set_institution_id(&mut self.custodian, element);
            }
            other => match other.split_once('/') {
                Some(("recordTarget", below)) => self.open_patient(below, element)?,
                Some(("author", below)) => {
                    if let Some(author) = self.authors.last_mut() {
                        open_author(author, below, path, element)?;
                    }
                }
                Some(("legalAuthenticator", below)) => {
                    if let Some(author) = &mut self.legal_authenticator {
                        open_author(author, below, path, element)?;
                    }
                }
                Some(("documentationOf", below)) => self.open_service_event(below, path, element)?,
                _ => {}
            },
        }
        Ok(())
    }

    fn open_patient(&mut self, path: &str, element: &Element<'_>) -> Result<(), Problem> {
        match path {
            "patientRole" => {
                self.record_targets += 1;
                if self.record_targets > 1 {
                    return Err(Problem::header("recordTarget", "a second patient", "one recordTarget, one patient"));
                }
            }
            "patientRole/id" => {
                let Some(id) = instance_id(element) else { return Ok(()) };
                let is_ins = InsAuthority::from_oid(&id.root).is_some() && id.extension.is_some();
                let list = if is_ins { &mut self.patient.ins } else { &mut self.patient.others };
                push(list, Some(id.to_identifier()), "recordTarget/patientRole/id")?;
            }
            "patientRole/patient/administrativeGenderCode" => {
                set(&mut self.patient.info.sex, element.attribute("code"));
            }
            // Traits are shown again and never compared: a date of birth that cannot be read is none.
            "patientRole/patient/birthTime" => {
                let birth_date = element.attribute("value").and_then(|value| Dtm::from_hl7(&value).ok());
                set(&mut self.patient.info.birth_date, birth_date);
            }
            _ => {}
        }
        Ok(())
    }

    fn open_service_event(&mut self, below: &str, path: &str, element: &Element<'_>) -> Result<(), Problem> {
        if below == "serviceEvent" {
            return push(&mut self.service_events, Some(ServiceEvent::default()), path);
        }
        let Some(event) = self.service_events.last_mut() else { return Ok(()) };
        match below {
            "serviceEvent/id" => push(&mut event.ids, instance_id(element), path)?,
            "serviceEvent/code" => set(&mut event.code, code(element)),
            // A point in time is a start.
            "serviceEvent/effectiveTime" | "serviceEvent/effectiveTime/low" => {
                set(&mut event.start, time(path, element)?);
            }
            "serviceEvent/effectiveTime/high" => set(&mut event.stop, time(path, element)?),
            "serviceEvent/performer/assignedEntity/representedOrganization/standardIndustryClassCode" => {
                set(&mut event.practice_setting_code, code(element));
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn take_text(&mut self, path: &str, qualifier: Option<&str>, text: String) {
        match path {
            "title" => set(&mut self.title, Some(text)),
            "recordTarget/patientRole/patient/name/family" => {
                let info = &mut self.patient.info;
                // BR: name of birth, CL or SP: name in use, none: old documents, which know one name.
                match qualifier {
                    Some("BR") => info.birth_family = Some(text),
                    Some("CL" | "SP") => set(&mut info.usual_family, Some(text)),
                    _ => set(&mut info.birth_family, Some(text)),
                }
            }
            "recordTarget/patientRole/patient/name/given" => {
                let given = &mut self.patient.info.given;
                // BR: first given name of the birth certificate; it wins over the whole list and the one in use.
                if qualifier == Some("BR") { *given = Some(text) } else { set(given, Some(text)) }
            }
            "custodian/assignedCustodian/representedCustodianOrganization/name" => {
                set_institution_name(&mut self.custodian, text);
            }
            other => {
                let author = match other.split_once('/') {
                    Some(("author", below)) => self.authors.last_mut().map(|author| (author, below)),
                    Some(("legalAuthenticator", below)) => {
                        self.legal_authenticator.as_mut().map(|author| (author, below))
                    }
                    _ => None,
                };
                if let Some((author, below)) = author {
                    take_author_text(author, below, text);
                }
            }
        }
    }
}

/// `author` and `legalAuthenticator` differ in one name: assignedAuthor, assignedEntity.
fn open_author(author: &mut Author, below: &str, path: &str, element: &Element<'_>) -> Result<(), Problem> {
    if below == "functionCode" {
        return push(&mut author.roles, element.attribute("displayName").or(element.attribute("code")), path);
    }
    let Some(("assignedAuthor" | "assignedEntity", below)) = below.split_once('/') else { return Ok(()) };
    match below {
        "id" => {
            let person = author.person.get_or_insert_default();
            let id = instance_id(element).map(|id| id.to_identifier());
            if id.as_ref().is_some_and(|id| InsAuthority::from_oid(&id.system).is_some()) {
                person.kind = PersonKind::Patient;
            }
            set(&mut person.id, id);
        }
        "code" => set(&mut author.specialty, code(element)),
        "assignedAuthoringDevice" => author.person.get_or_insert_default().kind = PersonKind::Device,
        "representedOrganization/id" => set_institution_id(&mut author.institution, element),
        _ => {}
    }
    Ok(())
}

fn take_author_text(author: &mut Author, path: &str, text: String) {
    let Some(("assignedAuthor" | "assignedEntity", below)) = path.split_once('/') else { return };
    let person = |author: &mut Author, field: fn(&mut AuthorPerson) -> &mut Option<String>, text| {
        set(field(author.person.get_or_insert_default()), Some(text));
    };
    match below {
        // A device is named like a person: software as family name, model as given name.
        "assignedPerson/name/family" | "assignedAuthoringDevice/softwareName" => {
            person(author, |person| &mut person.family, text);
        }
        "assignedPerson/name/given" | "assignedAuthoringDevice/manufacturerModelName" => {
            person(author, |person| &mut person.given, text);
        }
        "representedOrganization/name" => set_institution_name(&mut author.institution, text),
        _ => {}
    }
}

fn set_institution_id(institution: &mut Option<Institution>, element: &Element<'_>) {
    if let Some(id) = instance_id(element) {
        set(&mut institution.get_or_insert_default().id, Some(id.to_identifier()));
    }
}

fn set_institution_name(institution: &mut Option<Institution>, name: String) {
    set(&mut institution.get_or_insert_default().name, Some(name));
}

/// The first value stays: CDA repeats elements where metadata have room for one.
fn set<T>(slot: &mut Option<T>, value: Option<T>) {
    if slot.is_none() {
        *slot = value;
    }
}

fn push<T>(list: &mut Vec<T>, item: Option<T>, path: &str) -> Result<(), Problem> {
    if list.len() == HEADER_LIST_MAX {
        let (path, found) = (in_document(path), "more of them".to_owned());
        return Err(Problem { rule: Rule::CdaLimit, path, found, expected: "at most 500" });
    }
    list.extend(item);
    Ok(())
}

fn instance_id(element: &Element<'_>) -> Option<InstanceId> {
    Some(InstanceId { root: element.attribute("root")?, extension: element.attribute("extension") })
}

fn code(element: &Element<'_>) -> Option<Code> {
    let (code, system) = (element.attribute("code")?, element.attribute("codeSystem")?);
    Some(Code { system, code, display: element.attribute("displayName") })
}

fn time(path: &str, element: &Element<'_>) -> Result<Option<Dtm>, Problem> {
    let Some(value) = element.attribute("value") else { return Ok(None) };
    let dtm = Dtm::from_hl7(&value).map_err(|_| {
        Problem::header(path, "a text that is no date-time", "yyyymmddhhmmss and an offset, or a part of it")
    })?;
    Ok(Some(dtm))
}

fn confidentiality(element: &Element<'_>) -> Result<Option<ConfidentialityLevel>, Problem> {
    let Some(code) = element.attribute("code") else { return Ok(None) };
    let level = ConfidentialityLevel::from_code(&code)
        .ok_or_else(|| Problem::header("confidentialityCode", &code, "N, R or V"))?;
    Ok(Some(level))
}

fn version_number(element: &Element<'_>) -> Result<Option<u32>, Problem> {
    let Some(value) = element.attribute("value") else { return Ok(None) };
    let number = value.parse().map_err(|_| Problem::header("versionNumber", &value, "a whole number"))?;
    Ok(Some(number))
}

pub(super) fn in_document(path: &str) -> String {
    if path.is_empty() || path == "ClinicalDocument" || path.starts_with("the ") {
        return path.to_owned();
    }
    format!("ClinicalDocument/{path}")
}

impl Problem {
    pub(super) fn header(path: &str, found: &str, expected: &'static str) -> Self {
        Self { rule: Rule::CdaHeader, path: in_document(path), found: found.to_owned(), expected }
    }

    pub(super) fn at(self, place: &str) -> Failure {
        Refusal::new(self.rule, place_in(place, &self.path), self.found, self.expected).into()
    }
}
