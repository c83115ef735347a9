//! Mutual TLS: who may open a connection, and what their certificate says.

pub mod client_certificate;
pub mod development_pki;
