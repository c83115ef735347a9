//! One generated record: what both stores are told of it, and what of it the outsider may see.

use std::collections::BTreeSet;

use carnet::access::decide::{
    Act, ConcealFromPatient, ConcealFromRepresentatives, Consult, Deposit, Mask, ReadJournal, Retrieve,
    RevealToPatient, RevealToRepresentatives, Unmask, decide,
};
use carnet::access::journal::own_traces;
use carnet::access::visibility::{EntryFacts, Visibility};
use carnet::domain::association::RelationKind;
use carnet::domain::author::{Author, AuthorPerson, Identifier, Institution, PersonKind};
use carnet::domain::code::Code;
use carnet::domain::confidentiality::{Confidentiality, VisibilityLabel};
use carnet::domain::consent::{ConsentKind, Grantee};
use carnet::domain::document_entry::{DocumentEntry, ReferenceId};
use carnet::domain::dossier::{Dossier, DossierState};
use carnet::domain::dtm::Dtm;
use carnet::domain::ids::{LogicalId, UniqueId};
use carnet::domain::ins::Ins;
use carnet::domain::national_id::{PS_ID_NAT_OID, STRUCT_ID_NAT_OID};
use carnet::domain::status::AvailabilityStatus;
use carnet::identity::caller::{Caller, CallerId};
use carnet::operation::account::AccountMove;
use carnet::operation::criteria::Criteria;
use carnet::operation::draft::{DepositRequest, DocumentDraft, MetadataDraft, RelationDraft, TargetName};
use carnet::operation::outcome::{ConsentProvision, ConsentRequest, ConsentState};
use carnet::spool::Spooled;
use jiff::Timestamp;

use super::message::Named;
use super::outsider::{HOSPITAL, Outsider, Who};
use super::record::{Account, Line, Pair, Spec, TYPES};
use super::world::{MEDECIN_TRAITANT, World, Worlds};

/// A pair about one patient, with everything settled that both stores are told.
pub(super) struct Plot<'w> {
    worlds: &'w Worlds,
    pair: &'w Pair,
    pub(super) patient: Ins,
    sources: Vec<Caller>,
    unique_ids: Vec<UniqueId>,
    /// Of each document, where its depositor may relate it to that one.
    relations: Vec<Option<(RelationKind, usize)>>,
    /// That each document bears since its deposit: its own, and those of what it replaced or transforms.
    labels: Vec<BTreeSet<VisibilityLabel>>,
}

impl<'w> Plot<'w> {
    pub(super) fn of(worlds: &'w Worlds, pair: &'w Pair) -> Self {
        let patient = worlds.new_patient();
        let sources =
            pair.documents.iter().map(|spec| worlds.source(spec.depositor, pair.outsider, &patient)).collect();
        let unique_ids = pair.documents.iter().map(|spec| {
            if spec.named_by_uuid { UniqueId::Uuid(LogicalId::new().0) } else { carnet::cli::message::new_oid() }
        });
        let mut plot = Self {
            worlds,
            pair,
            patient,
            sources,
            unique_ids: unique_ids.collect(),
            relations: Vec::new(),
            labels: Vec::new(),
        };
        for index in 0..pair.documents.len() {
            let relation = plot.relation_of(index);
            plot.relations.push(relation);
            let labels = plot.labels_at_deposit(index);
            plot.labels.push(labels);
        }
        plot
    }

    fn labels_at_deposit(&self, index: usize) -> BTreeSet<VisibilityLabel> {
        let mut labels: BTreeSet<_> = self.pair.documents[index].labels.iter().copied().collect();
        if self.pair.list.contains(&Line::MaskByDefault) {
            labels.insert(VisibilityLabel::MasquePs);
        }
        if let Some((RelationKind::Replaces | RelationKind::Transforms, target)) = self.relations[index] {
            let inherited = self.labels_of_latest(target).into_iter();
            labels.extend(inherited.filter(|label| *label != VisibilityLabel::InvisiblePatient));
        }
        labels
    }

    /// Of its present version.
    fn labels_of_latest(&self, index: usize) -> BTreeSet<VisibilityLabel> {
        let mut labels = self.labels[index].clone();
        labels.extend(self.pair.documents[index].masked.then_some(VisibilityLabel::MasquePs));
        labels
    }

    /// What the whole is told of each document, which inherits the rest of its labels.
    pub(super) fn everything(&self) -> Vec<Option<BTreeSet<VisibilityLabel>>> {
        self.pair.documents.iter().map(|spec| Some(spec.labels.iter().copied().collect())).collect()
    }

