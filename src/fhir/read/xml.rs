//! FHIR XML <-> JSON, through fhirbolt's generic element tree behind a guard.
//!
//! fhirbolt reads XML with a parser that overflows the stack on deep nesting, is quadratic in attributes, accepts
//! cut-off text and refuses prefixes that are valid. So one pass of our own parser comes first: it bounds depth and
//! attributes, refuses what FHIR XML has no place for (DOCTYPE, entities, processing instructions, CDATA), cuts the
//! documents out, and writes the rest anew in the one form that fhirbolt reads. Narrative is replaced by a word: no
//! reader looks at it, and fhirbolt loses its spaces.
//! Source: FHIR R4 xml.html; XML 1.0.

use fhirbolt::FhirReleases;
use fhirbolt::element::Element;
use fhirbolt::serde::{DeserializationConfig, DeserializationMode};
use quick_xml::XmlVersion;
use quick_xml::escape::escape;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesDecl, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use super::base64::LineBreaks;
use super::cut::{Cut, KEY_BYTES_MAX, VALUES_MAX};
use super::intake::Intake;
use crate::config::Limits;
use crate::domain::text::cleaned;
use crate::refusal::{Failure, Fault, Refusal, Rule};
use crate::spool::SpoolSettings;

/// Reads a whole XML message: its documents spooled, the rest as the JSON skeleton that `cut` would have left.
pub(super) fn cut(body: &[u8], limits: &Limits, spool: SpoolSettings) -> Result<Cut, Failure> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        let place = format!("byte {}", error.valid_up_to());
        Refusal::new(Rule::XmlSyntax, place, "bytes that are no UTF-8", "XML in UTF-8")
    })?;
    let mut guard = Guard {
        text,
        levels: Vec::new(),
        narrative_depth: 0,
        written: String::new(),
        written_bytes_max: limits.message_bytes_max,
        intake: Intake::new(limits, spool, LineBreaks::Bare),
        root: None,
        elements: 0,
    };
    guard.read_all()?;
    let root = guard.root.unwrap_or_default();
    let skeleton = xml_to_json(guard.written.as_bytes(), &root)?;
    Ok(Cut::whole(skeleton, guard.intake.finish()))
}

/// Writes one of our own answers, JSON with `resourceType` first, as XML.
pub fn json_to_xml(json: &[u8]) -> Result<Vec<u8>, Fault> {
    let element: R4 = fhirbolt::json::from_slice(json, Some(STRICT))
        .map_err(|error| Fault::new("an answer is no FHIR", error.to_string()))?;
    let xml = fhirbolt::xml::to_string(&element, None);
    let xml = xml.map_err(|error| Fault::new("an answer cannot be XML", error.to_string()))?;
    // A text of long ago may hold what JSON can say and XML cannot.
    Ok(cleaned(xml).into_bytes())
}

fn xml_to_json(xml: &[u8], root: &str) -> Result<Vec<u8>, Failure> {
    let element: R4 =
        fhirbolt::xml::from_slice(xml, Some(STRICT)).map_err(|error| refusal_of(&error.to_string(), root))?;
    fhirbolt::json::to_vec(&element, None)
        .map_err(|error| Fault::new("FHIR XML without JSON form", error.to_string()).into())
}

/// fhirbolt says which element, not where, and may quote values: only the element is passed on.
fn refusal_of(message: &str, root: &str) -> Refusal {
    let name = message.split('`').nth(1).filter(|name| name.len() <= 64 && !name.contains(char::is_whitespace));
    match name {
        Some(name) if message.contains("unknown field") => {
            let expected = "elements that FHIR R4 defines at their place";
            Refusal::new(Rule::UnknownElement, root, format!("the element `{name}`"), expected)
        }
        Some(name) if message.contains("missing field") => {
            Refusal::new(Rule::FhirStructure, root, format!("an element without `{name}`"), "what FHIR R4 requires")
        }
        _ => Refusal::new(Rule::FhirStructure, root, "XML of another form", "a resource of FHIR R4 in XML"),
    }
}

/// The pass in front of fhirbolt.
struct Guard<'t> {
    text: &'t str,
    levels: Vec<Level>,
    /// Open elements of the narrative that is being skipped.
    narrative_depth: usize,
    written: String,
    written_bytes_max: usize,
    intake: Intake,
    root: Option<String>,
    elements: usize,
}

struct Level {
    name: String,
    /// Of the child element read last: its name and how many of them came before it in a row.
    child: (String, usize),
}

