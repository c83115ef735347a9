//! Authors, authenticators and custodians as contained resources: PractitionerRole with Practitioner and
//! Organization, Device, Patient. Source: PDSm 3.1.1 (author and authenticator are contained), A.3.

use std::borrow::Cow;

use serde::Serialize;

use super::Writing;
use super::datatype::{CodeableConcept, HumanName, Identifier, Reference, date_of, ins_identifier};
use crate::domain::author::{Author, AuthorPerson, Institution, PersonKind};
use crate::domain::ins::Ins;
use crate::domain::patient::SourcePatient;

/// A resource inside another one.
#[derive(Debug, Serialize)]
#[serde(tag = "resourceType")]
pub enum Contained<'a> {
    Practitioner(Practitioner<'a>),
    PractitionerRole(PractitionerRole<'a>),
    Organization(Organization<'a>),
    Device(Device<'a>),
    Patient(Box<Patient<'a>>),
}

#[derive(Debug, Serialize)]
pub struct Practitioner<'a> {
    id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identifier: Vec<Identifier<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    name: Vec<HumanName<'a>>,
}

#[derive(Debug, Serialize)]
pub struct PractitionerRole<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    practitioner: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    code: Vec<CodeableConcept<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    specialty: Vec<CodeableConcept<'a>>,
}

#[derive(Debug, Serialize)]
pub struct Organization<'a> {
    id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identifier: Vec<Identifier<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub struct Device<'a> {
    id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identifier: Vec<Identifier<'a>>,
    #[serde(rename = "deviceName", skip_serializing_if = "Vec::is_empty")]
    names: Vec<DeviceName<'a>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<CodeableConcept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Reference<'a>>,
}

#[derive(Debug, Serialize)]
struct DeviceName<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Patient<'a> {
    id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identifier: Vec<Identifier<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    name: Vec<HumanName<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gender: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    birth_date: Option<String>,
}

/// Collects what a resource contains and hands out references to it; one institution is written once.
pub struct Containing<'a> {
    writing: Writing<'a>,
    contained: Vec<Contained<'a>>,
    institutions: Vec<(&'a Institution, String)>,
}

impl<'a> Containing<'a> {
    pub fn new(writing: Writing<'a>) -> Self {
        Self { writing, contained: Vec::new(), institutions: Vec::new() }
    }

