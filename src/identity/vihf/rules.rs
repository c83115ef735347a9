//! The attributes of C.2 as one table: name, when it must be there, what it holds, what to tell who got it wrong.
//!
//! Every row is checked and every broken one is told, each with its own explanation. A displayName is never
//! compared, and nothing is repaired: texts are read as they were signed (T-3). Source: C.2 to C.4.

use jiff::civil::Date;

use super::About;
use super::assertion::{Assertion, Attribute, Value};
use crate::config::InsDomain;
use crate::domain::code::Code;
use crate::domain::ins::Ins;
use crate::domain::value_set::{Terminology, ValueSetName};
use crate::identity::caller::Purpose;
use crate::identity::statement::{AccessVisibility, Software, StatedMode, StatedSubject, Statement};
use crate::refusal::{Refusal, Rule};
use crate::tls::subject::{PROFESSION_SYSTEM, SAVOIR_FAIRE_SYSTEM};

/// What values are held against.
#[derive(Clone, Copy)]
pub(super) struct Tables<'t> {
    pub(super) terminology: &'t Terminology,
    pub(super) ins_domains: &'t [InsDomain],
    /// Software that is let in; empty: all.
    pub(super) homologations: &'t [String],
    pub(super) on: Date,
}

struct AttributeRule {
    /// Known in any case: `Authentification_mode` and `Authentification_Mode` are both in use (T-1).
    name: &'static str,
    presence: Presence,
    form: Form,
    expected: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Mandatory,
    Optional,
    /// Not in direct mode, where the card says it.
    WithoutCard,
    /// In every call that is about one patient.
    AboutPatient,
}

/// What an attribute holds, and so where it goes.
#[derive(Clone, Copy)]
enum Form {
    Mode,
    Version,
    Structure,
    Sector,
    SubjectName,
    Roles,
    Patient,
    Resource,
    Purpose,
    Visibility,
    SoftwareName,
    SoftwareVersion,
    SoftwareInstallation,
    Homologation,
}

use Form as F;
use Presence::{AboutPatient, Mandatory, Optional, WithoutCard};

const fn row(name: &'static str, presence: Presence, form: Form, expected: &'static str) -> AttributeRule {
    AttributeRule { name, presence, form, expected }
}

/// The mode first: presence of others depends on it.
#[rustfmt::skip]
const RULES: &[AttributeRule] = &[
    row("Authentification_mode", Mandatory, F::Mode, "DIRECTE, INDIRECTE or INDIRECTE_RENFORCEE"),
    row("VIHF_Version", Mandatory, F::Version, "3.0 or 4.0"),
    row("Identifiant_Structure", Mandatory, F::Structure, "a Struct_IdNat with its type digit, e.g. 1 and the FINESS number"),
    row("Secteur_Activite", Mandatory, F::Sector, "a code of J61 as SAnn^1.2.250.1.71.4.2.4"),
    row(SUBJECT_ID, WithoutCard, F::SubjectName, "prénom and nom of the user; of an automaton, software and model"),
    row(ROLE, Mandatory, F::Roles, "one Attribute with an AttributeValue/Role for the profession (J65), and a second one for the savoir-faire"),
    row(RESOURCE_ID, AboutPatient, F::Patient, "the INS of the patient as NIR^^^&OID&ISO^NH"),
    row("Ressource_URN", Mandatory, F::Resource, "urn:dmp"),
    row(PURPOSE, Mandatory, F::Purpose, "a PurposeOfUse: normal, bris_de_glace or centre_15, of codeSystem 1.2.250.1.213.1.1.4.248 or .336"),
    row(CONFIDENTIALITY, Optional, F::Visibility, "INVISIBLE_REPRESENTANTS_LEGAUX, or no such attribute"),
    row("LPS_Nom", Mandatory, F::SoftwareName, "the name of the software"),
    row("LPS_Version", Mandatory, F::SoftwareVersion, "its version"),
    row("LPS_ID", Optional, F::SoftwareInstallation, "the serial number of the installation, or no such attribute"),
    row("LPS_ID_HOMOLOGATION_DMP", Mandatory, F::Homologation, "the homologation number of the software"),
];

