//! Answers to ITI-65 Provide Document Bundle (TD2.1, TD2.2) and ITI-105 Simplified Publish.
//!
//! Knows nothing of request bodies: those have been read into a [`DepositRequest`], with [`EntryRole`] for
//! each entry of the Bundle, when these functions are called.

use http::StatusCode;
use http::header::ETAG;
use http::request::Parts;

use super::answer::{Answer, Handled};
use super::negotiate::{Return, preferred_return};
use super::outcome;
use super::resource::bundle::{Bundle, Entry, PROVIDE_RESPONSE_PROFILE, Response, meta_of};
use super::resource::document_reference;
use super::routes::{Face, answer_id};
use crate::clock::new_uuid;
use crate::domain::ids::LogicalId;
use crate::identity::caller::Caller;
use crate::operation::draft::DepositRequest;
use crate::operation::outcome::{DepositOutcome, DepositedEntry};
use crate::refusal::{Failure, Fault};

/// What one entry of an ITI-65 Bundle is to the deposit, in the order of the Bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryRole {
    /// The List.
    SubmissionSet,
    /// The DocumentReference of the document of this index.
    Metadata(usize),
    /// The Binary of the document of this index.
    Content(usize),
    /// A patch of the entry that the document of this index replaces (P4D TD2.1 replacement).
    Replaced(usize),
    /// A resource that was read and not stored: a Patient.
    Unstored,
}

/// `POST /`: everything or nothing; the answer has one entry for each of the request, in the same order.
pub async fn transaction(
    face: &Face,
    caller: &Caller,
    parts: &Parts,
    request: DepositRequest,
    roles: &[EntryRole],
) -> Handled {
    let outcome = face.gateway.deposit(caller, request).await?.disclose();
    match preferred_return(&parts.headers) {
        Some(Return::OperationOutcome) => {
            Ok(Answer::resource(&outcome::of_success("the submission is stored", answer_id(parts)))?)
        }
        _ => Ok(Answer::resource(&transaction_response(&outcome, roles)?)?),
    }
}

/// `POST /DocumentReference`: one document with its bytes inside.
pub async fn create(face: &Face, caller: &Caller, parts: &Parts, request: DepositRequest) -> Handled {
    let outcome = face.gateway.deposit(caller, request).await?.disclose();
    let entry = *outcome.entries.first().ok_or_else(|| missing_entry(0))?;
    let answer = match preferred_return(&parts.headers) {
        Some(Return::Minimal) => Answer::empty(StatusCode::CREATED),
        Some(Return::OperationOutcome) => {
            Answer::resource(&outcome::of_success("the document is stored", answer_id(parts)))?
        }
        Some(Return::Representation) | None => match face.gateway.read(caller, entry.logical_id).await {
            Ok(stored) => Answer::resource(&document_reference::write(face.writing(), &stored.disclose()))?,
            // Who may deposit may not always read; the deposit stands all the same.
            Err(Failure::Refused(_)) => Answer::empty(StatusCode::CREATED),
            Err(fault) => return Err(fault.into()),
        },
    };
    let location = format!("{}/DocumentReference/{}", face.writing().base, entry.logical_id);
    let answer = answer.with_status(StatusCode::CREATED).with(ETAG, &etag(entry.version));
    Ok(answer.located(&location).modified(outcome.registered))
}

fn transaction_response(outcome: &DepositOutcome, roles: &[EntryRole]) -> Result<Bundle<()>, Fault> {
    let modified = outcome.registered.to_string();
    let created = |location: String, version| Response {
        status: "201 Created",
        location: Some(location),
        etag: Some(etag(version)),
        last_modified: modified.clone(),
    };
    let deposited = |index: usize| outcome.entries.get(index).copied().ok_or_else(|| missing_entry(index));
    let answer = |role: &EntryRole| -> Result<Entry<()>, Fault> {
        Ok(Entry::answering(match *role {
            EntryRole::SubmissionSet => created(format!("List/{}", outcome.submission_set), 1),
            EntryRole::Metadata(index) => {
                let DepositedEntry { logical_id, version, .. } = deposited(index)?;
                created(format!("DocumentReference/{logical_id}"), version)
            }
            EntryRole::Content(index) => {
                let DepositedEntry { logical_id, version, .. } = deposited(index)?;
                created(format!("Binary/{logical_id}"), version)
            }
            EntryRole::Replaced(index) => replaced(outcome.replaced.get(index).copied(), &modified),
            EntryRole::Unstored => {
                Response { status: "200 OK", location: None, etag: None, last_modified: modified.clone() }
            }
        }))
    };
    Ok(Bundle {
        id: new_uuid().to_string(),
        meta: Some(meta_of(PROVIDE_RESPONSE_PROFILE)),
        kind: "transaction-response",
        timestamp: outcome.registered.to_string(),
        total: None,
        link: Vec::new(),
        entry: roles.iter().map(answer).collect::<Result<_, _>>()?,
    })
}

fn replaced(target: Option<LogicalId>, modified: &str) -> Response {
    Response {
        status: "200 OK",
        location: target.map(|id| format!("DocumentReference/{id}")),
        etag: None,
        last_modified: modified.to_owned(),
    }
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
    use crate::domain::ids::{EntryUuid, SubmissionSetUuid};
    use jiff::Timestamp;

    fn outcome() -> DepositOutcome {
        let entry = || DepositedEntry { logical_id: LogicalId::new(), entry_uuid: EntryUuid::new(), version: 1 };
        DepositOutcome {
            submission_set: SubmissionSetUuid::new(),
            entries: vec![entry(), entry()],
            registered: Timestamp::UNIX_EPOCH,
            replaced: vec![LogicalId::new()],
        }
    }

    #[test]
    fn each_entry_of_the_request_has_its_answer_in_order() {
        let outcome = outcome();
        let roles = [
            EntryRole::Content(1),
            EntryRole::SubmissionSet,
            EntryRole::Metadata(0),
            EntryRole::Replaced(0),
            EntryRole::Unstored,
        ];
        let text = serde_json::to_string(&transaction_response(&outcome, &roles).unwrap()).unwrap();
        fhirkit::from_json_strict::<fhirkit::r4::Bundle>(&text).unwrap();
        let bundle: serde_json::Value = serde_json::from_str(&text).unwrap();
        let locations: Vec<_> = (0..5).map(|i| bundle["entry"][i]["response"]["location"].as_str()).collect();
        let expected = [
            Some(format!("Binary/{}", outcome.entries[1].logical_id)),
            Some(format!("List/{}", outcome.submission_set)),
            Some(format!("DocumentReference/{}", outcome.entries[0].logical_id)),
            Some(format!("DocumentReference/{}", outcome.replaced[0])),
            None,
        ];
        assert_eq!(locations, expected.iter().map(Option::as_deref).collect::<Vec<_>>());
    }

    #[test]
    fn an_entry_that_does_not_exist_is_our_fault() {
        assert!(transaction_response(&outcome(), &[EntryRole::Metadata(2)]).is_err());
    }
}
