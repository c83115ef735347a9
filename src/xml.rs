//! A pull of XML tokens that refuses what no message needs: DOCTYPE, entities, depth, floods.
//!
//! Knows neither ebRIM nor SAML. quick-xml sets no limit on depth or attributes and leaves entities to its
//! caller, so both are decided here, before anything is built from what was read. (Documents, which may be long
//! and stay as they are, have a guard of their own: `cda::guard`.)

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{PrefixDeclaration, ResolveResult};
use quick_xml::reader::NsReader;

use crate::domain::text::is_text;
use crate::refusal::{Refusal, Rule};

/// One step through the document.
#[derive(Debug)]
pub enum Token {
    Open(Element),
    Text(String),
    Close,
    /// After the root has closed.
    End,
}

/// A start tag: its name, the namespace it belongs to, its attributes.
#[derive(Debug)]
pub struct Element {
    pub namespace: String,
    pub name: String,
    /// By name, prefix included.
    attributes: Vec<(String, String)>,
}

/// What a message may be.
#[derive(Debug, Clone, Copy)]
pub struct XmlLimits {
    /// How refusals call the message: `metadata`, `VIHF`.
    pub message: &'static str,
    pub bytes_max: usize,
}

pub struct Tokens<'x> {
    message: &'static str,
    text: &'x str,
    reader: NsReader<&'x [u8]>,
    /// Where the last token begins, in bytes.
    begins: usize,
    depth: usize,
    root_closed: bool,
}

