//! From a verified certificate, and the token that may come with it, to a [`caller::Caller`].

pub mod admission;
pub mod caller;
pub mod finess;
pub mod oidc;
pub mod replay;
pub mod session;
pub mod statement;
pub mod structures;
pub mod token;
pub mod vihf;
