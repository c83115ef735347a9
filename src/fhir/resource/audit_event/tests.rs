//! Each line of the journal as a valid AuditEvent.

use serde_json::Value as Json;

use super::*;
use crate::domain::value_set::Terminology;
use crate::fhir::read::json_to_xml;
use crate::fhir::resource::sample;
use crate::journal::event::{Change, Connection, Outcome, Subject};

fn mention(title: &str) -> EntryMention {
    EntryMention {
        document: "0190a2b4-0000-7000-8000-000000000001".to_owned(),
        unique_id: "2.25.1".to_owned(),
        type_code: "11490-0".to_owned(),
        title: title.to_owned(),
    }
}

fn trace(action: Action, result: Outcome, documents: usize) -> Trace {
    let event = Event {
        at: "2026-03-12T13:05:00.123456Z".parse().unwrap(),
        actor: Actor::Professional {
            ps_id: "810000000029".to_owned(),
            family: "BERNARD".to_owned(),
            given: "Paul".to_owned(),
            profession: "10".to_owned(),
        },
        purpose: StatedPurpose::BrisDeGlace { reason: "inconscient <&>".to_owned() },
        connection: Connection::Ordinary,
        action,
        dossier: Subject::Dossier("d".to_owned()),
        result,
        entries: vec![mention("Lettre & \"suite\" <1>"); documents],
        change: Change::None,
        token: StatedToken::None,
    };
    Trace { id: uuid::Uuid::nil(), event, patient: Some(sample::ins()) }
}

/// As JSON that a strict reader takes, and as XML.
fn written(trace: &Trace) -> Json {
    let terminology = Terminology::load().unwrap();
    let writing = Writing { terminology: &terminology, base: "https://localhost:8443/fhir" };
    let text = serde_json::to_string(&write(writing, trace)).unwrap();
    fhirkit::from_json_strict::<fhirkit::r4::AuditEvent>(&text).unwrap_or_else(|error| panic!("{error:?}: {text}"));
    let xml = String::from_utf8(json_to_xml(text.as_bytes()).unwrap()).unwrap();
    assert!(xml.contains("<div xmlns=\"http://www.w3.org/1999/xhtml\""), "{xml}");
    serde_json::from_str(&text).unwrap()
}

fn done() -> Outcome {
    Outcome::Done { rule: "F.4-12".to_owned() }
}

#[test]
fn every_action_and_outcome_is_a_valid_resource() {
    let outcomes = [
        (done(), "0"),
        (Outcome::DoneBefore, "0"),
        (Outcome::Denied { rule: "F.4-9 blocked".to_owned() }, "8"),
        (Outcome::Refused { rules: vec!["a".to_owned(), "b".to_owned()] }, "4"),
        (Outcome::NotFound, "4"),
    ];
    for action in Action::ALL {
        for (outcome, code) in &outcomes {
            for documents in [0, 1, 2] {
                let json = written(&trace(action, outcome.clone(), documents));
                assert_eq!(json["outcome"], *code);
                assert!(*code == "0" || json.get("meta").is_none(), "a profile of success is claimed: {json}");
            }
        }
    }
}

#[test]
fn what_was_done_claims_the_profile_that_it_fulfils() {
    for (action, documents, profile, code, subtype) in [
        (Action::Retrieve, 1, "PatientRead", "R", "read"),
        (Action::Read, 1, "PatientRead", "R", "read"),
        (Action::Search, 3, "PatientQuery", "E", "search-type"),
        (Action::ReadJournal, 0, "PatientQuery", "E", "search-type"),
        (Action::Deposit, 1, "PatientCreate", "C", "create"),
        (Action::SetConsent, 0, "PatientUpdate", "U", "update"),
        (Action::SetConsent, 1, "PatientUpdate", "U", "update"),
    ] {
        let json = written(&trace(action, done(), documents));
        let claimed = json["meta"]["profile"][0].as_str().unwrap_or_default();
        assert!(claimed.ends_with(&format!(".{profile}")), "{action:?}: {claimed}");
        assert_eq!((json["action"].as_str(), json["subtype"][0]["code"].as_str()), (Some(code), Some(subtype)));
        assert_eq!(json["type"]["code"], "rest");
    }
    for (action, documents) in
        [(Action::Deposit, 2), (Action::Retrieve, 0), (Action::OpenDossier, 0), (Action::SetContact, 0)]
    {
        let json = written(&trace(action, done(), documents));
        assert!(json.get("meta").is_none() && !json.to_string().contains("liste des autorisations"), "{json}");
    }
}

#[test]
fn the_patient_and_the_documents_are_entities_and_the_person_the_requestor() {
    let json = written(&trace(Action::Retrieve, done(), 1));
    let entities = json["entity"].as_array().unwrap();
    assert_eq!(entities[0]["what"]["identifier"]["value"], sample::ins().matricule());
    assert_eq!(entities[1]["name"], "Lettre & \"suite\" <1>");
    assert_eq!(entities[1]["what"]["identifier"]["value"], "urn:oid:2.25.1");
    let agents = json["agent"].as_array().unwrap();
    let asking: Vec<_> = agents.iter().filter(|agent| agent["requestor"] == true).collect();
    assert_eq!(asking.len(), 1);
    assert_eq!(asking[0]["who"]["identifier"]["value"], "810000000029");
    assert_eq!(json["purposeOfEvent"][0]["coding"][0]["code"], "bris_de_glace");
}

#[test]
fn codes_of_actions_find_every_action_once() {
    let mut found: Vec<_> = ["C", "R", "U", "D", "E"].into_iter().filter_map(actions_of).flatten().collect();
    found.sort_unstable_by_key(|action| action.code());
    found.dedup();
    assert_eq!(found.len(), Action::ALL.len());
    assert_eq!(actions_of("X"), None);
}
