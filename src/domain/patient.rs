//! The patient as a deposit names them. Frozen: never updated, never used to compute an identity (A.3).

use super::author::Identifier;
use super::dtm::Dtm;

/// `sourcePatientInfo`: identity traits as submitted. They are shown again, and never compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SourcePatientInfo {
    pub birth_family: Option<String>,
    pub usual_family: Option<String>,
    pub given: Option<String>,
    pub birth_date: Option<Dtm>,
    /// HL7 table 0001: `M`, `F`, `U`.
    pub sex: Option<String>,
}

/// `sourcePatientId` (IPP of the hospital, or the INS again) with its traits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SourcePatient {
    pub id: Option<Identifier>,
    pub info: SourcePatientInfo,
}
