//! What the gateway does, whichever face asked: deposit, search, retrieve, keep the patient's list.
//!
//! Adapters hand in complete, typed requests and get `Journaled` outcomes: nothing leaves before its
//! journal line is durable. Adapters never name `store`.

pub mod draft;
pub mod gateway;
pub mod outcome;

pub use crate::domain::criteria;
