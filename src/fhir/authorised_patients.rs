//! TD0.4: `GET /Patient?_has:Consent:patient:actor=…`: the patients who let the caller in.
//!
//! No guide says how in FHIR (domain E.2); reverse chaining is how FHIR asks for the patients of whom a Consent names
//! somebody. That somebody is the caller: of others nobody is told.

use http::request::Parts;
use jiff::Timestamp;

use super::answer::{Answer, Handled};
use super::existence::refuse_parameters;
use super::face::Face;
use super::iti67::{number, page_links};
use super::query::{Query, time_criterion, token, value_refused};
use super::resource::bundle::{Bundle, Entry};
use super::resource::patient;
use crate::clock::new_uuid;
use crate::domain::criteria::{Page, TimeCriterion};
use crate::domain::national_id::{PS_ID_NAT_OID, STRUCT_ID_NAT_OID};
use crate::identity::caller::{Caller, CallerId};
use crate::refusal::{Failure, Refusal, Rule};

/// Whether a search for patients is this one: TD0.2 names one.
pub(super) fn is_meant(parts: &Parts) -> bool {
    Query::read(parts.uri.query(), b"").is_ok_and(|query| query.0.iter().any(|(name, _)| name.starts_with("_has:")))
}

pub(super) async fn search(face: &Face, caller: &Caller, parts: &Parts) -> Handled {
    let query = refuse_parameters(parts, &KNOWN)?;
    let (since, page) = read(&query, caller, face.surroundings().page_max)?;
    let listed = face.gateway.list_dossiers(caller, since, page).await?.disclose();
    let base = face.writing().base;
    let kept: Vec<_> = query.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let kept: Vec<_> = kept.into_iter().filter(|(name, _)| *name != PAGE).collect();
    let bundle = Bundle {
        id: new_uuid().to_string(),
        meta: None,
        kind: "searchset",
        timestamp: face.now().to_string(),
        total: Some(listed.total),
        link: page_links(&format!("{base}/Patient"), &kept, page, listed.total),
        entry: listed
            .page
            .iter()
            // A patient has no id of ours, so the entry is named for this answer only.
            .map(|one| Entry::matching(format!("urn:uuid:{}", new_uuid()), patient::write_authorised(one)))
            .collect(),
    };
    Ok(Answer::resource(&bundle)?)
}

fn read(query: &Query, caller: &Caller, page_max: u32) -> Result<(Option<Timestamp>, Page), Failure> {
    let mut page = Page::default();
    page.size = page.size.min(page_max);
    let (mut since, mut names_caller) = (None, false);
    for (name, value) in &query.0 {
        let place = format!("parameter {name}");
        match name.as_str() {
            DATE => since = Some(read_since(&place, value)?),
            COUNT => page.size = u32::try_from(number(&place, value)?).unwrap_or(u32::MAX).min(page_max),
            PAGE => page.offset = number(&place, value)?,
            name if ACTOR.contains(&name) => {
                check_actor(&place, value, caller)?;
                names_caller = true;
            }
            _ => {}
        }
    }
    if names_caller {
        return Ok((since, page));
    }
    let expected = "urn:oid:OID|national identifier of the caller";
    Err(Refusal::new(Rule::ParameterMissing, format!("parameter {}", ACTOR[0]), "nothing", expected).into())
}

fn read_since(place: &str, value: &str) -> Result<Timestamp, Refusal> {
    match time_criterion(place, value)? {
        TimeCriterion::AtOrAfter(since) => Ok(since),
        _ => Err(value_refused(place, value, "ge or gt and a date")),
    }
}

fn check_actor(place: &str, value: &str, caller: &Caller) -> Result<(), Refusal> {
    let asked = token(place, value)?;
    let id = caller.id();
    let oid = match id {
        CallerId::Professional(_) => PS_ID_NAT_OID,
        CallerId::Structure(_) | CallerId::Operator => STRUCT_ID_NAT_OID,
    };
    let system = asked.system.as_deref().unwrap_or_default();
    if system.strip_prefix("urn:oid:").unwrap_or(system) == oid && asked.value == id.number() {
        return Ok(());
    }
    let expected = format!("urn:oid:{oid}|{}: the caller's own authorisations", id.number());
    Err(Refusal::new(Rule::ModeRefused, place, "somebody else", expected))
}

const ACTOR: [&str; 3] =
    ["_has:Consent:patient:actor", "_has:Consent:patient:actor:identifier", "_has:Consent:patient:actor.identifier"];
const DATE: &str = "_has:Consent:patient:date";
const COUNT: &str = "_count";
const PAGE: &str = "_page";
const KNOWN: [&str; 6] = [ACTOR[0], ACTOR[1], ACTOR[2], DATE, COUNT, PAGE];
