//! Mutual TLS: who may open a connection, and what their certificate says.

pub mod client_certificate;
pub mod client_verifier;
pub mod development_pki;
pub mod distinguished_name;
mod explanation;
pub mod key_purpose;
pub mod listener;
mod path;
mod revocation;
pub mod signature_certificate;
mod strength;
pub mod subject;
pub mod trust;
