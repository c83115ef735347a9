//! From what a sender says of a document to complete metadata, with the header of the CDA as witness.
//!
//! What the sender leaves out is taken from the header (simplified publish); what both say is compared where it
//! identifies; what neither says, or no value set knows, is refused. All broken rules are told at once, each
//! under the sender's place or under the path in the document that the value came from.
//!
//! Decisions, 2026-11-21. Published samples contradict themselves (T-25), and so do real senders:
//! - Held strictly against the header: uniqueId, patient, type. A document under the wrong one of these is lost
//!   or, worse, found by another patient.
//! - Not compared: creation time, title, language, author, facility, setting, format. The sender's value stays
//!   as sent; it names or places the document, and a difference harms nobody.
//! - Patient: the same matricule is demanded, under authorities of the same domain. NIR and NIA may differ
//!   (one patient has both in turn), test and production may not.
//! - Confidentiality: the stricter of the two levels; labels only ever come from the sender (J.2).
//! - Format `…mimeTypeSufficient` of IHE says nothing: it counts as absent and the format is derived.
//! - Media type: kept as sent when it is one of those of a CDA; the content must be what it says.
//! - Migration takes old documents: retired codes and missing header elements pass, identity never does.
//!
//! Source: D.2, D.6, E.4 (6, 7).

mod judge;
mod limits;
#[cfg(test)]
mod tests;

use jiff::civil::Date;

use self::judge::Judge;
use super::draft::{DocumentDraft, MetadataDraft};
use super::media::MediaKind;
use crate::cda::header::{CdaHeader, Order, ServiceEvent};
use crate::config::InsDomain;
use crate::domain::author::{Author, Identifier, Institution};
use crate::domain::code::Code;
use crate::domain::confidentiality::Confidentiality;
use crate::domain::document_entry::{DocumentMetadata, ReferenceId};
use crate::domain::dtm::Dtm;
use crate::domain::ids::UniqueId;
use crate::domain::ins::Ins;
use crate::domain::oid::Oid;
use crate::domain::patient::SourcePatient;
use crate::domain::value_set::Terminology;
use crate::refusal::{Failure, Fault, Refusal};

/// What a document is completed and judged with.
#[derive(Clone, Copy)]
pub struct Intake<'a> {
    pub terminology: &'a Terminology,
    pub ins_domains: &'a [InsDomain],
    /// The day of the deposit: value sets change.
    pub on: Date,
    /// Who deposits: the custodian of documents that name none (T-15).
    pub institution: Option<&'a Institution>,
    pub rules: Rules,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    Deposit,
    Migration,
}

/// Reads what a document says of itself, then completes its metadata. Reads the whole document: not for an
/// asynchronous task.
///
/// Errors: every rule of [`complete`], those of [`CdaHeader::read`], a `Fault` when the bytes cannot be read back.
pub fn complete_document(document: &mut DocumentDraft, intake: &Intake<'_>) -> Result<DocumentMetadata, Failure> {
    let head = document.content.chunk(0, MediaKind::HEAD_BYTES);
    let head = head.map_err(|cause| Fault::new("a document being received cannot be read back", cause))?;
    let header = match MediaKind::of_content(&head) {
        Some(MediaKind::Xml) if is_declared_otherwise(&document.metadata) => None,
        Some(MediaKind::Xml) if is_signature(&document.metadata) => {
            CdaHeader::read_if_any(&mut document.content, &document.place)?
        }
        Some(MediaKind::Xml) => Some(CdaHeader::read(&mut document.content, &document.place)?),
        _ => None,
    };
    complete(&document.metadata, header.as_ref(), &head, &document.place, intake).map_err(Failure::Refused)
}

/// Completes the metadata of one document. `header` is `None` for what is no CDA, `head` its first
/// [`MediaKind::HEAD_BYTES`] bytes, `place` where the sender finds it.
///
/// Errors: every broken rule among `MissingMetadata`, `MetadataValue`, `UnknownCode`, `UniqueIdForm`, `InsKey`,
/// `InsForm`, `InsDomain`, `InsMissing`, `PatientMismatch`, `MimeTypeMismatch`, `CdaHeader`, `CdaMetadataMismatch`.
pub fn complete(
    sent: &MetadataDraft,
    header: Option<&CdaHeader>,
    head: &[u8],
    place: &str,
    intake: &Intake<'_>,
) -> Result<DocumentMetadata, Vec<Refusal>> {
    let mut judge = Judge::new(sent, header, place, intake);
    judge.check_header();
    let mime_type = judge.mime_type(head);
    let found = Found {
        unique_id: judge.unique_id(),
        patient_id: judge.patient_id(),
        type_code: judge.type_code(),
        format_code: judge.format_code(mime_type.as_deref()),
        healthcare_facility_type_code: judge.healthcare_facility_type_code(),
        practice_setting_code: judge.practice_setting_code(),
        authors: judge.authors(),
        title: judge.title(),
        language_code: judge.text("languageCode", sent.language_code.as_ref(), |h| h.language_code.as_ref()),
        creation_time: judge.required("creationTime", sent.creation_time, |h| Some(h.effective_time)),
        mime_type,
    };
    match found.assemble(sent, header, intake) {
        Some(metadata) if judge.refusals.is_empty() => {
            let refusals = limits::exceeded(&metadata, |attribute| judge.at(attribute));
            if refusals.is_empty() { Ok(metadata) } else { Err(refusals) }
        }
        _ => Err(judge.refusals),
    }
}

