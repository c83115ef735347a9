//! Mutual TLS: who may open a connection, and what their certificate says.

pub mod client_certificate;
mod client_verifier;
pub mod development_pki;
pub mod distinguished_name;
pub mod listener;
mod revocation;
pub mod signature_certificate;
mod signer_verifier;
pub mod trust;
