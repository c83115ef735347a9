//! TD0.4 in FHIR: the patients who let the caller in, and nobody else's.

use http::{Method, StatusCode};

use super::support::caller::Answer;
use super::support::gateway::{OTHER_PATIENT, patient};
use super::support::{Caller, Document, TestGateway};

const MARTIN: &str = "810000000011";
const PS: &str = "1.2.250.1.71.4.2.1";
const STRUCTURE: &str = "1.2.250.1.71.4.2.2";

async fn listed(caller: &Caller, oid: &str, id: &str, more: &str) -> Answer {
    caller.get(&format!("/Patient?_has:Consent:patient:actor=urn:oid:{oid}%7C{id}{more}")).await
}

fn matricules(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let entries = answer.json()["entry"].as_array().cloned().unwrap_or_default();
    let of = |entry: &serde_json::Value| entry["resource"]["identifier"][0]["value"].as_str().map(str::to_owned);
    entries.iter().filter_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_professional_has_the_list_of_who_let_them_in_the_latest_first() {
    let gateway = TestGateway::start().await;
    let doctor = gateway.authorised_doctor(MARTIN).await;
    let other: carnet::domain::ins::Ins = OTHER_PATIENT.parse().unwrap();
    doctor.declare_authorisation(&other).await;
    let both = [other.matricule(), patient().matricule()].map(str::to_owned);
    let lines = gateway.journal_lines().await;
    let answer = listed(&doctor, PS, MARTIN, "").await;
    assert_eq!((matricules(&answer), answer.json()["total"].as_u64()), (both.to_vec(), Some(2)));
    assert_eq!(gateway.journal_lines().await, lines + 1);
    assert!(gateway.last_line().await.contains("\"list_dossiers\""));
    let second = listed(&doctor, PS, MARTIN, "&_count=1&_page=1").await;
    assert_eq!((matricules(&second), second.json()["total"].as_u64()), (both[1..].to_vec(), Some(2)));
    assert_eq!(listed(&doctor, PS, MARTIN, "&_count=0").await.json()["total"], 2);
    let beyond = listed(&doctor, PS, MARTIN, "&_page=7").await;
    assert_eq!((matricules(&beyond).len(), beyond.json()["total"].as_u64()), (0, Some(2)));
    let tomorrow = listed(&doctor, PS, MARTIN, "&_has:Consent:patient:date=ge2100-01-01").await;
    assert!(matricules(&tomorrow).is_empty());
    gateway.portal().block(MARTIN).await;
    assert_eq!(matricules(&listed(&doctor, PS, MARTIN, "").await), both[..1]);
    gateway.gateway().move_dossier(&other, carnet::operation::account::AccountMove::Close).await.unwrap();
    assert!(matricules(&listed(&doctor, PS, MARTIN, "").await).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_the_list_of_somebody_else() {
    let gateway = TestGateway::start().await;
    gateway.authorised_doctor(MARTIN).await;
    let (doctor, hospital) = (gateway.doctor("810000000029"), gateway.hospital());
    for (caller, oid) in [(&doctor, PS), (&hospital, PS), (&doctor, STRUCTURE)] {
        let answer = listed(caller, oid, MARTIN, "").await;
        assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::FORBIDDEN, "mode-refused"));
    }
    let portal = gateway.portal();
    let own = listed(&portal, STRUCTURE, &portal.id, "").await;
    assert_eq!(own.rule(), "mode-refused", "the portal stands in no matrix");
    let nobody = doctor.get("/Patient?_has:Consent:patient:date=ge2026-01-01").await;
    assert_eq!(nobody.rule(), "search-parameter-missing");
    assert_eq!(doctor.get("/Patient?_has:Observation:patient:code=x").await.rule(), "unknown-search-parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_structure_lists_what_is_new_since_a_day_that_it_names() {
    let gateway = TestGateway::start().await;
    gateway.hospital().deposited(&Document::discharge_letter()).await;
    let hospital = gateway.hospital();
    let permit = serde_json::json!({ "type": "permit", "actor": [{ "role": { "coding": [{ "code": "PRCP" }] },
        "reference": { "identifier": { "system": format!("urn:oid:{STRUCTURE}"), "value": hospital.id } } }] });
    let consent = carnet::cli::message::consent(&patient(), &permit);
    assert_eq!(gateway.portal().post_json("/Consent", &consent).await.status, StatusCode::CREATED);
    assert_eq!(listed(&hospital, STRUCTURE, &hospital.id, "").await.rule(), "search-parameter-missing");
    let since = listed(&hospital, STRUCTURE, &hospital.id, "&_has:Consent:patient:date=ge2026-01-01").await;
    assert_eq!(matricules(&since), [patient().matricule()]);
    let path = format!("/Patient?_has:Consent:patient:actor=urn:oid:{STRUCTURE}%7C{}", hospital.id);
    let path = format!("{path}&_has:Consent:patient:date=ge2026-01-01");
    let regulating = hospital.send(Method::GET, &path, &[("x-purpose-of-use", "centre_15")], "").await;
    assert_eq!(regulating.rule(), "mode-refused", "the column ESr has no such right");
}
