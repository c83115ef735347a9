//! A line of the journal -> AuditEvent, in the patterns of IHE BALP 1.1.4.
//!
//! A line whose deed was done claims the BALP profile that its content fulfils; the patterns themselves fix the
//! outcome to success, so that what was refused claims none. No address of a client is kept, nor the criteria of a
//! search: where BALP wants them, the element says that they are absent. Which documents a line names is settled before.

use std::borrow::Cow;

use serde::Serialize;

use super::Writing;
use super::datatype::ins_identifier;
use super::datatype::{CodeableConcept, Coding, Extension, Identifier, Meta, Reference, Text, URI_SYSTEM, Value};
use crate::domain::ids::UniqueId;
use crate::domain::national_id::{PS_ID_NAT_OID, STRUCT_ID_NAT_OID};
use crate::journal::event::{Action, Actor, EntryMention, Event, StatedPurpose, StatedToken, StatedUser};
use crate::journal::patient_view::{ActorType, Group, profession, sentence};
use crate::operation::outcome::Trace;

#[derive(Debug, Serialize)]
#[serde(tag = "resourceType", rename_all = "camelCase")]
pub struct AuditEvent<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Meta<'static>>,
    text: Narrative,
    #[serde(rename = "type")]
    kind: Coding<'static>,
    subtype: Vec<Coding<'static>>,
    action: &'static str,
    recorded: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome_desc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose_of_event: Option<[CodeableConcept<'a>; 1]>,
    agent: Vec<Agent<'a>>,
    source: Source<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entity: Vec<Entity<'a>>,
}

#[derive(Debug, Serialize)]
struct Narrative {
    status: &'static str,
    div: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Agent<'a> {
    #[serde(rename = "type")]
    kind: CodeableConcept<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    role: Vec<CodeableConcept<'a>>,
    who: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alt_id: Option<&'a str>,
    requestor: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network<'a>>,
}

#[derive(Debug, Default, Serialize)]
struct Network<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    extension: Option<[Extension<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Source<'a> {
    observer: Reference<'a>,
    #[serde(rename = "type")]
    kind: [Coding<'a>; 1],
}

#[derive(Debug, Default, Serialize)]
struct Entity<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<Reference<'a>>,
    #[serde(rename = "type")]
    kind: Coding<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Coding<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(rename = "_query", skip_serializing_if = "Option::is_none")]
    query: Option<Absent<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detail: Vec<Detail<'a>>,
}

#[derive(Debug, Serialize)]
struct Absent<'a> {
    extension: [Extension<'a>; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value_string: &'a str,
}

/// What an action is to BALP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    Create,
    Read,
    Query,
    Update,
    /// Opening and closing the record itself, and telling of it, under its code of ISO 21089.
    Lifecycle(&'static str),
    /// Turned away before anybody knew what it was.
    Request,
}

impl Pattern {
    fn of(action: Action) -> Self {
        match action {
            Action::Deposit => Self::Create,
            Action::Read | Action::Retrieve => Self::Read,
            Action::Search | Action::Existence | Action::ListConsents | Action::ListDossiers | Action::ReadJournal => {
                Self::Query
            }
            Action::SetConsent | Action::SetLabel | Action::SetContact => Self::Update,
            Action::NotifyPatient | Action::NotifyMedecinTraitant => Self::Lifecycle("transmit"),
            Action::OpenDossier => Self::Lifecycle("originate"),
            Action::CloseDossier => Self::Lifecycle("archive"),
            Action::ReopenDossier => Self::Lifecycle("reactivate"),
            Action::Request => Self::Request,
        }
    }