    /// What the rest is told of those that are `shown`: what they inherit from may not be there.
    pub(super) fn those(&self, shown: &[bool]) -> Vec<Option<BTreeSet<VisibilityLabel>>> {
        self.labels.iter().zip(shown).map(|(labels, shown)| shown.then(|| labels.clone())).collect()
    }

    /// A depositor relates to what is theirs, and replaces what nothing of theirs replaced.
    fn relation_of(&self, index: usize) -> Option<(RelationKind, usize)> {
        let (kind, mark) = self.pair.documents[index].relation?;
        let target = self.pair.documents[..index].iter().position(|spec| spec.mark == mark)?;
        let depositor = self.sources[index].id();
        let is_own = |document: usize| self.belongs(document, &depositor);
        let is_replaced = self
            .relations
            .iter()
            .enumerate()
            .any(|(newer, relation)| *relation == Some((RelationKind::Replaces, target)) && is_own(newer));
        let is_possible = is_own(target) && (kind != RelationKind::Replaces || !is_replaced);
        is_possible.then_some((kind, target))
    }

    fn belongs(&self, document: usize, to: &CallerId) -> bool {
        let author = self.worlds.source(self.pair.documents[document].author, self.pair.outsider, &self.patient).id();
        self.sources[document].id() == *to || author == *to
    }

    /// Opens the record and writes the list: the record as the outsider will come upon it.
    pub(super) async fn open(&self, world: &World) -> Dossier {
        self.worlds.at_minute(0);
        world.gateway.open_dossier(&self.patient).await.expect("a record");
        let medecin_traitant = ConsentKind::MedecinTraitant(MEDECIN_TRAITANT.parse().expect("PS_IdNat"));
        let lines = self.pair.list.iter().filter_map(|line| Some((*line, self.kind_of(*line)?)));
        for (line, kind) in lines.chain([(Line::MedecinTraitant, medecin_traitant)]) {
            let until = match (line, &kind) {
                (Line::EndedAuthorisation, _) => Some(self.worlds.at_minute(2)),
                // An aidant has an end in any case.
                (_, ConsentKind::Delegation(_)) => Some(self.worlds.at_minute(LAST_MINUTE + 1_000)),
                _ => None,
            };
            let since = Some(self.worlds.at_minute(1));
            let (provision, state) = (ConsentProvision::List(kind), ConsentState::Active);
            self.set(world, ConsentRequest { patient: self.patient.clone(), id: None, provision, state, since, until })
                .await;
        }
        let dossier = world.gateway.show_dossier(&self.patient).await.expect("the record").disclose();
        match self.pair.account {
            Account::Open => dossier,
            Account::Closed => Dossier { state: DossierState::Closed { at: self.worlds.at_minute(1) }, ..dossier },
            Account::Reopened => Dossier { state: DossierState::Activated, ..dossier },
        }
    }

    async fn set(&self, world: &World, request: ConsentRequest) {
        world.gateway.set_consent(&Caller::Operator, request).await.expect("the patient's list is written");
    }

    fn kind_of(&self, line: Line) -> Option<ConsentKind> {
        let structure = || ConsentKind::Authorisation(Grantee::Structure(HOSPITAL.parse().expect("Struct_IdNat")));
        let who = self.pair.outsider.who;
        match line {
            Line::Authorisation | Line::EndedAuthorisation => match who.delegate() {
                Some(delegate) => Some(ConsentKind::Delegation(delegate)),
                None => who.professional().map(|id| ConsentKind::Authorisation(Grantee::Professional(id))),
            },
            Line::AuthorisationOfStructure => Some(structure()),
            Line::Block => who.professional().map(ConsentKind::Block),
            Line::MedecinTraitant => who.professional().map(ConsentKind::MedecinTraitant),
            Line::OppositionBrisDeGlace => Some(ConsentKind::OppositionBrisDeGlace),
            Line::OppositionCentre15 => Some(ConsentKind::OppositionCentre15),
            Line::MaskedInEmergencies => Some(ConsentKind::MaskedInEmergencies),
            Line::MaskByDefault => Some(ConsentKind::MaskByDefault),
        }
    }

