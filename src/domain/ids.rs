//! Identifiers of the objects of the record: one type per thing, never a bare string or UUID.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::oid::Oid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            pub fn new() -> Self {
                Self(crate::clock::new_uuid())
            }

            pub fn to_urn(self) -> String {
                format!("urn:uuid:{}", self.0)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            /// Reads the hyphenated form, with or without `urn:uuid:` in front.
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::try_parse(text.strip_prefix("urn:uuid:").unwrap_or(text)).map(Self)
            }
        }
    };
}

uuid_id! {
    /// One metadata version of one document: given by the registry, new at each version (T-7).
    EntryUuid
}
uuid_id! {
    /// One document through all its metadata versions (XDS `lid`); the id of its DocumentReference (D.6).
    LogicalId
}
uuid_id! {
    /// One submission set (lot de soumission); the id of its List.
    SubmissionSetUuid
}
uuid_id! {
    /// Internal key of one patient's record. The INS numbers of the patient are aliases of it (A.1).
    DossierId
}
uuid_id! {
    /// One entry of a patient's list: an authorisation, a block; the id of its Consent.
    ConsentId
}
uuid_id! {
    /// One notice to one person; the left side of its Message-ID.
    NoticeId
}

/// Identifier of a document or of a submission set, given by its source, unique for ever.
///
/// The DMP wants a plain OID (D.2). PDSm clients also send `urn:uuid:`: accepted and kept as sent, so
/// that it goes out as it came in; a suffix `^extension` is not. Source: D.2, D.6, T-7.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UniqueId {
    Oid(Oid),
    Uuid(Uuid),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a unique id is a plain OID (urn:oid:...) without extension, or a urn:uuid:")]
pub struct UniqueIdError;

impl UniqueId {
    /// The URN form that FHIR identifiers carry and the store keeps.
    pub fn to_urn(&self) -> String {
        match self {
            Self::Oid(oid) => oid.to_urn(),
            Self::Uuid(uuid) => format!("urn:uuid:{uuid}"),
        }
    }
}

impl FromStr for UniqueId {
    type Err = UniqueIdError;

    /// Reads `urn:oid:`, `urn:uuid:`, a bare OID or a bare UUID (CDA `id/@root`).
    fn from_str(text: &str) -> Result<Self, UniqueIdError> {
        if let Ok(oid) = Oid::from_urn_or_dotted(text) {
            return Ok(Self::Oid(oid));
        }
        let uuid = text.strip_prefix("urn:uuid:").unwrap_or(text);
        if uuid.len() != 36 {
            return Err(UniqueIdError);
        }
        Uuid::try_parse(uuid).map(Self::Uuid).map_err(|_| UniqueIdError)
    }
}

impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oid(oid) => oid.fmt(f),
            Self::Uuid(uuid) => uuid.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_no_part_of_a_unique_id() {
        assert!("1.2.250.1.213.1.1.9^10002-1".parse::<UniqueId>().is_err());
        assert!("urn:uuid:abcd-efgh-ijkl-mnop".parse::<UniqueId>().is_err());
    }

    #[test]
    fn both_forms_read_back_from_their_urn() {
        for text in ["1.2.250.1.213.1.1.1.29", "12345678-abcd-1234-abcd-1234567890ab"] {
            let id: UniqueId = text.parse().unwrap();
            assert_eq!(id.to_urn().parse::<UniqueId>(), Ok(id.clone()));
            assert_eq!(id.to_string(), text);
        }
    }
}
