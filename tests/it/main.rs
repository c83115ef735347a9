//! One program for all tests that need more than one module.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails, which is what unwrap does")]

mod handshake;
mod listening;
mod support;
