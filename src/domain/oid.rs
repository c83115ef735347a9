//! OID: dotted object identifiers (ISO 9834-1).

use std::fmt;
use std::str::FromStr;

/// A dotted OID of at most 64 characters, the limit that XDS and CDA set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an OID is numbers without leading zeros joined by dots, the first 0 to 2, at most 64 characters")]
pub struct OidError;

impl Oid {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the dotted form, with or without `urn:oid:` in front.
    pub fn from_urn_or_dotted(text: &str) -> Result<Self, OidError> {
        text.strip_prefix("urn:oid:").unwrap_or(text).parse()
    }

    pub fn to_urn(&self) -> String {
        format!("urn:oid:{}", self.0)
    }
}

impl FromStr for Oid {
    type Err = OidError;

    fn from_str(text: &str) -> Result<Self, OidError> {
        let mut arcs = text.split('.');
        let root_ok = arcs.next().is_some_and(|arc| matches!(arc, "0" | "1" | "2"));
        let mut others = 0;
        let arcs_ok = arcs.all(|arc| {
            others += 1;
            !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0'))
        });
        if root_ok && arcs_ok && others > 0 && text.len() <= 64 { Ok(Self(text.to_owned())) } else { Err(OidError) }
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arcs_are_numbers_without_leading_zeros() {
        for good in ["1.2.250.1.213.1.4.8", "2.25.1234", "0.9", "1.2.3.0.4"] {
            assert!(good.parse::<Oid>().is_ok(), "{good}");
        }
        for bad in ["", "1", "3.1", "1..2", "1.02", "1.2.", ".1", "1.2a", "1.2^3", &format!("1.{}", "1.".repeat(40))] {
            assert!(bad.parse::<Oid>().is_err(), "{bad}");
        }
    }
}
