//! ITI-67 Find Document References (TD3.1a, TD3.1b): `GET /DocumentReference`, `POST /DocumentReference/_search`.
//!
//! A parameter that is repeated means "and". Where a document has one value only, the alternatives in
//! common are searched; where it has several, the repetition is refused, for [`Criteria`] cannot say it.
//! Source: MHD 3.67, PDSm 3.1.1, domain E.5.

use axum::body::Body;
use bytes::Bytes;
use http::Method;
use http::request::Parts;
use uuid::Uuid;

use super::answer::{Answer, Handled};
use super::body::read_whole;
use super::face::Face;
use super::negotiate::require_form;
use super::parameter::{Field, Parameter, find};
use super::query::{Query, alternatives, patient, time_criterion, token, unescape, value_refused};
use super::resource::Writing;
use super::resource::bundle::{Bundle, Entry, FIND_RESPONSE_PROFILE, Link, meta_of};
use super::resource::document_reference::{self, DocumentReference};
use crate::clock::new_uuid;
use crate::config::InsDomain;
use crate::domain::ids::{LogicalId, UniqueId};
use crate::domain::status::AvailabilityStatus;
use crate::domain::value_set::Terminology;
use crate::identity::caller::Caller;
use crate::operation::criteria::{CodeCriterion, Criteria, Direction, Page, SortKey};
use crate::operation::outcome::SearchOutcome;
use crate::refusal::{Failure, Refusal, Rule};

/// What reading needs to know of the deployment.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    pub terminology: &'a Terminology,
    pub ins_domains: &'a [InsDomain],
    pub page_max: u32,
}

pub async fn search(face: &Face, caller: &Caller, parts: &Parts, body: Body) -> Handled {
    let read = read_request(face, parts, body).await;
    let (query, criteria) = read?;
    let outcome = face.gateway.search(caller, &criteria).await?.disclose();
    let bundle = write(face.writing(), &query, &criteria, &outcome, face.now());
    Ok(Answer::resource(&bundle)?)
}

async fn read_request(face: &Face, parts: &Parts, body: Body) -> Result<(Query, Criteria), Failure> {
    let query = read_query(parts, body).await?;
    let criteria = read(&query, face.surroundings())?;
    Ok((query, criteria))
}

/// The parameters of a search, of its URL and of its form alike.
pub(super) async fn read_query(parts: &Parts, body: Body) -> Result<Query, Failure> {
    let form = if parts.method == Method::POST {
        require_form(&parts.headers)?;
        read_whole(body, FORM_BYTES_MAX).await?
    } else {
        Bytes::new()
    };
    Ok(Query::read(parts.uri.query(), &form)?)
}

/// Reads every parameter, or says of each one what is wrong with it.
pub fn read(query: &Query, surroundings: Surroundings<'_>) -> Result<Criteria, Failure> {
    let mut criteria = Criteria::default();
    criteria.page.size = criteria.page.size.min(surroundings.page_max);
    let mut archived = None;
    let mut refusals = Vec::new();
    for (name, value) in &query.0 {
        let read = find(name).and_then(|parameter| {
            // As the sender spelled it: the name is one of our table.
            let place = format!("parameter {name}");
            if parameter.field == Field::IsArchived {
                archived = Some(boolean(&place, value)?);
                return Ok(());
            }
            read_one(&mut criteria, parameter, &place, value, surroundings)
        });
        refusals.extend(read.err());
    }
    if query.first("_summary") == Some("count") {
        criteria.page.size = 0;
    }
    refusals.extend(archived.and_then(|archived| keep_archived(&mut criteria.statuses, archived).err()));
    if refusals.is_empty() && !criteria.is_anchored() {
        let expected = "patient.identifier, or one identifier or _id alone: nobody searches several records at once";
        refusals.push(Refusal::new(Rule::ParameterMissing, "parameter patient.identifier", "nothing", expected));
    }
    if refusals.is_empty() { Ok(criteria) } else { Err(Failure::Refused(refusals)) }
}