impl<'t> Guard<'t> {
    fn read_all(&mut self) -> Result<(), Failure> {
        let mut reader = NsReader::from_str(self.text);
        loop {
            let at = reader.buffer_position();
            let event = reader.read_event().map_err(|error| self.refuse(at, Rule::XmlSyntax, error.to_string()))?;
            match event {
                Event::Start(start) => self.start(&reader, &start, at)?,
                Event::Empty(start) => {
                    self.start(&reader, &start, at)?;
                    self.end()?;
                }
                Event::End(_) => self.end()?,
                Event::Text(text) => {
                    let is_blank = text.into_inner().chars().all(char::is_whitespace);
                    if self.narrative_depth == 0 && !is_blank {
                        return Err(self.refuse(at, Rule::XmlSyntax, "text between elements"));
                    }
                }
                Event::Decl(declaration) => self.declaration(&declaration, at)?,
                Event::Comment(_) => {}
                Event::GeneralRef(reference) => {
                    let is_plain = reference.is_char_ref() || PREDEFINED.contains(&reference.into_inner().as_ref());
                    if self.narrative_depth == 0 || !is_plain {
                        return Err(self.refuse(at, Rule::XmlForbidden, "an entity"));
                    }
                }
                Event::DocType(_) => return Err(self.refuse(at, Rule::XmlForbidden, "a DOCTYPE")),
                Event::PI(_) => return Err(self.refuse(at, Rule::XmlForbidden, "a processing instruction")),
                Event::CData(_) => return Err(self.refuse(at, Rule::XmlForbidden, "a CDATA section")),
                Event::Eof => break,
            }
        }
        if self.root.is_none() || !self.levels.is_empty() || self.narrative_depth > 0 {
            let at = self.text.len() as u64;
            return Err(self.refuse(at, Rule::XmlSyntax, "the end of the message"));
        }
        Ok(())
    }

