//! What the law wants somebody to be told of, once, by mail. Source: CSP L1111-17, R1111-48, R1111-53.

use jiff::{SignedDuration, Timestamp};

use super::dossier::Dossier;
use super::ids::{DossierId, LogicalId, NoticeId};
use super::national_id::PsIdNat;

/// One mail to one person. It holds what its text needs, and neither health data nor a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub id: NoticeId,
    pub dossier: DossierId,
    pub kind: NoticeKind,
    /// What it is about, beside record and addressee: a second one of the same occasion is none.
    pub occasion: String,
    pub addressee: Addressee,
    /// When that was.
    pub at: Timestamp,
    /// Not sent before.
    pub due: Timestamp,
    /// Told of in the journal as that was: legal representatives and aidants are not shown a secret connection, nor its
    /// notice.
    pub is_secret: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// A professional consulted the record by bris de glace.
    BrisDeGlace,
    /// The emergency regulation centre did.
    Centre15,
    /// A document is invisible to the patient for two weeks: a professional should explain it.
    InvisibleDocument,
}

/// Who is told, and whose mail address it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressee {
    Patient(DossierId),
    /// As médecin traitant of the record.
    Professional(PsIdNat),
}

/// A consultation that an emergency alone allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmergencyAccess {
    pub kind: NoticeKind,
    pub dossier: DossierId,
    pub caller: PsIdNat,
    pub at: Timestamp,
    /// "Connexion secrète" (J64).
    pub is_secret: bool,
}

impl EmergencyAccess {
    /// One for the patient, one for each médecin traitant in force but the caller themselves and whom the patient
    /// blocked.
    ///
    /// A record has one mail address, and that of a minor is their parents': what is secret from legal representatives
    /// (J64) waits for the patient in the journal.
    ///
    /// What one professional consults of one record for one purpose within an hour of the clock is one occasion: a
    /// consultation is many requests.
    pub fn notices(&self, dossier: &Dossier) -> Vec<Notice> {
        let hour = self.at.as_second().div_euclid(HOUR_S);
        let occasion = format!("{hour} {}", self.caller);
        let is_told = |ps: &&PsIdNat| **ps != self.caller && !dossier.is_blocked(ps, self.at);
        let others = dossier.medecins_traitants(self.at).filter(is_told);
        let addressees = others.cloned().map(Addressee::Professional);
        let told_by_mail = !(self.is_secret && dossier.has_legal_representative(self.at));
        told_by_mail
            .then_some(Addressee::Patient(dossier.id))
            .into_iter()
            .chain(addressees)
            .map(|addressee| Notice {
                id: NoticeId::new(),
                dossier: dossier.id,
                kind: self.kind,
                occasion: occasion.clone(),
                addressee,
                at: self.at,
                due: self.at,
                is_secret: self.is_secret,
            })
            .collect()
    }
}

impl Notice {
    /// Two weeks after a document was made invisible to its patient (R1111-53).
    pub fn of_invisible_document(dossier: DossierId, document: LogicalId, since: Timestamp) -> Self {
        Self {
            id: NoticeId::new(),
            dossier,
            kind: NoticeKind::InvisibleDocument,
            occasion: document.to_string(),
            addressee: Addressee::Patient(dossier),
            at: since,
            due: since.saturating_add(ADVICE_AFTER).unwrap_or(since),
            is_secret: false,
        }
    }
}

impl NoticeKind {
    pub const ALL: [Self; 3] = [Self::BrisDeGlace, Self::Centre15, Self::InvisibleDocument];

    /// The word that the store keeps.
    pub fn word(self) -> &'static str {
        match self {
            Self::BrisDeGlace => "bris_de_glace",
            Self::Centre15 => "centre_15",
            Self::InvisibleDocument => "invisible_document",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// The article that wants it.
    pub fn article(self) -> &'static str {
        match self {
            Self::BrisDeGlace | Self::Centre15 => "L R1111-48",
            Self::InvisibleDocument => "L R1111-53",
        }
    }
}

impl Addressee {
    /// `patient` or `ps`: the word that the store keeps beside the number.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Patient(_) => "patient",
            Self::Professional(_) => "ps",
        }
    }

    pub fn number(&self) -> String {
        match self {
            Self::Patient(dossier) => dossier.to_string(),
            Self::Professional(ps) => ps.to_string(),
        }
    }
}

