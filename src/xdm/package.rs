//! ITI-32 Distribute Document Set on Media: one IHE_XDM zip -> its lots, in the order a record needs.
//!
//! Tolerates what is seen in the field: lower case, no INDEX.HTM or README.TXT, one extra top folder, any
//! lot name, what macOS and svn leave behind. Where a package has IHE_XDM both at its top and deeper, the
//! deeper one is a copy and is left alone. Source: H.1, H.2.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek};

use jiff::Timestamp;

use super::archive::Archive;
use crate::config;
use crate::domain::association::RelationKind;
use crate::domain::ids::{EntryUuid, UniqueId};
use crate::domain::status::AvailabilityStatus;
use crate::domain::value_set::Terminology;
use crate::ebrim::metadata::{EntryDraft, Submission, read_submission};
use crate::ebrim::object::SubmitObjectsRequest;
use crate::operation::draft::{DepositRequest, DocumentDraft, TargetName};
use crate::refusal::{Failure, Fault, Refusal, Rule};
use crate::spool::{SpoolSettings, SpoolWriter, Spooled};

/// One submission, ready to be deposited.
#[derive(Debug)]
pub struct Lot {
    pub name: String,
    pub request: DepositRequest,
    /// What the source held and the deposit does not, in words.
    pub notes: Vec<String>,
}

/// A lot that cannot even be handed in.
#[derive(Debug)]
pub struct UnreadLot {
    pub name: String,
    pub failure: Failure,
}

pub type LotResult = Result<Lot, UnreadLot>;

/// How much of a package is read, and with what.
#[derive(Clone, Copy)]
pub struct Reading<'r> {
    pub spool: &'r SpoolSettings,
    pub terminology: &'r Terminology,
    pub limits: Limits,
}

/// What a package may make us hold or unpack.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub entries_max: usize,
    pub lots_max: usize,
    /// Each becomes an open file when it is large.
    pub documents_per_lot_max: usize,
    /// Of one document, unpacked.
    pub document_bytes_max: u64,
    /// Of all METADATA.XML together: they are held while the lots are put in order.
    pub metadata_bytes_max: u64,
    /// Of everything that is unpacked.
    pub package_bytes_max: u64,
    /// Unpacked size over packed size.
    pub ratio_max: u64,
    /// Of the documents of one lot in memory; the rest goes to files.
    pub lot_memory_bytes_max: usize,
}

impl From<&config::Limits> for Limits {
    fn from(limits: &config::Limits) -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            entries_max: 100_000,
            lots_max: 5_000,
            documents_per_lot_max: 500,
            document_bytes_max: limits.document_bytes_max,
            metadata_bytes_max: 64 * MIB,
            package_bytes_max: 64 * 1024 * MIB,
            ratio_max: 300,
            lot_memory_bytes_max: 64 * limits.document_memory_bytes_max,
        }
    }
}

/// The lots of one package: documents are unpacked as each lot's turn comes.
pub struct Lots<'r, R> {
    archive: Archive<R>,
    reading: Reading<'r>,
    /// The next one last.
    plans: Vec<Plan>,
    replaced: HashSet<UniqueId>,
}

/// Reads the directory and all metadata of a package, and decides the order of its lots.
///
/// Errors: `PackageForm`, `BodyTooLarge` when the package as a whole cannot be read; what is wrong with one
/// lot is that lot's own answer.
pub fn read_package<R: Read + Seek>(source: R, reading: Reading<'_>) -> Result<Lots<'_, R>, Failure> {
    let mut archive = Archive::open(source, reading.limits)?;
    let mut plans = Vec::new();
    let mut metadata_bytes = 0;
    for path in metadata_paths(&archive, &reading.limits)? {
        let mut xml = Vec::new();
        archive.read(&path, reading.limits.metadata_bytes_max - metadata_bytes, |piece| {
            xml.extend_from_slice(piece);
            Ok(())
        })?;
        metadata_bytes += xml.len() as u64;
        plans.push(Plan::read(&path, &xml, reading.terminology));
    }
    let unique_ids = unique_ids(&plans);
    let mut replaced = HashSet::new();
    for entry in plans.iter_mut().filter_map(|plan| plan.submission.as_mut().ok()).flat_map(|lot| &mut lot.documents) {
        for relation in &mut entry.relations {
            name_by_unique_id(&mut relation.target, &unique_ids);
            if let (RelationKind::Replaces, TargetName::Unique(target)) = (relation.kind, &relation.target) {
                replaced.insert(target.clone());
            }
        }
    }
    let mut plans = in_order(plans);
    plans.reverse();
    Ok(Lots { archive, reading, plans, replaced })
}

impl<R: Read + Seek> Iterator for Lots<'_, R> {
    type Item = LotResult;

    fn next(&mut self) -> Option<LotResult> {
        let plan = self.plans.pop()?;
        let name = plan.name.clone();
        Some(self.read_lot(plan).map_err(|failure| UnreadLot { name, failure }))
    }
}

