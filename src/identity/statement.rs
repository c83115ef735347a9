//! What a token states of the caller, once it has been checked for itself: the same for a VIHF and for the access
//! token of an OIDC provider. Whether it agrees with the client certificate is [`super::caller`]'s question.
//! Source: C.1 to C.4, B.3, B.4, contract 3.

use super::caller::Purpose;
use crate::domain::code::Code;
use crate::domain::ins::Ins;
use crate::domain::national_id::StructIdNat;

/// One caller as a token states them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub mode: StatedMode,
    pub subject: StatedSubject,
    /// `Identifiant_Structure`.
    pub structure: StructIdNat,
    /// `Secteur_Activite`, a code of J61; an OIDC provider need not say it.
    pub sector: Option<Code>,
    /// Profession first, then savoir-faire (J65); at least one.
    pub roles: Vec<Code>,
    pub purpose: Purpose,
    /// The patient whom the token was made for; a token need not be about one.
    pub patient: Option<Ins>,
    pub visibility: AccessVisibility,
    pub software: Option<Software>,
}

/// `Authentification_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatedMode {
    Directe,
    Indirecte,
    IndirecteRenforcee,
}

impl StatedMode {
    pub const ALL: [Self; 3] = [Self::Directe, Self::Indirecte, Self::IndirecteRenforcee];

    pub fn word(self) -> &'static str {
        match self {
            Self::Directe => "DIRECTE",
            Self::Indirecte => "INDIRECTE",
            Self::IndirecteRenforcee => "INDIRECTE_RENFORCEE",
        }
    }
}

/// Who acts: `Subject/NameID` and the subject-id attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedSubject {
    /// `PS_IdNat`, or an id that only the structure knows.
    pub id: String,
    /// Prénom and nom, or software and model of an automaton; absent from tokens in direct mode.
    pub name: Option<String>,
}

/// Whether the legal representatives of a minor see the trace of this access ("connexion secrète", J64).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessVisibility {
    Ordinary,
    HiddenFromLegalRepresentatives,
}

/// `LPS_*`: the software that made the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Software {
    pub name: String,
    pub version: String,
    /// `LPS_ID`: serial number of the installation.
    pub installation: Option<String>,
    /// `LPS_ID_HOMOLOGATION_DMP`.
    pub homologation: String,
}
