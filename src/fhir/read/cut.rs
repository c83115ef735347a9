//! Cuts the documents out of a JSON message while it arrives.
//!
//! Every string whose key is `data` (Binary.data, Attachment.data) goes through base64 into a spool; the rest,
//! the skeleton, stays in memory with a placeholder where a document stood. Structural checks and typed reading
//! see the skeleton only, so base64 is neither copied around nor held (contract 7.5).
//!
//! Refuses to know FHIR, and judges JSON only as far as it must to tell keys from values: syntax errors are found
//! in the skeleton, afterwards. What it does bound, before any recursion sees the message: its size, its
//! nesting, the members of one object and the number of values. `SampledData.data`, which is no base64, is
//! refused as such: no resource of a deposit carries one.

use std::ops::Range;

use super::base64::LineBreaks;
use super::intake::{Intake, PLACEHOLDER_CHARS, Received};
use crate::config::Limits;
use crate::refusal::{Failure, Refusal, Rule};
use crate::spool::SpoolSettings;

/// Reads a message piece by piece.
pub(super) struct Cutter {
    skeleton: Vec<u8>,
    skeleton_bytes_max: usize,
    intake: Intake,
    levels: Vec<Level>,
    state: State,
    values: usize,
    /// The string that says which resource the message is: first word of every place.
    root: Option<Range<usize>>,
    removed: Vec<Removed>,
    document_chars: usize,
}

/// A message without its documents, and the documents.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) skeleton: Vec<u8>,
    pub(super) documents: Vec<Received>,
    removed: Vec<Removed>,
}

/// How many characters were taken out of the line that holds this point of the skeleton.
#[derive(Debug)]
struct Removed {
    skeleton_end: usize,
    chars: usize,
}

/// An object or array that is open.
struct Level {
    kind: Kind,
    /// Of an object: the key whose value is next or being read.
    key: Range<usize>,
    after_colon: bool,
    /// Commas so far.
    index: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
}

#[derive(Clone, Copy)]
enum State {
    Between,
    Text { start: usize, is_key: bool, escaped: bool },
    Document,
    Escape { read: usize, value: u32 },
}

impl Cutter {
    pub(super) fn new(limits: &Limits, settings: SpoolSettings) -> Self {
        Self {
            skeleton: Vec::new(),
            skeleton_bytes_max: limits.message_bytes_max,
            intake: Intake::new(limits, settings, LineBreaks::Escaped),
            levels: Vec::new(),
            state: State::Between,
            values: 0,
            root: None,
            removed: Vec::new(),
            document_chars: 0,
        }
    }

