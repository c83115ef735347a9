//! The only maker of [`Permit`] and [`Denial`].
//!
//! One function of the caller, the record with the patient's list, the day, and the matrices of `profiles/`: the
//! steps of F.4 in their order. What a matrix says is data; what no matrix says is here (the list, emergencies) and in
//! `portal` (the patient and who acts for them). The tables that it makes are printed in `tests/decision/`.

mod portal;

use std::collections::BTreeSet;
use std::marker::PhantomData;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::habilitation::Practising;
use super::matrices::Matrices;
use super::rights::{Cell, Column, Rights, Row, Standing, Treating};
use super::visibility::{Others, Shown, Visibility, listed_statuses};
use crate::domain::confidentiality::VisibilityLabel;
use crate::domain::dossier::{Dossier, DossierState};
use crate::domain::ids::DossierId;
use crate::domain::national_id::{PsIdNat, StructIdNat};
use crate::domain::status::AvailabilityStatus;
use crate::identity::caller::{Caller, CallerId, Practice, Purpose};

/// Something a caller may want to do with one record: a closed set, each a type of its own.
pub trait Act: sealed::Sealed + Send + Sync + 'static {
    const ACTION: Action;
}

macro_rules! acts {
    ($($(#[$doc:meta])* $name:ident),*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action { $($(#[$doc])* $name),* }

        impl Action {
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }

        $($(#[$doc])* #[derive(Debug)] pub enum $name {}
          impl Act for $name { const ACTION: Action = Action::$name; }
          impl sealed::Sealed for $name {})*
    };
}
acts! {
    /// Ask whether there is a record, and in which state (TD0.2).
    Existence,
    /// Put a document into the record, or replace one.
    Deposit,
    /// Search, read metadata (TD3.1).
    Consult,
    /// Read a document itself (TD3.2).
    Retrieve,
    /// A professional declares that the patient authorised them (TD0.3).
    DeclareAuthorisation,
    /// A professional ends the authorisation that names them (TD0.3).
    RemoveAuthorisation,
    /// A médecin traitant ends the line that names them so (TD0.3).
    LeaveAsMedecinTraitant,
    /// Read whom the patient authorised, blocked, named (TD1.6).
    ListAuthorisations,
    /// Change the patient's list, by the patient's act.
    SetList,
    /// Say who represents a minor.
    NameRepresentative,
    /// Say who helps the patient, until when.
    NameAidant,
    /// Hide a document from professionals (TD3.3a).
    Mask,
    /// Show it to them again (TD3.3a).
    Unmask,
    /// Put INVISIBLE_PATIENT on a document that the patient has not seen.
    ConcealFromPatient,
    /// Take it away (TD3.3b).
    RevealToPatient,
    /// Put INVISIBLE_REPRESENTANTS_LEGAUX on a document, at the minor's request.
    ConcealFromRepresentatives,
    /// Take it away (TD3.3b).
    RevealToRepresentatives,
    /// Read who did what with the record (R1111-43): `access::journal` says which lines.
    ReadJournal
}

mod sealed {
    pub trait Sealed {}
}

/// Proof that one caller may do `A` on one record. Only [`decide`] makes one.
#[derive(Debug)]
pub struct Permit<A> {
    dossier: DossierId,
    holder: CallerId,
    rule: RuleId,
    visibility: Visibility,
    action: PhantomData<A>,
}

impl<A: Act> Permit<A> {
    pub fn dossier(&self) -> DossierId {
        self.dossier
    }

    pub fn holder(&self) -> &CallerId {
        &self.holder
    }

    pub fn rule(&self) -> RuleId {
        self.rule
    }

    pub fn visibility(&self) -> &Visibility {
        &self.visibility
    }
}

/// Why a caller may not. The rule goes to the journal, never to the caller (the patient's list is theirs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    pub rule: RuleId,
}

/// The rule that decided, as the journal names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleId {
    ExistenceIsOpen,
    DepositNeedsNoAuthorisation,
    OwnDocumentsOnly,
    Authorised,
    MedecinTraitant,
    BrisDeGlace,
    Centre15,
    PatientsOwnAct,
    LegalRepresentative,
    Aidant,
    Operator,
    Closed,
    Blocked,
    NotAuthorised,
    OppositionBrisDeGlace,
    OppositionCentre15,
    ModeConsultsNothing,
    ModeMayNot,
    OccupationalMedicine,
    ExpressConsent,
    OtherPatient,
    NoDelegation,
    NobodyBeforeThePortal,
    OwnTraces,
}

impl RuleId {
    pub fn code(self) -> &'static str {
        match self {
            Self::ExistenceIsOpen => "F.1 TD0.2",
            Self::DepositNeedsNoAuthorisation => "F.4-8",
            Self::OwnDocumentsOnly => "F.1-5",
            Self::Authorised => "F.4-12",
            Self::MedecinTraitant => "F.2-mt",
            Self::BrisDeGlace => "F.4-10",
            Self::Centre15 => "F.4-11",
            Self::PatientsOwnAct => "F.4-4",
            Self::LegalRepresentative => "F.4-5",
            Self::Aidant => "F.4-6",
            Self::Operator => "G operator",
            Self::Closed => "F.4-3 closed",
            Self::Blocked => "F.4-9 blocked",
            Self::NotAuthorised => "F.4-12 not authorised",
            Self::OppositionBrisDeGlace => "F.4-10 opposed",
            Self::OppositionCentre15 => "F.4-11 opposed",
            Self::ModeConsultsNothing => "B.3 mode consults nothing",
            Self::ModeMayNot => "F.4-7 mode",
            Self::OccupationalMedicine => "F.1-T own documents",
            Self::ExpressConsent => "F.2 express consent",
            Self::OtherPatient => "C.2 token or session of another patient",
            Self::NoDelegation => "F.4-6 no delegation in force",
            Self::NobodyBeforeThePortal => "F.4-4 nobody stated",
            Self::OwnTraces => "F.2 own traces",
        }
    }

    /// Whether who was let in by this rule is not to know what was done over a secret connection (F.4-5, J64).
    pub fn hides_secrets(self) -> bool {
        matches!(self, Self::LegalRepresentative | Self::Aidant)
    }
}

