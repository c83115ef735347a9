//! Caller: who asks, in which mode, for which purpose. Source: B.3, C.4, F.4 (1), contract 3.
//!
//! The certificate says who opened the connection, a token may say more: the two must agree
//! (`agreement`), and what cannot be does not exist as a value.

mod agreement;
mod purpose;

use self::agreement::{check_employee, check_organisation, check_person};
use self::purpose::purpose_of;
pub use self::purpose::{CallerHeaders, Purpose, PurposeHeaders, StructurePurpose};
use super::session::PortalSession;
use super::statement::{AccessVisibility, StatedMode, Statement};
use super::structures::Structures;
use super::token::Token;
use crate::config::StructureClass;
use crate::domain::code::Code;
use crate::domain::ins::Ins;
use crate::domain::national_id::{PsIdNat, StructIdNat};
use crate::refusal::{Refusal, Rule};
use crate::tls::client_certificate::ClientCertificate;
use crate::tls::subject::{self, Organisation, Person, SAVOIR_FAIRE_SYSTEM, Subject};

/// [`Caller::identify`] makes one of a certificate, and of a token where one came; `Operator` is the local command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A professional with their own card: deposits and consults. A VIHF `DIRECTE` may say more of them.
    Direct(Professional, Purpose, Evidence),
    /// A professional whom their structure authenticated (AIR), named by a token: consults, and deposits nothing.
    Air(AirProfessional, Purpose, Box<Token>),
    /// An employee with a card of their structure (CPE): deposits for it, finds its own.
    Employee(StructureEmployee, StructurePurpose, Evidence),
    /// A structure without a named professional: deposits, finds its own.
    Indirect(Structure, StructurePurpose, Evidence),
    /// The software through which patients, and who acts for them, read and set their own lists (Mon espace santé).
    PatientPortal(Structure, PortalSession),
    /// The operator at the gateway's own command line: acts on a patient's written demand, migrates, reads nothing.
    Operator,
}

/// As the card names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Professional {
    pub id: PsIdNat,
    pub family: String,
    pub given: String,
    pub profession: Code,
    pub savoir_faire: Vec<Code>,
    pub practice: Practice,
}

/// As the token names them, under the word of their structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AirProfessional {
    pub id: PsIdNat,
    /// Prénom and nom in one text.
    pub name: String,
    pub profession: Code,
    pub savoir_faire: Vec<Code>,
    /// Where they work: the structure of the token, which the certificate speaks for.
    pub structure: Structure,
    pub practice: Practice,
}

/// Somebody who acts for their structure: what they do is imputed to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructureEmployee {
    /// Of the card: the structure and an id within it.
    pub id: PsIdNat,
    pub family: String,
    pub given: String,
    pub structure: Structure,
    pub practice: Practice,
}

/// What somebody practises as: occupational medicine reads nothing of the record but its own (F.1 column T, F.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Practice {
    Care,
    OccupationalMedicine,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    pub id: StructIdNat,
    pub name: String,
}

/// What a caller came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    Certificate,
    Token(Box<Token>),
}

impl Caller {
    /// Tells who is behind a certificate, and the token that came over its connection, and what for.
    ///
    /// Errors: `ActorRefused` for insurers, employers and brokers whatever they ask (CSP L1111-18);
    /// `TokenMismatch` and `StructureMismatch` where token and certificate disagree, naming both values;
    /// `HeaderValue` and `ModeRefused` for a purpose that is unknown, lacks its reason or that the mode cannot have, and
    /// for a session of anybody but the portal.
    pub fn identify(
        certificate: &ClientCertificate,
        token: Option<Token>,
        headers: CallerHeaders<'_>,
        structures: &Structures,
    ) -> Result<Self, Refusal> {
        if let Some(token) = &token {
            check_class(structures, &token.statement.structure, token.kind.place_of_structure())?;
        }
        match &certificate.subject {
            Subject::Person(person) => of_person(person, token, headers.of_no_session()?, structures),
            Subject::Employee(employee) => of_employee(employee, token, headers.of_no_session()?, structures),
            Subject::Organisation(organisation) => of_structure(organisation, token, headers, structures),
        }
    }

