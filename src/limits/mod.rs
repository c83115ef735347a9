//! What one certificate, one structure or one address may have of what is there for all.
//!
//! Three counters do it: [`shares`] (so much at one time), [`turns`] (the same, waited for) and [`rates`] (so often). [`ration`] puts them in the hands
//! of holders, [`turnstile`] is what every request of every face goes through, [`origin`] is an address of a caller
//! who has not shown a certificate yet. Over a limit of their own, callers are told 429 (`TooManyRequests`);
//! where a limit of the whole gateway is reached, 503 (`Busy`): only the second is nobody's fault.
//! Refuses to know what requests mean and how refusals are rendered. Source: contract 7 (5).

pub mod origin;
pub mod rates;
pub mod ration;
pub mod shares;
pub mod turns;
pub mod turnstile;

/// Counts a limit that was reached, under the name of its setting.
pub fn count_limited(setting: &'static str) {
    metrics::counter!("carnet_limited_total", "limit" => setting).increment(1);
}
