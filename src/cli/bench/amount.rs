//! Sizes and lengths of time as one types them: `250k`, `20m`, `0.5`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes. `k`, `m` and `g` are powers of ten, `ki`, `mi` and `gi` of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) struct Size {
    pub(in crate::cli) bytes: usize,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a number of bytes, perhaps with k, m, g, ki, mi or gi: 250k, 20m")]
pub(in crate::cli) struct SizeError;

/// Reads a length of time in seconds; a fraction is fine.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.01..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "write seconds, from 0.01 to 86400".to_owned())
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.to_ascii_lowercase();
        let factor = UNITS.iter().find(|(name, _)| *name == unit).ok_or(SizeError)?.1;
        let bytes = number.parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
        bytes.map(|bytes| Self { bytes }).ok_or(SizeError)
    }
}

/// The shortest form that reads back the same.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(&str, usize)| self.bytes > 0 && self.bytes.is_multiple_of(*factor);
        let (unit, factor) = UNITS.iter().filter(fits).max_by_key(|(_, factor)| *factor).unwrap_or(&("", 1));
        write!(f, "{}{unit}", self.bytes / factor)
    }
}

const UNITS: [(&str, usize); 7] =
    [("", 1), ("k", 1_000), ("m", 1_000_000), ("g", 1_000_000_000), ("ki", 1 << 10), ("mi", 1 << 20), ("gi", 1 << 30)];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(text: &str) -> Option<usize> {
        text.parse::<Size>().ok().map(|size| size.bytes)
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        let read = ["0", "512", "250k", "20m", "1g", "64ki", "2MI"].map(bytes);
        assert_eq!(read, [0, 512, 250_000, 20_000_000, 1_000_000_000, 65_536, 2_097_152].map(Some));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "k", "-1", "1.5m", "1 k", "1kb", "99999999999999999999", "18446744073709551615g", "1é"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn seconds_may_be_fractions() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "0", "-1", "NaN", "inf", "1e9", "ten"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_size_reads_back_from_its_display(bytes: usize) {
            prop_assert_eq!(Size { bytes }.to_string().parse(), Ok(Size { bytes }));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = text.parse::<Size>();
            let _ = seconds(&text);
        }
    }
}
