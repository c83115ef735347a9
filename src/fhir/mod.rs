//! The FHIR R4 face: JSON and XML, PDSm and IHE MHD transactions.

pub mod read;