    /// The identifier under which the journal and ownership know this caller.
    pub fn id(&self) -> CallerId {
        match self {
            Self::Direct(professional, ..) => CallerId::Professional(professional.id.clone()),
            Self::Air(professional, ..) => CallerId::Professional(professional.id.clone()),
            Self::Employee(employee, ..) => CallerId::Structure(employee.structure.id.clone()),
            Self::Indirect(structure, ..) | Self::PatientPortal(structure, _) => {
                CallerId::Structure(structure.id.clone())
            }
            Self::Operator => CallerId::Operator,
        }
    }

    pub fn mode(&self) -> &'static str {
        match self {
            Self::Direct(..) => "direct",
            Self::Air(..) => "air",
            Self::Employee(..) => "employee",
            Self::Indirect(..) => "indirect",
            Self::PatientPortal(..) => "patient_portal",
            Self::Operator => "operator",
        }
    }

    pub fn purpose(&self) -> &Purpose {
        match self {
            Self::Direct(_, purpose, _) | Self::Air(_, purpose, _) => purpose,
            Self::Employee(_, StructurePurpose::Centre15, _) | Self::Indirect(_, StructurePurpose::Centre15, _) => {
                &Purpose::Centre15
            }
            Self::Employee(..) | Self::Indirect(..) | Self::PatientPortal(..) | Self::Operator => &Purpose::Normal,
        }
    }

    /// The professional who reads, whichever way they came in.
    pub fn professional_id(&self) -> Option<&PsIdNat> {
        match self {
            Self::Direct(professional, ..) => Some(&professional.id),
            Self::Air(professional, ..) => Some(&professional.id),
            Self::Employee(..) | Self::Indirect(..) | Self::PatientPortal(..) | Self::Operator => None,
        }
    }

    /// The structure that somebody vouches for: a certificate's, or the one a certificate speaks for. What a card
    /// states of its own place of work nobody checked.
    pub fn structure_id(&self) -> Option<&StructIdNat> {
        match self {
            Self::Air(professional, ..) => Some(&professional.structure.id),
            Self::Employee(employee, ..) => Some(&employee.structure.id),
            Self::Indirect(structure, ..) | Self::PatientPortal(structure, _) => Some(&structure.id),
            Self::Direct(..) | Self::Operator => None,
        }
    }

    pub fn token(&self) -> Option<&Token> {
        match self {
            Self::Direct(_, _, Evidence::Token(token))
            | Self::Employee(_, _, Evidence::Token(token))
            | Self::Indirect(_, _, Evidence::Token(token))
            | Self::Air(_, _, token) => Some(token),
            Self::Direct(..) | Self::Employee(..) | Self::Indirect(..) | Self::PatientPortal(..) | Self::Operator => {
                None
            }
        }
    }

    /// Whether the legal representatives of a minor see that this caller was here.
    pub fn visibility(&self) -> AccessVisibility {
        match self {
            Self::PatientPortal(_, session) => session.visibility(),
            other => other.token().map_or(AccessVisibility::Ordinary, |token| token.statement.visibility),
        }
    }

    /// Over a "connexion secrète".
    pub fn is_secret(&self) -> bool {
        self.visibility() == AccessVisibility::HiddenFromLegalRepresentatives
    }

    /// The one patient whom the token or the session is about.
    pub fn stated_patient(&self) -> Option<&Ins> {
        match self {
            Self::PatientPortal(_, session) => session.patient(),
            other => other.token().and_then(|token| token.statement.patient.as_ref()),
        }
    }

    /// A token or a session is about one patient: a request that names another is refused. Errors: `TokenPatient`.
    pub fn check_patient(&self, requested: &Ins, place: &str) -> Result<(), Refusal> {
        match self.stated_patient() {
            Some(stated) if stated != requested => {
                let shown = |ins: &Ins| format!("{} under {}", ins.masked(), ins.authority().oid());
                let expected = format!("{}, the patient of the token (resource-id) or of the session", shown(stated));
                Err(Refusal::new(Rule::TokenPatient, place, shown(requested), expected))
            }
            _ => Ok(()),
        }
    }
}

