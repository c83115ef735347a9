//! Whole messages, from bytes to deposits.

mod meaning;
mod wire;

use std::sync::Arc;

use futures_util::stream;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::iti65::{Provided, ProvidedEntry};
use super::*;
use crate::domain::association::RelationKind;
use crate::domain::author::PersonKind;
use crate::domain::confidentiality::{ConfidentialityLevel, VisibilityLabel};
use crate::domain::value_set::Terminology;
use crate::operation::draft::{DepositRequest, TargetName};

const INS: &str = "207058575627097";
const OLD: &str = "0198c0de-0000-7000-8000-000000000001";

fn spool() -> SpoolSettings {
    SpoolSettings { directory: Arc::new(std::env::temp_dir()), memory_bytes_max: 1 << 20 }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn read_in(format: WireFormat, body: &[u8], limits: &Limits, piece_bytes: usize) -> Result<Message, Failure> {
    let pieces: Vec<_> = body.chunks(piece_bytes).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    block_on(read_message(format, stream::iter(pieces), limits, spool(), xml_bytes(limits)))
}

fn xml_bytes(limits: &Limits) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(limits.xml_bodies_bytes_max))
}

fn read(format: WireFormat, body: &[u8]) -> Result<Message, Failure> {
    read_in(format, body, &Limits::default(), 1000)
}

fn provide(body: &Value) -> Result<Provided, Failure> {
    let message = read(WireFormat::Json, body.to_string().as_bytes())?;
    iti65::read_provided(message, &Terminology::load().unwrap())
}

fn publish(body: &Value) -> Result<DepositRequest, Failure> {
    let message = read(WireFormat::Json, body.to_string().as_bytes())?;
    iti105::read_publish(message, &Terminology::load().unwrap())
}

fn refusals<T>(result: Result<T, Failure>) -> Vec<Refusal> {
    match result {
        Err(Failure::Refused(refusals) | Failure::Journaled(refusals)) => refusals,
        Err(Failure::Fault(fault)) => panic!("{fault}"),
        Ok(_) => panic!("was read"),
    }
}

/// Rule and place of the only refusal.
fn refused<T>(result: Result<T, Failure>) -> (Rule, String) {
    let mut refusals = refusals(result);
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    let refusal = refusals.remove(0);
    (refusal.rule, refusal.place)
}

fn at(rule: Rule, place: &str) -> (Rule, String) {
    (rule, place.to_owned())
}

