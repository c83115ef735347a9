//! What can be checked of a submission before the record is opened: E.4 steps 2 and 4 to 7.
//!
//! Every broken rule is collected, so that a sender mends a message once.

use std::collections::HashSet;
use std::hash::{Hash as _, Hasher};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use super::complete::{Intake, Rules, complete_document};
use super::draft::{DepositRequest, DocumentDraft, RelationDraft, SubmissionSetDraft};
use super::gateway::Gateway;
use crate::domain::author::{Author, AuthorPerson, Identifier, Institution, PersonKind};
use crate::domain::code::Code;
use crate::domain::document_entry::DocumentMetadata;
use crate::domain::dtm::Dtm;
use crate::domain::ids::{SubmissionSetUuid, UniqueId};
use crate::domain::ins::Ins;
use crate::domain::national_id::{PS_ID_NAT_OID, STRUCT_ID_NAT_OID, StructIdNat};
use crate::domain::sha::{Fingerprint, hex};
use crate::domain::submission_set::SubmissionSet;
use crate::identity::caller::Caller;
use crate::identity::finess::Link;
use crate::refusal::{Failure, Fault, Refusal, Rule};
use crate::spool::Spooled;

/// A submission that breaks no rule by itself. Only [`Gateway::check`] makes one.
#[derive(Debug)]
pub(super) struct CheckedSubmission {
    pub(super) set: SubmissionSet,
    pub(super) set_place: String,
    pub(super) patient_place: String,
    pub(super) documents: Vec<CheckedDocument>,
    /// SHA-256 of all that was sent: a submission with the same one is the same submission.
    pub(super) digest: Vec<u8>,
}

impl CheckedSubmission {
    /// A submission has at least one document; without, its set stands for it.
    pub(super) fn first_unique_id(&self) -> &UniqueId {
        self.documents.first().map_or(&self.set.unique_id, |document| &document.metadata.unique_id)
    }
}

#[derive(Debug)]
pub(super) struct CheckedDocument {
    pub(super) place: String,
    pub(super) metadata: DocumentMetadata,
    pub(super) fingerprint: Fingerprint,
    pub(super) relations: Vec<RelationDraft>,
}

/// Documents, each with its bytes, and every rule that was broken on the way.
type Completed = (Vec<(CheckedDocument, Spooled)>, Vec<Refusal>);

impl Gateway {
    /// Checks a submission; gives it back with the bytes of its documents, in their order.
    pub(super) async fn check(
        &self,
        caller: &Caller,
        request: DepositRequest,
        now: Timestamp,
    ) -> Result<(CheckedSubmission, Vec<Spooled>), Failure> {
        let digest = digest_of(&request);
        if request.documents.is_empty() {
            return Err(Refusal::missing("submission.documents", "at least one document").into());
        }
        let (completed, mut refusals) = self.complete_all(caller, request.documents, now).await?;
        let (documents, contents): (Vec<_>, Vec<_>) = completed.into_iter().unzip();
        refusals.extend(check_together(&documents));
        let set_draft = request.submission_set.unwrap_or_default();
        if let (true, Some(first)) = (refusals.is_empty(), documents.first()) {
            refusals.extend(check_patient(&set_draft, &first.metadata.patient_id));
            refusals.extend(self.check_set_author(&set_draft, caller));
        }
        match documents.first() {
            Some(first) if refusals.is_empty() => {
                let (set_place, patient_place) = (set_draft.place.clone(), format!("{}.patientId", first.place));
                let set = self.complete_set(set_draft, caller, first.metadata.patient_id.clone(), now);
                Ok((CheckedSubmission { set, set_place, patient_place, documents, digest }, contents))
            }
            _ => Err(Failure::Refused(refusals)),
        }
    }

