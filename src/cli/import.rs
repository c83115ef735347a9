//! `carnet import`: takes over documents from IHE_XDM packages and CDA files, lot by lot.
//!
//! May be stopped and started again at will: a lot that is there already is found there, not stored twice.
//! One lot is refused or stored whole; a refused lot does not stop the others, our own failure does. In
//! this first form a migrated lot obeys the rules of a deposit, old codes and old INS included.
//! Source: H.1, contract 1.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use super::{Database, Ending, Reason, Settings, print_json, runtime};
use crate::clock::Clock;
use crate::domain::sha::hex;
use crate::identity::caller::Caller;
use crate::operation::draft::DepositRequest;
use crate::operation::gateway::Gateway;
use crate::operation::outcome::DepositOutcome;
use crate::refusal::{Category, Failure, Refusal};
use crate::xdm::folder::{Listing, list_sources};
use crate::xdm::package::{Limits, Lot, LotResult, Reading};

/// Take over documents from IHE_XDM packages (.zip) and bare CDA documents (.xml).
#[derive(clap::Args)]
#[command(after_help = "Example:\n  carnet import /media/usb/IHE_XDM.zip old-documents/ --report import.json")]
pub(super) struct Arguments {
    /// Packages, documents, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Write the reconciliation report, lot by lot, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Read everything and store nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the report as JSON; progress goes to the error output
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    let listing = list_sources(&arguments.paths)?;
    anyhow::ensure!(!listing.sources.is_empty(), "nothing to import: no .zip and no .xml in the paths given");
    let report_file = match &arguments.report {
        Some(path) => Some(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
        None => None,
    };
    let mode = if arguments.dry_run { Mode::DryRun } else { Mode::Deposit };
    let mut progress: Box<dyn Write> = if arguments.json { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    runtime()?.block_on(async {
        let gateway = arguments.settings.open(Database::MustExist).await?;
        let report = import(&gateway, &listing, mode, &mut progress).await?;
        report.summarise(&mut progress)?;
        if let Some(mut file) = report_file {
            serde_json::to_writer_pretty(&mut file, &report)?;
            file.sync_all()?;
        }
        if arguments.json {
            print_json(&serde_json::to_value(&report)?);
        }
        Ok(if report.is_clean() { Ending::Done } else { Ending::Refused })
    })
}

/// Imports every lot of `listing` as the operator. Errors: those of `progress` alone.
pub(super) async fn import(
    gateway: &Gateway,
    listing: &Listing,
    mode: Mode,
    progress: &mut impl Write,
) -> io::Result<Report> {
    let reading = Reading {
        spool: &gateway.spool,
        terminology: &gateway.terminology,
        limits: Limits::from(&gateway.config.limits),
    };
    let deposit = async |request| Ok(gateway.deposit(&Caller::Operator, request).await?.disclose());
    import_through(listing, reading, mode, &gateway.clock, deposit, progress).await
}

/// Whether lots are handed to the gateway or only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Deposit,
    DryRun,
}

/// Imports every lot of `listing` in turn and tells what became of each.
///
/// Errors: those of `progress` alone.
async fn import_through(
    listing: &Listing,
    reading: Reading<'_>,
    mode: Mode,
    clock: &Clock,
    deposit: impl AsyncFn(DepositRequest) -> Result<DepositOutcome, Failure>,
    progress: &mut impl Write,
) -> io::Result<Report> {
    let started = clock.now();
    let mut report = Report::new(started, mode, &listing.others);
    'sources: for (at, source) in listing.sources.iter().enumerate() {
        let path = source.path().display().to_string();
        writeln!(progress, "{}/{} {path}", at + 1, listing.sources.len())?;
        for lot in source.lots(reading) {
            let line = import_lot(lot, path.clone(), started, mode, &deposit).await;
            line.show(progress)?;
            let stop = line.outcome == LotOutcome::Stopped;
            report.add(line);
            if stop {
                break 'sources;
            }
        }
    }
    report.finished = clock.now().to_string();
    Ok(report)
}

/// What was imported, to be held against what there was.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// RFC 3339, UTC.
    pub started: String,
    pub finished: String,
    pub dry_run: bool,
    pub counts: Counts,
    pub lots: Vec<LotLine>,
    /// Files that are neither a package nor a document.
    pub other_files: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub lots: usize,
    pub stored: usize,
    pub already_there: usize,
    pub readable: usize,
    pub refused: usize,
    pub failed: usize,
    /// Of the lots that are stored or were there already.
    pub documents: usize,
    pub bytes: u64,
}