    /// Deposits the documents that are to be there, and masks those that the patient masked.
    pub(super) async fn fill(&self, world: &World, there: &[Option<BTreeSet<VisibilityLabel>>]) -> Vec<Option<Named>> {
        let mut named: Vec<Option<Named>> = Vec::new();
        let mut minute = 10;
        for (index, spec) in self.pair.documents.iter().enumerate() {
            minute += i64::from(spec.minutes_later);
            self.worlds.at_minute(minute);
            let Some(labels) = &there[index] else {
                named.push(None);
                continue;
            };
            let target = self.relations[index].and_then(|(kind, target)| Some((kind, named[target].as_ref()?.logical)));
            let deposited = world.gateway.deposit(&self.sources[index], self.request(index, labels, target)).await;
            let outcome = deposited.expect("a deposit in order").disclose();
            let set = outcome.submission_set.to_string();
            let entry = outcome.entries.into_iter().next().expect("a document").entry;
            let (logical, unique) = (entry.logical_id, self.unique_ids[index].to_urn());
            let mut name = Named { mark: spec.mark, logical, entry: entry.entry_uuid, unique, set };
            if spec.masked {
                let (provision, state) = (
                    ConsentProvision::Label { document: logical, label: VisibilityLabel::MasquePs },
                    ConsentState::Active,
                );
                let (patient, id, since, until) = (self.patient.clone(), None, None, None);
                self.set(world, ConsentRequest { patient, id, provision, state, since, until }).await;
                let entry = self.entry(world, logical).await;
                assert_eq!(entry.metadata.confidentiality.labels, self.labels_of_latest(index));
                name.entry = entry.entry_uuid;
            }
            named.push(Some(name));
        }
        named
    }

    /// The patient reads in secret what they may.
    pub(super) async fn read_in_secret(&self, world: &World, named: &[Option<Named>]) {
        self.worlds.at_minute(LAST_MINUTE - 3);
        let patient = Outsider { who: Who::PatientInSecret, purpose: "normal" };
        let patient = self.worlds.caller(patient, &self.patient).expect("a patient");
        for (spec, named) in self.pair.documents.iter().zip(named) {
            let Some(named) = named else { continue };
            if spec.read_in_secret && !spec.labels.contains(&VisibilityLabel::InvisiblePatient) {
                world.gateway.read(&patient, named.logical).await.expect("the patient sees it");
            }
        }
    }

    /// What the médecin traitant lists.
    pub(super) async fn look_through(&self, world: &World) -> Vec<LogicalId> {
        self.worlds.at_minute(LAST_MINUTE - 2);
        // In force or not: where the newer version is hidden, the older one is in force.
        let statuses = vec![AvailabilityStatus::Approved, AvailabilityStatus::Deprecated];
        let criteria = Criteria { patient: Some(self.patient.clone()), statuses, ..Criteria::default() };
        let found = world.gateway.search(&self.worlds.medecin_traitant(), &criteria).await;
        let found = found.expect("the médecin traitant reads the record").disclose();
        found.entries.iter().map(|entry| entry.logical_id).collect()
    }

    /// What becomes of the record before the outsider asks.
    pub(super) async fn settle(&self, world: &World) {
        self.worlds.at_minute(LAST_MINUTE - 1);
        let moves: &[AccountMove] = match self.pair.account {
            Account::Open => &[],
            Account::Closed => &[AccountMove::Close],
            Account::Reopened => &[AccountMove::Close, AccountMove::Reopen],
        };
        for change in moves {
            world.gateway.move_dossier(&self.patient, *change).await.expect("a record");
        }
    }

    /// Its present version.
    async fn entry(&self, world: &World, id: LogicalId) -> DocumentEntry {
        let read = world.gateway.read(&self.worlds.medecin_traitant(), id).await;
        read.expect("the médecin traitant sees what is masked").disclose()
    }

    fn request(
        &self,
        index: usize,
        labels: &BTreeSet<VisibilityLabel>,
        target: Option<(RelationKind, LogicalId)>,
    ) -> DepositRequest {
        let spec = &self.pair.documents[index];
        let place = "document".to_owned();
        let relation =
            |(kind, target)| RelationDraft { place: place.clone(), kind, target: TargetName::Logical(target) };
        let document = DocumentDraft {
            metadata: self.metadata(index, spec, labels),
            content: Spooled::of(CONTENT),
            declared_hash: None,
            declared_size: None,
            relations: target.map(relation).into_iter().collect(),
            place,
        };
        DepositRequest { submission_set: None, documents: vec![document] }
    }

