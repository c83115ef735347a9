//! Life of a document entry. Source: D.1 (status URNs), D.5 (moves).

/// `availabilityStatus` of a document entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AvailabilityStatus {
    Approved,
    /// Replaced by a newer document, or an older version of the metadata.
    Deprecated,
    Archived,
    /// Deleted in the sense of the DMP: hidden, kept.
    Deleted,
}

impl AvailabilityStatus {
    pub const ALL: [Self; 4] = [Self::Approved, Self::Deprecated, Self::Archived, Self::Deleted];

    pub fn urn(self) -> &'static str {
        match self {
            Self::Approved => "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved",
            Self::Deprecated => "urn:oasis:names:tc:ebxml-regrep:StatusType:Deprecated",
            Self::Archived => "urn:asip:ci-sis:2010:StatusType:Archived",
            Self::Deleted => "urn:asip:ci-sis:2010:StatusType:Deleted",
        }
    }

    pub fn from_urn(urn: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.urn() == urn)
    }

    /// The word that the store keeps.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Deprecated => "deprecated",
            Self::Archived => "archived",
            Self::Deleted => "deleted",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }
}