/// Holds the attributes against the table. Errors: all that is wrong, one refusal a row.
pub(super) fn read(assertion: &Assertion, about: About, tables: Tables<'_>) -> Result<Statement, Vec<Refusal>> {
    let mut draft = Draft::default();
    let mut refusals = Vec::new();
    for rule in RULES {
        let attribute = assertion.attributes.iter().find(|one| one.name.eq_ignore_ascii_case(rule.name));
        let outcome = match attribute {
            None if draft.is_due(rule.presence, about) => Err(Wrong::found("nothing")),
            None => Ok(()),
            // Whoever states an attribute means something by it, even where it may be left out.
            Some(Attribute { values, .. }) if values.is_empty() => Err(Wrong::found("no AttributeValue")),
            Some(Attribute { values, .. }) => draft.take(rule.form, values, tables),
        };
        if let Err(wrong) = outcome {
            let place = format!("VIHF, attribute {}", rule.name);
            let expected = wrong.expected.unwrap_or_else(|| rule.expected.to_owned());
            refusals.push(Refusal::new(wrong.rule, place, wrong.found, expected));
        }
    }
    if draft.mode == Some(StatedMode::IndirecteRenforcee) && !assertion.authn.is_declared {
        let expected = "AuthnContextDecl: by which strong means the professional logged in (EX_AIR-050)";
        refusals.push(Refusal::new(
            Rule::VihfAttribute,
            "VIHF, AuthnContext",
            assertion.authn.class.as_str(),
            expected,
        ));
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    // Every field that is due is there: its row would have been refused.
    draft.finish(&assertion.name_id).ok_or_else(Vec::new)
}

/// A value that breaks its row; `expected` where the row's own words say too little.
struct Wrong {
    rule: Rule,
    found: String,
    expected: Option<String>,
}

impl Wrong {
    fn found(found: impl Into<String>) -> Self {
        Self { rule: Rule::VihfAttribute, found: found.into(), expected: None }
    }

    fn but(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }
}

#[derive(Default)]
struct Draft {
    mode: Option<StatedMode>,
    structure: Option<crate::domain::national_id::StructIdNat>,
    sector: Option<Code>,
    name: Option<String>,
    roles: Vec<Code>,
    patient: Option<Ins>,
    purpose: Option<Purpose>,
    visibility: Option<AccessVisibility>,
    software_name: Option<String>,
    software_version: Option<String>,
    installation: Option<String>,
    homologation: Option<String>,
}

impl Draft {
    fn is_due(&self, presence: Presence, about: About) -> bool {
        match presence {
            Mandatory => true,
            Optional => false,
            WithoutCard => self.mode.is_some_and(|mode| mode != StatedMode::Directe),
            AboutPatient => about == About::OnePatient,
        }
    }

    fn take(&mut self, form: Form, values: &[Value], tables: Tables<'_>) -> Result<(), Wrong> {
        match form {
            F::Mode => self.mode = Some(read_mode(text(values)?)?),
            F::Version => {
                constant(text(values)?, &["3.0", "4.0"])?;
            }
            F::Structure => {
                let stated = text(values)?;
                self.structure = Some(stated.parse().map_err(|_| Wrong::found(stated))?);
            }
            F::Sector => self.sector = Some(read_sector(text(values)?, tables)?),
            F::SubjectName => self.name = Some(text(values)?.to_owned()),
            F::Roles => self.roles = read_roles(values, tables)?,
            F::Patient => self.patient = Some(read_patient(text(values)?, tables)?),
            F::Resource => constant(text(values)?, &["urn:dmp"])?,
            F::Purpose => self.purpose = Some(read_purpose(values)?),
            F::Visibility => {
                constant(text(values)?, &["INVISIBLE_REPRESENTANTS_LEGAUX"])?;
                self.visibility = Some(AccessVisibility::HiddenFromLegalRepresentatives);
            }
            F::SoftwareName => self.software_name = Some(text(values)?.to_owned()),
            F::SoftwareVersion => self.software_version = Some(text(values)?.to_owned()),
            F::SoftwareInstallation => self.installation = Some(text(values)?.to_owned()),
            F::Homologation => self.homologation = Some(read_homologation(text(values)?, tables)?),
        }
        Ok(())
    }

    fn finish(self, name_id: &str) -> Option<Statement> {
        Some(Statement {
            mode: self.mode?,
            subject: StatedSubject { id: name_id.to_owned(), name: self.name },
            structure: self.structure?,
            sector: self.sector,
            roles: self.roles,
            purpose: self.purpose?,
            patient: self.patient,
            visibility: self.visibility.unwrap_or(AccessVisibility::Ordinary),
            software: Some(Software {
                name: self.software_name?,
                version: self.software_version?,
                installation: self.installation,
                homologation: self.homologation?,
            }),
        })
    }
}

/// The one value, as text. A code in HL7 form counts as its text: J64 is sent both ways.
fn text(values: &[Value]) -> Result<&str, Wrong> {
    let text = match values {
        [Value::Text(text)] => text.as_str(),
        [Value::Coded(code)] => code.code.as_str(),
        [_, ..] => return Err(Wrong::found(format!("{} values", values.len()))),
        [] => "",
    };
    match text {
        "" => Err(Wrong::found("an empty value")),
        text if text.chars().count() > TEXT_CHARS_MAX => Err(Wrong::found("more than 256 characters")),
        text if text.contains(char::is_control) => Err(Wrong::found("control characters")),
        text => Ok(text),
    }
}

fn constant(stated: &str, allowed: &[&str]) -> Result<(), Wrong> {
    if allowed.contains(&stated) { Ok(()) } else { Err(Wrong::found(stated)) }
}

fn read_mode(stated: &str) -> Result<StatedMode, Wrong> {
    StatedMode::ALL.into_iter().find(|mode| mode.word() == stated).ok_or_else(|| Wrong::found(stated))
}

/// `SAnn^OID`.
fn read_sector(stated: &str, tables: Tables<'_>) -> Result<Code, Wrong> {
    let (code, system) = stated.split_once('^').ok_or_else(|| Wrong::found(stated))?;
    let sector = Code::new(system, code);
    if tables.terminology.contains(ValueSetName::HealthcareFacilityType, &sector, tables.on) {
        Ok(sector)
    } else {
        let set = tables.terminology.name_of(ValueSetName::HealthcareFacilityType);
        Err(Wrong::found(stated).but(format!("a code of {set} as SAnn^1.2.250.1.71.4.2.4")))
    }
}

/// C.3: profession of J65 first; doctors and pharmacists say their specialty or section, who is characterised by a
/// role (99) says the role.
fn read_roles(values: &[Value], tables: Tables<'_>) -> Result<Vec<Code>, Wrong> {
    let mut roles = Vec::new();
    for value in values {
        match value {
            Value::Coded(code) if !code.code.is_empty() && !code.system.is_empty() => roles.push(code.clone()),
            Value::Coded(_) => return Err(Wrong::found("a Role without code or codeSystem")),
            Value::Text(_) => return Err(Wrong::found("a text, no Role element of urn:hl7-org:v3")),
        }
    }
    let shown = |code: &Code| format!("{} of {}", code.code, code.system);
    let [first, others @ ..] = roles.as_slice() else { return Err(Wrong::found("nothing")) };
    if !tables.terminology.contains(ValueSetName::SubjectRole, first, tables.on) {
        let set = tables.terminology.name_of(ValueSetName::SubjectRole);
        let expected = format!("a profession of {set} as first value (pharmacien is 21, of {PROFESSION_SYSTEM})");
        return Err(Wrong::found(shown(first)).but(expected));
    }
    match (needed_second(first), others) {
        (_, [_, _, ..]) => {
            Err(Wrong::found(format!("{} values", roles.len())).but("a profession and one savoir-faire"))
        }
        (Some(expected), []) => Err(Wrong::found(format!("{} alone", shown(first))).but(expected)),
        (Some(_), [second]) if is_doctor(first) && second.system != SAVOIR_FAIRE_SYSTEM => {
            let expected = format!("a savoir-faire of {SAVOIR_FAIRE_SYSTEM} as second value of a médecin, e.g. SM26");
            Err(Wrong::found(shown(second)).but(expected))
        }
        _ => Ok(roles),
    }
}

fn is_doctor(profession: &Code) -> bool {
    profession.system == PROFESSION_SYSTEM && profession.code == "10"
}

fn needed_second(profession: &Code) -> Option<&'static str> {
    match (profession.system.as_str(), profession.code.as_str()) {
        (PROFESSION_SYSTEM, "10") => Some(
            "a second value: Aucune spécialité dans le vihf. Spécialité obligatoire pour les Médecins (R01, e.g. SM26)",
        ),
        (PROFESSION_SYSTEM, "21") => {
            Some("a second value: Aucune spécialité dans le vihf. Section obligatoire pour les Pharmaciens (G05)")
        }
        (OTHER_PROFESSION_SYSTEM, "99") => Some("a second value: the role (R85)"),
        _ => None,
    }
}

