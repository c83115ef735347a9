//! Who asks in each column, and what their requests are about.

use carnet::cli::message::{consent, provision_for, provision_mask};
use carnet::clock::Clock;
use carnet::domain::code::Code;
use carnet::domain::national_id::{PS_ID_NAT_OID, STRUCT_ID_NAT_OID, StructIdNat};
use carnet::identity::caller::Purpose;
use carnet::identity::statement::{AccessVisibility, StatedMode, StatedSubject, Statement};
use carnet::operation::account::AccountMove;
use carnet::tls::development_pki::{Holder, KeyUse};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::support::gateway::{OTHER_PATIENT, patient, signing_key, software};
use super::super::support::{Caller, Document, Sent, TestGateway};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Authorised,
    NoRight,
    Ended,
    Blocked,
    OtherPatient,
    Structure,
    Employee,
    Portal,
    Patient,
    Representative,
    NoDelegate,
    Insurer,
    Closed,
}

impl Column {
    /// The closed record last: nothing opens it again.
    pub(super) const ALL: [Self; 13] = [
        Self::Authorised,
        Self::NoRight,
        Self::Ended,
        Self::Blocked,
        Self::OtherPatient,
        Self::Structure,
        Self::Employee,
        Self::Portal,
        Self::Patient,
        Self::Representative,
        Self::NoDelegate,
        Self::Insurer,
        Self::Closed,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Authorised => "authorised",
            Self::NoRight => "no right",
            Self::Ended => "ended",
            Self::Blocked => "blocked",
            Self::OtherPatient => "other patient",
            Self::Structure => "structure",
            Self::Employee => "employee",
            Self::Portal => "portal",
            Self::Patient => "patient",
            Self::Representative => "representative",
            Self::NoDelegate => "no delegate",
            Self::Insurer => "insurer",
            Self::Closed => "closed",
        }
    }

    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Authorised => "a doctor whom the patient authorised",
            Self::NoRight => "a doctor who was never authorised",
            Self::Ended => "a doctor whose authorisation ended",
            Self::Blocked => "a doctor who was authorised, and whom the patient blocked",
            Self::OtherPatient => "an authorised doctor with a VIHF about another patient",
            Self::Structure => "another structure, in indirect mode",
            Self::Employee => "an employee of another structure, with a card of it (CPE)",
            Self::Portal => "the software of the patient, which says nobody",
            Self::Patient => "the patient, before it",
            Self::Representative => "a legal representative, before it; the document is hidden from them",
            Self::NoDelegate => "somebody before it whom the list does not name",
            Self::Insurer => "an insurer",
            Self::Closed => "an authorised doctor; the record is closed",
        }
    }
}

/// One gateway with one document.
pub(super) struct Stage {
    gateway: TestGateway,
    document: String,
}

/// One column of it.
pub(super) struct Scene {
    pub(super) document: String,
    /// The caller's line of the patient's list; somebody else's where they have none.
    pub(super) line: String,
    caller: Caller,
    headers: Vec<(&'static str, String)>,
}

pub(super) struct Cell {
    pub(super) answer: String,
    /// That the journal has more than before.
    pub(super) lines: usize,
}

impl Stage {
    pub(super) async fn open() -> Self {
        let gateway = TestGateway::start().await;
        // Of a laboratory: to the hospital and its employee it is somebody else's.
        let document = gateway.laboratory().deposited(&Document::blood_test()).await;
        Self { gateway, document }
    }

    pub(super) async fn scene(&self, column: Column) -> Scene {
        let gateway = &self.gateway;
        let (id, mut headers) = (ID_OF_DOCTORS[column as usize], Vec::new());
        let doctor = gateway.doctor(id);
        let line = match column {
            Column::NoRight => self.line_of_somebody().await,
            _ => authorised(&doctor, "active").await,
        };
        match column {
            Column::Ended => {
                authorised(&doctor, "inactive").await;
            }
            Column::Blocked => gateway.portal().block(id).await,
            Column::OtherPatient => headers.push(("authorization", vihf_about_another_patient(id))),
            Column::Closed => {
                gateway.gateway().move_dossier(&patient(), AccountMove::Close).await.expect("closed");
            }
            _ => {}
        }
        let caller = match column {
            Column::Structure => gateway.hospital(),
            Column::Employee => gateway.employee(),
            Column::Portal => gateway.portal(),
            Column::Patient => gateway.portal().on_behalf_of(&patient(), "patient"),
            Column::Representative => gateway.portal().on_behalf_of(&patient(), &self.representative().await),
            Column::NoDelegate => gateway.portal().on_behalf_of(&patient(), "legal_representative stranger"),
            Column::Insurer => gateway.insurer(),
            _ => doctor,
        };
        Scene { document: self.document.clone(), line, caller, headers }
    }

