//! The people and structures of a message: whose document it is, who wrote it, who keeps it.
//!
//! References are followed inside the message only (contained, or an entry of the Bundle): a `Patient/x` of
//! somebody else's server says nothing here. Such a reference counts by its `identifier`, if it has one.
//! Source: A.1, A.2, A.3; fr-core identifier systems.

use fhirkit::r4::{
    CodeableConcept, HumanName, Identifier, Patient, Practitioner, PractitionerRole, Reference, Resource,
};

use super::reading::{Found, Reading, Scope, Text as _, conditional_token, referenced_type, system_and_value};
use crate::domain::author::{self, Author, AuthorPerson, Institution, PersonKind};
use crate::domain::ins::{Ins, InsAuthority, InsError, mask};
use crate::domain::national_id::{PS_ID_NAT_OID, STRUCT_ID_NAT_OID};
use crate::domain::patient::{SourcePatient, SourcePatientInfo};
use crate::refusal::Rule;

/// Where a reference to a patient led.
pub(super) enum Subject {
    Known(Ins),
    /// Out of the message, or to a Patient without INS.
    Elsewhere,
    /// Already refused.
    Refused,
}

impl Reading<'_> {
    /// The patient by INS: `Patient?identifier=`, a Patient of the message, or the identifier of the reference.
    pub(super) fn subject(&mut self, reference: &Reference, place: &str, scope: Scope<'_>) -> Subject {
        if let Some(text) = reference.reference.text() {
            let place = format!("{place}.reference");
            if let Some(token) = conditional_token(text, "Patient") {
                let (system, value) = token.split_once('|').unwrap_or(("", &token));
                return self.ins(system, value, &place);
            }
            match scope.find(text) {
                Some(Found { resource: Resource::Patient(patient), place, .. }) => {
                    match self.ins_of(&patient.identifier, &format!("{place}.identifier")) {
                        Subject::Elsewhere => {}
                        subject => return subject,
                    }
                }
                Some(_) => {
                    self.refuse(Rule::ReferenceUnresolved, place, "another resource", "a Patient");
                    return Subject::Refused;
                }
                None if text.starts_with('#') => {
                    self.refuse(Rule::ReferenceUnresolved, place, "no resource of that id", "a contained Patient");
                    return Subject::Refused;
                }
                None => {}
            }
        }
        match reference.identifier.as_deref().and_then(system_and_value) {
            Some((system, value)) => self.ins(system, value, &format!("{place}.identifier")),
            None => Subject::Elsewhere,
        }
    }

    /// The first identifier that an authority of the INS assigned.
    pub(super) fn ins_of(&mut self, identifiers: &[Identifier], place: &str) -> Subject {
        let found = identifiers.iter().enumerate().find_map(|(index, identifier)| {
            let (system, value) = system_and_value(identifier)?;
            InsAuthority::from_oid(&self.system(system)).map(|_| (index, system, value))
        });
        match found {
            Some((index, system, value)) => self.ins(system, value, &format!("{place}[{index}]")),
            None => Subject::Elsewhere,
        }
    }

    fn ins(&mut self, system: &str, value: &str, place: &str) -> Subject {
        let oid = self.system(system);
        let error = match Ins::parse(value, &oid) {
            Ok(ins) => return Subject::Known(ins),
            Err(error) => error,
        };
        let (rule, found) = match error {
            InsError::Length | InsError::Character => (Rule::InsForm, mask(value)),
            InsError::Key => (Rule::InsKey, mask(value)),
            InsError::Authority => (Rule::InsDomain, oid),
        };
        self.refuse(rule, place, found, error.to_string());
        Subject::Refused
    }

    /// `sourcePatientInfo`: identity as submitted. `None` when it is not in the message.
    pub(super) fn source_patient(
        &mut self,
        reference: &Reference,
        place: &str,
        scope: Scope<'_>,
    ) -> Option<SourcePatient> {
        let text = reference.reference.text()?;
        match scope.find(text) {
            Some(Found { resource: Resource::Patient(patient), place, .. }) => {
                Some(self.source_patient_of(patient, &place))
            }
            Some(_) => {
                self.refuse(Rule::ReferenceUnresolved, place, "another resource", "a Patient");
                None
            }
            None if text.starts_with('#') => {
                self.refuse(Rule::ReferenceUnresolved, place, "no resource of that id", "a contained Patient");
                None
            }
            None => None,
        }
    }

    fn source_patient_of(&mut self, patient: &Patient, place: &str) -> SourcePatient {
        let name_of = |uses: [&str; 2]| {
            patient.name.iter().find(|name| name.use_.text().is_some_and(|used| uses.contains(&used)))
        };
        let birth = name_of(["official", "maiden"]).or_else(|| patient.name.iter().find(|name| name.use_.is_none()));
        let usual = name_of(["usual", "nickname"]);
        // The local number (IPP) first: the INS already is the patientId.
        let identifiers = &patient.identifier;
        let local = identifiers.iter().find(|identifier| {
            system_and_value(identifier)
                .is_some_and(|(system, _)| InsAuthority::from_oid(&self.system(system)).is_none())
        });
        let id = local.or(identifiers.first()).and_then(|identifier| self.identifier(identifier));
        SourcePatient {
            id,
            info: SourcePatientInfo {
                birth_family: birth.and_then(|name| name.family.text()).map(str::to_owned),
                usual_family: usual.and_then(|name| name.family.text()).map(str::to_owned),
                given: birth.or(usual).and_then(given),
                birth_date: self.time(patient.birth_date.text(), &format!("{place}.birthDate")),
                sex: patient.gender.text().map(|gender| sex(gender).to_owned()),
            },
        }
    }

    /// A person, system or structure that wrote or vouches.
    pub(super) fn author(&mut self, reference: &Reference, place: &str, scope: Scope<'_>) -> Option<Author> {
        let found = reference.reference.text().and_then(|text| scope.find(text));
        let Some(found) = found else { return self.author_elsewhere(reference, place) };
        let of_person = |person| Author { person: Some(person), ..Author::default() };
        match found.resource {
            Resource::Practitioner(practitioner) => Some(self.practitioner(practitioner, &found.place)),
            Resource::PractitionerRole(role) => Some(self.author_in_role(role, &found.place, found.scope)),
            Resource::Patient(patient) => {
                Some(of_person(self.person(PersonKind::Patient, &patient.identifier, patient.name.first())))
            }
            Resource::Device(device) => {
                let name = device.device_name.first().and_then(|name| name.name.text());
                let person = self.person(PersonKind::Device, &device.identifier, None);
                Some(of_person(AuthorPerson { family: name.map(str::to_owned), ..person }))
            }
            Resource::Organization(_) => {
                let institution = self.institution(reference, place, scope);
                Some(Author { institution, ..Author::default() })
            }
            other => {
                let expected = "a Practitioner, PractitionerRole, Organization, Device or Patient";
                self.refuse(Rule::MetadataValue, place, format!("a {}", other.resource_type()), expected);
                None
            }
        }
    }

    fn practitioner(&mut self, practitioner: &Practitioner, place: &str) -> Author {
        let mut codes = practitioner.qualification.iter().filter_map(|qualification| qualification.code.as_ref());
        let specialty = codes.find(|code| self.is_specialty(code));
        Author {
            person: Some(self.person(PersonKind::Professional, &practitioner.identifier, practitioner.name.first())),
            specialty: specialty.and_then(|code| self.code(code, &format!("{place}.qualification"))),
            ..Author::default()
        }
    }

    /// The practitioner of a role is a Practitioner: a role again could lead in circles.
    fn author_in_role(&mut self, role: &PractitionerRole, place: &str, scope: Scope<'_>) -> Author {
        let mut author = Author::default();
        if let Some(reference) = &role.practitioner {
            let place = format!("{place}.practitioner");
            match reference.reference.text().and_then(|text| scope.find(text)) {
                Some(Found { resource: Resource::Practitioner(practitioner), place, .. }) => {
                    author = self.practitioner(practitioner, &place);
                }
                Some(_) => self.refuse(Rule::ReferenceUnresolved, place, "another resource", "a Practitioner"),
                None => author = self.author_elsewhere(reference, &place).unwrap_or_default(),
            }
        }
        if author.person.is_none() && !role.identifier.is_empty() {
            author.person = Some(self.person(PersonKind::Professional, &role.identifier, None));
        }
        let organization = role.organization.as_ref();
        author.institution =
            organization.and_then(|reference| self.institution(reference, &format!("{place}.organization"), scope));
        author.roles = role.code.iter().filter_map(label).collect();
        if let Some(specialty) = role.specialty.first() {
            author.specialty = self.code(specialty, &format!("{place}.specialty[0]"));
        }
        author
    }

    /// A reference that leads out of the message still names somebody by its identifier.
    fn author_elsewhere(&mut self, reference: &Reference, place: &str) -> Option<Author> {
        let id = reference.identifier.as_deref().and_then(|identifier| self.identifier(identifier));
        let Some(id) = id else {
            self.unresolved(place);
            return None;
        };
        let display = reference.display.text().map(str::to_owned);
        let kind = match referenced_type(reference) {
            Some("Device") => PersonKind::Device,
            Some("Patient") => PersonKind::Patient,
            Some("Organization") => {
                let institution = Some(Institution { id: Some(id), name: display });
                return Some(Author { institution, ..Author::default() });
            }
            _ => PersonKind::Professional,
        };
        let person = AuthorPerson { id: Some(id), kind, family: display, given: None };
        Some(Author { person: Some(person), ..Author::default() })
    }

    pub(super) fn institution(&mut self, reference: &Reference, place: &str, scope: Scope<'_>) -> Option<Institution> {
        match reference.reference.text().and_then(|text| scope.find(text)) {
            Some(Found { resource: Resource::Organization(organization), .. }) => Some(Institution {
                id: self.preferred(&organization.identifier, STRUCT_ID_NAT_OID),
                name: organization.name.text().map(str::to_owned),
            }),
            Some(_) => {
                self.refuse(Rule::ReferenceUnresolved, place, "another resource", "an Organization");
                None
            }
            None => {
                let id = reference.identifier.as_deref().and_then(|identifier| self.identifier(identifier));
                if id.is_none() {
                    self.unresolved(place);
                    return None;
                }
                Some(Institution { id, name: reference.display.text().map(str::to_owned) })
            }
        }
    }

    fn unresolved(&mut self, place: &str) {
        let expected = "a resource that is contained or in the Bundle, or an identifier";
        self.refuse(Rule::ReferenceUnresolved, place, "a reference that leads out of the message", expected);
    }

    fn person(&mut self, kind: PersonKind, identifiers: &[Identifier], name: Option<&HumanName>) -> AuthorPerson {
        let family = name.and_then(|name| name.family.text().or(name.text.text())).map(str::to_owned);
        let id = match kind {
            PersonKind::Patient => identifiers
                .iter()
                .filter_map(|identifier| self.identifier(identifier))
                .find(|identifier| InsAuthority::from_oid(&identifier.system).is_some()),
            PersonKind::Professional | PersonKind::Device => self.preferred(identifiers, PS_ID_NAT_OID),
        };
        AuthorPerson { id, kind, family, given: name.and_then(given) }
    }

    /// The identifier under that OID, else the first.
    fn preferred(&self, identifiers: &[Identifier], oid: &str) -> Option<author::Identifier> {
        let mut all = identifiers.iter().filter_map(|identifier| self.identifier(identifier)).collect::<Vec<_>>();
        let at = all.iter().position(|identifier| identifier.system == oid).unwrap_or(0);
        (at < all.len()).then(|| all.swap_remove(at))
    }

    pub(super) fn identifier(&self, identifier: &Identifier) -> Option<author::Identifier> {
        let (system, value) = system_and_value(identifier)?;
        Some(national(system, value).unwrap_or_else(|| author::Identifier::new(&self.system(system), value)))
    }

    /// Table G15 with its speciality, as XDS authorSpecialty carries it (A.3).
    fn is_specialty(&self, concept: &CodeableConcept) -> bool {
        concept
            .coding
            .iter()
            .filter_map(|coding| coding.system.text())
            .any(|system| self.system(system) == AUTHOR_SPECIALTY_OID)
    }
}

