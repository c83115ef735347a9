//! The French value sets and code tables of `profiles/`, loaded and checked at start. Source: D.6, D.7.
//!
//! The tables are compiled in: a running gateway never depends on a file beside it. A code counts as a member
//! on the day of the deposit, for value sets change with dates set ahead; reading and migration never ask (D.7).

mod tables;

use std::collections::HashMap;

use jiff::civil::Date;

use super::code::Code;

/// Tables that decide which codes a deposit may carry and what is derived from them.
#[derive(Debug)]
pub struct Terminology {
    sets: HashMap<ValueSetName, ValueSet>,
    class_of_retired_types: Code,
    formats_by_media_type: HashMap<String, Code>,
    /// In the order of the table: the first that a document claims decides.
    formats_by_template: Vec<(String, Code)>,
    format_otherwise: Code,
    /// Every spelling of a code system, in any form -> the one it is kept under.
    systems: HashMap<String, String>,
    /// Kept form -> canonical URL of FHIR.
    fhir_systems: HashMap<String, String>,
    translations: HashMap<(ValueSetName, String), Code>,
    translated_system: String,
}

/// The value sets that a deposit is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueSetName {
    /// J57
    Class,
    /// J66
    Type,
    /// J58
    Confidentiality,
    /// J60
    Format,
    /// J61
    HealthcareFacilityType,
    /// J62
    PracticeSetting,
    /// J59
    ContentType,
    /// J65, first values
    SubjectRole,
}

#[derive(Debug, Default)]
struct ValueSet {
    name: String,
    /// Code -> the members that bear it, one per code system.
    members: HashMap<String, Vec<Member>>,
}

#[derive(Debug)]
struct Member {
    system: String,
    display: Option<String>,
    /// J66 only: the code of the class (J57).
    class: Option<String>,
    /// First day on which the code may be deposited.
    from: Date,
    /// First day on which it may no longer.
    until: Date,
}

impl ValueSetName {
    pub const ALL: [Self; 8] = [
        Self::Class,
        Self::Type,
        Self::Confidentiality,
        Self::Format,
        Self::HealthcareFacilityType,
        Self::PracticeSetting,
        Self::ContentType,
        Self::SubjectRole,
    ];
}

impl Terminology {
    /// Reads the tables that are compiled in; an inconsistency among them is a start-up error that names file and entry.
    pub fn load() -> Result<Self, ProfileError> {
        tables::load()
    }

    /// Whether `code` is in `set` on that day (sets are versioned with future dates).
    pub fn contains(&self, set: ValueSetName, code: &Code, on: Date) -> bool {
        self.member(set, code).is_some_and(|member| (member.from..member.until).contains(&on))
    }

    /// Every member of a set, whatever the day.
    pub fn members(&self, set: ValueSetName) -> impl Iterator<Item = Code> {
        let members = self.sets[&set].members.iter();
        members.flat_map(|(code, bearers)| bearers.iter().map(move |member| Code::new(&member.system, code)))
    }

    /// The class that a type belongs to: J66 with ASS_X16, and a written-down fallback for the six types without one.
    pub fn class_of(&self, type_code: &Code) -> Option<Code> {
        let class = self.member(ValueSetName::Type, type_code)?.class.as_deref()?;
        let member = self.sets[&ValueSetName::Class].members.get(class)?.first()?;
        Some(Code { system: member.system.clone(), code: class.to_owned(), display: member.display.clone() })
    }

    /// The class of an old document whose type the DMP no longer takes: migration keeps such documents.
    pub fn class_of_retired_types(&self) -> &Code {
        &self.class_of_retired_types
    }

    /// The label of a code of `set`, where our table has one.
    pub fn display(&self, set: ValueSetName, code: &Code) -> Option<&str> {
        self.member(set, code)?.display.as_deref()
    }

    /// The published name of a set, for refusals: `JDV_J66-TypeCode-DMP`.
    pub fn name_of(&self, set: ValueSetName) -> &str {
        &self.sets[&set].name
    }

    /// formatCode of an unstructured body (A12).
    pub fn format_of_media_type(&self, media_type: &str) -> Option<Code> {
        self.formats_by_media_type.get(media_type).cloned()
    }

