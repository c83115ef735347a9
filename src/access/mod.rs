//! The access decision: pure, one entry point, from data that a doctor can read. Source: domain F.

pub mod decide;
pub mod habilitation;
pub mod journal;
pub mod matrices;
pub mod rights;
pub mod sheet;
pub mod visibility;
