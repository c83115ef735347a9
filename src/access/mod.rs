//! The access decision: pure, one entry point. Source: domain F.

pub mod decide;
pub mod visibility;
