//! Query strings and search forms: pairs of name and value, and FHIR's own separators inside a value.
//!
//! Knows no parameter by name. Source: FHIR R4 search.html#escaping, #prefix.

use jiff::Timestamp;

use crate::config::InsDomain;
use crate::domain::dtm::{Dtm, Precision};
use crate::domain::ins::{self, Ins, InsError};
use crate::operation::criteria::TimeCriterion;
use crate::refusal::{Refusal, Rule};

/// The parameters of one request, decoded, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(pub Vec<(String, String)>);

/// `system|value` with FHIR's escapes undone; no system where there was no bar or nothing before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub system: Option<String>,
    pub value: String,
}

impl Query {
    /// Reads the query of the URL and the form of the body, as if they were one (search.html#Introduction).
    ///
    /// Errors: `ParameterValue` for more parameters than a search needs.
    pub fn read(url_query: Option<&str>, form: &[u8]) -> Result<Self, Refusal> {
        let of_url = form_urlencoded::parse(url_query.unwrap_or_default().as_bytes());
        let pairs = of_url.chain(form_urlencoded::parse(form)).take(PARAMETERS_MAX + 1);
        // An empty value is as good as no parameter: HTML forms send them.
        let pairs: Vec<_> = pairs.filter(|(_, value)| !value.is_empty()).collect();
        if pairs.len() > PARAMETERS_MAX {
            let expected = format!("at most {PARAMETERS_MAX}");
            return Err(Refusal::new(Rule::ParameterValue, "query", "more parameters", expected));
        }
        Ok(Self(pairs.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
    }

    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The same parameters in the form of a URL query.
    pub fn to_url<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }
}

/// The alternatives of a value: parts between commas that no backslash precedes, still escaped.
///
/// Errors: `ParameterValue` for an empty alternative and for more than a search needs.
pub fn alternatives<'a>(place: &str, value: &'a str) -> Result<Vec<&'a str>, Refusal> {
    let parts = split_unescaped(value, ',');
    if parts.iter().any(|part| part.trim().is_empty()) {
        return Err(Refusal::new(Rule::ParameterValue, place, "an empty alternative", "values between the commas"));
    }
    if parts.len() > ALTERNATIVES_MAX {
        let expected = format!("at most {ALTERNATIVES_MAX} alternatives");
        return Err(Refusal::new(Rule::ParameterValue, place, format!("{} alternatives", parts.len()), expected));
    }
    Ok(parts)
}

/// Errors: `ParameterValue` when the value is missing or more than one bar stands in it.
pub fn token(place: &str, text: &str) -> Result<Token, Refusal> {
    let parts: Vec<String> = split_unescaped(text, '|').into_iter().map(unescape).collect();
    let token = match parts.as_slice() {
        [value] => Token { system: None, value: value.clone() },
        [system, value] => Token { system: Some(system.clone()).filter(|s| !s.is_empty()), value: value.clone() },
        _ => return Err(value_refused(place, text, "system|value, system|value with \\| inside, or value")),
    };
    if token.value.is_empty() {
        return Err(value_refused(place, text, "a value after the bar"));
    }
    Ok(token)
}

/// Reads the INS of a patient: `urn:oid:OID|matricule`, or the OID alone before the bar.
///
/// Errors: `InsForm`, `InsKey`, and `InsDomain` for an authority that this deployment does not accept.
pub fn patient(place: &str, text: &str, accepted: &[InsDomain]) -> Result<Ins, Refusal> {
    let Token { system, value } = token(place, text)?;
    let refused = |rule, error: InsError| Refusal::new(rule, place, ins::mask(&value), error.to_string());
    let Some(system) = system else {
        let expected = "urn:oid:1.2.250.1.213.1.4.8|INS: the system that assigned it, a bar and the number";
        return Err(Refusal::new(Rule::InsForm, place, ins::mask(&value), expected));
    };
    let ins = match Ins::parse(&value, system.strip_prefix("urn:oid:").unwrap_or(&system)) {
        Ok(ins) => ins,
        Err(error @ InsError::Key) => return Err(refused(Rule::InsKey, error)),
        Err(error @ InsError::Authority) => {
            return Err(Refusal::new(Rule::InsForm, place, shown(&system), error.to_string()));
        }
        Err(error) => return Err(refused(Rule::InsForm, error)),
    };
    if accepted.contains(&ins.authority().domain()) {
        return Ok(ins);
    }
    let expected = "an authority of the INS domains that this gateway accepts";
    Err(Refusal::new(Rule::InsDomain, place, ins.authority().oid(), expected))
}

