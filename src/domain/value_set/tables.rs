//! The files of `profiles/`: their shape, and what must agree among them before a gateway starts.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Member, ProfileError, Terminology, ValueSet, ValueSetName};
use crate::domain::code::Code;

/// One file of `profiles/`, compiled in.
#[derive(Clone, Copy)]
struct File {
    name: &'static str,
    text: &'static str,
}

macro_rules! profile {
    ($name:literal) => {
        File { name: $name, text: include_str!(concat!("../../../profiles/", $name)) }
    };
}

const CLASS: File = profile!("class_code.toml");
const TYPE: File = profile!("type_code.toml");
const CONFIDENTIALITY: File = profile!("confidentiality_code.toml");
const FORMAT: File = profile!("format_code.toml");
const HEALTHCARE_FACILITY_TYPE: File = profile!("healthcare_facility_type_code.toml");
const PRACTICE_SETTING: File = profile!("practice_setting_code.toml");
const CONTENT_TYPE: File = profile!("content_type_code.toml");
const SUBJECT_ROLE: File = profile!("subject_role.toml");
const CODE_SYSTEM: File = profile!("code_system.toml");
const MEDIA_TYPE: File = profile!("media_type.toml");
const TEMPLATE: File = profile!("template.toml");
const TRANSLATION: File = profile!("translation.toml");

/// Where a table comes from; every file says it, nothing here uses it.
#[derive(Deserialize)]
struct Origin {
    source: String,
    version: String,
}

#[derive(Deserialize)]
struct ValueSetFile {
    name: String,
    #[serde(flatten)]
    origin: Origin,
    /// `type_code.toml` only.
    class_of_retired_types: Option<String>,
    group: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    system: String,
    codes: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    display: Option<String>,
    class: Option<String>,
    /// The class is our choice, for ASS_X16 has none.
    #[serde(default)]
    class_is_ours: bool,
    from: Option<String>,
    until: Option<String>,
}

#[derive(Deserialize)]
struct CodeSystemFile {
    #[serde(flatten)]
    origin: Origin,
    systems: BTreeMap<String, CodeSystem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CodeSystem {
    fhir: String,
    #[serde(default)]
    also: Vec<String>,
}

#[derive(Deserialize)]
struct MediaTypeFile {
    #[serde(flatten)]
    origin: Origin,
    media_types: BTreeMap<String, MediaType>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MediaType {
    format: String,
}

#[derive(Deserialize)]
struct TemplateFile {
    #[serde(flatten)]
    origin: Origin,
    otherwise: String,
    /// Template, format, name of the model (for readers).
    templates: Vec<(String, String, String)>,
}

#[derive(Deserialize)]
struct TranslationFile {
    #[serde(flatten)]
    origin: Origin,
    from_system: String,
    healthcare_facility_type_code: Translation,
    practice_setting_code: Translation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Translation {
    to_system: String,
    codes: BTreeMap<String, String>,
}

pub(super) fn load() -> Result<Terminology, ProfileError> {
    let sets: HashMap<_, _> = ValueSetName::ALL
        .into_iter()
        .map(|set| Ok((set, read_value_set(file_of(set))?)))
        .collect::<Result<_, ProfileError>>()?;
    let class_of_retired_types = check_classes(&sets)?;
    let formats = &sets[&ValueSetName::Format];
    let (systems, fhir_systems) = read_code_systems()?;
    check_systems_are_known(&sets, &fhir_systems)?;
    let (formats_by_template, format_otherwise) = read_templates(formats)?;
    let (translations, translated_system) = read_translations(&sets)?;
    Ok(Terminology {
        class_of_retired_types,
        formats_by_media_type: read_media_types(formats)?,
        formats_by_template,
        format_otherwise,
        systems,
        fhir_systems,
        translations,
        translated_system,
        sets,
    })
}

fn file_of(set: ValueSetName) -> File {
    match set {
        ValueSetName::Class => CLASS,
        ValueSetName::Type => TYPE,
        ValueSetName::Confidentiality => CONFIDENTIALITY,
        ValueSetName::Format => FORMAT,
        ValueSetName::HealthcareFacilityType => HEALTHCARE_FACILITY_TYPE,
        ValueSetName::PracticeSetting => PRACTICE_SETTING,
        ValueSetName::ContentType => CONTENT_TYPE,
        ValueSetName::SubjectRole => SUBJECT_ROLE,
    }
}

impl File {
    /// A key that is there twice is a syntax error of TOML already.
    fn parse<T: DeserializeOwned>(self) -> Result<T, ProfileError> {
        toml::from_str(self.text).map_err(|error| self.error(error.to_string()))
    }