/// `NIR^^^&OID&ISO^NH`; a seventh component (a date) is tolerated (T-6). The value is never quoted whole.
fn read_patient(stated: &str, tables: Tables<'_>) -> Result<Ins, Wrong> {
    let components: Vec<&str> = stated.split('^').collect();
    let component = |at: usize| components.get(at).copied().unwrap_or_default();
    let (matricule, authority) = (component(0), component(3));
    let masked = format!("{}^^^{authority}", crate::domain::ins::mask(matricule));
    if component(4) != "NH" {
        return Err(Wrong::found(format!("{masked}, without the type NH")));
    }
    let is_date = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let others_are_empty = [1, 2, 5].into_iter().all(|at| component(at).is_empty());
    let oid = authority.strip_prefix('&').and_then(|rest| rest.strip_suffix("&ISO"));
    let Some(oid) = oid.filter(|_| others_are_empty && components.len() <= 7 && is_date(component(6))) else {
        return Err(Wrong::found(format!("{masked}^NH in another form")));
    };
    let ins =
        Ins::parse(matricule, oid).map_err(|error| Wrong::found(masked.as_str()).but(format!("an INS: {error}")))?;
    if tables.ins_domains.contains(&ins.authority().domain()) {
        Ok(ins)
    } else {
        Err(Wrong::found(masked).but("an INS of a domain that dmp.ins_domains accepts"))
    }
}

