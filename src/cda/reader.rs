//! Walks the guarded items of a document: finds the `ClinicalDocument`, keeps the path in its header, tells the
//! kind of its body.
//!
//! The path is that of HL7 elements below `ClinicalDocument`. Below `component` no path is kept.

use super::fields::{Fields, Problem, in_document};
use super::guard::{Element, Guard, Item};
use super::header::{Body, CdaHeader, Container, PdfCopy, absent, place_in};
use super::source::{Namespace, Source};
use crate::domain::author::Author;
use crate::domain::text::is_text;
use crate::refusal::{Failure, Refusal, Rule};

/// `None` for an XML signature around nothing.
pub(super) fn read<S: Source>(mut guard: Guard<S>, place: &str) -> Result<Option<CdaHeader>, Failure> {
    let mut reader = Reader::default();
    loop {
        let outcome = match guard.next()? {
            Item::Open(element) => reader.open(&element),
            Item::Text(text) => reader.text(&text),
            Item::Close => {
                reader.close();
                Ok(())
            }
            Item::Passed => Ok(()),
            Item::End => break,
        };
        outcome.map_err(|problem| problem.at(place))?;
    }
    if reader.container == Some(Container::Signed) && reader.position == Position::Outside {
        return Ok(None);
    }
    reader.finish(place).map(Some)
}

#[derive(Default)]
struct Reader {
    position: Position,
    container: Option<Container>,
    /// Outside the document: whether each open element may hold a `ClinicalDocument`.
    wrappers: Vec<bool>,
    /// Below `ClinicalDocument`: names joined by `/`.
    path: String,
    /// Text since the last tag.
    text: String,
    /// `@qualifier` of the element last opened.
    qualifier: Option<String>,
    /// Elements open below `component`, and what they say.
    body_depth: usize,
    body: Option<Body>,
    header: Fields,
    /// Tags and text of the header so far: nothing longer than them is ever kept.
    header_bytes: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Position {
    #[default]
    Outside,
    Header,
    Component,
    After,
}

const HEADER_TEXT_BYTES_MAX: usize = 16 * 1024;
/// The published documents have some 20 KB, their bodies aside.
const HEADER_BYTES_MAX: usize = 1024 * 1024;
const PDF_COPY_SECTION: &str = "1.2.250.1.213.1.1.2.243";

impl Reader {
    fn open(&mut self, element: &Element<'_>) -> Result<(), Problem> {
        self.text.clear();
        match self.position {
            Position::Outside | Position::After => self.open_outside(element),
            Position::Header => {
                let start = self.path.len();
                if start > 0 {
                    self.path.push('/');
                }
                match element.namespace {
                    Namespace::Hl7 => {}
                    Namespace::Dicom => self.path.push_str("dicom:"),
                    _ => self.path.push_str("other:"),
                }
                self.path.push_str(element.name());
                self.count(element.size_bytes())?;
                if self.path == "component" {
                    self.position = Position::Component;
                    return Ok(());
                }
                let is_name = matches!(element.name(), "family" | "given");
                self.qualifier = if is_name { element.attribute("qualifier") } else { None };
                self.header.open(&self.path, element)
            }
            Position::Component => {
                self.body_depth += 1;
                self.open_in_body(element);
                Ok(())
            }
        }
    }

    fn open_outside(&mut self, element: &Element<'_>) -> Result<(), Problem> {
        if element.is(Namespace::Hl7, "ClinicalDocument") {
            if self.position == Position::After {
                return Err(Problem::header("ClinicalDocument", "a second one", "one ClinicalDocument"));
            }
            self.container = Some(match self.wrappers.as_slice() {
                [] => Container::Plain,
                [.., true] => self.container.unwrap_or(Container::Plain),
                _ => {
                    let expected = "directly below data:Contenu of a stylesheet, or ds:Object of a signature";
                    return Err(Problem::header("ClinicalDocument", "inside another element", expected));
                }
            });
            self.position = Position::Header;
            return Ok(());
        }
        if self.wrappers.is_empty() && self.position == Position::Outside {
            self.container = match element.namespace {
                Namespace::Xsl if matches!(element.name(), "stylesheet" | "transform") => {
                    Some(Container::SelfPresenting)
                }
                Namespace::XmlDsig if element.name() == "Signature" => Some(Container::Signed),
                _ => {
                    let expected =
                        "ClinicalDocument (urn:hl7-org:v3), alone, in a self-presenting stylesheet or signed";
                    return Err(Problem::header("the root element", "something else", expected));
                }
            };
        }
        let wraps = element.is(Namespace::CiSis, "Contenu") || element.is(Namespace::XmlDsig, "Object");
        self.wrappers.push(wraps);
        Ok(())
    }

