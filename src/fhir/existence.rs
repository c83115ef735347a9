//! TD0.2: `GET /Patient?identifier=system|value`: whether a patient has a record. No entry: they have none.

use http::request::Parts;

use super::answer::{Answer, Handled};
use super::authorised_patients;
use super::face::{Face, id_in_path};
use super::parameter::unknown;
use super::query::{self, Query};
use super::resource::bundle::{Bundle, Entry, Link};
use super::resource::patient;
use crate::clock::new_uuid;
use crate::domain::ids::LogicalId;
use crate::domain::ins::Ins;
use crate::identity::caller::Caller;
use crate::refusal::{Failure, Refusal, Rule};

pub async fn search(face: &Face, caller: &Caller, parts: &Parts) -> Handled {
    if authorised_patients::is_meant(parts) {
        return authorised_patients::search(face, caller, parts).await;
    }
    let ins = only_patient(face, parts, "identifier", &[])?;
    let existence = face.gateway.existence(caller, &ins).await?.disclose();
    let entries: Vec<_> = existence.iter().collect();
    let base = face.writing().base;
    let bundle = Bundle {
        id: new_uuid().to_string(),
        meta: None,
        kind: "searchset",
        timestamp: face.now().to_string(),
        total: Some(entries.len() as u64),
        link: vec![Link { relation: "self", url: format!("{base}/Patient?{}", parts.uri.query().unwrap_or_default()) }],
        entry: entries
            .into_iter()
            // The patient has no id of ours, so the entry is named for this answer only.
            .map(|existence| Entry::matching(format!("urn:uuid:{}", new_uuid()), patient::write(existence)))
            .collect(),
    };
    Ok(Answer::resource(&bundle)?)
}

/// The INS of the one parameter that a request must have, under `name` or one of its aliases.
pub fn only_patient(face: &Face, parts: &Parts, name: &'static str, aliases: &[&'static str]) -> Result<Ins, Failure> {
    let mut names = vec![name];
    names.extend(aliases);
    let query = refuse_parameters(parts, &names)?;
    let mut values = query.0.iter().filter(|(known, _)| known != FORMAT).map(|(_, value)| value);
    let place = format!("parameter {name}");
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(query::patient(&place, value, face.surroundings().ins_domains)?),
        (Some(_), Some(_)) => {
            Err(Refusal::new(Rule::ParameterValue, place, "the parameter twice", "one patient").into())
        }
        (None, _) => {
            Err(Refusal::new(Rule::ParameterMissing, place, "nothing", "urn:oid:OID|INS of the patient").into())
        }
    }
}

/// The id of a route that knows no parameters.
pub fn id_alone(parts: &Parts) -> Result<LogicalId, Failure> {
    refuse_parameters(parts, &[])?;
    id_in_path(parts)
}

/// The query of a route that knows few parameters. Errors: `UnknownParameter` for any other.
pub fn refuse_parameters(parts: &Parts, known: &[&'static str]) -> Result<Query, Refusal> {
    let query = Query::read(parts.uri.query(), b"")?;
    match query.0.iter().find(|(name, _)| name != FORMAT && !known.contains(&name.as_str())) {
        Some((name, _)) => Err(unknown(name, known.iter().copied().chain([FORMAT]))),
        None => Ok(query),
    }
}

const FORMAT: &str = "_format";
