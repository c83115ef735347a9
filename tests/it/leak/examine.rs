//! One generated pair: built in both stores, asked, compared.

use std::collections::BTreeSet;

use carnet::access::decide::{Act, Consult, Deposit, Retrieve, decide};
use carnet::access::visibility::EntryFacts;
use carnet::domain::association::RelationKind;
use carnet::domain::author::{Author, AuthorPerson, Identifier, Institution, PersonKind};
use carnet::domain::code::Code;
use carnet::domain::confidentiality::{Confidentiality, VisibilityLabel};
use carnet::domain::consent::{ConsentKind, Grantee};
use carnet::domain::document_entry::{DocumentEntry, ReferenceId};
use carnet::domain::dossier::Dossier;
use carnet::domain::dtm::Dtm;
use carnet::domain::ids::{LogicalId, UniqueId};
use carnet::domain::ins::Ins;
use carnet::domain::national_id::{PS_ID_NAT_OID, STRUCT_ID_NAT_OID};
use carnet::identity::caller::{Caller, CallerId};
use carnet::operation::draft::{DepositRequest, DocumentDraft, MetadataDraft, RelationDraft, TargetName};
use carnet::operation::outcome::{ConsentProvision, ConsentRequest, ConsentState, label_id};
use carnet::spool::Spooled;
use http::StatusCode;
use jiff::Timestamp;

use super::comparison::{Request, Twins, compare};
use super::message::{Named, Writer, next_page};
use super::record::{Line, Outsider, Pair, Spec, TYPES};
use super::request::Ask;
use super::world::{HOSPITAL, MEDECIN_TRAITANT, World, Worlds};

/// What is wrong with the rest on purpose, to see that the oracle sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    None,
    /// It lacks one document that the outsider may see.
    OneTooFew,
}

impl Worlds {
    /// Errors: what tells the two stores apart.
    pub(super) async fn examine(&self, pair: &Pair, defect: Defect) -> Result<(), String> {
        let outsider = pair.outsider;
        let patient = self.new_patient();
        // A purpose that the outsider cannot have is refused before anything is looked at.
        let Some(caller) = self.caller(outsider, &patient) else { return Ok(()) };
        let plot = Plot::of(self, pair, patient, &caller);
        plot.open(&self.whole).await;
        let everything: Vec<_> =
            pair.documents.iter().map(|spec| Some(spec.labels.iter().copied().collect())).collect();
        let whole = plot.fill(&self.whole, &everything).await;
        let dossier = plot.dossier(&self.whole).await;
        let mut shown = plot.shown(&caller, &dossier, &whole);
        if defect == Defect::OneTooFew
            && let Some(first) = shown.iter_mut().find(|shown| **shown)
        {
            *first = false;
        }
        plot.open(&self.rest).await;
        let there: Vec<_> = whole
            .iter()
            .zip(&shown)
            .map(|(named, shown)| Some(named.as_ref().filter(|_| *shown)?.labels.clone()))
            .collect();
        let rest = plot.fill(&self.rest, &there).await;
        let mut twins = Twins::default();
        for (one, other) in whole.iter().zip(&rest) {
            let (Some(one), Some(other)) = (one, other) else { continue };
            // Among them that of the document: its mask bears it.
            for label in VisibilityLabel::ALL {
                twins.add(label_id(one.logical, label).to_string(), label_id(other.logical, label).to_string());
            }
            twins.add(one.entry.to_string(), other.entry.to_string());
            twins.add(one.set.clone(), other.set.clone());
        }
        // Lines of the list have ids of their own in each store.
        for (one, other) in dossier.consents.iter().zip(&plot.dossier(&self.rest).await.consents) {
            assert_eq!(one.kind, other.kind);
            twins.add(one.id.to_string(), other.id.to_string());
        }
        // What the rest does not have is asked for under the names that it has in the whole.
        let names: [Vec<Named>; 2] = [
            whole.iter().flatten().cloned().collect(),
            whole.iter().zip(rest).filter_map(|(one, other)| other.or_else(|| one.clone())).collect(),
        ];
        let writer = Writer::new(&plot.patient);
        for (minute, ask) in (LAST_MINUTE..).zip(&pair.asks) {
            self.at_minute(minute);
            let answered = self.ask(outsider, &plot.patient, &writer, ask, &names, &mut twins).await?;
            // Whoever declared an authorisation, or masked a document, is another outsider from then on.
            if matches!(ask, Ask::OwnAuthorisation { .. } | Ask::Mask { .. }) && answered.is_success() {
                break;
            }
        }
        Ok(())
    }