/// One lot.
#[derive(Debug, Serialize)]
pub(super) struct LotLine {
    pub source: String,
    pub lot: String,
    pub outcome: LotOutcome,
    pub documents: Vec<DocumentLine>,
    /// Why it was refused.
    pub reasons: Vec<Reason>,
    /// Our failure, in one line.
    pub failure: Option<String>,
    /// What the source held and the record does not.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LotOutcome {
    Stored,
    AlreadyThere,
    /// Dry run: it can be read; the gateway was not asked.
    Readable,
    Refused,
    /// This lot could not be read from disk or spooled.
    Failed,
    /// The gateway could not store: the import ends here.
    Stopped,
}

#[derive(Debug, Serialize)]
pub(super) struct DocumentLine {
    /// `None` for a bare CDA: the header says it.
    pub unique_id: Option<String>,
    pub sha256: String,
    pub size_bytes: u64,
    pub logical_id: Option<String>,
}

impl Report {
    fn new(started: Timestamp, mode: Mode, others: &[PathBuf]) -> Self {
        let other_files = others.iter().map(|path| Path::display(path).to_string()).collect();
        let dry_run = mode == Mode::DryRun;
        let (started, finished) = (started.to_string(), String::new());
        Self { started, finished, dry_run, counts: Counts::default(), lots: Vec::new(), other_files }
    }

    /// Whether every lot is where it should be.
    pub(super) fn is_clean(&self) -> bool {
        self.counts.refused == 0 && self.counts.failed == 0
    }

    fn add(&mut self, line: LotLine) {
        let counts = &mut self.counts;
        counts.lots += 1;
        match line.outcome {
            LotOutcome::Stored => counts.stored += 1,
            LotOutcome::AlreadyThere => counts.already_there += 1,
            LotOutcome::Readable => counts.readable += 1,
            LotOutcome::Refused => counts.refused += 1,
            LotOutcome::Failed | LotOutcome::Stopped => counts.failed += 1,
        }
        if matches!(line.outcome, LotOutcome::Stored | LotOutcome::AlreadyThere) {
            counts.documents += line.documents.len();
            counts.bytes += line.documents.iter().map(|document| document.size_bytes).sum::<u64>();
        }
        self.lots.push(line);
    }

    fn summarise(&self, out: &mut impl Write) -> io::Result<()> {
        let Counts { lots, stored, already_there, readable, refused, failed, documents, bytes } = &self.counts;
        writeln!(out)?;
        if self.dry_run {
            writeln!(out, "{lots} lots: {readable} readable, {refused} refused, {failed} failed. Nothing was stored.")?;
        } else {
            writeln!(
                out,
                "{lots} lots: {stored} stored, {already_there} already there, {refused} refused, {failed} failed."
            )?;
            writeln!(out, "{documents} documents ({bytes} bytes) of these lots are in the record.")?;
        }
        if !self.other_files.is_empty() {
            writeln!(out, "{} other files were left alone.", self.other_files.len())?;
        }
        if self.lots.iter().any(|line| line.outcome == LotOutcome::Stopped) {
            writeln!(out, "The import stopped before its end. Start it again: nothing is stored twice.")?;
        }
        Ok(())
    }
}

impl LotLine {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let word = match self.outcome {
            LotOutcome::Stored => "stored",
            LotOutcome::AlreadyThere => "already there",
            LotOutcome::Readable => "readable",
            LotOutcome::Refused => "refused",
            LotOutcome::Failed | LotOutcome::Stopped => "failed",
        };
        let documents = match self.documents.len() {
            0 => String::new(),
            1 => ", 1 document".to_owned(),
            count => format!(", {count} documents"),
        };
        writeln!(out, "  {word:<13} {}{documents}", self.lot)?;
        for Reason { rule, place, found, expected, source } in &self.reasons {
            writeln!(out, "      {rule}: {place}: found {found}; expected {expected} ({source})")?;
        }
        for text in self.failure.iter().chain(&self.notes) {
            writeln!(out, "      {text}")?;
        }
        Ok(())
    }
}

