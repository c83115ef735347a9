//! Mutual TLS: who may open a connection, and what their certificate says.

pub mod client_certificate;
pub mod client_verifier;
pub mod development_pki;
pub mod distinguished_name;
pub mod expiry;
mod explanation;
pub mod files;
mod generation;
pub mod key_purpose;
pub mod listener;
pub mod outgoing;
mod path;
mod revocation;
pub mod signature_certificate;
pub mod standing;
mod strength;
pub mod subject;
pub mod trust;
