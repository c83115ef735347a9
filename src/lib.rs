#![doc = include_str!("../ARCHITECTURE.md")]

pub mod access;
pub mod cda;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod fhir;
pub mod identity;
pub mod journal;
pub mod operation;
pub mod refusal;
pub mod serve;
pub mod spool;
pub mod store;
pub mod telemetry;
pub mod tls;
