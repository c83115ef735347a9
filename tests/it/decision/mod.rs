//! The decision as tables that a doctor can read, held against the reviewed copies in `tests/decision/`.
//!
//! `CARNET_DECISION=write cargo test --test it decision` writes them anew; the difference is what a review reads.

mod every;
mod list;
mod matrix;
mod phrases;
mod world;

use super::support::reviewed::{self, table};

fn compare(name: &str, made: &str) {
    reviewed::compare(&format!("decision/{name}"), made);
}