    fn start(&mut self, reader: &NsReader<&'t [u8]>, start: &BytesStart<'_>, at: u64) -> Result<(), Failure> {
        self.elements += 1;
        if self.elements > VALUES_MAX {
            return Err(self.refuse(at, Rule::BodyTooLarge, format!("more than {VALUES_MAX} elements")));
        }
        if self.levels.len() + self.narrative_depth >= DEPTH_MAX {
            return Err(self.refuse(at, Rule::Nesting, "one level more"));
        }
        if start.attributes().with_checks(false).take(ATTRIBUTES_MAX + 1).count() > ATTRIBUTES_MAX {
            return Err(self.refuse(at, Rule::Nesting, format!("more than {ATTRIBUTES_MAX} attributes")));
        }
        let (namespace, name) = reader.resolver().resolve_element(start.name());
        if name.as_ref().len() > KEY_BYTES_MAX {
            return Err(self.refuse(at, Rule::XmlSyntax, format!("a name of more than {KEY_BYTES_MAX} bytes")));
        }
        let name = name.as_ref().to_owned();
        if self.narrative_depth > 0 {
            self.narrative_depth += 1;
            return self.check_narrative_attributes(start, at);
        }
        if namespace == ResolveResult::Bound(Namespace(XHTML_NAMESPACE)) && name == "div" && !self.levels.is_empty() {
            self.narrative_depth = 1;
            self.write(NARRATIVE, at)?;
            return self.check_narrative_attributes(start, at);
        }
        if namespace != ResolveResult::Bound(Namespace(FHIR_NAMESPACE)) {
            return Err(self.refuse(at, Rule::XmlSyntax, "an element of another namespace than FHIR"));
        }
        if self.levels.is_empty() {
            if self.root.is_some() {
                return Err(self.refuse(at, Rule::XmlSyntax, "a second root"));
            }
            self.root = Some(name.clone());
        }
        self.enter(&name);
        self.write(&format!("<{name}"), at)?;
        if self.levels.len() == 1 {
            self.write(&format!(" xmlns=\"{FHIR_NAMESPACE}\""), at)?;
        }
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| self.refuse(at, Rule::XmlSyntax, error.to_string()))?;
            self.attribute(reader, &name, &attribute, at)?;
        }
        self.write(">", at)
    }

    fn attribute(
        &mut self,
        reader: &NsReader<&'t [u8]>,
        element: &str,
        attribute: &Attribute<'_>,
        at: u64,
    ) -> Result<(), Failure> {
        if attribute.key.as_namespace_binding().is_some() {
            return Ok(());
        }
        let (namespace, key) = reader.resolver().resolve_attribute(attribute.key);
        match namespace {
            ResolveResult::Bound(Namespace(XSI_NAMESPACE | XML_NAMESPACE)) => return Ok(()),
            ResolveResult::Unbound if ["id", "url", "value"].contains(&key.as_ref()) => {}
            _ => return Err(self.refuse(at, Rule::UnknownElement, "an unknown attribute")),
        }
        if element == "data" && key.as_ref() == "value" {
            return self.document(attribute, at);
        }
        let value = self.value(attribute, at)?;
        if INTEGERS.contains(&element) && key.as_ref() == "value" && value.parse::<i32>().is_err() {
            let expected = "a whole number of 32 bits";
            return Err(Refusal::new(Rule::FhirStructure, self.place(), "a value of another form", expected).into());
        }
        // A line break that was written as a reference must stay one: as such it would be read as a space.
        let value = escape(value).replace('\n', "&#10;").replace('\r', "&#13;").replace('\t', "&#9;");
        self.write(&format!(" {}=\"{value}\"", key.as_ref()), at)
    }

    fn document(&mut self, attribute: &Attribute<'_>, at: u64) -> Result<(), Failure> {
        let placeholder = self.intake.begin(self.place())?;
        if attribute.value.contains('&') {
            let value = self.value(attribute, at)?;
            self.intake.push(value.as_bytes())?;
        } else {
            self.intake.push(attribute.value.as_bytes())?;
        }
        self.intake.end()?;
        self.write(&format!(" value=\"{placeholder}\""), at)
    }

    /// Only the five entities of XML itself and character references are known.
    fn value<'a>(&self, attribute: &Attribute<'a>, at: u64) -> Result<std::borrow::Cow<'a, str>, Failure> {
        attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|_| self.refuse(at, Rule::XmlForbidden, "an entity, or a reference to no character"))
    }

    fn check_narrative_attributes(&self, start: &BytesStart<'_>, at: u64) -> Result<(), Failure> {
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| self.refuse(at, Rule::XmlSyntax, error.to_string()))?;
            self.value(&attribute, at)?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        if self.narrative_depth > 0 {
            self.narrative_depth -= 1;
            return Ok(());
        }
        match self.levels.pop() {
            Some(level) => self.write(&format!("</{}>", level.name), 0),
            None => Ok(()),
        }
    }

    fn declaration(&self, declaration: &BytesDecl<'_>, at: u64) -> Result<(), Failure> {
        let version_ok = declaration.version().is_ok_and(|version| version == "1.0");
        let encoding_ok = match declaration.encoding() {
            None => true,
            Some(encoding) => encoding.is_ok_and(|encoding| encoding.eq_ignore_ascii_case("utf-8")),
        };
        if at == 0 && version_ok && encoding_ok {
            return Ok(());
        }
        Err(self.refuse(at, Rule::XmlSyntax, "a declaration of another kind"))
    }

    fn enter(&mut self, name: &str) {
        if let Some(parent) = self.levels.last_mut() {
            if parent.child.0 == name {
                parent.child.1 += 1;
            } else {
                parent.child = (name.to_owned(), 0);
            }
        }
        self.levels.push(Level { name: name.to_owned(), child: (String::new(), 0) });
    }

    fn write(&mut self, text: &str, at: u64) -> Result<(), Failure> {
        if self.written.len() + text.len() > self.written_bytes_max {
            let max = self.written_bytes_max;
            return Err(self.refuse(at, Rule::BodyTooLarge, format!("more than {max} bytes beside the documents")));
        }
        self.written.push_str(text);
        Ok(())
    }

    fn refuse(&self, at: u64, rule: Rule, found: impl Into<String>) -> Failure {
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(self.text.len());
        let line = 1 + memchr::memchr_iter(b'\n', &self.text.as_bytes()[..at]).count();
        let expected = match rule {
            Rule::Nesting => format!("at most {DEPTH_MAX} levels and {ATTRIBUTES_MAX} attributes"),
            Rule::XmlForbidden => "elements and attributes only: no DTD, no entities, no instructions".to_owned(),
            Rule::UnknownElement => "id, url and value".to_owned(),
            Rule::BodyTooLarge => "a smaller message (limits.message_bytes_max)".to_owned(),
            _ => "one resource of FHIR R4 in well-formed XML 1.0, UTF-8".to_owned(),
        };
        Refusal::new(rule, format!("line {line}"), found, expected).into()
    }

    /// FHIRPath of the element that is being read. A type inside `resource` or `contained` is no step of it.
    fn place(&self) -> String {
        let mut place = self.root.clone().unwrap_or_default();
        for (parent, level) in self.levels.iter().zip(self.levels.iter().skip(1)) {
            if level.name.starts_with(|first: char| first.is_ascii_uppercase()) {
                continue;
            }
            let index = parent.child.1;
            let repeats = index > 0 || REPEATING.contains(&level.name.as_str());
            place =
                if repeats { format!("{place}.{}[{index}]", level.name) } else { format!("{place}.{}", level.name) };
        }
        place.chars().take(PLACE_CHARS_MAX).collect()
    }
}

type R4 = Element<{ FhirReleases::R4 }>;

const STRICT: DeserializationConfig = DeserializationConfig { mode: DeserializationMode::Strict };

const FHIR_NAMESPACE: &str = "http://hl7.org/fhir";
const XHTML_NAMESPACE: &str = "http://www.w3.org/1999/xhtml";
const XSI_NAMESPACE: &str = "http://www.w3.org/2001/XMLSchema-instance";
const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

const NARRATIVE: &str = "<div xmlns=\"http://www.w3.org/1999/xhtml\">narrative</div>";

const PREDEFINED: [&str; 5] = ["lt", "gt", "amp", "quot", "apos"];

/// Elements whose value fhirbolt would fold into 32 bits without a word.
const INTEGERS: [&str; 6] = ["size", "total", "rank", "valueInteger", "valuePositiveInt", "valueUnsignedInt"];

/// Elements of a deposit that are lists even when one alone is there.
const REPEATING: [&str; 4] = ["entry", "contained", "content", "extension"];

const DEPTH_MAX: usize = 64;
const ATTRIBUTES_MAX: usize = 32;
const PLACE_CHARS_MAX: usize = 200;
