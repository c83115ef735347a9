//! What operations give back to the faces.

pub use super::retrieve::Retrieved;

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::confidentiality::VisibilityLabel;
use crate::domain::consent::{Consent, ConsentKind};
use crate::domain::document_entry::DocumentEntry;
use crate::domain::dossier::DossierState;
use crate::domain::ids::{ConsentId, LogicalId, SubmissionSetUuid};
use crate::domain::ins::Ins;
use crate::journal::event::Event;

/// Proof that the journal line of this outcome is on stable storage. Only operations make one.
#[derive(Debug)]
pub struct Journaled<T>(T);

impl<T> Journaled<T> {
    pub(super) fn new(outcome: T) -> Self {
        Self(outcome)
    }

    /// The outcome, now free to leave.
    pub fn disclose(self) -> T {
        self.0
    }
}

/// What became of a deposit; the same again for a submission that was sent twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepositOutcome {
    pub submission_set: SubmissionSetUuid,
    /// One per document, in the order of the request.
    pub entries: Vec<DepositedEntry>,
    pub registered: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepositedEntry {
    pub entry: DocumentEntry,
    /// The entries that this one replaced, now Deprecated.
    pub replaced: Vec<LogicalId>,
}

#[derive(Debug)]
pub struct SearchOutcome {
    /// Of everything that matches and that the caller may see.
    pub total: u64,
    pub entries: Vec<DocumentEntry>,
}

/// Lines of the journal, as their reader may see them.
#[derive(Debug)]
pub struct TraceOutcome {
    /// Of all lines that match and that the caller may see.
    pub total: u64,
    pub traces: Vec<Trace>,
    /// They are all from before this instant: pages of one reading say the same.
    pub before: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub id: Uuid,
    pub event: Event,
    /// Whose record it was about, where the reader is told.
    pub patient: Option<Ins>,
}

/// TD0.2: what may be told of a record to any admitted caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existence {
    /// The INS that was asked for first, then the others of the same patient.
    pub ins: Vec<Ins>,
    pub state: DossierState,
    pub authorisation: AuthorisationStatus,
    pub is_medecin_traitant: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorisationStatus {
    /// Consultation in normal mode is possible.
    Valid,
    /// It is not; a block looks the same, for the list is the patient's.
    None,
    /// A structure consults nothing, so it has no authorisation to speak of.
    NotApplicable,
}

/// A line of the patient's list to write, or the masking of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRequest {
    pub patient: Ins,
    /// `Some` to change the line of that id (PUT), `None` for a new one (POST).
    pub id: Option<ConsentId>,
    pub provision: ConsentProvision,
    /// `Inactive` ends the line (or the mask) now.
    pub state: ConsentState,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsentProvision {
    List(ConsentKind),
    /// A visibility label on one document.
    Label {
        document: LogicalId,
        label: VisibilityLabel,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentState {
    Active,
    Inactive,
}

/// A written or read line of the list, with the patient it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsentOutcome {
    List {
        patient: Ins,
        consent: Consent,
    },
    /// A label has no line of its own: it lives on the document.
    Label {
        patient: Ins,
        document: LogicalId,
        label: VisibilityLabel,
        state: ConsentState,
    },
}

impl ConsentOutcome {
    /// The id of its Consent.
    pub fn id(&self) -> ConsentId {
        match self {
            Self::List { consent, .. } => consent.id,
            Self::Label { document, label, .. } => label_id(*document, *label),
        }
    }
}

/// The id of the Consent that a label is shown as: the document's, told apart by its last bits.
pub fn label_id(document: LogicalId, label: VisibilityLabel) -> ConsentId {
    ConsentId(Uuid::from_u128(document.0.as_u128() ^ bits_of(label)))
}

/// The documents that an id of a Consent may be about.
pub(super) fn documents_of(id: ConsentId) -> [LogicalId; VisibilityLabel::ALL.len()] {
    VisibilityLabel::ALL.map(|label| LogicalId(Uuid::from_u128(id.0.as_u128() ^ bits_of(label))))
}

fn bits_of(label: VisibilityLabel) -> u128 {
    match label {
        VisibilityLabel::MasquePs => 0,
        VisibilityLabel::InvisiblePatient => 1,
        VisibilityLabel::InvisibleRepresentantsLegaux => 2,
    }
}

/// One of the records that a professional may consult (TD0.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorisedDossier {
    /// The current one first.
    pub ins: Vec<Ins>,
    pub state: DossierState,
    pub authorised_since: Timestamp,
    pub is_medecin_traitant: bool,
}
