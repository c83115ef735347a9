//! The chain: each line is sealed with the one before, so that a change, a removal or a swap is found.
//!
//! seal(n) = SHA-256(seal(n-1) ‖ n as 8 big-endian bytes ‖ line); the seal before the first line is 32 zero
//! bytes. Truncation of the tail is found by comparing the head with one noted elsewhere: `journal verify`
//! prints it.

use sha2::{Digest as _, Sha256};

use super::event::Event;
use crate::domain::sha::hex;
use crate::store::journal::{FIRST_SEAL, JournalRow, append, last, list_after};
use crate::store::{Error, Store, Tx};

/// Seals `event` behind the last line, inside the transaction of what it tells of.
pub fn record(tx: &mut Tx<'_>, event: &Event) -> Result<(), Error> {
    let last = last(tx);
    let position = last.position + 1;
    let line = serde_json::to_string(event).map_err(|error| Error::Settings(error.to_string()))?;
    let seal = seal(&last.seal, position, &line);
    append(tx, JournalRow { position, at: event.at, dossier_id: event.dossier.key().to_owned(), line, seal });
    Ok(())
}

/// What a walk over the whole chain found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// Every seal fits. `head` is worth noting elsewhere.
    Intact { lines: i64, head: String },
    /// The first line that does not fit, and why.
    Broken { position: i64, problem: &'static str },
}

/// Walks the chain from its first line to its last.
pub async fn verify(store: &Store) -> Result<Verdict, Error> {
    let (mut position, mut seal_before) = (0, FIRST_SEAL.to_vec());
    loop {
        let rows = store.read("journal_verify", move |tx| Box::pin(list_after(tx, position, LINES_AT_ONCE))).await?;
        if rows.is_empty() {
            return Ok(Verdict::Intact { lines: position, head: hex(&seal_before) });
        }
        for row in rows {
            if let Some(problem) = problem_of(&row, position + 1, &seal_before) {
                return Ok(Verdict::Broken { position: position + 1, problem });
            }
            position = row.position;
            seal_before = row.seal;
        }
    }
}

/// Why `row` cannot be the line at `expected`, if so.
fn problem_of(row: &JournalRow, expected: i64, seal_before: &[u8]) -> Option<&'static str> {
    if row.position != expected {
        return Some("the line is missing");
    }
    if row.seal != seal(seal_before, row.position, &row.line) {
        return Some("the line or its seal was changed");
    }
    match serde_json::from_str::<Event>(&row.line) {
        Ok(event) if event.at != row.at => Some("the instant beside the line was changed"),
        Ok(event) if event.dossier.key() != row.dossier_id => Some("the record beside the line was changed"),
        Ok(_) => None,
        Err(_) => Some("the line cannot be read"),
    }
}

fn seal(before: &[u8], position: i64, line: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(position.to_be_bytes());
    hash.update(line.as_bytes());
    hash.finalize().to_vec()
}

const LINES_AT_ONCE: u32 = 1000;