    fn open_in_body(&mut self, element: &Element<'_>) {
        if element.namespace != Namespace::Hl7 {
            return;
        }
        match (self.body_depth, element.name(), &mut self.body) {
            (1, "nonXMLBody", _) => self.body = Some(Body::Unstructured { media_type: None }),
            (1, "structuredBody", _) => self.body = Some(Body::Structured { pdf_copy: PdfCopy::Absent }),
            (2, "text", Some(Body::Unstructured { media_type })) => *media_type = element.attribute("mediaType"),
            (_, "templateId", Some(Body::Structured { pdf_copy }))
                if element.attribute("root").as_deref() == Some(PDF_COPY_SECTION) =>
            {
                *pdf_copy = PdfCopy::Present;
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Problem> {
        if self.position != Position::Header {
            return Ok(());
        }
        if self.text.len() + text.len() > HEADER_TEXT_BYTES_MAX {
            return Err(Problem {
                rule: Rule::CdaLimit,
                path: in_document(&self.path),
                found: "a text of more bytes".to_owned(),
                expected: "at most 16 KiB in an element of the header",
            });
        }
        if !text.chars().all(is_text) {
            return Err(Problem {
                rule: Rule::CdaSyntax,
                path: in_document(&self.path),
                found: "a character that XML does not have".to_owned(),
                expected: "characters of XML 1.0",
            });
        }
        self.count(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), Problem> {
        self.header_bytes += bytes;
        if self.header_bytes > HEADER_BYTES_MAX {
            let (path, found) = (in_document(&self.path), "a header of more bytes".to_owned());
            return Err(Problem { rule: Rule::CdaLimit, path, found, expected: "at most 1 MiB beside the body" });
        }
        Ok(())
    }

    fn close(&mut self) {
        match self.position {
            Position::Component if self.body_depth > 0 => self.body_depth -= 1,
            Position::Component => {
                self.path.clear();
                self.position = Position::Header;
            }
            Position::Header if self.path.is_empty() => self.position = Position::After,
            Position::Header => {
                let text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
                if !text.is_empty() {
                    self.header.take_text(&self.path, self.qualifier.as_deref(), text);
                }
                self.text.clear();
                let parent = self.path.rfind('/').unwrap_or(0);
                self.path.truncate(parent);
            }
            Position::Outside | Position::After => {
                self.wrappers.pop();
            }
        }
    }

    fn finish(self, place: &str) -> Result<CdaHeader, Failure> {
        let Some(container) = self.container.filter(|_| self.position == Position::After) else {
            return Err(absent(place));
        };
        let header = self.header;
        let missing = [
            ("id", header.id.is_none(), "an id with a root"),
            ("code", header.code.is_none(), "a code with its system"),
            ("effectiveTime", header.effective_time.is_none(), "the instant of creation, with its offset"),
            ("recordTarget/patientRole", header.record_targets == 0, "the patient"),
            ("component", self.body.is_none(), "a nonXMLBody or a structuredBody"),
        ];
        let refusals = missing.into_iter().filter(|(_, is_missing, _)| *is_missing);
        let refusals: Vec<Refusal> = refusals
            .map(|(path, _, expected)| {
                Refusal::new(Rule::CdaHeader, place_in(place, &in_document(path)), "nothing", expected)
            })
            .collect();
        let (Some(id), Some(code), Some(effective_time), Some(body), true) =
            (header.id, header.code, header.effective_time, self.body, refusals.is_empty())
        else {
            return Err(Failure::Refused(refusals));
        };
        Ok(CdaHeader {
            container,
            template_ids: header.template_ids,
            id,
            set_id: header.set_id,
            version_number: header.version_number,
            code,
            title: header.title,
            effective_time,
            confidentiality: header.confidentiality,
            language_code: header.language_code,
            patient: header.patient,
            authors: header.authors,
            custodian: header.custodian,
            legal_authenticator: header.legal_authenticator.filter(|author| *author != Author::default()),
            service_events: header.service_events,
            healthcare_facility_type_code: header.healthcare_facility_type_code,
            orders: header.orders,
            related_documents: header.related_documents,
            body,
        })
    }
}
