//! What the gateway does, whichever face asked: deposit, search, retrieve, keep the patient's list.
//!
//! Adapters hand in complete, typed requests and get `Journaled` outcomes: nothing leaves before its
//! journal line is durable. Adapters never name `store`.

pub mod account;
pub mod authorisations;
mod beat;
mod check;
pub mod complete;
pub mod consent;
pub mod contact;
pub mod deposit;
pub mod dossiers;
pub mod draft;
pub mod existence;
pub mod frame;
pub mod gateway;
pub mod journal;
mod label;
pub mod media;
pub mod outcome;
pub mod retrieve;
pub mod search;
pub mod traces;

pub use crate::domain::{criteria, trace};