const HOUR_S: i64 = 3600;
const ADVICE_AFTER: SignedDuration = SignedDuration::from_hours(14 * 24);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::consent::{Consent, ConsentKind, DeclaredBy, Delegate, DelegateRole};
    use crate::domain::dossier::DossierState;
    use crate::domain::ids::ConsentId;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn ps(id: &str) -> PsIdNat {
        id.parse().unwrap()
    }

    fn dossier(medecins_traitants: &[(&str, Option<Timestamp>)]) -> Dossier {
        let consents = medecins_traitants.iter().map(|(id, until)| Consent {
            id: ConsentId::new(),
            kind: ConsentKind::MedecinTraitant(ps(id)),
            since: Timestamp::UNIX_EPOCH,
            until: *until,
            declared_by: DeclaredBy::Patient,
            is_secret: false,
        });
        Dossier { id: DossierId::new(), state: DossierState::Activated, ins: vec![], consents: consents.collect() }
    }

    fn access(dossier: &Dossier, caller: &str, instant: &str) -> EmergencyAccess {
        let (kind, is_secret) = (NoticeKind::BrisDeGlace, false);
        EmergencyAccess { kind, dossier: dossier.id, caller: ps(caller), at: at(instant), is_secret }
    }

    #[test]
    fn the_patient_is_told_and_every_medecin_traitant_in_force_but_the_caller() {
        let ended = at("2026-01-01T00:00:00Z");
        let dossier = dossier(&[("810000000011", None), ("810000000029", None), ("810000000037", Some(ended))]);
        let told = |caller| -> Vec<Addressee> {
            let notices = access(&dossier, caller, "2026-11-22T06:00:00Z").notices(&dossier);
            notices.into_iter().map(|notice| notice.addressee).collect()
        };
        let (patient, martin, bernard) = (
            Addressee::Patient(dossier.id),
            Addressee::Professional(ps("810000000011")),
            Addressee::Professional(ps("810000000029")),
        );
        assert_eq!(told("810000000045"), [patient.clone(), martin.clone(), bernard.clone()]);
        assert_eq!(told("810000000011"), [patient.clone(), bernard]);
        assert_eq!(told("810000000029"), [patient, martin]);
    }

    #[test]
    fn a_secret_emergency_is_not_mailed_where_parents_may_read_the_mail() {
        let mut dossier = dossier(&[("810000000011", None)]);
        let told = |dossier: &Dossier| -> Vec<Addressee> {
            let access = access(dossier, "810000000045", "2026-11-22T06:00:00Z");
            let notices = EmergencyAccess { is_secret: true, ..access }.notices(dossier);
            notices.into_iter().map(|notice| notice.addressee).collect()
        };
        let martin = Addressee::Professional(ps("810000000011"));
        assert_eq!(told(&dossier), [Addressee::Patient(dossier.id), martin.clone()]);
        let parent = Delegate { role: DelegateRole::LegalRepresentative, id: "ens-42".parse().unwrap() };
        let line = Consent { kind: ConsentKind::Delegation(parent), ..dossier.consents[0].clone() };
        dossier.consents.push(line);
        assert_eq!(told(&dossier), [martin]);
    }

    #[test]
    fn one_hour_of_the_clock_and_one_professional_are_one_occasion() {
        let dossier = dossier(&[]);
        let occasion = |caller, instant| access(&dossier, caller, instant).notices(&dossier)[0].occasion.clone();
        let first = occasion("810000000011", "2026-11-22T06:00:00Z");
        assert_eq!(occasion("810000000011", "2026-11-22T06:59:59.999999Z"), first);
        assert_ne!(occasion("810000000011", "2026-11-22T07:00:00Z"), first);
        assert_ne!(occasion("810000000029", "2026-11-22T06:00:00Z"), first);
    }

    #[test]
    fn advice_is_due_two_weeks_later_even_at_the_end_of_time() {
        let since = at("2026-11-22T06:00:00Z");
        let notice = Notice::of_invisible_document(DossierId::new(), LogicalId::new(), since);
        assert_eq!((notice.at, notice.due), (since, at("2026-12-06T06:00:00Z")));
        Notice::of_invisible_document(DossierId::new(), LogicalId::new(), Timestamp::MAX);
    }
}
