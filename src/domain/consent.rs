//! The patient's list: who may consult, who may not, who is the médecin traitant. Source: F.2, F.4.

use jiff::Timestamp;

use super::ids::ConsentId;
use super::national_id::{PsIdNat, StructIdNat};

/// One line of a patient's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    pub id: ConsentId,
    pub kind: ConsentKind,
    pub since: Timestamp,
    /// Not in force from this instant on.
    pub until: Option<Timestamp>,
    /// How the line came in: the patient's own act, or a professional's declaration (TD0.3).
    pub declared_by: DeclaredBy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsentKind {
    /// May consult this record.
    Authorisation(Grantee),
    /// May not consult, whatever else holds; may still deposit (T-19).
    Block(PsIdNat),
    /// Sees masked documents in normal mode.
    MedecinTraitant(PsIdNat),
    /// Forbids consultation by bris de glace.
    OppositionBrisDeGlace,
    /// Forbids consultation by the emergency regulation centre (centre 15).
    OppositionCentre15,
}

/// Whom an authorisation names: a professional, or a structure for its employees (F.1 note 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    Professional(PsIdNat),
    Structure(StructIdNat),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeclaredBy {
    /// The patient, through their own portal or an operator who acts on their written demand.
    Patient,
    Professional(PsIdNat),
}

impl Consent {
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.since <= now && self.until.is_none_or(|until| now < until)
    }
}

impl ConsentKind {
    /// The word that the store keeps.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Authorisation(_) => "authorisation",
            Self::Block(_) => "block",
            Self::MedecinTraitant(_) => "medecin_traitant",
            Self::OppositionBrisDeGlace => "opposition_bris_de_glace",
            Self::OppositionCentre15 => "opposition_centre_15",
        }
    }
}
