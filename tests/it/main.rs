//! One test program: the real gateway on a real TLS port, one behaviour a test.

#![expect(unreachable_pub, reason = "a test program has no outside")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot be set up fails: that is what they do"
)]

mod access;
mod corpus;
mod crash;
mod deposit;
mod handshake;
mod layering;
mod listening;
mod read;
mod readme;
mod support;
