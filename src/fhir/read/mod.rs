//! From the bytes of a FHIR message to what an operation understands.

mod base64;
mod cut;
mod intake;
mod json;
