//! CDA R2 as the gateway needs it: the header as domain values, and nothing of the body but its kind.
//!
//! A document is read once, from its first byte to its last, without ever being executed, validated or
//! changed: it goes out as it came in. No I/O of its own, no rule of the DMP: `operation::complete` judges.
//! Source: domain digest section J (CI-SIS, volet structuration minimale).

mod fields;
mod guard;
pub mod header;
mod reader;
mod source;
mod thin;
