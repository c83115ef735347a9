//! What the claims of Pro Santé Connect say of a professional -> [`Statement`].
//!
//! Read as the provider publishes them: `SubjectRole` = `code^system`, `SubjectRefPro.exercices[]` with profession,
//! savoir-faire and `activities[]`, one activity a place of work. A structure goes by several ids there: its
//! Struct_IdNat (`ancienIdentifiantDeLaStructure`), the directory's technical id, FINESS numbers without type digit.
//! 2026-11-21: a professional of several activities who chose none at login has no `SubjectOrganizationID`; then the
//! activity at the structure that calls is meant, and only that one. Whether structure and certificate agree is
//! `caller`'s question. Source: B.4, C.3, C.4, T-22.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::domain::code::Code;
use crate::domain::ins;
use crate::domain::national_id::{PsIdNat, StructIdNat};
use crate::domain::value_set::{Terminology, ValueSetName};
use crate::identity::caller::Purpose;
use crate::identity::statement::{AccessVisibility, StatedMode, StatedSubject, Statement};
use crate::refusal::{Refusal, Rule};
use crate::tls::subject::{PROFESSION_SYSTEM, SAVOIR_FAIRE_SYSTEM};

/// Reads claims that are believed already.
///
/// Errors: `TokenClaim`, all of them, each with its claim.
pub(super) fn read(
    claims: &Map<String, Value>,
    calling: Option<&StructIdNat>,
    terminology: &Terminology,
    now: Timestamp,
) -> Result<Statement, Vec<Refusal>> {
    let practice = read_practice(claims);
    let id = read_id(claims);
    let purpose = read_purpose(claims);
    let (roles, structure) = match &practice {
        Ok(practice) => (read_roles(claims, practice, terminology, now), read_structure(claims, practice, calling)),
        Err(refusal) => (Err(refusal.clone()), Err(refusal.clone())),
    };
    match (id, purpose, roles, structure) {
        (Ok(id), Ok(purpose), Ok(roles), Ok((structure, sector))) => Ok(Statement {
            mode: StatedMode::IndirecteRenforcee,
            subject: StatedSubject { id: id.to_string(), name: name(claims) },
            structure,
            sector,
            roles,
            purpose,
            patient: None,
            visibility: AccessVisibility::Ordinary,
            software: None,
        }),
        (id, purpose, roles, structure) => {
            let broken = [id.err(), purpose.err(), roles.err(), structure.err()];
            let mut refusals: Vec<Refusal> = broken.into_iter().flatten().collect();
            refusals.dedup();
            Err(refusals)
        }
    }
}

fn read_id(claims: &Map<String, Value>) -> Result<PsIdNat, Refusal> {
    const CLAIM: &str = "SubjectNameID";
    let Some(id) = text(claims, CLAIM)? else {
        return Err(wrong(CLAIM, "nothing", "the PS_IdNat of the professional"));
    };
    id.parse().map_err(|_| {
        wrong(
            CLAIM,
            &ins::mask(id),
            "a PS_IdNat: a type digit and the number, e.g. 8 and the 11 digits of an RPPS number",
        )
    })
}

/// Prénom and nom, as the provider has them.
fn name(claims: &Map<String, Value>) -> Option<String> {
    let part = |claim| claims.get(claim).and_then(Value::as_str).map(str::trim).filter(|part| !part.is_empty());
    let parts: Vec<&str> = [part("given_name"), part("family_name")].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" ").chars().take(NAME_CHARS_MAX).collect())
}

