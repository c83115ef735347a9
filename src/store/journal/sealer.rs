//! Seals the lines of a batch, once for all of them, and signs the head that they end with.

use std::collections::HashMap;

use uuid::Uuid;

use super::key::HeadKey;
use super::{PendingLine, RecordEnd, heads};
use crate::domain::seal::{FIRST, Head, LineOfRecord, SignedHead, seal_over_all};
use crate::store::composer::Composer;
use crate::store::error::Error;
use crate::store::executor::{Param, Tx};

/// What continues the chains; the writer's own.
pub(in crate::store) struct Sealer {
    store: Uuid,
    /// None where the journal is only read.
    key: Option<HeadKey>,
    /// The head that this process saw last, and found good.
    known: Option<SignedHead>,
    /// What it saw in the database, or committed there: no head goes back behind it.
    reached: i64,
    /// What the commit under way will reach.
    reaching: Option<i64>,
}

/// The ends of the chains that the lines of a batch continue.
struct Ends {
    head: Option<SignedHead>,
    records: HashMap<String, RecordEnd>,
}

impl Sealer {
    pub(in crate::store) fn new(store: Uuid, key: Option<HeadKey>, known: Option<SignedHead>) -> Self {
        let reached = known.as_ref().map_or(0, |signed| signed.head.position);
        Self { store, key, known, reached, reaching: None }
    }

    /// Seals the lines of a batch and hands them, with the new head, to the trip of its commit.
    ///
    /// Errors: there is no key; the head is not one that our key signed, or an earlier one that was put back, and signing
    /// behind it would make it good.
    pub(in crate::store) async fn seal(&mut self, tx: &mut Tx<'_>) -> Result<(), Error> {
        self.reaching = None;
        let lines = std::mem::take(tx.lines());
        let Some(at_us) = lines.last().map(|line| line.at.as_microsecond()) else { return Ok(()) };
        let Some(key) = &self.key else {
            return Err(Error::Settings("the journal was opened to be read, without its key".to_owned()));
        };
        let ends = find_ends(tx, &lines).await?;
        if let Some(head) = ends.head.as_ref().filter(|head| self.known.as_ref() != Some(head))
            && !key.public().verifies(self.store, head)
        {
            return Err(Error::inconsistent("journal_head", "not signed by the key of this gateway"));
        }
        let found = ends.head.as_ref().map_or(0, |signed| signed.head.position);
        if found < self.reached {
            return Err(Error::inconsistent("journal_head", "goes back behind lines that were committed"));
        }
        self.reached = found;
        let (position, seal, rows) = chain(ends, lines);
        let signed = key.sign(self.store, Head { position, seal, at_us })?;
        let mut insert = Composer::new(APPEND);
        insert.push_rows(rows.into_iter());
        let (text, params) = insert.finish();
        tx.wait(text, params);
        tx.wait(heads::SET_CURRENT, heads::params(&signed));
        // Should the commit fail, the head that is found next is looked at like that of another gateway.
        self.known = Some(signed);
        self.reaching = Some(position);
        Ok(())
    }

    /// The batch that was sealed last is in the database.
    pub(in crate::store) fn committed(&mut self) {
        self.reached = self.reaching.take().unwrap_or(self.reached);
    }
}

/// Position and seal of the last line, and all lines as rows.
fn chain(ends: Ends, lines: Vec<PendingLine>) -> (i64, Vec<u8>, Vec<Vec<Param>>) {
    let Ends { head, mut records } = ends;
    let (mut position, mut seal) = head.map_or((0, FIRST.to_vec()), |signed| (signed.head.position, signed.head.seal));
    let mut rows = Vec::with_capacity(lines.len());
    for PendingLine { at, dossier_id, line } in lines {
        let at_us = at.as_microsecond();
        let end = records.entry(dossier_id.clone()).or_insert_with(RecordEnd::none);
        end.position += 1;
        let of_record =
            LineOfRecord { position: end.position, dossier_id: dossier_id.as_bytes(), at_us, line: line.as_bytes() };
        end.seal = of_record.seal(&end.seal).to_vec();
        position += 1;
        seal = seal_over_all(&seal, position, &end.seal).to_vec();
        rows.push(vec![
            position.into(),
            at_us.into(),
            dossier_id.into(),
            end.position.into(),
            line.into(),
            end.seal.clone().into(),
            seal.clone().into(),
        ]);
    }
    (position, seal, rows)
}

/// One trip, however many lines and records.
async fn find_ends(tx: &mut Tx<'_>, lines: &[PendingLine]) -> Result<Ends, Error> {
    let mut asked: Vec<&str> = lines.iter().map(|line| line.dossier_id.as_str()).collect();
    asked.sort_unstable();
    asked.dedup();
    let mut find_records = Composer::new(FIND_RECORD_ENDS);
    find_records.push_rows(asked.into_iter().map(|dossier_id| vec![dossier_id.into()]));
    find_records.push(FIND_RECORD_ENDS_TAIL);
    let (head, ends) = tx.wait_for_both((heads::FIND_CURRENT, Vec::new()), find_records.finish()).await?;
    let head = head.first().map(heads::read).transpose()?;
    let ends = ends.iter().map(|row| {
        let end = RecordEnd { position: row.integer(1)?, seal: row.bytes(2)? };
        Ok((row.text(0)?, end))
    });
    Ok(Ends { head, records: ends.collect::<Result<_, Error>>()? })
}

const FIND_RECORD_ENDS: &str = "-- store::journal::sealer::find_record_ends
WITH asked (dossier_id) AS (VALUES ";

const FIND_RECORD_ENDS_TAIL: &str = ")
SELECT asked.dossier_id, last.dossier_position, last.dossier_seal FROM asked JOIN journal last ON last.position =
    (SELECT MAX(position) FROM journal WHERE journal.dossier_id = asked.dossier_id)";

const APPEND: &str = "-- store::journal::append
INSERT INTO journal (position, at_us, dossier_id, dossier_position, line, dossier_seal, seal) VALUES ";
