//! Which entries of a record a permit covers.
//!
//! `store` compiles these fields into SQL in one place, for searches, counts, single reads and associations
//! alike: nothing is filtered after a query.

use crate::identity::caller::CallerId;

/// What a permit lets its holder see of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visibility {
    pub scope: Scope,
    pub masked: Masked,
    /// Whose documents count as "own".
    pub holder: CallerId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every entry that no label hides.
    Record,
    /// Only entries that the holder deposited or is an author of.
    OwnOnly,
}

/// What becomes of entries labelled MASQUE_PS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masked {
    Shown,
    /// Shown to the depositor and the authors only. Source: R1111-49, F.1 note 6.
    OwnOnly,
}
