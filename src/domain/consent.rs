//! The patient's list: who may consult, who may not, who acts for the patient, what emergencies may. Source: F.2, F.4.

use std::fmt;
use std::str::FromStr;

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
    /// Said over a "connexion secrète" (J64): for legal representatives and aidants there is no such line.
    pub is_secret: bool,
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
    /// Lets emergencies see masked documents, too (F.1 note 7: only if the patient allowed it).
    MaskedInEmergencies,
    /// Each document that is deposited is masked to professionals (MASQUE_PS).
    MaskByDefault,
    /// Acts for the patient through the portal.
    Delegation(Delegate),
}

/// Whom an authorisation names: a professional, or a structure for its employees (F.1 note 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    Professional(PsIdNat),
    Structure(StructIdNat),
}

/// Somebody who acts for the patient, under the id that the portal knows them by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegate {
    pub role: DelegateRole,
    pub id: DelegateId,
}

/// Source: F.2 (LEGAL_REPRESENTATION, CAREGIVING).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelegateRole {
    /// Of a minor; what the minor keeps secret from them does not exist for them (R1111-50).
    LegalRepresentative,
    /// Named by the patient, until a day that the patient chose; sees what a legal representative sees.
    Aidant,
}

/// Opaque: what the portal calls a person. Letters, digits and `._:-`, at most 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegateId(String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeclaredBy {
    /// The patient or who acts for them, through the portal or an operator who acts on their written demand.
    Patient,
    Professional {
        id: PsIdNat,
        /// Where they were when they declared it, if anybody vouched for it.
        structure: Option<StructIdNat>,
    },
}

impl Consent {
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.since <= now && !self.has_ended(now)
    }

    /// Ended lines stay what they are: what once was in force is not written over.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
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
            Self::MaskedInEmergencies => "masked_in_emergencies",
            Self::MaskByDefault => "mask_by_default",
            Self::Delegation(Delegate { role, .. }) => role.word(),
        }
    }

    /// National identifier of whom the line names, or their id as a delegate; empty where it names nobody.
    pub fn party(&self) -> &str {
        match self {
            Self::Authorisation(Grantee::Structure(structure)) => structure.as_str(),
            Self::Delegation(delegate) => delegate.id.as_str(),
            other => other.professional().map_or("", PsIdNat::as_str),
        }
    }

    /// The professional whom the line names.
    pub fn professional(&self) -> Option<&PsIdNat> {
        match self {
            Self::Authorisation(Grantee::Professional(ps)) | Self::Block(ps) | Self::MedecinTraitant(ps) => Some(ps),
            Self::Authorisation(Grantee::Structure(_))
            | Self::OppositionBrisDeGlace
            | Self::OppositionCentre15
            | Self::MaskedInEmergencies
            | Self::MaskByDefault
            | Self::Delegation(_) => None,
        }
    }
}

impl DelegateRole {
    pub const ALL: [Self; 2] = [Self::LegalRepresentative, Self::Aidant];

    pub fn word(self) -> &'static str {
        match self {
            Self::LegalRepresentative => "legal_representative",
            Self::Aidant => "aidant",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

impl DelegateId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DelegateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DelegateId {
    type Err = DelegateIdError;

    fn from_str(text: &str) -> Result<Self, DelegateIdError> {
        let is_known = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
        let is_good = (1..=64).contains(&text.len()) && text.chars().all(is_known);
        if is_good { Ok(Self(text.to_owned())) } else { Err(DelegateIdError) }
    }
}

/// What is no id of a delegate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("1 to 64 letters, digits and ._:-")]
pub struct DelegateIdError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_a_delegate_is_a_word_that_a_header_can_hold() {
        for good in ["a", "019a0c5e-2d7b", "ens:4.2", &"x".repeat(64)] {
            assert_eq!(good.parse::<DelegateId>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "é", "a;b", "a\n", &"x".repeat(65)] {
            assert_eq!(bad.parse::<DelegateId>(), Err(DelegateIdError), "{bad}");
        }
    }
}
