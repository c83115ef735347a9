//! One guarded pass over the XML of a document: no DTD, no entity, no script, bounded depth, whole to its end.
//!
//! quick-xml reports what it sees and refuses little; everything that XML or we forbid is refused here, so that
//! what comes behind sees only elements, their attributes and plain text. Nothing a document says is quoted in a
//! refusal, for it may be a name or a result: only where it is and what is wrong.
//!
//! Decisions, 2026-11-21:
//! - UTF-8 only (J.1). A document that declares another encoding is refused with that reason rather than
//!   decoded: it could not be shown again without being changed.
//! - An element named `script`, in any namespace, and `xsl:import` or `xsl:include` are refused in every
//!   container (EX_2.1-1115): the gateway executes nothing, but it would hand the document to those who do.
//! - Processing instructions, `xml-stylesheet` among them, and comments are passed over: 91 of 94 published
//!   examples carry one (T-27).

use std::borrow::Cow;

use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesStart, Event};

use super::header::place_in;
use super::source::{Namespace, Source};
use super::thin::EventTooLong;
use crate::domain::text::is_text;
use crate::refusal::{Failure, Fault, Refusal, Rule};

/// What is left of a document once it is guarded.
pub(super) enum Item<'a> {
    Open(Element<'a>),
    /// Text, or one character of it that was written as a reference.
    Text(Cow<'a, str>),
    Close,
    /// A comment or a processing instruction.
    Passed,
    End,
}

/// An element that has been opened; an empty one is closed by the next item.
pub(super) struct Element<'a> {
    pub(super) namespace: Namespace,
    tag: BytesStart<'a>,
    /// Where its name begins behind its prefix.
    local_start: usize,
}

pub(super) struct Guard<S> {
    source: S,
    /// Where the document is, in the sender's terms; empty when it stands alone.
    place: String,
    depth: usize,
    root: Root,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Root {
    Awaited,
    Seen,
}

const DEPTH_MAX: usize = 256;
const ATTRIBUTES_MAX: usize = 128;
const NAME_BYTES_MAX: usize = 256;

impl<S: Source> Guard<S> {
    pub(super) fn new(source: S, place: &str) -> Self {
        Self { source, place: place.to_owned(), depth: 0, root: Root::Awaited }
    }

    /// Errors: `CdaSyntax`, `CdaForbidden`, `CdaLimit`; a `Fault` when the bytes cannot be read.
    pub(super) fn next(&mut self) -> Result<Item<'_>, Failure> {
        let mark = Mark { place: &self.place, offset: self.source.offset() };
        let (namespace, event) = self.source.next().map_err(|error| mark.of_xml(error))?;
        match event {
            Event::Start(tag) => {
                if self.depth == 0 && self.root == Root::Seen {
                    return Err(mark.syntax("a second root element", "nothing after the root element"));
                }
                if self.depth == DEPTH_MAX {
                    return Err(mark.limit("elements nested deeper", "at most 256 levels of elements"));
                }
                self.root = Root::Seen;
                self.depth += 1;
                let local_start = local_start(tag.name().0);
                mark.check_tag(namespace, &tag, local_start)?;
                Ok(Item::Open(Element { namespace, tag, local_start }))
            }
            // Empty elements are expanded: they arrive as a start and an end.
            Event::Empty(_) | Event::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Ok(Item::Close)
            }
            Event::Text(text) => {
                let text = text.into_inner();
                if self.depth == 0 && !text.trim().is_empty() {
                    return Err(mark.syntax("text outside the root element", "one root element and nothing else"));
                }
                mark.check_characters(&text)?;
                Ok(Item::Text(text))
            }
            Event::CData(text) => {
                if self.depth == 0 {
                    return Err(mark.syntax("text outside the root element", "one root element and nothing else"));
                }
                let text = text.into_inner();
                mark.check_characters(&text)?;
                Ok(Item::Text(text))
            }
            Event::GeneralRef(reference) => {
                if self.depth == 0 {
                    return Err(
                        mark.syntax("a reference outside the root element", "one root element and nothing else")
                    );
                }
                let character = mark.resolve(&reference)?;
                Ok(Item::Text(Cow::Owned(character.to_string())))
            }
            Event::Decl(declaration) => {
                let at_start = mark.offset <= BOM_BYTES && self.root == Root::Awaited;
                mark.check_declaration(at_start, declaration.encoding().and_then(Result::ok).as_deref())?;
                Ok(Item::Passed)
            }
            Event::DocType(_) => Err(mark.forbidden("a document type declaration (DTD)", "no DTD")),
            Event::Comment(_) | Event::PI(_) => Ok(Item::Passed),
            Event::Eof if self.root == Root::Awaited => Err(mark.syntax("no element at all", "a CDA document")),
            Event::Eof if self.depth > 0 => {
                Err(mark
                    .syntax("the end of the document inside an element", "every element closed: it may be cut short"))
            }
            Event::Eof => Ok(Item::End),
        }
    }
}