/// Decides whether `caller` may do `A` on `dossier` at `now`, and what they see of it.
pub fn decide<A: Act>(
    matrices: &Matrices,
    caller: &Caller,
    dossier: &Dossier,
    now: Timestamp,
) -> Result<Permit<A>, Denial> {
    let question = Question { matrices, caller, dossier, now, on: day_of(now) };
    let (rule, others) = question.answer(A::ACTION).map_err(|rule| Denial { rule })?;
    let holder = caller.id();
    let visibility = Visibility { others, holder: holder.clone(), at: now };
    Ok(Permit { dossier: dossier.id, holder, rule, visibility, action: PhantomData })
}

/// Whether a caller's mode reads documents at all, whichever they are: a structure and its employees find references
/// to their own (F.1 row TD3.2 and note 5, B.3), occupational medicine reads metadata, the portal hands on what somebody
/// asks for.
pub fn may_retrieve(matrices: &Matrices, caller: &Caller, now: Timestamp) -> bool {
    if let Caller::PatientPortal(_, session) = caller {
        return session.patient().is_some();
    }
    let standing = matrices.rights.standing(caller, Treating::Other);
    standing.is_some_and(|at| matrices.rights.cell(Row::Unmasked, at, day_of(now)) == Cell::Yes)
}

/// Of whose authorisations a caller may have the list (TD0.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorisationsOf {
    Professional(PsIdNat),
    /// Its own, and those that its professionals declared there (F.1 note 2).
    Structure(StructIdNat),
    /// The same, and only from a day on that the caller names (F.1 note 3).
    StructureSince(StructIdNat),
}

