//! INS: the national identifier of a patient (identité nationale de santé).

use std::fmt;
use std::str::FromStr;

use crate::config::InsDomain;

/// The authorities that may assign an INS which this gateway accepts as a key.
///
/// INS-A and INS-C (arcs `.1` and `.2`) are historical and never a key. Source: A.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InsAuthority {
    Nir,
    Nia,
    NirTest,
    Demonstration,
}

impl InsAuthority {
    pub const ALL: [Self; 4] = [Self::Nir, Self::Nia, Self::NirTest, Self::Demonstration];

    pub fn oid(self) -> &'static str {
        match self {
            Self::Nir => "1.2.250.1.213.1.4.8",
            Self::Nia => "1.2.250.1.213.1.4.9",
            Self::NirTest => "1.2.250.1.213.1.4.10",
            Self::Demonstration => "1.2.250.1.213.1.4.11",
        }
    }

    pub fn from_oid(oid: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|authority| authority.oid() == oid)
    }

    pub fn domain(self) -> InsDomain {
        match self {
            Self::Nir | Self::Nia => InsDomain::Production,
            Self::NirTest => InsDomain::Test,
            Self::Demonstration => InsDomain::Demo,
        }
    }
}

/// A checked INS: matricule of 13 characters with its 2-digit key, and who assigned it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ins {
    matricule: String,
    authority: InsAuthority,
}

/// Why a text is no INS: each variant says what was expected, none carries the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsError {
    #[error("15 characters: 13 and a key of 2 digits")]
    Length,
    #[error("digits; only characters 6 and 7 may be 2A or 2B")]
    Character,
    #[error("a key equal to 97 minus the remainder of its 13 characters by 97")]
    Key,
    #[error("an authority (OID) that assigns INS")]
    Authority,
}

impl Ins {
    /// Reads a matricule of 13 characters and a 2-digit key, assigned under `oid`.
    ///
    /// Corsican departments count as 19 (2A) and 18 (2B) when the key is computed.
    /// Errors: every variant of [`InsError`]. Source: A.1.
    pub fn parse(matricule: &str, oid: &str) -> Result<Self, InsError> {
        let authority = InsAuthority::from_oid(oid).ok_or(InsError::Authority)?;
        check_matricule(matricule)?;
        Ok(Self { matricule: matricule.to_owned(), authority })
    }

    pub fn matricule(&self) -> &str {
        &self.matricule
    }

    pub fn authority(&self) -> InsAuthority {
        self.authority
    }

    /// What may be shown in a refusal or a terminal: the first character and the key are kept.
    pub fn masked(&self) -> String {
        mask(&self.matricule)
    }
}

/// Hides all but the first character and the last two, whatever the text is.
pub fn mask(text: &str) -> String {
    let count = text.chars().count();
    let shown = |i: usize| i == 0 || i + 2 >= count;
    text.chars().enumerate().map(|(i, c)| if count > 4 && shown(i) { c } else { '*' }).collect()
}

/// Masks whatever in a text may be an INS, with or without its key: senders put them where none belongs.
pub fn mask_within(text: &str) -> String {
    let of_ins = |c: char| c.is_ascii_digit() || matches!(c, 'A' | 'B');
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(of_ins) {
        let end = rest[start..].find(|c| !of_ins(c)).map_or(rest.len(), |at| start + at);
        masked.push_str(&rest[..start]);
        match end - start {
            13 | 15 => masked.push_str(&mask(&rest[start..end])),
            _ => masked.push_str(&rest[start..end]),
        }
        rest = &rest[end..];
    }
    masked + rest
}

fn check_matricule(text: &str) -> Result<(), InsError> {
    let bytes = text.as_bytes();
    if bytes.len() != 15 {
        return Err(InsError::Length);
    }
    let department = match &bytes[5..7] {
        b"2A" => 19,
        b"2B" => 18,
        digits if digits.iter().all(u8::is_ascii_digit) => digits_of(digits),
        _ => return Err(InsError::Character),
    };
    let others = [&bytes[..5], &bytes[7..]].concat();
    if !others.iter().all(u8::is_ascii_digit) {
        return Err(InsError::Character);
    }
    let number = (digits_of(&bytes[..5]) * 100 + department) * 1_000_000 + digits_of(&bytes[7..13]);
    if 97 - number % 97 == digits_of(&bytes[13..]) { Ok(()) } else { Err(InsError::Key) }
}

fn digits_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value * 10 + u64::from(byte - b'0'))
}

/// `OID|matricule`: the form of FHIR tokens and of the command line.
impl fmt::Display for Ins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.authority.oid(), self.matricule)
    }
}

impl FromStr for Ins {
    type Err = InsError;

    fn from_str(text: &str) -> Result<Self, InsError> {
        let (oid, matricule) = text.split_once('|').ok_or(InsError::Authority)?;
        Self::parse(matricule, oid.strip_prefix("urn:oid:").unwrap_or(oid))
    }
}

/// Never the whole number: `Debug` ends up in logs.
impl fmt::Debug for Ins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ins({:?} {})", self.authority, self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEST: &str = "1.2.250.1.213.1.4.10";

    #[test]
    fn the_published_test_patients_pass_the_key() {
        for matricule in ["207058575627097", "153078987658513", "157069329642881", "279035121518989"] {
            assert!(Ins::parse(matricule, TEST).is_ok(), "{matricule}");
        }
    }

    #[test]
    fn corsican_departments_count_as_19_and_18() {
        assert_eq!(Ins::parse("269052A00123456", TEST), Err(InsError::Key));
        let key = |n: u64| 97 - n % 97;
        let corse_du_sud = format!("269052A001234{:02}", key(2_690_519_001_234));
        let haute_corse = format!("269052B001234{:02}", key(2_690_518_001_234));
        assert!(Ins::parse(&corse_du_sud, TEST).is_ok());
        assert!(Ins::parse(&haute_corse, TEST).is_ok());
    }

    #[test]
    fn the_number_of_the_guide_examples_fails_its_key() {
        assert_eq!(Ins::parse("123456789012345", TEST), Err(InsError::Key));
    }

    #[test]
    fn historical_authorities_are_no_key() {
        assert_eq!(Ins::parse("207058575627097", "1.2.250.1.213.1.4.2"), Err(InsError::Authority));
    }

    #[test]
    fn debug_hides_the_number() {
        let ins = Ins::parse("207058575627097", TEST).unwrap();
        assert!(!format!("{ins:?}").contains("070585756270"));
    }

    #[test]
    fn an_ins_is_masked_wherever_it_stands() {
        assert_eq!(mask_within("urn:oid:1.2.250|207058575627097."), "urn:oid:1.2.250|2************97.");
        assert_eq!(mask_within("2070585756270"), "2**********70");
        assert_eq!(mask_within("é 269052A00123467é"), "é 2************67é");
        let oid = "2.25.216807336150862295641978511506172918101 of 2026";
        assert_eq!(mask_within(oid), oid);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,20}") {
            let _ = Ins::parse(&text, TEST);
            prop_assert_eq!(mask_within(&text).chars().count(), text.chars().count());
        }

        #[test]
        fn what_is_shown_reads_back(body in 1_000_000_000_000_u64..3_000_000_000_000) {
            let ins = Ins::parse(&format!("{body}{:02}", 97 - body % 97), TEST).unwrap();
            prop_assert_eq!(ins.to_string().parse::<Ins>(), Ok(ins));
        }
    }
}