impl<R: Read + Seek> Lots<'_, R> {
    fn read_lot(&mut self, plan: Plan) -> Result<Lot, Failure> {
        let Submission { set, documents, signatures, mut notes } = plan.submission.map_err(Failure::Refused)?;
        let documents_max = self.reading.limits.documents_per_lot_max;
        if documents.len() > documents_max {
            let found = format!("{} documents", documents.len());
            let expected = format!("at most {documents_max} in one lot");
            return Err(Refusal::new(Rule::BodyTooLarge, plan.name, found, expected).into());
        }
        notes.extend(signatures.iter().map(|signature| format!("{} is a signature and is not kept", signature.place)));
        let mut refusals = Vec::new();
        let mut memory_left = self.reading.limits.lot_memory_bytes_max;
        let mut drafts = Vec::with_capacity(documents.len());
        for entry in documents {
            if entry.declared_hash.is_none() || entry.declared_size.is_none() {
                notes.push(format!("{} has no hash or no size to hold its file against", entry.place));
            }
            match self.read_document(&plan.folder, entry, memory_left) {
                Ok(draft) => {
                    memory_left -= draft.content.in_memory().map_or(0, bytes::Bytes::len).min(memory_left);
                    drafts.push(draft);
                }
                Err(Failure::Refused(broken)) => refusals.extend(broken),
                Err(fault) => return Err(fault),
            }
        }
        if !refusals.is_empty() {
            return Err(Failure::Refused(refusals));
        }
        let request = DepositRequest { submission_set: Some(set), documents: drafts };
        Ok(Lot { name: plan.name, request, notes })
    }

    fn read_document(&mut self, folder: &str, entry: EntryDraft, memory_left: usize) -> Result<DocumentDraft, Failure> {
        self.check_status(&entry)?;
        let place = format!("{}/Slot[URI]", entry.place);
        let uri = entry.uri.clone().ok_or_else(|| Refusal::missing(&place, "the path of the document's file"))?;
        let Some(path) = resolve(folder, &uri) else {
            let expected = "a path inside the package, relative to METADATA.XML";
            return Err(Refusal::new(Rule::PackageForm, place, uri, expected).into());
        };
        let Some(path) = self.archive.find(&path).map(str::to_owned) else {
            return Err(Refusal::new(Rule::PackageForm, place, uri, "the path of a file of the package").into());
        };
        let mut settings = self.reading.spool.clone();
        settings.memory_bytes_max = settings.memory_bytes_max.min(memory_left);
        let mut writer = SpoolWriter::new(settings);
        self.archive.read(&path, self.reading.limits.document_bytes_max, |piece| {
            writer.write(piece).map_err(|cause| Fault::new("spooling a document of a package", cause).into())
        })?;
        Ok(entry.with_content(writer.finish()))
    }

    /// A deposit makes every document Approved: what a patient deleted or archived must not come back so.
    fn check_status(&self, entry: &EntryDraft) -> Result<(), Refusal> {
        let replaced = entry.metadata.unique_id.as_ref().is_some_and(|id| self.replaced.contains(id));
        match entry.status {
            None | Some(AvailabilityStatus::Approved) => Ok(()),
            Some(AvailabilityStatus::Deprecated) if replaced => Ok(()),
            Some(status) => Err(Refusal::new(
                Rule::MetadataValue,
                format!("{}/@status", entry.place),
                status.urn(),
                "Approved, or Deprecated with the document that replaces it in the same package",
            )),
        }
    }
}

/// Bytes of a file that is no package, measured and spooled like those of one.
pub(super) fn spool_document(mut source: impl Read, place: &str, reading: &Reading<'_>) -> Result<Spooled, Failure> {
    let mut writer = SpoolWriter::new(reading.spool.clone());
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0_u64;
    loop {
        let count = source.read(&mut buffer).map_err(|cause| Fault::new("reading a document to import", cause))?;
        if count == 0 {
            return Ok(writer.finish());
        }
        bytes += count as u64;
        if bytes > reading.limits.document_bytes_max {
            let expected = format!("at most {} bytes", reading.limits.document_bytes_max);
            return Err(Refusal::new(Rule::BodyTooLarge, place, "more bytes", expected).into());
        }
        writer.write(&buffer[..count]).map_err(|cause| Fault::new("spooling a document to import", cause))?;
    }
}

/// A lot whose metadata has been read, or why not.
struct Plan {
    name: String,
    /// Where METADATA.XML lies.
    folder: String,
    submission: Result<Submission, Vec<Refusal>>,
}

