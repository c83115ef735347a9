//! The search parameters of DocumentReference: one table that reading, aliases and the CapabilityStatement
//! share.
//!
//! The guides disagree on names (E.5, T-16): every spelling found in PDSm, its CapabilityStatement, P4D and
//! MHD is an alias here. `date` searches the creationTime, as P4D has it, and so does `creation` (T-10).
//! A patient has no id of ours, so `patient` is only known by its identifier.

use crate::refusal::{Refusal, Rule};

use super::query::shown;

/// One parameter under all its names.
#[derive(Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// FHIR search parameter type; `None` for parameters that shape the answer instead of filtering.
    pub kind: Option<Kind>,
    pub field: Field,
    pub documentation: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Token,
    Date,
    String,
    Reference,
}

/// What a parameter is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Patient,
    Identifier,
    Id,
    Status,
    IsArchived,
    Type,
    Category,
    Format,
    Facility,
    Setting,
    Event,
    SecurityLabel,
    AuthorIdentifier,
    AuthorFamily,
    AuthorGiven,
    Related,
    Creation,
    Period,
    PeriodStart,
    PeriodEnd,
    LastUpdated,
    Sort,
    Count,
    Page,
    Total,
    Summary,
    AnswerFormat,
}

impl Kind {
    /// Value set search-param-type.
    pub fn code(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Date => "date",
            Self::String => "string",
            Self::Reference => "reference",
        }
    }
}

/// Finds a parameter by any of its names.
///
/// Errors: `ParameterValue` for a modifier, `UnknownParameter` with the nearest known name.
pub fn find(name: &str) -> Result<&'static Parameter, Refusal> {
    let named = |name: &str| PARAMETERS.iter().find(|known| known.name == name || known.aliases.contains(&name));
    if let Some(parameter) = named(name) {
        return Ok(parameter);
    }
    if let Some((base, modifier)) = name.split_once(':')
        && named(base).is_some()
    {
        let found = format!("the modifier :{}", shown(modifier));
        let place = format!("parameter {base}");
        return Err(Refusal::new(Rule::ParameterValue, place, found, "the parameter without a modifier"));
    }
    // Spellings with a colon are modifiers in disguise: none is proposed.
    let names = PARAMETERS.iter().flat_map(|known| std::iter::once(&known.name).chain(known.aliases));
    Err(unknown(name, names.copied().filter(|name| !name.contains(':'))))
}

/// Refuses a parameter that is not among `known` and names the nearest that is.
pub fn unknown(name: &str, known: impl Iterator<Item = &'static str>) -> Refusal {
    let likeness = |candidate: &str| strsim::jaro_winkler(candidate, name);
    let nearest = known.max_by(|one, other| likeness(one).total_cmp(&likeness(other))).unwrap_or_default();
    let expected = format!("a parameter of GET /fhir/metadata; the nearest is {nearest}");
    Refusal::new(Rule::UnknownParameter, format!("parameter {}", shown(name)), shown(name), expected)
}

const fn filter(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    field: Field,
    documentation: &'static str,
) -> Parameter {
    Parameter { name, aliases, kind: Some(kind), field, documentation }
}

const fn control(name: &'static str, field: Field, documentation: &'static str) -> Parameter {
    Parameter { name, aliases: &[], kind: None, field, documentation }
}

pub const PARAMETERS: &[Parameter] = &[
    filter(
        "patient.identifier",
        &[
            "patient:identifier",
            "patient:Patient.identifier",
            "subject.identifier",
            "subject:identifier",
            "subject:Patient.identifier",
        ],
        Kind::Token,
        Field::Patient,
        "INS with the OID that assigned it",
    ),
    filter("identifier", &[], Kind::Token, Field::Identifier, "uniqueId, entryUUID or logicalId as a URN"),
    filter("_id", &[], Kind::Token, Field::Id, "logicalId"),
    filter("status", &[], Kind::Token, Field::Status, "current (archived ones too), superseded, entered-in-error"),
    filter(
        "isArchived",
        &["PDSm_isArchived", "PDSm-isArchived", "is-archived"],
        Kind::Token,
        Field::IsArchived,
        "true: archived documents only; false: the others",
    ),
    filter("type", &[], Kind::Token, Field::Type, "typeCode"),
    filter("category", &["class"], Kind::Token, Field::Category, "classCode"),
    filter("format", &[], Kind::Token, Field::Format, "formatCode"),
    filter("facility", &[], Kind::Token, Field::Facility, "healthcareFacilityTypeCode"),
    filter("setting", &[], Kind::Token, Field::Setting, "practiceSettingCode"),
    filter("event", &[], Kind::Token, Field::Event, "eventCodeList"),
    filter("security-label", &["securityLabel"], Kind::Token, Field::SecurityLabel, "confidentialityCode"),
    filter(
        "author.identifier",
        &["author:identifier"],
        Kind::Token,
        Field::AuthorIdentifier,
        "national identifier of an author",
    ),
    filter("author.family", &[], Kind::String, Field::AuthorFamily, "family name of an author, from its start"),
    filter("author.given", &[], Kind::String, Field::AuthorGiven, "given name of an author, from its start"),
    filter(
        "related",
        &["related:identifier", "related.identifier"],
        Kind::Reference,
        Field::Related,
        "an identifier of referenceIdList",
    ),
    filter("creation", &["date"], Kind::Date, Field::Creation, "creationTime"),
    filter("period", &[], Kind::Date, Field::Period, "serviceStartTime to serviceStopTime"),
    filter(
        "period-start",
        &["PDSm_DocumentReference_period-start", "PDSm_period-start", "periodStart"],
        Kind::Date,
        Field::PeriodStart,
        "serviceStartTime",
    ),
    filter(
        "period-end",
        &["PDSm_DocumentReference_period-end", "PDSm_period-end", "periodEnd"],
        Kind::Date,
        Field::PeriodEnd,
        "serviceStopTime",
    ),
    filter("_lastUpdated", &[], Kind::Date, Field::LastUpdated, "when this version was registered"),
    control("_sort", Field::Sort, "creation, period or _lastUpdated, descending with a minus in front"),
    control("_count", Field::Count, "entries a page; 0 gives the total alone"),
    control("_page", Field::Page, "as the links next and previous give it"),
    control("_total", Field::Total, "none, estimate or accurate: always accurate"),
    control("_summary", Field::Summary, "false, or count"),
    control("_format", Field::AnswerFormat, "json or xml"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_told_once() {
        let mut names: Vec<_> = PARAMETERS
            .iter()
            .flat_map(|known| std::iter::once(known.name).chain(known.aliases.iter().copied()))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_names_of_the_guides_find_the_same_parameter() {
        assert_eq!(find("PDSm_DocumentReference_period-start").unwrap().field, Field::PeriodStart);
        assert_eq!(find("date").unwrap().field, find("creation").unwrap().field);
        assert_eq!(find("subject:Patient.identifier").unwrap().field, Field::Patient);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_one() {
        for (name, nearest) in [("patient", "patient."), ("statut", "status"), ("securitylabel", "security")] {
            let refusal = find(name).unwrap_err();
            assert_eq!(refusal.rule, Rule::UnknownParameter);
            assert!(refusal.expected.contains(nearest), "{name}: {}", refusal.expected);
        }
    }

    #[test]
    fn a_modifier_is_refused_as_such() {
        let refusal = find("type:not").unwrap_err();
        assert_eq!((refusal.rule, refusal.place.as_str()), (Rule::ParameterValue, "parameter type"));
        assert!(refusal.found.contains(":not"));
    }
}