    pub fn finish(self) -> Vec<Contained<'a>> {
        self.contained
    }

    /// A reference to one who wrote or vouches for a document, contained under ids that start with `name`.
    pub fn author(&mut self, name: &str, author: &'a Author) -> Reference<'a> {
        match author.person.as_ref().map(|person| (person, person.kind)) {
            Some((person, PersonKind::Patient)) => self.patient_as_author(name, person),
            Some((person, PersonKind::Device)) => self.device(name, person, author),
            Some((person, PersonKind::Professional)) => {
                let practitioner = self.practitioner(name, person);
                self.role(name, Some(practitioner), author)
            }
            None => self.role(name, None, author),
        }
    }

    /// Like [`Self::author`], for elements that take neither a device nor a patient: those are named by a
    /// logical reference.
    pub fn authenticator(&mut self, name: &str, author: &'a Author) -> Reference<'a> {
        let other = author.person.as_ref().filter(|person| person.kind != PersonKind::Professional);
        match other.and_then(|person| person.id.as_ref()) {
            Some(id) => Reference { identifier: Some(self.writing.identifier(id)), ..Reference::default() },
            None => self.role_of_any(name, author),
        }
    }

    pub fn institution(&mut self, institution: &'a Institution) -> Reference<'a> {
        if let Some((_, id)) = self.institutions.iter().find(|(known, _)| *known == institution) {
            return Reference::to(format!("#{id}"));
        }
        let id = format!("organization-{}", self.institutions.len() + 1);
        self.institutions.push((institution, id.clone()));
        self.contained.push(Contained::Organization(Organization {
            id: id.clone(),
            identifier: institution.id.iter().map(|id| self.writing.identifier(id)).collect(),
            name: institution.name.as_deref(),
        }));
        Reference::to(format!("#{id}"))
    }

    /// `sourcePatientInfo`: the traits as they were sent, or the INS alone.
    pub fn source_patient(&mut self, patient: &'a SourcePatient, ins: &'a Ins) -> Reference<'a> {
        let info = &patient.info;
        let given: Vec<&str> = info.given.as_deref().into_iter().collect();
        let of_use = |usage, family: &'a Option<String>| {
            family.as_deref().map(|family| HumanName { usage: Some(usage), family: Some(family), given: given.clone() })
        };
        let mut name: Vec<HumanName<'a>> =
            of_use("official", &info.birth_family).into_iter().chain(of_use("usual", &info.usual_family)).collect();
        if name.is_empty() && !given.is_empty() {
            name.push(HumanName { given: given.clone(), ..HumanName::default() });
        }
        let id = "source-patient".to_owned();
        let identifier = match &patient.id {
            Some(id) => self.writing.identifier(id),
            None => ins_identifier(ins),
        };
        let gender = info.sex.as_deref().map(gender_of);
        let birth_date = info.birth_date.map(date_of);
        self.contained.push(Contained::Patient(Box::new(Patient {
            id: id.clone(),
            identifier: vec![identifier],
            name,
            gender,
            birth_date,
        })));
        Reference::to(format!("#{id}"))
    }

    fn practitioner(&mut self, name: &str, person: &'a AuthorPerson) -> Reference<'a> {
        let id = format!("{name}-practitioner");
        self.contained.push(Contained::Practitioner(Practitioner {
            id: id.clone(),
            identifier: self.identifiers_of(person),
            name: names_of(person),
        }));
        Reference::to(format!("#{id}"))
    }

    fn role_of_any(&mut self, name: &str, author: &'a Author) -> Reference<'a> {
        let practitioner = author.person.as_ref().map(|person| self.practitioner(name, person));
        self.role(name, practitioner, author)
    }

    fn role(&mut self, name: &str, practitioner: Option<Reference<'a>>, author: &'a Author) -> Reference<'a> {
        let organization = author.institution.as_ref().map(|institution| self.institution(institution));
        let code = author
            .roles
            .iter()
            .map(|role| CodeableConcept { text: Some(Cow::Borrowed(role)), ..CodeableConcept::default() });
        let role = PractitionerRole {
            id: name.to_owned(),
            practitioner,
            organization,
            code: code.collect(),
            specialty: author.specialty.iter().map(|code| self.writing.concept(code)).collect(),
        };
        self.contained.push(Contained::PractitionerRole(role));
        Reference::to(format!("#{name}"))
    }

    fn device(&mut self, name: &str, person: &'a AuthorPerson, author: &'a Author) -> Reference<'a> {
        let owner = author.institution.as_ref().map(|institution| self.institution(institution));
        let named = |name: &'a Option<String>, kind| name.as_deref().map(|name| DeviceName { name, kind });
        let names = named(&person.family, "user-friendly-name").into_iter().chain(named(&person.given, "model-name"));
        let device = Device {
            id: name.to_owned(),
            identifier: self.identifiers_of(person),
            names: names.collect(),
            kind: author.specialty.as_ref().map(|code| self.writing.concept(code)),
            owner,
        };
        self.contained.push(Contained::Device(device));
        Reference::to(format!("#{name}"))
    }

    fn patient_as_author(&mut self, name: &str, person: &'a AuthorPerson) -> Reference<'a> {
        let patient = Patient {
            id: name.to_owned(),
            identifier: self.identifiers_of(person),
            name: names_of(person),
            gender: None,
            birth_date: None,
        };
        self.contained.push(Contained::Patient(Box::new(patient)));
        Reference::to(format!("#{name}"))
    }

    fn identifiers_of(&self, person: &'a AuthorPerson) -> Vec<Identifier<'a>> {
        person.id.iter().map(|id| self.writing.identifier(id)).collect()
    }
}

fn names_of(person: &AuthorPerson) -> Vec<HumanName<'_>> {
    let name = HumanName {
        usage: None,
        family: person.family.as_deref(),
        given: person.given.as_deref().into_iter().collect(),
    };
    if name.family.is_none() && name.given.is_empty() { Vec::new() } else { vec![name] }
}

/// HL7 table 0001 in the words of FHIR.
fn gender_of(sex: &str) -> &'static str {
    match sex {
        "M" => "male",
        "F" => "female",
        "U" => "unknown",
        _ => "other",
    }
}
