//! The FHIR R4 face (contract 4): paths, negotiation, one file a transaction, one writer a resource.
//!
//! Requests are read in [`read`], answers written in [`resource`]. Handlers turn a request into typed values,
//! call one operation of the gateway and write its outcome as JSON. Rendering, refusals, limits and the log
//! line are done once, in [`exchange`]. Source: contract 4 and 6, domain D.6 and E.

pub mod answer;
pub mod audit_event;
mod authorised_patients;
mod authorization;
pub mod body;
pub mod capability;
pub mod consent;
pub mod deposit;
pub mod document_reference;
pub mod exchange;
pub mod existence;
pub mod face;
mod identify;
pub mod iti67;
pub mod iti68;
pub mod negotiate;
pub mod outcome;
pub mod parameter;
pub mod query;
pub mod read;
pub mod resource;
pub mod routes;
