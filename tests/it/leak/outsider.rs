//! Who asks: whoever does not see the whole record, in every mode that a caller comes in.

use carnet::domain::code::Code;
use carnet::domain::consent::{Delegate, DelegateRole};
use carnet::domain::ins::Ins;
use carnet::domain::national_id::PsIdNat;
use carnet::identity::caller::Purpose;
use carnet::identity::session::SessionHeaders;
use carnet::identity::statement::{AccessVisibility, StatedMode, StatedSubject, Statement};
use carnet::tls::development_pki::Holder;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::support::gateway::{INSURER, OTHER_PATIENT, PORTAL, software};

pub(super) const HOSPITAL: &str = "1350000899";
const LABORATORY: &str = "1350001111";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outsider {
    pub(super) who: Who,
    pub(super) purpose: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Doctor,
    Nurse,
    Technician,
    /// Of a profession in no row of the habilitation matrix.
    Unlisted,
    /// A doctor of occupational medicine, by their only savoir-faire.
    Occupational,
    Employee,
    Hospital,
    Laboratory,
    Insurer,
    /// The same people as with their cards, over the connection of the hospital.
    AirDoctor,
    AirNurse,
    /// With a token about another patient.
    AirElsewhere,
    /// Of the hospital, which states its software in a VIHF.
    Automaton,
    /// The patient, from whom documents are hidden for a while.
    Patient,
    /// "Connexion secrète".
    PatientInSecret,
    Representative,
    Aidant,
    /// The portal, and nobody before it.
    Portal,
    /// The portal with another patient before it.
    PatientElsewhere,
}

impl Outsider {
    pub(super) fn purpose(self) -> Purpose {
        match self.purpose {
            "bris_de_glace" => Purpose::BrisDeGlace { reason: REASON.to_owned() },
            "centre_15" => Purpose::Centre15,
            _ => Purpose::Normal,
        }
    }
}

impl Who {
    pub(super) const ALL: [Self; 19] = [
        Self::Doctor,
        Self::Nurse,
        Self::Technician,
        Self::Unlisted,
        Self::Occupational,
        Self::Employee,
        Self::Hospital,
        Self::Laboratory,
        Self::Insurer,
        Self::AirDoctor,
        Self::AirNurse,
        Self::AirElsewhere,
        Self::Automaton,
        Self::Patient,
        Self::PatientInSecret,
        Self::Representative,
        Self::Aidant,
        Self::Portal,
        Self::PatientElsewhere,
    ];

    /// Whose certificate they come with.
    pub(super) fn connection(self) -> Self {
        match self {
            Self::AirDoctor | Self::AirNurse | Self::AirElsewhere | Self::Automaton => Self::Hospital,
            Self::Patient | Self::PatientInSecret | Self::Representative | Self::Aidant | Self::PatientElsewhere => {
                Self::Portal
            }
            with_their_own => with_their_own,
        }
    }

    /// Under whom they deposit, if they do.
    pub(super) fn source(self) -> Option<Self> {
        match self {
            Self::AirDoctor | Self::AirElsewhere => Some(Self::Doctor),
            Self::AirNurse => Some(Self::Nurse),
            Self::Insurer => None,
            other => Some(other.connection()).filter(|connection| *connection != Self::Portal),
        }
    }

    pub(super) fn holder(self) -> Holder {
        match self.connection() {
            Self::Employee => Holder::Employee {
                id: format!("3{}/42", &HOSPITAL[1..]).parse().expect("PS_IdNat"),
                organisation: "HOPITAL DE TEST".to_owned(),
            },
            Self::Laboratory => organisation(LABORATORY),
            Self::Insurer => organisation(INSURER),
            Self::Portal => organisation(PORTAL),
            other => match other.profession() {
                Some((id, profession, savoir_faire)) => professional(id, profession, savoir_faire),
                None => organisation(HOSPITAL),
            },
        }
    }

    pub(super) fn professional(self) -> Option<PsIdNat> {
        self.profession().map(|(id, ..)| id.parse().expect("PS_IdNat"))
    }