fn read_one(
    criteria: &mut Criteria,
    parameter: &Parameter,
    place: &str,
    value: &str,
    surroundings: Surroundings<'_>,
) -> Result<(), Refusal> {
    let codes = || code_criteria(place, value, surroundings.terminology);
    match parameter.field {
        Field::Patient => {
            let ins = patient(place, value, surroundings.ins_domains)?;
            match criteria.patient.replace(ins) {
                Some(earlier) if Some(&earlier) != criteria.patient.as_ref() => Err(no_common(place)),
                _ => Ok(()),
            }
        }
        Field::Identifier => set_once(&mut criteria.identifiers, identifiers(place, value)?, place),
        Field::Id => narrow(&mut criteria.logical_ids, logical_ids(place, value)?, place),
        Field::Status => narrow(&mut criteria.statuses, statuses(place, value)?, place),
        Field::Type => narrow_codes(&mut criteria.types, &codes()?, place),
        Field::Category => narrow_codes(&mut criteria.classes, &codes()?, place),
        Field::Format => narrow_codes(&mut criteria.formats, &codes()?, place),
        Field::Facility => narrow_codes(&mut criteria.facilities, &codes()?, place),
        Field::Setting => narrow_codes(&mut criteria.settings, &codes()?, place),
        Field::Event => set_once(&mut criteria.events, codes()?, place),
        Field::SecurityLabel => set_once(&mut criteria.labels, codes()?, place),
        Field::AuthorIdentifier => set_once(&mut criteria.author_ids, values(place, value)?, place),
        Field::AuthorFamily => set_once(&mut criteria.author_families, strings(place, value)?, place),
        Field::AuthorGiven => set_once(&mut criteria.author_givens, strings(place, value)?, place),
        Field::Related => set_once(&mut criteria.reference_ids, values(place, value)?, place),
        Field::Creation => time_criterion(place, value).map(|bound| criteria.creation.push(bound)),
        Field::Period => time_criterion(place, value).map(|bound| criteria.period.push(bound)),
        Field::PeriodStart => time_criterion(place, value).map(|bound| criteria.service_start.push(bound)),
        Field::PeriodEnd => time_criterion(place, value).map(|bound| criteria.service_stop.push(bound)),
        Field::LastUpdated => time_criterion(place, value).map(|bound| criteria.registered.push(bound)),
        Field::Sort => set_once(&mut criteria.sort, sort_keys(place, value)?, place),
        Field::Count => number(place, value).map(|size| {
            // More than the server gives is no error: a page may be smaller than asked (search.html#count).
            criteria.page.size = u32::try_from(size).unwrap_or(u32::MAX).min(surroundings.page_max);
        }),
        Field::Page => number(place, value).map(|offset| criteria.page.offset = offset),
        Field::Total => one_of(place, value, &["accurate", "estimate", "none"]),
        Field::Summary => one_of(place, value, &["false", "count"]),
        // Read before, where the format of the answer is settled; and together with the statuses.
        Field::AnswerFormat | Field::IsArchived => Ok(()),
    }
}

/// The answer: what was found, how much there is, how to go on.
pub fn write<'a>(
    writing: Writing<'a>,
    query: &Query,
    criteria: &Criteria,
    outcome: &'a SearchOutcome,
    now: jiff::Timestamp,
) -> Bundle<DocumentReference<'a>> {
    let full_url = |id: LogicalId| format!("{}/DocumentReference/{id}", writing.base);
    let entries = outcome.entries.iter();
    Bundle {
        id: new_uuid().to_string(),
        meta: Some(meta_of(FIND_RESPONSE_PROFILE)),
        kind: "searchset",
        timestamp: now.to_string(),
        total: Some(outcome.total),
        link: links(writing.base, query, criteria.page, outcome.total),
        entry: entries
            .map(|entry| Entry::matching(full_url(entry.logical_id), document_reference::write(writing, entry)))
            .collect(),
    }
}

fn links(base: &str, query: &Query, page: Page, total: u64) -> Vec<Link> {
    let is_page = |name: &str| find(name).is_ok_and(|parameter| parameter.field == Field::Page);
    let kept = query.0.iter().filter(|(name, _)| !is_page(name)).map(|(name, value)| (name.as_str(), value.as_str()));
    page_links(&format!("{base}/DocumentReference"), &kept.collect::<Vec<_>>(), page, total)
}

