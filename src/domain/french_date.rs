//! Instants as French people write them, by the clock of Paris.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// By the rule of the European Union (directive 2000/84/CE), so that the program needs no table of time zones.
pub fn in_paris(at: Timestamp) -> Zoned {
    at.to_zoned(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap_or(TimeZone::UTC))
}

/// Day and month apart, for each writer has their own space between them: `1er` and `mars`.
pub fn day_and_month(at: &Zoned) -> (String, &'static str) {
    let day = if at.day() == 1 { "1er".to_owned() } else { at.day().to_string() };
    let month = usize::try_from(at.month() - 1).ok().and_then(|month| MONTHS.get(month)).unwrap_or(&"");
    (day, month)
}

const MONTHS: [&str; 12] = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
];