/// Whether a caller may have the list of the records that they were let into (TD0.4). It opens none of them: no record
/// and no list is asked.
pub fn may_list_dossiers(matrices: &Matrices, caller: &Caller, now: Timestamp) -> Result<AuthorisationsOf, Denial> {
    let denied = Denial { rule: RuleId::ModeMayNot };
    let at = matrices.rights.standing(caller, Treating::Other).ok_or(denied)?;
    let cell = matrices.rights.cell(Row::MyDmps, at, day_of(now));
    match (cell, caller.professional_id(), caller.structure_id()) {
        (Cell::Yes, Some(id), _) => Ok(AuthorisationsOf::Professional(id.clone())),
        (Cell::OfStructure, _, Some(id)) => Ok(AuthorisationsOf::Structure(id.clone())),
        (Cell::NewAuthorisations, _, Some(id)) => Ok(AuthorisationsOf::StructureSince(id.clone())),
        _ => Err(denied),
    }
}

/// The rule that decided, and with a permit what of the documents of others it shows.
type Answer = Result<(RuleId, Others), RuleId>;

/// All that an answer depends on, but for the action.
struct Question<'q> {
    matrices: &'q Matrices,
    caller: &'q Caller,
    dossier: &'q Dossier,
    now: Timestamp,
    on: Date,
}

/// A column of the matrix that is about the caller, on one day.
#[derive(Clone, Copy)]
struct Cells<'q> {
    rights: &'q Rights,
    at: Standing,
    on: Date,
}

impl Cells<'_> {
    fn of(self, row: Row) -> Cell {
        self.rights.cell(row, self.at, self.on)
    }

    fn grants(self, row: Row) -> bool {
        self.of(row) != Cell::No
    }
}

