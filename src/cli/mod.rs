//! The commands of `carnet`, one file each. Source: contract 1.

pub mod import;
