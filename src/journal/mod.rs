//! The access journal: what is written down, and the chains that make a change visible. Source: F.5, R1111-43.

pub mod atna;
pub mod chain;
pub mod event;
pub mod heads;
mod heads_file;
pub mod patient_view;
pub mod syslog;
pub mod verify;