/// Reads `[prefix]date`. Errors: `ParameterValue`.
pub fn time_criterion(place: &str, text: &str) -> Result<TimeCriterion, Refusal> {
    let text = text.trim();
    let (prefix, date) = match text.get(..2) {
        Some(prefix) if prefix.bytes().all(|b| b.is_ascii_lowercase()) => (prefix, &text[2..]),
        _ => ("eq", text),
    };
    let Some((from, to)) = interval(date) else {
        let expected = "yyyy, yyyy-mm, yyyy-mm-dd or yyyy-mm-ddThh:mm[:ss[.f]] with Z or +zz:zz";
        return Err(value_refused(place, text, expected));
    };
    match prefix {
        "eq" => Ok(TimeCriterion::Within { from, to }),
        "ne" => Ok(TimeCriterion::NotWithin { from, to }),
        "ge" => Ok(TimeCriterion::AtOrAfter(from)),
        "gt" => Ok(TimeCriterion::AtOrAfter(to)),
        "sa" => Ok(TimeCriterion::After(to)),
        "lt" => Ok(TimeCriterion::Before(from)),
        "le" => Ok(TimeCriterion::Before(to)),
        "eb" => Ok(TimeCriterion::EndsBefore(from)),
        _ => Err(value_refused(place, prefix, "one of the prefixes eq, ne, gt, ge, lt, le, sa, eb")),
    }
}

/// Undoes `\,` `\|` `\$` `\\`; any other backslash stands for itself.
pub fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(&next) if c == '\\' && matches!(next, ',' | '|' | '$' | '\\') => {
                plain.push(next);
                chars.next();
            }
            _ => plain.push(c),
        }
    }
    plain
}

/// A refusal that quotes a value, unless it may hold an INS.
pub fn value_refused(place: &str, found: &str, expected: &str) -> Refusal {
    Refusal::new(Rule::ParameterValue, place, shown(found), expected)
}

/// What may be quoted of a text that a sender put in a wrong place: never a number as long as an INS.
pub fn shown(text: &str) -> String {
    let digit = |c: char| c.is_ascii_digit() || matches!(c, 'A' | 'B');
    let longest = text.split(|c| !digit(c)).map(str::len).max().unwrap_or(0);
    if longest >= INS_CHARS_WITHOUT_KEY { ins::mask(text) } else { text.to_owned() }
}

/// The time that a search date covers. FHIR searches may leave out the seconds and the offset (then UTC).
fn interval(text: &str) -> Option<(Timestamp, Timestamp)> {
    // A `+` that was not percent-encoded arrives as a space.
    let text = text.trim().replace(' ', "+");
    let Some((date, time)) = text.split_once('T') else {
        return Dtm::from_fhir(&text).ok().map(|dtm| (dtm.from(), dtm.to()));
    };
    let (clock, offset) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    if clock.len() == "hh:mm".len() {
        let minute = Dtm::from_fhir(&format!("{date}T{clock}:00{offset}")).ok()?;
        let minute = Dtm::from_parts(minute.from(), Precision::Minute);
        return Some((minute.from(), minute.to()));
    }
    let dtm = Dtm::from_fhir(&format!("{date}T{clock}{offset}")).ok()?;
    Some((dtm.from(), dtm.to()))
}

