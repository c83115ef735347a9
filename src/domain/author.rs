//! Who wrote or vouches for a document. Source: A.3 (XCN, XON), D.2 (author, legalAuthenticator).

use super::code::Code;

/// A person or a system as an author names it; the identifier keeps the system it was sent under.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AuthorPerson {
    pub id: Option<Identifier>,
    pub kind: PersonKind,
    pub family: Option<String>,
    pub given: Option<String>,
}

/// XCN-10 and XCN-13 in one: what stands behind an `AuthorPerson`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PersonKind {
    #[default]
    Professional,
    Patient,
    Device,
}

/// An identifier and the system that gives it (OID in dotted form where one is known, else the URI).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identifier {
    pub system: String,
    pub value: String,
}

impl Identifier {
    pub fn new(system: &str, value: &str) -> Self {
        Self { system: system.to_owned(), value: value.to_owned() }
    }
}

/// `authorInstitution`, and also the custodian of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Institution {
    pub id: Option<Identifier>,
    pub name: Option<String>,
}

/// One author of a document or of a submission set; `legalAuthenticator` has the same shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Author {
    pub person: Option<AuthorPerson>,
    pub institution: Option<Institution>,
    /// Free text: the display of the function code.
    pub roles: Vec<String>,
    pub specialty: Option<Code>,
}
