//! Retrieve: the bytes of one document, in pieces, once its journal line is durable. ITI-68, ITI-43 (TD3.2).

use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, stream};

use super::gateway::Gateway;
use super::outcome::Journaled;
use crate::access::decide::{Retrieve, may_retrieve};
use crate::domain::document_entry::DocumentEntry;
use crate::domain::ids::LogicalId;
use crate::identity::caller::Caller;
use crate::journal::event::Action;
use crate::refusal::{Failure, Fault, Refusal, Rule};
use crate::store::volume::OpenDocument;

/// A document that may now be read, piece by piece.
pub struct Retrieved {
    pub entry: DocumentEntry,
    document: OpenDocument,
}

/// Pieces of a document on their way out.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Fault>> + Send>>;

impl Gateway {
    /// The document itself. Absent and hidden: `Rule::NotFound`; a caller whose mode reads none: `ModeRefused`,
    /// whether the document exists or not.
    pub async fn retrieve(&self, caller: &Caller, id: LogicalId) -> Result<Journaled<Retrieved>, Failure> {
        if !may_retrieve(&self.matrices, caller, self.clock.now()) {
            const EXPECTED: &str = "a health professional with their own card, or named by a token (AIR): others find \
                                    references and read no document";
            let refusal = Refusal::new(Rule::ModeRefused, "caller", caller.mode(), EXPECTED);
            return Err(self.turn_away(caller, refusal.into()).await);
        }
        let attempt = self.attempt(caller, Action::Retrieve);
        let (entry, location) = self.read_one::<Retrieve>(caller, &attempt, id).await?;
        let document = self.store.open_document(location).await.map_err(Failure::from)?;
        Ok(Journaled::new(Retrieved { entry, document }))
    }
}

impl Retrieved {
    /// The bytes of `range`, which must lie within `0..entry.fingerprint.size_bytes`; one piece in memory at a time.
    pub fn stream(self, range: Range<u64>) -> Pieces {
        let document = self.document;
        let pieces = stream::try_unfold(range, move |left| {
            let document = document.clone();
            async move {
                if left.is_empty() {
                    return Ok(None);
                }
                let count = usize::try_from(left.end - left.start).map_or(PIECE_BYTES, |all| all.min(PIECE_BYTES));
                let piece = document.read(left.start, count).await;
                let piece = piece.map_err(|error| Fault::new("read a document", error))?;
                Ok(Some((piece, left.start + count as u64..left.end)))
            }
        });
        Box::pin(pieces)
    }
}

const PIECE_BYTES: usize = 512 * 1024;