impl Question<'_> {
    /// Steps 3, 7 and 8 of F.4; the rest where somebody reads.
    fn answer(&self, action: Action) -> Answer {
        let closed = matches!(self.dossier.state, DossierState::Closed { .. });
        if closed && action != Action::Existence && !self.is_holders_reading(action) {
            return Err(RuleId::Closed);
        }
        if self.caller.stated_patient().is_some_and(|ins| !self.dossier.ins.contains(ins)) {
            return Err(RuleId::OtherPatient);
        }
        match self.caller {
            Caller::PatientPortal(_, session) => return portal::answer(session, self.dossier, action, self.now),
            Caller::Operator => return of_operator(action),
            Caller::Direct(..) | Caller::Air(..) | Caller::Employee(..) | Caller::Indirect(..) => {}
        }
        let Some(at) = self.matrices.rights.standing(self.caller, self.treating()) else {
            return Err(RuleId::ModeMayNot);
        };
        let cells = Cells { rights: &self.matrices.rights, at, on: self.on };
        match action {
            Action::Existence if cells.grants(Row::Existence) => Ok((RuleId::ExistenceIsOpen, Others::Nothing)),
            Action::Deposit if cells.grants(Row::Deposit) || cells.grants(Row::DepositByCpe) => {
                Ok((RuleId::DepositNeedsNoAuthorisation, Others::Nothing))
            }
            Action::Consult if cells.of(Row::Metadata) == Cell::Yes => self.read(action, cells),
            Action::Consult if cells.grants(Row::OwnReference) => Ok((RuleId::OwnDocumentsOnly, Others::Nothing)),
            Action::Retrieve if cells.of(Row::Unmasked) == Cell::Yes => self.read(action, cells),
            Action::Consult | Action::Retrieve => Err(RuleId::ModeConsultsNothing),
            Action::DeclareAuthorisation if cells.grants(Row::DeclareAuthorised) => self.write_own_line(),
            Action::RemoveAuthorisation if cells.grants(Row::RemoveOwnAuthorisation) => self.write_own_line(),
            Action::LeaveAsMedecinTraitant if cells.grants(Row::RemoveSelfAsMt) => self.write_own_line(),
            Action::ListAuthorisations if cells.grants(Row::ListPs) => match self.read(Action::Consult, cells)? {
                // They are let in to what is theirs, and the list is not.
                (RuleId::OccupationalMedicine, _) => Err(RuleId::NotAuthorised),
                other => Ok(other),
            },
            Action::Mask if cells.grants(Row::Mask) => self.read(Action::Consult, cells),
            Action::Unmask if cells.of(Row::Unmask) == Cell::Yes => self.read(Action::Consult, cells),
            Action::Unmask if cells.grants(Row::Unmask) => self.own_of_readers(cells),
            Action::RevealToPatient if cells.grants(Row::MakeVisible) => self.read(Action::Consult, cells),
            // No row says who hides a document after its deposit, or shows to parents what a minor keeps from them:
            // whoever deposited or wrote it (F.2, R1111-50, -53).
            Action::ConcealFromPatient | Action::ConcealFromRepresentatives | Action::RevealToRepresentatives
                if cells.grants(Row::Mask) =>
            {
                self.own_of_readers(cells)
            }
            Action::ReadJournal => Ok(self.read_journal()),
            _ => Err(RuleId::ModeMayNot),
        }
    }

    /// R1111-43: the médecin traitant in normal mode reads every line, whatever became of its documents; every other
    /// actor what they did themselves, with the documents that they may still see.
    fn read_journal(&self) -> (RuleId, Others) {
        match self.answer(Action::Consult) {
            Ok((RuleId::MedecinTraitant, others)) => (RuleId::MedecinTraitant, others.of_every_status()),
            Ok((_, others)) => (RuleId::OwnTraces, others),
            Err(_) => (RuleId::OwnTraces, Others::Nothing),
        }
    }

    /// What was done with a closed record is still its holder's to know.
    fn is_holders_reading(&self, action: Action) -> bool {
        action == Action::ReadJournal && matches!(self.caller, Caller::PatientPortal(..) | Caller::Operator)
    }

    /// Their own documents, for those who may read the record.
    fn own_of_readers(&self, cells: Cells<'_>) -> Answer {
        self.read(Action::Consult, cells).map(|(rule, _)| (rule, Others::Nothing))
    }

    fn treating(&self) -> Treating {
        match self.caller.professional_id() {
            Some(id) if self.dossier.is_medecin_traitant(id, self.now) => Treating::MedecinTraitant,
            _ => Treating::Other,
        }
    }

    /// Steps 9 to 12 of F.4, for a professional who wants to read.
    fn read(&self, action: Action, cells: Cells<'_>) -> Answer {
        let (id, practising) = match self.caller {
            Caller::Direct(who, ..) => {
                (&who.id, Practising { profession: &who.profession, savoir_faire: &who.savoir_faire })
            }
            Caller::Air(who, ..) => {
                (&who.id, Practising { profession: &who.profession, savoir_faire: &who.savoir_faire })
            }
            Caller::Employee(..) | Caller::Indirect(..) | Caller::PatientPortal(..) | Caller::Operator => {
                return Err(RuleId::ModeConsultsNothing);
            }
        };
        let is_occupational = cells.at.column == Column::T;
        // Column T has no purposes.
        let in_emergency = *self.caller.purpose() != Purpose::Normal && !is_occupational;
        let block_holds = !in_emergency || self.matrices.block_in_emergencies;
        if block_holds && self.dossier.is_blocked(id, self.now) {
            return Err(RuleId::Blocked);
        }
        let rule = if is_occupational { self.occupational(id) } else { self.entitled(id)? };
        match rule {
            RuleId::OccupationalMedicine => Ok((rule, Others::Nothing)),
            _ => Ok((rule, Others::Shown(self.shown(action, cells, practising)))),
        }
    }

    /// What lets a professional read, by their purpose.
    fn entitled(&self, id: &PsIdNat) -> Result<RuleId, RuleId> {
        let (dossier, now) = (self.dossier, self.now);
        match self.caller.purpose() {
            Purpose::BrisDeGlace { .. } if dossier.opposes_bris_de_glace(now) => Err(RuleId::OppositionBrisDeGlace),
            Purpose::BrisDeGlace { .. } => Ok(RuleId::BrisDeGlace),
            Purpose::Centre15 if dossier.opposes_centre_15(now) => Err(RuleId::OppositionCentre15),
            Purpose::Centre15 => Ok(RuleId::Centre15),
            Purpose::Normal if dossier.is_medecin_traitant(id, now) => Ok(RuleId::MedecinTraitant),
            Purpose::Normal if dossier.is_authorised(id, self.caller.structure_id(), now) => Ok(RuleId::Authorised),
            Purpose::Normal => Err(RuleId::NotAuthorised),
        }
    }

    /// F.1 column T has metadata; the law wants the patient's express consent (CSP L1111-17, L1111-18) whatever the
    /// purpose, which is an authorisation of this person by the patient's own act. Without: own references.
    fn occupational(&self, id: &PsIdNat) -> RuleId {
        let is_given = self.dossier.is_expressly_authorised(id, self.now);
        if is_given { RuleId::ExpressConsent } else { RuleId::OccupationalMedicine }
    }

    /// Steps 13 to 16 of F.4, for the store to apply.
    fn shown(&self, action: Action, cells: Cells<'_>, practising: Practising<'_>) -> Shown {
        let is_given = |status: &AvailabilityStatus| cells.of(row_of_status(*status)) == Cell::Yes;
        let statuses: BTreeSet<_> = match action {
            Action::Retrieve => AvailabilityStatus::ALL.into_iter().filter(is_given).collect(),
            _ => listed_statuses(),
        };
        let hides = |label: &VisibilityLabel| match cells.of(row_of_label(*label)) {
            Cell::Yes => false,
            Cell::IfPatientAllows => !self.dossier.shows_masked_in_emergencies(self.now),
            _ => true,
        };
        let hidden_by = VisibilityLabel::ALL.into_iter().filter(hides).collect();
        let readable = self.matrices.habilitation.readable(practising, self.on);
        Shown { statuses, hidden_by, readable, specialties: practising.specialties() }
    }

    /// TD0.3: never by somebody whom the patient blocked, nor for occupational medicine, whose consent the patient
    /// gives (F.1 column T).
    fn write_own_line(&self) -> Answer {
        match self.caller {
            Caller::Employee(employee, ..) if employee.practice == Practice::OccupationalMedicine => {
                Err(RuleId::ModeMayNot)
            }
            other if other.professional_id().is_some_and(|id| self.dossier.is_blocked(id, self.now)) => {
                Err(RuleId::Blocked)
            }
            _ => Ok((RuleId::Authorised, Others::Nothing)),
        }
    }
}

