//! What an outsider may send: each route that is about a record, with every way of naming what may be hidden.

use carnet::domain::association::RelationKind;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::record::{TYPES, mark};

#[derive(Debug, Clone)]
pub(super) enum Ask {
    /// ITI-67; pages are followed to their end.
    Search {
        filters: Vec<Filter>,
        way: Way,
        names_patient: bool,
    },
    /// `/DocumentReference/{id}`, `/Binary/{id}`, `/Consent/{id}`.
    Read {
        path: &'static str,
        target: Target,
        head: bool,
        headers: Vec<(&'static str, &'static str)>,
    },
    /// A method or a path that nobody serves.
    Astray {
        method: &'static str,
        path: &'static str,
        target: Target,
    },
    Existence,
    ListConsents,
    /// The traces of the record, or of one document of it.
    Traces {
        entity: Option<Target>,
    },
    /// A mask on a document, as a new Consent or under the id of the document.
    Mask {
        target: Target,
        put: bool,
        active: bool,
    },
    /// TD0.3, or the end of it; under the id of a document where one is named.
    OwnAuthorisation {
        active: bool,
        under: Option<Target>,
    },
    Deposit {
        relation: Option<(RelationKind, Target, Name)>,
        simplified: bool,
        supersedes: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Get,
    GetXml,
    Post,
    Head,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// By its mark.
    Document(u8),
    Nobody,
}

/// By which of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Logical,
    Entry,
    Unique,
}

#[derive(Debug, Clone)]
pub(super) enum Filter {
    /// As it stands in the URL.
    Text(String),
    Id(Target),
    Identifier(Target, Name),
}

/// The parameters that need no name of a document.
const FILTERS: &[&str] = &[
    "status=current",
    "status=superseded",
    "status=current,superseded",
    "status=entered-in-error",
    "isArchived=true",
    "isArchived=false",
    "category=10",
    "category=31,60",
    "format=urn:ihe:iti:xds-sd:pdf:2008",
    "facility=SA01",
    "facility=SA05",
    "setting=ETABLISSEMENT",
    "event=1",
    "security-label=N",
    "security-label=R,V",
    "security-label=MASQUE_PS",
    "security-label=INVISIBLE_PATIENT",
    "author.identifier=810000000011",
    "author.identifier=810000000078",
    "author.family=colle",
    "author.given=A",
    "related=ORDER-0",
    "related=ORDER-1,ORDER-2",
    "creation=2026-03-02",
    "creation=ge2026-03-02",
    "date=lt2026-03-03",
    "period=sa2026-03-01",
    "period-start=le2026-03-02",
    "period-end=eb2026-03-03",
    "_lastUpdated=gt2026-11-01T09:02:00Z",
    "_lastUpdated=lt2026-11-01T09:02:00Z",
    "_sort=creation",
    "_sort=-_lastUpdated",
    "_sort=_lastUpdated",
    "_sort=period,-creation",
    "_count=0",
    "_count=1",
    "_count=2",
    "_page=1",
    "_page=2&_count=1",
    "_total=accurate",
    "_summary=count",
    "_include=DocumentReference:relatesto",
    "_revinclude=List:item",
    "status=wrong",
    "creation=yesterday",
];

const HEADERS: &[&[(&str, &str)]] = &[
    &[],
    &[("accept", "application/fhir+json")],
    &[("accept", "application/fhir+xml")],
    &[("accept", "application/pdf")],
    &[("accept", "text/csv")],
    &[("range", "bytes=0-3")],
    &[("range", "bytes=9000-")],
    &[("if-match", "\"x\"")],
    &[("if-none-match", "*")],
];

const ASTRAY: &[(&str, &str)] = &[
    ("DELETE", "/DocumentReference/{id}"),
    ("PUT", "/DocumentReference/{id}"),
    ("PATCH", "/DocumentReference/{id}"),
    ("DELETE", "/Binary/{id}"),
    ("DELETE", "/Consent/{id}"),
    ("GET", "/DocumentReference/{id}/_history"),
    ("GET", "/DocumentReference/{id}/_history/1"),
    ("GET", "/List/{id}"),
    ("GET", "/Bundle/{id}"),
    ("GET", "/DocumentReference/{id}?_summary=count"),
    ("GET", "/Binary/{id}?_elements=id"),
    ("GET", "/DocumentReference/{id}x"),
    ("OPTIONS", "/DocumentReference/{id}"),
];

pub(super) fn ask() -> impl Strategy<Value = Ask> {
    let search = (vec(filter(), 0..4), way(), prop::bool::weighted(0.8))
        .prop_map(|(filters, way, names_patient)| Ask::Search { filters, way, names_patient });
    let read = (select(vec!["DocumentReference", "Binary", "Consent"]), target(), any::<bool>(), select(HEADERS))
        .prop_map(|(path, target, head, headers)| Ask::Read { path, target, head, headers: headers.to_vec() });
    let astray = (select(ASTRAY), target()).prop_map(|((method, path), target)| Ask::Astray { method, path, target });
    let traces = prop::option::of(target()).prop_map(|entity| Ask::Traces { entity });
    let mask =
        (target(), any::<bool>(), any::<bool>()).prop_map(|(target, put, active)| Ask::Mask { target, put, active });
    let own =
        (any::<bool>(), prop::option::of(target())).prop_map(|(active, under)| Ask::OwnAuthorisation { active, under });
    let relation = (select(RelationKind::ALL.to_vec()), target(), name());
    let deposit = (prop::option::weighted(0.8, relation), any::<bool>(), any::<bool>())
        .prop_map(|(relation, simplified, supersedes)| Ask::Deposit { relation, simplified, supersedes });
    prop_oneof![
        8 => search,
        6 => read,
        1 => astray,
        1 => Just(Ask::Existence),
        1 => Just(Ask::ListConsents),
        1 => traces,
        1 => mask,
        1 => own,
        2 => deposit,
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let text = select(FILTERS).prop_map(|text| Filter::Text(text.to_owned()));
    let by_type = (0..TYPES.len()).prop_map(|kind| {
        let (system, code) = TYPES[kind];
        Filter::Text(format!("type=urn:oid:{system}%7C{code}"))
    });
    prop_oneof![
        8 => text,
        1 => by_type,
        1 => target().prop_map(Filter::Id),
        2 => (target(), name()).prop_map(|(target, name)| Filter::Identifier(target, name)),
    ]
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![5 => Just(Way::Get), 1 => Just(Way::GetXml), 2 => Just(Way::Post), 1 => Just(Way::Head)]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![9 => mark().prop_map(Target::Document), 1 => Just(Target::Nobody)]
}

fn name() -> impl Strategy<Value = Name> {
    select(vec![Name::Logical, Name::Entry, Name::Unique])
}