/// Profession, then what the professional is known to master in it.
fn read_roles(
    claims: &Map<String, Value>,
    practice: &Practice,
    terminology: &Terminology,
    now: Timestamp,
) -> Result<Vec<Code>, Refusal> {
    let profession = read_profession(claims, practice, terminology, now)?;
    let mut roles = vec![profession];
    let of_profession = |exercise: &&Exercise| exercise.code_profession.as_deref() == Some(&roles[0].code);
    let exercises: Vec<&Exercise> = practice.exercices.iter().filter(of_profession).collect();
    for exercise in exercises {
        let sections =
            exercise.activities.iter().filter_map(|activity| filled(activity.code_section_pharmacien.as_ref()));
        let savoir_faire = filled(exercise.code_savoir_faire.as_ref()).map(|code| Code::new(SAVOIR_FAIRE_SYSTEM, code));
        let section = sections.map(|code| Code::new(SECTION_PHARMACIEN_SYSTEM, code));
        for code in savoir_faire.into_iter().chain(section) {
            if !roles.contains(&code) && roles.len() < ROLES_MAX {
                roles.push(code);
            }
        }
    }
    Ok(roles)
}

fn read_profession(
    claims: &Map<String, Value>,
    practice: &Practice,
    terminology: &Terminology,
    now: Timestamp,
) -> Result<Code, Refusal> {
    const CLAIM: &str = "SubjectRole";
    let stated = match claims.get(CLAIM) {
        None | Some(Value::Null) => None,
        Some(Value::String(one)) => Some(one.as_str()),
        Some(Value::Array(several)) => several.first().and_then(Value::as_str),
        Some(_) => {
            return Err(wrong(CLAIM, "something else than text", "[\"CODE^SYSTEM\"], e.g. 10^1.2.250.1.213.1.1.5.5"));
        }
    };
    let of_practice = || practice.exercices.iter().find_map(|exercise| filled(exercise.code_profession.as_ref()));
    let Some(stated) = stated.filter(|role| !role.is_empty()).or_else(of_practice) else {
        return Err(wrong(
            CLAIM,
            "nothing",
            "the profession, in SubjectRole or SubjectRefPro.exercices.codeProfession",
        ));
    };
    let (code, system) = stated.split_once('^').unwrap_or((stated, PSC_ROLE_SYSTEM));
    let today = now.to_zoned(TimeZone::UTC).date();
    let in_training = practice.exercices.iter().any(|exercise| {
        exercise.code_profession.as_deref() == Some(code)
            && exercise.code_categorie_professionnelle.as_deref() == Some(STUDENT)
    });
    let systems: &[&str] = match system {
        PSC_ROLE_SYSTEM if in_training => &[TRAINING_SYSTEM],
        PSC_ROLE_SYSTEM => &PROFESSION_SYSTEMS,
        other => &[other],
    };
    let member = systems
        .iter()
        .map(|system| Code::new(system, code))
        .find(|code| terminology.contains(ValueSetName::SubjectRole, code, today));
    let code = member.ok_or_else(|| {
        wrong(CLAIM, stated, &format!("a first value of {}", terminology.name_of(ValueSetName::SubjectRole)))
    })?;
    Ok(match terminology.display(ValueSetName::SubjectRole, &code) {
        Some(display) => code.with_display(display),
        None => code,
    })
}

/// Where the professional works as they ask, and in which sector.
fn read_structure(
    claims: &Map<String, Value>,
    practice: &Practice,
    calling: Option<&StructIdNat>,
) -> Result<(StructIdNat, Option<Code>), Refusal> {
    const CLAIM: &str = "SubjectOrganizationID";
    let activities = || practice.exercices.iter().flat_map(|exercise| &exercise.activities);
    let stated_sector = text(claims, "Secteur_Activite")?.map(sector);
    if let Some(stated) = text(claims, CLAIM)? {
        let activity = activities().find(|activity| activity.goes_by(stated));
        let structure = activity.and_then(Activity::structure).or_else(|| stated.parse().ok());
        let expected = "a Struct_IdNat, or the id of one of SubjectRefPro.exercices.activities";
        let structure = structure.ok_or_else(|| wrong(CLAIM, stated, expected))?;
        return Ok((structure, stated_sector.or_else(|| activity.and_then(Activity::sector))));
    }
    let Some(calling) = calling else {
        return Err(wrong(CLAIM, "nothing", "the structure in which the professional asks"));
    };
    let here = activities().find(|activity| activity.goes_by(calling.as_str()));
    let structure = here.and_then(Activity::structure).ok_or_else(|| {
        let known: Vec<String> =
            activities().filter_map(Activity::structure).map(|id| id.to_string()).take(SHOWN).collect();
        let found = if known.is_empty() {
            "nothing, and no activity".to_owned()
        } else {
            format!("nothing, and activities at {}", known.join(", "))
        };
        wrong(CLAIM, &found, &format!("an activity at {calling}, the structure of the client certificate"))
    })?;
    Ok((structure, here.and_then(Activity::sector)))
}

