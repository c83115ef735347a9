//! A SAML 2.0 assertion read once, behind the guard of [`crate::xml`]: what it holds, and that it holds nothing else.
//!
//! Names are known by namespace, whatever the prefix. The assertion is the whole text: what surrounds it in a SOAP
//! header is not looked at, and what it does not need (a second assertion, a second signature, advice, objects in
//! the signature) is refused, so that nothing unsigned can be taken for what was signed.
//! Knows neither keys nor rules of attributes. Source: C.1, C.2, SAML 2.0 core, XML Signature.

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::signature::{self, SignatureForm};
use super::tree::Node;
use crate::domain::code::Code;
use crate::refusal::{Refusal, Rule};

/// What the signer states, in the sender's words.
#[derive(Debug)]
pub(super) struct Assertion {
    pub(super) id: String,
    pub(super) issue_instant: Timestamp,
    pub(super) issuer: String,
    /// `Subject/NameID`.
    pub(super) name_id: String,
    pub(super) not_before: Option<Timestamp>,
    pub(super) not_on_or_after: Option<Timestamp>,
    pub(super) authn: Authn,
    pub(super) attributes: Vec<Attribute>,
    pub(super) signature: SignatureForm,
}

/// How the user logged in at the source.
#[derive(Debug)]
pub(super) struct Authn {
    pub(super) instant: Timestamp,
    pub(super) class: String,
    /// `AuthnContextDecl` or `AuthnContextDeclRef` is there.
    pub(super) is_declared: bool,
}

#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) values: Vec<Value>,
}

#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    /// `Role`, `PurposeOfUse`: an element of HL7 v3 with code and codeSystem.
    Coded(Code),
}

impl Assertion {
    /// Errors: `VihfForm`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let of_guard = |refusal: Refusal| Refusal { rule: Rule::VihfForm, ..refusal };
        let root = Node::read(bytes).map_err(of_guard)?;
        if !root.is(SAML, "Assertion") {
            return Err(form("root element", &root.name, "saml:Assertion (SAML 2.0), alone"));
        }
        let version = root.attribute("Version").unwrap_or("nothing");
        if version != "2.0" {
            return Err(form("Assertion/@Version", version, "2.0"));
        }
        let id = root.required("ID").map_err(|missing| form("Assertion/@ID", missing, "an id"))?.to_owned();
        check_alone(&root, &id)?;
        let mut parts = Parts::default();
        for child in &root.children {
            parts.take(child)?;
        }
        let Parts { issuer, signature, subject, conditions, authn, attributes, .. } = parts;
        let issuer = issuer.ok_or_else(|| missing("Issuer", "the DN of the signing certificate"))?;
        let signature = signature.ok_or_else(|| missing("Signature", "an enveloped XML signature"))?;
        let subject = subject.ok_or_else(|| missing("Subject", "Subject/NameID"))?;
        let authn = authn.ok_or_else(|| missing("AuthnStatement", "one"))?;
        let attributes = attributes.ok_or_else(|| missing("AttributeStatement", "one"))?;
        let (not_before, not_on_or_after) = conditions.map_or(Ok((None, None)), read_conditions)?;
        Ok(Self {
            signature: signature::read(signature, &id)?,
            issue_instant: read_instant(&root, "Assertion", "IssueInstant")?,
            id,
            issuer: read_issuer(issuer)?,
            name_id: read_name_id(subject)?,
            not_before,
            not_on_or_after,
            authn: read_authn(authn)?,
            attributes: read_attributes(attributes)?,
        })
    }
}

/// One assertion, one signature, one element of that id: wrapping needs a second of one of them.
fn check_alone(root: &Node, id: &str) -> Result<(), Refusal> {
    let (mut assertions, mut signatures, mut same_ids) = (0, 0, 0);
    root.walk(&mut |node| {
        assertions += usize::from(node.is(SAML, "Assertion"));
        signatures += usize::from(node.is(signature::XMLDSIG, "Signature"));
        same_ids += node.ids().filter(|other| *other == id).count();
    });
    match (assertions, signatures, same_ids) {
        (1, 1, 1) => Ok(()),
        (1, 0, 1) => Err(missing("Signature", "an enveloped XML signature: an unsigned VIHF is nobody's word")),
        (1, 1, _) => Err(form("Assertion/@ID", "the same id on another element", "an id of its own")),
        (1, _, _) => Err(form("Assertion", &format!("{signatures} signatures"), "one, right after Issuer")),
        _ => Err(form("Assertion", &format!("{assertions} assertions, one inside another"), "one")),
    }
}

