//! Searches (ITI-67) and retrievals (ITI-68) of what is in a set of records.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use http::Request;
use http::header::ACCEPT;
use serde_json::Value;

use super::deposit::FHIR_JSON;
use super::figures::Part;
use super::traffic::{Call, Pieces, Source, Target, succeed};
use crate::domain::ins::Ins;

/// Searches for the current documents of each record in turn.
pub(super) struct Searches {
    records: Vec<Ins>,
    entries: u16,
    turns: AtomicUsize,
}

/// Retrievals of each document in turn.
pub(super) struct Retrievals {
    documents: Vec<Document>,
    turns: AtomicUsize,
}

/// A document that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    binary_id: String,
    size_bytes: Option<usize>,
}

impl Searches {
    /// `entries`: how many a page may have.
    pub(super) fn new(records: Vec<Ins>, entries: u16) -> Self {
        Self { records, entries, turns: AtomicUsize::new(0) }
    }

    /// Length of the answer to the first search.
    pub(super) async fn answer_bytes(&self, target: &Target) -> anyhow::Result<usize> {
        let patient = self.records.first().context("a search needs a record")?;
        let call = search(target, patient, self.entries)?;
        Ok(succeed(call.client.send(call.request).await?)?.len())
    }
}

impl Source for Searches {
    fn part(&self) -> Part {
        "search"
    }

    fn call(&self, target: &Target) -> anyhow::Result<Call> {
        search(target, in_turn(&self.records, &self.turns).context("a search needs a record")?, self.entries)
    }
}

impl Retrievals {
    /// Learns by a search of each record what there is to retrieve.
    pub(super) async fn find(target: &Target, records: &[Ins], entries: u16) -> anyhow::Result<Self> {
        let mut documents = Vec::new();
        for patient in records {
            documents.extend(documents_of(&find(target, patient, entries).await?));
        }
        ensure!(!documents.is_empty(), "nothing to retrieve: a search finds no document that this caller may see");
        Ok(Self { documents, turns: AtomicUsize::new(0) })
    }

    /// Length of the first document.
    pub(super) fn answer_bytes(&self) -> usize {
        self.documents.first().and_then(|document| document.size_bytes).unwrap_or_default()
    }
}

impl Source for Retrievals {
    fn part(&self) -> Part {
        "retrieve"
    }

    fn call(&self, target: &Target) -> anyhow::Result<Call> {
        let document = in_turn(&self.documents, &self.turns).context("a retrieval needs a document")?;
        let request = Request::get(format!("{}/Binary/{}", target.fhir_url, document.binary_id))
            .header(ACCEPT, "*/*")
            .body(Pieces::none())?;
        Ok(Call { client: target.reader.clone(), request, answer_bytes: document.size_bytes })
    }
}

/// The searchset of up to `entries` current documents.
pub(super) async fn find(target: &Target, patient: &Ins, entries: u16) -> anyhow::Result<Value> {
    let call = search(target, patient, entries)?;
    let answer = succeed(call.client.send(call.request).await?)?;
    serde_json::from_slice(&answer).context("the answer to a search")
}

fn search(target: &Target, patient: &Ins, entries: u16) -> anyhow::Result<Call> {
    let request = Request::get(format!("{}/DocumentReference?{}", target.fhir_url, search_query(patient, entries)))
        .header(ACCEPT, FHIR_JSON)
        .body(Pieces::none())?;
    Ok(Call { client: target.reader.clone(), request, answer_bytes: None })
}

pub(super) fn search_query(patient: &Ins, entries: u16) -> String {
    let (oid, matricule) = (patient.authority().oid(), patient.matricule());
    format!("patient.identifier=urn:oid:{oid}%7C{matricule}&status=current&_count={entries}")
}

/// What a searchset offers to retrieve.
fn documents_of(bundle: &Value) -> Vec<Document> {
    let entries = bundle["entry"].as_array().into_iter().flatten();
    let attachments = entries.map(|entry| &entry["resource"]["content"][0]["attachment"]);
    let document = |attachment: &Value| {
        let (_, binary_id) = attachment["url"].as_str()?.rsplit_once("Binary/")?;
        let size_bytes = attachment["size"].as_u64().and_then(|size| usize::try_from(size).ok());
        Some(Document { binary_id: binary_id.to_owned(), size_bytes })
    };
    attachments.filter_map(document).collect()
}

fn in_turn<'a, T>(all: &'a [T], turns: &AtomicUsize) -> Option<&'a T> {
    all.get(turns.fetch_add(1, Ordering::Relaxed) % all.len().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::{Client, Identity};
    use serde_json::json;

    fn target() -> Target {
        let client = Client::new("", Identity::Anonymous).unwrap();
        Target { fhir_url: "https://localhost/fhir".to_owned(), depositor: client.clone(), reader: client }
    }

    #[test]
    fn a_search_names_the_patient_and_the_status() {
        let patient = Ins::parse("279035121518989", "1.2.250.1.213.1.4.10").unwrap();
        let call = Searches::new(vec![patient], 50).call(&target()).unwrap();
        let expected = "https://localhost/fhir/DocumentReference\
            ?patient.identifier=urn:oid:1.2.250.1.213.1.4.10%7C279035121518989&status=current&_count=50";
        assert_eq!(call.request.uri(), expected);
    }

    #[test]
    fn documents_are_found_under_relative_and_absolute_addresses() {
        let entry = |url: &str| json!({ "resource": { "content": [{ "attachment": { "url": url, "size": 9 } }] } });
        let bundle = json!({ "entry": [entry("Binary/a"), entry("https://localhost/fhir/Binary/b"), entry("urn:x")] });
        let ids: Vec<_> = documents_of(&bundle).into_iter().map(|document| document.binary_id).collect();
        assert_eq!(ids, ["a", "b"]);
    }

    #[test]
    fn every_document_has_its_turn() {
        let document = |id: &str| Document { binary_id: id.to_owned(), size_bytes: Some(1) };
        let retrievals = Retrievals { documents: vec![document("a"), document("b")], turns: AtomicUsize::new(0) };
        let paths: Vec<_> =
            (0..3).map(|_| retrievals.call(&target()).unwrap().request.uri().path().to_owned()).collect();
        assert_eq!(paths, ["/fhir/Binary/a", "/fhir/Binary/b", "/fhir/Binary/a"]);
    }
}
