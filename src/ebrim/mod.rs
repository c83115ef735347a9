//! ebRIM 3.0 registry objects: what XDS messages and XDM packages say of a submission and its documents.
//!
//! `xml` reads tokens behind guards, `object` builds the tree in one pass, `hl7v2` reads what is inside
//! slots, `rules` is the table "slot or classification -> attribute", `metadata` puts a deposit together,
//! `write` is the way back. Knows neither SOAP nor zip: the faces that do hand in the bytes of one
//! `SubmitObjectsRequest`. Source: D.1 to D.5, A.3; IHE ITI TF-3 section 4.

pub mod hl7v2;
pub mod metadata;
pub mod object;
mod rules;
#[cfg(test)]
pub(crate) mod sample;
mod urn;
pub mod write;

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    /// Published messages to try the code on; `None` where they are not at hand.
    pub(crate) fn shared(folder: &str) -> Option<PathBuf> {
        let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
        let path = std::env::var_os("CARNET_SHARED").map_or_else(beside, PathBuf::from).join(folder);
        if path.is_dir() {
            return Some(path);
        }
        eprintln!("skipped: {} is absent", path.display());
        None
    }
}