    /// Names somebody, and hides the document from them.
    async fn representative(&self) -> String {
        let role = json!({ "coding": [{ "code": "GUARD" }] });
        let who = json!({ "identifier": { "system": "urn:carnet:delegate", "value": "ens-42" } });
        let named = json!({ "type": "permit", "actor": [{ "role": role, "reference": who }] });
        for provision in [named, hidden_from_representatives(&self.document)] {
            let answer = self.gateway.portal().post_json("/Consent", &consent(&patient(), &provision)).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        }
        "legal_representative ens-42".to_owned()
    }

    async fn line_of_somebody(&self) -> String {
        authorised(&self.gateway.doctor("810000000102"), "active").await
    }
}

impl Scene {
    /// TD0.3.
    pub(super) fn own_authorisation(&self, method: Method, path: &str) -> Sent {
        let message = own_line(&self.caller.id, "active");
        Sent { method, ..Sent::post(path, "application/fhir+json", message.to_string()) }
    }

    /// TD3.3a.
    pub(super) fn mask(&self) -> Sent {
        let message = consent(&patient(), &provision_mask(&self.document));
        Sent::post("/Consent", "application/fhir+json", message.to_string())
    }

    /// TD0.4, in the words of a professional or of a structure.
    pub(super) fn authorised_patients(&self) -> Sent {
        let is_structure = self.caller.id.parse::<StructIdNat>().is_ok_and(|id| id.as_str().len() == 10);
        let oid = if is_structure { STRUCT_ID_NAT_OID } else { PS_ID_NAT_OID };
        Sent::get(&format!(
            "/Patient?_has:Consent:patient:actor=urn:oid:{oid}%7C{}&_has:Consent:patient:date=ge2026-01-01",
            self.caller.id
        ))
    }

    pub(super) async fn ask(&self, stage: &Stage, sent: Sent) -> Cell {
        let before = stage.gateway.journal_lines().await;
        let headers = sent.headers.iter().chain(&self.headers);
        let headers: Vec<(&str, &str)> = headers.map(|(name, value)| (*name, value.as_str())).collect();
        let answer = self.caller.send(sent.method, &sent.path, &headers, sent.body).await;
        let lines = stage.gateway.journal_lines().await - before;
        let status = answer.status.as_u16();
        let answer =
            if answer.status.is_success() { status.to_string() } else { format!("{status} {}", answer.rule()) };
        Cell { answer, lines }
    }
}

/// `start` with the patient as a search token behind it.
pub(super) fn about_patient(start: &str) -> String {
    format!("{start}urn:oid:{}%7C{}", patient().authority().oid(), patient().matricule())
}

/// Declares or ends an authorisation: the id of its line.
async fn authorised(doctor: &Caller, status: &str) -> String {
    let answer = doctor.post_json("/Consent", &own_line(&doctor.id, status)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    answer.json()["id"].as_str().expect("an id").to_owned()
}

/// Who is no professional names one: their own line is not a professional's.
fn own_line(id: &str, status: &str) -> Value {
    let ps = id.parse().unwrap_or_else(|_| ID_OF_DOCTORS[0].parse().expect("PS_IdNat"));
    let mut line = consent(&patient(), &provision_for("permit", &ps));
    line["status"] = status.into();
    line
}

fn vihf_about_another_patient(id: &str) -> String {
    let holder = Holder::Professional {
        ps_id: id.parse().expect("PS_IdNat"),
        family: "MARTIN".to_owned(),
        given: "Claire".to_owned(),
        profession: 10,
        savoir_faire: vec!["SM54".to_owned()],
    };
    let statement = Statement {
        mode: StatedMode::Directe,
        subject: StatedSubject { id: id.to_owned(), name: Some("Claire MARTIN".to_owned()) },
        structure: "1350000899".parse().expect("Struct_IdNat"),
        sector: Some(Code::new("1.2.250.1.71.4.2.4", "SA01")),
        roles: vec![Code::new("1.2.250.1.71.1.2.7", "10"), Code::new("1.2.250.1.71.4.2.5", "SM54")],
        purpose: Purpose::Normal,
        patient: Some(OTHER_PATIENT.parse().expect("INS")),
        visibility: AccessVisibility::Ordinary,
        software: Some(software()),
    };
    let vihf = signing_key(&holder, KeyUse::Sign).issue(&statement, Clock::System.now()).expect("a VIHF");
    format!("IHE-SAML {}", base64_simd::STANDARD.encode_to_string(vihf))
}

fn hidden_from_representatives(document: &str) -> Value {
    let mut provision = provision_mask(document);
    provision["securityLabel"] =
        json!([{ "system": "urn:oid:1.2.250.1.213.1.1.4.13", "code": "INVISIBLE_REPRESENTANTS_LEGAUX" }]);
    provision
}

/// Somebody else in each column.
const ID_OF_DOCTORS: [&str; Column::ALL.len()] = [
    "810000000011",
    "810000000029",
    "810000000037",
    "810000000045",
    "810000000052",
    "810000000060",
    "810000000078",
    "810000000086",
    "810000000094",
    "810000000110",
    "810000000128",
    "810000000136",
    "810000000144",
];
