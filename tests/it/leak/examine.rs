//! One generated pair: built in both stores, asked, compared.

use carnet::domain::confidentiality::VisibilityLabel;
use carnet::domain::ids::LogicalId;
use carnet::operation::outcome::label_id;
use http::StatusCode;

use super::comparison::{Request, Twins, compare};
use super::message::{Named, Writer, next_page};
use super::plot::{LAST_MINUTE, Plot};
use super::record::Pair;
use super::request::Ask;
use super::world::Worlds;

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
        let plot = Plot::of(self, pair);
        let Some((names, mut twins)) = self.tell(&plot, pair, defect).await else { return Ok(()) };
        let writer = Writer::new(&plot.patient, pair.outsider.who, self.at_minute(0), self.at_minute(12));
        for (minute, ask) in (LAST_MINUTE..).zip(&pair.asks) {
            self.at_minute(minute);
            let answered = self.ask(&plot, pair, &writer, ask, &names, &mut twins).await?;
            // Whoever declared an authorisation, or put a label on a document, is another outsider from then on.
            if matches!(ask, Ask::OwnAuthorisation { .. } | Ask::Label { .. }) && answered.is_success() {
                break;
            }
        }
        Ok(())
    }

    /// Tells both stores of the record: what each thing is called in either. `None`: nothing of it is hidden, and there
    /// is nothing to compare.
    async fn tell(&self, plot: &Plot<'_>, pair: &Pair, defect: Defect) -> Option<([Vec<Named>; 2], Twins)> {
        let dossier = plot.open(&self.whole).await;
        // Whom the gateway takes for nobody is refused before anything is looked at.
        let nothing = || vec![false; pair.documents.len()];
        let caller = self.caller(pair.outsider, &plot.patient);
        let mut shown = caller.map_or_else(nothing, |caller| plot.shown(&caller, &dossier));
        if defect == Defect::OneTooFew
            && let Some(first) = shown.iter_mut().find(|shown| **shown)
        {
            *first = false;
        }
        if !shown.contains(&false) {
            return None;
        }
        let whole = plot.fill(&self.whole, &plot.everything()).await;
        plot.read_in_secret(&self.whole, &whole).await;
        let listed = if pair.is_looked_through { plot.look_through(&self.whole).await } else { Vec::new() };
        plot.settle(&self.whole).await;
        let dossiers = [dossier, plot.open(&self.rest).await];
        let rest = plot.fill(&self.rest, &plot.those(&shown)).await;
        // Secret connections are hidden from whoever acts for the patient, as documents are.
        if pair.outsider.who.delegate().is_none() {
            plot.read_in_secret(&self.rest, &rest).await;
        }
        // A line that names nothing but what is hidden is hidden itself; where that is not there, it is another line.
        let is_there = |id| whole.iter().zip(&rest).any(|(one, other)| other.is_some() && id_of(one.as_ref()) == id);
        if pair.is_looked_through && (listed.is_empty() || listed.into_iter().map(Some).any(is_there)) {
            plot.look_through(&self.rest).await;
        }
        plot.settle(&self.rest).await;
        let mut twins = twins(&whole, &rest);
        // Lines of the list have ids of their own in each store.
        for (one, other) in dossiers[0].consents.iter().zip(&dossiers[1].consents) {
            assert_eq!(one.kind, other.kind);
            twins.add(one.id.to_string(), other.id.to_string());
        }
        // What the rest does not have is asked for under the names that it has in the whole.
        let names = [
            whole.iter().flatten().cloned().collect(),
            whole.iter().zip(rest).filter_map(|(one, other)| other.or_else(|| one.clone())).collect(),
        ];
        Some((names, twins))
    }

    async fn ask(
        &self,
        plot: &Plot<'_>,
        pair: &Pair,
        writer: &Writer<'_>,
        ask: &Ask,
        names: &[Vec<Named>; 2],
        twins: &mut Twins,
    ) -> Result<StatusCode, String> {
        let request = match ask {
            Ask::Label { .. } | Ask::OwnAuthorisation { .. } | Ask::Deposit { .. } => Request::Writes,
            _ => Request::Reads,
        };
        let template = writer.write(ask);
        let (mut one, mut other) = (template.about(&names[0]), template.about(&names[1]));
        let mut status = StatusCode::OK;
        for _ in 0..PAGES_MAX {
            let introduction = self.introduction(pair.outsider, &plot.patient);
            let answers = (
                self.send(&self.whole, pair.outsider.who, &introduction, &one).await,
                self.send(&self.rest, pair.outsider.who, &introduction, &other).await,
            );
            compare(&one, &answers.0, &answers.1, twins, request)?;
            status = answers.0.status;
            match (next_page(&one, &answers.0), next_page(&other, &answers.1)) {
                (Some(next_of_one), Some(next_of_other)) => (one, other) = (next_of_one, next_of_other),
                _ => break,
            }
        }
        Ok(status)
    }
}

fn id_of(named: Option<&Named>) -> Option<LogicalId> {
    named.map(|named| named.logical)
}

fn twins(whole: &[Option<Named>], rest: &[Option<Named>]) -> Twins {
    let mut twins = Twins::default();
    for (one, other) in whole.iter().zip(rest) {
        let (Some(one), Some(other)) = (one, other) else { continue };
        // Among them that of the document: its mask bears it.
        for label in VisibilityLabel::ALL {
            twins.add(label_id(one.logical, label).to_string(), label_id(other.logical, label).to_string());
        }
        twins.add(one.entry.to_string(), other.entry.to_string());
        twins.add(one.set.clone(), other.set.clone());
    }
    twins
}

/// Records of the same professional come to thousands of pages in the end.
const PAGES_MAX: usize = 8;
