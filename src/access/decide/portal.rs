//! What the patient may, and who acts for them, through the portal: no matrix says it. Source: F.4 (4 to 6), F.2.

use jiff::Timestamp;

use super::{Action, Answer, RuleId};
use crate::access::visibility::{Others, Shown};
use crate::domain::confidentiality::VisibilityLabel;
use crate::domain::consent::DelegateRole;
use crate::domain::dossier::Dossier;
use crate::identity::session::{PortalSession, PortalUser};

/// Who is before the portal, once the list has been asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    /// Whoever it is, the portal says that the act is the patient's: the list may be read and written, no document and
    /// no journal is.
    Unstated,
    Patient,
    LegalRepresentative,
    Aidant,
}

pub(super) fn answer(session: &PortalSession, dossier: &Dossier, action: Action, now: Timestamp) -> Answer {
    let user = match session {
        PortalSession::Unstated => User::Unstated,
        PortalSession::Of { user: PortalUser::Patient, .. } => User::Patient,
        PortalSession::Of { user: PortalUser::Delegate(delegate), .. } if !dossier.is_delegate(delegate, now) => {
            return Err(RuleId::NoDelegation);
        }
        PortalSession::Of { user: PortalUser::Delegate(delegate), .. } => match delegate.role {
            DelegateRole::LegalRepresentative => User::LegalRepresentative,
            DelegateRole::Aidant => User::Aidant,
        },
    };
    if may(user, action)? { Ok((user.rule(), others(user, action))) } else { Err(RuleId::ModeMayNot) }
}

/// Errors: nobody is stated for whom to read.
fn may(user: User, action: Action) -> Result<bool, RuleId> {
    match action {
        Action::Consult | Action::Retrieve | Action::ReadJournal if user == User::Unstated => {
            Err(RuleId::NobodyBeforeThePortal)
        }
        Action::Existence
        | Action::Consult
        | Action::Retrieve
        | Action::ReadJournal
        | Action::ListAuthorisations
        | Action::SetList
        | Action::Mask
        | Action::Unmask => Ok(true),
        // Whom the law names is no choice of the one represented, nor of who helps.
        Action::NameRepresentative => Ok(user == User::Unstated),
        Action::NameAidant => Ok(user != User::Aidant),
        // The minor's own secret (R1111-50).
        Action::ConcealFromRepresentatives | Action::RevealToRepresentatives => {
            Ok(matches!(user, User::Unstated | User::Patient))
        }
        Action::ConcealFromPatient
        | Action::RevealToPatient
        | Action::Deposit
        | Action::DeclareAuthorisation
        | Action::RemoveAuthorisation
        | Action::LeaveAsMedecinTraitant => Ok(false),
    }
}

/// What is invisible to the patient is so to whoever acts for them.
fn others(user: User, action: Action) -> Others {
    use VisibilityLabel::{InvisiblePatient, InvisibleRepresentantsLegaux};
    match (action, user) {
        (
            Action::Existence
            | Action::ListAuthorisations
            | Action::SetList
            | Action::NameRepresentative
            | Action::NameAidant,
            _,
        ) => Others::Nothing,
        (Action::ReadJournal, _) => others(user, Action::Consult).of_every_status(),
        // A representative may have named themselves aidant: a second role is no way to what is kept from the first.
        (_, User::LegalRepresentative | User::Aidant) => {
            Others::Shown(Shown::all_but(&[InvisiblePatient, InvisibleRepresentantsLegaux]))
        }
        (_, User::Unstated | User::Patient) => Others::Shown(Shown::all_but(&[InvisiblePatient])),
    }
}

impl User {
    fn rule(self) -> RuleId {
        match self {
            Self::Unstated | Self::Patient => RuleId::PatientsOwnAct,
            Self::LegalRepresentative => RuleId::LegalRepresentative,
            Self::Aidant => RuleId::Aidant,
        }
    }
}