/// The children of the assertion as they come: each once, in the order of the schema.
#[derive(Default)]
struct Parts<'n> {
    issuer: Option<&'n Node>,
    signature: Option<&'n Node>,
    subject: Option<&'n Node>,
    conditions: Option<&'n Node>,
    authn: Option<&'n Node>,
    attributes: Option<&'n Node>,
    last: usize,
}

impl<'n> Parts<'n> {
    fn take(&mut self, child: &'n Node) -> Result<(), Refusal> {
        const ORDER: &str = "Issuer, Signature, Subject, Conditions, AuthnStatement, AttributeStatement, in this order";
        let (at, place) = match (child.namespace.as_str(), child.name.as_str()) {
            (SAML, "Issuer") => (1, &mut self.issuer),
            (signature::XMLDSIG, "Signature") => (2, &mut self.signature),
            (SAML, "Subject") => (3, &mut self.subject),
            (SAML, "Conditions") => (4, &mut self.conditions),
            (SAML, "AuthnStatement") => (5, &mut self.authn),
            (SAML, "AttributeStatement") => (6, &mut self.attributes),
            _ => return Err(form("Assertion", &format!("{} in it", child.name), ORDER)),
        };
        if place.is_some() {
            return Err(form("Assertion", &format!("{} twice", child.name), ORDER));
        }
        if at < self.last {
            return Err(form("Assertion", &format!("{} too late", child.name), ORDER));
        }
        self.last = at;
        *place = Some(child);
        Ok(())
    }
}

/// The misspelt form is in the published table (T-1).
fn read_issuer(issuer: &Node) -> Result<String, Refusal> {
    const FORMATS: [&str; 2] = [
        "urn:oasis:names:tc:SAML:1.1:nameid-format:X509SubjectName",
        "urn:oasis:names:tc:SAML:1.1:nameidformat:X509SubjectName",
    ];
    let format = issuer.attribute("Format").unwrap_or("nothing");
    if !FORMATS.contains(&format) {
        return Err(form("Issuer/@Format", format, FORMATS[0]));
    }
    match issuer.text.trim() {
        "" => Err(missing("Issuer", "the DN of the signing certificate")),
        text if text.chars().count() > ISSUER_CHARS_MAX => {
            Err(form("Issuer", "more than 1024 characters", "the DN of the signing certificate"))
        }
        text => Ok(text.to_owned()),
    }
}

fn read_name_id(subject: &Node) -> Result<String, Refusal> {
    const EXPECTED: &str = "one NameID: the id of the professional, or of who is responsible for the automaton";
    let known = |child: &Node| child.is(SAML, "NameID") || child.is(SAML, "SubjectConfirmation");
    if let Some(other) = subject.children.iter().find(|child| !known(child)) {
        return Err(form("Subject", &format!("{} in it", other.name), EXPECTED));
    }
    let mut named = subject.children.iter().filter(|child| child.is(SAML, "NameID"));
    match (named.next().map(|name| name.text.trim()), named.next()) {
        (Some(text), None) if !text.is_empty() && text.chars().count() <= TEXT_CHARS_MAX => Ok(text.to_owned()),
        (Some(_), None) => Err(form("Subject/NameID", "nothing, or more than 256 characters", EXPECTED)),
        (None, _) => Err(missing("Subject/NameID", EXPECTED)),
        (Some(_), Some(_)) => Err(form("Subject/NameID", "several", EXPECTED)),
    }
}

/// Times only. An audience would be somebody else's: the DMP says not to fill it. The published table calls
/// NotOnOrAfter "NotAfter" (T-1).
fn read_conditions(conditions: &Node) -> Result<(Option<Timestamp>, Option<Timestamp>), Refusal> {
    let is_harmless = |child: &Node| {
        child.is(SAML, "OneTimeUse") || (child.is(SAML, "AudienceRestriction") && child.children.is_empty())
    };
    for child in &conditions.children {
        if !is_harmless(child) {
            let found = format!("{} in it", child.name);
            return Err(form("Conditions", &found, "NotBefore and NotOnOrAfter alone (C.1: no AudienceRestriction)"));
        }
    }
    let instant =
        |name: &str| conditions.attribute(name).map(|_| read_instant(conditions, "Conditions", name)).transpose();
    let end = instant("NotOnOrAfter")?;
    Ok((instant("NotBefore")?, if end.is_some() { end } else { instant("NotAfter")? }))
}

