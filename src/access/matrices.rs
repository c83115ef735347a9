//! Both kinds of matrices that a decision looks into, loaded and checked at start, with what the texts leave open.

use super::habilitation::Habilitation;
use super::rights::Rights;
use super::sheet::MatrixError;
use crate::domain::value_set::Terminology;

/// The functional rights (F.1) and the habilitation (F.3).
#[derive(Debug)]
pub struct Matrices {
    pub rights: Rights,
    pub habilitation: Habilitation,
    /// Whether a block holds in an emergency, which the texts do not say (F.4-9); it does unless the operator says so.
    pub block_in_emergencies: bool,
}

impl Matrices {
    /// What is compiled in, the sample of the habilitation matrix included.
    pub fn load(terminology: &Terminology) -> Result<Self, MatrixError> {
        Ok(Self::of(Rights::load()?, Habilitation::load_sample(terminology)?))
    }

    /// The same with the operator's habilitation matrix, `text` of `file`.
    pub fn load_with(file: &str, text: &str, terminology: &Terminology) -> Result<Self, MatrixError> {
        Ok(Self::of(Rights::load()?, Habilitation::load(file, text, terminology)?))
    }

    fn of(rights: Rights, habilitation: Habilitation) -> Self {
        Self { rights, habilitation, block_in_emergencies: true }
    }
}