    async fn ask(
        &self,
        outsider: Outsider,
        patient: &Ins,
        writer: &Writer<'_>,
        ask: &Ask,
        names: &[Vec<Named>; 2],
        twins: &mut Twins,
    ) -> Result<StatusCode, String> {
        let request = match ask {
            Ask::Mask { .. } | Ask::OwnAuthorisation { .. } | Ask::Deposit { .. } => Request::Writes,
            _ => Request::Reads,
        };
        let template = writer.write(ask);
        let (mut one, mut other) = (template.about(&names[0]), template.about(&names[1]));
        loop {
            let answers = (
                self.send(&self.whole, outsider, patient, &one).await,
                self.send(&self.rest, outsider, patient, &other).await,
            );
            compare(&one, &answers.0, &answers.1, twins, request)?;
            match (next_page(&one, &answers.0), next_page(&other, &answers.1)) {
                (Some(next_of_one), Some(next_of_other)) => (one, other) = (next_of_one, next_of_other),
                _ => return Ok(answers.0.status),
            }
        }
    }
}

/// A pair about one patient, with everything settled that both stores are told.
struct Plot<'w> {
    worlds: &'w Worlds,
    pair: &'w Pair,
    patient: Ins,
    outsider: CallerId,
    sources: Vec<Caller>,
    unique_ids: Vec<UniqueId>,
    /// Of each document, where its depositor may relate it to that one.
    relations: Vec<Option<(RelationKind, usize)>>,
}