/// Links repeat the parameters as they were sent, so that a page stands alone. They hold the INS, for that
/// is what a search by URL holds; nothing of them is logged here.
pub(super) fn page_links(url: &str, parameters: &[(&str, &str)], page: Page, total: u64) -> Vec<Link> {
    let url_of = |offset: u64| {
        let page = offset.to_string();
        let page = (offset > 0).then_some(("_page", page.as_str()));
        format!("{url}?{}", Query::to_url(parameters.iter().copied().chain(page)))
    };
    let (size, offset) = (u64::from(page.size), page.offset);
    let mut links = vec![Link { relation: "self", url: url_of(offset) }];
    if size == 0 {
        return links;
    }
    links.push(Link { relation: "first", url: url_of(0) });
    if offset > 0 {
        links.push(Link { relation: "previous", url: url_of(offset.saturating_sub(size)) });
    }
    if offset.saturating_add(size) < total {
        links.push(Link { relation: "next", url: url_of(offset + size) });
    }
    links
}

fn code_criteria(place: &str, value: &str, terminology: &Terminology) -> Result<Vec<CodeCriterion>, Refusal> {
    let read = |text: &str| {
        let token = token(place, text)?;
        let system = token.system.map(|system| terminology.canonical_system(&system));
        Ok(CodeCriterion { system, code: token.value })
    };
    alternatives(place, value)?.into_iter().map(read).collect()
}

/// uniqueId, entryUUID, logicalId as URNs. Under any other system we have no identifiers: the pair is kept
/// whole, so that it equals none of ours.
fn identifiers(place: &str, value: &str) -> Result<Vec<String>, Refusal> {
    let read = |text: &str| {
        let token = token(place, text)?;
        Ok(match token.system.as_deref() {
            None | Some("urn:ietf:rfc:3986") => {
                token.value.parse::<UniqueId>().map_or(token.value, |unique_id| unique_id.to_urn())
            }
            Some(other) => format!("{other}|{}", token.value),
        })
    };
    alternatives(place, value)?.into_iter().map(read).collect()
}

/// A text that is no id of ours names nothing, and the nil UUID stands for it: no document has that.
fn logical_ids(place: &str, value: &str) -> Result<Vec<LogicalId>, Refusal> {
    let read = |text: &str| super::face::logical_id(text).unwrap_or(LogicalId(Uuid::nil()));
    Ok(alternatives(place, value)?.into_iter().map(read).collect())
}

fn statuses(place: &str, value: &str) -> Result<Vec<AvailabilityStatus>, Refusal> {
    let mut statuses = Vec::new();
    for text in alternatives(place, value)? {
        match token(place, text)?.value.as_str() {
            "current" => statuses.extend([AvailabilityStatus::Approved, AvailabilityStatus::Archived]),
            "superseded" => statuses.push(AvailabilityStatus::Deprecated),
            "entered-in-error" => statuses.push(AvailabilityStatus::Deleted),
            other => return Err(value_refused(place, other, "current, superseded or entered-in-error")),
        }
    }
    Ok(statuses)
}

/// Without a status, `isArchived` speaks of all that is not deleted.
fn keep_archived(statuses: &mut Vec<AvailabilityStatus>, archived: bool) -> Result<(), Refusal> {
    use AvailabilityStatus::{Approved, Archived, Deprecated};
    if statuses.is_empty() {
        *statuses = vec![Approved, Archived, Deprecated];
    }
    statuses.retain(|status| (*status == Archived) == archived);
    if statuses.is_empty() { Err(no_common("parameter isArchived")) } else { Ok(()) }
}

/// Numbers of identifiers; their systems are not compared, for clients spell them in many ways.
pub(super) fn values(place: &str, value: &str) -> Result<Vec<String>, Refusal> {
    alternatives(place, value)?.into_iter().map(|text| token(place, text).map(|token| token.value)).collect()
}

fn strings(place: &str, value: &str) -> Result<Vec<String>, Refusal> {
    Ok(alternatives(place, value)?.into_iter().map(unescape).collect())
}

fn sort_keys(place: &str, value: &str) -> Result<Vec<(SortKey, Direction)>, Refusal> {
    let read = |text: &str| {
        let (name, direction) = match text.strip_prefix('-') {
            Some(name) => (name, Direction::Descending),
            None => (text, Direction::Ascending),
        };
        let key = match find(name).map(|parameter| parameter.field) {
            Ok(Field::Creation) => SortKey::Creation,
            Ok(Field::Period | Field::PeriodStart) => SortKey::ServiceStart,
            Ok(Field::LastUpdated) => SortKey::Registered,
            _ => return Err(value_refused(place, text, "creation, date, period or _lastUpdated")),
        };
        Ok((key, direction))
    };
    alternatives(place, value)?.into_iter().map(read).collect()
}

