//! From a verified certificate, and the token that may come with it, to a [`caller::Caller`].

pub mod caller;
pub mod oidc;
pub mod statement;
