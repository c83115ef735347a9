//! A line of the patient's list, or a label of a document -> Consent.
//!
//! No guide says how (domain T: "Consent à préciser"), so the shape is ours and as close to IHE PCF as the
//! content allows: `category` names the kind of line in the words of the store, `provision` says permit or
//! deny, to whom (logical reference), for which purpose of use, on which document. What is written here reads
//! back through [`crate::fhir::read::consent`].

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;

use super::datatype::{CodeableConcept, Coding, Identifier, Period, Reference};
use crate::domain::confidentiality::{VISIBILITY_OID, VisibilityLabel};
use crate::domain::consent::{Consent as Line, ConsentKind, DeclaredBy, Delegate, DelegateId, Grantee};
use crate::domain::ids::LogicalId;
use crate::domain::ins::Ins;
use crate::domain::national_id::{PS_ID_NAT_OID, PsIdNat, STRUCT_ID_NAT_OID, StructIdNat};
use crate::fhir::read::consent::{DELEGATE_SYSTEM, DELEGATES};
use crate::operation::outcome::{ConsentOutcome, ConsentState, label_id};

/// System of `category`: `ConsentKind::word`, or the label of a document in lower case.
const CATEGORY_SYSTEM: &str = "urn:carnet:consent-category";
const SCOPE_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/consentscope";
/// TRE_R248, as tokens carry it (T-2).
const PURPOSE_SYSTEM: &str = "urn:oid:1.2.250.1.213.1.1.4.248";
const BRIS_DE_GLACE: &str = "bris_de_glace";
const CENTRE_15: &str = "centre_15";
const FUNCTION_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationFunction";
/// Primary care physician: the médecin traitant.
const PRIMARY_CARE: &str = "PCP";
const PARTICIPATION_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
/// Primary information recipient.
const RECIPIENT: &str = "PRCP";
const ROLE_CLASS_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-RoleClass";

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
    /// Where a professional declared it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    organization: Vec<Reference<'a>>,
    policy_rule: CodeableConcept<'a>,
    provision: Provision<'a>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Provision<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<[Actor<'a>; 1]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    security_label: Vec<Coding<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    purpose: Vec<Coding<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    class: Vec<Coding<'a>>,
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

/// The id of the Consent of an outcome.
pub fn id_of(outcome: &ConsentOutcome) -> String {
    outcome.id().to_string()
}

pub fn write(outcome: &ConsentOutcome, now: Timestamp) -> Consent<'_> {
    match outcome {
        ConsentOutcome::List { patient, consent } => of_line(patient, consent, now),
        ConsentOutcome::Label { patient, document, label, state } => of_label(patient, *document, *label, *state),
    }
}

fn of_line<'a>(patient: &'a Ins, line: &'a Line, now: Timestamp) -> Consent<'a> {
    let period = Period { start: Some(line.since.to_string()), end: line.until.map(|until| until.to_string()) };
    let (performer, organization) = match &line.declared_by {
        DeclaredBy::Patient => (Reference::to_patient(patient), None),
        DeclaredBy::Professional { id, structure } => (professional(id), structure.as_ref().map(organization)),
    };
    // An ended line stays readable; one that starts later is active already, for nothing has to be done.
    let ended = line.until.is_some_and(|until| until <= now);
    Consent {
        id: line.id.to_string(),
        status: if ended { "inactive" } else { "active" },
        category: [CodeableConcept::of(CATEGORY_SYSTEM, line.kind.word())],
        date_time: Some(line.since.to_string()),
        performer: [performer],
        organization: organization.into_iter().collect(),
        provision: Provision { period: Some(period), ..provision_of(&line.kind) },
        ..shell(patient)
    }
}

fn provision_of(kind: &ConsentKind) -> Provision<'_> {
    let about = |kind, system, role, reference| {
        let actor = Actor { role: CodeableConcept::of(system, role), reference };
        Provision { kind, actor: Some([actor]), ..Provision::default() }
    };
    let purpose = |code| coding(PURPOSE_SYSTEM, code);
    match kind {
        ConsentKind::Authorisation(Grantee::Structure(structure)) => {
            about("permit", PARTICIPATION_SYSTEM, RECIPIENT, organization(structure))
        }
        ConsentKind::Authorisation(Grantee::Professional(ps)) => {
            about("permit", PARTICIPATION_SYSTEM, RECIPIENT, professional(ps))
        }
        ConsentKind::MedecinTraitant(ps) => about("permit", FUNCTION_SYSTEM, PRIMARY_CARE, professional(ps)),
        ConsentKind::Block(ps) => about("deny", PARTICIPATION_SYSTEM, RECIPIENT, professional(ps)),
        ConsentKind::Delegation(Delegate { role, id }) => {
            let (code, _) = DELEGATES[usize::from(DELEGATES[0].1 != *role)];
            about("permit", ROLE_CLASS_SYSTEM, code, delegate(id))
        }
        ConsentKind::OppositionBrisDeGlace => {
            Provision { kind: "deny", purpose: vec![purpose(BRIS_DE_GLACE)], ..Provision::default() }
        }
        ConsentKind::OppositionCentre15 => {
            Provision { kind: "deny", purpose: vec![purpose(CENTRE_15)], ..Provision::default() }
        }
        ConsentKind::MaskedInEmergencies => Provision {
            kind: "permit",
            purpose: vec![purpose(BRIS_DE_GLACE), purpose(CENTRE_15)],
            security_label: vec![visibility(VisibilityLabel::MasquePs)],
            ..Provision::default()
        },
        ConsentKind::MaskByDefault => {
            let class = vec![coding("http://hl7.org/fhir/resource-types", "DocumentReference")];
            Provision { kind: "deny", class, ..Provision::default() }
        }
    }
}

