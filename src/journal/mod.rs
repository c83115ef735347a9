//! The access journal: what is written down, and the chain that makes a change visible. Source: F.5, R1111-43.

pub mod atna;
pub mod chain;
pub mod event;
pub mod patient_view;
pub mod syslog;
