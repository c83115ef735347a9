//! From the bytes of a FHIR message to what an operation understands.
//!
//! `read_message` takes the body as it arrives: JSON is cut (`cut`) into documents, spooled, and a small skeleton;
//! XML is guarded, cut and turned into the same skeleton (`xml`). The skeleton is judged against FHIR R4 (`json`).
//! `iti65`, `iti105` and `consent` then turn the typed resource into a request of `operation`.
//!
//! Refuses to know routes, callers and the store; which codes are known, which INS domains are accepted and what
//! is missing of a document's metadata are judged by the operation, for every face alike.
//!
//! Places in refusals are FHIRPaths of the message as sent.

mod base64;
mod cut;
mod document_reference;
mod intake;
mod json;
mod parties;
mod reading;
mod submission_set;
mod xml;

pub mod consent;
pub mod iti105;
pub mod iti65;

#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use fhirkit::r4::Resource;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::cut::Cutter;
pub use self::document_reference::EXTENSION_SLOT;
use self::intake::Received;
pub use self::xml::json_to_xml;
use crate::config::Limits;
use crate::limits::count_limited;
use crate::refusal::{Failure, Fault, Refusal, Rule};
use crate::spool::SpoolSettings;

/// The two formats of FHIR messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireFormat {
    Json,
    Xml,
}

/// A message whose structure is sound, and the documents that came with it.
#[derive(Debug)]
pub struct Message {
    resource: Resource,
    documents: Documents,
}

/// Documents by the placeholder that stands for them; each can be taken once.
#[derive(Debug)]
struct Documents(Vec<Option<Received>>);

/// Reads a message as it arrives.
///
/// Errors: what the body itself yields (broken off, too slow); `BodyTooLarge`, `Nesting`, `Base64`, `StorageFull`
/// as soon as they show; syntax and structure once the body is whole. Small writes to the spool happen on the
/// calling thread, XML is converted on a blocking one.
///
/// An XML message is held whole: its bytes are taken out of `xml_bytes` as they arrive (`Busy` when there are no
/// more) and given back when it is read, even where nobody waits for it any longer.
pub async fn read_message<B>(
    format: WireFormat,
    body: B,
    limits: &Limits,
    spool: SpoolSettings,
    xml_bytes: Arc<Semaphore>,
) -> Result<Message, Failure>
where
    B: Stream<Item = Result<Bytes, Failure>>,
{
    match format {
        WireFormat::Json => read_json(body, limits, spool).await,
        WireFormat::Xml => read_xml(body, limits, spool, xml_bytes).await,
    }
}

async fn read_json<B>(body: B, limits: &Limits, spool: SpoolSettings) -> Result<Message, Failure>
where
    B: Stream<Item = Result<Bytes, Failure>>,
{
    let mut body = pin!(body);
    let mut cutter = Cutter::new(limits, spool);
    let mut size_bytes = 0;
    while let Some(piece) = body.next().await {
        let piece = piece?;
        size_bytes += piece.len() as u64;
        check_size(size_bytes, limits.body_bytes_max, "limits.body_bytes_max")?;
        cutter.push(&piece)?;
    }
    let cut = cutter.finish()?;
    let resource = json::read_resource(&cut)?;
    Ok(Message { resource, documents: Documents::new(cut.documents) })
}

async fn read_xml<B>(
    body: B,
    limits: &Limits,
    spool: SpoolSettings,
    xml_bytes: Arc<Semaphore>,
) -> Result<Message, Failure>
where
    B: Stream<Item = Result<Bytes, Failure>>,
{
    let mut body = pin!(body);
    let mut text = Vec::new();
    let mut held = None;
    while let Some(piece) = body.next().await {
        let piece = piece?;
        let size_bytes = (text.len() + piece.len()) as u64;
        check_size(size_bytes, limits.xml_body_bytes_max as u64, "limits.xml_body_bytes_max")?;
        hold(&mut held, piece.len(), &xml_bytes)?;
        text.extend_from_slice(&piece);
    }
    let limits = limits.clone();
    // A panic of the converter ends in the task, not in the connection.
    let converted = tokio::task::spawn_blocking(move || {
        let cut = xml::cut(&text, &limits, spool)?;
        let resource = json::read_resource(&cut)?;
        drop((text, held));
        Ok(Message { resource, documents: Documents::new(cut.documents) })
    });
    converted.await.map_err(|error| Fault::new("the FHIR XML reader gave up", error))?
}

/// Adds to what is held. Never waits: those who wait would hold what the others wait for.
fn hold(held: &mut Option<OwnedSemaphorePermit>, bytes: usize, free: &Arc<Semaphore>) -> Result<(), Refusal> {
    let permit = u32::try_from(bytes).ok().and_then(|bytes| Arc::clone(free).try_acquire_many_owned(bytes).ok());
    let permit = permit.ok_or_else(|| {
        count_limited("xml_bodies_bytes_max");
        let found = "as much XML in flight as is let in (limits.xml_bodies_bytes_max)";
        Refusal::new(Rule::Busy, "message", found, "the same request again in a while, or as JSON")
    })?;
    match held {
        Some(held) => held.merge(permit),
        None => *held = Some(permit),
    }
    Ok(())
}

fn check_size(size_bytes: u64, max: u64, limit: &str) -> Result<(), Refusal> {
    if size_bytes <= max {
        return Ok(());
    }
    let expected = format!("at most {max} bytes ({limit})");
    Err(Refusal::new(Rule::BodyTooLarge, "message", format!("more than {max} bytes"), expected))
}

impl WireFormat {
    /// Reads a Content-Type. `None` (no header) is refused too: guessing would make the same bytes mean two things.
    ///
    /// Errors: `MediaType`. Source: FHIR R4 http.html#mime-type; the plain types are accepted as R4 advises.
    pub fn of_content_type(content_type: Option<&str>) -> Result<Self, Refusal> {
        let text = content_type.unwrap_or("nothing").to_ascii_lowercase();
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let parameters_ok = parts.filter_map(|part| part.split_once('=')).all(|(name, value)| {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                "charset" => matches!(value, "utf-8" | "utf8"),
                "fhirversion" => matches!(value, "4.0" | "4.0.1"),
                _ => true,
            }
        });
        match essence {
            "application/fhir+json" | "application/json" | "text/json" if parameters_ok => Ok(Self::Json),
            "application/fhir+xml" | "application/xml" | "text/xml" if parameters_ok => Ok(Self::Xml),
            _ => {
                let expected = "application/fhir+json or application/fhir+xml, FHIR version 4.0, in UTF-8";
                Err(Refusal::new(Rule::MediaType, "header Content-Type", text, expected))
            }
        }
    }
}

impl Documents {
    fn new(received: Vec<Received>) -> Self {
        Self(received.into_iter().map(Some).collect())
    }

    fn take(&mut self, placeholder: &str) -> Option<Received> {
        self.0.get_mut(intake::index_of(placeholder)?)?.take()
    }

    /// Documents that nothing refers to would be lost: they are refused instead.
    fn refuse_rest(&self, expected: &str) -> Vec<Refusal> {
        let rest = self.0.iter().flatten();
        rest.map(|received| Refusal::new(Rule::BundleEntry, &received.place, "a document nothing refers to", expected))
            .collect()
    }
}