fn read_authn(statement: &Node) -> Result<Authn, Refusal> {
    let instant = read_instant(statement, "AuthnStatement", "AuthnInstant")?;
    let context = statement.children.iter().find(|child| child.is(SAML, "AuthnContext"));
    let context = context.ok_or_else(|| missing("AuthnStatement/AuthnContext", "one"))?;
    let text_of = |name: &str| {
        let found = context.children.iter().find(|child| child.is(SAML, name));
        found.map(Node::text_within).filter(|text| !text.is_empty())
    };
    let class = text_of("AuthnContextClassRef").unwrap_or_default();
    if !class.starts_with(AUTHN_CLASSES) {
        let found = if class.is_empty() { "nothing" } else { class.as_str() };
        return Err(form(
            "AuthnContextClassRef",
            found,
            "urn:oasis:names:tc:SAML:2.0:ac:classes:…, how the user logged in",
        ));
    }
    let is_declared = text_of("AuthnContextDecl").or_else(|| text_of("AuthnContextDeclRef")).is_some();
    Ok(Authn { instant, class, is_declared })
}

fn read_attributes(statement: &Node) -> Result<Vec<Attribute>, Refusal> {
    let mut attributes: Vec<Attribute> = Vec::new();
    for node in &statement.children {
        if !node.is(SAML, "Attribute") {
            return Err(form("AttributeStatement", &format!("{} in it", node.name), "saml:Attribute alone"));
        }
        let name = node.required("Name").map_err(|found| form("Attribute/@Name", found, "the name of an attribute"))?;
        let again = |one: &Attribute| one.name.eq_ignore_ascii_case(name);
        if attributes.iter().any(again) {
            let place = format!("attribute {name}");
            return Err(form(&place, "two of that name", "one Attribute, with an AttributeValue for each value"));
        }
        if let Some(other) = node.children.iter().find(|child| !child.is(SAML, "AttributeValue")) {
            let place = format!("attribute {name}");
            return Err(form(&place, &format!("{} in it", other.name), "saml:AttributeValue alone"));
        }
        attributes.push(Attribute { name: name.to_owned(), values: node.children.iter().map(read_value).collect() });
    }
    Ok(attributes)
}

fn read_value(value: &Node) -> Value {
    let coded = value.children.iter().find(|child| child.namespace == HL7_V3);
    match coded {
        Some(node) => {
            let attribute = |name: &str| node.attribute(name).unwrap_or_default().trim();
            let code = Code::new(attribute("codeSystem"), attribute("code"));
            Value::Coded(match attribute("displayName") {
                "" => code,
                display => code.with_display(display),
            })
        }
        None => Value::Text(value.text.trim().to_owned()),
    }
}

/// SAML 2.0 core 1.3.3: UTC, with its `Z`; other offsets are read all the same.
fn read_instant(node: &Node, element: &str, name: &str) -> Result<Timestamp, Refusal> {
    const EXPECTED: &str = "an instant in UTC, 2026-11-21T08:00:00Z";
    let place = format!("{element}/@{name}");
    let text = node.required(name).map_err(|found| form(&place, found, EXPECTED))?;
    // The last days of 9999, which is how other platforms write "for ever", are beyond our last instant.
    let for_ever = |text: &str| {
        let at: DateTime = text.strip_suffix('Z')?.parse().ok()?;
        (at.year() == 9999).then_some(Timestamp::MAX)
    };
    let text = text.trim();
    text.parse().ok().or_else(|| for_ever(text)).ok_or_else(|| form(&place, text, EXPECTED))
}

pub(super) fn form(place: &str, found: &str, expected: &str) -> Refusal {
    Refusal::new(Rule::VihfForm, format!("VIHF, {place}"), found, expected)
}

fn missing(place: &str, expected: &str) -> Refusal {
    form(place, "nothing", expected)
}

pub(super) const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
pub(super) const HL7_V3: &str = "urn:hl7-org:v3";
pub(super) const AUTHN_CLASSES: &str = "urn:oasis:names:tc:SAML:2.0:ac:classes:";
const TEXT_CHARS_MAX: usize = 256;
const ISSUER_CHARS_MAX: usize = 1024;
