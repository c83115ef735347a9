//! DocumentEntry ("fiche"): the metadata of one version of one document. Source: D.2.

use jiff::Timestamp;

use super::association::Association;
use super::author::{Author, Identifier, Institution};
use super::code::Code;
use super::confidentiality::Confidentiality;
use super::dtm::Dtm;
use super::ids::{EntryUuid, LogicalId, SubmissionSetUuid, UniqueId};
use super::ins::Ins;
use super::patient::SourcePatient;
use super::sha::Fingerprint;
use super::status::AvailabilityStatus;

/// What a source says of a document: everything but what the registry adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentMetadata {
    pub unique_id: UniqueId,
    /// As submitted; the record is found through its aliases (A.1).
    pub patient_id: Ins,
    pub source_patient: SourcePatient,
    pub authors: Vec<Author>,
    pub legal_authenticator: Option<Author>,
    pub custodian: Option<Institution>,
    /// Always derived from `type_code` by our table, never the client's (D.2).
    pub class_code: Code,
    pub type_code: Code,
    pub confidentiality: Confidentiality,
    pub format_code: Code,
    pub healthcare_facility_type_code: Code,
    pub practice_setting_code: Code,
    pub event_codes: Vec<Code>,
    pub title: String,
    pub comments: Option<String>,
    pub language_code: String,
    pub mime_type: String,
    pub creation_time: Dtm,
    pub service_start_time: Dtm,
    pub service_stop_time: Option<Dtm>,
    pub reference_ids: Vec<ReferenceId>,
    /// Slots that no rule knows, kept so that they go out as they came in (contract 7.3).
    pub other_slots: Vec<(String, Vec<String>)>,
}

/// `referenceIdList` item (CXi): accession number, order, study.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReferenceId {
    pub identifier: Identifier,
    /// CXi-5, a URN of J231.
    pub kind: String,
}

/// A document entry as the registry holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentEntry {
    pub entry_uuid: EntryUuid,
    pub logical_id: LogicalId,
    pub version: u32,
    pub submission_set: SubmissionSetUuid,
    pub availability_status: AvailabilityStatus,
    pub metadata: DocumentMetadata,
    pub fingerprint: Fingerprint,
    pub associations: Vec<Association>,
    pub registered: Timestamp,
    /// Of the present metadata version.
    pub updated: Timestamp,
}
