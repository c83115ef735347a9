//! TD0.2: does this patient have a record, in which state, and may the caller consult it?

use jiff::Timestamp;

use super::frame::access_denied;
use super::gateway::Gateway;
use super::outcome::{AuthorisationStatus, Existence, Journaled};
use crate::access::decide::{Existence as Asked, decide};
use crate::domain::dossier::Dossier;
use crate::domain::ins::Ins;
use crate::identity::caller::Caller;
use crate::journal::event::{Action, Outcome, Subject};
use crate::refusal::Failure;
use crate::store::dossier;

impl Gateway {
    /// Open to every admitted caller (F.1, first row). `None`: nobody of that INS has a record here.
    pub async fn existence(&self, caller: &Caller, ins: &Ins) -> Result<Journaled<Option<Existence>>, Failure> {
        if let Err(refusal) = caller.check_patient(ins, "identifier") {
            return Err(self.turn_away(caller, refusal.into()).await);
        }
        let attempt = self.attempt(caller, Action::Existence);
        let asked = ins.clone();
        let read =
            self.store.read("existence", move |tx| Box::pin(async move { dossier::find_by_ins(tx, &asked).await }));
        let found = read.await.map_err(Failure::from)?;
        let Some(dossier) = found else {
            self.write_line(attempt.not_found(Subject::Unknown)).await?;
            return Ok(Journaled::new(None));
        };
        match decide::<Asked>(&self.matrices, caller, &dossier, attempt.now) {
            Ok(permit) => {
                let result = Outcome::Done { rule: permit.rule().code().to_owned() };
                self.write_line(attempt.event(Subject::of(permit.dossier()), result, Vec::new())).await?;
                Ok(Journaled::new(Some(describe(dossier, ins, caller, attempt.now))))
            }
            Err(denial) => {
                self.write_line(attempt.denied(dossier.id, denial)).await?;
                Err(access_denied())
            }
        }
    }
}

fn describe(dossier: Dossier, asked: &Ins, caller: &Caller, now: Timestamp) -> Existence {
    let (authorisation, is_medecin_traitant) = match caller.professional_id() {
        Some(id) => {
            let valid = dossier.is_authorised(id, caller.structure_id(), now) && !dossier.is_blocked(id, now);
            let status = if valid { AuthorisationStatus::Valid } else { AuthorisationStatus::None };
            (status, valid && dossier.is_medecin_traitant(id, now))
        }
        None => (AuthorisationStatus::NotApplicable, false),
    };
    let others = dossier.ins.into_iter().filter(|ins| ins != asked);
    let ins = std::iter::once(asked.clone()).chain(others).collect();
    Existence { ins, state: dossier.state, authorisation, is_medecin_traitant }
}