impl Element {
    /// The value of an attribute, by local name; empty counts as absent.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let is = |(key, value): &(String, String)| local_of(key) == name && !value.trim().is_empty();
        let at = self.attributes.iter().position(is)?;
        Some(self.attributes.swap_remove(at).1)
    }

    /// The value of an attribute without prefix; empty counts as absent.
    pub fn take_plain(&mut self, name: &str) -> Option<String> {
        let at = self.attributes.iter().position(|(key, value)| key == name && !value.trim().is_empty())?;
        Some(self.attributes.swap_remove(at).1)
    }

    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// Names, prefix included, and values; declarations of namespaces left out.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<'x> Tokens<'x> {
    /// Errors: `BodyTooLarge`, `XmlSyntax` for anything but UTF-8.
    pub fn new(bytes: &'x [u8], limits: XmlLimits) -> Result<Self, Refusal> {
        let XmlLimits { message, bytes_max } = limits;
        if bytes.len() > bytes_max {
            let expected = format!("at most {bytes_max} bytes");
            return Err(Refusal::new(Rule::BodyTooLarge, message, format!("{} bytes", bytes.len()), expected));
        }
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let place = format!("{message}, byte {}", error.valid_up_to());
            Refusal::new(Rule::XmlSyntax, place, "bytes that are not UTF-8", "UTF-8")
        })?;
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Ok(Self { message, text, reader, begins: 0, depth: 0, root_closed: false })
    }

    /// The next token. Comments, processing instructions and the declaration are passed over.
    pub fn pull(&mut self) -> Result<Token, Refusal> {
        loop {
            self.begins = self.position();
            let (namespace, event) = match self.reader.read_resolved_event() {
                Ok((ResolveResult::Bound(namespace), event)) => (namespace.0.to_owned(), event),
                Ok((ResolveResult::Unbound, event)) => (String::new(), event),
                Ok((ResolveResult::Unknown(_), _)) => {
                    return Err(self.syntax("a prefix that nothing declares", "declared prefixes"));
                }
                Err(_) => return Err(self.syntax("a tag or character that XML does not allow here", "XML 1.0")),
            };
            let token = match event {
                Event::Start(tag) => self.open(namespace, &tag)?,
                Event::End(_) => self.close(),
                Event::Text(text) => Token::Text(self.legal(text.xml10_content())?),
                Event::CData(text) => Token::Text(self.legal(text.xml10_content())?),
                Event::GeneralRef(reference) => Token::Text(self.reference(&reference)?.to_string()),
                Event::DocType(_) => return Err(self.forbidden("a DOCTYPE", "no DOCTYPE")),
                Event::Eof if self.root_closed => return Ok(Token::End),
                Event::Eof => return Err(self.syntax("the end of the document", "every element closed")),
                Event::Decl(declaration) => {
                    if !declaration.encoding().is_none_or(|name| name.is_ok_and(|name| is_utf8_name(&name))) {
                        return Err(self.syntax("a declared encoding other than UTF-8", "UTF-8"));
                    }
                    continue;
                }
                Event::Comment(_) | Event::PI(_) | Event::Empty(_) => continue,
            };
            match token {
                Token::Text(text) if self.depth == 0 && text.trim().is_empty() => {}
                Token::Text(_) if self.depth == 0 => return Err(self.syntax("text outside the root", "one element")),
                token => return Ok(token),
            }
        }
    }

    /// The text up to the end of the element that was just opened; elements inside are passed over.
    pub fn text_to_close(&mut self, bytes_max: usize) -> Result<String, Refusal> {
        let mut whole = String::new();
        loop {
            match self.pull()? {
                Token::Text(text) if whole.len() + text.len() > bytes_max => {
                    return Err(self.too_large("a longer value", &format!("at most {bytes_max} bytes in one value")));
                }
                Token::Text(text) => whole.push_str(&text),
                Token::Open(_) => self.skip()?,
                Token::Close | Token::End => return Ok(whole),
            }
        }
    }

    /// Passes over the rest of the element that was just opened.
    pub fn skip(&mut self) -> Result<(), Refusal> {
        let outside = self.depth - 1;
        while self.depth > outside {
            self.pull()?;
        }
        Ok(())
    }

    /// The document, without a byte order mark: what [`span`](Self::span) counts in.
    pub fn text(&self) -> &'x str {
        self.text
    }

    /// Where the last token stands, in bytes. The end of an element without content takes no room.
    pub fn span(&self) -> Range<usize> {
        self.begins..self.position()
    }

    /// Namespaces that hold for the element that was just opened because one around it declares them: prefix (none for
    /// the default one) and name.
    pub fn inherited_namespaces(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        let namespaces = self.reader.resolver();
        let is_own = |declared| namespaces.bindings_of(namespaces.level()).any(|(own, _)| own == declared);
        let inherited = namespaces.bindings().filter(move |(declared, _)| !is_own(*declared));
        inherited.map(|(declared, namespace)| match declared {
            PrefixDeclaration::Default => (None, namespace.into_inner()),
            PrefixDeclaration::Named(prefix) => (Some(prefix), namespace.into_inner()),
        })
    }

    pub fn too_large(&self, found: &str, expected: &str) -> Refusal {
        Refusal::new(Rule::BodyTooLarge, self.place(), found, expected)
    }

    /// Where the reader stands, for a person with an editor.
    pub fn place(&self) -> String {
        let before = &self.text.as_bytes()[..self.position()];
        format!("{}, line {}", self.message, before.split(|byte| *byte == b'\n').count())
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX).min(self.text.len())
    }

    fn open(&mut self, namespace: String, tag: &BytesStart<'_>) -> Result<Token, Refusal> {
        if self.root_closed {
            return Err(self.syntax("a second root element", "one root element"));
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let expected = format!("at most {DEPTH_MAX} levels");
            return Err(Refusal::new(Rule::Nesting, self.place(), "deeper elements", expected));
        }
        let (mut attributes, mut seen) = (Vec::new(), 0);
        for attribute in tag.attributes() {
            seen += 1;
            if seen > ATTRIBUTES_MAX {
                return Err(self.too_large("more attributes", &format!("at most {ATTRIBUTES_MAX} in one tag")));
            }
            let attribute =
                attribute.map_err(|_| self.syntax("an attribute that XML does not allow", "name=\"value\", once"))?;
            if attribute.value.contains('<') {
                return Err(self.syntax("`<` in an attribute", "&lt;"));
            }
            let declares = attribute.key.as_namespace_binding().is_some();
            // Namespaces are compared as they are written, here; elsewhere (a signature) as they are meant.
            if declares && attribute.value.contains(|c: char| c == '&' || c.is_whitespace()) {
                return Err(self.forbidden("a namespace with references or blanks", "its name, letter by letter"));
            }
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|_| self.forbidden("an entity in an attribute", "the five predefined ones and numbers"))?;
            let value = self.legal(value)?;
            if !declares {
                attributes.push((attribute.key.as_ref().to_owned(), value));
            }
        }
        Ok(Token::Open(Element { namespace, name: tag.local_name().as_ref().to_owned(), attributes }))
    }

    fn close(&mut self) -> Token {
        self.depth -= 1;
        self.root_closed = self.depth == 0;
        Token::Close
    }

    fn reference(&self, reference: &BytesRef<'_>) -> Result<char, Refusal> {
        let known = match reference.resolve_char_ref() {
            Ok(Some(character)) => Some(character).filter(|character| is_text(*character)),
            Ok(None) => match &**reference {
                "lt" => Some('<'),
                "gt" => Some('>'),
                "amp" => Some('&'),
                "apos" => Some('\''),
                "quot" => Some('"'),
                _ => None,
            },
            Err(_) => None,
        };
        known.ok_or_else(|| self.forbidden("an entity", "the five predefined ones and numbers of legal characters"))
    }

    fn legal(&self, text: Cow<'_, str>) -> Result<String, Refusal> {
        if text.chars().all(is_text) {
            Ok(text.into_owned())
        } else {
            Err(self.syntax("a control character", "characters that XML 1.0 allows"))
        }
    }

    fn syntax(&self, found: &str, expected: &str) -> Refusal {
        Refusal::new(Rule::XmlSyntax, self.place(), found, expected)
    }

    fn forbidden(&self, found: &str, expected: &str) -> Refusal {
        Refusal::new(Rule::XmlForbidden, self.place(), found, expected)
    }
}

