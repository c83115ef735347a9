//! ITI-68 Retrieve Document (TD3.2): `GET` and `HEAD /Binary/{id}`.
//!
//! Decisions: the bytes leave under their stored type unless a FHIR Binary is asked for by name; several
//! ranges at once are answered with the whole document, as RFC 9110 allows; ranges of a Binary are not
//! served. A 304 and a HEAD are disclosures too: they pass the same operation and leave a journal line.
//! Source: MHD 3.68, RFC 9110 sections 8.8, 13, 14.

use std::ops::Range;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH,
    IF_RANGE, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::answer::{Answer, Content, Declined, Handled};
use super::existence::id_alone;
use super::face::Face;
use super::negotiate::{DocumentForm, Format, document_form};
use super::query::Query;
use super::resource::binary::Frame;
use crate::domain::document_entry::DocumentEntry;
use crate::domain::sha::hex;
use crate::identity::caller::Caller;
use crate::operation::retrieve::Pieces;
use crate::refusal::{Fault, Refusal, Rule};

pub async fn retrieve(face: &Face, caller: &Caller, parts: &Parts) -> Handled {
    let id = id_alone(parts)?;
    let query = Query::read(parts.uri.query(), b"")?;
    let retrieved = face.gateway.retrieve(caller, id).await?.disclose();
    let entry = retrieved.entry.clone();
    // A refusal tells of the document too (its type, its length): the line of the disclosure stands for it.
    answer(&entry, parts, query.first("_format"), |range| retrieved.stream(range)).map_err(Declined::journaled)
}

/// `open` is called at most once, when bytes are to leave.
fn answer(
    entry: &DocumentEntry,
    parts: &Parts,
    format: Option<&str>,
    open: impl FnOnce(Range<u64>) -> Pieces,
) -> Handled {
    let headers = &parts.headers;
    let mime = entry.metadata.mime_type.as_str();
    let form = document_form(headers, format, mime)?;
    let etag = etag_of(entry, form);
    if let Some(known) = text(headers, &IF_MATCH)
        && !known.split(',').map(str::trim).any(|tag| tag == "*" || tag == etag)
    {
        let expected = "the tag of the document, or none";
        return Err(Refusal::new(Rule::Precondition, "header If-Match", "another tag", expected).into());
    }
    if text(headers, &IF_NONE_MATCH).is_some_and(|known| matches_any(known, &etag)) {
        return Ok(guarded(Answer::empty(StatusCode::NOT_MODIFIED), &etag));
    }
    let size = entry.fingerprint.size_bytes;
    let (status, body_bytes, body) = match form {
        DocumentForm::Raw => {
            let (status, range) = match wanted(parts, &etag, size) {
                Wanted::Whole => (StatusCode::OK, 0..size),
                Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
                Wanted::Nothing => return Err(unsatisfiable(size)),
            };
            (status, range.clone(), Content::Bytes(streamed(open(range))))
        }
        DocumentForm::Binary(format) => {
            let frame = Frame::of(entry, format);
            let length = frame.length(size);
            (StatusCode::OK, 0..length, Content::Bytes(streamed(frame.around(open(0..size)))))
        }
    };
    let mut answer = guarded(Answer::empty(status), &etag)
        .with(CONTENT_LENGTH, &(body_bytes.end - body_bytes.start).to_string())
        .with(CONTENT_TYPE, content_type(form, mime));
    if form == DocumentForm::Raw {
        answer = answer.with(ACCEPT_RANGES, "bytes");
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let span = format!("bytes {}-{}/{size}", body_bytes.start, body_bytes.end - 1);
        answer = answer.with(CONTENT_RANGE, &span);
    }
    answer.content = body;
    Ok(answer)
}

