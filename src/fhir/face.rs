//! What handlers of the FHIR face work with: the gateway, the reading of messages, the writing of answers.

use std::sync::Arc;

use axum::body::Body;
use futures_util::StreamExt as _;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Response};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::answer::{Answer, Content, Declined, Handled};
use super::negotiate::Format;
use super::read::{Message, WireFormat, json_to_xml, read_message};
use super::resource::Writing;
use super::routes::{BASE_PATH, Operation};
use super::{audit_event, body, capability, consent, deposit, document_reference, existence, iti67, iti68};
use crate::clock::new_uuid;
use crate::domain::ids::LogicalId;
use crate::identity::admission::Admission;
use crate::identity::caller::Caller;
use crate::operation::gateway::Gateway;
use crate::refusal::{Failure, Fault, Refusal, Rule};

/// The id of an answer: in its `X-Request-Id`, in its OperationOutcome and in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerId(pub(super) Uuid);

/// A Consent of the profile is below 4 KiB; the rest is room for a narrative. The limits of deposits would be too
/// wide for the places of reads, of which there are many.
pub const LIST_BYTES_MAX: usize = 64 * 1024;

/// What handlers work with.
pub struct Face {
    pub gateway: Gateway,
    pub(super) admission: Admission,
    base: String,
    /// What deposits in XML may still hold.
    xml_bytes: Arc<Semaphore>,
    /// The same of lists, apart: a block must not wait behind deposits.
    list_xml_bytes: Arc<Semaphore>,
    /// Answers being turned into XML: the tree of each is many times its text.
    xml_writers: Semaphore,
}

impl Face {
    pub fn new(gateway: Gateway, admission: Admission) -> Self {
        let limits = &gateway.config.limits;
        Self {
            base: format!("{}{BASE_PATH}", gateway.config.listen.public_url),
            xml_bytes: Arc::new(Semaphore::new(limits.xml_bodies_bytes_max.min(Semaphore::MAX_PERMITS))),
            // Enough for all of them: these are small.
            list_xml_bytes: Arc::new(Semaphore::new(limits.reads_in_flight_max.min(LISTS_MAX) * LIST_BYTES_MAX)),
            xml_writers: Semaphore::new(XML_WRITERS),
            gateway,
            admission,
        }
    }

