//! Dossier: one patient's DMP. State, and the list that decides who reads. Source: F.4, G.

use jiff::Timestamp;

use super::consent::{Consent, ConsentKind, DeclaredBy, Delegate, DelegateRole, Grantee};
use super::ids::DossierId;
use super::ins::Ins;
use super::national_id::{PsIdNat, StructIdNat};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dossier {
    pub id: DossierId,
    pub state: DossierState,
    /// Every INS that ever named this patient, the current one first.
    pub ins: Vec<Ins>,
    pub consents: Vec<Consent>,
}

/// Part of the life cycle of G that decides what may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DossierState {
    /// Open; the patient has not activated their account yet: deposits and consultation go on.
    OpenNotActivated,
    Activated,
    Closed {
        at: Timestamp,
    },
}

impl DossierState {
    pub fn word(self) -> &'static str {
        match self {
            Self::OpenNotActivated => "open_not_activated",
            Self::Activated => "activated",
            Self::Closed { .. } => "closed",
        }
    }
}

impl Dossier {
    pub fn is_blocked(&self, ps: &PsIdNat, now: Timestamp) -> bool {
        self.in_force(now).any(|kind| matches!(kind, ConsentKind::Block(blocked) if blocked == ps))
    }

    pub fn is_medecin_traitant(&self, ps: &PsIdNat, now: Timestamp) -> bool {
        self.in_force(now).any(|kind| matches!(kind, ConsentKind::MedecinTraitant(named) if named == ps))
    }

    pub fn medecins_traitants(&self, now: Timestamp) -> impl Iterator<Item = &PsIdNat> {
        self.in_force(now).filter_map(|kind| match kind {
            ConsentKind::MedecinTraitant(ps) => Some(ps),
            _ => None,
        })
    }

    /// A médecin traitant is authorised by being named (F.2: the care team is deemed authorised).
    pub fn is_authorised(&self, ps: &PsIdNat, structure: Option<&StructIdNat>, now: Timestamp) -> bool {
        self.consents.iter().filter(|line| line.in_force(now)).any(|line| match &line.kind {
            ConsentKind::Authorisation(Grantee::Professional(named)) | ConsentKind::MedecinTraitant(named) => {
                named == ps
            }
            ConsentKind::Authorisation(Grantee::Structure(named)) => {
                Some(named) == structure && self.last_unblocked(ps).is_none_or(|at| line.since >= at)
            }
            _ => false,
        })
    }

    /// When the last block of a professional ended, which does not bring an authorisation back (T-19).
    fn last_unblocked(&self, ps: &PsIdNat) -> Option<Timestamp> {
        let blocks = self.consents.iter().filter(|line| matches!(&line.kind, ConsentKind::Block(named) if named == ps));
        blocks.filter_map(|line| line.until).max()
    }

    /// By name, and by the patient's own act: what the law wants of occupational medicine (CSP L1111-18).
    pub fn is_expressly_authorised(&self, ps: &PsIdNat, now: Timestamp) -> bool {
        let names = |kind: &ConsentKind| matches!(kind, ConsentKind::Authorisation(Grantee::Professional(named)) if named == ps);
        let lines = self.consents.iter().filter(|consent| consent.in_force(now));
        lines.filter(|consent| names(&consent.kind)).any(|consent| consent.declared_by == DeclaredBy::Patient)
    }

    pub fn opposes_bris_de_glace(&self, now: Timestamp) -> bool {
        self.in_force(now).any(|kind| matches!(kind, ConsentKind::OppositionBrisDeGlace))
    }

    pub fn opposes_centre_15(&self, now: Timestamp) -> bool {
        self.in_force(now).any(|kind| matches!(kind, ConsentKind::OppositionCentre15))
    }

    pub fn shows_masked_in_emergencies(&self, now: Timestamp) -> bool {
        self.in_force(now).any(|kind| matches!(kind, ConsentKind::MaskedInEmergencies))
    }

    pub fn masks_by_default(&self, now: Timestamp) -> bool {
        self.in_force(now).any(|kind| matches!(kind, ConsentKind::MaskByDefault))
    }

    pub fn is_delegate(&self, delegate: &Delegate, now: Timestamp) -> bool {
        self.in_force(now).any(|kind| matches!(kind, ConsentKind::Delegation(named) if named == delegate))
    }

    pub fn has_legal_representative(&self, now: Timestamp) -> bool {
        let role = DelegateRole::LegalRepresentative;
        self.in_force(now).any(|kind| matches!(kind, ConsentKind::Delegation(delegate) if delegate.role == role))
    }

    fn in_force(&self, now: Timestamp) -> impl Iterator<Item = &ConsentKind> {
        self.consents.iter().filter(move |consent| consent.in_force(now)).map(|consent| &consent.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::ConsentId;

    #[test]
    fn the_authorisation_of_a_structure_does_not_let_back_in_whom_the_patient_had_blocked() {
        let at = |day: i64| Timestamp::from_second(day * 86_400).unwrap();
        let line = |kind: ConsentKind, since, until: Option<i64>| {
            let (id, until, declared_by) = (ConsentId::new(), until.map(at), DeclaredBy::Patient);
            Consent { id, kind, since: at(since), until, declared_by, is_secret: false }
        };
        let (blocked, colleague): (PsIdNat, PsIdNat) =
            ("810000000011".parse().unwrap(), "810000000029".parse().unwrap());
        let structure: StructIdNat = "1350000899".parse().unwrap();
        let of_structure = |since| line(ConsentKind::Authorisation(Grantee::Structure(structure.clone())), since, None);
        let block = line(ConsentKind::Block(blocked.clone()), 2, Some(3));
        let dossier = |lines: &[&Consent]| Dossier {
            id: DossierId::new(),
            state: DossierState::Activated,
            ins: Vec::new(),
            consents: lines.iter().map(|line| (*line).clone()).collect(),
        };
        let lets_in = |lines: &[&Consent], ps: &PsIdNat| dossier(lines).is_authorised(ps, Some(&structure), at(9));
        assert!(lets_in(&[&of_structure(1)], &blocked));
        assert!(!lets_in(&[&of_structure(1), &block], &blocked));
        assert!(lets_in(&[&of_structure(1), &block], &colleague));
        assert!(lets_in(&[&of_structure(3), &block], &blocked), "given since");
        let own = line(ConsentKind::Authorisation(Grantee::Professional(blocked.clone())), 4, None);
        assert!(lets_in(&[&of_structure(1), &block, &own], &blocked), "declared since");
    }
}