/// The operator acts on the patient's written demand and migrates; reads no document, and the journal as its holder.
fn of_operator(action: Action) -> Answer {
    match action {
        Action::ReadJournal => {
            let shown = Others::Shown(Shown::all_but(&[VisibilityLabel::InvisiblePatient]));
            Ok((RuleId::Operator, shown.of_every_status()))
        }
        Action::Existence
        | Action::ListAuthorisations
        | Action::SetList
        | Action::NameRepresentative
        | Action::NameAidant => Ok((RuleId::Operator, Others::Nothing)),
        Action::Mask
        | Action::Unmask
        | Action::ConcealFromPatient
        | Action::RevealToPatient
        | Action::ConcealFromRepresentatives
        | Action::RevealToRepresentatives => Ok((RuleId::Operator, Others::Shown(Shown::all_but(&[])))),
        Action::Deposit => Ok((RuleId::DepositNeedsNoAuthorisation, Others::Nothing)),
        Action::Consult | Action::Retrieve => Err(RuleId::ModeConsultsNothing),
        Action::DeclareAuthorisation | Action::RemoveAuthorisation | Action::LeaveAsMedecinTraitant => {
            Err(RuleId::ModeMayNot)
        }
    }
}

fn row_of_status(status: AvailabilityStatus) -> Row {
    match status {
        AvailabilityStatus::Approved => Row::Unmasked,
        AvailabilityStatus::Deprecated => Row::Obsolete,
        AvailabilityStatus::Archived => Row::Archived,
        AvailabilityStatus::Deleted => Row::Deleted,
    }
}

/// Notes 6 and 7 of F.1: a cell that is not a plain yes leaves a masked document to its depositor and its authors, and
/// note 7 to emergencies if the patient allowed that.
fn row_of_label(label: VisibilityLabel) -> Row {
    match label {
        VisibilityLabel::MasquePs => Row::MaskedToPs,
        VisibilityLabel::InvisiblePatient | VisibilityLabel::InvisibleRepresentantsLegaux => Row::InvisibleToPatient,
    }
}

/// Matrices change by the day, as value sets do.
fn day_of(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date()
}
