//! How much of one thing each key holds at one time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So much for each key. Keys that hold nothing are forgotten, so that there are no more keys than things held.
pub struct Shares<K> {
    each_max: u64,
    all_max: u64,
    held: Mutex<Held<K>>,
}

struct Held<K> {
    by_key: HashMap<K, u64>,
    by_all: u64,
}

/// Given back when dropped.
pub struct Share<K: Eq + Hash> {
    of: Arc<Shares<K>>,
    key: K,
    amount: u64,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    pub fn new(each_max: u64) -> Arc<Self> {
        Self::among(u64::MAX, each_max)
    }

    /// There are `all_max` for all keys, and none may come to hold more than an eighth of what is left: the more some
    /// have taken, the less anybody takes, and whoever has nothing yet gets one as long as there is one.
    pub fn among(all_max: u64, each_max: u64) -> Arc<Self> {
        Arc::new(Self { each_max, all_max, held: Mutex::new(Held { by_key: HashMap::new(), by_all: 0 }) })
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
    fn held(&self) -> MutexGuard<'_, Held<K>> {
        // No step under the lock leaves it half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Share<K> {
    /// Holds more; `false`, and as much as before, when that is more than the key may.
    pub fn grow(&mut self, by: u64) -> bool {
        let mut held = self.of.held();
        let before = held.by_key.get(&self.key).copied().unwrap_or(0);
        let left = self.of.all_max.saturating_sub(held.by_all);
        let each_max = self.of.each_max.min((left / SHARERS).max(1)).max(before);
        let Some(after) = before.checked_add(by).filter(|after| *after <= each_max && by <= left) else { return false };
        if after > before {
            held.by_key.insert(self.key.clone(), after);
            held.by_all += by;
            self.amount += by;
        }
        true
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.of.held();
        if let Some(amount) = held.by_key.get_mut(&self.key) {
            *amount -= self.amount;
            if *amount == 0 {
                held.by_key.remove(&self.key);
            }
        }
        held.by_all -= self.amount;
    }
}

/// Sixteen who each want all there is leave a sixth of it.
const SHARERS: u64 = 8;

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

    #[test]
    fn however_much_some_want_there_is_something_for_whoever_comes_next() {
        let shares = Shares::among(100, u64::MAX);
        let mut all = Vec::new();
        let greedy = |key: u8| -> Vec<_> { std::iter::from_fn(|| shares.take(&key, 1)).collect() };
        for key in 0..16 {
            all.push(greedy(key));
            assert!(!all[usize::from(key)].is_empty(), "{key}");
        }
        assert_eq!((all[0].len(), all.iter().map(Vec::len).max()), (11, Some(11)));
        assert!(shares.take(&99, 1).is_some());
        drop(all);
        assert_eq!(greedy(0).len(), 11);
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
            let shares = Shares::among(24, 10);
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
                let counted: BTreeMap<u8, u64> = shares.held().by_key.iter().map(|(key, sum)| (*key, *sum)).collect();
                prop_assert_eq!(&sums, &counted);
                prop_assert!(sums.values().all(|sum| *sum <= 10));
                let all: u64 = sums.values().sum();
                prop_assert!(all == shares.held().by_all && all <= 24);
            }
            drop(held);
            prop_assert!(shares.held().by_key.is_empty() && shares.held().by_all == 0);
        }
    }
}
