//! Mutual TLS: who may open a connection, and what their certificate says.

pub mod client_certificate;
mod client_verifier;
pub mod development_pki;
pub mod expiry;
mod files;
pub mod listener;
mod revocation;
pub mod trust;