async fn import_lot(
    lot: LotResult,
    source: String,
    started: Timestamp,
    mode: Mode,
    deposit: &impl AsyncFn(DepositRequest) -> Result<DepositOutcome, Failure>,
) -> LotLine {
    let line = |lot: String, outcome| LotLine {
        source,
        lot,
        outcome,
        documents: Vec::new(),
        reasons: Vec::new(),
        failure: None,
        notes: Vec::new(),
    };
    let Lot { name, request, notes } = match lot {
        Ok(lot) => lot,
        Err(unread) => return failed(line(unread.name, LotOutcome::Failed), unread.failure),
    };
    let mut line = line(name, LotOutcome::Readable);
    line.notes = notes;
    line.documents = request.documents.iter().map(document_line).collect();
    if mode == Mode::DryRun {
        return line;
    }
    match deposit(request).await {
        Ok(outcome) => {
            // The answer to a submission sent again is the first one, with the time of the first.
            let before = outcome.registered < started;
            line.outcome = if before { LotOutcome::AlreadyThere } else { LotOutcome::Stored };
            for (document, entry) in line.documents.iter_mut().zip(&outcome.entries) {
                document.logical_id = Some(entry.entry.logical_id.to_string());
            }
            line
        }
        Err(failure) => failed(LotLine { outcome: LotOutcome::Stopped, ..line }, failure),
    }
}

/// A line for a lot that did not go in; refused only when its sender is the one who can do something.
fn failed(line: LotLine, failure: Failure) -> LotLine {
    match failure {
        Failure::Refused(refusals) | Failure::Journaled(refusals) => {
            let ours = |refusal: &Refusal| matches!(refusal.rule.category(), Category::Busy | Category::Full);
            let outcome = if refusals.iter().any(ours) { line.outcome } else { LotOutcome::Refused };
            LotLine { outcome, reasons: refusals.into_iter().map(Reason::from).collect(), ..line }
        }
        Failure::Fault(fault) => LotLine { failure: Some(chain(&fault)), ..line },
    }
}

fn document_line(document: &crate::operation::draft::DocumentDraft) -> DocumentLine {
    let fingerprint = document.content.fingerprint();
    DocumentLine {
        unique_id: document.metadata.unique_id.as_ref().map(ToString::to_string),
        sha256: hex(&fingerprint.sha256.0),
        size_bytes: fingerprint.size_bytes,
        logical_id: None,
    }
}

