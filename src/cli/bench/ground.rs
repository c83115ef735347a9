//! The records that a load works on: of a throw-away gateway, filled first, or of a remote one, as they are.

use std::sync::Arc;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::amount::Size;
use super::deposit::Deposits;
use super::read::{Retrievals, Searches};
use super::scene::{Answers, GROUPS};
use super::traffic::{Source, Target, Traffic};
use crate::clock::Clock;
use crate::domain::ins::Ins;

/// Loads made of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Deposit,
    Search,
    Retrieve,
    /// One deposit, four searches, two retrievals.
    Mixed,
}

pub(super) struct Ground {
    pub(super) target: Target,
    /// For deposits, searches, retrievals.
    pub(super) records: [Vec<Ins>; GROUPS],
    pub(super) filling: Filling,
    pub(super) size: Size,
    pub(super) entries: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filling {
    /// The records are empty: deposit first what is to be read.
    Needed,
    /// The records are somebody's: read what is there.
    None,
}

impl Work {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Search => "search",
            Self::Retrieve => "retrieve",
            Self::Mixed => "mixed",
        }
    }
}

impl Ground {
    /// Prepares the records, and the requests to send; and says how long the answers to reads are.
    pub(super) async fn prepare(&self, work: Work) -> anyhow::Result<(Traffic, Answers)> {
        let mut answers = Answers::default();
        let mut cycle: Vec<Arc<dyn Source>> = Vec::new();
        if matches!(work, Work::Deposit | Work::Mixed) {
            cycle.push(Arc::new(Deposits::new(self.records[0].clone(), self.size, &Clock::System)?));
        }
        if matches!(work, Work::Search | Work::Mixed) {
            let searches = self.searches().await?;
            answers.search_bytes = searches.answer_bytes(&self.target).await?;
            cycle.push(Arc::new(searches));
        }
        if matches!(work, Work::Retrieve | Work::Mixed) {
            let retrievals = self.retrievals().await?;
            answers.document_bytes = retrievals.answer_bytes();
            cycle.push(Arc::new(retrievals));
        }
        if let [deposit, search, retrieve] = &*cycle {
            let mixed = [deposit, search, search, retrieve, search, search, retrieve];
            cycle = mixed.map(Arc::clone).into();
        }
        Ok((Traffic::new(cycle), answers))
    }

    async fn searches(&self) -> anyhow::Result<Searches> {
        let records = &self.records[1];
        self.fill(records, SEARCHED_SIZE, self.entries).await?;
        Ok(Searches::new(records.clone(), self.entries))
    }

    async fn retrievals(&self) -> anyhow::Result<Retrievals> {
        let records = &self.records[2];
        self.fill(records, self.size, RETRIEVED_ENTRIES).await?;
        Retrievals::find(&self.target, records, RETRIEVED_ENTRIES).await
    }

    async fn fill(&self, records: &[Ins], size: Size, entries: u16) -> anyhow::Result<()> {
        if self.filling == Filling::None {
            return Ok(());
        }
        fill(&self.target, records, size, entries).await
    }
}

/// Deposits `entries` documents into each of the records.
pub(super) async fn fill(target: &Target, records: &[Ins], size: Size, entries: u16) -> anyhow::Result<()> {
    let deposits = Traffic::of(Deposits::new(records.to_vec(), size, &Clock::System)?);
    let all = stream::iter(0..records.len() * usize::from(entries)).map(|_| deposits.exchange(target));
    let done = all.buffer_unordered(FILLING_CLIENTS).try_for_each(|_| async { Ok(()) });
    done.await.context("fill the records")
}

/// A search shows no document: small ones fill faster.
pub(super) const SEARCHED_SIZE: Size = Size { bytes: 10_000 };

const RETRIEVED_ENTRIES: u16 = 8;
const FILLING_CLIENTS: usize = 8;
