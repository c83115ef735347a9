//! Which representation a request asks for: `Accept`, `_format`, `Content-Type`, `Prefer`.
//!
//! Source: FHIR R4 http.html#mime-type, #parameters (`_format` wins over `Accept`), #ops (`Prefer`).

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::refusal::{Refusal, Rule};

/// The two formats of FHIR resources; JSON where the client does not care.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Json,
    Xml,
}

/// What a write gives back. Source: FHIR R4 http.html#ops, header `Prefer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    Minimal,
    Representation,
    OperationOutcome,
}

/// How a document leaves (ITI-68): as its bytes, or wrapped into a FHIR Binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentForm {
    Raw,
    Binary(Format),
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/fhir+json; charset=utf-8",
            Self::Xml => "application/fhir+xml; charset=utf-8",
        }
    }

    /// Reads every name that FHIR admits for a format, parameters and case apart.
    pub fn from_mime(mime: &str) -> Option<Self> {
        let essence = essence(mime);
        let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(essence));
        if is(&["application/fhir+json", "application/json", "json", "text/json"]) {
            Some(Self::Json)
        } else if is(&["application/fhir+xml", "application/xml", "text/xml", "xml"]) {
            Some(Self::Xml)
        } else {
            None
        }
    }
}

/// The format of an answer. Errors: `NotAcceptable`.
pub fn answer_format(headers: &HeaderMap, format_parameter: Option<&str>) -> Result<Format, Refusal> {
    if let Some(text) = format_parameter {
        return Format::from_mime(&plus_for_space(text))
            .ok_or_else(|| not_acceptable("parameter _format", text, SUPPORTED));
    }
    let Some(accept) = accept_of(headers) else { return Ok(Format::default()) };
    let of_range = |range: &str| match range {
        "*/*" | "application/*" => Some(Format::Json),
        "text/*" => Some(Format::Xml),
        other => Format::from_mime(other),
    };
    ranked(&accept).find_map(of_range).ok_or_else(|| not_acceptable("header Accept", &accept, SUPPORTED))
}

/// The form in which a document of the stored type `mime` leaves. A FHIR Binary must be named in full:
/// `application/xml` and `application/json` are types that a document itself can have.
///
/// Errors: `NotAcceptable` when the client takes neither the stored type nor a Binary (MHD 3.68.4.2.3).
pub fn document_form(headers: &HeaderMap, format: Option<&str>, mime: &str) -> Result<DocumentForm, Refusal> {
    let expected = || format!("{}, application/fhir+json or application/fhir+xml", essence(mime));
    if let Some(text) = format {
        let text = plus_for_space(text);
        if same_type(&text, mime) && !text.contains("fhir") {
            return Ok(DocumentForm::Raw);
        }
        return match Format::from_mime(&text) {
            Some(format) => Ok(DocumentForm::Binary(format)),
            None => Err(not_acceptable("parameter _format", &text, &expected())),
        };
    }
    let Some(accept) = accept_of(headers) else { return Ok(DocumentForm::Raw) };
    let of_range = |range: &str| match range {
        "*/*" => Some(DocumentForm::Raw),
        "application/fhir+json" => Some(DocumentForm::Binary(Format::Json)),
        "application/fhir+xml" => Some(DocumentForm::Binary(Format::Xml)),
        range => {
            let family = range.strip_suffix("/*").is_some_and(|family| mime.split('/').next() == Some(family));
            (family || same_type(range, mime)).then_some(DocumentForm::Raw)
        }
    };
    ranked(&accept).find_map(of_range).ok_or_else(|| not_acceptable("header Accept", &accept, &expected()))
}

/// Whether a body is a form, as `_search` wants it. Errors: `MediaType`.
pub fn require_form(headers: &HeaderMap) -> Result<(), Refusal> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let found = headers.get(CONTENT_TYPE).map_or("nothing", |value| value.to_str().unwrap_or("unreadable"));
    if essence(found).eq_ignore_ascii_case(FORM) {
        return Ok(());
    }
    Err(Refusal::new(Rule::MediaType, "header Content-Type", found, FORM))
}

/// `Prefer: return=…`; `None` when it is not said or not known (a preference is no order).
pub fn preferred_return(headers: &HeaderMap) -> Option<Return> {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut words = preferences.flat_map(|value| value.split([',', ';'])).map(str::trim);
    words.find_map(|word| match word.strip_prefix("return=")?.trim_matches('"') {
        "minimal" => Some(Return::Minimal),
        "representation" => Some(Return::Representation),
        "OperationOutcome" => Some(Return::OperationOutcome),
        _ => None,
    })
}

fn accept_of(headers: &HeaderMap) -> Option<String> {
    let values: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let joined = values.join(",").to_ascii_lowercase();
    (!joined.trim().is_empty()).then_some(joined)
}

/// The media ranges of an `Accept` header, best first; those of weight 0 are left out.
fn ranked(accept: &str) -> impl Iterator<Item = &str> {
    let mut ranges: Vec<(u16, &str)> = accept.split(',').filter_map(weighted).collect();
    ranges.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    ranges.into_iter().map(|(_, range)| range)
}