    /// Takes the next piece of the message, cut anywhere.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<(), Failure> {
        while let Some(first) = piece.first().copied() {
            let used = match self.state {
                State::Between => self.push_between(piece)?,
                State::Text { start, is_key, escaped } => self.push_text(piece, start, is_key, escaped)?,
                State::Document => self.push_document(piece)?,
                State::Escape { read, value } => self.push_escape(first, read, value)?,
            };
            piece = &piece[used..];
        }
        Ok(())
    }

    /// Errors: `JsonSyntax` when the message ends inside a document; other syntax is judged on the skeleton.
    pub(super) fn finish(self) -> Result<Cut, Failure> {
        if matches!(self.state, State::Document | State::Escape { .. }) {
            return Err(self.refuse(Rule::JsonSyntax, "the end of the message", "the end of the base64 string (\")"));
        }
        Ok(Cut { skeleton: self.skeleton, documents: self.intake.finish(), removed: self.removed })
    }

    fn push_between(&mut self, piece: &[u8]) -> Result<usize, Failure> {
        for (at, byte) in piece.iter().enumerate() {
            match byte {
                b'"' => {
                    self.keep(&piece[..at])?;
                    self.begin_string()?;
                    return Ok(at + 1);
                }
                b'{' | b'[' => {
                    self.keep(&piece[..at])?;
                    self.open(if *byte == b'{' { Kind::Object } else { Kind::Array })?;
                    self.keep(&piece[at..=at])?;
                    return Ok(at + 1);
                }
                b'}' | b']' => {
                    self.levels.pop();
                }
                b':' => {
                    if let Some(level) = self.levels.last_mut() {
                        level.after_colon = true;
                    }
                }
                b',' => self.next_value()?,
                _ => {}
            }
        }
        self.keep(piece)?;
        Ok(piece.len())
    }

    fn push_text(&mut self, piece: &[u8], start: usize, is_key: bool, escaped: bool) -> Result<usize, Failure> {
        if escaped {
            self.keep(&piece[..1])?;
            self.state = State::Text { start, is_key, escaped: false };
            return Ok(1);
        }
        let Some(at) = memchr::memchr2(b'"', b'\\', piece) else {
            self.keep(piece)?;
            return Ok(piece.len());
        };
        self.keep(&piece[..=at])?;
        if piece[at] == b'\\' {
            self.state = State::Text { start, is_key, escaped: true };
            return Ok(at + 1);
        }
        let text = start..self.skeleton.len() - 1;
        self.state = State::Between;
        let is_root = self.levels.len() == 1;
        let is_long = text.len() > KEY_BYTES_MAX;
        if let Some(level) = self.levels.last_mut() {
            if is_key {
                level.key = if is_long { 0..0 } else { text };
            } else if is_root && !is_long && &self.skeleton[level.key.clone()] == b"resourceType" {
                self.root = Some(text);
            }
        }
        if is_key && is_long {
            let expected = format!("names of elements, at most {KEY_BYTES_MAX} bytes long");
            return Err(self.refuse(Rule::UnknownElement, "a longer name", expected));
        }
        Ok(at + 1)
    }

    fn push_document(&mut self, piece: &[u8]) -> Result<usize, Failure> {
        let at = memchr::memchr2(b'"', b'\\', piece);
        let text = &piece[..at.unwrap_or(piece.len())];
        self.intake.push(text)?;
        self.document_chars += text.len();
        let Some(at) = at else { return Ok(piece.len()) };
        if piece[at] == b'\\' {
            self.state = State::Escape { read: 0, value: 0 };
        } else {
            self.intake.end()?;
            let chars = self.document_chars.saturating_sub(PLACEHOLDER_CHARS);
            self.removed.push(Removed { skeleton_end: self.skeleton.len(), chars });
            self.keep(b"\"")?;
            self.state = State::Between;
        }
        Ok(at + 1)
    }

    /// One byte after the backslash of an escape: `n`, `/`, or `u` and four digits.
    fn push_escape(&mut self, byte: u8, read: usize, value: u32) -> Result<usize, Failure> {
        let digit = char::from(byte).to_digit(16);
        let plain = match (read, byte, digit) {
            (0, b'/' | b'\\' | b'"', _) => byte,
            // Whitespace is no part of base64; a space is what the decoder skips in JSON.
            (0, b'n' | b'r' | b't', _) => b' ',
            (0, b'u', _) => {
                self.state = State::Escape { read: 1, value: 0 };
                return Ok(1);
            }
            (1..=3, _, Some(digit)) => {
                self.state = State::Escape { read: read + 1, value: value * 16 + digit };
                return Ok(1);
            }
            (4, _, Some(digit)) => match u8::try_from(value * 16 + digit) {
                Ok(b'\t' | b'\n' | b'\r') => b' ',
                Ok(plain) => plain,
                // Any character that base64 lacks: the decoder names the error.
                Err(_) => 0x7f,
            },
            (0, b'b' | b'f', _) => 0x7f,
            _ => return Err(self.refuse(Rule::JsonSyntax, "an unknown escape", "an escape of RFC 8259 section 7")),
        };
        self.document_chars += if read == 0 { 2 } else { 6 };
        self.intake.push(&[plain])?;
        self.state = State::Document;
        Ok(1)
    }

    fn begin_string(&mut self) -> Result<(), Failure> {
        self.keep(b"\"")?;
        let start = self.skeleton.len();
        let in_object = self.levels.last().filter(|level| level.kind == Kind::Object);
        let is_key = in_object.is_some_and(|level| !level.after_colon);
        let is_document = in_object.is_some_and(|level| level.after_colon && self.is_data(level.key.clone()));
        if is_document {
            let placeholder = self.intake.begin(self.place())?;
            self.keep(placeholder.as_bytes())?;
            self.document_chars = 0;
            self.state = State::Document;
        } else {
            self.state = State::Text { start, is_key, escaped: false };
        }
        Ok(())
    }

    /// A key may be written with escapes: it is the same key, or a placeholder could be forged.
    fn is_data(&self, key: Range<usize>) -> bool {
        let quoted = &self.skeleton[key.start.saturating_sub(1)..=key.end];
        let text = &self.skeleton[key];
        text == b"data"
            || (text.contains(&b'\\') && serde_json::from_slice::<String>(quoted).is_ok_and(|key| key == "data"))
    }

    fn open(&mut self, kind: Kind) -> Result<(), Failure> {
        if self.levels.len() >= DEPTH_MAX {
            let expected = format!("objects and arrays nested at most {DEPTH_MAX} deep");
            return Err(self.refuse(Rule::Nesting, "one level more", expected));
        }
        self.levels.push(Level { kind, key: 0..0, after_colon: false, index: 0 });
        Ok(())
    }

    fn next_value(&mut self) -> Result<(), Failure> {
        self.values += 1;
        if self.values > VALUES_MAX {
            let expected = format!("at most {VALUES_MAX} values in one message");
            return Err(self.refuse(Rule::BodyTooLarge, "one value more", expected));
        }
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        level.index += 1;
        level.after_colon = false;
        if level.kind == Kind::Object && level.index >= MEMBERS_MAX {
            let expected = format!("at most {MEMBERS_MAX} members in one object");
            return Err(self.refuse(Rule::FhirStructure, "one member more", expected));
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.skeleton.len() + bytes.len() > self.skeleton_bytes_max {
            let max = self.skeleton_bytes_max;
            let expected = format!("at most {max} bytes beside the documents (limits.message_bytes_max)");
            return Err(self.refuse(Rule::BodyTooLarge, format!("more than {max} bytes"), expected));
        }
        self.skeleton.extend_from_slice(bytes);
        Ok(())
    }

    fn refuse(&self, rule: Rule, found: impl Into<String>, expected: impl Into<String>) -> Failure {
        Refusal::new(rule, self.place(), found, expected).into()
    }

    /// FHIRPath of the value that is being read.
    fn place(&self) -> String {
        let text = |range: Range<usize>| String::from_utf8_lossy(&self.skeleton[range]).into_owned();
        let root = self.root.clone().map_or_else(|| "resource".to_owned(), text);
        let place = self.levels.iter().fold(root, |place, level| match level.kind {
            Kind::Object if level.key.is_empty() => place,
            Kind::Object => format!("{place}.{}", text(level.key.clone())),
            Kind::Array => format!("{place}[{}]", level.index),
        });
        place.chars().take(PLACE_CHARS_MAX).collect()
    }
}