    /// Value set audit-event-action.
    fn action(self) -> &'static str {
        match self {
            Self::Create | Self::Lifecycle("originate") => "C",
            Self::Read => "R",
            Self::Query | Self::Request | Self::Lifecycle("transmit") => "E",
            Self::Update | Self::Lifecycle(_) => "U",
        }
    }

    fn kind(self) -> Coding<'static> {
        match self {
            Self::Lifecycle(_) => coding(DCM, PATIENT_RECORD),
            _ => coding("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest"),
        }
    }

    fn subtype(self) -> Option<Coding<'static>> {
        let rest = |code| Some(coding("http://hl7.org/fhir/restful-interaction", code));
        match self {
            Self::Create => rest("create"),
            Self::Read => rest("read"),
            Self::Query => rest("search-type"),
            Self::Update => rest("update"),
            Self::Lifecycle(code) => Some(coding("http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", code)),
            Self::Request => None,
        }
    }

    /// Data flow to the client where something is read, from it in every other pattern.
    fn client_and_server(self) -> (&'static str, &'static str) {
        match self {
            Self::Read => (DESTINATION, SOURCE),
            Self::Create | Self::Query | Self::Update | Self::Lifecycle(_) | Self::Request => (SOURCE, DESTINATION),
        }
    }

    /// Who reads is an information recipient, who writes an author.
    fn user(self) -> &'static str {
        match self {
            Self::Read | Self::Query | Self::Request => "IRCP",
            Self::Create | Self::Update | Self::Lifecycle(_) => "AUT",
        }
    }

    fn profile(self, is_about_patient: bool) -> Option<&'static str> {
        match (self, is_about_patient) {
            (Self::Create, true) => Some(balp!("PatientCreate")),
            (Self::Read, true) => Some(balp!("PatientRead")),
            (Self::Query, true) => Some(balp!("PatientQuery")),
            (Self::Query, false) => Some(balp!("Query")),
            (Self::Update, true) => Some(balp!("PatientUpdate")),
            (Self::Create | Self::Read | Self::Update, false) | (Self::Lifecycle(_) | Self::Request, _) => None,
        }
    }
}

/// The journal's actions that FHIR's code for an action stands for.
pub fn actions_of(code: &str) -> Option<Vec<Action>> {
    let named: Vec<_> = Action::ALL.into_iter().filter(|action| Pattern::of(*action).action() == code).collect();
    ["C", "R", "U", "E", "D"].contains(&code).then_some(named)
}

pub fn write<'a>(writing: Writing<'a>, trace: &'a Trace) -> AuditEvent<'a> {
    let event = &trace.event;
    let pattern = Pattern::of(event.action);
    let entity = entities(pattern, trace);
    let (outcome, rules) = (event.result.indicator(), event.result.rules());
    // One object of data, as the patterns have it.
    let is_whole = pattern == Pattern::Query || entity.iter().filter(|entity| entity.is_data()).count() == 1;
    let profile = pattern.profile(trace.patient.is_some()).filter(|_| outcome == SUCCESS && is_whole);
    AuditEvent {
        id: trace.id.to_string(),
        meta: profile.map(|profile| Meta { version_id: None, last_updated: None, profile: vec![profile] }),
        text: narrative(&sentence(event, writing.terminology)),
        kind: pattern.kind(),
        subtype: pattern.subtype().into_iter().chain(own_codes(event)).collect(),
        action: pattern.action(),
        recorded: event.at.to_string(),
        outcome,
        outcome_desc: Some(rules).filter(|rules| !rules.is_empty()),
        purpose_of_event: purpose(&event.purpose).map(|purpose| [purpose]),
        agent: agents(writing, pattern, trace),
        source: Source {
            observer: server(writing),
            kind: [coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4")],
        },
        entity,
    }
}

/// Action and group in our own words: BALP's are coarser.
fn own_codes(event: &Event) -> [Coding<'static>; 2] {
    [coding(ACTION_SYSTEM, event.action.code()), coding(GROUP_SYSTEM, Group::of(event).code())]
}

fn narrative(sentence: &str) -> Narrative {
    let text = quick_xml::escape::escape(sentence);
    let div = format!("<div xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"fr\" xml:lang=\"fr\"><p>{text}</p></div>");
    Narrative { status: "generated", div }
}

fn purpose(purpose: &StatedPurpose) -> Option<CodeableConcept<'_>> {
    let text = match purpose {
        StatedPurpose::BrisDeGlace { reason } => Some(Cow::Borrowed(reason.as_str())),
        StatedPurpose::Normal | StatedPurpose::Centre15 | StatedPurpose::NotRead => None,
    };
    Some(CodeableConcept { text, ..CodeableConcept::of(PURPOSE_SYSTEM, purpose.code()?) })
}

/// The client's software or structure, this server, and the person, where one is known.
fn agents<'a>(writing: Writing<'a>, pattern: Pattern, trace: &'a Trace) -> Vec<Agent<'a>> {
    let (client_code, server_code) = pattern.client_and_server();
    let user = user(writing, pattern, trace);
    let client = Agent {
        kind: CodeableConcept::of(DCM, client_code),
        who: client(&trace.event),
        requestor: user.is_none(),
        network: Some(Network { extension: Some([absent("unknown")]), ..Network::default() }),
        ..Agent::default()
    };
    let server = Agent {
        kind: CodeableConcept::of(DCM, server_code),
        who: server(writing),
        network: Some(Network { extension: None, address: Some(writing.base), kind: Some(URI_ADDRESS) }),
        ..Agent::default()
    };
    [Some(client), Some(server), user].into_iter().flatten().collect()
}