/// A document is somebody else's content under our name: it may run nothing.
fn guarded(answer: Answer, etag: &str) -> Answer {
    answer.with(ETAG, etag).with(CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'")
}

fn content_type(form: DocumentForm, mime: &str) -> &str {
    let sendable = !mime.is_empty() && mime.bytes().all(|b| (b' '..=b'~').contains(&b));
    match form {
        DocumentForm::Raw if sendable => mime,
        DocumentForm::Raw => "application/octet-stream",
        DocumentForm::Binary(format) => format.content_type(),
    }
}

/// Strong: each form of the same bytes has a tag of its own.
fn etag_of(entry: &DocumentEntry, form: DocumentForm) -> String {
    let digest = hex(&entry.fingerprint.sha256.0);
    match form {
        DocumentForm::Raw => format!("\"{digest}\""),
        DocumentForm::Binary(Format::Json) => format!("\"{digest}-json-{}\"", entry.version),
        DocumentForm::Binary(Format::Xml) => format!("\"{digest}-xml-{}\"", entry.version),
    }
}

/// Weak comparison, as `If-None-Match` wants it.
fn matches_any(known: &str, etag: &str) -> bool {
    known.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    /// A range that starts behind the end.
    Nothing,
}

/// A range counts for GET only, and only while the document is still the one of `If-Range`. Our documents
/// never change, and dates are no strong validators here: a date in `If-Range` asks for the whole.
fn wanted(parts: &Parts, etag: &str, size: u64) -> Wanted {
    let Some(range) = text(&parts.headers, &RANGE) else { return Wanted::Whole };
    let same = text(&parts.headers, &IF_RANGE).is_none_or(|known| known.trim() == etag);
    if parts.method == Method::GET && same { range_of(range, size) } else { Wanted::Whole }
}

/// What cannot be read as one range of bytes is ignored (RFC 9110 section 14.2).
fn range_of(range: &str, size: u64) -> Wanted {
    let Some((unit, spec)) = range.split_once('=') else { return Wanted::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || spec.contains(',') {
        return Wanted::Whole;
    }
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // More digits than fit stand for "beyond the end".
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), _) if first >= size && (last.is_empty() || number(last).is_some_and(|last| last >= first)) => {
            Wanted::Nothing
        }
        (Some(first), Some(last)) if first <= last => Wanted::Part(first..last.saturating_add(1).min(size)),
        (Some(first), None) if last.is_empty() => Wanted::Part(first..size),
        (None, Some(0)) if first.is_empty() => Wanted::Nothing,
        (None, Some(_)) if first.is_empty() && size == 0 => Wanted::Nothing,
        (None, Some(suffix)) if first.is_empty() => Wanted::Part(size.saturating_sub(suffix)..size),
        _ => Wanted::Whole,
    }
}

fn unsatisfiable(size: u64) -> Declined {
    let refusal = Refusal::new(Rule::Range, "header Range", "a range behind the end", "a range within the document");
    Declined::from(refusal).with(CONTENT_RANGE, &format!("bytes */{size}"))
}