impl Cut {
    /// A skeleton that another reader made.
    pub(super) fn whole(skeleton: Vec<u8>, documents: Vec<Received>) -> Self {
        Self { skeleton, documents, removed: Vec::new() }
    }

    /// Where a point of the skeleton was in the message as sent.
    pub(super) fn place_of(&self, line: usize, column: usize) -> String {
        let line_start = match line.checked_sub(2) {
            Some(newline) => memchr::memchr_iter(b'\n', &self.skeleton).nth(newline).map_or(0, |at| at + 1),
            None => 0,
        };
        // The parser counts characters.
        let text = std::str::from_utf8(&self.skeleton[line_start..]).unwrap_or_default();
        let point = line_start + text.char_indices().nth(column).map_or(text.len(), |(at, _)| at);
        let on_line = self.removed.iter().filter(|removed| (line_start..point).contains(&removed.skeleton_end));
        let removed: usize = on_line.map(|removed| removed.chars).sum();
        format!("line {line}, column {}", column + removed)
    }
}

/// A resource of the standard nests about 15 deep, a Bundle of them about 20.
const DEPTH_MAX: usize = 64;

/// The widest resource of R4 has some 60 elements, twice that with `_element` twins.
const MEMBERS_MAX: usize = 256;

/// A DocumentReference with all it contains has about 200.
pub(super) const VALUES_MAX: usize = 50_000;

