//! Which entries of a record a permit covers.
//!
//! `store` compiles a [`Visibility`] into SQL in one place, for searches, counts, single reads and associations
//! alike: nothing is filtered after a query. [`Visibility::shows`] says the same of one entry; a test of the
//! compiler holds the two against each other for every combination. Source: F.4 (13 to 16).

use std::collections::BTreeSet;
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
}

/// Classes of documents. The class alone is compared: each code is in J57 once, and the class is never the sender's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readable {
    Every,
    Classes(Arc<BTreeSet<String>>),
}

/// What decides of one entry.
#[derive(Debug, Clone, Copy)]
pub struct EntryFacts<'a> {
    pub own: bool,
    pub status: AvailabilityStatus,
    /// Those in force.
    pub labels: &'a BTreeSet<VisibilityLabel>,
    pub class_code: &'a str,
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
    fn show(&self, entry: &EntryFacts<'_>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Shown(Shown { statuses, hidden_by, readable }) => {
                statuses.contains(&entry.status)
                    && hidden_by.is_disjoint(entry.labels)
                    && readable.contains(entry.class_code)
            }
        }
    }
}

impl Shown {
    /// Whatever was not deleted and bears none of these labels, of every class.
    pub(super) fn all_but(labels: &[VisibilityLabel]) -> Self {
        let hidden_by = labels.iter().copied().collect();
        Self { statuses: listed_statuses(), hidden_by, readable: Readable::Every }
    }
}

impl Readable {
    pub fn nothing() -> Self {
        Self::Classes(Arc::default())
    }

    pub fn contains(&self, class_code: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Classes(classes) => classes.contains(class_code),
        }
    }
}

/// What a search may list: everything but what was deleted (F.4-16).
pub(super) fn listed_statuses() -> BTreeSet<AvailabilityStatus> {
    AvailabilityStatus::ALL.into_iter().filter(|status| *status != AvailabilityStatus::Deleted).collect()
}