pub(super) fn number(place: &str, value: &str) -> Result<u64, Refusal> {
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let number = value.parse().ok().filter(|number| digits && *number <= NUMBER_MAX);
    number.ok_or_else(|| value_refused(place, value, "a whole number, 0 or more"))
}

fn boolean(place: &str, value: &str) -> Result<bool, Refusal> {
    match token(place, value)?.value.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(value_refused(place, other, "true or false")),
    }
}

pub(super) fn one_of(place: &str, value: &str, known: &[&str]) -> Result<(), Refusal> {
    if known.contains(&value) { Ok(()) } else { Err(value_refused(place, value, &known.join(", "))) }
}

/// "And" on an attribute that a document has once: what both lists allow.
fn narrow<T: PartialEq>(kept: &mut Vec<T>, wanted: Vec<T>, place: &str) -> Result<(), Refusal> {
    if kept.is_empty() {
        *kept = wanted;
        return Ok(());
    }
    kept.retain(|one| wanted.contains(one));
    if kept.is_empty() { Err(no_common(place)) } else { Ok(()) }
}

/// The same for codes: one without a system agrees with the same code of any, and the narrower one stays.
fn narrow_codes(kept: &mut Vec<CodeCriterion>, wanted: &[CodeCriterion], place: &str) -> Result<(), Refusal> {
    if kept.is_empty() {
        *kept = wanted.to_vec();
        return Ok(());
    }
    let agree = |one: &CodeCriterion, other: &CodeCriterion| {
        let systems = one.system.is_none() || other.system.is_none() || one.system == other.system;
        let narrower = if one.system.is_some() { one } else { other };
        (one.code == other.code && systems).then(|| narrower.clone())
    };
    *kept = kept.iter().flat_map(|one| wanted.iter().filter_map(move |other| agree(one, other))).collect();
    if kept.is_empty() { Err(no_common(place)) } else { Ok(()) }
}

pub(super) fn set_once<T>(kept: &mut Vec<T>, wanted: Vec<T>, place: &str) -> Result<(), Refusal> {
    if kept.is_empty() {
        *kept = wanted;
        return Ok(());
    }
    let expected = "the parameter once, alternatives joined by commas";
    Err(Refusal::new(Rule::ParameterValue, place, "the parameter twice", expected))
}

fn no_common(place: &str) -> Refusal {
    Refusal::new(
        Rule::ParameterValue,
        place,
        "values that exclude each other",
        "values that a document can have at once",
    )
}