fn is_utf8_name(name: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn local_of(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// `SubmitObjectsRequest/RegistryObjectList/ExtrinsicObject/Classification/Slot/ValueList/Value` is 7.
const DEPTH_MAX: usize = 32;
const ATTRIBUTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(xml: &[u8]) -> Result<String, Rule> {
        let read = || {
            let mut tokens = Tokens::new(xml, XmlLimits { message: "metadata", bytes_max: 1 << 20 })?;
            let mut whole = String::new();
            loop {
                match tokens.pull()? {
                    Token::Open(element) => whole += &["<", &element.namespace, "|", &element.name, ">"].concat(),
                    Token::Text(text) => whole += &text,
                    Token::Close => whole += "</>",
                    Token::End => return Ok(whole),
                }
            }
        };
        read().map_err(|refusal: Refusal| refusal.rule)
    }

    #[test]
    fn names_are_known_by_namespace_whatever_the_prefix() {
        let text =
            read_all(b"<?xml version='1.0'?><a:x xmlns:a='u'><y xmlns='v'/>&lt;&#233;<![CDATA[&]]></a:x>\n").unwrap();
        assert_eq!(text, "<u|x><v|y></><é&</>");
    }

    #[test]
    fn an_element_knows_where_it_stands_and_what_is_declared_around_it() {
        let xml = "\u{feff}<?xml version='1.0'?><!-- é --><a xmlns='d' xmlns:p='1' xmlns:q='2'><b xmlns=''>\
                   <p:c xmlns:q='3' xmlns:r='4'/></b></a>";
        let mut tokens = Tokens::new(xml.as_bytes(), XmlLimits { message: "metadata", bytes_max: 1 << 20 }).unwrap();
        let mut stood = Vec::new();
        loop {
            let token = tokens.pull().unwrap();
            stood.push(&tokens.text()[tokens.span()]);
            match token {
                Token::Open(element) if element.name == "c" => {
                    assert_eq!(tokens.inherited_namespaces().collect::<Vec<_>>(), [(Some("p"), "1")]);
                }
                Token::Open(element) if element.name == "b" => {
                    let inherited: Vec<_> = tokens.inherited_namespaces().collect();
                    assert_eq!(inherited, [(Some("p"), "1"), (Some("q"), "2")]);
                }
                Token::End => break,
                _ => {}
            }
        }
        let (a, b, c) = ("<a xmlns='d' xmlns:p='1' xmlns:q='2'>", "<b xmlns=''>", "<p:c xmlns:q='3' xmlns:r='4'/>");
        assert_eq!(stood, [a, b, c, "", "</b>", "</a>", ""]);
    }

    #[test]
    fn doctypes_and_entities_are_refused() {
        for bad in [
            &b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"[..],
            b"<a>&b;</a>",
            b"<a>&#0;</a>",
            b"<a>&#x1;</a>",
            b"<a x='&b;'/>",
            b"<a xmlns='&#117;'/>",
            b"<a><b xmlns:p='u '/></a>",
        ] {
            assert_eq!(read_all(bad), Err(Rule::XmlForbidden), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn broken_documents_are_refused() {
        for bad in [
            &b""[..],
            b"<a>",
            b"<a></b>",
            b"<a/><b/>",
            b"<a/>text",
            b"<a x='1' x='2'/>",
            b"<p:a/>",
            b"<a>\x01</a>",
            b"<a>\xFF</a>",
            b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
        ] {
            assert_eq!(read_all(bad), Err(Rule::XmlSyntax), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn depth_and_attributes_have_limits() {
        let deep = "<a>".repeat(100_000);
        assert_eq!(read_all(deep.as_bytes()), Err(Rule::Nesting));
        let wide = (0..10_000).fold(String::from("<a"), |tag, i| format!("{tag} x{i}=''")) + "/>";
        assert_eq!(read_all(wide.as_bytes()), Err(Rule::BodyTooLarge));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&bytes);
        }

        #[test]
        fn any_tag_soup_is_read_or_refused_without_a_panic(parts in prop::collection::vec(
            prop::sample::select(vec!["<a>", "</a>", "<b x='&#10;'/>", "&amp;", "&", "<!--", "-->", "<![CDATA[", "]]>", "<?p ?>", "é", " ", "<", ">"]),
            0..20,
        )) {
            let _ = read_all(parts.concat().as_bytes());
        }
    }
}
