//! The commands of `carnet`, one file each.

pub mod specimen;
