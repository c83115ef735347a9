//! Assertions that were presented already: the memory itself is the store's, shared by all gateways on a database.
//!
//! A VIHF is good for one call: the DMP's clients make one for each, and so each request that carries one pays one
//! write, in the sync that it shares with whoever writes meanwhile. Presented again, it is refused whoever brings
//! it and over whichever gateway; a client that resends a request sends it with a new VIHF. Source: C.1.

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::domain::sha::Sha256Hash;
use crate::refusal::Failure;

/// An assertion that was found good, about to be acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedAssertion {
    /// Of its signer and its id: ids are one signer's business.
    pub key: Sha256Hash,
    /// When no gateway would take it any more, whatever its clock says within the admitted skew.
    pub until: Timestamp,
    pub at: Timestamp,
    pub keep: Keep,
}

/// Whether the assertion itself is evidence (EX_AIR-070).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presentation {
    First,
    Again,
}

pub trait AssertionMemory: Send + Sync {
    /// Notes the assertion, durably, unless it is known. Errors: `Busy`, `StorageFull`, or a fault.
    fn note(&self, presented: PresentedAssertion) -> BoxFuture<'_, Result<Presentation, Failure>>;
}
