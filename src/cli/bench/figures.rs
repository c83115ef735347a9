//! What a load measured: latencies by part of the load, errors, and the time they were counted over.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// What one exchange was, so that a mixed load can be told apart afterwards.
pub(super) type Part = &'static str;

#[derive(Default)]
pub(super) struct Figures {
    latencies_us: BTreeMap<Part, Histogram<u64>>,
    measured: Duration,
    pub(super) errors: u64,
    /// One of the errors in words: the first is as good as any.
    pub(super) first_error: Option<String>,
    /// Open loop: exchanges whose time had come and that nobody was free to start.
    pub(super) unsent: usize,
}

/// The few numbers that a report shows of many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) max_ms: f64,
}

impl Figures {
    pub(super) fn over(measured: Duration) -> Self {
        Self { measured, ..Self::default() }
    }

    pub(super) fn count(&mut self, part: Part, latency: Duration) {
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        // It grows as far as it must, so that no latency is out of its range.
        let _ = self.latencies_us.entry(part).or_insert_with(histogram).record(latency_us);
    }

    pub(super) fn fail(&mut self, error: &anyhow::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| format!("{error:#}"));
    }

    /// Adds what another client measured at the same time.
    pub(super) fn join(&mut self, other: Self) {
        for (part, latencies) in other.latencies_us {
            let _ = self.latencies_us.entry(part).or_insert_with(histogram).add(latencies);
        }
        self.errors += other.errors;
        self.unsent += other.unsent;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    /// Adds what was measured in another round.
    pub(super) fn append(&mut self, other: Self) {
        self.measured += other.measured;
        self.join(other);
    }

    pub(super) fn summary(&self) -> Summary {
        let mut all = histogram();
        for latencies in self.latencies_us.values() {
            let _ = all.add(latencies);
        }
        self.summarise(&all)
    }

    /// One summary for each part of a load that has several; none for a load that is all alike.
    pub(super) fn parts(&self) -> Vec<(Part, Summary)> {
        let parts = self.latencies_us.iter().filter(|_| self.latencies_us.len() > 1);
        parts.map(|(part, latencies)| (*part, self.summarise(latencies))).collect()
    }

    fn summarise(&self, latencies_us: &Histogram<u64>) -> Summary {
        let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1e3;
        let quantile = |q| ms(latencies_us.value_at_quantile(q));
        let count = latencies_us.len();
        let seconds = self.measured.as_secs_f64().max(f64::MIN_POSITIVE);
        Summary {
            count,
            per_second: f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds,
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            max_ms: ms(latencies_us.max()),
        }
    }
}

#[expect(clippy::expect_used, reason = "0 to 5 digits are in range")]
fn histogram() -> Histogram<u64> {
    Histogram::new(SIGNIFICANT_DIGITS).expect("a number of digits in range")
}

const SIGNIFICANT_DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(part: Part, latencies_ms: impl IntoIterator<Item = u64>) -> Figures {
        let mut figures = Figures::over(Duration::from_secs(2));
        latencies_ms.into_iter().for_each(|ms| figures.count(part, Duration::from_millis(ms)));
        figures
    }

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= expected / 500.0
    }

    #[test]
    fn percentiles_are_those_of_the_latencies() {
        let summary = figures("search", 1..=1000).summary();
        assert!(close(summary.p50_ms, 500.0) && close(summary.p99_ms, 990.0), "{summary:?}");
        assert!(close(summary.p999_ms, 999.0) && close(summary.max_ms, 1000.0), "{summary:?}");
        assert!(close(summary.per_second, 500.0), "{summary:?}");
    }

    #[test]
    fn clients_share_the_time_and_rounds_add_to_it() {
        let mut clients = figures("search", [1, 1]);
        clients.join(figures("search", [1, 1]));
        assert!(close(clients.summary().per_second, 2.0));
        let mut rounds = figures("search", [1, 1]);
        rounds.append(figures("search", [1, 1]));
        assert!(close(rounds.summary().per_second, 1.0));
    }

    #[test]
    fn parts_are_told_apart_only_where_there_are_several() {
        let mut figures = figures("deposit", [8]);
        assert!(figures.parts().is_empty());
        figures.count("search", Duration::from_millis(2));
        let parts: Vec<_> = figures.parts().into_iter().map(|(part, summary)| (part, summary.count)).collect();
        assert_eq!(parts, [("deposit", 1), ("search", 1)]);
        assert_eq!(figures.summary().count, 2);
    }

    #[test]
    fn the_first_error_is_kept_and_all_are_counted() {
        let mut figures = Figures::default();
        figures.fail(&anyhow::anyhow!("first"));
        figures.fail(&anyhow::anyhow!("second"));
        assert_eq!((figures.errors, figures.first_error.as_deref()), (2, Some("first")));
    }

    #[test]
    fn nothing_measured_is_zero() {
        let summary = Figures::default().summary();
        assert_eq!((summary.count, summary.max_ms), (0, 0.0));
        assert!(summary.per_second == 0.0);
    }
}
