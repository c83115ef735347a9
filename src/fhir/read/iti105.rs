//! ITI-105 Simplified Publish (TD2): one DocumentReference that carries its document -> a deposit.
//!
//! `attachment.data` holds the document, `attachment.url` has no place. What is missing of the metadata is taken
//! from the CDA header by the operation. Source: E.4; IHE MHD ITI-105; PDSm simplified publish.

use fhirkit::r4::Resource;

use super::Message;
use super::reading::{Reading, Scope, Text as _};
use crate::domain::value_set::Terminology;
use crate::operation::draft::{DepositRequest, DocumentDraft};
use crate::refusal::{Failure, Refusal, Rule};

/// Reads the message of a simplified publish.
pub fn read_publish(message: Message, terminology: &Terminology) -> Result<DepositRequest, Failure> {
    let Message { resource, mut documents } = message;
    let Resource::DocumentReference(resource) = resource else {
        let found = format!("a {}", resource.resource_type());
        return Err(Refusal::new(Rule::FhirStructure, "resourceType", found, "a DocumentReference").into());
    };
    let mut reading = Reading::new(terminology);
    let described = reading.document(&resource, PLACE, Scope::alone(&resource.contained, PLACE));
    let attachment = described.attachment.as_ref();
    if attachment.is_some_and(|(attachment, _)| attachment.url.is_some()) {
        let place = format!("{PLACE}.content[0].attachment.url");
        reading.refuse(Rule::MetadataValue, place, "a url", "the document itself in attachment.data");
    }
    let data = attachment.and_then(|(attachment, _)| attachment.data.text());
    let Some(received) = data.and_then(|data| documents.take(data)) else {
        let place = format!("{PLACE}.content[0].attachment.data");
        reading.refuse(Rule::EmptyDocument, place, "nothing", "the document in base64");
        return reading.finish(DepositRequest { submission_set: None, documents: Vec::new() });
    };
    for refusal in documents.refuse_rest("one document, in content[0].attachment.data") {
        reading.add(refusal);
    }
    let document = DocumentDraft {
        place: PLACE.to_owned(),
        metadata: described.metadata,
        content: received.content,
        declared_hash: described.declared_hash,
        declared_size: described.declared_size,
        relations: described.relations,
    };
    reading.finish(DepositRequest { submission_set: None, documents: vec![document] })
}

const PLACE: &str = "DocumentReference";
