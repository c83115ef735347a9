//! One writer a resource: domain values in, borrowing structs that serde turns into FHIR JSON out.
//!
//! Nothing here decides who may see what, nor reads a request. Absent elements are left out, for FHIR knows
//! neither empty lists nor nulls. Source: FHIR R4; PDSm 3.1.1; domain D.6, column "recommended".

pub mod audit_event;
pub mod binary;
pub mod bundle;
pub mod capability_statement;
pub mod consent;
pub mod datatype;
pub mod document_reference;
pub mod list;
pub mod operation_outcome;
pub mod patient;
pub mod person;

use super::negotiate::Format;
use crate::domain::value_set::Terminology;

/// What every writer needs to know of its surroundings.
#[derive(Debug, Clone, Copy)]
pub struct Writing<'a> {
    pub terminology: &'a Terminology,
    /// `{public_url}/fhir`: what absolute URLs start with.
    pub base: &'a str,
}

impl Format {
    /// `_format` words of the CapabilityStatement.
    pub const NAMES: [&'static str; 4] = ["application/fhir+json", "json", "application/fhir+xml", "xml"];
}

#[cfg(test)]
pub(crate) mod sample;
