//! What a generated pair is made of: a record, what happens to it, the outsider who asks, and what they ask.

use carnet::domain::association::RelationKind;
use carnet::domain::confidentiality::{ConfidentialityLevel, VisibilityLabel};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::outsider::{Outsider, outsider};
use super::request::{Ask, ask};

/// One pair of stores: the record in the one, the record without what the outsider may not see in the other.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) outsider: Outsider,
    pub(super) list: Vec<Line>,
    pub(super) documents: Vec<Spec>,
    /// The médecin traitant looks through it.
    pub(super) is_looked_through: bool,
    pub(super) account: Account,
    pub(super) asks: Vec<Ask>,
}

/// What became of the record before the outsider asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    Open,
    Closed,
    Reopened,
}

impl Pair {
    /// Each pair that lacks one ask or one document of this one, and still has some.
    pub(super) fn smaller(&self) -> impl Iterator<Item = Self> {
        let asks = without_one(&self.asks).map(|asks| Self { asks, ..self.clone() });
        let documents = without_one(&self.documents).map(|documents| Self { documents, ..self.clone() });
        asks.chain(documents)
    }
}

fn without_one<T: Clone>(list: &[T]) -> impl Iterator<Item = Vec<T>> {
    let removed = if list.len() > 1 { 0..list.len() } else { 0..0 };
    removed.map(|at| [&list[..at], &list[at + 1..]].concat())
}

/// A line of the patient's list, about the outsider where it names somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Of a delegate: the delegation.
    Authorisation,
    EndedAuthorisation,
    AuthorisationOfStructure,
    Block,
    MedecinTraitant,
    OppositionBrisDeGlace,
    OppositionCentre15,
    MaskedInEmergencies,
    MaskByDefault,
}

/// A document as it is deposited.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    /// What asks and relations find it by: see [`nearest`].
    pub(super) mark: u8,
    pub(super) depositor: Source,
    /// Named as an author beside nobody: whose document it is too.
    pub(super) author: Source,
    /// Index in [`TYPES`].
    pub(super) kind: usize,
    pub(super) level: ConfidentialityLevel,
    pub(super) labels: Vec<VisibilityLabel>,
    pub(super) named_by_uuid: bool,
    /// To an earlier document of that very mark; left out where there is none, or its depositor may not relate to it.
    pub(super) relation: Option<(RelationKind, u8)>,
    /// Order number of referenceIdList, of few.
    pub(super) reference: Option<u8>,
    /// Day of creationTime, of few.
    pub(super) day: u8,
    pub(super) minutes_later: u8,
    /// Masked by the patient afterwards: a second metadata version.
    pub(super) masked: bool,
    /// The patient reads it in a secret connection, if they may.
    pub(super) read_in_secret: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Hospital,
    Laboratory,
    Colleague,
    /// The outsider; a colleague where outsiders of that mode are no source of documents.
    Outsider,
}

/// Types of different classes: 10, 11, 31, 42, 60, 90, 95.
pub(super) const TYPES: [(&str, &str); 8] = [
    ("2.16.840.1.113883.6.1", "11490-0"),
    ("2.16.840.1.113883.6.1", "11502-2"),
    ("2.16.840.1.113883.6.1", "60591-5"),
    ("2.16.840.1.113883.6.1", "18748-4"),
    ("2.16.840.1.113883.6.1", "57833-6"),
    ("1.2.250.1.213.1.1.4.12", "REMB"),
    ("1.2.250.1.213.1.1.4.12", "EXPPAT_1"),
    ("1.2.250.1.213.1.1.4.12", "ATTEST-RESID"),
];

/// Asks shrink first: the one that is left wants few of the documents.
pub(super) fn pair() -> impl Strategy<Value = Pair> {
    let list = prop_oneof![1 => vec(line(), 0..3), 2 => vec(line(), 0..2).prop_map(authorised)];
    let account = prop_oneof![8 => Just(Account::Open), 1 => Just(Account::Closed), 1 => Just(Account::Reopened)];
    let life = (prop::bool::weighted(0.2), account);
    (vec(ask(), 1..=ASKS_MAX), vec(spec(), 1..=DOCUMENTS_MAX), life, list, outsider()).prop_map(
        |(asks, documents, (is_looked_through, account), list, outsider)| Pair {
            outsider,
            list,
            documents,
            is_looked_through,
            account,
            asks,
        },
    )
}

const DOCUMENTS_MAX: usize = 5;
const ASKS_MAX: usize = 6;

/// The one of `marks` that `wanted` means: the first that bears it, or the next one in the circle. Whichever others are
/// taken away, it stays the one that is meant, so that shrinking is free to take them.
pub(super) fn nearest(marks: impl Iterator<Item = u8>, wanted: u8) -> Option<usize> {
    marks.map(|mark| mark.wrapping_sub(wanted)).enumerate().min_by_key(|(_, distance)| *distance).map(|(at, _)| at)
}

/// Of a document, or of what means one: which it is says nothing of either being simpler.
pub(super) fn mark() -> impl Strategy<Value = u8> {
    (0..MARKS).no_shrink()
}

/// Few, so that relations often meet a document.
const MARKS: u8 = 5;

fn authorised(mut list: Vec<Line>) -> Vec<Line> {
    list.push(Line::Authorisation);
    list
}

fn line() -> impl Strategy<Value = Line> {
    select(vec![
        Line::Authorisation,
        Line::EndedAuthorisation,
        Line::AuthorisationOfStructure,
        Line::Block,
        Line::MedecinTraitant,
        Line::OppositionBrisDeGlace,
        Line::OppositionCentre15,
        Line::MaskedInEmergencies,
        Line::MaskByDefault,
    ])
}

fn spec() -> impl Strategy<Value = Spec> {
    let who = (mark(), source(), source(), 0..TYPES.len());
    let labels = prop_oneof![
        1 => Just(Vec::new()),
        1 => Just(vec![VisibilityLabel::MasquePs]),
        1 => subsequence(VisibilityLabel::ALL.to_vec(), 0..=3),
    ];
    let confidentiality = (select(ConfidentialityLevel::ALL.to_vec()), labels, prop::bool::weighted(0.2));
    let read_in_secret = prop::bool::weighted(0.15);
    let relation = prop_oneof![
        1 => Just(None),
        1 => (select(RelationKind::ALL.to_vec()), mark()).prop_map(Some),
        2 => mark().prop_map(|target| Some((RelationKind::Replaces, target))),
    ];
    let rest = (prop::bool::weighted(0.2), relation, prop::option::of(0_u8..3), 0_u8..4, 0_u8..3, read_in_secret);
    (who, confidentiality, rest).prop_map(
        |(
            (mark, depositor, author, kind),
            (level, labels, masked),
            (named_by_uuid, relation, reference, day, minutes_later, read_in_secret),
        )| {
            Spec {
                mark,
                depositor,
                author,
                kind,
                level,
                labels,
                named_by_uuid,
                relation,
                reference,
                day,
                minutes_later,
                masked,
                read_in_secret,
            }
        },
    )
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        4 => Just(Source::Hospital),
        2 => Just(Source::Laboratory),
        2 => Just(Source::Colleague),
        1 => Just(Source::Outsider),
    ]
}
