//! `confidentialityCode`: one basic level and a set of visibility labels.
//!
//! Order-free: clients send the labels in any place, and "replace the first one" must never turn N into a
//! mask or lose another label (T-12). Source: D.2, J58.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

pub const CONFIDENTIALITY_OID: &str = "2.16.840.1.113883.5.25";
pub const VISIBILITY_OID: &str = "1.2.250.1.213.1.1.4.13";

/// HL7 v3 Confidentiality, as J58 admits it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfidentialityLevel {
    #[default]
    N,
    R,
    V,
}

/// TRE_A07: who must not see a document although their rights would let them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VisibilityLabel {
    /// Hidden from professionals but its author and the médecin traitant.
    MasquePs,
    /// Hidden from the patient until a professional has announced it (R1111-53).
    InvisiblePatient,
    /// Hidden from the legal representatives of a minor.
    InvisibleRepresentantsLegaux,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Confidentiality {
    pub level: ConfidentialityLevel,
    pub labels: BTreeSet<VisibilityLabel>,
}

impl ConfidentialityLevel {
    pub const ALL: [Self; 3] = [Self::N, Self::R, Self::V];

    pub fn code(self) -> &'static str {
        match self {
            Self::N => "N",
            Self::R => "R",
            Self::V => "V",
        }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.code() == code)
    }
}

impl VisibilityLabel {
    pub const ALL: [Self; 3] = [Self::MasquePs, Self::InvisiblePatient, Self::InvisibleRepresentantsLegaux];

    pub fn code(self) -> &'static str {
        match self {
            Self::MasquePs => "MASQUE_PS",
            Self::InvisiblePatient => "INVISIBLE_PATIENT",
            Self::InvisibleRepresentantsLegaux => "INVISIBLE_REPRESENTANTS_LEGAUX",
        }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|label| label.code() == code)
    }

    /// When the label ends by itself, put on a document at `since`: what is invisible to the patient is so for a month
    /// at most (R1111-53). `None`: it stays until somebody takes it away.
    pub fn until(self, since: Timestamp) -> Option<Timestamp> {
        match self {
            Self::InvisiblePatient => {
                let month = since.to_zoned(TimeZone::UTC).checked_add(1.month());
                // No month after the end of time: hide nothing from whom it concerns.
                Some(month.map_or(since, |end| end.timestamp()))
            }
            Self::MasquePs | Self::InvisibleRepresentantsLegaux => None,
        }
    }
}

impl Confidentiality {
    pub fn has(&self, label: VisibilityLabel) -> bool {
        self.labels.contains(&label)
    }
}