/// National identifier of a caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CallerId {
    Professional(PsIdNat),
    Structure(StructIdNat),
    Operator,
}

impl CallerId {
    /// `ps`, `struct` or `operator`: the word that the store keeps beside the number.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Professional(_) => "ps",
            Self::Structure(_) => "struct",
            Self::Operator => "operator",
        }
    }

    pub fn number(&self) -> &str {
        match self {
            Self::Professional(id) => id.as_str(),
            Self::Structure(id) => id.as_str(),
            Self::Operator => "local",
        }
    }
}

fn of_person(
    person: &Person,
    token: Option<Token>,
    headers: PurposeHeaders<'_>,
    structures: &Structures,
) -> Result<Caller, Refusal> {
    let purpose = purpose_of(token.as_ref(), headers)?;
    let statement = token.as_ref().map(|token| &token.statement);
    if let Some(token) = &token {
        check_person(token, person)?;
    }
    let stated_skills = statement.map(|statement| savoir_faire_of(&statement.roles));
    let stated_structure = statement.map(|statement| &statement.structure);
    let skills = stated_skills.as_deref().unwrap_or(&person.savoir_faire);
    let practice = practice_of(skills, stated_structure, structures);
    let professional = Professional {
        id: person.ps_id.clone(),
        family: person.family.clone(),
        given: person.given.clone(),
        profession: person.profession.clone(),
        savoir_faire: person.savoir_faire.clone(),
        practice,
    };
    Ok(Caller::Direct(professional, purpose, evidence_of(token)))
}

fn of_employee(
    employee: &subject::Employee,
    token: Option<Token>,
    headers: PurposeHeaders<'_>,
    structures: &Structures,
) -> Result<Caller, Refusal> {
    const PLACE: &str = "client certificate, CN";
    let Some(certified) = employee.structure() else {
        let expected = "type digit and number of a structure, `/`, an id within it: what is done is the structure's";
        return Err(Refusal::new(Rule::ActorRefused, PLACE, employee.id.as_str(), expected));
    };
    check_class(structures, &certified, PLACE)?;
    if let Some(token) = &token {
        check_employee(token, employee, &certified, structures)?;
    }
    let purpose = of_a_structure(&purpose_of(token.as_ref(), headers)?, "purpose of use")?;
    let id = token.as_ref().map_or_else(|| certified.clone(), |token| token.statement.structure.clone());
    let practice = practice_of(&[], [&certified, &id], structures);
    let names = employee.name();
    let employee = StructureEmployee {
        id: employee.id.clone(),
        family: names.family,
        given: names.given,
        structure: Structure { id, name: employee.organisation.clone() },
        practice,
    };
    Ok(Caller::Employee(employee, purpose, evidence_of(token)))
}

fn evidence_of(token: Option<Token>) -> Evidence {
    token.map_or(Evidence::Certificate, |token| Evidence::Token(Box::new(token)))
}

fn of_structure(
    organisation: &Organisation,
    token: Option<Token>,
    headers: CallerHeaders<'_>,
    structures: &Structures,
) -> Result<Caller, Refusal> {
    let class = check_class(structures, &organisation.struct_id, "client certificate, OU")?;
    let structure = |id: &StructIdNat| Structure { id: id.clone(), name: organisation.name.clone() };
    let purpose = purpose_of(token.as_ref(), headers.purpose)?;
    if class == Some(StructureClass::PatientPortal) {
        return match token {
            None => {
                Ok(Caller::PatientPortal(structure(&organisation.struct_id), PortalSession::read(headers.session)?))
            }
            Some(token) => Err(Refusal::new(
                Rule::ModeRefused,
                "Authorization",
                token.statement.mode.word(),
                "no token: the portal carries the patient's own acts, not a professional's",
            )),
        };
    }
    headers.of_no_session()?;
    let Some(token) = token else {
        let purpose = of_a_structure(&purpose, "header X-Purpose-Of-Use")?;
        return Ok(Caller::Indirect(structure(&organisation.struct_id), purpose, Evidence::Certificate));
    };
    check_organisation(&token, organisation, structures)?;
    let stated = structure(&token.statement.structure);
    if token.statement.mode == StatedMode::Indirecte {
        let purpose = of_a_structure(&purpose, "token, purposeofuse")?;
        return Ok(Caller::Indirect(stated, purpose, Evidence::Token(Box::new(token))));
    }
    let professional = air_professional(&token.statement, stated, &organisation.struct_id, structures)?;
    Ok(Caller::Air(professional, purpose, Box::new(token)))
}

