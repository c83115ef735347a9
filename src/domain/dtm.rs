//! DTM: a date and time of the record, with the precision it came with.
//!
//! XDS times are UTC; a CDA carries local times with an offset; FHIR carries both. A value with a time is
//! turned to UTC, a date alone never shifts its day (D.2, T-24).

use std::fmt::Write as _;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _, Zoned};

/// How much of a date was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// This many digits after the second, 1 to 6.
    Fraction(u8),
}

/// A moment or a span of time: its first instant in UTC and how precisely it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dtm {
    from: Timestamp,
    precision: Precision,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DtmError {
    #[error("expected yyyy, yyyymm, yyyymmdd or yyyymmddhh[mm[ss[.f]]] with an optional +zzzz")]
    Hl7,
    #[error("expected yyyy, yyyy-mm, yyyy-mm-dd or yyyy-mm-ddThh:mm:ss[.f] with Z or +zz:zz")]
    Fhir,
}

impl Dtm {
    /// The present second, for times that the gateway itself sets.
    pub fn of(instant: Timestamp) -> Self {
        let second = Timestamp::from_second(instant.as_second()).unwrap_or(instant);
        Self { from: second, precision: Precision::Second }
    }

    /// Reads the HL7 form (CDA `TS`, XDS `DTM`); a time without offset is UTC.
    pub fn from_hl7(text: &str) -> Result<Self, DtmError> {
        let (local, offset) = match text.find(['+', '-']) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let (digits, fraction) = match local.split_once('.') {
            Some((digits, fraction)) => (digits, Some(fraction)),
            None => (local, None),
        };
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DtmError::Hl7);
        }
        let precision = match (digits.len(), fraction) {
            (4, None) => Precision::Year,
            (6, None) => Precision::Month,
            (8, None) => Precision::Day,
            (10, None) => Precision::Hour,
            (12, None) => Precision::Minute,
            (14, None) => Precision::Second,
            (14, Some(fraction)) => fraction_precision(fraction).ok_or(DtmError::Hl7)?,
            _ => return Err(DtmError::Hl7),
        };
        let seconds_east = match offset {
            Some(offset) => {
                let sign = if text.contains('-') { -1 } else { 1 };
                let (hours, minutes) = offset.split_at_checked(2).ok_or(DtmError::Hl7)?;
                sign * offset_seconds(hours, minutes).ok_or(DtmError::Hl7)?
            }
            None => 0,
        };
        let part = |from: usize, default: i16| match digits.get(from..from + 2) {
            Some(two) => two.parse().unwrap_or(default),
            None => default,
        };
        let year = digits[..4].parse().map_err(|_| DtmError::Hl7)?;
        let fields = [year, part(4, 1), part(6, 1), part(8, 0), part(10, 0), part(12, 0)];
        Self::from_fields(fields, fraction, precision, seconds_east).ok_or(DtmError::Hl7)
    }

    /// Reads a FHIR `date`, `dateTime` or `instant`.
    pub fn from_fhir(text: &str) -> Result<Self, DtmError> {
        let bytes = text.as_bytes();
        if !text.is_ascii() || bytes.len() < 4 {
            return Err(DtmError::Fhir);
        }
        let Some((date, time)) = text.split_once('T') else {
            return Self::from_fhir_date(text);
        };
        let (time, seconds_east) = split_fhir_offset(time).ok_or(DtmError::Fhir)?;
        let (time, fraction) = match time.split_once('.') {
            Some((time, fraction)) => (time, Some(fraction)),
            None => (time, None),
        };
        let shape_ok = date.len() == 10 && time.len() == 8 && &time[2..3] == ":" && &time[5..6] == ":";
        let day = Self::from_fhir_date(date)?;
        if !shape_ok || day.precision != Precision::Day {
            return Err(DtmError::Fhir);
        }
        let two = |text: &str| two_digits(text).ok_or(DtmError::Fhir);
        let precision = match fraction {
            Some(fraction) => fraction_precision(fraction).ok_or(DtmError::Fhir)?,
            None => Precision::Second,
        };
        let civil = civil_utc(day.from).date();
        let fields = [
            civil.year(),
            i16::from(civil.month()),
            i16::from(civil.day()),
            two(&time[..2])?,
            two(&time[3..5])?,
            two(&time[6..8])?,
        ];
        Self::from_fields(fields, fraction, precision, seconds_east).ok_or(DtmError::Fhir)
    }

    fn from_fhir_date(text: &str) -> Result<Self, DtmError> {
        let bytes = text.as_bytes();
        let dashes_ok = (bytes.len() <= 4 || bytes[4] == b'-') && (bytes.len() <= 7 || bytes[7] == b'-');
        if !matches!(bytes.len(), 4 | 7 | 10) || !dashes_ok {
            return Err(DtmError::Fhir);
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        Self::from_hl7(&digits).map_err(|_| DtmError::Fhir).and_then(|dtm| {
            let expected = match bytes.len() {
                4 => Precision::Year,
                7 => Precision::Month,
                _ => Precision::Day,
            };
            if dtm.precision == expected { Ok(dtm) } else { Err(DtmError::Fhir) }
        })
    }

    fn from_fields(fields: [i16; 6], fraction: Option<&str>, precision: Precision, seconds_east: i32) -> Option<Self> {
        let [year, rest @ ..] = fields;
        let small: Vec<i8> = rest.iter().map(|field| i8::try_from(*field).ok()).collect::<Option<_>>()?;
        let nanosecond = fraction.map_or(Some(0), |text| format!("{text:0<9}").parse().ok())?;
        let civil = DateTime::new(year, small[0], small[1], small[2], small[3], small[4], nanosecond).ok()?;
        // A date without a time names a day wherever one stands: no offset may move it.
        let seconds_east = if precision <= Precision::Day { 0 } else { seconds_east };
        let zone = TimeZone::fixed(Offset::from_seconds(seconds_east).ok()?);
        let from = civil.to_zoned(zone).ok()?.timestamp();
        let utc = civil_utc(from);
        // An offset may lead out of the years that have four digits: such a value could be written, never read back.
        if utc.year() < 1 {
            return None;
        }
        // The hour of a zone at half past, such as the Marquesas, begins inside an hour of UTC: its minute says it.
        let splits_hour = precision == Precision::Hour && utc.minute() != 0;
        Some(Self { from, precision: if splits_hour { Precision::Minute } else { precision } })
    }

    /// Rebuilds a value from what the store keeps.
    pub fn from_parts(from: Timestamp, precision: Precision) -> Self {
        Self { from, precision }
    }

    pub fn precision(self) -> Precision {
        self.precision
    }

    /// First instant that the value covers.
    pub fn from(self) -> Timestamp {
        self.from
    }

    /// First instant after the value: a search compares the half-open interval `from..to`.
    pub fn to(self) -> Timestamp {
        let start = Zoned::new(self.from, TimeZone::UTC);
        let span = match self.precision {
            Precision::Year => 1.year(),
            Precision::Month => 1.month(),
            Precision::Day => 1.day(),
            Precision::Hour => 1.hour(),
            Precision::Minute => 1.minute(),
            Precision::Second => 1.second(),
            Precision::Fraction(digits) => (10_i64.pow(u32::from(6 - digits.min(6)))).microseconds(),
        };
        start.checked_add(span).map_or(Timestamp::MAX, |end| end.timestamp())
    }

    /// The XDS and CDA form, in UTC without offset: `20191203123000`.
    pub fn to_hl7(self) -> String {
        let full = civil_utc(self.from).strftime("%Y%m%d%H%M%S").to_string();
        match self.precision {
            Precision::Year => full[..4].to_owned(),
            Precision::Month => full[..6].to_owned(),
            Precision::Day => full[..8].to_owned(),
            Precision::Hour => full[..10].to_owned(),
            Precision::Minute => full[..12].to_owned(),
            Precision::Second => full,
            Precision::Fraction(digits) => full + "." + &self.fraction_digits(digits),
        }
    }

    /// The FHIR form. FHIR knows no time without seconds: an hour or a minute gets zeros.
    pub fn to_fhir(self) -> String {
        let full = civil_utc(self.from).strftime("%Y-%m-%dT%H:%M:%S").to_string();
        match self.precision {
            Precision::Year => full[..4].to_owned(),
            Precision::Month => full[..7].to_owned(),
            Precision::Day => full[..10].to_owned(),
            Precision::Hour | Precision::Minute | Precision::Second => full + "Z",
            Precision::Fraction(digits) => full + "." + &self.fraction_digits(digits) + "Z",
        }
    }

    fn fraction_digits(self, digits: u8) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(text, "{:06}", self.from.as_microsecond().rem_euclid(1_000_000));
        text.truncate(usize::from(digits.min(6)));
        text
    }
}