/// No name of R4 has more than 50 letters. Names make up places, and every place is written anew.
pub(super) const KEY_BYTES_MAX: usize = 64;

const PLACE_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings() -> SpoolSettings {
        SpoolSettings { directory: std::sync::Arc::new(std::env::temp_dir()), memory_bytes_max: 1 << 20 }
    }

    fn cut_in(pieces: &[&[u8]], limits: &Limits) -> Result<Cut, Failure> {
        let mut cutter = Cutter::new(limits, settings());
        for piece in pieces {
            cutter.push(piece)?;
        }
        cutter.finish()
    }

    fn cut(text: &str) -> Result<Cut, Failure> {
        cut_in(&[text.as_bytes()], &Limits::default())
    }

    fn refusal(result: Result<Cut, Failure>) -> Refusal {
        match result {
            Err(Failure::Refused(mut refusals) | Failure::Journaled(mut refusals)) => refusals.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn skeleton(cut: &Cut) -> &str {
        std::str::from_utf8(&cut.skeleton).unwrap()
    }

    fn bytes(cut: &Cut) -> Vec<&[u8]> {
        cut.documents.iter().map(|received| &received.content.in_memory().unwrap()[..]).collect()
    }

    #[test]
    fn documents_leave_placeholders_that_name_them() {
        let cut = cut(r#"{"entry":[{"data":"SGVsbG8="},{"attachment":{"data" : "V29ybGQ=", "size":5}}]}"#).unwrap();
        let expected = r#"{"entry":[{"data":"00000000"},{"attachment":{"data" : "00000001", "size":5}}]}"#;
        assert_eq!(skeleton(&cut), expected);
        assert_eq!(bytes(&cut), [b"Hello", b"World"]);
    }

    #[test]
    fn a_document_knows_where_it_stood() {
        let cut = cut(r#"{"resourceType":"Bundle","entry":[{},{"resource":{"data":"SGVsbG8="}}]}"#).unwrap();
        assert_eq!(cut.documents[0].place, "Bundle.entry[1].resource.data");
    }

    #[test]
    fn escapes_inside_base64_are_read() {
        let cut = cut(r#"{"data":"\u0053GVs\n bG8\r\n\t\/\u002fA=="}"#).unwrap();
        assert_eq!(bytes(&cut), [b"Hello?\xfc"]);
    }

    #[test]
    fn a_key_written_with_escapes_is_the_same_key() {
        let cut = cut(r#"{"d\u0061ta":"SGVsbG8="}"#).unwrap();
        assert_eq!(bytes(&cut), [b"Hello"]);
    }

    #[test]
    fn only_strings_under_the_key_itself_are_cut() {
        for text in [r#"{"a":"data","data":["QQ=="],"b":{"c":"data"}}"#, r#"["data","QQ=="]"#, r#"{"datas":"x\"data"}"#]
        {
            assert_eq!(skeleton(&cut(text).unwrap()), text);
        }
    }

    #[test]
    fn broken_base64_is_refused_at_its_place() {
        let refused = refusal(cut(r#"{"resourceType":"Binary","data":"SGVs*"}"#));
        assert_eq!((refused.rule, refused.place.as_str()), (Rule::Base64, "Binary.data"));
        assert_eq!(refusal(cut("{\"data\":\"SG\nVs\"}")).rule, Rule::JsonSyntax);
        assert_eq!(refusal(cut(r#"{"data":"SG\qVs"}"#)).rule, Rule::JsonSyntax);
        assert_eq!(refusal(cut(r#"{"data":"SG\u00e9Vs"}"#)).rule, Rule::Base64);
    }

    #[test]
    fn a_message_that_ends_inside_a_document_is_refused() {
        assert_eq!(refusal(cut(r#"{"data":"SGVs"#)).rule, Rule::JsonSyntax);
    }

    #[test]
    fn a_key_that_is_longer_than_any_name_is_refused_at_the_object_that_has_it() {
        let with = |key: &str| cut(&format!(r#"{{"resourceType":"Patient","name":[{{"text":"a","{key}":[1]}}]}}"#));
        assert!(with(&"k".repeat(KEY_BYTES_MAX)).is_ok());
        let refused = refusal(with(&"k".repeat(KEY_BYTES_MAX + 1)));
        assert_eq!((refused.rule, refused.place.as_str()), (Rule::UnknownElement, "Patient.name[0]"));
    }

    #[test]
    fn nesting_is_refused_before_anything_recurses() {
        assert_eq!(refusal(cut(&"[".repeat(100_000))).rule, Rule::Nesting);
        assert_eq!(refusal(cut(&"{\"a\":".repeat(100_000))).rule, Rule::Nesting);
    }

    #[test]
    fn sizes_are_bounded() {
        let limits = Limits { message_bytes_max: 1_000, document_bytes_max: 30, ..Limits::default() };
        let text = format!(r#"{{"data":"{}"}}"#, "QUJD".repeat(10));
        assert!(cut_in(&[text.as_bytes()], &limits).is_ok());
        let long = format!(r#"{{"data":"{}"}}"#, "QUJD".repeat(11));
        assert_eq!(refusal(cut_in(&[long.as_bytes()], &limits)).rule, Rule::BodyTooLarge);
        let wide = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000));
        assert_eq!(refusal(cut_in(&[wide.as_bytes()], &limits)).rule, Rule::BodyTooLarge);
        let members: Vec<String> = (0..300).map(|i| format!(r#""k{i}":1"#)).collect();
        assert_eq!(refusal(cut(&format!("{{{}}}", members.join(",")))).rule, Rule::FhirStructure);
        assert_eq!(refusal(cut(&format!("[{}1]", "1,".repeat(VALUES_MAX + 1)))).rule, Rule::BodyTooLarge);
    }

    #[test]
    fn places_count_the_characters_that_were_cut() {
        let cut = cut("{\n\"é\":1,\"data\":\"QUJDQUJDQUJD\" x\n}").unwrap();
        let column = skeleton(&cut).lines().nth(1).unwrap().chars().position(|c| c == 'x').unwrap() + 1;
        assert_eq!(cut.place_of(2, column), format!("line 2, column {}", column + 4));
        assert_eq!(cut.place_of(3, 1), "line 3, column 1");
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_give_the_same_cut(document: Vec<u8>, piece_bytes in 1_usize..40) {
            let data = base64_simd::STANDARD.encode_to_string(&document).replace('A', "\\u0041").replace('/', "\\/");
            let text = format!(r#"{{"a":["\"",{{"data":"{data}","b":"\\"}}],"data" : "QUJD"}}"#);
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(piece_bytes).collect();
            let (whole, parts) = (cut(&text).unwrap(), cut_in(&pieces, &Limits::default()).unwrap());
            prop_assert_eq!(skeleton(&whole), r#"{"a":["\"",{"data":"00000000","b":"\\"}],"data" : "00000001"}"#);
            prop_assert_eq!(skeleton(&whole), skeleton(&parts));
            prop_assert_eq!(bytes(&whole), bytes(&parts));
            prop_assert_eq!(bytes(&whole)[0], &document);
        }

        #[test]
        fn any_bytes_are_cut_or_refused_without_a_panic(bytes: Vec<u8>, json in "[\\[\\]{}:,\"a-d\\\\tu0-9= ]{0,60}|(\\{\"data\":\"[a-z\\\\u0=]{0,9}\"?,?){1,9}") {
            let _ = cut_in(&[&bytes], &Limits::default());
            if let Ok(cut) = cut(&json) {
                cut.place_of(1, json.len());
            }
        }
    }
}
