//! The only sources of "now" and of new identifiers, so that a test can hold both still.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use uuid::Uuid;

/// Where instants come from: the machine, or a test that moves time by hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    /// Microseconds since 1970 UTC, shared with whoever moves it.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands still at `at` until its counter is changed.
    pub fn fixed(at: Timestamp) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(at.as_microsecond())))
    }

    /// The present instant, to the microsecond: the precision that the store keeps.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now(&self) -> Timestamp {
        let us = match self {
            Self::System => Timestamp::now().as_microsecond(),
            Self::Fixed(us) => us.load(Ordering::Relaxed),
        };
        Timestamp::from_microsecond(us).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// A new identifier that sorts by time of birth, so that indexes grow at their end.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn new_uuid() -> Uuid {
    Uuid::now_v7()
}