/// RPPS, ADELI, FINESS, SIREN and SIRET are national identifiers without their type digit (A.2): one person under two
/// systems must be one author, for access rules compare them.
fn national(system: &str, value: &str) -> Option<author::Identifier> {
    let (oid, digit) = match (system, value.len()) {
        ("https://rpps.esante.gouv.fr", 11) => (PS_ID_NAT_OID, '8'),
        ("https://adeli.esante.gouv.fr", 9) => (PS_ID_NAT_OID, '0'),
        ("https://finess.esante.gouv.fr", 9) => (STRUCT_ID_NAT_OID, '1'),
        ("https://sirene.fr", 9) => (STRUCT_ID_NAT_OID, '2'),
        ("https://sirene.fr", 14) => (STRUCT_ID_NAT_OID, '3'),
        _ => return None,
    };
    Some(author::Identifier::new(oid, &format!("{digit}{value}")))
}

fn given(name: &HumanName) -> Option<String> {
    let given: Vec<&str> = name.given.iter().filter_map(|given| given.value.as_deref()).collect();
    (!given.is_empty()).then(|| given.join(" "))
}

fn label(concept: &CodeableConcept) -> Option<String> {
    let display = concept.coding.iter().find_map(|coding| coding.display.text());
    concept.text.text().or(display).map(str::to_owned)
}

/// HL7 table 0001.
fn sex(gender: &str) -> &'static str {
    match gender {
        "male" => "M",
        "female" => "F",
        _ => "U",
    }
}

const AUTHOR_SPECIALTY_OID: &str = "1.2.250.1.213.1.1.4.5";
