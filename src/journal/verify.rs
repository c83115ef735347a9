//! Walks the journal and tells the first place that does not fit.
//!
//! One walk over all lines in their order, a page at a time: each line is held against the one before it in its record
//! (found through the index, so that memory does not grow with the number of records) and the one before it among all;
//! heads are met where they stand. What remains to be said of the end comes last. A record can be walked alone, which
//! tells nothing about lines cut off its end.
//!
//! What each piece of evidence is good for: the chains find what was changed without sealing anew; the current head
//! finds a tail that was cut off; kept heads and their signatures find chains that were sealed anew without the key;
//! the file of heads, shipped elsewhere, finds what was rewritten with the key, put back to an earlier state, or replaced
//! by a new journal of the same key. Whoever ships it may repeat heads: one that was met before says nothing new.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;

use serde::Serialize;
use uuid::Uuid;

use super::heads_file::Heads;
use crate::domain::seal::{FIRST, LineOfRecord, SignedHead, seal_over_all};
use crate::domain::sha::hex;
use crate::store::journal::heads::{find_current, find_kept_outside, list_kept};
use crate::store::journal::key::PublicKey;
use crate::store::journal::{Extent, SealedLine, find_extent, list_sealed, list_sealed_of_dossier};
use crate::store::{Error, Store};

/// What the journal is held against, beside itself.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Whose signature heads bear.
    pub key: PublicKey,
    /// Heads as they were appended there, or a copy from elsewhere; it need not be there, nor be complete.
    pub heads_file: PathBuf,
}

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// Every seal and every signature fits.
    Intact {
        lines: i64,
        /// Seal of the last line, hexadecimal.
        head: String,
        /// Kept in the database.
        signed_heads: u64,
        /// Those that the file has, too.
        heads_in_file: u64,
        /// Lines of the file that hold no head of this database.
        unreadable_in_file: u64,
    },
    /// Every seal of one record fits, as far as its last line that is there.
    RecordIntact {
        lines: i64,
    },
    Broken(Break),
}

/// The first place that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Break {
    /// Of the line, among all.
    pub position: i64,
    /// Its record, and which of its lines; none where there is no line, or the line concerns no record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_record: Option<OfRecord>,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfRecord {
    pub dossier_id: String,
    pub position: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    LineMissing,
    LineChanged,
    LineOutOfPlace,
    LineMissingInRecord,
    LineBeforeTheFirst,
    TailCut,
    TailAdded,
    HeadMissing,
    HeadSignature,
    HeadDiffers,
    KeptHeadMissing,
    KeptHeadSignature,
    KeptHeadDiffers,
    FileHeadMissing,
    FileHeadSignature,
    FileHeadDiffers,
    FileHeadOutOfOrder,
    FileAhead,
    FileOfAnotherJournal,
    FileWithoutHeads,
}