/// A fault in the middle cuts the connection: the client sees fewer bytes than `Content-Length` said.
fn streamed(pieces: impl Stream<Item = Result<Bytes, Fault>> + Send + 'static) -> Body {
    Body::from_stream(pieces.inspect(|piece| {
        if let Err(fault) = piece {
            let error: &(dyn std::error::Error + 'static) = fault;
            tracing::error!(error, "a document broke off on its way out");
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::resource::sample;
    use http::Request;
    use http_body_util::BodyExt as _;
    use proptest::prelude::*;

    fn parts(method: Method, headers: &[(HeaderName, &str)]) -> Parts {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    /// Status, headers and body of an answer; a refusal has no body here.
    async fn get(headers: &[(HeaderName, &str)]) -> (StatusCode, HeaderMap, Bytes) {
        let entry = sample::entry();
        let open = |range: Range<u64>| -> Pieces {
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            Box::pin(futures_util::stream::iter([Ok(Bytes::from_static(&sample::BYTES[range]))]))
        };
        match answer(&entry, &parts(Method::GET, headers), None, open) {
            Ok(Answer { status, headers, content: Content::Bytes(body) }) => {
                (status, headers, body.collect().await.unwrap().to_bytes())
            }
            Ok(Answer { status, headers, .. }) => (status, headers, Bytes::new()),
            Err(declined) => {
                let (status, _) = crate::fhir::outcome::status_of(&declined.failure);
                (status, declined.headers.into_iter().collect(), Bytes::new())
            }
        }
    }

    fn tag() -> String {
        etag_of(&sample::entry(), DocumentForm::Raw)
    }

    #[tokio::test]
    async fn the_bytes_leave_as_they_are() {
        let (status, headers, body) = get(&[]).await;
        assert_eq!((status, &body[..]), (StatusCode::OK, sample::BYTES));
        assert_eq!(headers[CONTENT_TYPE], "text/xml");
        assert_eq!(headers[CONTENT_LENGTH], sample::BYTES.len().to_string());
        assert_eq!(headers[ACCEPT_RANGES], "bytes");
        assert_eq!(headers[ETAG], tag());
        assert_eq!(headers[CONTENT_SECURITY_POLICY], "sandbox; default-src 'none'");
    }

    #[tokio::test]
    async fn a_part_says_which_part_it_is() {
        let (status, headers, body) = get(&[(RANGE, "bytes=1-4")]).await;
        assert_eq!((status, &body[..]), (StatusCode::PARTIAL_CONTENT, &sample::BYTES[1..5]));
        assert_eq!(headers[CONTENT_RANGE], "bytes 1-4/19");
        assert_eq!(headers[CONTENT_LENGTH], "4");
    }

    #[tokio::test]
    async fn a_range_behind_the_end_cannot_be_met() {
        let (status, headers, _) = get(&[(RANGE, "bytes=19-")]).await;
        assert_eq!(
            (status, &headers[CONTENT_RANGE]),
            (StatusCode::RANGE_NOT_SATISFIABLE, &"bytes */19".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn a_range_of_another_version_gets_the_whole() {
        assert_eq!(get(&[(RANGE, "bytes=0-1"), (IF_RANGE, "\"other\"")]).await.0, StatusCode::OK);
        assert_eq!(get(&[(RANGE, "bytes=0-1"), (IF_RANGE, &tag())]).await.0, StatusCode::PARTIAL_CONTENT);
    }

    #[tokio::test]
    async fn conditions_are_held_against_the_tag() {
        let (status, headers, body) = get(&[(IF_NONE_MATCH, &format!("\"x\", W/{}", tag()))]).await;
        assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(headers[ETAG], tag());
        assert_eq!(get(&[(IF_NONE_MATCH, "\"x\"")]).await.0, StatusCode::OK);
        assert_eq!(get(&[(IF_MATCH, "\"x\"")]).await.0, StatusCode::PRECONDITION_FAILED);
        assert_eq!(get(&[(IF_MATCH, &tag())]).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_binary_is_given_when_it_is_asked_for() {
        let (_, headers, body) = get(&[(http::header::ACCEPT, "application/fhir+json")]).await;
        assert_eq!(headers[CONTENT_TYPE], Format::Json.content_type());
        assert_eq!(headers[CONTENT_LENGTH], body.len().to_string());
        assert_ne!(headers[ETAG], tag());
        assert!(!headers.contains_key(ACCEPT_RANGES));
        fhirkit::from_json_strict::<fhirkit::r4::Binary>(std::str::from_utf8(&body).unwrap()).unwrap();
    }

    #[test]
    fn ranges_are_read_as_http_has_them() {
        for (text, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=5-", Wanted::Part(5..10)),
            ("bytes=5-99999999999999999999999", Wanted::Part(5..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("Bytes = 1-2", Wanted::Part(1..3)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-20", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=4-2", Wanted::Whole),
            ("bytes=20-12", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
        ] {
            assert_eq!(range_of(text, 10), expected, "{text}");
        }
        assert_eq!(range_of("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(range_of("bytes=-1", 0), Wanted::Nothing);
    }

    #[test]
    fn a_head_ignores_ranges() {
        let head = parts(Method::HEAD, &[(RANGE, "bytes=0-1")]);
        assert_eq!(wanted(&head, "\"x\"", 10), Wanted::Whole);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_document(text in "bytes=[0-9]{0,22}-[0-9]{0,22}", size in 0_u64..50) {
            if let Wanted::Part(range) = range_of(&text, size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }

        #[test]
        fn any_range_is_read_without_a_panic(text in "\\PC{0,30}", size in any::<u64>()) {
            let _ = range_of(&text, size);
        }
    }
}
