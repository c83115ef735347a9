//! The load engine: so many clients, each one exchange after the other, for a time. Knows nothing of what they do.
//!
//! Closed loop: a client starts its next exchange when the last one is over. Open loop: exchanges have start times
//! at a fixed rate whatever the server does, and latency counts from that time, so that waiting behind a slow
//! server is measured instead of hidden (no coordinated omission).

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use super::figures::{Figures, Part};

#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) clients: usize,
    /// Before the measured time; its exchanges do not count, its errors do.
    pub(super) warm_up: Duration,
    pub(super) measured: Duration,
    pub(super) pace: Pace,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    Closed,
    Open { per_second: u32 },
}

impl Load {
    /// Runs `act` again and again in every client (its argument says which), and counts what ended in the
    /// measured time.
    pub(super) async fn run<A, F>(&self, act: A) -> anyhow::Result<Figures>
    where
        A: Fn(usize) -> F + Send + Sync + 'static,
        F: Future<Output = anyhow::Result<Part>> + Send,
    {
        let begin = Instant::now();
        let counted_from = begin + self.warm_up;
        let window = Window { counted_from, end: counted_from + self.measured };
        let starts = Arc::new(match self.pace {
            Pace::Closed => Starts::AtOnce,
            Pace::Open { per_second } => Starts::Scheduled(Mutex::new(schedule(begin, window.end, per_second))),
        });
        let act = Arc::new(act);
        let mut clients = JoinSet::new();
        for client in 0..self.clients {
            let (act, starts) = (Arc::clone(&act), Arc::clone(&starts));
            clients.spawn(async move { run_client(&starts, window, || act(client)).await });
        }
        let mut figures = Figures::over(self.measured);
        while let Some(client) = clients.join_next().await {
            figures.join(client?);
        }
        if let Starts::Scheduled(schedule) = &*starts {
            figures.unsent = schedule.lock().await.len();
        }
        Ok(figures)
    }
}

#[derive(Clone, Copy)]
struct Window {
    counted_from: Instant,
    end: Instant,
}

enum Starts {
    AtOnce,
    Scheduled(Mutex<UnboundedReceiver<Instant>>),
}

impl Starts {
    /// When the next exchange is to start, or was; waits for it.
    async fn next(&self, end: Instant) -> Option<Instant> {
        let start = match self {
            Self::AtOnce => Some(Instant::now()),
            // The lock is held while waiting: who waits longest goes first.
            Self::Scheduled(schedule) => {
                let mut schedule = schedule.lock().await;
                // What is overdue at the end stays in the queue, to be counted as unsent.
                if Instant::now() >= end { None } else { schedule.recv().await }
            }
        };
        start.filter(|_| Instant::now() < end)
    }
}

async fn run_client<F>(starts: &Starts, window: Window, act: impl Fn() -> F) -> Figures
where
    F: Future<Output = anyhow::Result<Part>>,
{
    let mut figures = Figures::default();
    while let Some(start) = starts.next(window.end).await {
        let outcome = tokio::time::timeout(ANSWER_TIMEOUT, act()).await;
        let done = Instant::now();
        match outcome.unwrap_or_else(|_| Err(anyhow!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))) {
            Ok(part) if (window.counted_from..window.end).contains(&done) => figures.count(part, done - start),
            Ok(_) => {}
            Err(error) => {
                figures.fail(&error);
                // A server that is gone refuses a hundred thousand times a second.
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
    figures
}

/// Gives out start times as they come. A thread of its own: the timer of the runtime counts whole milliseconds.
fn schedule(begin: Instant, end: Instant, per_second: u32) -> UnboundedReceiver<Instant> {
    let (starts, schedule) = unbounded_channel();
    std::thread::spawn(move || {
        for count in 0_u32.. {
            let start = begin + Duration::from_secs_f64(f64::from(count) / f64::from(per_second));
            if start >= end {
                break;
            }
            std::thread::sleep(start.saturating_duration_since(Instant::now()));
            if starts.send(start).is_err() {
                break;
            }
        }
    });
    schedule
}

const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pace: Pace) -> Load {
        Load { clients: 2, warm_up: Duration::from_millis(5), measured: Duration::from_millis(60), pace }
    }

    #[tokio::test]
    async fn a_closed_loop_goes_on_as_fast_as_it_is_answered() {
        let answer = |client| async move {
            tokio::task::yield_now().await;
            Ok(if client == 0 { "even" } else { "odd" })
        };
        let figures = load(Pace::Closed).run(answer).await.unwrap();
        assert_eq!((figures.errors, figures.unsent), (0, 0));
        assert_eq!(figures.parts().len(), 2);
    }

    #[tokio::test]
    async fn an_open_loop_keeps_its_rate() {
        let figures = load(Pace::Open { per_second: 500 }).run(|_| async { Ok("search") }).await.unwrap();
        // 60 ms of 500 a second, less what a busy machine delays.
        assert!((1..=33).contains(&figures.summary().count), "{:?}", figures.summary());
    }

    #[tokio::test]
    async fn an_open_loop_counts_the_wait_behind_a_slow_server() {
        let slow = |_| async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok("deposit")
        };
        let figures = load(Pace::Open { per_second: 2000 }).run(slow).await.unwrap();
        assert!(figures.summary().max_ms > 25.0, "{:?}", figures.summary());
        assert!(figures.unsent > 0);
    }

    #[tokio::test]
    async fn errors_are_counted_apart() {
        let figures = load(Pace::Closed).run(|_| async { Err(anyhow!("refused")) }).await.unwrap();
        assert_eq!(figures.summary().count, 0);
        assert!(figures.errors > 0);
        assert_eq!(figures.first_error.as_deref(), Some("refused"));
    }
}