/// Who is named by an AIR token: a professional with a national id of their own. Under an id that a structure gave
/// out, whom the patient blocked would come back. A secretary or an automaton consults nothing.
fn air_professional(
    statement: &Statement,
    structure: Structure,
    certified: &StructIdNat,
    structures: &Structures,
) -> Result<AirProfessional, Refusal> {
    let refused = |place: &str, found: String, expected: &str| {
        Refusal::new(Rule::ModeRefused, format!("token, {place}"), found, expected)
    };
    let profession = match statement.roles.first() {
        Some(role) if role.system != NON_PS_SYSTEM => role.clone(),
        other => {
            let found = other.map_or_else(|| "nothing".to_owned(), |role| role.code.clone());
            let expected = "the profession of a professional: in INDIRECTE_RENFORCEE nobody else consults";
            return Err(refused("role", found, expected));
        }
    };
    let id = statement.subject.id.parse::<PsIdNat>().ok().filter(PsIdNat::is_personal).ok_or_else(|| {
        let expected = "the professional's own number: RPPS as 8 and 11 digits, or ADELI as 0 and the number";
        refused("Subject/NameID", statement.subject.id.clone(), expected)
    })?;
    let savoir_faire = savoir_faire_of(&statement.roles);
    Ok(AirProfessional {
        id,
        name: statement.subject.name.clone().unwrap_or_default(),
        profession,
        practice: practice_of(&savoir_faire, [certified, &structure.id], structures),
        savoir_faire,
        structure,
    })
}

/// The class that configuration gives a structure. Errors: `ActorRefused` for those without any right.
fn check_class(
    structures: &Structures,
    structure: &StructIdNat,
    place: &str,
) -> Result<Option<StructureClass>, Refusal> {
    match structures.class_of(structure) {
        Some(StructureClass::Insurer | StructureClass::Employer | StructureClass::Broker) => Err(Refusal::new(
            Rule::ActorRefused,
            place,
            "a structure of a class that no right of access exists for (insurer, employer, broker)",
            "a care structure or a professional",
        )),
        other => Ok(other),
    }
}

/// Médecine du travail, by the only savoir-faire that is stated or by any of the structures: the certificate's, and
/// the token's, which may be a site of it.
fn practice_of<'s>(
    savoir_faire: &[Code],
    of: impl IntoIterator<Item = &'s StructIdNat>,
    structures: &Structures,
) -> Practice {
    let is_occupational = |id: &StructIdNat| structures.class_of(id) == Some(StructureClass::OccupationalMedicine);
    let by_skill = !savoir_faire.is_empty() && savoir_faire.iter().all(|code| code.code == OCCUPATIONAL_MEDICINE);
    if by_skill || of.into_iter().any(is_occupational) { Practice::OccupationalMedicine } else { Practice::Care }
}

fn savoir_faire_of(roles: &[Code]) -> Vec<Code> {
    roles.iter().skip(1).filter(|role| role.system == SAVOIR_FAIRE_SYSTEM).cloned().collect()
}

fn of_a_structure(purpose: &Purpose, place: &str) -> Result<StructurePurpose, Refusal> {
    match purpose {
        Purpose::Normal => Ok(StructurePurpose::Normal),
        Purpose::Centre15 => Ok(StructurePurpose::Centre15),
        Purpose::BrisDeGlace { .. } => Err(Refusal::new(
            Rule::ModeRefused,
            place,
            purpose.code(),
            "normal or centre_15: a structure in indirect mode consults nothing, so it breaks no glass",
        )),
    }
}

/// TRE_A00: secretaries, devices, automata.
pub const NON_PS_SYSTEM: &str = "1.2.250.1.213.1.1.4.6";
/// TRE_R38: Médecine du travail.
const OCCUPATIONAL_MEDICINE: &str = "SM25";

#[cfg(test)]
mod tests;
