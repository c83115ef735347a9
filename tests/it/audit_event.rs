//! The journal by the rights of F.2: the holder and the médecin traitant read all of a record, everybody else their
//! own, and no line tells of a document that its reader may not see.

use carnet::domain::consent::{ConsentKind, Delegate, DelegateRole};
use carnet::domain::ins::Ins;
use carnet::operation::account::AccountMove;
use carnet::operation::outcome::{ConsentProvision, ConsentRequest, ConsentState};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::support::gateway::{OTHER_PATIENT, patient};
use super::support::{Caller, Document, TestGateway};

const MARTIN: &str = "810000000011";
const BERNARD: &str = "810000000029";
const ABSENT: &str = "00000000-0000-7000-8000-000000000000";
/// A patient of whom nobody here has a record.
const STRANGER: &str = "1.2.250.1.213.1.4.10|207058575627097";

/// What a reader is shown: the total and each line's action with its outcome, oldest first.
struct Shown {
    total: u64,
    lines: Vec<(String, String)>,
    body: Value,
}

impl Shown {
    async fn by(caller: &Caller, more: &str) -> Self {
        Self::at(caller, &journal_path(&patient(), &format!("&_sort=date{more}"))).await
    }

    async fn at(caller: &Caller, path: &str) -> Self {
        let answer = caller.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let body = answer.json();
        let lines = events(&body).iter().map(|event| (action_of(event), text(&event["outcome"]))).collect();
        Self { total: body["total"].as_u64().unwrap(), lines, body }
    }

    fn actions(&self) -> Vec<&str> {
        self.lines.iter().map(|(action, _)| action.as_str()).collect()
    }
}

fn journal_path(patient: &Ins, more: &str) -> String {
    let token = format!("urn:oid:{}%7C{}", patient.authority().oid(), patient.matricule());
    format!("/AuditEvent?patient.identifier={token}{more}")
}

fn events(body: &Value) -> Vec<Value> {
    let entries = body["entry"].as_array().cloned().unwrap_or_default();
    entries.into_iter().map(|entry| entry["resource"].clone()).collect()
}

fn action_of(event: &Value) -> String {
    let subtypes = event["subtype"].as_array().cloned().unwrap_or_default();
    let ours = subtypes.iter().find(|coding| coding["system"] == "urn:carnet:journal-action");
    ours.map(|coding| text(&coding["code"])).unwrap_or_default()
}

