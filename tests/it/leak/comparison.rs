//! Two answers held against each other, byte for byte.
//!
//! Alone allowed to differ: the id of the answer, and ids that each store gave to the same visible thing, which must
//! be the same thing wherever they stand. Instants are not: both stores live under one clock.

use std::collections::HashMap;

use super::world::{Answer, Sent};

/// Ids of the same thing in the two stores.
#[derive(Debug, Default)]
pub(super) struct Twins {
    of_whole: HashMap<String, String>,
    of_rest: HashMap<String, String>,
}

/// Whether an answer may bring ids that neither store had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Reads,
    Writes,
}

impl Twins {
    pub(super) fn add(&mut self, whole: String, rest: String) {
        self.of_rest.insert(rest.clone(), whole.clone());
        self.of_whole.insert(whole, rest);
    }

    fn are(&self, whole: &str, rest: &str) -> bool {
        self.of_whole.get(whole).map(String::as_str) == Some(rest)
    }

    fn is_known(&self, whole: &str, rest: &str) -> bool {
        self.of_whole.contains_key(whole) || self.of_rest.contains_key(rest)
    }
}

/// Errors: where the answers differ.
pub(super) fn compare(
    sent: &Sent,
    whole: &Answer,
    rest: &Answer,
    twins: &mut Twins,
    request: Request,
) -> Result<(), String> {
    let what = format!("{} {}", sent.method, sent.path);
    if whole.status != rest.status {
        let bodies = (String::from_utf8_lossy(&whole.body), String::from_utf8_lossy(&rest.body));
        return Err(format!("{what}: status {} and {}: {} and {}", whole.status, rest.status, bodies.0, bodies.1));
    }
    let creates = request == Request::Writes && whole.status.is_success();
    let mut pairing = Pairing { twins, creates, answer: answer_ids(whole, rest) };
    let (heads, bodies) = ([head(sent, whole), head(sent, rest)], [text(&whole.body), text(&rest.body)]);
    pairing.compare(&heads[0], &heads[1]).map_err(|found| format!("{what}: headers: {found}"))?;
    pairing.compare(&bodies[0], &bodies[1]).map_err(|found| format!("{what}: {found}"))?;
    if whole.trips != rest.trips {
        return Err(format!("{what}: the database was asked {:?} and {:?}", whole.trips, rest.trips));
    }
    Ok(())
}

struct Pairing<'t> {
    twins: &'t mut Twins,
    creates: bool,
    answer: (String, String),
}

impl Pairing<'_> {
    fn compare(&mut self, whole: &str, rest: &str) -> Result<(), String> {
        let mut before = "";
        let mut pieces = (pieces(whole), pieces(rest));
        loop {
            match (pieces.0.next(), pieces.1.next()) {
                (None, None) => return Ok(()),
                (Some(Piece::Text(one)), Some(Piece::Text(other))) if one == other => before = one,
                (Some(Piece::Id(one)), Some(Piece::Id(other))) if self.is_same(one, other, before) => {}
                (one, other) => return Err(format!("{one:?}\n-- and --\n{other:?}\n-- behind --\n{before}")),
            }
        }
    }

    fn is_same(&mut self, whole: &str, rest: &str, before: &str) -> bool {
        if whole == rest {
            return !self.twins.is_known(whole, rest);
        }
        if self.twins.are(whole, rest) || (whole, rest) == (&self.answer.0, &self.answer.1) {
            return true;
        }
        let is_new = !self.twins.is_known(whole, rest);
        // Entries without an id of ours are named for one answer.
        let is_passing = ANSWERS.iter().any(|start| before.ends_with(start));
        if is_new && self.creates {
            self.twins.add(whole.to_owned(), rest.to_owned());
        }
        is_new && (is_passing || self.creates)
    }
}

/// What stands before an id that is of one answer alone: a Bundle's own, and that of an entry without one; and before
/// that of a trace, which each journal made for itself.
const ANSWERS: &[&str] = &[
    "{\"resourceType\":\"Bundle\",\"id\":\"",
    "<Bundle xmlns=\"http://hl7.org/fhir\">\n  <id value=\"",
    "\"fullUrl\":\"urn:uuid:",
    "<fullUrl value=\"urn:uuid:",
    "{\"resourceType\":\"AuditEvent\",\"id\":\"",
    "<AuditEvent>\n        <id value=\"",
];

fn answer_ids(whole: &Answer, rest: &Answer) -> (String, String) {
    let id = |answer: &Answer| answer.headers["x-request-id"].to_str().expect("text").to_owned();
    (id(whole), id(rest))
}

/// Status line and headers as text. The tag of a Consent is made of what it shows, its id included.
fn head(sent: &Sent, answer: &Answer) -> String {
    let of_consent = sent.path.starts_with("/Consent");
    let mut lines: Vec<String> = Vec::new();
    for (name, value) in &answer.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let is_tag = of_consent && name == "etag" && value.starts_with("W/\"");
        lines.push(format!("{name}: {}", if is_tag { "of what is shown" } else { &value }));
    }
    lines.sort();
    lines.join("\n")
}

/// Bytes that are no text are compared as they are, too: each stands for itself.
fn text(body: &[u8]) -> String {
    match std::str::from_utf8(body) {
        Ok(text) => text.to_owned(),
        Err(_) => body.iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Id(&'a str),
}

/// A text cut at the UUIDs in it.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = uuid_at(rest).unwrap_or(rest.len());
        let end = if at == 0 { UUID_CHARS } else { at };
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(if at == 0 { Piece::Id(piece) } else { Piece::Text(piece) })
    })
}

/// By its first hyphen: there are few in an answer.
fn uuid_at(text: &str) -> Option<usize> {
    let is_uuid = |window: &[u8]| {
        window.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
        })
    };
    let mut starts = text.match_indices('-').filter_map(|(hyphen, _)| hyphen.checked_sub(8));
    starts.find(|at| text.as_bytes().get(*at..at + UUID_CHARS).is_some_and(is_uuid))
}

const UUID_CHARS: usize = 36;

#[test]
fn a_text_is_cut_at_its_uuids() {
    let text = "a00000000-0000-7000-8000-000000000001b00000000-0000-7000-8000-00000000000x";
    let cut: Vec<_> = pieces(text).collect();
    // The `a` before it is a digit of a UUID as well, but not at that place.
    assert_eq!(cut[0], Piece::Text("a"));
    assert_eq!(cut[1], Piece::Id("00000000-0000-7000-8000-000000000001"));
    assert_eq!(cut.len(), 3);
}