fn split_unescaped(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        if c == separator && !escaped {
            parts.push(&text[start..at]);
            start = at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

const PARAMETERS_MAX: usize = 64;
const ALTERNATIVES_MAX: usize = 100;
const INS_CHARS_WITHOUT_KEY: usize = 13;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn instant(text: &str) -> Timestamp {
        Dtm::from_fhir(text).unwrap().from()
    }

    #[test]
    fn url_and_form_are_one_query() {
        let query = Query::read(Some("a=1&b=x%7Cy"), b"c=%C3%A9+f&empty=").unwrap();
        let expected = [("a", "1"), ("b", "x|y"), ("c", "é f")];
        assert_eq!(query.0, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn too_many_parameters_or_alternatives_are_refused() {
        assert!(Query::read(Some(&"a=1&".repeat(65)), b"").is_err());
        assert!(alternatives("p", &"a,".repeat(101)).is_err());
        assert!(alternatives("p", "a,,b").is_err());
    }

    #[test]
    fn separators_can_be_escaped() {
        assert_eq!(alternatives("p", r"a\,b,c\\,d").unwrap(), [r"a\,b", r"c\\", "d"]);
        let read = token("p", r"http://x|a\|b\,c").unwrap();
        assert_eq!(read, Token { system: Some("http://x".to_owned()), value: "a|b,c".to_owned() });
        assert_eq!(token("p", "|a").unwrap().system, None);
        assert!(token("p", "a|b|c").is_err());
        assert!(token("p", "system|").is_err());
    }

    #[test]
    fn each_prefix_compares_the_interval_of_the_value() {
        let (from, to) = (instant("2024-03-01"), instant("2024-04-01"));
        for (text, expected) in [
            ("2024-03", TimeCriterion::Within { from, to }),
            ("eq2024-03", TimeCriterion::Within { from, to }),
            ("ne2024-03", TimeCriterion::NotWithin { from, to }),
            ("gt2024-03", TimeCriterion::AtOrAfter(to)),
            ("ge2024-03", TimeCriterion::AtOrAfter(from)),
            ("sa2024-03", TimeCriterion::After(to)),
            ("lt2024-03", TimeCriterion::Before(from)),
            ("le2024-03", TimeCriterion::Before(to)),
            ("eb2024-03", TimeCriterion::EndsBefore(from)),
        ] {
            assert_eq!(time_criterion("p", text), Ok(expected), "{text}");
        }
        for bad in ["ap2024", "xx2024", "2024-13", "03/2024", "gt", "", "2024-03-01T1:00"] {
            assert_eq!(time_criterion("p", bad).unwrap_err().rule, Rule::ParameterValue, "{bad}");
        }
    }

    #[test]
    fn a_search_time_may_lack_seconds_and_offset() {
        let (from, to) = (instant("2024-03-01T10:00:00Z"), instant("2024-03-01T10:01:00Z"));
        let minute = Ok(TimeCriterion::Within { from, to });
        assert_eq!(time_criterion("p", "2024-03-01T10:00"), minute);
        assert_eq!(time_criterion("p", "2024-03-01T11:00 01:00"), minute);
    }

    #[test]
    fn a_patient_is_an_ins_with_its_authority() {
        let accepted = [InsDomain::Test];
        for good in ["urn:oid:1.2.250.1.213.1.4.10|207058575627097", "1.2.250.1.213.1.4.10|207058575627097"] {
            assert!(patient("p", good, &accepted).is_ok(), "{good}");
        }
        for (bad, rule) in [
            ("207058575627097", Rule::InsForm),
            ("urn:oid:1.2.250.1.213.1.4.10|207058575627098", Rule::InsKey),
            ("urn:oid:1.2.250.1.213.1.4.10|2070", Rule::InsForm),
            ("urn:oid:1.2.250.1.213.1.4.2|207058575627097", Rule::InsForm),
            ("urn:oid:1.2.250.1.213.1.4.8|207058575627097", Rule::InsDomain),
        ] {
            let refusal = patient("p", bad, &accepted).unwrap_err();
            assert_eq!(refusal.rule, rule, "{bad}");
            assert!(!refusal.to_string().contains("07058575627"), "{refusal}");
        }
    }

    #[test]
    fn a_number_as_long_as_an_ins_is_not_quoted() {
        assert!(!shown("Patient/207058575627097").contains("05857562709"));
        assert_eq!(shown("1.2.250.1.213"), "1.2.250.1.213");
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused_without_a_panic(text in "\\PC{0,60}") {
            let _ = Query::read(Some(&text), text.as_bytes());
            let _ = alternatives("p", &text);
            let _ = token("p", &text);
            let _ = time_criterion("p", &text);
            let _ = shown(&text);
        }

        #[test]
        fn what_is_escaped_reads_back(system in "[a-z:/,|$\\\\]{1,20}", value in "[a-zA-Z0-9,|$\\\\é ]{1,20}") {
            let escape = |text: &str| text.replace('\\', "\\\\").replace(',', "\\,").replace('|', "\\|").replace('$', "\\$");
            let text = format!("{}|{}", escape(&system), escape(&value));
            prop_assert_eq!(alternatives("p", &text).map_or(1, |parts| parts.len()), 1);
            prop_assert_eq!(token("p", &text), Ok(Token { system: Some(system), value }));
        }

        #[test]
        fn what_is_written_into_a_url_reads_back(pairs in proptest::collection::vec(("\\PC{1,10}", "\\PC{1,10}"), 0..10)) {
            let url = Query::to_url(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            prop_assert_eq!(Query::read(Some(&url), b"").unwrap().0, pairs);
        }
    }
}