const FORM_BYTES_MAX: usize = 64 * 1024;
/// Offsets above this are no pages.
const NUMBER_MAX: u64 = i32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::criteria::TimeCriterion;
    use proptest::prelude::*;

    const INS: &str = "patient.identifier=urn:oid:1.2.250.1.213.1.4.10|207058575627097";

    fn criteria(text: &str) -> Result<Criteria, Vec<Refusal>> {
        let terminology = Terminology::load().unwrap();
        let surroundings = Surroundings { terminology: &terminology, ins_domains: &[InsDomain::Test], page_max: 100 };
        read(&Query::read(Some(text), b"").unwrap(), surroundings).map_err(|failure| match failure {
            Failure::Refused(refusals) | Failure::Journaled(refusals) => refusals,
            Failure::Fault(fault) => panic!("{fault}"),
        })
    }

    fn with_patient(text: &str) -> Criteria {
        criteria(&format!("{INS}&{text}")).unwrap()
    }

    fn refused(text: &str) -> Refusal {
        criteria(&format!("{INS}&{text}")).unwrap_err().remove(0)
    }

    #[test]
    fn a_search_names_a_patient_or_a_document() {
        assert!(criteria(INS).unwrap().patient.is_some());
        assert!(criteria("identifier=urn:oid:1.2.3").is_ok());
        assert!(criteria("_id=x").is_ok());
        assert_eq!(criteria("status=current").unwrap_err()[0].rule, Rule::ParameterMissing);
    }

    #[test]
    fn commas_are_or_and_repetition_is_and() {
        let found = with_patient("type=http://loinc.org|11488-4,34133-9&type=34133-9,11502-2");
        assert_eq!(found.types, [CodeCriterion { system: None, code: "34133-9".to_owned() }]);
        assert_eq!(refused("type=a&type=b").found, "values that exclude each other");
        assert_eq!(refused("event=a&event=b").found, "the parameter twice");
        assert_eq!(with_patient("date=ge2024&date=lt2025").creation.len(), 2);
    }

    #[test]
    fn current_includes_the_archived_until_is_archived_says_otherwise() {
        use AvailabilityStatus::{Approved, Archived, Deprecated};
        assert_eq!(with_patient("status=current,superseded").statuses, [Approved, Archived, Deprecated]);
        assert_eq!(with_patient("status=current&PDSm_isArchived=false").statuses, [Approved]);
        assert_eq!(with_patient("isArchived=true").statuses, [Archived]);
        assert_eq!(refused("status=superseded&isArchived=true").place, "parameter isArchived");
        assert_eq!(refused("status=active").rule, Rule::ParameterValue);
    }

    #[test]
    fn an_id_of_no_known_form_matches_nothing_and_lifts_no_limit() {
        assert_eq!(with_patient("_id=abc").logical_ids, [LogicalId(Uuid::nil())]);
    }

    #[test]
    fn identifiers_become_urns() {
        let found = with_patient("identifier=1.2.3,urn:ietf:rfc:3986|urn:oid:1.2.4,http://x|1.2.5");
        assert_eq!(found.identifiers, ["urn:oid:1.2.3", "urn:oid:1.2.4", "http://x|1.2.5"]);
    }

    #[test]
    fn every_broken_parameter_is_told() {
        let refusals = criteria("colour=red&status=x&date=y").unwrap_err();
        let rules: Vec<_> = refusals.iter().map(|refusal| refusal.rule).collect();
        assert_eq!(rules, [Rule::UnknownParameter, Rule::ParameterValue, Rule::ParameterValue]);
    }

    #[test]
    fn pages_and_order_are_read() {
        let found = with_patient("_count=1000&_page=200&_sort=-date,period");
        assert_eq!((found.page.size, found.page.offset), (100, 200));
        let expected = [(SortKey::Creation, Direction::Descending), (SortKey::ServiceStart, Direction::Ascending)];
        assert_eq!(found.sort, expected);
        assert_eq!(with_patient("_summary=count&_count=5").page.size, 0);
        for bad in ["_count=-1", "_count=x", "_sort=title", "_summary=text", "_page=99999999999"] {
            assert_eq!(refused(bad).rule, Rule::ParameterValue, "{bad}");
        }
    }

    #[test]
    fn the_time_aliases_search_what_they_name() {
        let found = with_patient("date=2024&PDSm_DocumentReference_period-start=ge2024&_lastUpdated=2024");
        assert!(matches!(found.creation[..], [TimeCriterion::Within { .. }]));
        assert_eq!((found.service_start.len(), found.registered.len()), (1, 1));
    }

    #[test]
    fn links_lead_to_every_page_and_keep_the_parameters() {
        let query = Query::read(Some("identifier=urn%3Aoid%3A1.2.3&_count=10&_page=10"), b"").unwrap();
        let mut criteria = Criteria::default();
        criteria.page.size = 10;
        criteria.page.offset = 10;
        let links = links("https://h/fhir", &query, criteria.page, 25);
        let base = "https://h/fhir/DocumentReference?identifier=urn%3Aoid%3A1.2.3&_count=10";
        let expected = [
            ("self", format!("{base}&_page=10")),
            ("first", base.to_owned()),
            ("previous", base.to_owned()),
            ("next", format!("{base}&_page=20")),
        ];
        assert_eq!(links.into_iter().map(|link| (link.relation, link.url)).collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused_without_a_panic(text in "\\PC{0,80}", value in "\\PC{0,30}") {
            let _ = criteria(&text);
            for parameter in crate::fhir::parameter::PARAMETERS {
                let url = Query::to_url([(parameter.name, value.as_str())].into_iter());
                let _ = criteria(&url);
            }
        }
    }
}
