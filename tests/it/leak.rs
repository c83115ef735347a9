//! The leak oracle: what an outsider may not see changes no byte of any answer.
//!
//! For a generated record, two stores are told the same, but that the one lacks every document that the decision hides
//! from the outsider. Then the outsider asks both the same through the router. The answers must be equal: status,
//! headers and body, but for the id of the answer, and ids that each store gave to one visible thing. Both live under
//! one clock, so that instants are compared as they are. How often each read asked the database must be equal as well:
//! what is hidden takes the way of what is absent.
//!
//! One question is left out on purpose: a deposit under the unique id of a hidden document. It is refused as a duplicate
//! (409), for unique ids are unique for ever and over all records (D.2; XDSDuplicateUniqueIdInRegistry). That tells
//! whoever holds the document, for nobody else knows its id, that it was deposited here: not to whom it belongs, nor
//! who may see it, nor whether it is hidden. Its test is in `access.rs`.
//!
//! So is what others are refused: who reads a whole journal is told of refusals (R1111-43), by lines that name no
//! document. Somebody else's vain attempt on a hidden document leaves one there, as on any other; where the document
//! never was, the attempt was at no record. Archived and deleted documents are not among the generated ones: no
//! operation makes them yet.
//!
//! `CARNET_LEAK_PAIRS=100000 cargo test --test it leak` runs for longer.

mod comparison;
mod examine;
mod message;
mod outsider;
mod plot;
mod record;
mod request;
mod trips;
mod world;

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use tokio::runtime::{Builder, Runtime};

use self::examine::Defect;
use self::record::{Pair, pair};
use self::world::Worlds;

#[test]
fn what_is_hidden_changes_no_byte_of_any_answer() {
    let pairs = std::env::var_os("CARNET_LEAK_PAIRS").map_or(PAIRS, |number| {
        number.to_str().and_then(|number| number.parse().ok()).expect("CARNET_LEAK_PAIRS: a number")
    });
    let threads: Vec<_> =
        (0..THREADS).map(|_| std::thread::spawn(move || Oracle::open().run(pairs / THREADS, Defect::None))).collect();
    for thread in threads {
        if let Err(error) = thread.join().expect("a runner") {
            panic!("{error}");
        }
    }
}

#[test]
fn a_document_that_is_missing_without_being_hidden_is_found_and_told_alone() {
    let found = Oracle::open().run(PAIRS, Defect::OneTooFew);
    let Some(TestError::Fail(reason, pair)) = found.err().map(|found| *found) else {
        panic!("the oracle sees nothing")
    };
    assert_eq!((pair.documents.len(), pair.asks.len()), (1, 1), "{reason}: {pair:?}");
}

struct Oracle {
    runtime: Runtime,
    worlds: Worlds,
}

impl Oracle {
    fn open() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let worlds = runtime.block_on(Worlds::open());
        Self { runtime, worlds }
    }

    fn run(&self, pairs: u32, defect: Defect) -> Result<(), Box<TestError<Pair>>> {
        let config = Config { cases: pairs, failure_persistence: None, max_shrink_iters: 4_000, ..Config::default() };
        let trips = self.worlds.trips.clone();
        metrics::with_local_recorder(&trips, || {
            let examine = |pair| self.examine(&pair, defect).map_err(TestCaseError::fail);
            TestRunner::new(config).run(&pair(), examine).map_err(|found| match found {
                TestError::Fail(reason, pair) => {
                    let (reason, pair) = self.reduce(reason.message().to_owned(), pair, defect);
                    Box::new(TestError::Fail(reason.into(), pair))
                }
                abort @ TestError::Abort(_) => Box::new(abort),
            })
        })
    }

    /// Takes away what nothing needs. Shrinking tries each removal once, when the others may still stand in its way: a
    /// document that a label hides keeps the one that it replaced, until the label is gone.
    fn reduce(&self, mut reason: String, mut pair: Pair, defect: Defect) -> (String, Pair) {
        loop {
            let needless = |smaller: Pair| Some((self.examine(&smaller, defect).err()?, smaller));
            let Some(smaller) = pair.smaller().find_map(needless) else { return (reason, pair) };
            (reason, pair) = smaller;
        }
    }

    fn examine(&self, pair: &Pair, defect: Defect) -> Result<(), String> {
        self.runtime.block_on(self.worlds.examine(pair, defect))
    }
}

const PAIRS: u32 = 2_000;
const THREADS: u32 = 2;