fn code(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

fn patient_reference() -> Value {
    json!({"reference": format!("Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|{INS}")})
}

fn document_reference() -> Value {
    json!({
        "resourceType": "DocumentReference",
        "contained": [
            {"resourceType": "Patient", "id": "source", "identifier": [
                {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": INS},
                {"system": "urn:oid:1.2.3.4", "value": "IPP-1"}],
             "name": [{"use": "official", "family": "PATIENT", "given": ["ANNE", "MARIE"]}],
             "gender": "female", "birthDate": "1985-07-05"},
            {"resourceType": "Practitioner", "id": "doctor", "identifier": [
                {"system": "https://rpps.esante.gouv.fr", "value": "99700218896"}],
             "name": [{"family": "DOC", "given": ["Paul"]}]},
            {"resourceType": "Organization", "id": "hospital", "name": "Hôpital", "identifier": [
                {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "1750803447"}]},
            {"resourceType": "PractitionerRole", "id": "role", "practitioner": {"reference": "#doctor"},
             "organization": {"reference": "#hospital"}, "code": [{"text": "Médecin responsable"}],
             "specialty": [code("urn:oid:1.2.250.1.213.1.1.4.5", "G15_10/SM26")]}],
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.9.1"},
        "status": "current",
        "type": code("http://loinc.org", "11488-4"),
        "category": [code("urn:oid:1.2.250.1.213.1.1.4.1", "11")],
        "subject": patient_reference(),
        "date": "2026-06-12T10:00:00+02:00",
        "author": [{"reference": "#role"}],
        "authenticator": {"reference": "#doctor"},
        "custodian": {"reference": "#hospital"},
        "description": "À relire",
        "securityLabel": [
            code("urn:oid:1.2.250.1.213.1.1.4.13", "INVISIBLE_PATIENT"),
            code("urn:oid:1.2.250.1.213.1.1.4.13", "N")],
        "content": [{
            "attachment": {"contentType": "text/xml", "language": "fr-FR", "url": "urn:uuid:binary", "size": 5,
                "hash": "9/+ei3uy4Jtwk1pdeF4MxdnQq/A=", "title": "Compte rendu", "creation": "2026-06-12"},
            "format": {"system": "urn:oid:1.3.6.1.4.1.19376.1.2.3", "code": "urn:ihe:iti:xds-sd:pdf:2008"}}],
        "context": {
            "period": {"start": "2026-06-11", "end": "2026-06-12T09:00:00+02:00"},
            "facilityType": code("urn:oid:1.2.250.1.71.4.2.4", "SA01"),
            "practiceSetting": code("urn:oid:1.2.250.1.213.1.1.4.9", "ETABLISSEMENT"),
            "event": [code("urn:oid:1.2.250.1.213.2.5", "DEQP003")],
            "related": [{"identifier": {"type": code("urn:ietf:rfc:3986", "urn:ihe:iti:xds:2013:accession"),
                "system": "urn:oid:1.2.5", "value": "ACC-1"}}],
            "sourcePatientInfo": {"reference": "#source"}}
    })
}

fn bundle() -> Value {
    let list = json!({
        "resourceType": "List",
        "contained": [{"resourceType": "Practitioner", "id": "a", "identifier": [
            {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "899700218896"}]},
            {"resourceType": "Organization", "id": "o", "identifier": [
            {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "1750803447"}]}],
        "extension": [
            {"url": "http://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-designationType",
             "valueCodeableConcept": code("urn:oid:1.2.250.1.213.2.2", "07")},
            {"url": "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-sourceId",
             "valueIdentifier": {"value": "urn:oid:1.2.3.4.5"}}],
        "identifier": [{"use": "usual", "system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.9.2"}],
        "status": "current", "mode": "working", "title": "Envoi",
        "code": code("http://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes", "submissionset"),
        "subject": patient_reference(),
        "date": "2026-06-12T11:00:00+02:00",
        "source": {"reference": "#a", "extension": [
            {"url": "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-authorOrg",
             "valueReference": {"reference": "#o"}}]},
        "note": [{"text": "Note"}],
        "entry": [{"item": {"reference": "urn:uuid:document"}}]
    });
    let entry = |url: &str, kind: &str, resource: Value| json!({"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": kind}});
    let binary = json!({"resourceType": "Binary", "contentType": "text/xml", "data": "SGVsbG8="});
    json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        entry("urn:uuid:list", "List", list),
        entry("urn:uuid:document", "DocumentReference", document_reference()),
        entry("urn:uuid:binary", "Binary", binary)]})
}

/// The bundle with the value at a JSON pointer replaced, added, or (null) taken away.
fn bundle_with(pointer: &str, value: Value) -> Value {
    changed(bundle(), pointer, value)
}

fn changed(mut json: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = json.pointer_mut(parent).unwrap();
    match parent {
        Value::Object(members) if value.is_null() => drop(members.remove(key)),
        Value::Object(members) => drop(members.insert(key.to_owned(), value)),
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer}"),
    }
    json
}

fn supersession(url: &str, value: &str) -> Value {
    json!({"fullUrl": "urn:uuid:patch", "request": {"method": "PATCH", "url": url}, "resource":
        {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
            {"name": "type", "valueCode": "replace"},
            {"name": "path", "valueString": "DocumentReference.status"},
            {"name": "value", "valueCode": value}]}]}})
}

fn replacing_bundle() -> Value {
    let relates_to = json!([{"code": "replaces", "target": {"reference": format!("DocumentReference/{OLD}")}}]);
    let bundle = bundle_with("/entry/1/resource/relatesTo", relates_to);
    changed(bundle, "/entry/-", supersession(&format!("DocumentReference/{OLD}"), "superseded"))
}
