//! A real gateway on a real TLS port, and callers that read like the field speaks.

pub(crate) mod caller;
pub(crate) mod desk;
pub(crate) mod document;
pub(crate) mod forge;
pub(crate) mod gateway;
pub(crate) mod mail_server;
pub(crate) mod provider;
pub(crate) mod publisher;
pub(crate) mod raw_http2;
pub(crate) mod reviewed;
pub(crate) mod test_listener;
pub(crate) mod xml;

pub(crate) use caller::Caller;
pub(crate) use desk::{Desk, Sent};
pub(crate) use document::Document;
pub(crate) use gateway::TestGateway;
