//! How objects of the record relate. Source: D.1, D.5.

use super::ids::LogicalId;

/// What a new document is to an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// RPLC: the older one becomes Deprecated in the same commit.
    Replaces,
    /// APND.
    Appends,
    /// XFRM.
    Transforms,
    /// signs.
    Signs,
}

impl RelationKind {
    pub const ALL: [Self; 4] = [Self::Replaces, Self::Appends, Self::Transforms, Self::Signs];

    /// FHIR `relatesTo.code`; also the word that the store keeps.
    pub fn code(self) -> &'static str {
        match self {
            Self::Replaces => "replaces",
            Self::Appends => "appends",
            Self::Transforms => "transforms",
            Self::Signs => "signs",
        }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// From the entry that holds it to an older entry of the same patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Association {
    pub kind: RelationKind,
    pub target: LogicalId,
}
