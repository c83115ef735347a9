//! A token that has been checked for itself: a VIHF or an OIDC access token, with what it states.

use super::statement::Statement;
use crate::tls::subject::Subject;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    /// `Assertion/@ID`, or `jti`.
    pub id: String,
    pub statement: Statement,
    pub signer: Signer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    Vihf,
    Oidc,
}

/// Whose signature the token bears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// The holder of this signature certificate: the caller themselves, or their structure.
    Holder(Subject),
    /// The provider that configuration names; it speaks for others.
    Provider,
}

impl TokenKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Vihf => "vihf",
            Self::Oidc => "oidc",
        }
    }

    /// Where the sender looks for the structure.
    pub(super) fn place_of_structure(self) -> &'static str {
        match self {
            Self::Vihf => "token, Identifiant_Structure",
            Self::Oidc => "token, claim SubjectOrganizationID",
        }
    }
}
