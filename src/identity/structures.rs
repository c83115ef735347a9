//! What this gateway knows of structures beyond their certificates: their class, and the sites they have.

use std::sync::Arc;

use super::finess::{FinessTable, Link};
use crate::config::{StructureClass, StructureClasses};
use crate::domain::national_id::StructIdNat;

#[derive(Clone)]
pub struct Structures {
    classes: Arc<StructureClasses>,
    finess: Arc<FinessTable>,
}

impl Structures {
    pub fn new(classes: StructureClasses, finess: Arc<FinessTable>) -> Self {
        Self { classes: Arc::new(classes), finess }
    }

    /// Classes alone, for who has no token to judge.
    pub fn of_classes(classes: StructureClasses) -> Self {
        Self::new(classes, Arc::default())
    }

    /// Certificates do not say what a structure is: configuration does.
    pub fn class_of(&self, structure: &StructIdNat) -> Option<StructureClass> {
        self.classes.get(structure.as_str()).copied()
    }

    /// Whether `entity` (of a certificate) speaks for `site` (of a token).
    pub(super) fn link(&self, site: &StructIdNat, entity: &StructIdNat) -> Link {
        self.finess.link(site, entity)
    }
}
