//! WS-Security: the one assertion in the header of a SOAP message, cut out to be a document of its own.
//!
//! What is cut are its bytes, and on its start tag the namespaces that hold there because an element around it declares
//! them: all of them, since a prefix may stand in a value or in an InclusiveNamespaces list alone. Exclusive
//! canonicalization renders the two alike, so that the signature which held in the message holds for what was cut, and
//! nothing else of the message can be taken for what was signed. `xml:lang` and its like are left behind: exclusive
//! canonicalization does not see them around the signed element.
//!
//! Envelopes of SOAP 1.1 are taken like those of 1.2, which the DMP speaks: its own sample of TD2.1 puts one into a part
//! of type 1.2 (T-6), and the assertion is the same.
//! Knows nothing of what the assertion says, nor of the body. Source: C; WS-Security 1.1 (section 5, SAML token profile).

use super::assertion::{SAML, form};
use super::signature::XMLDSIG;
use crate::refusal::Refusal;
use crate::xml::{Element, Token, Tokens, XmlLimits};

/// An assertion that a SOAP message brought.
#[derive(Debug)]
pub struct Enclosed {
    pub soap: Soap,
    /// As a document of its own.
    pub assertion: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Soap {
    V1_1,
    V1_2,
}

/// The assertion of a message, which must be there once, and nowhere but in its place.
///
/// Errors: `VihfForm`; what the guard of [`crate::xml`] refuses anywhere in the message.
pub fn open(message: &[u8], bytes_max: usize) -> Result<Enclosed, Refusal> {
    let mut tokens = Tokens::new(message, XmlLimits { message: "SOAP envelope", bytes_max })?;
    let mut walk = Walk::default();
    loop {
        match tokens.pull()? {
            Token::Open(element) => walk.enter(element, &mut tokens)?,
            Token::Close => drop(walk.path.pop()),
            Token::Text(_) => {}
            Token::End => return walk.end(),
        }
    }
}

/// Whether this claims to be a SOAP message, of whichever version.
pub fn is_envelope(bytes: &[u8]) -> bool {
    let root = || {
        let mut tokens = Tokens::new(bytes, XmlLimits { message: "SOAP envelope", bytes_max: usize::MAX })?;
        tokens.pull()
    };
    matches!(root(), Ok(Token::Open(element)) if element.name == "Envelope")
}

/// A message of SOAP 1.2 that asks for nothing yet: its body is empty.
pub fn enclose(assertion: &str) -> String {
    format!(
        "<soap:Envelope xmlns:soap=\"{SOAP_1_2}\"><soap:Header><wsse:Security xmlns:wsse=\"{WSSE}\" \
         soap:mustUnderstand=\"true\">{assertion}</wsse:Security></soap:Header><soap:Body/></soap:Envelope>"
    )
}

impl Soap {
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_1 => "SOAP 1.1",
            Self::V1_2 => "SOAP 1.2",
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::V1_1 => SOAP_1_1,
            Self::V1_2 => SOAP_1_2,
        }
    }

    /// The version of a message with this root.
    fn of(root: &Element) -> Result<Self, Refusal> {
        let known = [Self::V1_1, Self::V1_2].into_iter().find(|soap| root.is(soap.namespace(), "Envelope"));
        known.ok_or_else(|| form("root element", &named(root), &format!("Envelope of {SOAP_1_2} (SOAP 1.2)")))
    }
}

/// One walk through a message.
#[derive(Default)]
struct Walk {
    soap: Option<Soap>,
    /// Names, from the root down to here.
    path: Vec<String>,
    part: Part,
    has_header: bool,
    has_body: bool,
    has_security: bool,
    assertion: Option<Cut>,
    /// Where somebody else's signature stands in the body.
    signature_in_body: Option<String>,
}

#[derive(Default, PartialEq, Eq)]
enum Part {
    Header,
    Body,
    #[default]
    Other,
}

struct Cut {
    text: String,
    is_signed: bool,
}

impl Walk {
    fn enter(&mut self, mut element: Element, tokens: &mut Tokens<'_>) -> Result<(), Refusal> {
        match self.path.len() {
            0 => self.soap = Some(Soap::of(&element)?),
            1 => self.enter_part(&element)?,
            2 if self.part == Part::Header && element.name == "Security" => self.enter_security(&mut element)?,
            3 if self.in_security() && element.name == "Assertion" => return self.take(&element, tokens),
            _ => {}
        }
        self.check_elsewhere(&element)?;
        self.path.push(element.name);
        Ok(())
    }

    /// In the one `wsse:Security` of the header: another one there was refused.
    fn in_security(&self) -> bool {
        self.part == Part::Header && self.path.get(2).is_some_and(|name| name == "Security")
    }

    /// `Header`, then `Body`, each once, of the version of the envelope.
    fn enter_part(&mut self, element: &Element) -> Result<(), Refusal> {
        const EXPECTED: &str = "one soap:Header, then one soap:Body";
        self.part = match element.name.as_str() {
            "Header" => Part::Header,
            "Body" => Part::Body,
            _ => Part::Other,
        };
        let (again, what) = match self.part {
            Part::Header if self.has_body => return Err(form("soap:Envelope", "a Header after the Body", EXPECTED)),
            Part::Header => (std::mem::replace(&mut self.has_header, true), "a second Header"),
            Part::Body => (std::mem::replace(&mut self.has_body, true), "a second Body"),
            Part::Other => return Ok(()),
        };
        if again {
            return Err(form("soap:Envelope", what, EXPECTED));
        }
        match self.soap.map(Soap::namespace) {
            Some(namespace) if namespace != element.namespace => {
                Err(form("soap:Envelope", &named(element), &format!("{namespace}, as that of the Envelope")))
            }
            _ => Ok(()),
        }
    }

