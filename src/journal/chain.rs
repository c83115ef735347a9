//! Hands lines over to the writer, which seals those of a batch together: each behind the one before it in its record,
//! and behind the one before it among all, so that a change, a removal or a swap is found (`verify`).

use super::event::Event;
use crate::store::journal::{PendingLine, append};
use crate::store::{Error, Tx};

/// Writes `event` down, inside the transaction of what it tells of.
pub fn record(tx: &mut Tx<'_>, event: &Event) -> Result<(), Error> {
    let line = serde_json::to_string(event).map_err(|error| Error::Settings(error.to_string()))?;
    append(tx, PendingLine { at: event.at, dossier_id: event.dossier.key().to_owned(), line });
    Ok(())
}