    fn metadata(&self, index: usize, spec: &Spec, labels: &BTreeSet<VisibilityLabel>) -> MetadataDraft {
        let (system, code) = TYPES[spec.kind];
        let order = |number| ReferenceId {
            identifier: Identifier::new("1.2.250.1.213.99", &format!("ORDER-{number}")),
            kind: "urn:ihe:iti:xds:2013:order".to_owned(),
        };
        MetadataDraft {
            unique_id: Some(self.unique_ids[index].clone()),
            patient_id: Some(self.patient.clone()),
            authors: vec![author(&self.worlds.source(spec.author, self.pair.outsider, &self.patient).id())],
            type_code: Some(Code::new(system, code)),
            confidentiality: Some(Confidentiality { level: spec.level, labels: labels.clone() }),
            healthcare_facility_type_code: Some(Code::new("1.2.250.1.71.4.2.4", "SA01")),
            practice_setting_code: Some(Code::new("1.2.250.1.213.1.1.4.9", "ETABLISSEMENT")),
            title: Some(format!("Document {index}")),
            language_code: Some("fr-FR".to_owned()),
            mime_type: Some("application/pdf".to_owned()),
            creation_time: Dtm::from_hl7(&format!("2026030{}", spec.day + 1)).ok(),
            reference_ids: spec.reference.map(order).into_iter().collect(),
            ..MetadataDraft::default()
        }
    }

    /// Which documents the outsider may see, by the decision alone: through whichever act.
    pub(super) fn shown(&self, caller: &Caller, dossier: &Dossier) -> Vec<bool> {
        let now = self.worlds.at_minute(LAST_MINUTE);
        let visibilities = [
            self.visibility::<Consult>(caller, dossier, now),
            self.visibility::<Retrieve>(caller, dossier, now),
            self.visibility::<Deposit>(caller, dossier, now),
            self.visibility::<ReadJournal>(caller, dossier, now),
            self.visibility::<Mask>(caller, dossier, now),
            self.visibility::<Unmask>(caller, dossier, now),
            self.visibility::<ConcealFromPatient>(caller, dossier, now),
            self.visibility::<RevealToPatient>(caller, dossier, now),
            self.visibility::<ConcealFromRepresentatives>(caller, dossier, now),
            self.visibility::<RevealToRepresentatives>(caller, dossier, now),
        ];
        // One's own traces of every record name one's own documents, whatever became of the record.
        let (id, sees_own) = (caller.id(), own_traces(caller).is_some());
        let is_shown = |index| (sees_own && self.belongs(index, &id)) || self.is_shown(&visibilities, &id, index);
        (0..self.labels.len()).map(is_shown).collect()
    }

    fn visibility<A: Act>(&self, caller: &Caller, dossier: &Dossier, now: Timestamp) -> Option<Visibility> {
        let permit = decide::<A>(&self.worlds.whole.gateway.matrices, caller, dossier, now);
        permit.ok().map(|permit| permit.visibility().clone())
    }

    /// Of a document, and those that last of what replaced it.
    fn labels_in_force(&self, index: usize) -> BTreeSet<VisibilityLabel> {
        let mut labels = self.labels_of_latest(index);
        let newer = (index + 1..self.labels.len())
            .filter(|newer| self.relations[*newer] == Some((RelationKind::Replaces, index)));
        for newer in newer {
            let of_newer = self.labels_in_force(newer);
            labels.extend(of_newer.into_iter().filter(|label| *label != VisibilityLabel::InvisiblePatient));
        }
        labels
    }

    fn is_shown(&self, visibilities: &[Option<Visibility>], caller: &CallerId, index: usize) -> bool {
        let (system, code) = TYPES[self.pair.documents[index].kind];
        let class = self.worlds.whole.gateway.terminology.class_of(&Code::new(system, code)).expect("a class");
        let facts = EntryFacts {
            own: self.belongs(index, caller),
            status: AvailabilityStatus::Approved,
            labels: &self.labels_in_force(index),
            class_code: &class.code,
            type_code: code,
            specialties: &BTreeSet::new(),
        };
        visibilities.iter().flatten().any(|visibility| visibility.shows(&facts))
    }
}

fn author(id: &CallerId) -> Author {
    let person = |id: Option<Identifier>| AuthorPerson {
        id,
        kind: PersonKind::Professional,
        family: Some("COLLEGUE".to_owned()),
        given: Some("Anne".to_owned()),
    };
    match id {
        CallerId::Professional(ps) => {
            let id = Identifier::new(PS_ID_NAT_OID, ps.as_str());
            Author { person: Some(person(Some(id))), ..Author::default() }
        }
        CallerId::Structure(structure) => {
            let id = Identifier::new(STRUCT_ID_NAT_OID, structure.as_str());
            let institution = Institution { id: Some(id), name: Some("STRUCTURE DE TEST".to_owned()) };
            let nobody = Identifier::new(PS_ID_NAT_OID, "899700000016");
            Author { person: Some(person(Some(nobody))), institution: Some(institution), ..Author::default() }
        }
        CallerId::Operator => Author::default(),
    }
}

pub(super) const CONTENT: &[u8] = b"%PDF-1.4\n%%EOF\n";
/// When the outsider begins to ask.
pub(super) const LAST_MINUTE: i64 = 60;