    fn error(self, problem: impl Into<String>) -> ProfileError {
        ProfileError { file: self.name, problem: problem.into() }
    }

    fn check_origin(self, origin: &Origin) -> Result<(), ProfileError> {
        if origin.source.is_empty() || origin.version.is_empty() {
            return Err(self.error("`source` and `version` must say where the table comes from"));
        }
        Ok(())
    }

    fn date(self, code: &str, text: Option<&str>, otherwise: Date) -> Result<Date, ProfileError> {
        let Some(text) = text else { return Ok(otherwise) };
        text.parse().map_err(|_| self.error(format!("`{code}`: `{text}` is no date, write yyyy-mm-dd")))
    }
}

fn read_value_set(file: File) -> Result<ValueSet, ProfileError> {
    let table: ValueSetFile = file.parse()?;
    file.check_origin(&table.origin)?;
    let mut set = ValueSet { name: table.name, members: HashMap::new() };
    for group in table.group {
        for (code, entry) in group.codes {
            let from = file.date(&code, entry.from.as_deref(), Date::MIN)?;
            let until = file.date(&code, entry.until.as_deref(), Date::MAX)?;
            if from >= until {
                return Err(file.error(format!("`{code}`: `until` {until} is not after `from` {from}")));
            }
            if entry.class_is_ours && entry.class.is_none() {
                return Err(file.error(format!("`{code}`: `class_is_ours` without a `class`")));
            }
            let bearers = set.members.entry(code.clone()).or_default();
            if bearers.iter().any(|other| other.system == group.system) {
                return Err(file.error(format!("`{code}` is there twice in system {}", group.system)));
            }
            let system = group.system.clone();
            bearers.push(Member { system, display: entry.display, class: entry.class, from, until });
        }
    }
    Ok(set)
}

/// Every type has a class, every class is in J57, and J57 bears each code once. Gives the class of retired types.
fn check_classes(sets: &HashMap<ValueSetName, ValueSet>) -> Result<Code, ProfileError> {
    let classes = &sets[&ValueSetName::Class].members;
    if let Some((code, _)) = classes.iter().find(|(_, members)| members.len() != 1) {
        return Err(CLASS.error(format!("`{code}` is in two systems: a type could not tell which one it means")));
    }
    for (code, members) in &sets[&ValueSetName::Type].members {
        match members
            .iter()
            .map(|member| member.class.as_deref())
            .find(|class| class.is_none_or(|class| !classes.contains_key(class)))
        {
            Some(Some(class)) => return Err(TYPE.error(format!("`{code}`: class `{class}` is not in {}", CLASS.name))),
            Some(None) => return Err(TYPE.error(format!("`{code}` has no class"))),
            None => {}
        }
    }
    let table: ValueSetFile = TYPE.parse()?;
    let retired = table.class_of_retired_types.unwrap_or_default();
    only_member(&sets[&ValueSetName::Class], &retired)
        .ok_or_else(|| TYPE.error(format!("`class_of_retired_types`: `{retired}` is not in {}", CLASS.name)))
}

/// One name -> another.
type Names = HashMap<String, String>;

/// Every spelling -> the kept form; the kept form -> the URL of FHIR.
fn read_code_systems() -> Result<(Names, Names), ProfileError> {
    let table: CodeSystemFile = CODE_SYSTEM.parse()?;
    CODE_SYSTEM.check_origin(&table.origin)?;
    let (mut systems, mut fhir_systems) = (Names::new(), Names::new());
    for (kept, system) in table.systems {
        for spelling in system.also.into_iter().chain([system.fhir.clone(), kept.clone()]) {
            if let Some(other) = systems.insert(spelling.clone(), kept.clone()) {
                return Err(CODE_SYSTEM.error(format!("`{spelling}` names both {other} and {kept}")));
            }
        }
        fhir_systems.insert(kept, system.fhir);
    }
    Ok((systems, fhir_systems))
}

fn check_systems_are_known(sets: &HashMap<ValueSetName, ValueSet>, fhir_systems: &Names) -> Result<(), ProfileError> {
    for (set, content) in sets {
        let mut members = content.members.values().flatten();
        if let Some(member) = members.find(|member| !fhir_systems.contains_key(&member.system)) {
            let problem = format!("system `{}` is not in {}", member.system, CODE_SYSTEM.name);
            return Err(file_of(*set).error(problem));
        }
    }
    Ok(())
}

fn read_media_types(formats: &ValueSet) -> Result<HashMap<String, Code>, ProfileError> {
    let table: MediaTypeFile = MEDIA_TYPE.parse()?;
    MEDIA_TYPE.check_origin(&table.origin)?;
    let with_format = |(name, media_type): (String, MediaType)| {
        let format = format_of(MEDIA_TYPE, formats, &name, &media_type.format)?;
        Ok((name, format))
    };
    table.media_types.into_iter().map(with_format).collect()
}

fn read_templates(formats: &ValueSet) -> Result<(Vec<(String, Code)>, Code), ProfileError> {
    let table: TemplateFile = TEMPLATE.parse()?;
    TEMPLATE.check_origin(&table.origin)?;
    let mut by_template: Vec<(String, Code)> = Vec::with_capacity(table.templates.len());
    for (template, format, _model) in table.templates {
        if by_template.iter().any(|(other, _)| *other == template) {
            return Err(TEMPLATE.error(format!("`{template}` is there twice")));
        }
        let format = format_of(TEMPLATE, formats, &template, &format)?;
        by_template.push((template, format));
    }
    let otherwise = format_of(TEMPLATE, formats, "otherwise", &table.otherwise)?;
    Ok((by_template, otherwise))
}

fn format_of(file: File, formats: &ValueSet, entry: &str, format: &str) -> Result<Code, ProfileError> {
    only_member(formats, format)
        .ok_or_else(|| file.error(format!("`{entry}`: format `{format}` is not in {}", FORMAT.name)))
}

type Translations = HashMap<(ValueSetName, String), Code>;

fn read_translations(sets: &HashMap<ValueSetName, ValueSet>) -> Result<(Translations, String), ProfileError> {
    let table: TranslationFile = TRANSLATION.parse()?;
    TRANSLATION.check_origin(&table.origin)?;
    let mut translations = HashMap::new();
    for (set, translation) in [
        (ValueSetName::HealthcareFacilityType, table.healthcare_facility_type_code),
        (ValueSetName::PracticeSetting, table.practice_setting_code),
    ] {
        for (from, to) in translation.codes {
            let target = only_member(&sets[&set], &to).filter(|target| target.system == translation.to_system);
            let Some(target) = target else {
                return Err(TRANSLATION.error(format!("`{from}` becomes `{to}`, which is not in {}", sets[&set].name)));
            };
            translations.insert((set, from), target);
        }
    }
    Ok((translations, table.from_system))
}

/// The member that alone bears `code`, with its label.
fn only_member(set: &ValueSet, code: &str) -> Option<Code> {
    match set.members.get(code).map(Vec::as_slice) {
        Some([member]) => {
            Some(Code { system: member.system.clone(), code: code.to_owned(), display: member.display.clone() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(text: &'static str) -> String {
        read_value_set(File { name: "probe.toml", text }).unwrap_err().to_string()
    }

    const HEAD: &str = "name = \"P\"\nsource = \"s\"\nversion = \"v\"\n[[group]]\nsystem = \"1.2\"\n[group.codes]\n";

    fn with_codes(codes: &str) -> &'static str {
        Box::leak(format!("{HEAD}{codes}").into_boxed_str())
    }

    #[test]
    fn a_problem_names_the_file_and_the_entry() {
        let problem = problem_of(with_codes("X1 = { from = \"2024-02-30\" }"));
        assert!(problem.contains("profiles/probe.toml") && problem.contains("`X1`"), "{problem}");
    }

    #[test]
    fn dates_in_the_wrong_order_are_refused() {
        let problem = problem_of(with_codes("X1 = { from = \"2024-02-01\", until = \"2024-02-01\" }"));
        assert!(problem.contains("not after"), "{problem}");
    }

    #[test]
    fn a_code_that_is_there_twice_is_refused() {
        assert!(problem_of(with_codes("X1 = {}\nX1 = {}")).contains("duplicate"));
        let twice = with_codes("X1 = {}\n[[group]]\nsystem = \"1.2\"\n[group.codes]\nX1 = {}\n");
        assert!(problem_of(twice).contains("twice"));
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(problem_of(with_codes("X1 = { dispaly = \"x\" }")).contains("dispaly"));
    }

    #[test]
    fn a_type_of_an_unknown_class_is_refused() {
        let mut sets: HashMap<_, _> =
            ValueSetName::ALL.into_iter().map(|set| (set, read_value_set(file_of(set)).unwrap())).collect();
        let types = File { name: "probe.toml", text: with_codes("X1 = { class = \"77\" }") };
        sets.insert(ValueSetName::Type, read_value_set(types).unwrap());
        assert!(check_classes(&sets).unwrap_err().to_string().contains("`77`"));
    }
}
