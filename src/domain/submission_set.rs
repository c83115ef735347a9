//! SubmissionSet ("lot de soumission"): one deposit and who made it. Immutable but for its status. Source: D.3.

use super::author::Author;
use super::code::Code;
use super::dtm::Dtm;
use super::ids::{SubmissionSetUuid, UniqueId};
use super::ins::Ins;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmissionSet {
    pub uuid: SubmissionSetUuid,
    pub unique_id: UniqueId,
    /// OID of the source application.
    pub source_id: String,
    pub submission_time: Dtm,
    pub patient_id: Ins,
    pub content_type_code: Code,
    pub author: Author,
    pub title: Option<String>,
    pub comments: Option<String>,
}
