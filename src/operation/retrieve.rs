//! Retrieve: the bytes of one document, in pieces, once its journal line is durable. ITI-68, ITI-43 (TD3.2).

use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, stream};

use super::gateway::Gateway;
use super::outcome::Journaled;
use crate::domain::document_entry::DocumentEntry;
use crate::domain::ids::LogicalId;
use crate::identity::caller::Caller;
use crate::journal::event::Action;
use crate::refusal::{Failure, Fault};
use crate::store::Store;
use crate::store::content::{CHUNK_BYTES, DocumentId, read_chunk};

/// A document that may now be read, piece by piece.
pub struct Retrieved {
    pub entry: DocumentEntry,
    store: Store,
    document: DocumentId,
}

/// Pieces of a document on their way out.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Fault>> + Send>>;

impl Gateway {
    /// The document itself. Absent and hidden: `Rule::NotFound`.
    pub async fn retrieve(&self, caller: &Caller, id: LogicalId) -> Result<Journaled<Retrieved>, Failure> {
        let attempt = self.attempt(caller, Action::Retrieve);
        let (entry, document) = self.read_one(caller, &attempt, id).await?;
        Ok(Journaled::new(Retrieved { entry, store: self.store.clone(), document }))
    }
}

impl Retrieved {
    /// The bytes of `range`, which must lie within `0..entry.fingerprint.size_bytes`; one chunk in memory at a time.
    pub fn stream(self, range: Range<u64>) -> Pieces {
        const CHUNK: u64 = CHUNK_BYTES as u64;
        let Self { store, document, .. } = self;
        let pieces = stream::try_unfold(range, move |left| {
            let store = store.clone();
            async move {
                if left.is_empty() {
                    return Ok(None);
                }
                let position = left.start / CHUNK;
                let read = store.read("retrieve", move |tx| Box::pin(read_chunk(tx, document, position)));
                let chunk = Bytes::from(read.await.map_err(|error| Fault::new("read a document", error))?);
                let end = left.end.min((position + 1) * CHUNK);
                let within = |at: u64| usize::try_from(at - position * CHUNK).unwrap_or(CHUNK_BYTES).min(chunk.len());
                Ok(Some((chunk.slice(within(left.start)..within(end)), end..left.end)))
            }
        });
        Box::pin(pieces)
    }
}