    fn enter_security(&mut self, security: &mut Element) -> Result<(), Refusal> {
        if security.namespace != WSSE {
            return Err(form("soap:Header", &named(security), &format!("Security of {WSSE}")));
        }
        if std::mem::replace(&mut self.has_security, true) {
            return Err(form("soap:Header", "a second Security", "one wsse:Security, whoever it is meant for"));
        }
        for name in ["role", "actor"] {
            // Of whichever namespace, each of them.
            while let Some(role) = security.take(name) {
                if !OWN_ROLES.contains(&role.trim()) {
                    let place = format!("soap:Header/wsse:Security/@{name}");
                    let expected = "no such attribute: the Security of the last receiver, which this gateway is";
                    return Err(form(&place, &role, expected));
                }
            }
        }
        Ok(())
    }

    /// Cuts the assertion that was just opened, up to its end.
    fn take(&mut self, element: &Element, tokens: &mut Tokens<'_>) -> Result<(), Refusal> {
        if element.namespace != SAML {
            return Err(form(SECURITY, &named(element), &format!("Assertion of {SAML} (SAML 2.0)")));
        }
        if self.assertion.is_some() {
            return Err(form(SECURITY, "a second Assertion", "one"));
        }
        let tag = tokens.span();
        let inherited = declarations(tokens)?;
        let (mut depth, mut is_signed) = (1_usize, false);
        while depth > 0 {
            match tokens.pull()? {
                Token::Open(inner) => {
                    depth += 1;
                    is_signed |= inner.is(XMLDSIG, "Signature");
                }
                Token::Close => depth -= 1,
                Token::Text(_) | Token::End => {}
            }
        }
        let whole = &tokens.text()[tag.start..tokens.span().end];
        let name_end = whole.find(|c: char| c.is_ascii_whitespace() || "/>".contains(c)).unwrap_or(whole.len());
        let (name, rest) = whole.split_at(name_end);
        self.assertion = Some(Cut { text: [name, &inherited, rest].concat(), is_signed });
        Ok(())
    }

    /// An assertion or a signature out of its place is there to be taken for the one that counts.
    fn check_elsewhere(&mut self, element: &Element) -> Result<(), Refusal> {
        let shown = || {
            let path = self.path.iter().skip(1).map(String::as_str).chain([element.name.as_str()]);
            path.collect::<Vec<_>>().join("/")
        };
        if element.is(SAML, "EncryptedAssertion") && self.in_security() {
            return Err(form(SECURITY, "an EncryptedAssertion", "an Assertion in clear: TLS keeps it from others"));
        }
        if element.is(SAML, "Assertion") {
            let expected = "one Assertion in the whole message, directly in soap:Header/wsse:Security";
            return Err(form("soap:Envelope", &format!("an Assertion as {}", shown()), expected));
        }
        if element.is(XMLDSIG, "Signature") {
            if self.part != Part::Body {
                return Err(form(SECURITY, &format!("a Signature as {}", shown()), SIGNATURE));
            }
            self.signature_in_body.get_or_insert_with(shown);
        }
        Ok(())
    }

    fn end(self) -> Result<Enclosed, Refusal> {
        const EXPECTED: &str = "soap:Header/wsse:Security/saml:Assertion, the VIHF";
        let missing = match (self.has_header, self.has_security) {
            (false, _) => "no Header",
            (true, false) => "a Header without wsse:Security",
            (true, true) => "a wsse:Security without Assertion",
        };
        let (Some(soap), Some(Cut { text, is_signed })) = (self.soap, self.assertion) else {
            return Err(form("soap:Envelope", missing, EXPECTED));
        };
        match self.signature_in_body {
            Some(place) if !is_signed => {
                let found = format!("an Assertion without Signature, a Signature as {place}");
                Err(form(SECURITY, &found, SIGNATURE))
            }
            _ => Ok(Enclosed { soap, assertion: text }),
        }
    }
}

/// What the start tag of the assertion has to declare besides, to stand alone.
fn declarations(tokens: &Tokens<'_>) -> Result<String, Refusal> {
    let inherited: Vec<_> = tokens.inherited_namespaces().collect();
    if inherited.len() > NAMESPACES_MAX {
        let expected = format!("at most {NAMESPACES_MAX}, declared where they are used");
        return Err(form(SECURITY, &format!("{} namespaces around the Assertion", inherited.len()), &expected));
    }
    let declare = |(prefix, namespace): &(Option<&str>, &str)| {
        // As it was written: the guard lets no reference in, so one kind of quotes is free.
        let quote = if namespace.contains('"') { '\'' } else { '"' };
        let (colon, prefix) = prefix.map_or(("", ""), |prefix| (":", prefix));
        format!(" xmlns{colon}{prefix}={quote}{namespace}{quote}")
    };
    Ok(inherited.iter().map(declare).collect())
}

fn named(element: &Element) -> String {
    match element.namespace.as_str() {
        "" => format!("{} without namespace", element.name),
        namespace => format!("{} of {namespace}", element.name),
    }
}

const SOAP_1_1: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const SOAP_1_2: &str = "http://www.w3.org/2003/05/soap-envelope";
const WSSE: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
/// Who reads the message may be called so, or not at all.
const OWN_ROLES: [&str; 3] = [
    "http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver",
    "http://www.w3.org/2003/05/soap-envelope/role/next",
    "http://schemas.xmlsoap.org/soap/actor/next",
];
const SECURITY: &str = "soap:Header/wsse:Security";
const SIGNATURE: &str = "one Signature, inside the Assertion, right after Issuer";
/// With those that the assertion declares itself, within what a tag may hold.
const NAMESPACES_MAX: usize = 16;

#[cfg(test)]
mod tests;