/// The operator reads this line, so unlike an answer it holds the causes.
fn chain(fault: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(fault.source(), |cause| cause.source());
    causes.fold(fault.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::*;
    use crate::config;
    use crate::domain::ids::{EntryUuid, SubmissionSetUuid};
    use crate::domain::status::AvailabilityStatus;
    use crate::domain::value_set::Terminology;
    use crate::ebrim::sample::{metadata, submission_set};
    use crate::fhir::resource::sample;
    use crate::operation::outcome::DepositedEntry;
    use crate::refusal::{Fault, Rule};
    use crate::spool::{SpoolSettings, Spooled};
    use crate::xdm::write::{OutgoingDocument, PackageWriter};

    /// Remembers submissions as the gateway does, by the id of their set.
    #[derive(Default)]
    struct Record {
        sets: RefCell<HashMap<String, DepositOutcome>>,
        broken: bool,
    }

    impl Record {
        fn deposit(&self, request: &DepositRequest, now: Timestamp) -> Result<DepositOutcome, Failure> {
            if self.broken {
                return Err(Fault::new("storing a deposit", "disk on fire").into());
            }
            let Some(set) = &request.submission_set else {
                return Err(Refusal::new(Rule::CdaSyntax, "ClinicalDocument", "nothing", "a CDA").into());
            };
            let key = set.unique_id.as_ref().unwrap().to_string();
            let entry = || DepositedEntry { entry: sample::entry(), replaced: Vec::new() };
            let new = || DepositOutcome {
                submission_set: SubmissionSetUuid::new(),
                entries: request.documents.iter().map(|_| entry()).collect(),
                registered: now,
            };
            Ok(self.sets.borrow_mut().entry(key).or_insert_with(new).clone())
        }
    }

    fn package(set: &str) -> Vec<u8> {
        let mut writer = PackageWriter::new(io::Cursor::new(Vec::new()));
        let metadata = metadata(&format!("{set}.1"));
        let document = OutgoingDocument {
            entry_uuid: EntryUuid::new(),
            metadata: &metadata,
            status: AvailabilityStatus::Approved,
            relations: &[],
            content: &mut Spooled::of("<ClinicalDocument/>"),
        };
        writer.add_lot(&submission_set(set, "2012"), &mut [document]).unwrap();
        writer.finish().unwrap().into_inner()
    }

    async fn import_folder(folder: &Path, record: &Record, second: i64, mode: Mode) -> (Report, String) {
        let clock = Clock::fixed(Timestamp::from_second(second).unwrap());
        let spool = SpoolSettings { directory: Arc::new(std::env::temp_dir()), memory_bytes_max: 1000 };
        let terminology = Terminology::load().unwrap();
        let limits = Limits::from(&config::Limits::default());
        let reading = Reading { spool: &spool, terminology: &terminology, limits };
        let listing = list_sources(&[folder.to_owned()]).unwrap();
        let deposit = async |request: DepositRequest| record.deposit(&request, clock.now());
        let mut progress = Vec::new();
        let report = import_through(&listing, reading, mode, &clock, deposit, &mut progress).await.unwrap();
        report.summarise(&mut progress).unwrap();
        (report, String::from_utf8(progress).unwrap())
    }

    fn folder_of_three() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.zip"), package("1.2.1")).unwrap();
        std::fs::write(folder.path().join("b.xml"), "junk").unwrap();
        std::fs::write(folder.path().join("c.zip"), package("1.2.2")).unwrap();
        folder
    }

    #[tokio::test]
    async fn a_refused_lot_does_not_stop_the_others() {
        let folder = folder_of_three();
        let (report, text) = import_folder(folder.path(), &Record::default(), 100, Mode::Deposit).await;
        let Counts { lots, stored, refused, documents, bytes, .. } = report.counts;
        assert_eq!((lots, stored, refused, documents, bytes), (3, 2, 1, 2, 38));
        assert!(!report.is_clean());
        assert!(text.contains("cda-syntax: ClinicalDocument: found nothing; expected a CDA"), "{text}");
    }

    #[tokio::test]
    async fn what_is_sent_again_is_already_there() {
        let folder = folder_of_three();
        let record = Record::default();
        let (first, _) = import_folder(folder.path(), &record, 100, Mode::Deposit).await;
        let (again, _) = import_folder(folder.path(), &record, 200, Mode::Deposit).await;
        assert_eq!((again.counts.stored, again.counts.already_there), (0, 2));
        assert_eq!(again.lots[0].documents[0].logical_id, first.lots[0].documents[0].logical_id);
    }

    #[tokio::test]
    async fn a_dry_run_stores_nothing() {
        let folder = folder_of_three();
        let record = Record::default();
        let (report, text) = import_folder(folder.path(), &record, 100, Mode::DryRun).await;
        assert_eq!((report.counts.readable, record.sets.borrow().len()), (3, 0));
        assert!(text.contains("Nothing was stored."), "{text}");
    }

    #[tokio::test]
    async fn our_own_failure_ends_the_import() {
        let folder = folder_of_three();
        let record = Record { broken: true, ..Record::default() };
        let (report, text) = import_folder(folder.path(), &record, 100, Mode::Deposit).await;
        assert_eq!((report.counts.lots, report.counts.failed), (1, 1));
        assert!(text.contains("storing a deposit: disk on fire"), "{text}");
        assert!(text.contains("Start it again"), "{text}");
    }

    #[tokio::test]
    async fn the_report_names_each_document_by_its_hash() {
        let folder = folder_of_three();
        let (report, _) = import_folder(folder.path(), &Record::default(), 100, Mode::Deposit).await;
        let json = serde_json::to_value(&report).unwrap();
        let document = &json["lots"][0]["documents"][0];
        let sha256 = Spooled::of("<ClinicalDocument/>").fingerprint().sha256;
        assert_eq!(document["sha256"], hex(&sha256.0));
        assert_eq!(document["unique_id"], "1.2.1.1");
        assert_eq!(json["lots"][1]["outcome"], "refused");
        assert_eq!(json["lots"][1]["reasons"][0]["rule"], "cda-syntax");
    }
}