impl Element<'_> {
    pub(super) fn is(&self, namespace: Namespace, name: &str) -> bool {
        self.namespace == namespace && self.name() == name
    }

    pub(super) fn name(&self) -> &str {
        &self.tag.name().0[self.local_start..]
    }

    /// Of its tag, attributes included.
    pub(super) fn size_bytes(&self) -> usize {
        self.tag.len()
    }

    /// The value of an attribute without prefix, references resolved; blank counts as absent.
    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        let mut attributes = self.tag.attributes();
        let attribute = attributes.with_checks(false).flatten().find(|attribute| attribute.key.0 == name)?;
        let value = resolved(&attribute);
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }
}

const BOM_BYTES: u64 = 3;

/// Where the guard stands, for refusals.
#[derive(Clone, Copy)]
struct Mark<'a> {
    place: &'a str,
    offset: u64,
}

impl Mark<'_> {
    fn check_tag(self, namespace: Namespace, tag: &BytesStart<'_>, local_start: usize) -> Result<(), Failure> {
        let name = tag.name();
        let local = &name.0[local_start..];
        if name.0.len() > NAME_BYTES_MAX {
            return Err(self.limit("an element name of more bytes", "at most 256 bytes"));
        }
        if namespace == Namespace::Undeclared {
            return Err(self.syntax("a namespace prefix that is not declared", "every prefix declared"));
        }
        if local.eq_ignore_ascii_case("script") {
            return Err(self.forbidden("a script element", "no script (EX_2.1-1115)"));
        }
        if namespace == Namespace::Xsl && matches!(local, "import" | "include") {
            return Err(self.forbidden("a stylesheet that loads another one", "no external link (EX_2.1-1115)"));
        }
        for (index, attribute) in tag.attributes().enumerate() {
            let Ok(attribute) = attribute else {
                return Err(self.syntax("an attribute that is malformed or there twice", "well-formed XML"));
            };
            if index == ATTRIBUTES_MAX {
                return Err(self.limit("more attributes on one element", "at most 128"));
            }
            self.check_attribute(&attribute.value)?;
        }
        Ok(())
    }

    fn check_attribute(self, value: &str) -> Result<(), Failure> {
        if value.contains('<') {
            return Err(self.syntax("`<` in the value of an attribute", "well-formed XML"));
        }
        if !value.chars().all(is_text) {
            return Err(self.syntax("a character that XML does not have", "characters of XML 1.0"));
        }
        for after in value.split('&').skip(1) {
            let Some((name, _)) = after.split_once(';') else {
                return Err(self.syntax("`&` that begins no reference", "well-formed XML"));
            };
            self.resolve(name)?;
        }
        Ok(())
    }

    /// XML 1.0 has no control characters but tab and the line ends.
    fn check_characters(self, text: &str) -> Result<(), Failure> {
        let forbidden = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
        // Eight bytes in one step, for bodies are long: nearly all of them are letters.
        let (words, rest) = text.as_bytes().as_chunks();
        let mut suspect = words.iter().filter(|word| has_control(**word)).flatten().chain(rest);
        if suspect.any(forbidden) {
            return Err(self.syntax("a control character", "characters of XML 1.0"));
        }
        Ok(())
    }

    fn check_declaration(self, at_start: bool, encoding: Option<&str>) -> Result<(), Failure> {
        if !at_start {
            return Err(self.syntax("an XML declaration that is not at the start", "well-formed XML"));
        }
        let utf8 = |name: &str| ["UTF-8", "UTF8", "US-ASCII", "ASCII"].iter().any(|own| own.eq_ignore_ascii_case(name));
        match encoding {
            Some(other) if !utf8(other) => {
                Err(self.syntax(format!("the encoding {other}"), "UTF-8, the only encoding that CI-SIS admits"))
            }
            _ => Ok(()),
        }
    }

    fn resolve(self, reference: &str) -> Result<char, Failure> {
        resolve_reference(reference).ok_or_else(|| {
            let expected = "only &lt; &gt; &amp; &apos; &quot; and references to characters of XML 1.0";
            self.forbidden("a reference to another entity or to no character", expected)
        })
    }

    fn of_xml(self, error: quick_xml::Error) -> Failure {
        use quick_xml::Error;
        let found = match error {
            Error::Io(cause)
                if cause.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<EventTooLong>) =>
            {
                return self.limit("a text, comment, section or tag of more bytes", "at most 8 MiB each, base64 aside");
            }
            Error::Io(cause) => return Fault::new("a document being received cannot be read back", cause).into(),
            Error::Syntax(_) => "a tag, comment or section that does not end",
            Error::IllFormed(_) => "tags that do not match, or a stray `&`",
            Error::InvalidAttr(_) => "an attribute that is malformed or there twice",
            Error::Encoding(_) => "bytes that are not UTF-8",
            Error::Escape(_) => "a reference that is malformed",
            Error::Namespace(_) => "a namespace declaration that is malformed, or too many of them",
        };
        self.syntax(found, "well-formed XML in UTF-8")
    }

    fn syntax(self, found: impl Into<String>, expected: &str) -> Failure {
        self.refuse(Rule::CdaSyntax, found.into(), expected)
    }

    fn forbidden(self, found: &str, expected: &str) -> Failure {
        self.refuse(Rule::CdaForbidden, found.to_owned(), expected)
    }

    fn limit(self, found: &str, expected: &str) -> Failure {
        self.refuse(Rule::CdaLimit, found.to_owned(), expected)
    }

    fn refuse(self, rule: Rule, found: String, expected: &str) -> Failure {
        Refusal::new(rule, place_in(self.place, &format!("byte {}", self.offset)), found, expected).into()
    }
}