/// Ids of the documents that an event names.
fn documents_of(event: &Value) -> Vec<String> {
    let entities = event["entity"].as_array().cloned().unwrap_or_default();
    let references = entities.iter().filter_map(|entity| entity["what"]["reference"].as_str());
    references.filter_map(|reference| reference.strip_prefix("DocumentReference/")).map(str::to_owned).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The patient, before the portal.
fn holder(gateway: &TestGateway) -> Caller {
    gateway.portal().on_behalf_of(&patient(), "patient")
}

/// By the patient's portal.
async fn name_medecin_traitant(portal: &Caller, ps: &str) {
    let provision = json!({
        "type": "permit",
        "actor": [{
            "role": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationFunction", "code": "PCP" }] },
            "reference": { "type": "Practitioner", "identifier": { "system": "urn:oid:1.2.250.1.71.4.2.1", "value": ps } }
        }]
    });
    let consent = carnet::cli::message::consent(&patient(), &provision);
    let answer = portal.post_json("/Consent", &consent).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
}

/// By the operator: whom the law names is no choice of the patient's.
async fn name_representative(gateway: &TestGateway, id: &str) {
    let delegate = Delegate { role: DelegateRole::LegalRepresentative, id: id.parse().unwrap() };
    let provision = ConsentProvision::List(ConsentKind::Delegation(delegate));
    let (patient, state) = (patient(), ConsentState::Active);
    let request = ConsentRequest { patient, id: None, provision, state, since: None, until: None };
    gateway.gateway().set_consent(&carnet::identity::caller::Caller::Operator, request).await.unwrap();
}

/// A document that its author has yet to tell the patient of.
async fn deposited_invisible(depositor: &Caller) -> String {
    let label = json!({ "coding": [{ "system": "urn:oid:1.2.250.1.213.1.1.4.13", "code": "INVISIBLE_PATIENT" }] });
    let bundle = Document::discharge_letter().bundle_with(|bundle| {
        bundle["entry"][1]["resource"]["securityLabel"].as_array_mut().unwrap().push(label);
    });
    let answer = depositor.post_json("", &bundle).await;
    answer.created_document().unwrap_or_else(|| panic!("{}", answer.text()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_reads_who_did_what_in_plain_french_and_in_codes() {
    let gateway = TestGateway::start().await;
    let id = gateway.hospital().deposited(&Document::discharge_letter()).await;
    let doctor = gateway.doctor(MARTIN);
    assert_eq!(doctor.read_in_emergency(&id).await.status, StatusCode::OK);
    assert_eq!(doctor.search("").await.status, StatusCode::FORBIDDEN);
    let shown = Shown::by(&holder(&gateway), "").await;
    assert_eq!(shown.actions(), ["open_dossier", "deposit", "retrieve", "search"]);
    let events = events(&shown.body);
    let emergency = &events[2];
    let told = text(&emergency["text"]["div"]).replace('\u{a0}', " ");
    assert!(told.contains("le docteur Claire MARTIN a consulté « "), "{told}");
    assert!(told.contains("en urgence (bris de glace : inconscient)"), "{told}");
    assert_eq!(
        emergency["meta"]["profile"][0],
        "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"
    );
    assert_eq!(emergency["purposeOfEvent"][0]["coding"][0]["code"], "bris_de_glace");
    assert_eq!(documents_of(emergency), [id]);
    assert_eq!(emergency["entity"][0]["what"]["identifier"]["value"], patient().matricule());
    assert_eq!((&events[3]["outcome"], &events[3]["outcomeDesc"]), (&json!("8"), &json!("F.4-12 not authorised")));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_given_in_xml_and_by_a_form_too() {
    let gateway = TestGateway::start().await;
    gateway.hospital().deposited(&Document::discharge_letter()).await;
    let portal = holder(&gateway);
    let xml = portal.get(&journal_path(&patient(), "&_format=xml")).await.text();
    assert!(xml.contains("<AuditEvent") && xml.contains("la structure HOPITAL DE TEST a déposé"), "{xml}");
    let form = format!("patient.identifier=urn:oid:{}|{}", patient().authority().oid(), patient().matricule());
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let answer = portal.send(Method::POST, "/AuditEvent/_search", &headers, form).await;
    assert_eq!(answer.json()["total"], 3, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_medecin_traitant_reads_all_and_everybody_else_their_own() {
    let gateway = TestGateway::start().await;
    let (hospital, laboratory, portal) = (gateway.hospital(), gateway.laboratory(), holder(&gateway));
    hospital.deposited(&Document::discharge_letter()).await;
    let other = gateway.authorised_doctor(MARTIN).await;
    let traitant = gateway.doctor(BERNARD);
    name_medecin_traitant(&portal, BERNARD).await;
    let all = ["open_dossier", "deposit", "set_consent", "set_consent"];
    assert_eq!(Shown::by(&traitant, "").await.actions(), all);
    assert_eq!(Shown::by(&portal, "").await.actions()[..4], all);
    assert_eq!(Shown::by(&other, "").await.actions(), ["set_consent"]);
    assert_eq!(Shown::by(&hospital, "").await.actions(), ["deposit"]);
    assert!(Shown::by(&laboratory, "").await.actions().is_empty());
    // In an emergency, and once blocked, they are like everybody else.
    let emergency = [("x-purpose-of-use", "centre_15")];
    let answer = traitant.send(Method::GET, &journal_path(&patient(), ""), &emergency, "").await;
    assert_eq!(answer.json()["total"], 1, "{}", answer.text());
    portal.block(BERNARD).await;
    let own = Shown::by(&traitant, "").await;
    assert_eq!(own.actions(), ["read_journal", "read_journal"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_and_no_trace_are_one_answer() {
    let gateway = TestGateway::start().await;
    let bare = |answer: super::support::caller::Answer, ins: &Ins| {
        assert_eq!(answer.status, StatusCode::OK);
        let mut body = answer.without_id();
        body["timestamp"] = Value::Null;
        let link = text(&body["link"][0]["url"]);
        body["link"] = Value::Null;
        assert!(link.contains(ins.matricule()));
        body
    };
    let stranger: Ins = STRANGER.parse().unwrap();
    for caller in [gateway.doctor(MARTIN), gateway.hospital()] {
        let absent = bare(caller.get(&journal_path(&stranger, "")).await, &stranger);
        assert_eq!(absent["total"], 0);
        assert_eq!(bare(caller.get(&journal_path(&patient(), "")).await, &patient()), absent, "{}", caller.id);
    }
    let nobody = gateway.portal().on_behalf_of(&stranger, "patient");
    assert_eq!(bare(nobody.get(&journal_path(&stranger, "")).await, &stranger)["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_traces_do_not_tell_hidden_from_absent() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    let masked = hospital.deposited(&Document::discharge_letter()).await;
    let doctor = gateway.authorised_doctor(MARTIN).await;
    gateway.portal().mask(&masked).await;
    let before = Shown::by(&doctor, "").await;
    for id in [masked.as_str(), ABSENT] {
        assert_eq!(doctor.get(&format!("/DocumentReference/{id}")).await.status, StatusCode::NOT_FOUND);
    }
    let after = Shown::by(&doctor, "").await;
    assert_eq!(after.total, before.total + 1, "the reading of before alone");
    let own = Shown::at(&doctor, "/AuditEvent?_sort=-date&action=R").await;
    let hidden_and_absent = &events(&own.body)[..2];
    let without_name = |event: &Value| {
        let mut event = event.clone();
        for key in ["id", "recorded", "text"] {
            event[key] = Value::Null;
        }
        event
    };
    assert_eq!(without_name(&hidden_and_absent[0]), without_name(&hidden_and_absent[1]));
    assert!(!own.body.to_string().contains(patient().matricule()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_not_told_by_the_traces_of_the_one_who_is_blocked() {
    let gateway = TestGateway::start().await;
    gateway.hospital().deposited(&Document::discharge_letter()).await;
    let (blocked, unknown) = (gateway.doctor(BERNARD), gateway.doctor(MARTIN));
    gateway.portal().block(BERNARD).await;
    let mut told = Vec::new();
    for doctor in [&blocked, &unknown] {
        assert_eq!(doctor.search("").await.status, StatusCode::FORBIDDEN);
        let shown = Shown::at(doctor, "/AuditEvent").await;
        assert_eq!(shown.lines, [("search".to_owned(), "4".to_owned())]);
        assert!(!shown.body.to_string().contains("F.4-"), "{}", shown.body);
        told.push(events(&shown.body)[0]["outcomeDesc"].clone());
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_patient_may_not_see_yet_is_in_no_line_no_total_and_no_page() {
    let gateway = TestGateway::start().await;
    let (hospital, portal) = (gateway.hospital(), holder(&gateway));
    let visible = hospital.deposited(&Document::blood_test()).await;
    let before = Shown::by(&portal, "").await.total;
    let hidden = deposited_invisible(&hospital).await;
    let doctor = gateway.authorised_doctor(MARTIN).await;
    assert_eq!(doctor.get(&format!("/Binary/{hidden}")).await.status, StatusCode::OK);
    assert_eq!(doctor.found("").await.len(), 2);
    let shown = Shown::by(&portal, "").await;
    // The reading of before, the authorisation and the search: neither the deposit nor the reading of the hidden one.
    assert_eq!(shown.total, before + 3);
    assert_eq!(shown.actions(), ["open_dossier", "deposit", "read_journal", "set_consent", "search"]);
    assert_eq!(documents_of(&events(&shown.body)[4]), std::slice::from_ref(&visible));
    assert!(!shown.body.to_string().contains(&hidden));
    let of_hidden = Shown::by(&portal, &format!("&entity=DocumentReference/{hidden}")).await;
    let of_absent = Shown::by(&portal, &format!("&entity=DocumentReference/{ABSENT}")).await;
    assert_eq!((of_hidden.total, of_absent.total), (0, 0));
    let mut paged = Vec::new();
    let mut next = Some(journal_path(&patient(), "&_count=2&action=C,R,U"));
    while let Some(path) = next {
        let page = Shown::at(&portal, &path).await;
        assert_eq!(page.total, 3);
        paged.extend(page.actions().into_iter().map(str::to_owned));
        next = next_page(&page.body, &gateway.base());
    }
    assert_eq!(paged, ["set_consent", "deposit", "open_dossier"]);
    // Whoever made a line keeps it, and what they may see of it.
    let own = Shown::by(&doctor, "").await;
    assert_eq!(own.actions(), ["set_consent", "retrieve", "search"]);
    assert_eq!(documents_of(&events(&own.body)[1]), [hidden]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_line_stays_without_the_document_that_was_hidden_since() {
    let gateway = TestGateway::start().await;
    let id = gateway.hospital().deposited(&Document::discharge_letter()).await;
    let doctor = gateway.authorised_doctor(MARTIN).await;
    assert_eq!(doctor.get(&format!("/Binary/{id}")).await.status, StatusCode::OK);
    gateway.portal().mask(&id).await;
    let own = Shown::by(&doctor, "").await;
    assert_eq!(own.actions(), ["set_consent", "retrieve"]);
    assert!(!own.body.to_string().contains(&id), "{}", own.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_as_they_are_though_each_reading_writes_a_line() {
    let gateway = TestGateway::start().await;
    let hospital = gateway.hospital();
    for _ in 0..5 {
        hospital.deposited(&Document::blood_test()).await;
    }
    let (mut ids, mut pages) = (Vec::new(), 0);
    let mut next = Some(journal_path(&patient(), "&_count=2"));
    while let Some(path) = next {
        let page = Shown::at(&holder(&gateway), &path).await;
        assert_eq!(page.total, 6);
        ids.extend(events(&page.body).iter().map(|event| text(&event["id"])));
        pages += 1;
        next = next_page(&page.body, &gateway.base());
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((pages, count, ids.len()), (3, 6, 6));
}

fn next_page(body: &Value, base: &str) -> Option<String> {
    let links = body["link"].as_array().cloned().unwrap_or_default();
    let next = links.iter().find(|link| link["relation"] == "next")?;
    Some(text(&next["url"]).strip_prefix(base).unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_record_is_its_holders_alone() {
    let gateway = TestGateway::start().await;
    let (hospital, portal, traitant) = (gateway.hospital(), holder(&gateway), gateway.doctor(BERNARD));
    hospital.deposited(&Document::discharge_letter()).await;
    name_medecin_traitant(&portal, BERNARD).await;
    assert_eq!(Shown::by(&traitant, "").await.total, 3);
    gateway.gateway().move_dossier(&patient(), AccountMove::Close).await.unwrap();
    assert_eq!((Shown::by(&traitant, "").await.total, Shown::by(&hospital, "").await.total), (0, 0));
    assert_eq!(Shown::by(&portal, "&_count=0&action=U").await.total, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_is_an_access_and_leaves_one_line() {
    let gateway = TestGateway::start().await;
    let (doctor, hospital) = (gateway.doctor(MARTIN), gateway.hospital());
    let stranger: Ins = STRANGER.parse().unwrap();
    for (caller, path, result) in [
        (&doctor, journal_path(&patient(), ""), "F.2 own traces"),
        (&doctor, "/AuditEvent".to_owned(), "F.2 own traces"),
        (&doctor, journal_path(&stranger, ""), "not_found"),
        (&hospital, "/AuditEvent".to_owned(), "parameter-missing"),
        (&hospital, journal_path(&patient(), "&agent-name=x"), "unknown-search-parameter"),
    ] {
        let lines = gateway.journal_lines().await;
        caller.get(&path).await;
        assert_eq!(gateway.journal_lines().await, lines + 1, "{path}");
        assert!(gateway.last_line().await.contains(result), "{path}: {}", gateway.last_line().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_found_by_who_what_which_and_when() {
    let gateway = TestGateway::start().await;
    let (hospital, laboratory, portal) = (gateway.hospital(), gateway.laboratory(), holder(&gateway));
    let letter = hospital.deposited(&Document::discharge_letter()).await;
    laboratory.deposited(&Document::blood_test()).await;
    hospital.found("").await;
    for (more, expected) in [
        ("&agent.identifier=1350001111", &["deposit"][..]),
        ("&agent:identifier=urn:oid:1.2.250.1.71.4.2.2%7C1350000899", &["deposit", "search"]),
        ("&action=C", &["open_dossier", "deposit", "deposit"]),
        ("&action=D", &[]),
        ("&action=E", &["search"]),
        ("&date=lt2020", &[]),
        ("&date=ge2020&date=lt2020-02", &[]),
        ("&date=ge2020&action=C", &["open_dossier", "deposit", "deposit"]),
    ] {
        let shown = Shown::by(&portal, &format!("{more}&_before=2100-01-01T00:00:00Z")).await;
        let without_readings: Vec<_> = shown.actions().into_iter().filter(|action| *action != "read_journal").collect();
        assert_eq!(without_readings, expected, "{more}");
    }
    let shown = Shown::by(&portal, &format!("&entity=DocumentReference/{letter}")).await;
    assert_eq!(shown.actions(), ["deposit", "search"]);
    for (wrong, rule) in [
        ("&action=X", "search-parameter-value"),
        ("&date=yesterday", "search-parameter-value"),
        ("&entity=Binary/1", "search-parameter-value"),
        ("&_sort=agent", "search-parameter-value"),
        ("&_before=now", "search-parameter-value"),
        ("&outcome=0", "unknown-search-parameter"),
    ] {
        let answer = portal.get(&journal_path(&patient(), wrong)).await;
        assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::BAD_REQUEST, rule), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_acts_for_the_patient_sees_no_secret_connection_and_a_portal_says_for_whom_it_reads() {
    let gateway = TestGateway::start().await;
    gateway.hospital().deposited(&Document::discharge_letter()).await;
    name_representative(&gateway, "mere").await;
    let (patient_user, mother) =
        (holder(&gateway), gateway.portal().on_behalf_of(&patient(), "legal_representative mere"));
    let secret = holder(&gateway).in_secret();
    assert_eq!(secret.search("").await.status, StatusCode::OK);
    let before = "&_before=2100-01-01T00:00:00Z";
    assert!(Shown::by(&patient_user, before).await.actions().contains(&"search"));
    let shown = Shown::by(&mother, before).await;
    assert!(!shown.actions().contains(&"search"), "{}", shown.body);
    assert!(shown.actions().contains(&"deposit"), "{}", shown.body);
    let stranger = gateway.portal().on_behalf_of(&patient(), "legal_representative stranger");
    assert_eq!(Shown::by(&stranger, "").await.total, 0);
    assert_eq!(stranger.search("").await.status, StatusCode::FORBIDDEN);
    let refused = ("search".to_owned(), "8".to_owned());
    let lines = Shown::by(&patient_user, before).await.lines;
    assert!(lines.contains(&refused), "who was not let in is theirs to know: {lines:?}");
    let answer = gateway.portal().get(&journal_path(&patient(), "")).await;
    assert_eq!((answer.status, answer.rule().as_str()), (StatusCode::BAD_REQUEST, "header-value"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_session_asked_for_by_its_id_is_in_nobodys_history() {
    let gateway = TestGateway::start().await;
    let id = gateway.hospital().deposited(&Document::discharge_letter()).await;
    let elsewhere: Ins = OTHER_PATIENT.parse().unwrap();
    for asking in [
        gateway.portal().on_behalf_of(&elsewhere, "patient"),
        gateway.portal().on_behalf_of(&patient(), "aidant nobody"),
        gateway.portal(),
    ] {
        for path in ["DocumentReference", "Binary", "Consent"] {
            let answer = asking.get(&format!("/{path}/{id}")).await;
            assert!(!answer.status.is_success(), "{path}: {}", answer.text());
        }
    }
    let shown = Shown::by(&holder(&gateway), "").await;
    assert_eq!(shown.actions(), ["open_dossier", "deposit"], "{}", shown.body);
}
