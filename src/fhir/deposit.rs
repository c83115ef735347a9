//! ITI-65 Provide Document Bundle (TD2.1, TD2.2) and ITI-105 Simplified Publish: deposit and answer.

use axum::body::Body;
use http::StatusCode;
use http::header::ETAG;
use http::request::Parts;

use super::answer::{Answer, Handled};
use super::face::{Face, answer_id};
use super::negotiate::{Return, preferred_return};
use super::outcome;
use super::read::iti65::{Provided, ProvidedEntry, read_provided};
use super::read::iti105::read_publish;
use super::resource::bundle::{Bundle, Entry, PROVIDE_RESPONSE_PROFILE, Response, meta_of};
use super::resource::document_reference;
use crate::clock::new_uuid;
use crate::identity::caller::Caller;
use crate::operation::outcome::DepositOutcome;
use crate::refusal::Fault;

/// `POST /`: everything or nothing; the answer has one entry for each of the request, in the same order.
pub async fn transaction(face: &Face, caller: &Caller, parts: &Parts, body: Body) -> Handled {
    let provided = match face.read_message(parts, body).await {
        Ok(message) => read_provided(message, &face.gateway.terminology),
        Err(failure) => Err(failure),
    };
    let Provided { request, entries } = provided?;
    let outcome = face.gateway.deposit(caller, request).await?.disclose();
    match preferred_return(&parts.headers) {
        Some(Return::OperationOutcome) => {
            Ok(Answer::resource(&outcome::of_success("the submission is stored", answer_id(parts)))?)
        }
        _ => Ok(Answer::resource(&transaction_response(&outcome, &entries)?)?),
    }
}

/// `POST /DocumentReference`: one document with its bytes inside.
pub async fn create(face: &Face, caller: &Caller, parts: &Parts, body: Body) -> Handled {
    let request = match face.read_message(parts, body).await {
        Ok(message) => read_publish(message, &face.gateway.terminology),
        Err(failure) => Err(failure),
    };
    let request = request?;
    let outcome = face.gateway.deposit(caller, request).await?.disclose();
    let entry = &outcome.entries.first().ok_or_else(|| missing_entry(0))?.entry;
    let answer = match preferred_return(&parts.headers) {
        Some(Return::Minimal) => Answer::empty(StatusCode::CREATED),
        Some(Return::OperationOutcome) => {
            Answer::resource(&outcome::of_success("the document is stored", answer_id(parts)))?
        }
        Some(Return::Representation) | None => Answer::resource(&document_reference::write(face.writing(), entry))?,
    };
    let location = format!("{}/DocumentReference/{}", face.writing().base, entry.logical_id);
    let answer = answer.with_status(StatusCode::CREATED).with(ETAG, &etag(entry.version));
    Ok(answer.located(&location).modified(outcome.registered))
}

fn transaction_response(outcome: &DepositOutcome, entries: &[ProvidedEntry]) -> Result<Bundle<()>, Fault> {
    let modified = outcome.registered.to_string();
    let created = |location: String, version| Response {
        status: "201 Created",
        location: Some(location),
        etag: Some(etag(version)),
        last_modified: modified.clone(),
    };
    let untouched = |location| Response { status: "200 OK", location, etag: None, last_modified: modified.clone() };
    let deposited = |index: usize| outcome.entries.get(index).ok_or_else(|| missing_entry(index));
    let answer = |entry: &ProvidedEntry| -> Result<Entry<()>, Fault> {
        Ok(Entry::answering(match *entry {
            ProvidedEntry::SubmissionSet => created(format!("List/{}", outcome.submission_set), 1),
            ProvidedEntry::Document(index) => {
                let entry = &deposited(index)?.entry;
                created(format!("DocumentReference/{}", entry.logical_id), entry.version)
            }
            ProvidedEntry::Content(index) => {
                let entry = &deposited(index)?.entry;
                created(format!("Binary/{}", entry.logical_id), entry.version)
            }
            ProvidedEntry::Supersession(index) => {
                let target = deposited(index)?.replaced.first();
                untouched(target.map(|id| format!("DocumentReference/{id}")))
            }
            ProvidedEntry::Context => untouched(None),
        }))
    };
    Ok(Bundle {
        id: new_uuid().to_string(),
        meta: Some(meta_of(PROVIDE_RESPONSE_PROFILE)),
        kind: "transaction-response",
        timestamp: outcome.registered.to_string(),
        total: None,
        link: Vec::new(),
        entry: entries.iter().map(answer).collect::<Result<_, _>>()?,
    })
}

fn etag(version: u32) -> String {
    format!("W/\"{version}\"")
}

/// Invariant: a deposit answers with as many entries as it was given documents.
fn missing_entry(index: usize) -> Fault {
    Fault::new("a deposit came back with too few entries", format!("no entry {index}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{LogicalId, SubmissionSetUuid};
    use crate::fhir::resource::sample;
    use crate::operation::outcome::DepositedEntry;
    use jiff::Timestamp;

    fn outcome() -> DepositOutcome {
        let entry = |replaced| DepositedEntry { entry: sample::entry(), replaced };
        DepositOutcome {
            submission_set: SubmissionSetUuid::new(),
            entries: vec![entry(Vec::new()), entry(vec![LogicalId::new()])],
            registered: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn each_entry_of_the_request_has_its_answer_in_order() {
        let outcome = outcome();
        let entries = [
            ProvidedEntry::Content(1),
            ProvidedEntry::SubmissionSet,
            ProvidedEntry::Document(0),
            ProvidedEntry::Supersession(1),
            ProvidedEntry::Context,
        ];
        let text = serde_json::to_string(&transaction_response(&outcome, &entries).unwrap()).unwrap();
        fhirkit::from_json_strict::<fhirkit::r4::Bundle>(&text).unwrap();
        let bundle: serde_json::Value = serde_json::from_str(&text).unwrap();
        let locations: Vec<_> = (0..5).map(|i| bundle["entry"][i]["response"]["location"].as_str()).collect();
        let expected = [
            Some(format!("Binary/{}", outcome.entries[1].entry.logical_id)),
            Some(format!("List/{}", outcome.submission_set)),
            Some(format!("DocumentReference/{}", outcome.entries[0].entry.logical_id)),
            Some(format!("DocumentReference/{}", outcome.entries[1].replaced[0])),
            None,
        ];
        assert_eq!(locations, expected.iter().map(Option::as_deref).collect::<Vec<_>>());
    }

    #[test]
    fn an_entry_that_does_not_exist_is_our_fault() {
        assert!(transaction_response(&outcome(), &[ProvidedEntry::Document(2)]).is_err());
    }
}