/// Walks all lines.
pub async fn verify(store: &Store, evidence: &Evidence) -> Result<Verdict, Error> {
    // The file first: whatever is in it was in the database before.
    let file = FileHeads::open(evidence, store.identity())?;
    let ending = store
        .read("journal_verify", |tx| {
            Box::pin(async move {
                let extent = find_extent(tx).await?;
                let last = extent.map_or(0, |extent| extent.last);
                let lineless = find_kept_outside(tx, last).await?;
                Ok(Ending { extent, current: find_current(tx).await?, lineless })
            })
        })
        .await?;
    let mut walk = Walk {
        store,
        key: &evidence.key,
        position: 0,
        seal: FIRST.to_vec(),
        at_us: 0,
        kept: VecDeque::new(),
        signed_heads: 0,
        file,
    };
    let outcome = walk.go(&ending).await;
    match outcome {
        Ok(()) => Ok(Verdict::Intact {
            lines: walk.position,
            head: hex(&walk.seal),
            signed_heads: walk.signed_heads,
            heads_in_file: walk.file.met,
            unreadable_in_file: walk.file.unreadable(),
        }),
        Err(Stop::At(place)) => Ok(Verdict::Broken(place)),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// Walks the lines of one record.
pub async fn verify_record(store: &Store, dossier_id: &str) -> Result<Verdict, Error> {
    let (mut lines, mut position) = (0, 0);
    loop {
        let asked = dossier_id.to_owned();
        let page = store
            .read("journal_verify", move |tx| {
                Box::pin(async move { list_sealed_of_dossier(tx, &asked, position, LINES_AT_ONCE).await })
            })
            .await?;
        if page.is_empty() {
            return Ok(Verdict::RecordIntact { lines });
        }
        for line in page {
            let problem = if line.dossier_position > lines + 1 {
                Some(Problem::LineMissingInRecord)
            } else {
                problem_in_record(&line)
            };
            if let Some(problem) = problem {
                return Ok(Verdict::Broken(Break::at(&line, problem)));
            }
            (lines, position) = (line.dossier_position, line.position);
        }
    }
}

impl Problem {
    /// What it means, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::LineMissing => "the line is missing",
            Self::LineChanged => "the line, or what stands beside it, was changed",
            Self::LineOutOfPlace => "another line stands here, moved or sealed anew; or the seal was changed",
            Self::LineMissingInRecord => "the line before it in its record is missing",
            Self::LineBeforeTheFirst => "a line stands before the first",
            Self::TailCut => "the lines from here on were cut off: a signed head knows them",
            Self::TailAdded => "the lines from here on were added: the current head does not know them",
            Self::HeadMissing => "the current head is missing",
            Self::HeadSignature => {
                "the signature of the current head is wrong: the head was changed, or the key is another"
            }
            Self::HeadDiffers => "the current head does not fit the line: the journal was sealed anew",
            Self::KeptHeadMissing => "a head that the file knows is missing in the database",
            Self::KeptHeadSignature => {
                "the signature of a kept head is wrong: the head was changed, or the key is another"
            }
            Self::KeptHeadDiffers => "a kept head does not fit the line: the journal was sealed anew",
            Self::FileHeadMissing => "a head that the database knows is missing in the file",
            Self::FileHeadSignature => {
                "the signature of a head in the file is wrong: it was changed, or the key is another"
            }
            Self::FileHeadDiffers => "a head in the file does not fit the line: the journal was sealed anew",
            Self::FileHeadOutOfOrder => "the heads in the file are out of order",
            Self::FileAhead => "the file knows heads of lines from here on: the journal was cut off or put back",
            Self::FileOfAnotherJournal => {
                "the file holds heads that the key signed for another journal: this database is not the one it was"
            }
            Self::FileWithoutHeads => {
                "the file is not empty, and holds no head of this journal: it is another's, or destroyed"
            }
        }
    }
}

impl Break {
    fn at(line: &SealedLine, problem: Problem) -> Self {
        // What is no text any more is shown as far as it is.
        let dossier_id = String::from_utf8_lossy(&line.dossier_id).into_owned();
        let of_record = (!dossier_id.is_empty()).then_some(OfRecord { dossier_id, position: line.dossier_position });
        Self { position: line.position, of_record, problem }
    }

    fn without_line(position: i64, problem: Problem) -> Self {
        Self { position, of_record: None, problem }
    }
}

const LINES_AT_ONCE: u32 = 1000;

/// What the journal ended with when the walk began; lines that come meanwhile are left to the next walk.
struct Ending {
    extent: Option<Extent>,
    current: Option<SignedHead>,
    /// A kept head where no line can be.
    lineless: Option<SignedHead>,
}

enum Stop {
    At(Break),
    Error(Error),
}

struct Walk<'s> {
    store: &'s Store,
    key: &'s PublicKey,
    /// Of the line before.
    position: i64,
    seal: Vec<u8>,
    at_us: i64,
    /// Heads of the lines of this page.
    kept: VecDeque<SignedHead>,
    signed_heads: u64,
    file: FileHeads,
}

