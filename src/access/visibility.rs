//! Which entries of a record a permit covers.
//!
//! `store` compiles a [`Visibility`] into SQL in one place, for searches, counts, single reads and associations
//! alike: nothing is filtered after a query. [`Visibility::shows`] says the same of one entry; a test of the
//! compiler holds the two against each other for every combination. Source: F.4 (13 to 16).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::confidentiality::VisibilityLabel;
use crate::domain::status::AvailabilityStatus;
use crate::identity::caller::CallerId;

/// What a permit lets its holder see of one record.
///
/// Whoever deposited a document or is an author of it sees it whatever its label and class (R1111-49, F.1 note 6),
/// until it is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visibility {
    /// Whose documents count as "own".
    pub holder: CallerId,
    pub others: Others,
    /// When it was decided: a label may have an end (R1111-53).
    pub at: Timestamp,
}

/// What of the documents of others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Others {
    Nothing,
    Shown(Shown),
}

/// An entry is shown if nothing of this hides it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    pub statuses: BTreeSet<AvailabilityStatus>,
    /// Labels that hide.
    pub hidden_by: BTreeSet<VisibilityLabel>,
    pub readable: Readable,
    /// Of the holder, as authors bear them: what "own specialty" is about.
    pub specialties: BTreeSet<String>,
}

/// Kinds of documents. Codes alone are compared: each is in J57, J66 once, and the class is never the sender's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readable {
    Every,
    Kinds(Arc<ReadableKinds>),
}

/// What a row of the habilitation matrix says; what it does not name is not read.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadableKinds {
    pub classes: BTreeMap<String, Reach>,
    /// Types that have a column of their own: it outdoes that of their class.
    pub types: BTreeMap<String, Reach>,
}

/// A cell of the habilitation matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    None,
    OwnSpecialty,
    Read,
}

/// What decides of one entry.
#[derive(Debug, Clone, Copy)]
pub struct EntryFacts<'a> {
    pub own: bool,
    pub status: AvailabilityStatus,
    /// Those in force, and those that last of what replaced it.
    pub labels: &'a BTreeSet<VisibilityLabel>,
    pub class_code: &'a str,
    pub type_code: &'a str,
    /// Of its authors.
    pub specialties: &'a BTreeSet<String>,
}

impl Visibility {
    /// None of a record: what is compiled where there is no permit, so that a refusal takes the way of an answer.
    pub fn nothing(holder: CallerId, at: Timestamp) -> Self {
        Self { holder, others: Others::Nothing, at }
    }

    pub fn shows(&self, entry: &EntryFacts<'_>) -> bool {
        self.shows_status(entry.status) && (entry.own || self.others.show(entry))
    }

    /// Deleted entries are outside for everybody whose permit does not say otherwise, own ones included (F.4-16).
    fn shows_status(&self, status: AvailabilityStatus) -> bool {
        status != AvailabilityStatus::Deleted || self.shows_deleted()
    }

    pub fn shows_deleted(&self) -> bool {
        matches!(&self.others, Others::Shown(shown) if shown.statuses.contains(&AvailabilityStatus::Deleted))
    }
}

impl Others {
    /// As a journal names documents: deleted ones too, for their deletion is among what was done.
    pub(super) fn of_every_status(self) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Shown(shown) => Self::Shown(Shown { statuses: AvailabilityStatus::ALL.into(), ..shown }),
        }
    }

    fn show(&self, entry: &EntryFacts<'_>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Shown(Shown { statuses, hidden_by, readable, specialties }) => {
                let is_readable = match readable.reach(entry.class_code, entry.type_code) {
                    Reach::Read => true,
                    Reach::OwnSpecialty => !specialties.is_disjoint(entry.specialties),
                    Reach::None => false,
                };
                is_readable && statuses.contains(&entry.status) && hidden_by.is_disjoint(entry.labels)
            }
        }
    }
}

impl Shown {
    /// Whatever was not deleted and bears none of these labels, of every class.
    pub(super) fn all_but(labels: &[VisibilityLabel]) -> Self {
        let hidden_by = labels.iter().copied().collect();
        let (statuses, specialties) = (listed_statuses(), BTreeSet::new());
        Self { statuses, hidden_by, readable: Readable::Every, specialties }
    }
}

impl Readable {
    pub fn nothing() -> Self {
        Self::Kinds(Arc::default())
    }

    pub fn reach(&self, class_code: &str, type_code: &str) -> Reach {
        match self {
            Self::Every => Reach::Read,
            Self::Kinds(kinds) => {
                let cell = kinds.types.get(type_code).or_else(|| kinds.classes.get(class_code));
                cell.copied().unwrap_or(Reach::None)
            }
        }
    }
}

/// What a search may list: everything but what was deleted (F.4-16).
pub(super) fn listed_statuses() -> BTreeSet<AvailabilityStatus> {
    AvailabilityStatus::ALL.into_iter().filter(|status| *status != AvailabilityStatus::Deleted).collect()
}
