//! Notices: what the patient and the médecin traitant are told by mail. CSP L1111-17, R1111-48, R1111-53.
//!
//! A notice is a row, written in the write of what it tells of; a sender in each gateway empties them. Nothing is lost:
//! a row stays until the relay took its mail. Nothing is sent twice: one gateway at a time holds a row. Between the
//! relay's last 250 and the row that says so lies the one doubt that SMTP leaves: a crash there sends the mail again,
//! under the same Message-ID. A database that takes no such row is no reason to: the sender remembers what was taken.

mod message;
pub mod sender;
mod smtp;
mod text;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::access::decide::{Act, Permit, RuleId};
use crate::domain::ids::{DossierId, LogicalId};
use crate::domain::national_id::PsIdNat;
use crate::domain::notice::{Addressee, EmergencyAccess, NoticeKind};
use crate::identity::caller::Caller;
use crate::store::{Error, Tx, dossier, outbox};

/// Rung when this process wrote a notice, so that its sender need not wait for its next look.
#[derive(Clone, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Returns at once where it rang since the last time.
    async fn rung(&self) {
        self.0.notified().await;
    }
}

/// The emergency that alone allowed what `permit` allows, if it was one.
pub fn emergency<A: Act>(permit: &Permit<A>, caller: &Caller, at: Timestamp) -> Option<EmergencyAccess> {
    let kind = match permit.rule() {
        RuleId::BrisDeGlace => NoticeKind::BrisDeGlace,
        RuleId::Centre15 => NoticeKind::Centre15,
        _ => return None,
    };
    let (who, is_secret) = (caller.professional_id()?.clone(), caller.is_secret());
    Some(EmergencyAccess { kind, dossier: permit.dossier(), caller: who, at, is_secret })
}

/// Tells the patient and each médecin traitant of an access, in the write of its journal line.
pub async fn tell(tx: &mut Tx<'_>, access: &EmergencyAccess) -> Result<(), Error> {
    let dossier = dossier::load(tx, access.dossier).await?;
    access.notices(&dossier).iter().for_each(|notice| outbox::insert(tx, notice));
    Ok(())
}

/// Takes that advice back: the document is visible, replaced by a visible one, or gone.
pub fn cancel_advice(tx: &mut Tx<'_>, dossier: DossierId, document: LogicalId, now: Timestamp) {
    let (addressee, occasion) = (Addressee::Patient(dossier), document.to_string());
    outbox::cancel(tx, &addressee, dossier, NoticeKind::InvisibleDocument, &occasion, now);
}

/// Takes back what waits for a professional about a record that they are blocked from.
pub fn cancel_notices_to(tx: &mut Tx<'_>, dossier: DossierId, blocked: &PsIdNat, now: Timestamp) {
    outbox::cancel_all(tx, &Addressee::Professional(blocked.clone()), dossier, now);
}