fn server(writing: Writing<'_>) -> Reference<'_> {
    let identifier =
        Identifier { system: Some(URI_SYSTEM.into()), value: writing.base.into(), ..Identifier::default() };
    Reference { identifier: Some(identifier), display: Some("Carnet".into()), ..Reference::default() }
}

/// The software as its token names it, under the structure that it works for.
fn client(event: &Event) -> Reference<'_> {
    let structure = match &event.actor {
        Actor::AirProfessional { struct_id, structure: name, .. }
        | Actor::Employee { struct_id, structure: name, .. }
        | Actor::Structure { struct_id, name }
        | Actor::PatientPortal { struct_id, name, .. } => Some((struct_id.as_str(), name.as_str())),
        Actor::Professional { .. } | Actor::Operator | Actor::System | Actor::Unidentified { .. } => None,
    };
    let software = match &event.token {
        StatedToken::Presented { software, .. } if !software.is_empty() => Some(software.as_str()),
        StatedToken::Presented { .. } | StatedToken::None => None,
    };
    let display = software.or(structure.map(|(_, name)| name)).unwrap_or("logiciel non déclaré");
    let identifier = structure.map(|(id, _)| national(STRUCT_ID_NAT_OID, id));
    let kind = structure.is_some().then_some("Organization");
    Reference { kind, identifier, display: Some(display.into()), ..Reference::default() }
}

/// The person: whom the act is imputed to, or, of an act of a structure, the user whom its token names.
fn user<'a>(writing: Writing<'a>, pattern: Pattern, trace: &'a Trace) -> Option<Agent<'a>> {
    let event = &trace.event;
    let practitioner = |id: &'a str, display: Text<'a>| {
        let identifier = Some(national(PS_ID_NAT_OID, id));
        Reference { kind: Some("Practitioner"), identifier, display: Some(display), ..Reference::default() }
    };
    let (who, alt_id, code) = match (&event.actor, &event.token) {
        (Actor::Professional { ps_id, family, given, profession }, _) => {
            (practitioner(ps_id, format!("{given} {family}").into()), None, Some(profession))
        }
        (Actor::AirProfessional { ps_id, name, profession, .. }, _) => {
            (practitioner(ps_id, name.into()), None, Some(profession))
        }
        (Actor::Employee { card_id, name, .. }, _) => (practitioner(card_id, name.into()), None, None),
        (Actor::Structure { .. }, StatedToken::Presented { user, user_name, .. }) => {
            let name = if user_name.is_empty() { user } else { user_name };
            (Reference { display: Some(name.into()), ..Reference::default() }, Some(user.as_str()), None)
        }
        (Actor::Structure { .. }, StatedToken::None) | (Actor::System, _) => return None,
        (Actor::PatientPortal { user, .. }, _) => (before_the_portal(user, trace), None, None),
        (Actor::Operator, _) => {
            (Reference { display: Some("exploitant du service".into()), ..Reference::default() }, None, None)
        }
        (Actor::Unidentified { certificate_serial, holder }, _) => {
            let display = Some(format!("certificat {certificate_serial}").into());
            let holder = Some(holder.as_str()).filter(|holder| !holder.is_empty());
            (Reference { display, ..Reference::default() }, holder, None)
        }
    };
    let profession = code.and_then(|code| {
        let (system, display) = profession(code, writing.terminology)?;
        let system = Some(writing.terminology.fhir_system(system).into());
        let coding = Coding { system, code: code.into(), display: Some(display.into()) };
        Some(CodeableConcept { coding: vec![coding], text: None })
    });
    let actor_type = CodeableConcept::of(ACTOR_TYPE_SYSTEM, ActorType::of(&event.actor).code());
    Some(Agent {
        kind: CodeableConcept::of("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", pattern.user()),
        role: profession.into_iter().chain([actor_type]).collect(),
        who,
        alt_id,
        requestor: true,
        network: None,
    })
}

/// The patient, or who acts for them under the id that the portal has for them.
fn before_the_portal<'a>(user: &'a StatedUser, trace: &'a Trace) -> Reference<'a> {
    let delegate = |id: &'a str, display: &'static str| {
        let identifier = Some(Identifier { value: id.into(), ..Identifier::default() });
        Reference { kind: Some("RelatedPerson"), identifier, display: Some(display.into()), ..Reference::default() }
    };
    match user {
        StatedUser::Unstated | StatedUser::Patient => {
            let identifier = trace.patient.as_ref().map(ins_identifier);
            let display = Some("titulaire du dossier".into());
            Reference { kind: Some("Patient"), identifier, display, ..Reference::default() }
        }
        StatedUser::LegalRepresentative(id) => delegate(id, "représentant légal"),
        StatedUser::Aidant(id) => delegate(id, "aidant"),
    }
}

