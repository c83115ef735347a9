//! A small XML message as a tree. Bounded by its bytes: a token is a few of them.

use crate::refusal::Refusal;
use crate::xml::{Element, Token, Tokens, XmlLimits};

#[derive(Debug)]
pub(super) struct Node {
    pub(super) namespace: String,
    pub(super) name: String,
    /// By name, prefix included.
    attributes: Vec<(String, String)>,
    /// Text directly below, across comments: a signature does not see them either.
    pub(super) text: String,
    pub(super) children: Vec<Node>,
}

impl Node {
    /// Errors: what the guard refuses.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut tokens = Tokens::new(bytes, XmlLimits { message: "VIHF", bytes_max: BYTES_MAX })?;
        // Ancestors of the element being read, outermost first; the root ends up alone in it.
        let mut open: Vec<Self> = Vec::new();
        let mut root = None;
        loop {
            match tokens.pull()? {
                Token::Open(element) => open.push(Self::new(&element)),
                Token::Text(text) => {
                    if let Some(node) = open.last_mut() {
                        node.text.push_str(&text);
                    }
                }
                Token::Close => {
                    let closed = open.pop();
                    match (open.last_mut(), closed) {
                        (Some(parent), Some(child)) => parent.children.push(child),
                        (None, closed) => root = closed,
                        (Some(_), None) => {}
                    }
                }
                Token::End => break,
            }
        }
        root.ok_or_else(|| super::assertion::form("root element", "nothing", "saml:Assertion"))
    }

    fn new(element: &Element) -> Self {
        let attributes = element.attributes().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            namespace: element.namespace.clone(),
            name: element.name.clone(),
            attributes: attributes.collect(),
            text: String::new(),
            children: Vec::new(),
        }
    }

    pub(super) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// An attribute without prefix.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Errors: what was found instead of a value.
    pub(super) fn required(&self, name: &str) -> Result<&str, &'static str> {
        self.attribute(name).filter(|value| !value.trim().is_empty()).ok_or("nothing")
    }

    /// Values of whatever may be an id, in any spelling and namespace.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        let is_id = |name: &str| {
            let local = name.rsplit_once(':').map_or(name, |(_, local)| local);
            local.eq_ignore_ascii_case("id") || local.eq_ignore_ascii_case("AssertionID")
        };
        self.attributes.iter().filter(move |(name, _)| is_id(name)).map(|(_, value)| value.as_str())
    }

    /// Text of this element and of all below it.
    pub(super) fn text_within(&self) -> String {
        let mut text = String::new();
        self.walk(&mut |node| text.push_str(&node.text));
        text.trim().to_owned()
    }

    pub(super) fn walk<'n>(&'n self, visit: &mut impl FnMut(&'n Self)) {
        visit(self);
        for child in &self.children {
            child.walk(visit);
        }
    }
}

/// Real ones, with a chain of certificates, have less than 16 KiB.
const BYTES_MAX: usize = 64 * 1024;
