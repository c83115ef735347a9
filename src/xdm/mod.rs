//! Documents that arrive as files: IHE_XDM packages (ITI-32), folders of them, folders of bare CDA.
//!
//! Reads what others made, with limits and without trust: INDEX.HTM is never opened, archives inside an
//! archive stay closed, nothing of a package is written under the name it asks for. Source: H.1, H.2.

mod archive;
pub mod folder;
pub mod package;
pub mod write;