    /// formatCode of a structured CDA by its template ids (A11): first match in the order of our table.
    pub fn format_of_templates(&self, template_roots: &[String]) -> Option<Code> {
        let claimed = |(template, _): &&(String, Code)| template_roots.contains(template);
        self.formats_by_template.iter().find(claimed).map(|(_, format)| format.clone())
    }

    /// formatCode of a structured CDA of the CI-SIS whose model our table does not know.
    pub fn format_of_other_models(&self) -> &Code {
        &self.format_otherwise
    }

    /// The member of `set` that a code of SNOMED CT stands for, for the few codes that the guide's examples use (T-15).
    pub fn translate(&self, set: ValueSetName, code: &Code) -> Option<Code> {
        if code.system != self.translated_system {
            return None;
        }
        let mut translated = self.translations.get(&(set, code.code.clone()))?.clone();
        translated.display = self.display(set, &translated).map(str::to_owned);
        Some(translated)
    }

    /// The one name under which a code system is kept: dotted OID where known, else the text as sent.
    /// Accepts `urn:oid:`, bare OIDs and every URL spelling of our table (T-13).
    pub fn canonical_system(&self, system: &str) -> String {
        let bare = system.strip_prefix("urn:oid:").unwrap_or(system);
        self.systems.get(bare).map_or(bare, String::as_str).to_owned()
    }

    /// How FHIR names a kept system: the canonical URL where known, else `urn:oid:`, else as kept.
    pub fn fhir_system(&self, system: &str) -> String {
        match self.fhir_systems.get(system) {
            Some(url) => url.clone(),
            None if system.parse::<super::oid::Oid>().is_ok() => format!("urn:oid:{system}"),
            None => system.to_owned(),
        }
    }

    fn member(&self, set: ValueSetName, code: &Code) -> Option<&Member> {
        self.sets[&set].members.get(&code.code)?.iter().find(|member| member.system == code.system)
    }
}

/// A table of `profiles/` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("profiles/{file}: {problem}")]
pub struct ProfileError {
    pub file: &'static str,
    pub problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::confidentiality::{ConfidentialityLevel, VisibilityLabel};
    use jiff::civil::date;

    const LOINC: &str = "2.16.840.1.113883.6.1";
    const TODAY: Date = date(2026, 11, 21);

    fn tables() -> Terminology {
        Terminology::load().unwrap()
    }

    #[test]
    fn the_sets_have_as_many_codes_as_published() {
        let terminology = tables();
        let count = |set| terminology.sets[&set].members.values().map(Vec::len).sum::<usize>();
        assert_eq!(count(ValueSetName::Class), 12);
        assert_eq!(count(ValueSetName::Type), 109);
        assert_eq!(count(ValueSetName::Confidentiality), 6);
        assert_eq!(count(ValueSetName::Format), 62);
        assert_eq!(count(ValueSetName::HealthcareFacilityType), 64 + 6);
        assert_eq!(count(ValueSetName::PracticeSetting), 11);
    }

    #[test]
    fn every_accepted_type_has_a_class() {
        let terminology = tables();
        for (code, members) in &terminology.sets[&ValueSetName::Type].members {
            for member in members {
                assert!(terminology.class_of(&Code::new(&member.system, code)).is_some(), "{code}");
            }
        }
    }

    #[test]
    fn the_class_follows_the_current_table_and_not_older_ones() {
        let terminology = tables();
        for (code, class) in [("18748-4", "31"), ("11488-4", "10"), ("60591-5", "11"), ("11490-0", "10")] {
            assert_eq!(terminology.class_of(&Code::new(LOINC, code)).unwrap().code, class, "{code}");
        }
        let signature = terminology.class_of(&Code::new("ASTM", "E1762")).unwrap();
        assert_eq!(signature.system, "URN");
    }

    #[test]
    fn a_code_counts_from_its_day_on() {
        let terminology = tables();
        let insurance = Code::new("1.2.250.1.213.1.1.4.12", "ATTEST-DROITS-AM");
        assert!(!terminology.contains(ValueSetName::Type, &insurance, date(2024, 1, 25)));
        assert!(terminology.contains(ValueSetName::Type, &insurance, date(2024, 1, 26)));
    }

