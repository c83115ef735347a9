//! Persistence: the only module that names sqlx. Knows no wire format.
//!
//! Writes go through one queue and share syncs (`group_commit`); reads run on a pool of their own, each in
//! one snapshot. Document bytes lie in volumes. Noun files hold the statements; [`executor`] is all they know of a database, so that a second
//! database joins behind it. House-style 8.

pub mod authorisation;
mod checkpoint;
mod composer;
pub mod connect;
pub mod consent;
pub mod document_entry;
pub mod dossier;
pub mod error;
pub mod executor;
mod group_commit;
pub mod journal;
pub mod label;
pub mod outbox;
pub mod replay;
pub mod search;
pub mod submission_set;
pub mod syslog;
pub mod trace;
pub mod volume;

pub use connect::Store;
pub use error::Error;
use executor::Param;
pub use executor::Tx;
