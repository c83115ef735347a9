//! Deposits (ITI-65, PDSm comprehensive) of documents that all differ, made at next to no cost.
//!
//! Everything that varies - unique ids, patient - stands in the message and in the first kilobytes of the document.
//! Only these are written and encoded for each request; the rest of the base64 is made once and shared.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Value, json};

use super::amount::Size;
use super::figures::Part;
use super::letter::{self, Submitter};
use super::traffic::{Call, Pieces, Source, Target};
use crate::clock::Clock;
use crate::domain::ins::Ins;

pub(super) struct Deposits {
    records: Vec<Ins>,
    /// Sets these deposits apart from those of every other run.
    run: i64,
    /// The message up to its base64, and the document up to the last thing that varies, both for serial 0.
    message_head: String,
    document_head: String,
    /// Base64 of the rest of the document.
    document_rest: Bytes,
    message_end: Bytes,
}

impl Deposits {
    /// Deposits of `size` bytes into `records` in turn.
    pub(super) fn new(records: Vec<Ins>, submitter: &Submitter, size: Size, clock: &Clock) -> anyhow::Result<Self> {
        let run = clock.now().as_microsecond();
        let patient = records.first().context("a deposit needs a record")?;
        let id = document_id(run, 0);
        let document = letter::write(&id, patient, submitter, size)?;
        let last = document.rfind(&id).max(document.rfind(patient.matricule())).context("a letter bears its id")?;
        let cut = whole_groups(&document, last + id.len());
        let document_rest = base64_simd::STANDARD.encode_to_string(&document[cut..]).into();
        let message = message(run, patient, submitter, size).to_string();
        let (head, end) = message.split_once(DATA_MARK).context("a message has a place for its document")?;
        Ok(Self {
            run,
            message_head: head.to_owned(),
            document_head: document[..cut].to_owned(),
            document_rest,
            message_end: Bytes::copy_from_slice(end.as_bytes()),
            records,
        })
    }

    fn body(&self, serial: u64) -> Pieces {
        let count = u64::try_from(self.records.len()).unwrap_or(u64::MAX);
        let turn = usize::try_from(serial % count).unwrap_or_default();
        let varied = |text: &str| {
            text.replace(&document_id(self.run, 0), &document_id(self.run, serial))
                .replace(&submission_set_id(self.run, 0), &submission_set_id(self.run, serial))
                .replace(self.records[0].matricule(), self.records[turn].matricule())
        };
        let mut head = varied(&self.message_head);
        base64_simd::STANDARD.encode_append(varied(&self.document_head), &mut head);
        Pieces::from([head.into(), self.document_rest.clone(), self.message_end.clone()])
    }
}

impl Source for Deposits {
    fn part(&self) -> Part {
        "deposit"
    }

    fn call(&self, target: &Target) -> anyhow::Result<Call> {
        let request = Request::post(&target.fhir_url)
            .header(CONTENT_TYPE, FHIR_JSON)
            .header(ACCEPT, FHIR_JSON)
            .body(self.body(SERIALS.fetch_add(1, Ordering::Relaxed)))?;
        Ok(Call { client: target.depositor.clone(), request, answer_bytes: None })
    }
}

/// Ids under 2.999, the arc that is set aside for examples. All of one run are equally long.
fn document_id(run: i64, serial: u64) -> String {
    format!("2.999.{run}.1.{}", FIRST_SERIAL + serial)
}

fn submission_set_id(run: i64, serial: u64) -> String {
    format!("2.999.{run}.2.{}", FIRST_SERIAL + serial)
}

/// The end of the base64 group, three bytes, that `at` is in, and of the character.
fn whole_groups(text: &str, at: usize) -> usize {
    let ends = (at.next_multiple_of(3)..text.len()).step_by(3);
    ends.into_iter().find(|end| text.is_char_boundary(*end)).unwrap_or(text.len())
}

fn message(run: i64, patient: &Ins, submitter: &Submitter, size: Size) -> Value {
    let [set, reference, binary] = [1, 2, 3].map(|n| format!("urn:uuid:00000000-0000-4000-8000-00000000000{n}"));
    let entry = |full_url: &str, kind: &str, resource: Value| json!({ "fullUrl": full_url, "resource": resource, "request": { "method": "POST", "url": kind } });
    let data = json!({ "resourceType": "Binary", "contentType": "text/xml", "data": DATA_MARK });
    json!({
        "resourceType": "Bundle",
        "meta": { "profile": [format!("{PDSM}/pdsm-comprehensive-provide-document-bundle")] },
        "type": "transaction",
        "entry": [
            entry(&set, "List", list(run, patient, submitter, &reference)),
            entry(&reference, "DocumentReference", document_reference(run, patient, submitter, size, &binary)),
            entry(&binary, "Binary", data),
        ],
    })
}

