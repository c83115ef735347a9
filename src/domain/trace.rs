//! What a reader of the journal asks for. Lists among themselves are "and", values inside one are "or".

use jiff::Timestamp;

use super::criteria::{Direction, Page, TimeCriterion};
use super::ids::LogicalId;
use super::ins::Ins;

/// Criteria of `GET /AuditEvent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceCriteria {
    /// None: the caller's own lines, whosever record they are about.
    pub patient: Option<Ins>,
    pub dates: Vec<TimeCriterion>,
    /// National numbers of who acted.
    pub agents: Vec<String>,
    /// Lines that name one of these documents.
    pub documents: Vec<LogicalId>,
    /// Words of the journal for what was done; the empty list excludes nothing.
    pub actions: Vec<String>,
    pub direction: Direction,
    pub page: Page,
    /// Only lines of before: reading writes a line of its own, which must not move the pages.
    pub before: Option<Timestamp>,
}

impl Default for TraceCriteria {
    /// Newest first.
    fn default() -> Self {
        Self {
            patient: None,
            dates: Vec::new(),
            agents: Vec::new(),
            documents: Vec::new(),
            actions: Vec::new(),
            direction: Direction::Descending,
            page: Page::default(),
            before: None,
        }
    }
}