/// TRE_R248, under the OID of real messages or that of the published terminology (T-2).
fn read_purpose(values: &[Value]) -> Result<Purpose, Wrong> {
    let [Value::Coded(code)] = values else {
        return Err(Wrong::found("no PurposeOfUse element of urn:hl7-org:v3"));
    };
    let found = || Wrong::found(format!("{} of {}", code.code, code.system));
    if !PURPOSE_SYSTEMS.contains(&code.system.as_str()) {
        return Err(found());
    }
    match code.code.as_str() {
        "normal" => Ok(Purpose::Normal),
        // A VIHF has no place for the reason: `X-Access-Reason` may add it.
        "bris_de_glace" => Ok(Purpose::BrisDeGlace { reason: String::new() }),
        "centre_15" => Ok(Purpose::Centre15),
        _ => Err(found()),
    }
}

fn read_homologation(stated: &str, tables: Tables<'_>) -> Result<String, Wrong> {
    if tables.homologations.is_empty() || tables.homologations.iter().any(|known| known == stated) {
        return Ok(stated.to_owned());
    }
    let expected = "software that dmp.homologations lets in: ask the operator of this gateway";
    Err(Wrong { rule: Rule::VihfSoftware, ..Wrong::found(stated).but(expected) })
}

pub(super) const SUBJECT_ID: &str = "urn:oasis:names:tc:xspa:1.0:subject:subject-id";
pub(super) const ROLE: &str = "urn:oasis:names:tc:xacml:2.0:subject:role";
pub(super) const RESOURCE_ID: &str = "urn:oasis:names:tc:xacml:2.0:resource:resource-id";
pub(super) const PURPOSE: &str = "urn:oasis:names:tc:xspa:1.0:subject:purposeofuse";
pub(super) const CONFIDENTIALITY: &str = "urn:oasis:names:tc:xspa:1.0:resource:patient:hl7:confidentiality-code";
pub(super) const PURPOSE_SYSTEMS: [&str; 2] = ["1.2.250.1.213.1.1.4.248", "1.2.250.1.213.1.1.4.336"];
/// TRE_R291.
const OTHER_PROFESSION_SYSTEM: &str = "1.2.250.1.213.1.6.1.140";
const TEXT_CHARS_MAX: usize = 256;