    #[test]
    fn a_code_of_another_system_is_no_member() {
        let terminology = tables();
        assert!(terminology.contains(ValueSetName::Type, &Code::new(LOINC, "11488-4"), TODAY));
        assert!(!terminology.contains(ValueSetName::Type, &Code::new("1.2.3", "11488-4"), TODAY));
        assert!(!terminology.contains(ValueSetName::Type, &Code::new(LOINC, "27899-4"), TODAY));
    }

    #[test]
    fn both_spellings_of_the_visibility_terminology_are_one_system() {
        let terminology = tables();
        let nos = "https://mos.esante.gouv.fr/NOS";
        for spelling in [
            format!("{nos}/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"),
            format!("{nos}/TRE_A07-StatusVisibiliteDocument/FHIR/TRE-A07-StatusVisibiliteDocument"),
            "urn:oid:1.2.250.1.213.1.1.4.13".to_owned(),
            "1.2.250.1.213.1.1.4.13".to_owned(),
        ] {
            assert_eq!(terminology.canonical_system(&spelling), "1.2.250.1.213.1.1.4.13", "{spelling}");
        }
    }

    #[test]
    fn every_kept_system_reads_back_from_its_fhir_name() {
        let terminology = tables();
        let members = terminology.sets.values().flat_map(|set| set.members.values().flatten());
        for system in members.map(|member| &member.system).chain(terminology.fhir_systems.keys()) {
            assert_eq!(&terminology.canonical_system(&terminology.fhir_system(system)), system);
        }
    }

    #[test]
    fn an_unknown_system_goes_out_as_it_came_in() {
        let terminology = tables();
        let round = |text: &str| terminology.fhir_system(&terminology.canonical_system(text));
        for text in ["urn:oid:1.2.3.4.5", "http://www.acme.org/practitioners", ""] {
            assert_eq!(round(text), text);
        }
    }

    #[test]
    fn the_model_of_the_cisis_decides_before_the_profile_it_builds_on() {
        let terminology = tables();
        let format = |roots: &[&str]| {
            let roots: Vec<String> = roots.iter().map(|&root| root.to_owned()).collect();
            terminology.format_of_templates(&roots).map(|format| format.code)
        };
        let ip = "1.3.6.1.4.1.19376.1.9.1.1.1";
        assert_eq!(format(&[ip, "1.2.250.1.213.1.1.1.42"]).unwrap(), "urn:ihe:eyecare:geneyeevalcn:2014");
        assert_eq!(format(&[ip]).unwrap(), "urn:ihe:pharm:pre:2010");
        assert_eq!(format(&["1.2.250.1.213.1.1.1.1"]), None);
    }

    #[test]
    fn unstructured_bodies_have_the_format_of_their_media_type() {
        let terminology = tables();
        assert_eq!(terminology.format_of_media_type("application/pdf").unwrap().code, "urn:ihe:iti:xds-sd:pdf:2008");
        assert_eq!(terminology.format_of_media_type("application/dicom").unwrap().system, "1.2.840.10008.2.6.1");
        assert_eq!(terminology.format_of_media_type("image/png"), None);
    }

    #[test]
    fn the_guides_snomed_codes_become_french_ones_and_others_do_not() {
        let terminology = tables();
        let snomed = |code| Code::new("2.16.840.1.113883.6.96", code);
        let facility = terminology.translate(ValueSetName::HealthcareFacilityType, &snomed("22232009")).unwrap();
        assert_eq!((facility.code.as_str(), facility.display.is_some()), ("SA01", true));
        let practice = terminology.translate(ValueSetName::PracticeSetting, &snomed("394802001")).unwrap();
        assert_eq!(practice.code, "AMBULATOIRE");
        assert_eq!(terminology.translate(ValueSetName::PracticeSetting, &snomed("22232009")), None);
        assert_eq!(terminology.translate(ValueSetName::PracticeSetting, &Code::new("1.2.3", "394802001")), None);
    }

    #[test]
    fn the_labels_of_a_document_are_those_of_the_value_set() {
        let terminology = tables();
        let levels =
            ConfidentialityLevel::ALL.map(|level| (crate::domain::confidentiality::CONFIDENTIALITY_OID, level.code()));
        let labels = VisibilityLabel::ALL.map(|label| (crate::domain::confidentiality::VISIBILITY_OID, label.code()));
        for (system, code) in levels.into_iter().chain(labels) {
            assert!(terminology.contains(ValueSetName::Confidentiality, &Code::new(system, code), TODAY), "{code}");
        }
    }
}
