//! What a face needs to tell who is calling: the verifiers of tokens, and the tables that certificate and token are
//! held against. One for the whole gateway.

use std::sync::Arc;

use super::finess::FinessTable;
use super::vihf;
use crate::config::{StructureClass, StructureClasses};
use crate::domain::national_id::StructIdNat;

#[derive(Clone)]
pub struct Admission {
    classes: Arc<StructureClasses>,
    finess: Arc<FinessTable>,
    vihf: Arc<vihf::Verifier>,
}

impl Admission {
    pub fn new(classes: StructureClasses, finess: Arc<FinessTable>, vihf: vihf::Verifier) -> Self {
        Self { classes: Arc::new(classes), finess, vihf: Arc::new(vihf) }
    }

    pub fn vihf(&self) -> &vihf::Verifier {
        &self.vihf
    }

    pub(super) fn finess(&self) -> &FinessTable {
        &self.finess
    }

    /// Certificates do not say what a structure is: configuration does.
    pub(super) fn class_of(&self, structure: &StructIdNat) -> Option<StructureClass> {
        self.classes.get(structure.as_str()).copied()
    }
}