    /// Completes every document. Small ones are read where they are, warm in this core's cache; the parser may
    /// hold the largest text of a large one in memory (a PDF in base64), so few of those are at work at one time.
    async fn complete_all(
        &self,
        caller: &Caller,
        drafts: Vec<DocumentDraft>,
        now: Timestamp,
    ) -> Result<Completed, Failure> {
        let (terminology, config) = (Arc::clone(&self.terminology), Arc::clone(&self.config));
        let institution = institution_of(caller);
        let rules = match caller {
            Caller::Operator => Rules::Migration,
            Caller::Direct(..)
            | Caller::Air(..)
            | Caller::Employee(..)
            | Caller::Indirect(..)
            | Caller::PatientPortal(..) => Rules::Deposit,
        };
        let size_bytes: u64 = drafts.iter().map(|draft| draft.content.fingerprint().size_bytes).sum();
        let completing = move || {
            let intake = Intake {
                terminology: &terminology,
                ins_domains: &config.dmp.ins_domains,
                on: now.to_zoned(TimeZone::UTC).date(),
                institution: institution.as_ref(),
                rules,
            };
            complete_each(drafts, &intake)
        };
        if size_bytes <= SMALL_BYTES {
            return completing();
        }
        let readers = Arc::clone(&self.readers);
        let turn = readers.acquire_owned().await.map_err(|error| Fault::new("turn of a reader", error))?;
        let reading = tokio::task::spawn_blocking(move || {
            // The turn ends with the work: a caller who hangs up frees nothing that is still in use.
            let completed = completing();
            drop(turn);
            completed
        });
        reading.await.map_err(|error| Fault::new("reader of documents", error))?
    }

    /// Whoever acts for a structure deposits for it or for a site of it (C.5, I.2).
    ///
    /// Refused only where it is known to be neither: a token states the structure, or the FINESS table knows both
    /// numbers. Without these, a hospital whose certificate names its legal entity sends sets of its sites all the
    /// same, and nothing tells them from others.
    fn check_set_author(&self, set: &SubmissionSetDraft, caller: &Caller) -> Option<Refusal> {
        let (Caller::Employee(..) | Caller::Indirect(..)) = caller else { return None };
        let own = caller.structure_id()?;
        let institution = set.author.as_ref()?.institution.as_ref()?.id.as_ref()?;
        let named: StructIdNat = Some(institution).filter(|id| id.system == STRUCT_ID_NAT_OID)?.value.parse().ok()?;
        let link = |other: &StructIdNat| self.structures.link(&named, other);
        let speaks = |other: &StructIdNat| {
            named == *other || link(other) == Link::Linked || self.structures.link(other, &named) == Link::Linked
        };
        let certified = caller.token().and_then(|token| token.signer.structure());
        let is_known = caller.token().is_some() || matches!(link(own), Link::Other(_) | Link::Unknown);
        if speaks(own) || certified.as_ref().is_some_and(speaks) || !is_known {
            return None;
        }
        let expected = format!(
            "{own}, the structure of the caller, or one of its sites (dmp.finess_table): \
             Aucun AuthorInstitution ne correspond à l'utilisateur du VIHF"
        );
        let place = format!("{}.XDSSubmissionSet.author", set.place);
        Some(Refusal::new(Rule::SetAuthorStructure, place, named.as_str(), expected))
    }

    /// Fills in what a set may leave to the gateway: D.3.
    fn complete_set(
        &self,
        draft: SubmissionSetDraft,
        caller: &Caller,
        patient_id: Ins,
        now: Timestamp,
    ) -> SubmissionSet {
        let uuid = SubmissionSetUuid::new();
        SubmissionSet {
            uuid,
            unique_id: draft.unique_id.unwrap_or(UniqueId::Uuid(uuid.0)),
            source_id: draft.source_id.unwrap_or_else(|| self.config.store.repository_unique_id.clone()),
            submission_time: draft.submission_time.unwrap_or_else(|| Dtm::of(now)),
            patient_id,
            content_type_code: draft.content_type_code.unwrap_or_else(|| Code::new(ACTIVITY_OID, ACTIVITY_OTHER)),
            author: draft.author.unwrap_or_else(|| author_of(caller)),
            title: draft.title,
            comments: draft.comments,
        }
    }
}

fn complete_each(drafts: Vec<DocumentDraft>, intake: &Intake<'_>) -> Result<Completed, Failure> {
    let (mut documents, mut refusals) = (Vec::new(), Vec::new());
    for mut draft in drafts {
        refusals.extend(check_bytes(&draft));
        match complete_document(&mut draft, intake) {
            Ok(metadata) => {
                let DocumentDraft { place, content, relations, .. } = draft;
                let fingerprint = content.fingerprint();
                documents.push((CheckedDocument { place, metadata, fingerprint, relations }, content));
            }
            Err(Failure::Refused(broken)) => refusals.extend(broken),
            Err(fault) => return Err(fault),
        }
    }
    Ok((documents, refusals))
}

/// What takes well under a millisecond to read.
const SMALL_BYTES: u64 = 512 * 1024;

/// TRE_R209, and its code for what no other says (PV1-2 `N` of the hospital mapping).
const ACTIVITY_OID: &str = "1.2.250.1.213.2.2";
const ACTIVITY_OTHER: &str = "97";

