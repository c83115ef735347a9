//! Counts what each read asks the database, as the gateway tells its metrics.

use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// The trips of reads since they were last taken, by operation.
#[derive(Clone, Default)]
pub(super) struct Trips(Arc<Mutex<Vec<(String, u64)>>>);

struct Operation {
    name: String,
    trips: Trips,
}

impl Trips {
    pub(super) fn take(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.0.lock().expect("no panic meanwhile"))
    }
}

impl HistogramFn for Operation {
    fn record(&self, value: f64) {
        // A handful.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        self.trips.0.lock().expect("no panic meanwhile").push((self.name.clone(), value as u64));
    }
}

impl Recorder for Trips {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if key.name() != "carnet_store_read_trips" {
            return Histogram::noop();
        }
        let name = key.labels().map(|label| label.value().to_owned()).collect();
        Histogram::from_arc(Arc::new(Operation { name, trips: self.clone() }))
    }
}