impl<'w> Plot<'w> {
    fn of(worlds: &'w Worlds, pair: &'w Pair, patient: Ins, caller: &Caller) -> Self {
        let sources =
            pair.documents.iter().map(|spec| worlds.source(spec.depositor, pair.outsider, &patient)).collect();
        let unique_ids = pair.documents.iter().map(|spec| {
            if spec.named_by_uuid { UniqueId::Uuid(LogicalId::new().0) } else { carnet::cli::message::new_oid() }
        });
        let mut plot = Self {
            worlds,
            pair,
            patient,
            outsider: caller.id(),
            sources,
            unique_ids: unique_ids.collect(),
            relations: Vec::new(),
        };
        for index in 0..pair.documents.len() {
            let relation = plot.relation_of(index);
            plot.relations.push(relation);
        }
        plot
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

    /// Opens the record and writes the list.
    async fn open(&self, world: &World) {
        self.worlds.at_minute(0);
        world.gateway.open_dossier(&self.patient).await.expect("a record");
        let medecin_traitant = ConsentKind::MedecinTraitant(MEDECIN_TRAITANT.parse().expect("PS_IdNat"));
        let lines = self.pair.list.iter().filter_map(|line| Some((*line, self.kind_of(*line)?)));
        for (line, kind) in lines.chain([(Line::MedecinTraitant, medecin_traitant)]) {
            let until = (line == Line::EndedAuthorisation).then(|| self.worlds.at_minute(2));
            let since = Some(self.worlds.at_minute(1));
            let (provision, state) = (ConsentProvision::List(kind), ConsentState::Active);
            self.set(world, ConsentRequest { patient: self.patient.clone(), id: None, provision, state, since, until })
                .await;
        }
    }

    async fn set(&self, world: &World, request: ConsentRequest) {
        world.gateway.set_consent(&Caller::Operator, request).await.expect("the patient's list is written");
    }

    fn kind_of(&self, line: Line) -> Option<ConsentKind> {
        let structure = || ConsentKind::Authorisation(Grantee::Structure(HOSPITAL.parse().expect("Struct_IdNat")));
        let professional = match &self.outsider {
            CallerId::Professional(id) => Some(id.clone()),
            CallerId::Structure(_) | CallerId::Operator => None,
        };
        match line {
            Line::Authorisation | Line::EndedAuthorisation => {
                professional.map(|id| ConsentKind::Authorisation(Grantee::Professional(id)))
            }
            Line::AuthorisationOfStructure => Some(structure()),
            Line::Block => professional.map(ConsentKind::Block),
            Line::MedecinTraitant => professional.map(ConsentKind::MedecinTraitant),
            Line::OppositionBrisDeGlace => Some(ConsentKind::OppositionBrisDeGlace),
            Line::OppositionCentre15 => Some(ConsentKind::OppositionCentre15),
        }
    }

    /// Deposits the documents that are to be there, and masks those that the patient masked.
    async fn fill(&self, world: &World, there: &[Option<BTreeSet<VisibilityLabel>>]) -> Vec<Option<Named>> {
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
            let (logical, set) = (outcome.entries[0].entry.logical_id, outcome.submission_set.to_string());
            let entry = self.entry(world, logical).await;
            let (unique, labels) = (self.unique_ids[index].to_urn(), entry.metadata.confidentiality.labels);
            let mut name = Named { mark: spec.mark, logical, entry: entry.entry_uuid, unique, set, labels };
            if spec.masked {
                let (provision, state) = (
                    ConsentProvision::Label { document: logical, label: VisibilityLabel::MasquePs },
                    ConsentState::Active,
                );
                let (patient, id, since, until) = (self.patient.clone(), None, None, None);
                self.set(world, ConsentRequest { patient, id, provision, state, since, until }).await;
                name.entry = self.entry(world, logical).await.entry_uuid;
            }
            named.push(Some(name));
        }
        named
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

    async fn dossier(&self, world: &World) -> Dossier {
        world.gateway.show_dossier(&self.patient).await.expect("the record").disclose()
    }

    /// Which documents the outsider may see, by the decision alone: through whichever act.
    fn shown(&self, caller: &Caller, dossier: &Dossier, whole: &[Option<Named>]) -> Vec<bool> {
        let now = self.worlds.at_minute(LAST_MINUTE);
        let shows = |index: usize| {
            let labels = &self.labels(whole, index);
            self.shows::<Consult>(caller, dossier, now, index, labels)
                || self.shows::<Retrieve>(caller, dossier, now, index, labels)
                || self.shows::<Deposit>(caller, dossier, now, index, labels)
        };
        (0..whole.len()).map(shows).collect()
    }

    /// Of a document, and those that last of what replaced it.
    fn labels(&self, whole: &[Option<Named>], index: usize) -> BTreeSet<VisibilityLabel> {
        let mut labels = whole[index].as_ref().expect("everything is there").labels.clone();
        labels.extend(self.pair.documents[index].masked.then_some(VisibilityLabel::MasquePs));
        let newer =
            (index + 1..whole.len()).filter(|newer| self.relations[*newer] == Some((RelationKind::Replaces, index)));
        for newer in newer {
            let of_newer = self.labels(whole, newer);
            labels.extend(of_newer.into_iter().filter(|label| *label != VisibilityLabel::InvisiblePatient));
        }
        labels
    }

    fn shows<A: Act>(
        &self,
        caller: &Caller,
        dossier: &Dossier,
        now: Timestamp,
        index: usize,
        labels: &BTreeSet<VisibilityLabel>,
    ) -> bool {
        let (gateway, spec) = (&self.worlds.whole.gateway, &self.pair.documents[index]);
        let (system, code) = TYPES[spec.kind];
        let class = gateway.terminology.class_of(&Code::new(system, code)).expect("a class");
        let facts = EntryFacts {
            own: self.belongs(index, &self.outsider),
            status: carnet::domain::status::AvailabilityStatus::Approved,
            labels,
            class_code: &class.code,
            type_code: code,
            specialties: &BTreeSet::new(),
        };
        decide::<A>(&gateway.matrices, caller, dossier, now).is_ok_and(|permit| permit.visibility().shows(&facts))
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
/// After all deposits.
const LAST_MINUTE: i64 = 60;