/// The character that `&reference;` stands for; `None` where it stands for an entity or for no character of XML 1.0.
fn resolve_reference(reference: &str) -> Option<char> {
    let number = match reference {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "apos" => return Some('\''),
        "quot" => return Some('"'),
        other => other.strip_prefix('#')?,
    };
    let code = match number.strip_prefix('x') {
        Some(hexadecimal) if hexadecimal.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u32::from_str_radix(hexadecimal, 16).ok()?
        }
        None if number.bytes().all(|b| b.is_ascii_digit()) => number.parse().ok()?,
        _ => return None,
    };
    char::from_u32(code).filter(|character| is_text(*character))
}

/// A value whose references `Mark::check_attribute` has already admitted.
fn resolved<'a>(attribute: &'a Attribute<'_>) -> Cow<'a, str> {
    let value: &str = &attribute.value;
    let mut pieces = value.split('&');
    let first = pieces.next().unwrap_or_default();
    if first.len() == value.len() {
        return Cow::Borrowed(value);
    }
    let mut text = first.to_owned();
    for piece in pieces {
        let (reference, rest) = piece.split_once(';').unwrap_or((piece, ""));
        text.extend(resolve_reference(reference));
        text.push_str(rest);
    }
    Cow::Owned(text)
}

fn local_start(name: &str) -> usize {
    name.bytes().rposition(|byte| byte == b':').map_or(0, |colon| colon + 1)
}

