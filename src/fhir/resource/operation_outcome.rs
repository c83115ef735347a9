//! OperationOutcome: the shape only; which words go in is decided in [`crate::fhir::outcome`].

use serde::Serialize;

use super::datatype::CodeableConcept;

#[derive(Debug, Serialize)]
#[serde(tag = "resourceType")]
pub struct OperationOutcome<'a> {
    pub id: String,
    pub issue: Vec<Issue<'a>>,
}

#[derive(Debug, Serialize)]
pub struct Issue<'a> {
    pub severity: &'static str,
    pub code: &'static str,
    pub details: CodeableConcept<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<String>,
    /// `http.NAME`, for what is not an element of a resource: FHIR has no other place for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<[String; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<[String; 1]>,
}