/// `type/subtype;q=0.5` with its weight in thousandths; a weight that cannot be read counts as 1.
fn weighted(item: &str) -> Option<(u16, &str)> {
    let range = essence(item);
    let quality = item.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    let weight = match quality.map(str::trim) {
        None => 1000,
        Some(text) => match text.split_once('.') {
            _ if text.len() > 5 || !text.starts_with(['0', '1']) => 1000,
            Some(("0", fraction)) => format!("{fraction:0<3}").parse().unwrap_or(1000),
            _ if text == "0" => 0,
            _ => 1000,
        },
    };
    (weight > 0 && !range.is_empty()).then_some((weight, range))
}

fn essence(mime: &str) -> &str {
    mime.split(';').next().unwrap_or_default().trim()
}

/// RFC 7303 gives XML two names for one thing.
fn same_type(one: &str, other: &str) -> bool {
    let plain = |mime: &str| match essence(mime).to_ascii_lowercase() {
        xml if xml == "application/xml" => "text/xml".to_owned(),
        other => other,
    };
    plain(one) == plain(other)
}

/// A `+` that was not percent-encoded arrives as a space: `_format=application/fhir+json`.
fn plus_for_space(text: &str) -> String {
    text.trim().replace(' ', "+")
}

fn not_acceptable(place: &str, found: &str, expected: &str) -> Refusal {
    Refusal::new(Rule::NotAcceptable, place, found, expected)
}

const SUPPORTED: &str = "application/fhir+json or application/fhir+xml";

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn accept(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_str(text).unwrap())])
    }

    #[test]
    fn json_is_the_default() {
        for headers in [HeaderMap::new(), accept("*/*"), accept(""), accept("text/html, */*;q=0.1")] {
            assert_eq!(answer_format(&headers, None), Ok(Format::Json));
        }
    }

    #[test]
    fn weights_decide_and_the_first_of_equals_wins() {
        assert_eq!(answer_format(&accept("application/json;q=0.5, text/xml;q=0.8"), None), Ok(Format::Xml));
        assert_eq!(answer_format(&accept("application/fhir+xml, application/fhir+json"), None), Ok(Format::Xml));
        assert_eq!(answer_format(&accept("application/fhir+xml;q=0, */*;q=0.2"), None), Ok(Format::Json));
        assert_eq!(
            answer_format(&accept("application/fhir+json;fhirVersion=4.0;q=0.25,xml;q=0.3"), None),
            Ok(Format::Xml)
        );
    }

    #[test]
    fn the_parameter_wins_over_the_header_and_its_plus_may_be_a_space() {
        assert_eq!(answer_format(&accept("application/fhir+json"), Some("application/fhir xml")), Ok(Format::Xml));
        assert_eq!(answer_format(&accept("text/csv"), Some("json")), Ok(Format::Json));
    }

    #[test]
    fn what_cannot_be_given_is_refused() {
        assert_eq!(answer_format(&accept("text/csv"), None).unwrap_err().rule, Rule::NotAcceptable);
        assert_eq!(answer_format(&HeaderMap::new(), Some("turtle")).unwrap_err().rule, Rule::NotAcceptable);
    }

    #[test]
    fn a_document_leaves_raw_unless_a_binary_is_named_in_full() {
        for raw in ["*/*", "text/xml", "application/xml", "text/*", "image/png, */*;q=0.1"] {
            assert_eq!(document_form(&accept(raw), None, "text/xml"), Ok(DocumentForm::Raw), "{raw}");
        }
        let binary = Ok(DocumentForm::Binary(Format::Json));
        assert_eq!(document_form(&accept("application/fhir+json, */*;q=0.1"), None, "text/xml"), binary);
        assert_eq!(document_form(&HeaderMap::new(), Some("json"), "text/xml"), binary);
        assert_eq!(document_form(&HeaderMap::new(), Some("text/xml"), "text/xml"), Ok(DocumentForm::Raw));
        assert!(document_form(&accept("application/pdf"), None, "text/xml").is_err());
    }

    #[test]
    fn a_search_form_says_that_it_is_one() {
        let mut headers = HeaderMap::new();
        assert_eq!(require_form(&headers).unwrap_err().rule, Rule::MediaType);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/fhir+json"));
        assert_eq!(require_form(&headers).unwrap_err().rule, Rule::MediaType);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded; charset=UTF-8"));
        assert_eq!(require_form(&headers), Ok(()));
    }

    #[test]
    fn a_preference_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert("prefer", HeaderValue::from_static("handling=strict, return=minimal"));
        assert_eq!(preferred_return(&headers), Some(Return::Minimal));
        headers.insert("prefer", HeaderValue::from_static("return=everything"));
        assert_eq!(preferred_return(&headers), None);
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused_without_a_panic(text in "[ -~]{0,80}", mime in "[ -~]{0,20}") {
            let _ = answer_format(&accept(&text), None);
            let _ = answer_format(&HeaderMap::new(), Some(&text));
            let _ = document_form(&accept(&text), None, &mime);
        }
    }
}