impl Precision {
    /// The number that the store keeps: 0 year ... 5 second, 5 + digits for a fraction.
    pub fn rank(self) -> u8 {
        match self {
            Self::Year => 0,
            Self::Month => 1,
            Self::Day => 2,
            Self::Hour => 3,
            Self::Minute => 4,
            Self::Second => 5,
            Self::Fraction(digits) => 5 + digits,
        }
    }

    pub fn from_rank(rank: u8) -> Option<Self> {
        match rank {
            0 => Some(Self::Year),
            1 => Some(Self::Month),
            2 => Some(Self::Day),
            3 => Some(Self::Hour),
            4 => Some(Self::Minute),
            5 => Some(Self::Second),
            6..=11 => Some(Self::Fraction(rank - 5)),
            _ => None,
        }
    }
}

fn civil_utc(instant: Timestamp) -> DateTime {
    Zoned::new(instant, TimeZone::UTC).datetime()
}

/// The store keeps microseconds: more digits than six are refused rather than cut.
fn fraction_precision(digits: &str) -> Option<Precision> {
    let count = u8::try_from(digits.len()).ok().filter(|count| (1..=6).contains(count))?;
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(Precision::Fraction(count))
}

fn split_fhir_offset(time: &str) -> Option<(&str, i32)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0));
    }
    let at = time.find(['+', '-'])?;
    let offset = &time[at + 1..];
    let (hours, minutes) = offset.split_once(':')?;
    let sign = if time.as_bytes()[at] == b'-' { -1 } else { 1 };
    Some((&time[..at], sign * offset_seconds(hours, minutes)?))
}

