//! What every request goes through, whatever face it comes to: its holder's limits, then those of the gateway.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::count_limited;
use super::ration::{Holder, Limit, Pace, Portion, Ration};
use crate::config::Limits;
use crate::refusal::{Refusal, Rule};

/// How many of a kind may be in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Costs nothing and asks for no rights: a client certificate is enough.
    Open,
    Reads,
    Deposits,
}

pub struct Turnstile {
    pace: Pace,
    reads: Places,
    deposits: Places,
    body_bytes: Arc<Ration>,
    body_bytes_max: u64,
}

/// A request that is let in.
#[derive(Default)]
pub struct Entered {
    /// To be kept until the last byte of the answer has left.
    pub place: Option<Place>,
    /// To be kept until the body has been read.
    pub body_bytes: Option<BodyBytes>,
}

/// A place among those in flight.
pub struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_holder: Portion,
}

/// What a body holds while it arrives.
pub struct BodyBytes {
    portion: Portion,
    /// Held and not arrived yet.
    ahead: u64,
}

/// Places of a lane: so many for all, so many for one.
struct Places {
    setting: &'static str,
    free: Arc<Semaphore>,
    ration: Arc<Ration>,
}

impl Turnstile {
    pub fn new(limits: &Limits) -> Self {
        macro_rules! limit {
            ($setting:ident) => {
                Limit { setting: stringify!($setting), max: limits.$setting }
            };
        }
        let reads = Ration::new(
            "reads in flight",
            limit!(reads_in_flight_per_certificate_max),
            limit!(reads_in_flight_per_structure_max),
        );
        let deposits = Ration::new(
            "deposits in flight",
            limit!(deposits_in_flight_per_certificate_max),
            limit!(deposits_in_flight_per_structure_max),
        );
        let body_bytes = Ration::new(
            "bytes of bodies on their way",
            limit!(body_bytes_in_flight_per_certificate_max),
            limit!(body_bytes_in_flight_per_structure_max),
        );
        Self {
            pace: Pace::new(limit!(requests_per_second_per_certificate), limit!(requests_per_second_per_structure)),
            reads: Places::new("reads_in_flight_max", limits.reads_in_flight_max, reads),
            deposits: Places::new("deposits_in_flight_max", limits.deposits_in_flight_max, deposits),
            body_bytes,
            body_bytes_max: limits.body_bytes_max,
        }
    }

    /// Counts a request, whatever becomes of it. Errors: `TooManyRequests`.
    pub fn pass(&self, holder: &Holder) -> Result<(), Refusal> {
        self.pace.pass(holder)
    }

    /// Lets a request in whose body has `announced` bytes, as far as one knows.
    ///
    /// Errors: `TooManyRequests` by a limit of the holder; `Busy` when all places are taken.
    pub fn enter(&self, holder: &Holder, lane: Lane, announced: Option<u64>) -> Result<Entered, Refusal> {
        let place = match lane {
            Lane::Open => None,
            Lane::Reads => Some(self.reads.enter(holder)?),
            Lane::Deposits => Some(self.deposits.enter(holder)?),
        };
        let body_bytes = announced.map(|announced| {
            // What is too long for anybody is refused for that, once it is read.
            let ahead = if announced > self.body_bytes_max { 0 } else { announced };
            self.body_bytes.take(holder, ahead).map(|portion| BodyBytes { portion, ahead })
        });
        Ok(Entered { place, body_bytes: body_bytes.transpose()? })
    }
}

impl BodyBytes {
    /// So much arrived. Errors: `TooManyRequests` where it was not announced and is too much.
    pub fn arrived(&mut self, bytes: u64) -> Result<(), Refusal> {
        let unannounced = bytes.saturating_sub(self.ahead);
        self.ahead -= bytes - unannounced;
        if unannounced == 0 { Ok(()) } else { self.portion.grow(unannounced) }
    }
}

impl Places {
    fn new(setting: &'static str, count: usize, ration: Arc<Ration>) -> Self {
        Self { setting, free: Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))), ration }
    }

    fn enter(&self, holder: &Holder) -> Result<Place, Refusal> {
        let of_holder = self.ration.take(holder, 1)?;
        let of_all = Arc::clone(&self.free).try_acquire_owned().map_err(|_| {
            count_limited(self.setting);
            let found = format!("as many requests in flight as are let in (limits.{})", self.setting);
            Refusal::new(Rule::Busy, "", found, "the same request again after Retry-After")
        })?;
        Ok(Place { _of_all: of_all, _of_holder: of_holder })
    }
}
