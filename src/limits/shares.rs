//! How much of one thing each key holds at one time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So much for each key. Keys that hold nothing are forgotten, so that there are no more keys than things held.
pub struct Shares<K> {
    each_max: u64,
    held: Mutex<HashMap<K, u64>>,
}

/// Given back when dropped.
pub struct Share<K: Eq + Hash> {
    of: Arc<Shares<K>>,
    key: K,
    amount: u64,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    pub fn new(each_max: u64) -> Arc<Self> {
        Arc::new(Self { each_max, held: Mutex::default() })
    }

    /// `None` when the key would hold more than it may.
    pub fn take(self: &Arc<Self>, key: &K, amount: u64) -> Option<Share<K>> {
        let mut share = Share { of: Arc::clone(self), key: key.clone(), amount: 0 };
        share.grow(amount).then_some(share)
    }

    pub fn each_max(&self) -> u64 {
        self.each_max
    }
}

impl<K> Shares<K> {
    fn held(&self) -> MutexGuard<'_, HashMap<K, u64>> {
        // No step under the lock leaves it half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Share<K> {
    /// Holds more; `false`, and as much as before, when that is more than the key may.
    pub fn grow(&mut self, by: u64) -> bool {
        let mut held = self.of.held();
        let before = held.get(&self.key).copied().unwrap_or(0);
        match before.checked_add(by).filter(|after| *after <= self.of.each_max) {
            Some(0) => {}
            Some(after) => drop(held.insert(self.key.clone(), after)),
            None => return false,
        }
        self.amount += by;
        true
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.of.held();
        if let Some(amount) = held.get_mut(&self.key) {
            *amount -= self.amount;
            if *amount == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_key_leaves_the_others_theirs() {
        let shares = Shares::new(2);
        let (first, _second) = (shares.take(&'a', 1).unwrap(), shares.take(&'a', 1).unwrap());
        assert!(shares.take(&'a', 1).is_none());
        assert!(shares.take(&'b', 2).is_some());
        drop(first);
        assert!(shares.take(&'a', 1).is_some());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Take(u8, u64),
        Grow(usize, u64),
        Drop(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..4_u8, 0..8_u64).prop_map(|(key, amount)| Step::Take(key, amount)),
            (any::<usize>(), 0..8_u64).prop_map(|(which, by)| Step::Grow(which, by)),
            any::<usize>().prop_map(Step::Drop),
        ]
    }

    proptest! {
        #[test]
        fn nobody_ever_holds_more_than_the_maximum_and_nothing_is_lost(steps in prop::collection::vec(step(), 0..200)) {
            let shares = Shares::new(10);
            let mut held: Vec<Share<u8>> = Vec::new();
            for step in steps {
                match step {
                    Step::Take(key, amount) => held.extend(shares.take(&key, amount)),
                    Step::Grow(which, by) if !held.is_empty() => {
                        let which = which % held.len();
                        held[which].grow(by);
                    }
                    Step::Drop(which) if !held.is_empty() => drop(held.swap_remove(which % held.len())),
                    Step::Grow(..) | Step::Drop(..) => {}
                }
                let mut sums: BTreeMap<u8, u64> = BTreeMap::new();
                for share in &held {
                    *sums.entry(share.key).or_default() += share.amount;
                }
                sums.retain(|_, sum| *sum > 0);
                let counted: BTreeMap<u8, u64> = shares.held().iter().map(|(key, sum)| (*key, *sum)).collect();
                prop_assert_eq!(&sums, &counted);
                prop_assert!(sums.values().all(|sum| *sum <= 10));
            }
            drop(held);
            prop_assert!(shares.held().is_empty());
        }
    }
}