    /// RPPS, profession and savoir-faire.
    fn profession(self) -> Option<(&'static str, u8, &'static [&'static str])> {
        match self {
            Self::Doctor | Self::AirDoctor | Self::AirElsewhere => Some(("810000000011", 10, &[])),
            Self::Nurse | Self::AirNurse => Some(("810000000029", 60, &[])),
            Self::Technician => Some(("810000000037", 86, &[])),
            Self::Unlisted => Some(("810000000045", 99, &[])),
            Self::Occupational => Some(("810000000052", 10, &["SM25"])),
            _ => None,
        }
    }

    pub(super) fn delegate(self) -> Option<Delegate> {
        let role = match self {
            Self::Representative => DelegateRole::LegalRepresentative,
            Self::Aidant => DelegateRole::Aidant,
            _ => return None,
        };
        Some(Delegate { role, id: DELEGATE.parse().expect("an id") })
    }

    /// What the VIHF says that they come with.
    pub(super) fn statement(self, patient: &Ins, purpose: Purpose) -> Option<Statement> {
        let (mode, id, role) = match self {
            Self::Automaton => (StatedMode::Indirecte, "automate-3", Code::new("1.2.250.1.213.1.1.4.6", "AUTOMATE")),
            Self::AirDoctor | Self::AirNurse | Self::AirElsewhere => {
                let (id, profession, _) = self.profession()?;
                (StatedMode::IndirecteRenforcee, id, Code::new("1.2.250.1.71.1.2.7", &profession.to_string()))
            }
            _ => return None,
        };
        let of_another = || OTHER_PATIENT.parse().expect("INS");
        Some(Statement {
            mode,
            subject: StatedSubject { id: id.to_owned(), name: Some("Anne COLLEGUE".to_owned()) },
            structure: HOSPITAL.parse().expect("Struct_IdNat"),
            sector: Some(Code::new("1.2.250.1.71.4.2.4", "SA01")),
            roles: vec![role],
            purpose,
            patient: Some(if self == Self::AirElsewhere { of_another() } else { patient.clone() }),
            visibility: AccessVisibility::Ordinary,
            software: Some(software()),
        })
    }

    /// Who sits before the portal, as it states it.
    pub(super) fn session(self, patient: &Ins) -> Option<Session> {
        let patient = match self {
            Self::PatientElsewhere => OTHER_PATIENT.parse().expect("INS"),
            _ => patient.clone(),
        };
        let user = match self {
            Self::Patient | Self::PatientInSecret | Self::PatientElsewhere => "patient".to_owned(),
            Self::Representative | Self::Aidant => {
                let delegate = self.delegate()?;
                format!("{} {}", delegate.role.word(), delegate.id)
            }
            _ => return None,
        };
        let on_behalf_of = format!("urn:oid:{}|{}", patient.authority().oid(), patient.matricule());
        Some(Session { on_behalf_of, user, secret: self == Self::PatientInSecret })
    }
}

/// The headers of a session of the portal.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) on_behalf_of: String,
    pub(super) user: String,
    secret: bool,
}

impl Session {
    pub(super) fn headers(&self) -> SessionHeaders<'_> {
        SessionHeaders { on_behalf_of: Some(&self.on_behalf_of), user: Some(&self.user), secret: self.secret() }
    }

    pub(super) fn secret(&self) -> Option<&'static str> {
        self.secret.then_some("true")
    }
}

pub(super) fn outsider() -> impl Strategy<Value = Outsider> {
    let who = prop_oneof![
        1 => Just(Who::Doctor),
        1 => select(vec![Who::Patient, Who::Representative, Who::Aidant]),
        3 => select(Who::ALL.to_vec()),
    ];
    let purpose = prop_oneof![4 => Just("normal"), 1 => Just("bris_de_glace"), 1 => Just("centre_15")];
    (who, purpose).prop_map(|(who, purpose)| Outsider { who, purpose })
}

pub(super) fn professional(id: &str, profession: u8, savoir_faire: &[&str]) -> Holder {
    let (family, given) = ("COLLEGUE".to_owned(), "Anne".to_owned());
    let savoir_faire = savoir_faire.iter().map(|&code| code.to_owned()).collect();
    Holder::Professional { ps_id: id.parse().expect("PS_IdNat"), family, given, profession, savoir_faire }
}

fn organisation(id: &str) -> Holder {
    Holder::Organisation {
        struct_id: id.parse().expect("Struct_IdNat"),
        name: "STRUCTURE DE TEST".to_owned(),
        application: "TEST".to_owned(),
    }
}

const DELEGATE: &str = "ens-42";
pub(super) const REASON: &str = "patient inconscient";