fn of_label(patient: &Ins, document: LogicalId, label: VisibilityLabel, state: ConsentState) -> Consent<'_> {
    let reference = Reference::to(format!("DocumentReference/{document}"));
    let data = Some([Data { meaning: "instance", reference }]);
    Consent {
        id: label_id(document, label).to_string(),
        status: match state {
            ConsentState::Active => "active",
            ConsentState::Inactive => "inactive",
        },
        category: [CodeableConcept::of(CATEGORY_SYSTEM, category_of(label))],
        provision: Provision { kind: "deny", security_label: vec![visibility(label)], data, ..Provision::default() },
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
        organization: Vec::new(),
        policy_rule: CodeableConcept { text: Some(Cow::Borrowed(POLICY)), ..CodeableConcept::default() },
        provision: Provision::default(),
    }
}

fn professional(ps: &PsIdNat) -> Reference<'_> {
    logical("Practitioner", PS_ID_NAT_OID, ps.as_str())
}

fn organization(structure: &StructIdNat) -> Reference<'_> {
    logical("Organization", STRUCT_ID_NAT_OID, structure.as_str())
}

/// Somebody without a national identifier, whom the portal alone knows.
fn delegate(id: &DelegateId) -> Reference<'_> {
    let system = Some(Cow::Borrowed(DELEGATE_SYSTEM));
    let identifier = Identifier { system, value: Cow::Borrowed(id.as_str()), ..Identifier::default() };
    Reference { kind: Some("RelatedPerson"), identifier: Some(identifier), ..Reference::default() }
}

fn visibility(label: VisibilityLabel) -> Coding<'static> {
    Coding {
        system: Some(Cow::Owned(format!("urn:oid:{VISIBILITY_OID}"))),
        code: Cow::Borrowed(label.code()),
        display: None,
    }
}

fn category_of(label: VisibilityLabel) -> &'static str {
    match label {
        VisibilityLabel::MasquePs => "masque_ps",
        VisibilityLabel::InvisiblePatient => "invisible_patient",
        VisibilityLabel::InvisibleRepresentantsLegaux => "invisible_representants_legaux",
    }
}

fn coding(system: &'static str, code: &'static str) -> Coding<'static> {
    Coding { system: Some(Cow::Borrowed(system)), code: Cow::Borrowed(code), display: None }
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
    use crate::domain::consent::DelegateRole;
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
        let is_secret = false;
        let consent = Line { id: ConsentId::new(), kind, since, until, declared_by, is_secret };
        ConsentOutcome::List { patient: sample::ins(), consent }
    }

    fn delegation(role: DelegateRole) -> ConsentKind {
        ConsentKind::Delegation(Delegate { role, id: "ens-42".parse().unwrap() })
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
            ConsentKind::MaskedInEmergencies,
            ConsentKind::MaskByDefault,
            delegation(DelegateRole::LegalRepresentative),
            delegation(DelegateRole::Aidant),
        ] {
            assert_eq!(read_back(&line(kind.clone(), None)).await, ConsentProvision::List(kind));
        }
        let document = LogicalId::new();
        for label in VisibilityLabel::ALL {
            let shown = ConsentOutcome::Label { patient: sample::ins(), document, label, state: ConsentState::Active };
            assert_eq!(read_back(&shown).await, ConsentProvision::Label { document, label });
        }
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
            (ConsentKind::MaskedInEmergencies, "permit"),
            (ConsentKind::MaskByDefault, "deny"),
            (delegation(DelegateRole::Aidant), "permit"),
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
        let (label, state) = (VisibilityLabel::MasquePs, ConsentState::Active);
        let mask = ConsentOutcome::Label { patient: sample::ins(), document, label, state };
        let json = json(&mask);
        assert_eq!(json["id"], document.to_string());
        let reference = &json["provision"]["data"][0]["reference"]["reference"];
        assert_eq!(*reference, format!("DocumentReference/{document}"));
    }
}
