//! What a search asks for. Alternatives inside a list are "or"; the lists among themselves are "and", and
//! so are the bounds inside a list of times.

use jiff::Timestamp;

use super::ids::LogicalId;
use super::ins::Ins;
use super::status::AvailabilityStatus;

/// Criteria of ITI-67; also what the stored queries of ITI-18 compile to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Criteria {
    pub patient: Option<Ins>,
    pub logical_ids: Vec<LogicalId>,
    /// uniqueId or entryUUID in URN form, whichever matches (D.6).
    pub identifiers: Vec<String>,
    pub statuses: Vec<AvailabilityStatus>,
    pub classes: Vec<CodeCriterion>,
    pub types: Vec<CodeCriterion>,
    pub formats: Vec<CodeCriterion>,
    pub facilities: Vec<CodeCriterion>,
    pub settings: Vec<CodeCriterion>,
    pub events: Vec<CodeCriterion>,
    pub labels: Vec<CodeCriterion>,
    pub author_ids: Vec<String>,
    pub author_families: Vec<String>,
    pub author_givens: Vec<String>,
    pub reference_ids: Vec<String>,
    pub creation: Vec<TimeCriterion>,
    /// Overlap with serviceStartTime..serviceStopTime.
    pub period: Vec<TimeCriterion>,
    pub service_start: Vec<TimeCriterion>,
    pub service_stop: Vec<TimeCriterion>,
    pub registered: Vec<TimeCriterion>,
    pub sort: Vec<(SortKey, Direction)>,
    pub page: Page,
}

/// `system|code`, `code` of any system, `|code` is read as any system too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeCriterion {
    pub system: Option<String>,
    pub code: String,
}

/// One bound on an instant, or an interval to overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeCriterion {
    /// The value's interval lies within `from..to` (FHIR `eq`).
    Within { from: Timestamp, to: Timestamp },
    /// It does not (`ne`).
    NotWithin { from: Timestamp, to: Timestamp },
    /// Part of the value's interval is at or after this instant (`ge`, `gt`).
    AtOrAfter(Timestamp),
    /// The value's interval starts at or after this instant (`sa`).
    After(Timestamp),
    /// Part of the value's interval is before this instant (`lt`, `le`).
    Before(Timestamp),
    /// The value's interval ends at or before this instant (`eb`).
    EndsBefore(Timestamp),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    Creation,
    ServiceStart,
    Registered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

/// Which slice of the result. Pages are cut by offset in a stable order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// 0: the total alone.
    pub size: u32,
    pub offset: u64,
}

impl Default for Page {
    fn default() -> Self {
        Self { size: 50, offset: 0 }
    }
}

impl Criteria {
    /// Whether the search names one record, or one entry of one: a search over several records does not exist,
    /// for what it leaves out would tell which of them the caller may not see.
    pub fn is_anchored(&self) -> bool {
        self.patient.is_some() || self.identifiers.len() + self.logical_ids.len() == 1
    }
}
