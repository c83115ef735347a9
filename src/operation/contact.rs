//! Where the patient and the médecin traitant are told what the law wants them told. CSP R1111-48.

use super::frame::not_found;
use super::gateway::Gateway;
use super::outcome::Journaled;
use crate::domain::ins::Ins;
use crate::domain::mail_address::MailAddress;
use crate::domain::national_id::PsIdNat;
use crate::domain::notice::Addressee;
use crate::identity::caller::Caller;
use crate::journal::chain::record;
use crate::journal::event::{Action, Change, Outcome, Subject};
use crate::refusal::Failure;
use crate::store::{self, Tx, dossier, outbox};

/// Whose address it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContactOf {
    Patient(Ins),
    Professional(PsIdNat),
}

impl Gateway {
    /// Sets or removes an address; what waited for one goes out. Whether anything changed. Errors: `NotFound`, no record.
    pub async fn set_contact(&self, of: ContactOf, address: Option<MailAddress>) -> Result<Journaled<bool>, Failure> {
        let attempt = self.attempt(&Caller::Operator, Action::SetContact);
        let write = self.store.write("set_contact", move |tx| {
            Box::pin(async move {
                let Some((addressee, subject)) = find(tx, of).await? else {
                    record(tx, &attempt.not_found(Subject::Unknown))?;
                    return Ok(None);
                };
                let present = address.is_some();
                let is_changed = match address {
                    Some(address) => {
                        outbox::set_contact(tx, &addressee, &address, attempt.now);
                        true
                    }
                    None => outbox::remove_contact(tx, &addressee).await?,
                };
                let result = if is_changed { Outcome::Done { rule: OPERATOR.to_owned() } } else { Outcome::DoneBefore };
                let change = Change::Contact { who: who(&addressee), present };
                record(tx, &attempt.event(subject, result, Vec::new()).changing(change))?;
                Ok(Some(is_changed))
            })
        });
        let changed = write.await.map_err(Failure::from)?.map(Journaled::new).ok_or_else(not_found)?;
        self.bell.ring();
        Ok(changed)
    }
}

async fn find(tx: &mut Tx<'_>, of: ContactOf) -> Result<Option<(Addressee, Subject)>, store::Error> {
    match of {
        ContactOf::Professional(id) => Ok(Some((Addressee::Professional(id), Subject::Unknown))),
        ContactOf::Patient(ins) => {
            let found = dossier::find_by_ins(tx, &ins).await?;
            Ok(found.map(|dossier| (Addressee::Patient(dossier.id), Subject::of(dossier.id))))
        }
    }
}

fn who(addressee: &Addressee) -> String {
    match addressee {
        Addressee::Patient(_) => String::new(),
        Addressee::Professional(id) => id.to_string(),
    }
}

const OPERATOR: &str = "G operator";
