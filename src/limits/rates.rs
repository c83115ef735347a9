//! How often each key comes: the cell rate algorithm of `governor`, with keys that are forgotten.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// So many a second for each key, and as many at once: after a second's rest a key has all of it again.
///
/// Keys that had their rest are forgotten every second. Should more than `KEYS_MAX` be busy nevertheless, further
/// ones pass uncounted: what all of them together may do is bounded elsewhere, and memory is bounded here.
pub struct Rates<K: Eq + Hash + Clone, C: Clock = MonotonicClock> {
    per_second: NonZeroU32,
    limiter: RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    pruned: Mutex<C::Instant>,
}

impl<K: Eq + Hash + Clone> Rates<K> {
    pub fn new(per_second: NonZeroU32) -> Self {
        Self::with_clock(per_second, MonotonicClock)
    }
}

impl<K: Eq + Hash + Clone, C: Clock + Clone> Rates<K, C> {
    fn with_clock(per_second: NonZeroU32, clock: C) -> Self {
        let limiter = RateLimiter::hashmap_with_clock(Quota::per_second(per_second), clock.clone());
        let pruned = Mutex::new(clock.now());
        Self { per_second, limiter, clock, pruned }
    }

    /// Counts one; `false`, and not counted, when it comes too soon.
    pub fn pass(&self, key: &K) -> bool {
        self.prune();
        self.limiter.len() >= KEYS_MAX || self.limiter.check_key(key).is_ok()
    }

    pub fn per_second(&self) -> u64 {
        self.per_second.get().into()
    }

    fn prune(&self) {
        let now = self.clock.now();
        // An instant is whole whatever panicked beside it.
        let mut pruned = self.pruned.lock().unwrap_or_else(PoisonError::into_inner);
        if Duration::from(now.duration_since(*pruned)) >= PRUNE_INTERVAL {
            *pruned = now;
            drop(pruned);
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
    }
}

const PRUNE_INTERVAL: Duration = Duration::from_secs(1);
/// A few megabytes.
const KEYS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    use super::*;

    fn rates<K: Eq + Hash + Clone>(per_second: u32) -> (Rates<K, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Rates::with_clock(NonZeroU32::new(per_second).unwrap(), clock.clone()), clock)
    }

    #[test]
    fn after_a_second_all_of_it_is_there_again_and_one_key_costs_another_nothing() {
        let (rates, clock) = rates(5);
        let passed = |key: char| (0..9).filter(|_| rates.pass(&key)).count();
        assert_eq!((passed('a'), passed('a'), passed('b')), (5, 0, 5));
        clock.advance(Duration::from_millis(200));
        assert_eq!(passed('a'), 1);
        clock.advance(Duration::from_secs(1));
        assert_eq!(passed('a'), 5);
    }

    #[test]
    fn keys_that_had_their_rest_are_forgotten() {
        let (rates, clock) = rates(10);
        (0..1_000).for_each(|key| assert!(rates.pass(&key)));
        assert_eq!(rates.limiter.len(), 1_000);
        clock.advance(Duration::from_secs(2));
        assert!(rates.pass(&0));
        assert_eq!(rates.limiter.len(), 1);
    }

    #[test]
    fn a_flood_of_keys_is_not_kept() {
        let (rates, clock) = rates(1);
        (0..2 * KEYS_MAX).for_each(|key| assert!(rates.pass(&key)));
        assert_eq!(rates.limiter.len(), KEYS_MAX);
        clock.advance(Duration::from_secs(2));
        rates.pass(&0);
        assert_eq!(rates.limiter.len(), 1);
    }

    proptest! {
        /// In every window, as many as came at once and as the window is long: whatever the pattern, with other
        /// keys between and with pruning.
        #[test]
        fn no_window_has_more_than_the_rate(
            per_second in 1..50_u32,
            arrivals in prop::collection::vec((0..400_u64, 0..3_u8), 1..300),
        ) {
            let (rates, clock) = rates(per_second);
            let (mut now_ms, mut passed) = (0_u64, Vec::new());
            for (pause_ms, key) in arrivals {
                clock.advance(Duration::from_millis(pause_ms));
                now_ms += pause_ms;
                if rates.pass(&key) {
                    passed.push((key, now_ms));
                }
            }
            for key in 0..3 {
                let times: Vec<u64> = passed.iter().filter(|(of, _)| *of == key).map(|(_, at)| *at).collect();
                for (first, from) in times.iter().enumerate() {
                    for (last, to) in times.iter().enumerate().skip(first) {
                        let (count, allowed) = ((last - first + 1) as u64, u64::from(per_second) * (1_000 + to - from));
                        prop_assert!(count * 1_000 <= allowed, "{times:?}");
                    }
                }
            }
        }
    }
}