/// Whether one of eight bytes is below the space: where subtracting it borrows, the highest bit says so.
fn has_control(word: [u8; 8]) -> bool {
    const SPACES: u64 = u64::from_ne_bytes([b' '; 8]);
    const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_ne_bytes(word);
    word.wrapping_sub(SPACES) & !word & HIGHEST != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cda::source::{SliceSource, StreamSource};
    use proptest::prelude::*;

    fn walk<S: Source>(source: S) -> Result<(usize, String), Failure> {
        let mut guard = Guard::new(source, "");
        let (mut elements, mut text) = (0, String::new());
        loop {
            match guard.next()? {
                Item::Open(_) => elements += 1,
                Item::Text(piece) => text.push_str(&piece),
                Item::Close | Item::Passed => {}
                Item::End => return Ok((elements, text)),
            }
        }
    }

    fn rule_of(document: &str) -> Rule {
        let of = |failure| match failure {
            Failure::Refused(refusals) | Failure::Journaled(refusals) => refusals[0].rule,
            Failure::Fault(fault) => panic!("{fault}"),
        };
        let slice = walk(SliceSource::new(document.as_bytes())).map_err(of).unwrap_err();
        let stream = walk(StreamSource::new(document.as_bytes())).map_err(of).unwrap_err();
        assert_eq!(slice, stream, "{document}");
        slice
    }

    #[test]
    fn plain_documents_pass_with_their_references_resolved() {
        let document = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<?xml-stylesheet href=\"x\"?><!-- c --><a x=\"1\"><b/>l&lt;&#233;&#x41;<![CDATA[<]]></a>\n";
        assert_eq!(walk(SliceSource::new(document.as_bytes())).unwrap(), (2, "\nl<éA<\n".to_owned()));
        assert_eq!(walk(StreamSource::new(document.as_bytes())).unwrap(), (2, "\nl<éA<\n".to_owned()));
    }

    #[test]
    fn a_dtd_and_every_entity_of_ones_own_are_refused() {
        for document in [
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<!DOCTYPE a SYSTEM \"http://example.org/a.dtd\"><a/>",
            "<a>&nbsp;</a>",
            "<a b=\"&x;\"/>",
            "<a>&#0;</a>",
            "<a b=\"&#x0;\"/>",
            "<a>&#xD800;</a>",
            "<a>&#x110000;</a>",
            "<a>&#-1;</a>",
        ] {
            assert_eq!(rule_of(document), Rule::CdaForbidden, "{document}");
        }
    }

    #[test]
    fn scripts_and_loading_stylesheets_are_refused() {
        let xsl = "xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"";
        for document in [
            "<a><script>alert(1)</script></a>".to_owned(),
            "<a xmlns:h=\"http://www.w3.org/1999/xhtml\"><h:SCRIPT/></a>".to_owned(),
            format!("<xsl:stylesheet {xsl}><xsl:import href=\"http://example.org/x.xsl\"/></xsl:stylesheet>"),
        ] {
            assert_eq!(rule_of(&document), Rule::CdaForbidden, "{document}");
        }
    }

    #[test]
    fn what_is_not_whole_and_well_formed_is_refused() {
        for document in [
            "",
            "   ",
            "<a>",
            "<a><b></a>",
            "<a></a></b>",
            "<a/><b/>",
            "<a/>tail",
            "head<a/>",
            "<a/>&lt;",
            "<a b=\"1\" b=\"2\"/>",
            "<a b=1/>",
            "<a b=\"<\"/>",
            "<a b=\"&\"/>",
            "<a>\u{1}</a>",
            "<a><![CDATA[x</a>",
            "<p:a/>",
            "<a/><?xml version=\"1.0\"?>",
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>",
        ] {
            assert_eq!(rule_of(document), Rule::CdaSyntax, "{document}");
        }
    }

    #[test]
    fn another_encoding_is_named_in_the_refusal() {
        let document = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe9</a>";
        let Err(Failure::Refused(refusals)) = walk(SliceSource::new(document)) else { panic!() };
        assert_eq!(refusals[0].found, "the encoding ISO-8859-1");
        let Err(Failure::Refused(refusals)) = walk(SliceSource::new(b"<a>\xe9</a>")) else { panic!() };
        assert_eq!(refusals[0].found, "bytes that are not UTF-8");
    }

    #[test]
    fn bombs_of_depth_and_of_attributes_are_refused() {
        assert_eq!(rule_of(&"<a>".repeat(100_000)), Rule::CdaLimit);
        let attributes: Vec<String> = (0..100_000).map(|i| format!("a{i}=\"\"")).collect();
        assert_eq!(rule_of(&format!("<a {}/>", attributes.join(" "))), Rule::CdaLimit);
        assert_eq!(rule_of(&format!("<{}/>", "a".repeat(10_000))), Rule::CdaLimit);
    }

    #[test]
    fn a_refusal_says_where_and_never_quotes_the_document() {
        let document = "<a><nom>DUPONT</prenom></a>";
        let Err(Failure::Refused(refusals)) = walk(SliceSource::new(document.as_bytes())) else { panic!() };
        assert_eq!(refusals[0].place, "byte 14");
        assert!(!refusals[0].to_string().contains("prenom"), "{}", refusals[0]);
    }

    proptest! {
        #[test]
        fn a_control_among_eight_bytes_is_seen_wherever_it_is(word: [u8; 8]) {
            prop_assert_eq!(has_control(word), word.iter().any(|byte| *byte < b' '));
        }

        #[test]
        fn any_bytes_are_read_or_refused_alike_from_a_slice_and_from_a_stream(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'<'), Just(b'>'), Just(b'&'), Just(b'a')], 0..200),
        ) {
            let outcome = |result: Result<(usize, String), Failure>| result.map_err(|failure| failure.to_string());
            let slice = outcome(walk(SliceSource::new(&bytes)));
            let stream = outcome(walk(StreamSource::new(std::io::BufReader::with_capacity(3, bytes.as_slice()))));
            prop_assert_eq!(slice.is_ok(), stream.is_ok());
        }
    }
}
