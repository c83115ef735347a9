//! TD0.4: the records that a professional was let into, or that were declared in a structure. Source: F.1, E.2.
//!
//! A token may name a patient here, as the DMP's own samples do; it means nothing (C.2). The list tells who has an
//! authorisation, and nothing of what is in the records: when a document last came is left out, for
//! one that is hidden would show in it.

use jiff::Timestamp;

use super::gateway::Gateway;
use super::outcome::{AuthorisedDossier, Journaled};
use crate::access::decide::{AuthorisationsOf, may_list_dossiers};
use crate::domain::criteria::Page;
use crate::identity::caller::Caller;
use crate::journal::event::{Action, Outcome, Subject};
use crate::refusal::{Failure, Refusal, Rule};
use crate::store::authorisation;

/// The latest first: how many in all, and a page of them.
#[derive(Debug)]
pub struct AuthorisedDossiers {
    pub total: u64,
    pub page: Vec<AuthorisedDossier>,
}

impl Gateway {
    /// `since` bounds the latest line that lets the caller in (LASTAUTORIZATION). Errors: `ModeRefused`;
    /// `ParameterMissing` without a bound where F.1 note 3 wants one.
    pub async fn list_dossiers(
        &self,
        caller: &Caller,
        since: Option<Timestamp>,
        page: Page,
    ) -> Result<Journaled<AuthorisedDossiers>, Failure> {
        let attempt = self.attempt(caller, Action::ListDossiers);
        let now = attempt.now;
        let of = match may_list_dossiers(&self.matrices, caller, now) {
            Ok(AuthorisationsOf::StructureSince(_)) if since.is_none() => {
                let expected = "ge and a day: a structure lists new authorisations alone (TD0.4)";
                let place = "parameter _has:Consent:patient:date";
                let refusal = Refusal::new(Rule::ParameterMissing, place, "nothing", expected);
                return Err(self.turn_away(caller, refusal.into()).await);
            }
            Ok(of) => of,
            Err(_) => {
                let expected = "a professional in any purpose, an employee or a structure in normal mode";
                let refusal = Refusal::new(Rule::ModeRefused, "caller", caller.mode(), expected);
                return Err(self.turn_away(caller, refusal.into()).await);
            }
        };
        let since = since.unwrap_or(Timestamp::MIN);
        let read = self.store.read("list_dossiers", move |tx| {
            Box::pin(async move { authorisation::list(tx, &of, since, now, page).await })
        });
        let (total, listed) = read.await.map_err(Failure::from)?;
        let subject = Subject::Dossiers(listed.iter().map(|one| one.dossier.to_string()).collect());
        let result = Outcome::Done { rule: "F.1 TD0.4".to_owned() };
        self.write_line(attempt.event(subject, result, Vec::new())).await?;
        let page = listed.into_iter().map(|one| AuthorisedDossier {
            ins: one.ins,
            state: one.state,
            authorised_since: one.since,
            is_medecin_traitant: one.is_medecin_traitant,
        });
        Ok(Journaled::new(AuthorisedDossiers { total, page: page.collect() }))
    }
}