fn national<'a>(oid: &'static str, value: &'a str) -> Identifier<'a> {
    Identifier { system: Some(format!("urn:oid:{oid}").into()), value: value.into(), ..Identifier::default() }
}

/// The patient; the criteria of a search, or the one object of data; every further document.
fn entities(pattern: Pattern, trace: &Trace) -> Vec<Entity<'_>> {
    let entries = &trace.event.entries;
    let patient = trace.patient.as_ref().map(|ins| Entity {
        what: Some(Reference::to_patient(ins)),
        kind: coding(ENTITY_TYPE, "1"),
        role: Some(coding(OBJECT_ROLE, "1")),
        ..Entity::default()
    });
    let main = match pattern {
        Pattern::Query => Some(Entity {
            kind: coding(ENTITY_TYPE, SYSTEM_OBJECT),
            role: Some(coding(OBJECT_ROLE, "24")),
            query: Some(Absent { extension: [absent("masked")] }),
            ..Entity::default()
        }),
        Pattern::Update if trace.event.action == Action::SetConsent && entries.is_empty() => Some(Entity {
            what: Some(Reference {
                kind: Some("Consent"),
                display: Some("liste des autorisations du dossier".into()),
                ..Reference::default()
            }),
            kind: coding(ENTITY_TYPE, SYSTEM_OBJECT),
            role: Some(coding(OBJECT_ROLE, "4")),
            ..Entity::default()
        }),
        Pattern::Create | Pattern::Read | Pattern::Update | Pattern::Lifecycle(_) | Pattern::Request => None,
    };
    let is_data = pattern != Pattern::Query && entries.len() == 1;
    let documents = entries.iter().map(|entry| document(entry, is_data));
    patient.into_iter().chain(main).chain(documents).collect()
}

/// A document under the title and type that it had then.
fn document(entry: &EntryMention, is_data: bool) -> Entity<'_> {
    let urn = entry.unique_id.parse::<UniqueId>().map_or_else(|_| entry.unique_id.clone(), |id| id.to_urn());
    let identifier = Identifier { system: Some(URI_SYSTEM.into()), value: urn.into(), ..Identifier::default() };
    Entity {
        what: Some(Reference {
            reference: Some(format!("DocumentReference/{}", entry.document)),
            kind: Some("DocumentReference"),
            identifier: Some(identifier),
            ..Reference::default()
        }),
        kind: if is_data {
            coding(ENTITY_TYPE, SYSTEM_OBJECT)
        } else {
            coding("http://hl7.org/fhir/resource-types", "DocumentReference")
        },
        role: Some(coding(OBJECT_ROLE, "3")),
        name: Some(&entry.title),
        detail: vec![Detail { kind: "typeCode", value_string: &entry.type_code }],
        ..Entity::default()
    }
}

impl Entity<'_> {
    fn is_data(&self) -> bool {
        self.kind.code == SYSTEM_OBJECT
    }
}

fn coding(system: &'static str, code: &'static str) -> Coding<'static> {
    Coding { system: Some(Cow::Borrowed(system)), code: Cow::Borrowed(code), display: None }
}

fn absent(why: &'static str) -> Extension<'static> {
    Extension::of("http://hl7.org/fhir/StructureDefinition/data-absent-reason", Value::Code(why))
}

macro_rules! balp {
    ($name:literal) => {
        concat!("https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.", $name)
    };
}
use balp;

const SUCCESS: &str = "0";

const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const PATIENT_RECORD: &str = "110110";
const DESTINATION: &str = "110152";
const SOURCE: &str = "110153";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const SYSTEM_OBJECT: &str = "2";
const OBJECT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
/// Value set network-type: a URI.
const URI_ADDRESS: &str = "5";
/// TRE_R248.
const PURPOSE_SYSTEM: &str = "urn:oid:1.2.250.1.213.1.1.4.248";
const ACTION_SYSTEM: &str = "urn:carnet:journal-action";
const GROUP_SYSTEM: &str = "urn:carnet:journal-group";
const ACTOR_TYPE_SYSTEM: &str = "urn:carnet:actor-type";

#[cfg(test)]
mod tests;
