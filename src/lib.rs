#![doc = include_str!("../ARCHITECTURE.md")]

pub mod access;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod ebrim;
pub mod identity;
pub mod operation;
pub mod refusal;
pub mod spool;
pub mod tls;
pub mod xdm;
