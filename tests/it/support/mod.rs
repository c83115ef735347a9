//! A real gateway on a real TLS port, and callers that read like the field speaks.

pub mod caller;
pub mod desk;
pub mod document;
pub mod gateway;
pub mod test_listener;

pub use caller::Caller;
pub use desk::{Desk, Sent};
pub use document::Document;
pub use gateway::TestGateway;