fn offset_seconds(hours: &str, minutes: &str) -> Option<i32> {
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours <= 14 && minutes <= 59).then(|| i32::from(hours) * 3600 + i32::from(minutes) * 60)
}

fn two_digits(text: &str) -> Option<i16> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_local_time_becomes_utc() {
        let dtm = Dtm::from_hl7("20191203133000+0100").unwrap();
        assert_eq!(dtm.to_hl7(), "20191203123000");
        assert_eq!(dtm.to_fhir(), "2019-12-03T12:30:00Z");
        assert_eq!(Dtm::from_fhir("2019-12-03T13:30:00+01:00"), Ok(dtm));
    }

    #[test]
    fn a_negative_offset_keeps_its_sign() {
        assert_eq!(Dtm::from_hl7("20210104230000-0400").unwrap().to_hl7(), "20210105030000");
        assert_eq!(Dtm::from_fhir("2021-01-04T23:00:00-04:00").unwrap().to_hl7(), "20210105030000");
    }

    #[test]
    fn a_date_alone_keeps_its_day() {
        for (hl7, fhir) in [("2019", "2019"), ("201902", "2019-02"), ("20190221", "2019-02-21")] {
            assert_eq!(Dtm::from_hl7(hl7).unwrap().to_fhir(), fhir);
            assert_eq!(Dtm::from_fhir(fhir).unwrap().to_hl7(), hl7);
        }
        assert_eq!(Dtm::from_hl7("20190221+0200").unwrap().to_hl7(), "20190221");
    }

    #[test]
    fn the_interval_of_a_partial_date_covers_it_whole() {
        let month = Dtm::from_fhir("2024-02").unwrap();
        assert_eq!(month.to(), Dtm::from_fhir("2024-03-01").unwrap().from());
    }

    #[test]
    fn impossible_dates_are_refused() {
        for bad in
            ["", "20", "201913", "20190230", "2019-02-21", "20190221256000", "20190221+1", "20190221120000.1234567"]
        {
            assert!(Dtm::from_hl7(bad).is_err(), "{bad}");
        }
        for bad in [
            "",
            "2019-13",
            "20190221",
            "2019-02-30",
            "2019-02-21T12:00",
            "2019-02-21T12:00:00",
            "2019-02-21T25:00:00Z",
            "é019",
        ] {
            assert!(Dtm::from_fhir(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_offset_that_leads_out_of_the_years_of_four_digits_is_refused() {
        for hl7 in ["00000101000000+1400", "00010101000000+1400", "0000", "99991231235959-1400"] {
            assert_eq!(Dtm::from_hl7(hl7), Err(DtmError::Hl7), "{hl7}");
        }
        for fhir in ["0000-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00", "0000", "9999-12-31T23:59:59-14:00"] {
            assert_eq!(Dtm::from_fhir(fhir), Err(DtmError::Fhir), "{fhir}");
        }
    }

    #[test]
    fn an_offset_that_is_no_ascii_is_refused() {
        for bad in ["20200101120000+a\u{e9}b", "20200101120000+\u{e9}\u{e9}", "20200101120000+\u{e9}"] {
            assert_eq!(Dtm::from_hl7(bad), Err(DtmError::Hl7), "{bad}");
        }
    }

    #[test]
    fn an_hour_that_no_hour_of_utc_equals_is_said_by_its_minute() {
        assert_eq!(Dtm::from_hl7("2020010112-0930").unwrap().to_hl7(), "202001012130");
        assert_eq!(Dtm::from_hl7("2020010112-1000").unwrap().to_hl7(), "2020010122");
    }

    /// Digits of a date that may exist, in the years where offsets lead out and in between.
    fn dates() -> impl Strategy<Value = (u16, u8, u8, u8, u8, u8)> {
        let years = prop_oneof![0_u16..3, 9998_u16..10_000, 0_u16..10_000];
        (years, 1_u8..13, 1_u8..32, 0_u8..25, 0_u8..61, 0_u8..61)
    }

    proptest! {
        #[test]
        fn what_is_read_from_hl7_reads_back(
            (year, month, day, hour, minute, second) in dates(),
            length in prop::sample::select(vec![4_usize, 6, 8, 10, 12, 14]),
            tail in "(\\.[0-9]{1,7})?([+-](0[0-9]|1[0-5])[0-5][0-9])?",
        ) {
            let full = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}");
            if let Ok(dtm) = Dtm::from_hl7(&format!("{}{tail}", &full[..length])) {
                prop_assert_eq!(Dtm::from_hl7(&dtm.to_hl7()), Ok(dtm));
                prop_assert!(dtm.from() < dtm.to());
                let of_fhir = Dtm::from_fhir(&dtm.to_fhir());
                prop_assert_eq!(of_fhir.map(Dtm::from), Ok(dtm.from()));
            }
        }

        #[test]
        fn what_is_read_from_fhir_reads_back(
            (year, month, day, hour, minute, second) in dates(),
            length in prop::sample::select(vec![4_usize, 7, 10, 19]),
            tail in "(\\.[0-9]{1,7})?(Z|[+-](0[0-9]|1[0-5]):[0-5][0-9])?",
        ) {
            let full = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
            if let Ok(dtm) = Dtm::from_fhir(&format!("{}{tail}", &full[..length])) {
                prop_assert_eq!(Dtm::from_fhir(&dtm.to_fhir()), Ok(dtm));
                prop_assert_eq!(Dtm::from_hl7(&dtm.to_hl7()), Ok(dtm));
                prop_assert!(dtm.from() < dtm.to());
            }
        }

        #[test]
        fn what_looks_like_a_time_is_read_or_refused_without_a_panic(
            head in prop::sample::select(vec!["", "20200101120000", "2020-01-01T12:00:00"]),
            tail in "[0-9+\\-.TZ:\u{e9}a]{0,12}",
        ) {
            let text = format!("{head}{tail}");
            let _ = Dtm::from_hl7(&text);
            let _ = Dtm::from_fhir(&text);
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,24}") {
            let _ = Dtm::from_hl7(&text);
            let _ = Dtm::from_fhir(&text);
        }

        #[test]
        fn both_forms_read_back(us in 0_i64..4_000_000_000_000_000, rank in 0_u8..12) {
            let precision = Precision::from_rank(rank).unwrap();
            let dtm = Dtm { from: Timestamp::from_microsecond(us).unwrap(), precision };
            let once = Dtm::from_hl7(&dtm.to_hl7()).unwrap();
            prop_assert_eq!(Dtm::from_hl7(&once.to_hl7()), Ok(once));
            if !matches!(precision, Precision::Hour | Precision::Minute) {
                prop_assert_eq!(Dtm::from_fhir(&once.to_fhir()), Ok(once));
            }
        }
    }
}
