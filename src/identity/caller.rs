//! Caller: who asks, in which mode, for which purpose. Source: B.3, C.4, F.4 (1), contract 3.

use crate::config::{StructureClass, StructureClasses};
use crate::domain::code::Code;
use crate::domain::national_id::{PsIdNat, StructIdNat};
use crate::refusal::{Refusal, Rule};
use crate::tls::client_certificate::ClientCertificate;
use crate::tls::subject::{Organisation, Subject};

/// [`Caller::identify`] makes one of a certificate; `Operator` is the local command line. A mode that its certificate cannot have does not exist as a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A professional with their own card: deposits and consults.
    Direct(Professional, Purpose),
    /// A structure without a named professional: deposits, finds and deletes its own.
    Indirect(Structure),
    /// The software through which patients set their own lists (Mon espace santé).
    PatientPortal(Structure),
    /// The operator at the gateway's own command line: acts on a patient's written demand, migrates, reads nothing.
    Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Professional {
    pub id: PsIdNat,
    pub family: String,
    pub given: String,
    pub profession: Code,
    pub savoir_faire: Vec<Code>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    pub id: StructIdNat,
    pub name: String,
}

/// TRE_R248.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    Normal,
    /// Life at risk, patient unable to express their will: the reason is written down.
    BrisDeGlace {
        reason: String,
    },
    /// Emergency regulation.
    Centre15,
}

/// `X-Purpose-Of-Use` and `X-Access-Reason` as sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct PurposeHeaders<'a> {
    pub purpose: Option<&'a str>,
    pub reason: Option<&'a str>,
}

impl Caller {
    /// Tells who is behind a certificate and what for.
    ///
    /// Errors: `ActorRefused` for insurers, employers and brokers whatever they ask (CSP L1111-18);
    /// `HeaderValue` for a purpose that is unknown, lacks its reason or that the mode cannot have.
    pub fn identify(
        certificate: &ClientCertificate,
        headers: PurposeHeaders<'_>,
        classes: &StructureClasses,
    ) -> Result<Self, Refusal> {
        match &certificate.subject {
            Subject::Person(person) => {
                let professional = Professional {
                    id: person.ps_id.clone(),
                    family: person.family.clone(),
                    given: person.given.clone(),
                    profession: person.profession.clone(),
                    savoir_faire: person.savoir_faire.clone(),
                };
                Ok(Self::Direct(professional, read_purpose(headers)?))
            }
            Subject::Employee(_) => Err(Refusal::new(
                Rule::ModeRefused,
                "client certificate, subject",
                "the card of an employee (CPE)",
                "the card of a professional, or the certificate of a structure",
            )),
            Subject::Organisation(organisation) => of_structure(organisation, headers, classes),
        }
    }

    /// The identifier under which the journal and ownership know this caller.
    pub fn id(&self) -> CallerId {
        match self {
            Self::Direct(professional, _) => CallerId::Professional(professional.id.clone()),
            Self::Indirect(structure) | Self::PatientPortal(structure) => CallerId::Structure(structure.id.clone()),
            Self::Operator => CallerId::Operator,
        }
    }

    pub fn mode(&self) -> &'static str {
        match self {
            Self::Direct(..) => "direct",
            Self::Indirect(_) => "indirect",
            Self::PatientPortal(_) => "patient_portal",
            Self::Operator => "operator",
        }
    }

    pub fn purpose(&self) -> &Purpose {
        match self {
            Self::Direct(_, purpose) => purpose,
            Self::Indirect(_) | Self::PatientPortal(_) | Self::Operator => &Purpose::Normal,
        }
    }
}

impl Purpose {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::BrisDeGlace { .. } => "bris_de_glace",
            Self::Centre15 => "centre_15",
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

fn of_structure(
    organisation: &Organisation,
    headers: PurposeHeaders<'_>,
    classes: &StructureClasses,
) -> Result<Caller, Refusal> {
    let structure = Structure { id: organisation.struct_id.clone(), name: organisation.name.clone() };
    match classes.get(structure.id.as_str()) {
        Some(StructureClass::Insurer | StructureClass::Employer | StructureClass::Broker) => {
            return Err(Refusal::new(
                Rule::ActorRefused,
                "client certificate, OU",
                "a structure of a class that no right of access exists for (insurer, employer, broker)",
                "a care structure or a professional",
            ));
        }
        Some(StructureClass::PatientPortal) => return Ok(Caller::PatientPortal(structure)),
        None => {}
    }
    match read_purpose(headers)? {
        Purpose::Normal => Ok(Caller::Indirect(structure)),
        other => Err(Refusal::new(
            Rule::ModeRefused,
            "header X-Purpose-Of-Use",
            other.code(),
            "normal: a structure in indirect mode consults nothing, so it has no emergency to state",
        )),
    }
}

fn read_purpose(headers: PurposeHeaders<'_>) -> Result<Purpose, Refusal> {
    match headers.purpose.unwrap_or("normal") {
        "normal" => Ok(Purpose::Normal),
        "centre_15" => Ok(Purpose::Centre15),
        "bris_de_glace" => match headers.reason.map(str::trim).filter(|reason| !reason.is_empty()) {
            Some(reason) => Ok(Purpose::BrisDeGlace { reason: reason.chars().take(REASON_CHARS_MAX).collect() }),
            None => Err(Refusal::new(
                Rule::HeaderValue,
                "header X-Access-Reason",
                "nothing",
                "the reason of the bris de glace, in words",
            )),
        },
        other => {
            Err(Refusal::new(Rule::HeaderValue, "header X-Purpose-Of-Use", other, "normal, bris_de_glace or centre_15"))
        }
    }
}

const REASON_CHARS_MAX: usize = 500;
