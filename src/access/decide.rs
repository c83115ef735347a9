//! The only maker of [`Permit`] and [`Denial`].
//!
//! First form of the decision table F.4: state of the record, block, purpose and oppositions, authorisation,
//! mask. The matrices F.1 and F.3 as versioned data are the access issue's.

use std::marker::PhantomData;

use jiff::Timestamp;

use super::visibility::{Masked, Scope, Visibility};
use crate::domain::dossier::{Dossier, DossierState};
use crate::domain::ids::DossierId;
use crate::domain::national_id::{PsIdNat, StructIdNat};
use crate::identity::caller::{Caller, CallerId, Practice, Purpose, StructurePurpose};

/// Something a caller may want to do with one record: a closed set, each a type of its own.
pub trait Act: sealed::Sealed + Send + Sync + 'static {
    const ACTION: Action;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Deposit,
    Consult,
    Retrieve,
    DeclareAuthorisation,
    SetList,
}

macro_rules! acts {
    ($($(#[$doc:meta])* $name:ident),*) => {
        $($(#[$doc])* #[derive(Debug)] pub enum $name {}
          impl Act for $name { const ACTION: Action = Action::$name; }
          impl sealed::Sealed for $name {})*
    };
}
acts! {
    /// Put a document into the record, or replace one.
    Deposit,
    /// Search, read metadata (TD3.1).
    Consult,
    /// Read a document itself (TD3.2).
    Retrieve,
    /// A professional declares that the patient authorised them (TD0.3).
    DeclareAuthorisation,
    /// Change the patient's list or the mask of a document, by the patient's act.
    SetList
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
    DepositNeedsNoAuthorisation,
    OwnDocumentsOnly,
    Authorised,
    MedecinTraitant,
    BrisDeGlace,
    Centre15,
    PatientsOwnAct,
    Closed,
    Blocked,
    NotAuthorised,
    OppositionBrisDeGlace,
    OppositionCentre15,
    ModeConsultsNothing,
    ModeMayNot,
    OccupationalMedicine,
    OtherPatient,
}

impl RuleId {
    pub fn code(self) -> &'static str {
        match self {
            Self::DepositNeedsNoAuthorisation => "F.4-8",
            Self::OwnDocumentsOnly => "F.1-5",
            Self::Authorised => "F.4-12",
            Self::MedecinTraitant => "F.2-mt",
            Self::BrisDeGlace => "F.4-10",
            Self::Centre15 => "F.4-11",
            Self::PatientsOwnAct => "F.4-4",
            Self::Closed => "F.4-3 closed",
            Self::Blocked => "F.4-9 blocked",
            Self::NotAuthorised => "F.4-12 not authorised",
            Self::OppositionBrisDeGlace => "F.4-10 opposed",
            Self::OppositionCentre15 => "F.4-11 opposed",
            Self::ModeConsultsNothing => "B.3 mode consults nothing",
            Self::ModeMayNot => "F.4-7 mode",
            Self::OccupationalMedicine => "F.1-T own documents",
            Self::OtherPatient => "C.2 token of another patient",
        }
    }
}

/// Decides whether `caller` may do `A` on `dossier` at `now`, and what they see of it.
pub fn decide<A: Act>(caller: &Caller, dossier: &Dossier, now: Timestamp) -> Result<Permit<A>, Denial> {
    if let DossierState::Closed { .. } = dossier.state {
        return Err(Denial { rule: RuleId::Closed });
    }
    if caller.token().and_then(|token| token.statement.patient.as_ref()).is_some_and(|ins| !dossier.ins.contains(ins)) {
        return Err(Denial { rule: RuleId::OtherPatient });
    }
    let own = |rule| (rule, Scope::OwnOnly, Masked::OwnOnly);
    let decided = match (A::ACTION, caller) {
        (Action::Deposit, Caller::Direct(..) | Caller::Employee(..) | Caller::Indirect(..) | Caller::Operator) => {
            Ok(own(RuleId::DepositNeedsNoAuthorisation))
        }
        (Action::Retrieve, _) if !may_retrieve(caller) => Err(RuleId::ModeConsultsNothing),
        (Action::Consult | Action::Retrieve, Caller::Direct(professional, purpose, _)) => match professional.practice {
            Practice::Care => consult(&professional.id, None, purpose, dossier, now),
            Practice::OccupationalMedicine => occupational(&professional.id, dossier, now).map(own),
        },
        (Action::Consult | Action::Retrieve, Caller::Air(professional, purpose, _)) => match professional.practice {
            Practice::Care => consult(&professional.id, caller.structure_id(), purpose, dossier, now),
            Practice::OccupationalMedicine => occupational(&professional.id, dossier, now).map(own),
        },
        (Action::Consult, Caller::Employee(..) | Caller::Indirect(..)) => Ok(own(RuleId::OwnDocumentsOnly)),
        (Action::DeclareAuthorisation, Caller::Direct(professional, purpose, _)) => {
            declare_authorisation(&professional.id, professional.practice, purpose, dossier, now).map(own)
        }
        (Action::DeclareAuthorisation, Caller::Air(professional, purpose, _)) => {
            declare_authorisation(&professional.id, professional.practice, purpose, dossier, now).map(own)
        }
        // F.1 note 1: the authorisation goes to the structure.
        (Action::DeclareAuthorisation, Caller::Employee(_, StructurePurpose::Normal, _)) => Ok(own(RuleId::Authorised)),
        (Action::SetList, Caller::PatientPortal(_) | Caller::Operator) => Ok(own(RuleId::PatientsOwnAct)),
        (Action::Retrieve, Caller::Employee(..) | Caller::Indirect(..))
        | (Action::Consult | Action::Retrieve, Caller::PatientPortal(_) | Caller::Operator) => {
            Err(RuleId::ModeConsultsNothing)
        }
        (Action::Deposit | Action::DeclareAuthorisation | Action::SetList, _) => Err(RuleId::ModeMayNot),
    };
    let (rule, scope, masked) = decided.map_err(|rule| Denial { rule })?;
    let holder = caller.id();
    let visibility = Visibility { scope, masked, holder: holder.clone() };
    Ok(Permit { dossier: dossier.id, holder, rule, visibility, action: PhantomData })
}

/// Whether a caller's mode reads documents at all, whichever they are: a structure and its employees find references
/// to their own (F.1 row TD3.2 and note 5, B.3), occupational medicine reads metadata.
pub fn may_retrieve(caller: &Caller) -> bool {
    match caller {
        Caller::Direct(professional, ..) => professional.practice == Practice::Care,
        Caller::Air(professional, ..) => professional.practice == Practice::Care,
        Caller::Employee(..) | Caller::Indirect(..) | Caller::PatientPortal(_) | Caller::Operator => false,
    }
}

/// Steps 9 to 14 of F.4 for a professional who wants to read.
fn consult(
    professional: &PsIdNat,
    structure: Option<&StructIdNat>,
    purpose: &Purpose,
    dossier: &Dossier,
    now: Timestamp,
) -> Result<(RuleId, Scope, Masked), RuleId> {
    if dossier.is_blocked(professional, now) {
        return Err(RuleId::Blocked);
    }
    match purpose {
        Purpose::BrisDeGlace { .. } if dossier.opposes_bris_de_glace(now) => Err(RuleId::OppositionBrisDeGlace),
        Purpose::BrisDeGlace { .. } => Ok((RuleId::BrisDeGlace, Scope::Record, Masked::OwnOnly)),
        Purpose::Centre15 if dossier.opposes_centre_15(now) => Err(RuleId::OppositionCentre15),
        Purpose::Centre15 => Ok((RuleId::Centre15, Scope::Record, Masked::OwnOnly)),
        Purpose::Normal if dossier.is_medecin_traitant(professional, now) => {
            Ok((RuleId::MedecinTraitant, Scope::Record, Masked::Shown))
        }
        Purpose::Normal if dossier.is_authorised(professional, structure, now) => {
            Ok((RuleId::Authorised, Scope::Record, Masked::OwnOnly))
        }
        Purpose::Normal => Err(RuleId::NotAuthorised),
    }
}

/// F.1 column T: a médecin du travail deposits, and finds what they deposited. The rest of the record waits for the
/// patient's express consent, which no line of the list says yet (F.2).
fn occupational(professional: &PsIdNat, dossier: &Dossier, now: Timestamp) -> Result<RuleId, RuleId> {
    if dossier.is_blocked(professional, now) { Err(RuleId::Blocked) } else { Ok(RuleId::OccupationalMedicine) }
}

/// F.1 row TD0.3: in normal mode only, and never by somebody whom the patient blocked.
fn declare_authorisation(
    professional: &PsIdNat,
    practice: Practice,
    purpose: &Purpose,
    dossier: &Dossier,
    now: Timestamp,
) -> Result<RuleId, RuleId> {
    if dossier.is_blocked(professional, now) {
        return Err(RuleId::Blocked);
    }
    match (purpose, practice) {
        (Purpose::Normal, Practice::Care) => Ok(RuleId::Authorised),
        (_, Practice::OccupationalMedicine) | (Purpose::BrisDeGlace { .. } | Purpose::Centre15, _) => {
            Err(RuleId::ModeMayNot)
        }
    }
}