fn list(run: i64, patient: &Ins, submitter: &Submitter, reference: &str) -> Value {
    let mut contained = vec![source_patient(patient)];
    contained.extend(author(submitter));
    json!({
        "resourceType": "List",
        "meta": { "profile": [format!("{PDSM}/pdsm-submissionset-comprehensive")] },
        "contained": contained,
        "extension": [
            {
                "url": format!("{MHD}/ihe-designationType"),
                "valueCodeableConcept": concept("https://mos.esante.gouv.fr/NOS/TRE_R209-TypeActivite/FHIR/TRE-R209-TypeActivite", "03"),
            },
            { "url": format!("{MHD}/ihe-sourceId"), "valueIdentifier": uri("2.999.1") },
            { "url": format!("{MHD}/ihe-sourcePatientId"), "valueReference": { "reference": "#patient" } },
        ],
        "identifier": [{
            "use": "usual",
            "system": "urn:ietf:rfc:3986",
            "value": format!("urn:oid:{}", submission_set_id(run, 0)),
        }],
        "status": "current",
        "mode": "working",
        "title": "Sortie",
        "code": concept("https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes", "submissionset"),
        "subject": subject(patient),
        "date": "2026-03-02T10:20:00+01:00",
        "source": {
            "extension": [{ "url": format!("{MHD}/ihe-authorOrg"), "valueReference": { "reference": "#organisation" } }],
            "reference": "#author",
        },
        "entry": [{ "item": { "reference": reference } }],
    })
}

fn document_reference(run: i64, patient: &Ins, submitter: &Submitter, size: Size, binary: &str) -> Value {
    let mut contained = vec![source_patient(patient)];
    contained.extend(author(submitter));
    json!({
        "resourceType": "DocumentReference",
        "meta": { "profile": [format!("{PDSM}/pdsm-comprehensive-document-reference")] },
        "contained": contained,
        "masterIdentifier": uri(&document_id(run, 0)),
        "status": "current",
        "type": concept("http://loinc.org", "11490-0"),
        "category": [concept("https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument", "10")],
        "subject": subject(patient),
        "date": "2026-03-02T10:20:00+01:00",
        "author": [{ "reference": "#author" }],
        "authenticator": { "reference": "#author" },
        "custodian": { "reference": "#organisation" },
        "securityLabel": [concept("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "N")],
        "content": [{
            "attachment": {
                "contentType": "text/xml",
                "language": "fr-FR",
                "url": binary,
                "size": size.bytes,
                "title": "Lettre de liaison à la sortie",
                "creation": "2026-03-02T10:15:00+01:00",
            },
            "format": {
                "system": "https://mos.esante.gouv.fr/NOS/TRE_A11-IheFormatCode/FHIR/TRE-A11-IheFormatCode",
                "code": "urn:ihe:iti:xds-sd:pdf:2008",
            },
        }],
        "context": {
            "period": { "start": "2026-02-28T08:00:00+01:00", "end": "2026-03-02T10:00:00+01:00" },
            "facilityType": concept("https://mos.esante.gouv.fr/NOS/TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite", "SA01"),
            "practiceSetting": concept("https://mos.esante.gouv.fr/NOS/TRE_A01-CadreExercice/FHIR/TRE-A01-CadreExercice", "ETABLISSEMENT"),
            "sourcePatientInfo": { "reference": "#patient" },
        },
    })
}

fn source_patient(patient: &Ins) -> Value {
    json!({
        "resourceType": "Patient",
        "id": "patient",
        "identifier": [{ "system": format!("urn:oid:{}", patient.authority().oid()), "value": patient.matricule() }],
        "name": [{ "use": "official", "family": "ESSAI", "given": ["CHARGE"] }],
        "gender": "female",
        "birthDate": "1979-03-28",
    })
}

/// Role, person and structure: contained, as PDSm wants them.
fn author(submitter: &Submitter) -> [Value; 3] {
    [
        json!({
            "resourceType": "PractitionerRole",
            "id": "author",
            "practitioner": { "reference": "#practitioner" },
            "organization": { "reference": "#organisation" },
        }),
        json!({
            "resourceType": "Practitioner",
            "id": "practitioner",
            "identifier": [{ "system": "urn:oid:1.2.250.1.71.4.2.1", "value": "801234567897" }],
            "name": [{ "family": "DURANT", "given": ["Romuald"] }],
        }),
        json!({
            "resourceType": "Organization",
            "id": "organisation",
            "identifier": [{ "system": "urn:oid:1.2.250.1.71.4.2.2", "value": submitter.struct_id.as_str() }],
            "name": submitter.name,
        }),
    ]
}

fn concept(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code }] })
}

