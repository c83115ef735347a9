//! A line of the patient's list, or the mask of a document -> Consent.
//!
//! No guide says how (domain T: "Consent à préciser"), so the shape is ours and as close to IHE PCF as the
//! content allows: `category` names the kind of line in the words of the store, `provision` says permit or
//! deny, to whom (logical reference), for which purpose of use, on which document. What is written here reads
//! back through [`crate::fhir::read::consent`].

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;

use super::datatype::{CodeableConcept, Coding, Identifier, Period, Reference};
use crate::domain::consent::{Consent as Line, ConsentKind, DeclaredBy, Grantee};
use crate::domain::ids::LogicalId;
use crate::domain::ins::Ins;
use crate::domain::national_id::{PS_ID_NAT_OID, PsIdNat, STRUCT_ID_NAT_OID, StructIdNat};
use crate::operation::outcome::{ConsentOutcome, ConsentState};

/// System of `category`: `ConsentKind::word`, and [`MASK`].
const CATEGORY_SYSTEM: &str = "urn:carnet:consent-category";
const MASK: &str = "masque_ps";
const SCOPE_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/consentscope";
/// TRE_R248, as tokens carry it (T-2).
const PURPOSE_SYSTEM: &str = "urn:oid:1.2.250.1.213.1.1.4.248";
const BRIS_DE_GLACE: &str = "bris_de_glace";
const CENTRE_15: &str = "centre_15";
const FUNCTION_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationFunction";
/// Primary care physician: the médecin traitant.
const PRIMARY_CARE: &str = "PCP";
const PARTICIPATION_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";

#[derive(Debug, Serialize)]
#[serde(tag = "resourceType", rename_all = "camelCase")]
pub struct Consent<'a> {
    id: String,
    status: &'static str,
    scope: CodeableConcept<'a>,
    category: [CodeableConcept<'a>; 1],
    patient: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date_time: Option<String>,
    performer: [Reference<'a>; 1],
    policy_rule: CodeableConcept<'a>,
    provision: Provision<'a>,
}

#[derive(Debug, Serialize)]
struct Provision<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<[Actor<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<[Coding<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<[Data<'a>; 1]>,
}

#[derive(Debug, Serialize)]
struct Actor<'a> {
    role: CodeableConcept<'a>,
    reference: Reference<'a>,
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    meaning: &'static str,
    reference: Reference<'a>,
}

/// The id of the Consent of an outcome: the line's, or that of the masked document.
pub fn id_of(outcome: &ConsentOutcome) -> String {
    outcome.id().to_string()
}

pub fn write(outcome: &ConsentOutcome, now: Timestamp) -> Consent<'_> {
    match outcome {
        ConsentOutcome::List { patient, consent } => of_line(patient, consent, now),
        ConsentOutcome::Mask { patient, document, state } => of_mask(patient, *document, *state),
    }
}

fn of_line<'a>(patient: &'a Ins, line: &'a Line, now: Timestamp) -> Consent<'a> {
    let role = match &line.kind {
        ConsentKind::MedecinTraitant(_) => CodeableConcept::of(FUNCTION_SYSTEM, PRIMARY_CARE),
        _ => CodeableConcept::of(PARTICIPATION_SYSTEM, "PRCP"),
    };
    let (kind, actor, purpose) = match &line.kind {
        ConsentKind::Authorisation(Grantee::Structure(structure)) => ("permit", Some(organization(structure)), None),
        ConsentKind::Authorisation(Grantee::Professional(ps)) | ConsentKind::MedecinTraitant(ps) => {
            ("permit", Some(professional(ps)), None)
        }
        ConsentKind::Block(ps) => ("deny", Some(professional(ps)), None),
        ConsentKind::OppositionBrisDeGlace => ("deny", None, Some(BRIS_DE_GLACE)),
        ConsentKind::OppositionCentre15 => ("deny", None, Some(CENTRE_15)),
    };
    let actor = actor.map(|reference| [Actor { role, reference }]);
    let purpose = purpose
        .map(|code| [Coding { system: Some(Cow::Borrowed(PURPOSE_SYSTEM)), code: Cow::Borrowed(code), display: None }]);
    let period = Period { start: Some(line.since.to_string()), end: line.until.map(|until| until.to_string()) };
    let performer = match &line.declared_by {
        DeclaredBy::Patient => Reference::to_patient(patient),
        DeclaredBy::Professional(ps) => professional(ps),
    };
    // An ended line stays readable; one that starts later is active already, for nothing has to be done.
    let ended = line.until.is_some_and(|until| until <= now);
    Consent {
        id: line.id.to_string(),
        status: if ended { "inactive" } else { "active" },
        category: [CodeableConcept::of(CATEGORY_SYSTEM, line.kind.word())],
        date_time: Some(line.since.to_string()),
        performer: [performer],
        provision: Provision { kind, period: Some(period), actor, purpose, data: None },
        ..shell(patient)
    }
}

fn of_mask(patient: &Ins, document: LogicalId, state: ConsentState) -> Consent<'_> {
    let reference = Reference::to(format!("DocumentReference/{document}"));
    let data = Some([Data { meaning: "instance", reference }]);
    Consent {
        id: document.to_string(),
        status: match state {
            ConsentState::Active => "active",
            ConsentState::Inactive => "inactive",
        },
        category: [CodeableConcept::of(CATEGORY_SYSTEM, MASK)],
        provision: Provision { kind: "deny", period: None, actor: None, purpose: None, data },
        ..shell(patient)
    }
}