impl Plan {
    fn read(path: &str, xml: &[u8], terminology: &Terminology) -> Self {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let submission = SubmitObjectsRequest::read(xml)
            .map_err(|refusal| vec![refusal])
            .and_then(|request| read_submission(&request, terminology));
        Self { name: folder.to_owned(), folder: folder.to_owned(), submission }
    }

    fn documents(&self) -> &[EntryDraft] {
        self.submission.as_ref().map_or(&[], |submission| &submission.documents)
    }

    /// Oldest first; what has no time, or cannot be read, last.
    fn age(&self) -> (Timestamp, &str) {
        let time = self.submission.as_ref().ok().and_then(|submission| submission.set.submission_time);
        (time.map_or(Timestamp::MAX, crate::domain::dtm::Dtm::from), &self.name)
    }
}

/// Every `IHE_XDM/LOT/METADATA.XML`, at the top or under one folder, in order of name.
fn metadata_paths<R: Read + Seek>(archive: &Archive<R>, limits: &Limits) -> Result<Vec<String>, Refusal> {
    let depth_of = |path: &str| match path.split('/').collect::<Vec<_>>().as_slice() {
        [.., root, _, file] if !root.eq_ignore_ascii_case("IHE_XDM") || !file.eq_ignore_ascii_case("METADATA.XML") => {
            None
        }
        [_, _, _] => Some(0),
        [top, _, _, _] if *top != "__MACOSX" => Some(1),
        _ => None,
    };
    let found: Vec<_> = archive.paths().filter_map(|path| Some((depth_of(path)?, path))).collect();
    let Some(shallowest) = found.iter().map(|(depth, _)| *depth).min() else {
        let expected = "IHE_XDM/<lot>/METADATA.XML, at least one";
        return Err(Refusal::new(Rule::PackageForm, "zip", "no metadata", expected));
    };
    let mut paths: Vec<_> =
        found.into_iter().filter(|(depth, _)| *depth == shallowest).map(|(_, path)| path.to_owned()).collect();
    if paths.len() > limits.lots_max {
        let expected = format!("at most {} lots", limits.lots_max);
        return Err(Refusal::new(Rule::BodyTooLarge, "zip", format!("{} lots", paths.len()), expected));
    }
    paths.sort_unstable();
    Ok(paths)
}

/// The documents that the package itself calls by UUID.
fn unique_ids(plans: &[Plan]) -> HashMap<EntryUuid, UniqueId> {
    let entries = plans.iter().flat_map(Plan::documents);
    entries.filter_map(|entry| Some((entry.id.parse().ok()?, entry.metadata.unique_id.clone()?))).collect()
}

/// The registry gives new entryUUIDs: inside a package only the uniqueId survives the move (T-7).
fn name_by_unique_id(target: &mut TargetName, unique_ids: &HashMap<EntryUuid, UniqueId>) {
    if let TargetName::Entry(uuid) = target
        && let Some(unique_id) = unique_ids.get(uuid)
    {
        *target = TargetName::Unique(unique_id.clone());
    }
}

/// Oldest first, and what is replaced (or appended to) before what replaces it, whatever their dates say.
fn in_order(mut plans: Vec<Plan>) -> Vec<Plan> {
    plans.sort_by(|one, other| one.age().cmp(&other.age()));
    let homes: HashMap<&UniqueId, usize> = plans
        .iter()
        .enumerate()
        .flat_map(|(at, plan)| {
            plan.documents().iter().filter_map(move |entry| Some((entry.metadata.unique_id.as_ref()?, at)))
        })
        .collect();
    let needs: Vec<HashSet<usize>> = plans
        .iter()
        .enumerate()
        .map(|(at, plan)| {
            let targets = plan.documents().iter().flat_map(|entry| &entry.relations).map(|relation| &relation.target);
            let homes = targets.filter_map(|target| match target {
                TargetName::Unique(id) => homes.get(id).copied(),
                TargetName::Logical(_) | TargetName::Entry(_) => None,
            });
            homes.filter(|home| *home != at).collect()
        })
        .collect();
    let mut waiting: Vec<usize> = (0..plans.len()).collect();
    let mut ranks = vec![0; plans.len()];
    let mut done = HashSet::new();
    for rank in 0..plans.len() {
        // Lots that wait for each other in a circle go by age: the gateway says what is wrong with them.
        let next = waiting.iter().position(|at| needs[*at].is_subset(&done)).unwrap_or_default();
        let at = waiting.remove(next);
        ranks[at] = rank;
        done.insert(at);
    }
    let mut ranked: Vec<_> = ranks.into_iter().zip(plans).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, plan)| plan).collect()
}

/// A URI slot against the folder of its METADATA.XML; `None` when it is absolute or leaves the package.
fn resolve(folder: &str, uri: &str) -> Option<String> {
    let uri = uri.replace('\\', "/");
    if uri.contains(':') || uri.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in uri.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests;