/// `Mode_Acces_Raison`, a code of TRE_R248, and `Acces_Regulation_Medicale`, by which a centre 15 is known.
///
/// A text that is none of these opens nothing: a right to break the glass is never guessed.
fn read_purpose(claims: &Map<String, Value>) -> Result<Purpose, Refusal> {
    const CLAIM: &str = "Mode_Acces_Raison";
    let regulation = match text(claims, "Acces_Regulation_Medicale")? {
        None | Some("FAUX") => false,
        Some("VRAI") => true,
        Some(other) => return Err(wrong("Acces_Regulation_Medicale", other, "VRAI or FAUX")),
    };
    let stated = text(claims, CLAIM)?.unwrap_or_default();
    match (stated.split_once(':').map_or((stated, ""), |(code, reason)| (code.trim(), reason.trim())), regulation) {
        (("" | "centre_15", ""), true) | (("centre_15", ""), false) => Ok(Purpose::Centre15),
        (("" | "normal", ""), false) => Ok(Purpose::Normal),
        (("bris_de_glace", ""), false) => Err(wrong(CLAIM, stated, "`bris_de_glace: ` and the reason, in words")),
        (("bris_de_glace", reason), false) => {
            Ok(Purpose::BrisDeGlace { reason: reason.chars().take(REASON_CHARS_MAX).collect() })
        }
        (_, true) => Err(wrong(
            CLAIM,
            "another purpose than Acces_Regulation_Medicale, which says VRAI",
            "centre_15, or nothing",
        )),
        // What it says may be a reason, with a patient in it.
        (_, false) => {
            Err(wrong(CLAIM, "another text", "nothing, normal, centre_15, or `bris_de_glace: ` and the reason"))
        }
    }
}

fn read_practice(claims: &Map<String, Value>) -> Result<Practice, Refusal> {
    match claims.get("SubjectRefPro") {
        None | Some(Value::Null) => Ok(Practice::default()),
        Some(value) => Practice::deserialize(value).map_err(|_| {
            wrong(
                "SubjectRefPro",
                "something else",
                "{ exercices: [{ codeProfession, codeSavoirFaire, activities: […] }] }",
            )
        }),
    }
}

/// A claim of text; empty is absent, as the provider fills what it does not know with "".
fn text<'a>(claims: &'a Map<String, Value>, claim: &str) -> Result<Option<&'a str>, Refusal> {
    match claims.get(claim) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(_) => Err(wrong(claim, "something else than text", "text")),
    }
}

fn filled(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty() && text.len() <= CODE_CHARS_MAX)
}

/// `SA07^1.2.250.1.71.4.2.4`.
fn sector(stated: &str) -> Code {
    let (code, system) = stated.split_once('^').unwrap_or((stated, SECTOR_SYSTEM));
    Code::new(system, code)
}

fn wrong(claim: &str, found: &str, expected: &str) -> Refusal {
    Refusal::new(Rule::TokenClaim, format!("token, claim {claim}"), found, expected)
}

