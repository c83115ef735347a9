//! Places for the requests of one kind: so many at one time, and of those so many for one caller.
//!
//! A caller is a certificate: one that asks without end finds its own places taken, not those of all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::sha::Sha256Hash;
use crate::refusal::{Refusal, Rule};

pub(super) struct InFlight {
    places: usize,
    places_per_caller: usize,
    taken: Mutex<Taken>,
}

/// By fingerprint; callers without a readable certificate, who get no further than their refusal, are one.
pub(super) type Holder = Option<Sha256Hash>;

/// Given back when dropped.
pub(super) struct Place {
    of: Arc<InFlight>,
    holder: Holder,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Nobody in here holds nothing.
    by_holder: HashMap<Holder, usize>,
}

impl InFlight {
    pub(super) fn new(places: usize, places_per_caller: usize) -> Arc<Self> {
        Arc::new(Self { places, places_per_caller, taken: Mutex::default() })
    }

    /// Errors: `Busy`.
    pub(super) fn enter(self: &Arc<Self>, holder: Holder) -> Result<Place, Refusal> {
        const EXPECTED: &str = "the same request again in a while";
        let mut taken = self.taken();
        if taken.all >= self.places {
            return Err(Refusal::new(Rule::Busy, "", "as many requests in flight as are let in", EXPECTED));
        }
        if taken.by_holder.get(&holder).is_some_and(|held| *held >= self.places_per_caller) {
            let found = "as many requests in flight as one certificate may have";
            return Err(Refusal::new(Rule::Busy, "", found, EXPECTED));
        }
        taken.all += 1;
        *taken.by_holder.entry(holder).or_default() += 1;
        Ok(Place { of: Arc::clone(self), holder })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // No step under the lock leaves it half done.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        taken.all -= 1;
        if let Some(held) = taken.by_holder.get_mut(&self.holder) {
            *held -= 1;
            if *held == 0 {
                taken.by_holder.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_leaves_places_to_the_others() {
        let lane = InFlight::new(3, 2);
        let (one, other) = (Some(Sha256Hash([1; 32])), Some(Sha256Hash([2; 32])));
        let first = lane.enter(one).unwrap();
        let _second = lane.enter(one).unwrap();
        assert_eq!(lane.enter(one).err().unwrap().rule, Rule::Busy);
        let third = lane.enter(other).unwrap();
        assert_eq!(lane.enter(None).err().unwrap().rule, Rule::Busy);
        drop((first, third));
        assert!(lane.enter(one).is_ok());
        assert_eq!(lane.taken().by_holder.len(), 1);
    }
}
