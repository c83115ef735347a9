//! Statements on document bytes: chunks of bounded size, so that no side ever holds a document whole.

use super::error::Error;
use super::executor::{Param, Tx};
use crate::access::decide::{Deposit, Permit};
use crate::domain::sha::Fingerprint;
use crate::spool::Spooled;

/// Size of every chunk but the last.
pub const CHUNK_BYTES: usize = 512 * 1024;

/// Key of stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentId(pub(super) i64);

/// Stores the bytes with their fingerprint.
pub async fn insert(tx: &mut Tx<'_>, _permit: &Permit<Deposit>, content: Spooled) -> Result<DocumentId, Error> {
    let Fingerprint { sha1, sha256, size_bytes } = content.fingerprint();
    let size = i64::try_from(size_bytes).map_err(|error| Error::inconsistent("document", error))?;
    let params = vec![sha1.0.to_vec().into(), sha256.0.to_vec().into(), size.into()];
    let row = tx.fetch_optional(INSERT, params).await?;
    let id = row.ok_or_else(|| Error::inconsistent("document", "no id returned"))?.integer(0)?;
    for (position, bytes) in content.into_pieces(CHUNK_BYTES).enumerate() {
        // The bytes of a document of one chunk are taken over without a copy.
        tx.execute(INSERT_CHUNK, vec![id.into(), position.into(), Param::Bytes(bytes?.into())]).await?;
    }
    Ok(DocumentId(id))
}

/// The `position`-th chunk of a document that a permit has opened.
pub async fn read_chunk(tx: &mut Tx<'_>, id: DocumentId, position: u64) -> Result<Vec<u8>, Error> {
    let position = i64::try_from(position).map_err(|error| Error::inconsistent("document_chunk", error))?;
    let row = tx.fetch_optional(READ_CHUNK, vec![id.0.into(), position.into()]).await?;
    row.ok_or_else(|| Error::inconsistent("document_chunk", "absent"))?.bytes(0)
}

const INSERT: &str = "-- store::content::insert
INSERT INTO document (sha1, sha256, size_bytes) VALUES ($1, $2, $3) RETURNING document_id";

const INSERT_CHUNK: &str = "-- store::content::insert_chunk
INSERT INTO document_chunk (document_id, position, bytes) VALUES ($1, $2, $3)";

const READ_CHUNK: &str = "-- store::content::read_chunk
SELECT bytes FROM document_chunk WHERE document_id = $1 AND position = $2";
