//! ITI-81 Retrieve ATNA Audit Event: `GET /AuditEvent`, `POST /AuditEvent/_search`: the journal, by the rights of F.2.
//!
//! The holder and the médecin traitant read what everybody did with a record, every other caller what they did
//! themselves; a professional may leave out the patient and read their own traces of the last year.

use axum::body::Body;
use http::request::Parts;
use jiff::Timestamp;

use super::answer::{Answer, Handled};
use super::face::{Face, logical_id};
use super::iti67::{Surroundings, number, one_of, page_links, read_query, set_once, values};
use super::parameter::unknown;
use super::query::{Query, alternatives, patient, time_criterion, token, value_refused};
use super::resource::audit_event::{actions_of, write};
use super::resource::bundle::{Bundle, Entry};
use crate::clock::new_uuid;
use crate::domain::ids::LogicalId;
use crate::identity::caller::Caller;
use crate::operation::criteria::Direction;
use crate::operation::trace::TraceCriteria;
use crate::refusal::{Failure, Refusal, Rule};

/// Name, FHIR type (none where it shapes the answer), what it is, and other spellings.
pub type TraceParameter = (&'static str, Option<&'static str>, &'static str, &'static [&'static str]);

/// Every parameter; those with a type are told in the CapabilityStatement.
pub const PARAMETERS: &[TraceParameter] = &[
    (
        PATIENT,
        Some("token"),
        "INS with the OID that assigned it",
        &["patient:identifier", "patient:Patient.identifier"],
    ),
    ("date", Some("date"), "when it was done", &[]),
    ("agent.identifier", Some("token"), "national identifier of who acted", &["agent:identifier"]),
    ("entity", Some("reference"), "DocumentReference/ID of a document that is named", &[]),
    ("action", Some("token"), "C, R, U, D or E", &[]),
    ("_sort", None, "date, descending with a minus in front", &[]),
    ("_count", None, "entries a page; 0 gives the total alone", &[]),
    ("_page", None, "as the links next and previous give it", &[]),
    (BEFORE, None, "as the links give it: what came later is left out, so that pages stay as they are", &[]),
    ("_total", None, "none, estimate or accurate: always accurate", &[]),
    ("_summary", None, "false, or count", &[]),
    ("_format", None, "json or xml", &[]),
];

pub async fn search(face: &Face, caller: &Caller, parts: &Parts, body: Body) -> Handled {
    let query = read_query(parts, body).await?;
    let criteria = read(&query, face.surroundings())?;
    let outcome = face.gateway.read_journal(caller, &criteria).await?.disclose();
    let writing = face.writing();
    let before = outcome.before.to_string();
    let shapes_the_page = |name: &str| ["_page", BEFORE].contains(&name);
    let kept = query.0.iter().filter(|(name, _)| !shapes_the_page(name));
    let kept = kept.map(|(name, value)| (name.as_str(), value.as_str())).chain([(BEFORE, before.as_str())]);
    let kept: Vec<_> = kept.collect();
    let bundle = Bundle {
        id: new_uuid().to_string(),
        meta: None,
        kind: "searchset",
        timestamp: face.now().to_string(),
        total: Some(outcome.total),
        link: page_links(&format!("{}/AuditEvent", writing.base), &kept, criteria.page, outcome.total),
        entry: outcome
            .traces
            .iter()
            .map(|trace| Entry::matching(format!("urn:uuid:{}", trace.id), write(writing, trace)))
            .collect(),
    };
    Ok(Answer::resource(&bundle)?)
}

/// Reads every parameter, or says of each one what is wrong with it.
pub fn read(query: &Query, surroundings: Surroundings<'_>) -> Result<TraceCriteria, Failure> {
    let mut criteria = TraceCriteria::default();
    criteria.page.size = criteria.page.size.min(surroundings.page_max);
    let mut refusals = Vec::new();
    for (name, value) in &query.0 {
        let place = format!("parameter {name}");
        refusals.extend(read_one(&mut criteria, name, &place, value, surroundings).err());
    }
    if query.first("_summary") == Some("count") {
        criteria.page.size = 0;
    }
    if refusals.is_empty() { Ok(criteria) } else { Err(Failure::Refused(refusals)) }
}

fn read_one(
    criteria: &mut TraceCriteria,
    name: &str,
    place: &str,
    value: &str,
    surroundings: Surroundings<'_>,
) -> Result<(), Refusal> {
    let known = PARAMETERS.iter().find(|(known, _, _, aliases)| *known == name || aliases.contains(&name));
    match known.map(|(known, ..)| *known) {
        Some(PATIENT) => match criteria.patient.replace(patient(place, value, surroundings.ins_domains)?) {
            None => Ok(()),
            Some(_) => Err(Refusal::new(Rule::ParameterValue, place, "the parameter twice", "one patient")),
        },
        Some("date") => time_criterion(place, value).map(|bound| criteria.dates.push(bound)),
        Some("agent.identifier") => set_once(&mut criteria.agents, values(place, value)?, place),
        Some("entity") => set_once(&mut criteria.documents, documents(place, value)?, place),
        Some("action") => set_once(&mut criteria.actions, actions(place, value)?, place),
        Some("_sort") => {
            criteria.direction = match value {
                "date" => Direction::Ascending,
                "-date" => Direction::Descending,
                other => return Err(value_refused(place, other, "date or -date")),
            };
            Ok(())
        }
        Some("_count") => number(place, value).map(|size| {
            criteria.page.size = u32::try_from(size).unwrap_or(u32::MAX).min(surroundings.page_max);
        }),
        Some("_page") => number(place, value).map(|offset| criteria.page.offset = offset),
        Some(BEFORE) => {
            let instant: Timestamp =
                value.parse().map_err(|_| value_refused(place, value, "the instant of a link of ours"))?;
            criteria.before = Some(instant);
            Ok(())
        }
        Some("_total") => one_of(place, value, &["accurate", "estimate", "none"]),
        Some("_summary") => one_of(place, value, &["false", "count"]),
        Some("_format") => Ok(()),
        _ => Err(unknown(name, PARAMETERS.iter().map(|(known, ..)| *known))),
    }
}

fn documents(place: &str, value: &str) -> Result<Vec<LogicalId>, Refusal> {
    let read = |text: &str| {
        // An id that is none of ours names nothing: no document has the nil UUID.
        let id =
            text.strip_prefix("DocumentReference/").map(|id| logical_id(id).unwrap_or(LogicalId(uuid::Uuid::nil())));
        id.ok_or_else(|| value_refused(place, text, "DocumentReference/ID"))
    };
    alternatives(place, value)?.into_iter().map(read).collect()
}

/// Words of the journal; an action that nothing here is (`D`) finds nothing.
fn actions(place: &str, value: &str) -> Result<Vec<String>, Refusal> {
    let mut words = Vec::new();
    for text in alternatives(place, value)? {
        let code = token(place, text)?.value;
        let actions = actions_of(&code).ok_or_else(|| value_refused(place, &code, "C, R, U, D or E"))?;
        words.extend(actions.into_iter().map(|action| action.code().to_owned()));
    }
    Ok(if words.is_empty() { vec![NO_ACTION.to_owned()] } else { words })
}

const PATIENT: &str = "patient.identifier";
const BEFORE: &str = "_before";
/// No line has it.
const NO_ACTION: &str = "none";
