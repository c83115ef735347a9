//! National identifiers of persons (PS_IdNat) and of structures (Struct_IdNat). Source: A.2.

use std::fmt;
use std::str::FromStr;

pub const PS_ID_NAT_OID: &str = "1.2.250.1.71.4.2.1";
pub const STRUCT_ID_NAT_OID: &str = "1.2.250.1.71.4.2.2";

/// National identifier of a professional: one type digit, the number, for some types `/` and an internal id.
///
/// The invariant of the draft guide (`^(0|1|3|4|5|6|8)\d*$`) refuses real test identities, which hold
/// letters, and internal ids: the shape checked here is wider (T-5).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PsIdNat(String);

/// National identifier of a structure: a type digit and the number (FINESS, SIREN, SIRET, RPPS-rang...).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StructIdNat(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct NationalIdError {
    expected: &'static str,
}

impl PsIdNat {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the number is a person's own, RPPS or ADELI: the others are ids that a structure gives out, and may
    /// give to one person several times.
    pub fn is_personal(&self) -> bool {
        match self.0.strip_prefix('8') {
            Some(rpps) => rpps.bytes().all(|byte| byte.is_ascii_digit()),
            None => self.0.starts_with('0') && self.0.len() == 10,
        }
    }
}

impl FromStr for PsIdNat {
    type Err = NationalIdError;

    fn from_str(text: &str) -> Result<Self, NationalIdError> {
        const EXPECTED: NationalIdError = NationalIdError {
            expected: "a type digit (0 ADELI, 1 3 4 5 6 in a structure, 8 RPPS) and the number, e.g. 8 and 11 digits",
        };
        let (number, internal) = match text.split_once('/') {
            Some((number, internal)) => (number, Some(internal)),
            None => (text, None),
        };
        let body = number.strip_prefix(['0', '1', '3', '4', '5', '6', '8']).ok_or(EXPECTED)?;
        let internal_ok = internal.is_none_or(|id| {
            !id.is_empty() && !number.starts_with(['0', '8']) && id.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        });
        let rpps_ok = !number.starts_with('8') || body.len() == 11;
        if is_body(body) && internal_ok && rpps_ok && text.len() <= 64 {
            Ok(Self(text.to_owned()))
        } else {
            Err(EXPECTED)
        }
    }
}

impl StructIdNat {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StructIdNat {
    type Err = NationalIdError;

    fn from_str(text: &str) -> Result<Self, NationalIdError> {
        const EXPECTED: NationalIdError = NationalIdError {
            expected: "a type digit (0 ADELI, 1 FINESS, 2 SIREN, 3 SIRET, 4 RPPS-rang) and the number, or a technical number",
        };
        if is_body(text) && text.len() >= 2 && text.len() <= 64 { Ok(Self(text.to_owned())) } else { Err(EXPECTED) }
    }
}

fn is_body(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

impl fmt::Display for PsIdNat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StructIdNat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_and_test_identities_of_persons_are_read() {
        for good in ["801234567897", "00B2800585", "310000017/INT42", "899700218896", "10B0127189"] {
            assert!(good.parse::<PsIdNat>().is_ok(), "{good}");
        }
        for (id, is_personal) in [
            ("801234567897", true),
            ("00B2800585", true),
            ("8012345678A7", false),
            ("310000017/INT42", false),
            ("001", false),
            ("10B0127189", false),
        ] {
            assert_eq!(id.parse::<PsIdNat>().unwrap().is_personal(), is_personal, "{id}");
        }
        for bad in ["", "8", "80123", "701234567897", "801234567897/x", "8012345678 7", "310000017/"] {
            assert!(bad.parse::<PsIdNat>().is_err(), "{bad}");
        }
    }

    #[test]
    fn structures_carry_their_type_digit_or_a_technical_number() {
        for good in ["1750803447", "499900063480001", "2264403106"] {
            assert!(good.parse::<StructIdNat>().is_ok(), "{good}");
        }
        for bad in ["", "1", "1 75", "1/2", "clinique"] {
            assert!(bad.parse::<StructIdNat>().is_err(), "{bad}");
        }
    }
}