fn uri(oid: &str) -> Value {
    json!({ "system": "urn:ietf:rfc:3986", "value": format!("urn:oid:{oid}") })
}

fn subject(patient: &Ins) -> Value {
    json!({ "reference": format!("Patient?identifier=urn:oid:{patient}") })
}

/// One sequence for all, so that no two deposits of a run are alike.
static SERIALS: AtomicU64 = AtomicU64::new(1);

/// Nine digits, for no arc of an OID may begin with 0.
const FIRST_SERIAL: u64 = 100_000_000;

/// Stands in the message where the base64 goes.
const DATA_MARK: &str = "=document=";

const PDSM: &str = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition";
const MHD: &str = "https://profiles.ihe.net/ITI/MHD/StructureDefinition";
pub(super) const FHIR_JSON: &str = "application/fhir+json";

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use http_body_util::BodyExt as _;

    fn deposits(size: &str) -> Deposits {
        let records = ["279035121518989", "207058575627097"];
        let records = records.map(|matricule| Ins::parse(matricule, "1.2.250.1.213.1.4.10").unwrap());
        let submitter = Submitter { struct_id: "1750803447".parse().unwrap(), name: "CHU".to_owned() };
        Deposits::new(records.to_vec(), &submitter, size.parse().unwrap(), &Clock::System).unwrap()
    }

    async fn sent(deposits: &Deposits, serial: u64) -> (Value, String) {
        let body = deposits.body(serial);
        let length = body.size_hint().exact().unwrap();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(body.len() as u64, length);
        let message: Value = serde_json::from_slice(&body).unwrap();
        let data = message["entry"][2]["resource"]["data"].as_str().unwrap();
        let document = String::from_utf8(base64_simd::STANDARD.decode_to_vec(data).unwrap()).unwrap();
        (message, document)
    }

    #[tokio::test]
    async fn a_message_and_its_document_agree_on_id_patient_and_size() {
        let deposits = deposits("20k");
        for serial in [0, 1, 2, 899_999_999] {
            let (message, document) = sent(&deposits, serial).await;
            let reference = &message["entry"][1]["resource"];
            let id = reference["masterIdentifier"]["value"].as_str().unwrap().strip_prefix("urn:oid:").unwrap();
            assert!(document.contains(&format!("<id root=\"{id}\"/>")), "{id}");
            assert!(id.parse::<crate::domain::oid::Oid>().is_ok(), "{id}");
            let matricule = reference["contained"][0]["identifier"][0]["value"].as_str().unwrap();
            assert!(document.contains(&format!("extension=\"{matricule}\"")));
            assert!(reference["subject"]["reference"].as_str().unwrap().ends_with(matricule));
            assert_eq!(reference["content"][0]["attachment"]["size"], document.len());
            assert_eq!(document.len(), 20_000);
        }
    }

    #[tokio::test]
    async fn no_two_deposits_are_alike() {
        let deposits = deposits("20k");
        let (first, second) = (sent(&deposits, 7).await, sent(&deposits, 8).await);
        assert_ne!(first.1, second.1);
        let set = |message: &Value| message["entry"][0]["resource"]["identifier"][0]["value"].clone();
        assert_ne!(set(&first.0), set(&second.0));
        assert_ne!(set(&first.0), first.0["entry"][1]["resource"]["masterIdentifier"]["value"]);
    }

    #[tokio::test]
    async fn a_message_passes_a_strict_reader_of_fhir() {
        let (message, _) = sent(&deposits("20k"), 3).await;
        fhirkit::from_json_strict::<fhirkit::r4::Bundle>(&message.to_string()).unwrap();
    }

    #[test]
    fn only_the_first_kilobytes_are_made_for_each_request() {
        let deposits = deposits("1m");
        assert!(deposits.document_head.len() < 2_000);
        assert!(deposits.document_rest.len() > 1_300_000);
    }
}
