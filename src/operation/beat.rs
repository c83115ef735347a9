//! When an answer that hides something leaves: on a beat that is counted from its request.
//!
//! What is absent, denied and hidden takes the same trips to the database (`Hidden and absent` in ARCHITECTURE), but not
//! the same work: a list is read, a decision is made, a line names a record. That is 20 to 300 us, and `carnet bench timing`
//! finds it. To make each step equal would have to be done again for each step to come; a beat is longer than all of
//! them, and hides what nobody has thought of.
//!
//! A list that shows something may hide more beside, which takes 2 us a document: it leaves on a finer beat.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::frame::Attempt;
use super::gateway::Gateway;
use crate::clock::Clock;

impl Gateway {
    /// Waits for the next beat of an attempt whose line is written.
    pub(super) async fn keep_beat(&self, attempt: &Attempt, shows: Shows) {
        // Where time is held by hand, nothing ends by waiting.
        if let Clock::System = self.clock {
            sleep_until(attempt.begun + next_beat(shows.beat(), attempt.begun.elapsed())).await;
        }
    }
}

/// What an answer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    Nothing,
    /// A page of something.
    Some,
}

impl Shows {
    pub(super) fn of<T>(page: &[T]) -> Self {
        if page.is_empty() { Self::Nothing } else { Self::Some }
    }

    fn beat(self) -> Duration {
        match self {
            Self::Nothing => BEAT,
            Self::Some => FINE_BEAT,
        }
    }
}

/// The first whole beat after `elapsed`.
fn next_beat(beat: Duration, elapsed: Duration) -> Duration {
    let beats = elapsed.as_nanos() / beat.as_nanos() + 1;
    beat.saturating_mul(u32::try_from(beats).unwrap_or(u32::MAX))
}

/// By the metronome: the timer of the runtime sleeps for whole milliseconds, counted from when it goes to sleep, and the
/// fraction that this leaves tells how long the work took.
async fn sleep_until(instant: Instant) {
    static METRONOME: LazyLock<Option<Sender<Sleeper>>> = LazyLock::new(start_metronome);
    let (wake, woken) = oneshot::channel();
    let sent = METRONOME.as_ref().is_some_and(|sleepers| sleepers.send(Sleeper { instant, wake }).is_ok());
    if !sent || woken.await.is_err() {
        // No thread could be had: the worse timer is better than none.
        tokio::time::sleep_until(instant.into()).await;
    }
}

struct Sleeper {
    instant: Instant,
    wake: oneshot::Sender<()>,
}

/// One thread for the process, as long as it lives.
fn start_metronome() -> Option<Sender<Sleeper>> {
    let (sleepers, coming) = channel();
    std::thread::Builder::new().name("carnet-metronome".to_owned()).spawn(move || wake_all(&coming)).ok()?;
    Some(sleepers)
}

fn wake_all(coming: &Receiver<Sleeper>) {
    let mut asleep = BTreeMap::new();
    for serial in 0_u64.. {
        let came = match asleep.first_key_value() {
            Some(((instant, _), _)) => coming.recv_timeout(Instant::saturating_duration_since(instant, Instant::now())),
            None => coming.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match came {
            Ok(Sleeper { instant, wake }) => drop(asleep.insert((instant, serial), wake)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        while let Some(first) = asleep.first_entry().filter(|first| first.key().0 <= now) {
            // Whoever hung up is not woken.
            let _ = first.remove().send(());
        }
    }
}

/// Longer than a read with its sync takes, as a rule; shorter than anybody notices. Where more takes longer, it leaves
/// on the second beat, and which one says more of the load than of the record.
const BEAT: Duration = Duration::from_millis(25);

/// Longer than a short page takes with a thousand hidden documents beside it. What takes longer leaves on a later one.
const FINE_BEAT: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use proptest::prelude::*;

    #[test]
    fn whatever_took_less_than_a_beat_leaves_at_its_end() {
        for elapsed_us in [0, 300, 1_500, 24_999] {
            assert_eq!(next_beat(BEAT, Duration::from_micros(elapsed_us)), BEAT);
        }
        assert_eq!(next_beat(BEAT, BEAT), BEAT * 2);
    }

    #[tokio::test]
    async fn everybody_is_woken_in_their_turn_and_not_before() {
        let begin = Instant::now();
        let sleepers = [7_u32, 3, 5, 3, 0].map(|ms| async move {
            let instant = begin + Duration::from_millis(ms.into());
            sleep_until(instant).await;
            let woken = Instant::now();
            assert!(woken >= instant, "{ms}");
            woken
        });
        let [seven, three, five, ..] = *join_all(sleepers).await else { panic!("five sleepers") };
        assert!(three <= five && five <= seven);
    }

    proptest! {
        #[test]
        fn a_beat_is_ahead_and_less_than_one_away(elapsed_us in 0_u64..1 << 36) {
            let elapsed = Duration::from_micros(elapsed_us);
            for beat in [BEAT, FINE_BEAT] {
                let next = next_beat(beat, elapsed);
                prop_assert!(next > elapsed && next.saturating_sub(elapsed) <= beat);
                prop_assert_eq!(next.as_nanos() % beat.as_nanos(), 0);
            }
        }
    }
}