impl Walk<'_> {
    async fn go(&mut self, ending: &Ending) -> Result<(), Stop> {
        let last = ending.extent.map_or(0, |extent| extent.last);
        while self.position < last {
            let page = self.read_page(last).await?;
            for line in &page {
                self.line(line)?;
                self.heads_of(line)?;
            }
            if page.is_empty() {
                return Err(Break::without_line(self.position + 1, Problem::LineMissing).into());
            }
        }
        self.end(ending)
    }

    /// Lines up to `last`, and the heads of these lines.
    async fn read_page(&mut self, last: i64) -> Result<Vec<SealedLine>, Error> {
        let after = self.position;
        let read = self.store.read("journal_verify", move |tx| {
            Box::pin(async move {
                let mut lines = list_sealed(tx, after, LINES_AT_ONCE).await?;
                lines.retain(|line| line.position <= last);
                let end = lines.last().map_or(last, |line| line.position);
                Ok((lines, list_kept(tx, after, end, u32::MAX).await?))
            })
        });
        let (lines, kept) = read.await?;
        self.kept = kept.into();
        Ok(lines)
    }

    fn line(&mut self, line: &SealedLine) -> Result<(), Break> {
        let position = self.position + 1;
        if line.position != position {
            return Err(Break::without_line(position, Problem::LineMissing));
        }
        if let Some(problem) = problem_in_record(line) {
            return Err(Break::at(line, problem));
        }
        if line.seal != seal_over_all(&self.seal, position, &line.dossier_seal) {
            return Err(Break::at(line, Problem::LineOutOfPlace));
        }
        (self.position, self.at_us) = (position, line.at_us);
        self.seal.clone_from(&line.seal);
        Ok(())
    }

    /// Holds the heads that stand at the line which was found good just now.
    fn heads_of(&mut self, line: &SealedLine) -> Result<(), Stop> {
        let here = line.position;
        let kept = self.kept.pop_front_if(|signed| signed.head.position <= here);
        if let Some(signed) = &kept {
            self.signed_heads += 1;
            self.hold(signed, [Problem::KeptHeadSignature, Problem::KeptHeadDiffers])?;
        }
        let Some(position) = self.file.position() else { return Ok(()) };
        match &kept {
            Some(_) if position > here && self.file.met > 0 => Err(Break::at(line, Problem::FileHeadMissing).into()),
            _ if position > here => Ok(()),
            _ if position < here => Err(Break::without_line(position, Problem::FileHeadOutOfOrder).into()),
            Some(kept) if self.file.next.as_ref() == Some(kept) => self.file.step(),
            _ => {
                if let Some(signed) = &self.file.next {
                    self.hold(signed, [Problem::FileHeadSignature, Problem::FileHeadDiffers])?;
                }
                Err(Break::at(line, Problem::KeptHeadMissing).into())
            }
        }
    }

    /// Holds a head against the line that was found good just now.
    fn hold(&self, signed: &SignedHead, [signature, differs]: [Problem; 2]) -> Result<(), Break> {
        let head = &signed.head;
        if !self.key.verifies(self.store.identity(), signed) {
            return Err(Break::without_line(head.position, signature));
        }
        let fits = (head.position, &head.seal, head.at_us) == (self.position, &self.seal, self.at_us);
        if fits { Ok(()) } else { Err(Break::without_line(head.position, differs)) }
    }

    /// What is known of the end, once all lines are found good.
    fn end(&self, ending: &Ending) -> Result<(), Stop> {
        let (last, behind) = (self.position, self.position + 1);
        let store = self.store.identity();
        match &ending.current {
            None if last > 0 => return Err(Break::without_line(last, Problem::HeadMissing).into()),
            None => {}
            Some(signed) if signed.head.position != last && self.key.verifies(store, signed) => {
                let cut = signed.head.position > last;
                let problem = if cut { Problem::TailCut } else { Problem::TailAdded };
                return Err(Break::without_line(behind.min(signed.head.position + 1), problem).into());
            }
            Some(signed) => self.hold(signed, [Problem::HeadSignature, Problem::HeadDiffers])?,
        }
        if let Some(signed) = &ending.lineless {
            let is_ours = self.key.verifies(store, signed);
            let cut = Break::without_line(behind, Problem::TailCut);
            let changed = Break::without_line(signed.head.position, Problem::KeptHeadSignature);
            return Err(if is_ours { cut } else { changed }.into());
        }
        if let Some(signed) = &self.file.next {
            let is_ours = self.key.verifies(store, signed);
            let ahead = Break::without_line(behind, Problem::FileAhead);
            let changed = Break::without_line(signed.head.position, Problem::FileHeadSignature);
            let out_of_order = Break::without_line(signed.head.position, Problem::FileHeadOutOfOrder);
            let place = match is_ours {
                true if signed.head.position <= last => out_of_order,
                true => ahead,
                false => changed,
            };
            return Err(place.into());
        }
        if let Some(problem) = self.file.problem() {
            return Err(Break::without_line(1, problem).into());
        }
        match ending.extent {
            Some(Extent { first, .. }) if first < 1 => {
                Err(Break::without_line(first, Problem::LineBeforeTheFirst).into())
            }
            _ => Ok(()),
        }
    }
}