    pub fn writing(&self) -> Writing<'_> {
        Writing { terminology: &self.gateway.terminology, base: &self.base }
    }

    pub fn surroundings(&self) -> iti67::Surroundings<'_> {
        iti67::Surroundings {
            terminology: &self.gateway.terminology,
            ins_domains: &self.gateway.config.dmp.ins_domains,
            page_max: self.gateway.config.limits.search_page_max,
        }
    }

    pub fn now(&self) -> Timestamp {
        self.gateway.clock.now()
    }

    /// The message of a deposit, whole and sound.
    pub async fn read_message(&self, parts: &Parts, body: Body) -> Result<Message, Failure> {
        self.read_into(&self.xml_bytes, parts, body).await
    }

    /// A line of a patient's list, at most [`LIST_BYTES_MAX`] long.
    pub async fn read_list_message(&self, parts: &Parts, body: Body) -> Result<Message, Failure> {
        let body = body::read_whole(body, LIST_BYTES_MAX).await?;
        self.read_into(&self.list_xml_bytes, parts, Body::from(body)).await
    }

    async fn read_into(&self, xml_bytes: &Arc<Semaphore>, parts: &Parts, body: Body) -> Result<Message, Failure> {
        if let Some(coding) = parts.headers.get(CONTENT_ENCODING).filter(|coding| *coding != "identity") {
            let found = coding.to_str().unwrap_or("unreadable");
            let expected = "the message as it is: no coding is undone here";
            return Err(Refusal::new(Rule::MediaType, "header Content-Encoding", found, expected).into());
        }
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let format = WireFormat::of_content_type(content_type)?;
        let pieces = body.into_data_stream().map(|piece| piece.map_err(|error| body::failure_of(&error)));
        let (limits, spool) = (&self.gateway.config.limits, self.gateway.spool.clone());
        read_message(format, pieces, limits, spool, Arc::clone(xml_bytes)).await
    }

    /// Serves a request whoever makes it. What no operation has written down by now is written down here, before
    /// the caller hears of it: each request that concerns a record leaves one line.
    pub(super) async fn serve(
        &self,
        operation: Operation,
        unacceptable: Option<Refusal>,
        parts: &Parts,
        body: Body,
    ) -> Handled {
        if operation == Operation::Capabilities {
            return unacceptable.map_or_else(|| capability::answer(self), |refusal| Err(refusal.into()));
        }
        let caller = self.identify(parts).await?;
        let handled = match unacceptable {
            Some(refusal) => Err(refusal.into()),
            None => self.operate(operation, &caller, parts, body).await,
        };
        match handled {
            Ok(answer) => Ok(answer),
            Err(Declined { failure, headers }) => {
                Err(Declined { failure: self.gateway.turn_away(&caller, failure).await, headers })
            }
        }
    }

    async fn operate(&self, operation: Operation, caller: &Caller, parts: &Parts, body: Body) -> Handled {
        match operation {
            Operation::Capabilities => capability::answer(self),
            Operation::ProvideDocumentBundle => deposit::transaction(self, caller, parts, body).await,
            Operation::SimplifiedPublish => deposit::create(self, caller, parts, body).await,
            Operation::FindDocumentReferences => iti67::search(self, caller, parts, body).await,
            Operation::ReadDocumentReference => document_reference::read(self, caller, parts).await,
            Operation::RetrieveDocument => iti68::retrieve(self, caller, parts).await,
            Operation::TestExistence => existence::search(self, caller, parts).await,
            Operation::ListConsents => consent::list(self, caller, parts).await,
            Operation::ReadConsent => consent::read(self, caller, parts).await,
            Operation::CreateConsent | Operation::UpdateConsent => consent::set(self, caller, parts, body).await,
            Operation::FindAuditEvents => audit_event::search(self, caller, parts, body).await,
        }
    }

    /// Writes an answer in `format`. A resource that cannot be turned into XML is our fault, told in JSON.
    pub(super) async fn render(&self, answer: Answer, format: Format) -> Result<Response<Body>, Fault> {
        let (bytes, content_type) = match answer.content {
            Content::Empty => (Body::empty(), None),
            Content::Bytes(body) => (body, None),
            Content::Resource(json) => {
                let text = match format {
                    Format::Json => json,
                    Format::Xml => {
                        let turn = self.xml_writers.acquire().await;
                        let _turn = turn.map_err(|closed| Fault::new("writing XML", closed))?;
                        let written = tokio::task::spawn_blocking(move || json_to_xml(&json)).await;
                        written.map_err(|error| Fault::new("writing XML", error))??
                    }
                };
                let length = text.len();
                (Body::from(text), Some((format.content_type(), length)))
            }
        };
        let mut response = Response::new(bytes);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        let headers = response.headers_mut();
        if let Some((content_type, length)) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Ok(response)
    }
}

/// The id under which this answer is logged.
pub fn answer_id(parts: &Parts) -> Uuid {
    parts.extensions.get::<AnswerId>().map_or_else(new_uuid, |id| id.0)
}

/// The id at the end of the path. One of a form that we never give is answered like an absent one.
pub fn id_in_path(parts: &Parts) -> Result<LogicalId, Failure> {
    let last = parts.uri.path().rsplit('/').next().unwrap_or_default();
    let refusal = || Refusal::new(Rule::NotFound, "id", "no such id", "the id of something that you may see");
    Ok(logical_id(last).ok_or_else(refusal)?)
}

/// FHIR ids are compared letter by letter: only the spelling that we give out is one.
pub fn logical_id(text: &str) -> Option<LogicalId> {
    text.parse::<LogicalId>().ok().filter(|id| id.to_string() == text)
}

/// Conversions of answers at one time; further ones wait their turn, each already in a place of its own.
const XML_WRITERS: usize = 4;
/// More lists at one time than any machine reads.
const LISTS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_spelling_of_an_id_is_one() {
        let id = LogicalId::new();
        assert_eq!(logical_id(&id.to_string()), Some(id));
        let shouted = id.to_string().to_uppercase();
        let simple = id.0.simple().to_string();
        for other in [shouted.as_str(), simple.as_str(), &id.to_urn(), "", "x"] {
            assert_eq!(logical_id(other), None, "{other}");
        }
    }
}