/// The mandatory attributes as the judge left them: `None` where a refusal says why.
struct Found {
    unique_id: Option<UniqueId>,
    patient_id: Option<Ins>,
    type_code: Option<Code>,
    format_code: Option<Code>,
    healthcare_facility_type_code: Option<Code>,
    practice_setting_code: Option<Code>,
    authors: Vec<Author>,
    title: Option<String>,
    language_code: Option<String>,
    mime_type: Option<String>,
    creation_time: Option<Dtm>,
}

impl Found {
    fn assemble(
        self,
        sent: &MetadataDraft,
        header: Option<&CdaHeader>,
        intake: &Intake<'_>,
    ) -> Option<DocumentMetadata> {
        let main = header.and_then(CdaHeader::main_event);
        let (patient_id, type_code, creation_time) = (self.patient_id?, self.type_code?, self.creation_time?);
        Some(DocumentMetadata {
            unique_id: self.unique_id?,
            source_patient: source_patient(sent, header, &patient_id),
            patient_id,
            authors: self.authors,
            legal_authenticator: sent.legal_authenticator.clone().or_else(|| header?.legal_authenticator.clone()),
            custodian: custodian(sent, header, intake),
            class_code: class_code(&type_code, intake.terminology),
            type_code,
            confidentiality: confidentiality(sent, header),
            format_code: self.format_code?,
            healthcare_facility_type_code: self.healthcare_facility_type_code?,
            practice_setting_code: self.practice_setting_code?,
            event_codes: event_codes(sent, header),
            title: self.title?,
            comments: sent.comments.clone(),
            language_code: self.language_code?,
            mime_type: self.mime_type?,
            creation_time,
            service_start_time: sent.service_start_time.or_else(|| main?.start).unwrap_or(creation_time),
            service_stop_time: sent.service_stop_time.or_else(|| main?.stop),
            reference_ids: reference_ids(sent, header),
            other_slots: sent.other_slots.clone(),
        })
    }
}

/// XML under the media type of something else is refused for that, unread.
fn is_declared_otherwise(metadata: &MetadataDraft) -> bool {
    metadata.mime_type.as_deref().is_some_and(|sent| MediaKind::of_mime_type(sent) != Some(MediaKind::Xml))
}

/// XAdES signature of a submission: XML, and no CDA (D.3) unless it envelops one.
fn is_signature(metadata: &MetadataDraft) -> bool {
    metadata.type_code.as_ref().is_some_and(|code| code.is(&Code::new("ASTM", "E1762")))
}

/// A type without a class passed as retired: migration keeps it.
fn class_code(type_code: &Code, terminology: &Terminology) -> Code {
    terminology.class_of(type_code).unwrap_or_else(|| terminology.class_of_retired_types().clone())
}

fn source_patient(sent: &MetadataDraft, header: Option<&CdaHeader>, patient: &Ins) -> SourcePatient {
    if let Some(sent) = &sent.source_patient {
        return sent.clone();
    }
    let ins = || Identifier::new(patient.authority().oid(), patient.matricule());
    match header {
        Some(header) => SourcePatient {
            id: Some(header.patient.others.first().cloned().unwrap_or_else(ins)),
            info: header.patient.info.clone(),
        },
        None => SourcePatient { id: Some(ins()), ..SourcePatient::default() },
    }
}

fn custodian(sent: &MetadataDraft, header: Option<&CdaHeader>, intake: &Intake<'_>) -> Option<Institution> {
    let of_header = || header?.custodian.clone();
    sent.custodian.clone().or_else(of_header).or_else(|| intake.institution.cloned())
}

fn confidentiality(sent: &MetadataDraft, header: Option<&CdaHeader>) -> Confidentiality {
    let mut confidentiality = sent.confidentiality.clone().unwrap_or_default();
    let own = header.and_then(|header| header.confidentiality).unwrap_or_default();
    confidentiality.level = confidentiality.level.max(own);
    confidentiality
}

fn event_codes(sent: &MetadataDraft, header: Option<&CdaHeader>) -> Vec<Code> {
    if !sent.event_codes.is_empty() {
        return sent.event_codes.clone();
    }
    let own = header.map_or(&[] as &[ServiceEvent], |header| &header.service_events);
    let mut codes: Vec<Code> = Vec::new();
    for code in own.iter().filter_map(|event| event.code.as_ref()) {
        if !codes.iter().any(|other| other.is(code)) {
            codes.push(code.clone());
        }
    }
    codes
}

/// Orders and accession numbers; for an imaging report also its studies, which are its service events.
fn reference_ids(sent: &MetadataDraft, header: Option<&CdaHeader>) -> Vec<ReferenceId> {
    const IMAGING_REPORTS: [&str; 2] = ["1.2.840.10008.9.1", "1.2.250.1.213.1.1.1.45"];
    let Some(header) = header.filter(|_| sent.reference_ids.is_empty()) else { return sent.reference_ids.clone() };
    let of = |id: Identifier, kind: &str| ReferenceId { identifier: id, kind: kind.to_owned() };
    let orders = header.orders.iter().map(|order| match order {
        Order::Id(id) => of(id.to_identifier(), "urn:ihe:iti:xds:2013:order"),
        Order::AccessionNumber(id) => of(id.to_identifier(), "urn:ihe:iti:xds:2013:accession"),
    });
    let is_imaging = header.template_ids.iter().any(|template| IMAGING_REPORTS.contains(&template.as_str()));
    let events = if is_imaging { header.service_events.as_slice() } else { &[] };
    let studies = events.iter().flat_map(|event| &event.ids);
    let studies = studies.filter(|id| id.extension.is_none() && id.root.parse::<Oid>().is_ok());
    orders.chain(studies.map(|id| of(id.to_identifier(), "urn:ihe:iti:xds:2016:studyInstanceUID"))).collect()
}
