//! Writes what a client would send: ITI-65 Bundles and Consents. For the demo, the bench and the tests.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::new_uuid;
use crate::domain::ids::UniqueId;
use crate::domain::ins::Ins;
use crate::domain::national_id::{PS_ID_NAT_OID, PsIdNat};

/// One document as a source deposits it. What is left out is what a CDA header says anyway.
pub struct Provided<'a> {
    pub patient: &'a Ins,
    pub unique_id: &'a UniqueId,
    pub type_code: (&'a str, &'a str),
    pub title: &'a str,
    pub mime_type: &'a str,
    pub content: &'a [u8],
    /// Id of the DocumentReference that this document replaces.
    pub replaces: Option<&'a str>,
}

impl Provided<'_> {
    /// A transaction Bundle with one submission set, one DocumentReference and one Binary, new ids each time.
    pub fn bundle(&self) -> Value {
        let [list, reference, binary] = std::array::from_fn(|_| format!("urn:uuid:{}", new_uuid()));
        let mut entries = vec![
            entry(&list, "List", &self.submission_set(&reference)),
            entry(&reference, "DocumentReference", &self.document_reference(json!({ "url": binary }))),
            entry(&binary, "Binary", &self.binary()),
        ];
        if let Some(replaced) = self.replaces {
            entries.push(supersede(replaced));
        }
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries })
    }

    /// The simplified publish: metadata and bytes in one resource (ITI-105).
    pub fn simplified(&self) -> Value {
        self.document_reference(json!({ "data": base64(self.content) }))
    }

    fn submission_set(&self, reference: &str) -> Value {
        json!({
            "resourceType": "List",
            "extension": [
                {
                    "url": "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-designationType",
                    "valueCodeableConcept": { "coding": [{ "system": "urn:oid:1.2.250.1.213.2.2", "code": "03" }] }
                },
                {
                    "url": "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-sourceId",
                    "valueIdentifier": { "system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.213.1.99.1" }
                }
            ],
            "identifier": [{ "use": "usual", "system": "urn:ietf:rfc:3986", "value": new_oid().to_urn() }],
            "status": "current",
            "mode": "working",
            "code": {
                "coding": [{ "system": "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes", "code": "submissionset" }]
            },
            "subject": self.subject(),
            "date": "2026-03-02T10:00:00+01:00",
            "entry": [{ "item": { "reference": reference } }]
        })
    }

    fn document_reference(&self, body: Value) -> Value {
        let (system, code) = self.type_code;
        let mut attachment = json!({ "contentType": self.mime_type, "language": "fr-FR", "title": self.title });
        if let (Value::Object(attachment), Value::Object(body)) = (&mut attachment, body) {
            attachment.extend(body);
        }
        let mut reference = json!({
            "resourceType": "DocumentReference",
            "masterIdentifier": { "system": "urn:ietf:rfc:3986", "value": self.unique_id.to_urn() },
            "status": "current",
            "type": { "coding": [{ "system": system, "code": code }] },
            "subject": self.subject(),
            "securityLabel": [{
                "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N" }]
            }],
            "content": [{ "attachment": attachment }]
        });
        if let Some(replaced) = self.replaces {
            let target = json!({ "reference": format!("DocumentReference/{replaced}") });
            reference["relatesTo"] = json!([{ "code": "replaces", "target": target }]);
        }
        reference
    }

    fn binary(&self) -> Value {
        json!({ "resourceType": "Binary", "contentType": self.mime_type, "data": base64(self.content) })
    }

    fn subject(&self) -> Value {
        patient_reference(self.patient)
    }
}

/// The patient's list: one line of it as a Consent.
pub fn consent(patient: &Ins, provision: &Value) -> Value {
    json!({
        "resourceType": "Consent",
        "status": "active",
        "scope": {
            "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy" }]
        },
        "category": [{ "coding": [{ "system": "http://loinc.org", "code": "59284-0" }] }],
        "patient": patient_reference(patient),
        "policyRule": {
            "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN" }]
        },
        "provision": provision
    })
}

/// `type` permit or deny, for one professional.
pub fn provision_for(kind: &str, ps: &PsIdNat) -> Value {
    let role = json!({
        "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP" }]
    });
    let who = json!({ "system": format!("urn:oid:{PS_ID_NAT_OID}"), "value": ps.as_str() });
    json!({ "type": kind, "actor": [{ "role": role, "reference": { "type": "Practitioner", "identifier": who } }] })
}

/// Denies one document to professionals: the mask.
pub fn provision_mask(document: &str) -> Value {
    let reference = json!({ "reference": format!("DocumentReference/{document}") });
    json!({ "type": "deny", "data": [{ "meaning": "instance", "reference": reference }] })
}

/// An OID under the arc of UUIDs: unique without a register.
pub fn new_oid() -> UniqueId {
    oid_of(new_uuid())
}

fn oid_of(uuid: Uuid) -> UniqueId {
    match format!("2.25.{}", uuid.as_u128()).parse() {
        Ok(oid) => oid,
        // An arc of decimal digits always reads; the UUID itself is as unique.
        Err(_) => UniqueId::Uuid(uuid),
    }
}

fn patient_reference(patient: &Ins) -> Value {
    let system = format!("urn:oid:{}", patient.authority().oid());
    json!({ "type": "Patient", "identifier": { "system": system, "value": patient.matricule() } })
}

fn entry(full_url: &str, resource_type: &str, resource: &Value) -> Value {
    let request = json!({ "method": "POST", "url": resource_type });
    json!({ "fullUrl": full_url, "resource": resource, "request": request })
}

/// The entry by which an ITI-65 replacement says that the old document is superseded.
fn supersede(replaced: &str) -> Value {
    let parts = json!([
        { "name": "type", "valueCode": "replace" },
        { "name": "path", "valueString": "DocumentReference.status" },
        { "name": "value", "valueCode": "superseded" }
    ]);
    json!({
        "fullUrl": format!("urn:uuid:{}", new_uuid()),
        "resource": { "resourceType": "Parameters", "parameter": [{ "name": "operation", "part": parts }] },
        "request": { "method": "PATCH", "url": format!("DocumentReference/{replaced}") }
    })
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}