/// What every Consent of ours says alike.
fn shell(patient: &Ins) -> Consent<'_> {
    Consent {
        id: String::new(),
        status: "active",
        scope: CodeableConcept::of(SCOPE_SYSTEM, "patient-privacy"),
        category: [CodeableConcept::default()],
        patient: Reference::to_patient(patient),
        date_time: None,
        performer: [Reference::to_patient(patient)],
        policy_rule: CodeableConcept { text: Some(Cow::Borrowed(POLICY)), ..CodeableConcept::default() },
        provision: Provision { kind: "deny", period: None, actor: None, purpose: None, data: None },
    }
}

fn professional(ps: &PsIdNat) -> Reference<'_> {
    logical("Practitioner", PS_ID_NAT_OID, ps.as_str())
}

fn organization(structure: &StructIdNat) -> Reference<'_> {
    logical("Organization", STRUCT_ID_NAT_OID, structure.as_str())
}

fn logical<'a>(kind: &'static str, oid: &str, value: &'a str) -> Reference<'a> {
    let system = Some(Cow::Owned(format!("urn:oid:{oid}")));
    let identifier = Identifier { system, value: Cow::Borrowed(value), ..Identifier::default() };
    Reference { kind: Some(kind), identifier: Some(identifier), ..Reference::default() }
}

const POLICY: &str = "Code de la santé publique, R. 1111-46 to R. 1111-49";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::domain::ids::ConsentId;
    use crate::domain::value_set::Terminology;
    use crate::fhir::read::consent::read_consent;
    use crate::fhir::read::{WireFormat, read_message};
    use crate::fhir::resource::sample;
    use crate::operation::outcome::ConsentProvision;
    use crate::spool::SpoolSettings;

    fn now() -> Timestamp {
        "2026-03-01T00:00:00Z".parse().unwrap()
    }

    fn json(outcome: &ConsentOutcome) -> serde_json::Value {
        let text = serde_json::to_string(&write(outcome, now())).unwrap();
        fhirkit::from_json_strict::<fhirkit::r4::Consent>(&text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn line(kind: ConsentKind, until: Option<Timestamp>) -> ConsentOutcome {
        let since = Timestamp::UNIX_EPOCH;
        let declared_by = DeclaredBy::Patient;
        let consent = Line { id: ConsentId::new(), kind, since, until, declared_by };
        ConsentOutcome::List { patient: sample::ins(), consent }
    }

    async fn read_back(outcome: &ConsentOutcome) -> ConsentProvision {
        let text = serde_json::to_vec(&write(outcome, now())).unwrap();
        let spool = SpoolSettings { directory: std::sync::Arc::new(std::env::temp_dir()), memory_bytes_max: 1 << 20 };
        let body = futures_util::stream::iter([Ok(bytes::Bytes::from(text))]);
        let no_xml = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        let message = read_message(WireFormat::Json, body, &Limits::default(), spool, no_xml).await.unwrap();
        let id = id_of(outcome).parse().unwrap();
        let request = read_consent(message, Some(id), &Terminology::load().unwrap()).unwrap();
        assert_eq!(request.patient, sample::ins());
        request.provision
    }

    #[tokio::test]
    async fn what_is_written_reads_back() {
        let ps: PsIdNat = "801234567897".parse().unwrap();
        let structure: StructIdNat = "1750803447".parse().unwrap();
        for kind in [
            ConsentKind::Authorisation(Grantee::Professional(ps.clone())),
            ConsentKind::Authorisation(Grantee::Structure(structure)),
            ConsentKind::MedecinTraitant(ps.clone()),
            ConsentKind::Block(ps),
            ConsentKind::OppositionBrisDeGlace,
            ConsentKind::OppositionCentre15,
        ] {
            assert_eq!(read_back(&line(kind.clone(), None)).await, ConsentProvision::List(kind));
        }
        let document = LogicalId::new();
        let mask = ConsentOutcome::Mask { patient: sample::ins(), document, state: ConsentState::Active };
        assert_eq!(read_back(&mask).await, ConsentProvision::Mask(document));
    }

    #[test]
    fn each_kind_of_line_is_a_valid_consent_with_its_word() {
        let ps: PsIdNat = "801234567897".parse().unwrap();
        let structure: StructIdNat = "1750803447".parse().unwrap();
        for (kind, permission) in [
            (ConsentKind::Authorisation(Grantee::Professional(ps.clone())), "permit"),
            (ConsentKind::Authorisation(Grantee::Structure(structure)), "permit"),
            (ConsentKind::MedecinTraitant(ps.clone()), "permit"),
            (ConsentKind::Block(ps), "deny"),
            (ConsentKind::OppositionBrisDeGlace, "deny"),
            (ConsentKind::OppositionCentre15, "deny"),
        ] {
            let word = kind.word();
            let json = json(&line(kind, None));
            assert_eq!(json["category"][0]["coding"][0]["code"], word);
            assert_eq!(json["provision"]["type"], permission);
            assert_eq!(json["status"], "active");
        }
    }

    #[test]
    fn an_ended_line_is_inactive() {
        let ended = line(ConsentKind::OppositionCentre15, Some(now()));
        assert_eq!(json(&ended)["status"], "inactive");
    }

    #[test]
    fn a_mask_denies_one_document() {
        let document = LogicalId::new();
        let mask = ConsentOutcome::Mask { patient: sample::ins(), document, state: ConsentState::Active };
        let json = json(&mask);
        assert_eq!(json["id"], document.to_string());
        let reference = &json["provision"]["data"][0]["reference"]["reference"];
        assert_eq!(*reference, format!("DocumentReference/{document}"));
    }
}
