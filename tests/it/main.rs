//! One test program: the real gateway on a real TLS port, one behaviour a test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot be set up fails: that is what they do"
)]

mod access;
mod atna;
mod audit_event;
mod authorised;
mod bad_input;
mod bearer;
mod bench;
mod certificates;
mod corpus;
mod coverage;
mod crash;
mod decision;
mod deposit;
mod handshake;
mod http2;
mod journal_command;
mod layering;
mod leak;
mod limits;
mod listening;
mod notices;
mod oidc;
mod portal;
mod pressure;
mod read;
mod readme;
mod revocation;
mod support;
mod tampering;
mod vihf;
mod weak_certificates;
