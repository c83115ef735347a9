//! Places that one waits for, of which no key has more than a share.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many places for all, and at most a quarter of them for one key, whose further ones wait behind each other and in
/// nobody else's way.
#[derive(Debug)]
pub struct Turns<K> {
    all: Arc<Semaphore>,
    each_max: usize,
    /// As long as somebody of the key holds a place or waits for one.
    of_each: Mutex<HashMap<K, Weak<Semaphore>>>,
}

/// Given back when dropped.
pub struct Turn {
    _of_key: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl<K: Eq + Hash + Clone> Turns<K> {
    pub fn new(all_max: usize) -> Self {
        let all_max = all_max.min(Semaphore::MAX_PERMITS);
        let all = Arc::new(Semaphore::new(all_max));
        Self { all, each_max: (all_max / SHARERS).max(1), of_each: Mutex::default() }
    }

    /// Waits for a place; the caller bounds for how long.
    pub async fn take(&self, key: &K) -> Option<Turn> {
        // Nobody closes these semaphores.
        let of_key = self.of(key).acquire_owned().await.ok()?;
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Turn { _of_key: of_key, _of_all: of_all })
    }

    fn of(&self, key: &K) -> Arc<Semaphore> {
        // No step under the lock leaves it half done.
        let mut of_each = self.of_each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = of_each.get(key).and_then(Weak::upgrade) {
            return places;
        }
        if of_each.len() >= KEYS_KEPT_MAX {
            of_each.retain(|_, places| places.strong_count() > 0);
        }
        let places = Arc::new(Semaphore::new(self.each_max));
        of_each.insert(key.clone(), Arc::downgrade(&places));
        places
    }
}

const SHARERS: usize = 4;
/// Those that nobody uses are forgotten when there are so many.
const KEYS_KEPT_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_key_waits_for_itself_and_another_does_not() {
        let turns = Turns::new(8);
        let held = [turns.take(&'a').await.unwrap(), turns.take(&'a').await.unwrap()];
        let mut third = std::pin::pin!(turns.take(&'a'));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(turns.take(&'b').now_or_never().is_some());
        drop(held);
        assert!(third.await.is_some());
    }

    #[tokio::test]
    async fn keys_that_hold_nothing_are_forgotten() {
        let turns = Turns::new(1);
        for key in 0..3 * KEYS_KEPT_MAX {
            drop(turns.take(&key).await);
        }
        assert!(turns.of_each.lock().unwrap().len() <= KEYS_KEPT_MAX);
    }
}