/// `SubjectRefPro`: only what is looked at.
#[derive(Debug, Default, Deserialize)]
struct Practice {
    #[serde(default)]
    exercices: Vec<Exercise>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exercise {
    code_profession: Option<String>,
    /// C civil, M military, E student.
    code_categorie_professionnelle: Option<String>,
    code_savoir_faire: Option<String>,
    #[serde(default)]
    activities: Vec<Activity>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Activity {
    code_secteur_dactivite: Option<String>,
    code_section_pharmacien: Option<String>,
    numero_siret_site: Option<String>,
    numero_siren_site: Option<String>,
    numero_finess_site: Option<String>,
    #[serde(rename = "numeroFinessetablissementJuridique")]
    numero_finess_etablissement_juridique: Option<String>,
    identifiant_technique_de_la_structure: Option<String>,
    ancien_identifiant_de_la_structure: Option<String>,
}

impl Activity {
    /// The Struct_IdNat of the place, its type digit put before a bare number.
    fn structure(&self) -> Option<StructIdNat> {
        let typed = |digit: char, number: &Option<String>| Some(format!("{digit}{}", filled(number.as_ref())?));
        let candidates = [
            filled(self.ancien_identifiant_de_la_structure.as_ref()).map(str::to_owned),
            typed('1', &self.numero_finess_site),
            typed('3', &self.numero_siret_site),
            typed('2', &self.numero_siren_site),
            filled(self.identifiant_technique_de_la_structure.as_ref()).map(str::to_owned),
        ];
        candidates.into_iter().flatten().find_map(|id| id.parse().ok())
    }

    /// Whether `id` names this place, or the legal entity that it belongs to (T-22).
    fn goes_by(&self, id: &str) -> bool {
        let is = |known: &Option<String>| filled(known.as_ref()) == Some(id);
        let typed = |digit: char, known: &Option<String>| {
            filled(known.as_ref()).is_some() && id.strip_prefix(digit) == filled(known.as_ref())
        };
        is(&self.ancien_identifiant_de_la_structure)
            || is(&self.identifiant_technique_de_la_structure)
            || is(&self.numero_finess_site)
            || typed('1', &self.numero_finess_site)
            || typed('1', &self.numero_finess_etablissement_juridique)
            || typed('3', &self.numero_siret_site)
            || typed('2', &self.numero_siren_site)
    }

    fn sector(&self) -> Option<Code> {
        filled(self.code_secteur_dactivite.as_ref()).map(sector)
    }
}

/// What the provider writes for the system of any profession.
const PSC_ROLE_SYSTEM: &str = "1.2.250.1.213.1.1.5.5";
/// TRE_G15, R95, R94, R291: in none of them does a code mean what it means in another.
const PROFESSION_SYSTEMS: [&str; 4] =
    [PROFESSION_SYSTEM, "1.2.250.1.213.1.6.1.109", "1.2.250.1.213.1.6.1.4", "1.2.250.1.213.1.6.1.140"];
/// TRE_G16.
const TRAINING_SYSTEM: &str = "1.2.250.1.71.1.2.8";
const STUDENT: &str = "E";
/// TRE_G05.
const SECTION_PHARMACIEN_SYSTEM: &str = "1.2.250.1.71.4.2.6";
/// TRE_R02.
const SECTOR_SYSTEM: &str = "1.2.250.1.71.4.2.4";

const NAME_CHARS_MAX: usize = 200;
const REASON_CHARS_MAX: usize = 500;
const CODE_CHARS_MAX: usize = 64;
const ROLES_MAX: usize = 32;
const SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_now(claims: &Value, calling: Option<&str>) -> Result<Statement, Vec<Refusal>> {
        let calling = calling.map(|id| id.parse().unwrap());
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        read(claims.as_object().unwrap(), calling.as_ref(), &Terminology::load().unwrap(), now)
    }

    /// As the provider's own test environment shapes it: a pharmacist with two places of work.
    fn pharmacist() -> Value {
        json!({
            "SubjectNameID": "899700000024", "given_name": "Anne", "family_name": "TEST",
            "SubjectRole": ["21^1.2.250.1.213.1.1.5.5"], "SubjectOrganizationID": "R10001",
            "Secteur_Activite": "SA33^1.2.250.1.71.4.2.4", "Mode_Acces_Raison": "",
            "SubjectRefPro": { "exercices": [{
                "codeProfession": "21", "codeCategorieProfessionnelle": "C", "codeSavoirFaire": "",
                "activities": [
                    { "codeSecteurDactivite": "SA33", "codeSectionPharmacien": "A", "numeroFinessSite": "",
                      "identifiantTechniqueDeLaStructure": "R10001", "ancienIdentifiantDeLaStructure": "499700000024007" },
                    { "codeSecteurDactivite": "SA01", "codeSectionPharmacien": "H", "numeroFinessSite": "0B0172805",
                      "numeroFinessetablissementJuridique": "1B0062023",
                      "identifiantTechniqueDeLaStructure": "F0B0172805", "ancienIdentifiantDeLaStructure": "10B0172805" },
                ] }] },
        })
    }

    #[test]
    fn a_technical_id_becomes_the_struct_id_nat_of_its_activity() {
        let statement = read_now(&pharmacist(), None).unwrap();
        assert_eq!(statement.structure.as_str(), "499700000024007");
        let roles: Vec<(&str, &str)> =
            statement.roles.iter().map(|role| (role.system.as_str(), role.code.as_str())).collect();
        let expected = [(PROFESSION_SYSTEM, "21"), (SECTION_PHARMACIEN_SYSTEM, "A"), (SECTION_PHARMACIEN_SYSTEM, "H")];
        assert_eq!(roles, expected);
        assert_eq!(statement.roles[0].display.as_deref(), Some("Pharmacien"));
    }

    #[test]
    fn who_chose_no_structure_works_where_the_call_comes_from() {
        let mut claims = pharmacist();
        claims["SubjectOrganizationID"] = "".into();
        claims["Secteur_Activite"] = "".into();
        for calling in ["10B0172805", "11B0062023"] {
            let statement = read_now(&claims, Some(calling)).unwrap();
            assert_eq!(statement.structure.as_str(), "10B0172805", "the site, whether it or its legal entity calls");
            assert_eq!(statement.sector.unwrap().code, "SA01");
        }
        let refusals = read_now(&claims, Some("1350000899")).unwrap_err();
        let (found, expected) = (&refusals[0].found, &refusals[0].expected);
        assert!(found.contains("10B0172805") && expected.contains("1350000899"), "{}", refusals[0]);
        assert_eq!(read_now(&claims, None).unwrap_err().len(), 1);
    }

    #[test]
    fn all_that_is_missing_is_told_at_once() {
        let places: Vec<String> =
            read_now(&json!({}), None).unwrap_err().into_iter().map(|refusal| refusal.place).collect();
        let claims = ["SubjectNameID", "SubjectRole", "SubjectOrganizationID"];
        assert_eq!(places, claims.map(|claim| format!("token, claim {claim}")));
    }

    #[test]
    fn a_profession_is_one_of_its_own_table() {
        for (role, system) in [
            ("60^1.2.250.1.213.1.1.5.5", PROFESSION_SYSTEM),
            ("93^1.2.250.1.213.1.1.5.5", "1.2.250.1.213.1.6.1.109"),
            ("10^1.2.250.1.71.1.2.7", PROFESSION_SYSTEM),
            ("10", PROFESSION_SYSTEM),
        ] {
            let mut claims = pharmacist();
            claims["SubjectRole"] = json!(role);
            assert_eq!(read_now(&claims, None).unwrap().roles[0].system, system, "{role}");
        }
        for role in ["20^1.2.250.1.213.1.1.5.5", "10^1.2.3", "^", "médecin"] {
            let mut claims = pharmacist();
            claims["SubjectRole"] = json!([role]);
            assert_eq!(read_now(&claims, None).unwrap_err()[0].place, "token, claim SubjectRole", "{role}");
        }
    }

    proptest! {
        #[test]
        fn any_value_of_any_claim_is_read_or_refused(
            claim in "SubjectNameID|SubjectRole|SubjectOrganizationID|SubjectRefPro|Mode_Acces_Raison|Secteur_Activite",
            text in "\\PC*",
        ) {
            for value in [json!(text), json!([text]), json!({ "exercices": text }), json!(1), Value::Null] {
                let mut claims = pharmacist();
                claims[&claim] = value;
                let _ = read_now(&claims, Some("1350000899"));
            }
        }
    }
}
