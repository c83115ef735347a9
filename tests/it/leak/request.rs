//! What an outsider may send: each route that is about a record, with every way of naming what may be hidden.

use carnet::domain::association::RelationKind;
use carnet::domain::confidentiality::VisibilityLabel;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::record::{TYPES, mark};

#[derive(Debug, Clone)]
pub(super) enum Ask {
    /// Pages are followed to their end, or as far as anybody does.
    Search {
        what: Searched,
        filters: Vec<Filter>,
        way: Way,
        names_patient: bool,
    },
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
    /// A label of a document, as a new Consent or under its id.
    Label {
        target: Target,
        label: VisibilityLabel,
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
        in_xml: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Searched {
    /// ITI-67.
    Documents,
    /// ITI-81: of the record, or one's own of a year.
    Traces,
    /// TD1.6.
    Consents,
    /// TD0.2.
    Existence,
    /// TD0.4.
    Authorised,
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
    /// As it stands in the URL, with `{later}` for an instant of the record.
    Text(String),
    Id(Target),
    Identifier(Target, Name),
    /// Of traces: those that name a document.
    Entity(Target),
}

/// The parameters of ITI-67 that need no name of a document.
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
    "_lastUpdated=gt{later}",
    "_lastUpdated=lt{later}",
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

const TRACE_FILTERS: &[&str] = &[
    "_count=0",
    "_count=1",
    "_count=2",
    "_page=1",
    "_page=2&_count=1",
    "_sort=date",
    "_sort=-date",
    "_total=accurate",
    "_summary=count",
    "_before={later}",
    "date=ge{later}",
    "date=lt{later}",
    "action=R",
    "action=C,U",
    "action=E",
    "agent.identifier=1350000899",
    "agent.identifier=810000000078,810000000086",
    "agent.identifier=810000000011",
    "action=wrong",
];

const LIST_FILTERS: &[&str] = &["_count=1", "status=active"];
const AUTHORISED_FILTERS: &[&str] =
    &["_has:Consent:patient:date=ge{start}", "_has:Consent:patient:date=gt{later}", "_count=1", "_count=2", "_page=1"];

/// Where a document is read; and a label of it, as the Consent that it is shown as.
const PATHS: &[&str] = &[
    "/DocumentReference/{id}",
    "/DocumentReference/{id}",
    "/Binary/{id}",
    "/Binary/{id}",
    "/Consent/{MASQUE_PS}",
    "/Consent/{INVISIBLE_PATIENT}",
    "/Consent/{INVISIBLE_REPRESENTANTS_LEGAUX}",
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
    let read = (select(PATHS), target(), any::<bool>(), select(HEADERS))
        .prop_map(|(path, target, head, headers)| Ask::Read { path, target, head, headers: headers.to_vec() });
    let astray = (select(ASTRAY), target()).prop_map(|((method, path), target)| Ask::Astray { method, path, target });
    let set_label = (target(), label(), any::<bool>(), any::<bool>())
        .prop_map(|(target, label, put, active)| Ask::Label { target, label, put, active });
    let own =
        (any::<bool>(), prop::option::of(target())).prop_map(|(active, under)| Ask::OwnAuthorisation { active, under });
    let relation = (select(RelationKind::ALL.to_vec()), target(), name());
    let deposit = (prop::option::weighted(0.8, relation), any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    let deposit = deposit.prop_map(|(relation, simplified, supersedes, in_xml)| Ask::Deposit {
        relation,
        simplified,
        supersedes,
        in_xml,
    });
    prop_oneof![
        8 => search(Searched::Documents, filter()),
        3 => search(Searched::Traces, trace_filter()),
        1 => search(Searched::Consents, text(LIST_FILTERS)),
        1 => search(Searched::Existence, text(LIST_FILTERS)),
        1 => search(Searched::Authorised, text(AUTHORISED_FILTERS)),
        6 => read,
        1 => astray,
        1 => set_label,
        1 => own,
        3 => deposit,
    ]
}

fn search(what: Searched, filter: impl Strategy<Value = Filter>) -> impl Strategy<Value = Ask> {
    // Lists have no parameter but the patient, whom TD0.2 and TD0.4 cannot leave out.
    let most = if matches!(what, Searched::Consents | Searched::Existence) { 1 } else { 3 };
    let named = if matches!(what, Searched::Documents | Searched::Traces) { 0.8 } else { 1.0 };
    (vec(filter, 0..=most), way(), prop::bool::weighted(named))
        .prop_map(move |(filters, way, names_patient)| Ask::Search { what, filters, way, names_patient })
}

fn text(texts: &'static [&'static str]) -> impl Strategy<Value = Filter> {
    select(texts).prop_map(|text| Filter::Text(text.to_owned()))
}

fn trace_filter() -> impl Strategy<Value = Filter> {
    prop_oneof![4 => text(TRACE_FILTERS), 1 => target().prop_map(Filter::Entity)]
}

fn label() -> impl Strategy<Value = VisibilityLabel> {
    select(VisibilityLabel::ALL.to_vec())
}

fn filter() -> impl Strategy<Value = Filter> {
    let by_type = (0..TYPES.len()).prop_map(|kind| {
        let (system, code) = TYPES[kind];
        Filter::Text(format!("type=urn:oid:{system}%7C{code}"))
    });
    prop_oneof![
        8 => text(FILTERS),
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
