//! A deposit as a face has read it: typed, but not yet complete nor checked against the rules.

use crate::domain::association::RelationKind;
use crate::domain::author::{Author, Institution};
use crate::domain::code::Code;
use crate::domain::confidentiality::Confidentiality;
use crate::domain::document_entry::ReferenceId;
use crate::domain::dtm::Dtm;
use crate::domain::ids::{EntryUuid, LogicalId, UniqueId};
use crate::domain::ins::Ins;
use crate::domain::patient::SourcePatient;
use crate::domain::sha::Sha1Hash;
use crate::spool::Spooled;

/// One submission: at most one set, its documents.
#[derive(Debug)]
pub struct DepositRequest {
    /// `None` for a simplified publish (ITI-105) or bare files: the gateway makes the set.
    pub submission_set: Option<SubmissionSetDraft>,
    pub documents: Vec<DocumentDraft>,
}

/// What a List of ITI-65 or a registry package says of the submission.
#[derive(Debug, Default, Hash)]
pub struct SubmissionSetDraft {
    /// Where the face found it, in the sender's terms: `Bundle.entry[0].resource`.
    pub place: String,
    pub unique_id: Option<UniqueId>,
    pub source_id: Option<String>,
    pub submission_time: Option<Dtm>,
    pub patient_id: Option<Ins>,
    pub content_type_code: Option<Code>,
    pub author: Option<Author>,
    pub title: Option<String>,
    pub comments: Option<String>,
}

/// One document with what was said of it.
#[derive(Debug)]
pub struct DocumentDraft {
    /// Where the face found it, in the sender's terms: refusals point there.
    pub place: String,
    pub metadata: MetadataDraft,
    pub content: Spooled,
    /// Held against what arrived, never trusted.
    pub declared_hash: Option<Sha1Hash>,
    pub declared_size: Option<u64>,
    pub relations: Vec<RelationDraft>,
}

/// Like `DocumentMetadata`, before what is missing has been taken from the CDA header.
#[derive(Debug, Default, Clone, Hash)]
pub struct MetadataDraft {
    pub unique_id: Option<UniqueId>,
    pub patient_id: Option<Ins>,
    pub source_patient: Option<SourcePatient>,
    pub authors: Vec<Author>,
    pub legal_authenticator: Option<Author>,
    pub custodian: Option<Institution>,
    pub type_code: Option<Code>,
    pub confidentiality: Option<Confidentiality>,
    pub format_code: Option<Code>,
    pub healthcare_facility_type_code: Option<Code>,
    pub practice_setting_code: Option<Code>,
    pub event_codes: Vec<Code>,
    pub title: Option<String>,
    pub comments: Option<String>,
    pub language_code: Option<String>,
    pub mime_type: Option<String>,
    pub creation_time: Option<Dtm>,
    pub service_start_time: Option<Dtm>,
    pub service_stop_time: Option<Dtm>,
    pub reference_ids: Vec<ReferenceId>,
    pub other_slots: Vec<(String, Vec<String>)>,
}

/// What the new document is to an older one, by whichever name the sender knows it.
#[derive(Debug, Clone, Hash)]
pub struct RelationDraft {
    pub place: String,
    pub kind: RelationKind,
    pub target: TargetName,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetName {
    Logical(LogicalId),
    Entry(EntryUuid),
    Unique(UniqueId),
}