/// The heads of the file, one ahead. Read where the walk is: a page of a local file costs less than a page of lines.
struct FileHeads {
    heads: Option<Heads>,
    next: Option<SignedHead>,
    met: u64,
    /// Hashes of those that were met, under keys of this walk.
    seen: HashSet<u64>,
    hashes: RandomState,
}

impl FileHeads {
    fn open(evidence: &Evidence, store: Uuid) -> Result<Self, Error> {
        let heads = Heads::open(&evidence.heads_file, store, evidence.key.clone())?;
        let mut file = Self { heads, next: None, met: 0, seen: HashSet::new(), hashes: RandomState::new() };
        file.read()?;
        Ok(file)
    }

    fn position(&self) -> Option<i64> {
        self.next.as_ref().map(|signed| signed.head.position)
    }

    fn step(&mut self) -> Result<(), Stop> {
        self.met += 1;
        self.seen.extend(self.next.take().map(|signed| self.hashes.hash_one(signed)));
        self.read().map_err(Stop::from)
    }

    fn read(&mut self) -> Result<(), Error> {
        let Some(heads) = &mut self.heads else { return Ok(()) };
        self.next = heads.next()?;
        while self.next.as_ref().is_some_and(|signed| self.seen.contains(&self.hashes.hash_one(signed))) {
            self.next = heads.next()?;
        }
        Ok(())
    }

    fn unreadable(&self) -> u64 {
        self.heads.as_ref().map_or(0, |heads| heads.unreadable)
    }

    /// What is wrong with the file as a whole, once it is read.
    fn problem(&self) -> Option<Problem> {
        if self.heads.as_ref().is_some_and(|heads| heads.has_others) {
            return Some(Problem::FileOfAnotherJournal);
        }
        (self.met == 0 && self.unreadable() > 0).then_some(Problem::FileWithoutHeads)
    }
}

/// Holds a line against the one before it in its record.
fn problem_in_record(line: &SealedLine) -> Option<Problem> {
    let position = line.before.position.wrapping_add(1);
    let of_record = LineOfRecord { position, dossier_id: &line.dossier_id, at_us: line.at_us, line: &line.line };
    let is_sealed = line.dossier_seal == of_record.seal(&line.before.seal);
    match (is_sealed, line.dossier_position == position) {
        (true, true) => None,
        (false, false) => Some(Problem::LineOutOfPlace),
        _ => Some(Problem::LineChanged),
    }
}

impl From<Break> for Stop {
    fn from(place: Break) -> Self {
        Self::At(place)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}
