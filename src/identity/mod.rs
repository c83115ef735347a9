//! From a verified certificate to a [`caller::Caller`].

pub mod caller;
