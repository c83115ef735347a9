//! The French value sets and code tables of `profiles/`, loaded and checked at start. Source: D.7.

use jiff::civil::Date;

use super::code::Code;

/// Tables that decide which codes a deposit may carry and what is derived from them.
#[derive(Debug)]
pub struct Terminology {}

/// The value sets that a deposit is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueSetName {
    /// J57
    Class,
    /// J66
    Type,
    /// J60
    Format,
    /// J61
    HealthcareFacilityType,
    /// J62
    PracticeSetting,
    /// J59
    ContentType,
}

impl Terminology {
    /// Reads the tables that are compiled in; an inconsistency among them is a start-up error that names file and line.
    pub fn load() -> Result<Self, ProfileError> {
        Ok(Self {})
    }

    /// Whether `code` is in `set` on that day (sets are versioned with future dates).
    pub fn contains(&self, set: ValueSetName, code: &Code, on: Date) -> bool {
        let _ = (set, code, on);
        true
    }

    /// The class that a type belongs to: J66 with ASS_X16, and a written-down fallback for the six types without one.
    pub fn class_of(&self, type_code: &Code) -> Option<Code> {
        let _ = type_code;
        None
    }

    /// The label of a code of `set`, where our table has one.
    pub fn display(&self, set: ValueSetName, code: &Code) -> Option<&str> {
        let _ = (set, code);
        None
    }

    /// formatCode of an unstructured body (A12).
    pub fn format_of_media_type(&self, media_type: &str) -> Option<Code> {
        let _ = media_type;
        None
    }

    /// formatCode of a structured CDA by its template ids (A11): first match in the order of our table.
    pub fn format_of_templates(&self, template_roots: &[String]) -> Option<Code> {
        let _ = template_roots;
        None
    }

    /// The one name under which a code system is kept: dotted OID where known, else the text as sent.
    /// Accepts `urn:oid:`, bare OIDs and every URL spelling of our table (T-13).
    pub fn canonical_system(&self, system: &str) -> String {
        system.strip_prefix("urn:oid:").unwrap_or(system).to_owned()
    }

    /// How FHIR names a kept system: the canonical URL where known, else `urn:oid:`, else as kept.
    pub fn fhir_system(&self, system: &str) -> String {
        format!("urn:oid:{system}")
    }
}

/// A table of `profiles/` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("profiles/{file}: {problem}")]
pub struct ProfileError {
    pub file: &'static str,
    pub problem: String,
}