fn author_of(caller: &Caller) -> Author {
    let person = match caller {
        Caller::Direct(professional, ..) => Some(AuthorPerson {
            id: Some(Identifier::new(PS_ID_NAT_OID, professional.id.as_str())),
            kind: PersonKind::Professional,
            family: Some(professional.family.clone()),
            given: Some(professional.given.clone()),
        }),
        Caller::Employee(employee, ..) => Some(AuthorPerson {
            id: Some(Identifier::new(PS_ID_NAT_OID, employee.id.as_str())),
            kind: PersonKind::Professional,
            family: Some(employee.family.clone()),
            given: Some(employee.given.clone()),
        }),
        // AIR deposits nothing; the others have no person.
        Caller::Air(..) | Caller::Indirect(..) | Caller::PatientPortal(..) | Caller::Operator => None,
    };
    Author { person, institution: institution_of(caller), ..Author::default() }
}

/// The structure behind the certificate: custodian of documents that name none (T-15).
fn institution_of(caller: &Caller) -> Option<Institution> {
    let structure = match caller {
        Caller::Indirect(structure, ..) | Caller::PatientPortal(structure, _) => structure,
        Caller::Employee(employee, ..) => &employee.structure,
        Caller::Direct(..) | Caller::Air(..) | Caller::Operator => return None,
    };
    Some(Institution {
        id: Some(Identifier::new(STRUCT_ID_NAT_OID, structure.id.as_str())),
        name: Some(structure.name.clone()),
    })
}

/// Hash and size are held against what arrived, never trusted.
fn check_bytes(draft: &DocumentDraft) -> Vec<Refusal> {
    let arrived = draft.content.fingerprint();
    let mut refusals = Vec::new();
    if arrived.size_bytes == 0 {
        let place = format!("{}.document", draft.place);
        refusals.push(Refusal::new(Rule::EmptyDocument, place, "0 bytes", "the bytes of a document"));
    }
    if let Some(declared) = draft.declared_hash.filter(|declared| *declared != arrived.sha1) {
        let place = format!("{}.hash", draft.place);
        refusals.push(Refusal::new(Rule::HashMismatch, place, hex(&declared.0), hex(&arrived.sha1.0)));
    }
    if let Some(declared) = draft.declared_size.filter(|declared| *declared != arrived.size_bytes) {
        let place = format!("{}.size", draft.place);
        refusals.push(Refusal::new(Rule::SizeMismatch, place, declared.to_string(), arrived.size_bytes.to_string()));
    }
    refusals
}

/// Rules among the documents of one submission: one patient, no id twice.
fn check_together(documents: &[CheckedDocument]) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut seen = HashSet::new();
    for document in documents {
        if !seen.insert(&document.metadata.unique_id) {
            let place = format!("{}.uniqueId", document.place);
            let found = document.metadata.unique_id.to_string();
            refusals.push(Refusal::new(Rule::UniqueIdTwice, place, found, "each unique id once in a submission"));
        }
    }
    let first = documents.first().map(|document| &document.metadata.patient_id);
    for document in documents.iter().filter(|document| Some(&document.metadata.patient_id) != first) {
        refusals.push(other_patient(&format!("{}.patientId", document.place), &document.metadata.patient_id));
    }
    refusals
}

fn check_patient(set: &SubmissionSetDraft, patient_id: &Ins) -> Option<Refusal> {
    let of_set = set.patient_id.as_ref().filter(|of_set| *of_set != patient_id)?;
    Some(other_patient(&format!("{}.patientId", set.place), of_set))
}

fn other_patient(place: &str, found: &Ins) -> Refusal {
    Refusal::new(Rule::PatientMismatch, place, found.masked(), "one patient for the submission and all its documents")
}

/// Names a submission by everything that was sent with it. The order of the attributes is stable within one
/// release; a resend across an upgrade that changed it is refused as a duplicate, never stored twice.
fn digest_of(request: &DepositRequest) -> Vec<u8> {
    let mut digest = Sha256Hasher(Sha256::new());
    request.submission_set.hash(&mut digest);
    for document in &request.documents {
        document.metadata.hash(&mut digest);
        document.content.fingerprint().hash(&mut digest);
        (document.declared_hash, document.declared_size).hash(&mut digest);
        document.relations.hash(&mut digest);
    }
    digest.0.finalize().to_vec()
}

/// Takes in what `derive(Hash)` says of a value: each attribute with its length or kind, so that no two differ alone
/// in where one ends.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of no use here: the whole digest is what is asked for.
    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        digest.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }
}
