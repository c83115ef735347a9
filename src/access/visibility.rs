//! Which entries of a record a permit covers: one predicate for one entry and for SQL.
//!
//! `store::search` compiles the same fields into the statement that finds and counts; [`Visibility::admits`]
//! decides a single entry. A test holds the two against each other.

use std::collections::BTreeSet;

use crate::domain::confidentiality::VisibilityLabel;
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

/// The facts of one entry that visibility depends on.
#[derive(Debug, Clone)]
pub struct EntryFacts<'a> {
    pub labels: &'a BTreeSet<VisibilityLabel>,
    /// The holder deposited it or is named as one of its authors.
    pub own: bool,
}

impl Visibility {
    pub fn admits(&self, entry: &EntryFacts<'_>) -> bool {
        let in_scope = match self.scope {
            Scope::Record => true,
            Scope::OwnOnly => entry.own,
        };
        let unmasked = match self.masked {
            Masked::Shown => true,
            Masked::OwnOnly => entry.own || !entry.labels.contains(&VisibilityLabel::MasquePs),
        };
        in_scope && unmasked
    }
}
