//! Callers and records of which decisions are asked.

use std::collections::BTreeSet;

use carnet::access::decide::{
    Action, ConcealFromPatient, ConcealFromRepresentatives, Consult, DeclareAuthorisation, Denial, Deposit, Existence,
    LeaveAsMedecinTraitant, ListAuthorisations, Mask, NameAidant, NameRepresentative, Permit, ReadJournal,
    RemoveAuthorisation, Retrieve, RevealToPatient, RevealToRepresentatives, RuleId, SetList, Unmask, decide,
};
use carnet::access::matrices::Matrices;
use carnet::access::rights::{Column, Matrix, Standing};
use carnet::access::visibility::{EntryFacts, Visibility};
use carnet::domain::code::Code;
use carnet::domain::confidentiality::VisibilityLabel;
use carnet::domain::consent::{Consent, ConsentKind, DeclaredBy, Delegate, DelegateRole, Grantee};
use carnet::domain::dossier::{Dossier, DossierState};
use carnet::domain::ids::{ConsentId, DossierId};
use carnet::domain::ins::Ins;
use carnet::domain::national_id::{PsIdNat, StructIdNat};
use carnet::domain::status::AvailabilityStatus;
use carnet::domain::value_set::Terminology;
use carnet::identity::caller::{
    AirProfessional, Caller, Evidence, Practice, Professional, Purpose, Structure, StructureEmployee, StructurePurpose,
};
use carnet::identity::session::{PortalSession, PortalUser};
use carnet::identity::statement::{AccessVisibility, StatedMode, StatedSubject, Statement};
use carnet::identity::token::{Signer, Token, TokenKind};
use jiff::Timestamp;

use super::super::support::gateway::{OTHER_PATIENT, patient};

/// The day of the reviewed tables.
pub(super) fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().expect("an instant")
}

pub(super) fn matrices() -> Matrices {
    Matrices::load(&Terminology::load().expect("terminology")).expect("matrices")
}

/// What was decided: the rule, and with a permit what it shows.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    pub(super) rule: RuleId,
    pub(super) visibility: Option<Visibility>,
}

pub(super) fn ask(matrices: &Matrices, action: Action, caller: &Caller, dossier: &Dossier) -> Decided {
    fn decided<A: carnet::access::decide::Act>(answer: Result<Permit<A>, Denial>) -> Decided {
        match answer {
            Ok(permit) => Decided { rule: permit.rule(), visibility: Some(permit.visibility().clone()) },
            Err(denial) => Decided { rule: denial.rule, visibility: None },
        }
    }
    macro_rules! decided_for {
        ($($act:ident),*) => {
            match action { $(Action::$act => decided(decide::<$act>(matrices, caller, dossier, now())),)* }
        };
    }
    decided_for!(
        Existence,
        Deposit,
        Consult,
        Retrieve,
        DeclareAuthorisation,
        RemoveAuthorisation,
        LeaveAsMedecinTraitant,
        ListAuthorisations,
        SetList,
        NameRepresentative,
        NameAidant,
        Mask,
        Unmask,
        ConcealFromPatient,
        RevealToPatient,
        ConcealFromRepresentatives,
        RevealToRepresentatives,
        ReadJournal
    )
}

impl Decided {
    pub(super) fn shows(
        &self,
        own: bool,
        status: AvailabilityStatus,
        label: Option<VisibilityLabel>,
        class: &str,
    ) -> bool {
        let labels: BTreeSet<VisibilityLabel> = label.into_iter().collect();
        let none = BTreeSet::new();
        let facts = EntryFacts { own, status, labels: &labels, class_code: class, type_code: "", specialties: &none };
        self.visibility.as_ref().is_some_and(|visibility| visibility.shows(&facts))
    }
}

/// What the record and its list say of one caller: each field on its own.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a line of the list that is there or not")]
pub(super) struct Facts {
    pub(super) state: DossierState,
    pub(super) authorisation: Authorisation,
    pub(super) blocked: bool,
    pub(super) medecin_traitant: bool,
    pub(super) opposes_bris_de_glace: bool,
    pub(super) opposes_centre_15: bool,
    pub(super) shows_masked_in_emergencies: bool,
    /// Somebody is the legal representative.
    pub(super) represented: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Authorisation {
    None,
    Declared,
    ByPatient,
    OfStructure,
    Ended,
}

impl Authorisation {
    pub(super) const ALL: [Self; 5] = [Self::None, Self::Declared, Self::ByPatient, Self::OfStructure, Self::Ended];
}

impl Facts {
    pub(super) const NOTHING: Self = Self {
        state: DossierState::Activated,
        authorisation: Authorisation::None,
        blocked: false,
        medecin_traitant: false,
        opposes_bris_de_glace: false,
        opposes_centre_15: false,
        shows_masked_in_emergencies: false,
        represented: false,
    };

    pub(super) fn dossier(&self) -> Dossier {
        let line = |kind, declared_by| {
            let (id, since) = (ConsentId::new(), before());
            Consent { id, kind, since, until: None, declared_by, is_secret: false }
        };
        let of_ps = || ConsentKind::Authorisation(Grantee::Professional(ps()));
        let mut consents = match self.authorisation {
            Authorisation::None => Vec::new(),
            Authorisation::Declared => vec![line(of_ps(), DeclaredBy::Professional { id: ps(), structure: None })],
            Authorisation::ByPatient => vec![line(of_ps(), DeclaredBy::Patient)],
            Authorisation::OfStructure => {
                vec![line(ConsentKind::Authorisation(Grantee::Structure(structure().id)), DeclaredBy::Patient)]
            }
            Authorisation::Ended => vec![Consent { until: Some(now()), ..line(of_ps(), DeclaredBy::Patient) }],
        };
        let mut add = |is_there: bool, kind| consents.extend(is_there.then(|| line(kind, DeclaredBy::Patient)));
        add(self.blocked, ConsentKind::Block(ps()));
        add(self.medecin_traitant, ConsentKind::MedecinTraitant(ps()));
        add(self.opposes_bris_de_glace, ConsentKind::OppositionBrisDeGlace);
        add(self.opposes_centre_15, ConsentKind::OppositionCentre15);
        add(self.shows_masked_in_emergencies, ConsentKind::MaskedInEmergencies);
        add(true, ConsentKind::Delegation(delegate(DelegateRole::Aidant, KNOWN)));
        add(self.represented, ConsentKind::Delegation(delegate(DelegateRole::LegalRepresentative, KNOWN)));
        Dossier { id: DossierId::new(), state: self.state, ins: vec![patient()], consents }
    }
}

pub(super) fn closed() -> DossierState {
    DossierState::Closed { at: before() }
}

/// Somebody who stands in a column of a matrix, once the list names the médecin traitant of the columns MT.
pub(super) fn standing_in(at: Standing) -> Caller {
    let care = |purpose, profession| match at.matrix {
        Matrix::Direct => direct(profession, Practice::Care, purpose),
        Matrix::Air => air(profession, Practice::Care, purpose, None),
    };
    let (doctor, nurse) = (Code::new(G15, "10"), Code::new(G15, "60"));
    let bris_de_glace = || Purpose::BrisDeGlace { reason: "inconscient".to_owned() };
    match at.column {
        Column::Pn => care(Purpose::Normal, nurse),
        Column::Pr => care(Purpose::Centre15, nurse),
        Column::Pb => care(bris_de_glace(), nurse),
        Column::Mn | Column::Mtn => care(Purpose::Normal, doctor),
        Column::Mr => care(Purpose::Centre15, doctor),
        Column::Mb | Column::Mtb => care(bris_de_glace(), doctor),
        Column::T => match at.matrix {
            Matrix::Direct => direct(doctor, Practice::OccupationalMedicine, Purpose::Normal),
            Matrix::Air => air(doctor, Practice::OccupationalMedicine, Purpose::Normal, None),
        },
        Column::Cpe => employee(Practice::Care, StructurePurpose::Normal),
        Column::Esn => Caller::Indirect(structure(), StructurePurpose::Normal, Evidence::Certificate),
        Column::Esr => Caller::Indirect(structure(), StructurePurpose::Centre15, Evidence::Certificate),
        Column::Nps => care(Purpose::Normal, Code::new("1.2.250.1.213.1.6.1.109", "93")),
    }
}

pub(super) fn is_mt(column: Column) -> bool {
    matches!(column, Column::Mtn | Column::Mtb)
}

/// Everybody whom a decision can tell from somebody else.
pub(super) fn every_caller(matrices: &Matrices) -> Vec<Caller> {
    let mut callers = portals();
    callers.push(Caller::Operator);
    let practices = [Practice::Care, Practice::OccupationalMedicine];
    for purpose in [StructurePurpose::Normal, StructurePurpose::Centre15] {
        callers.push(Caller::Indirect(structure(), purpose, Evidence::Certificate));
        callers.extend(practices.map(|practice| employee(practice, purpose)));
    }
    let mut professions: Vec<Code> = matrices.habilitation.groups().map(|(_, code)| code).collect();
    professions.push(Code::new("1.2.3", "unknown"));
    let purposes = [Purpose::Normal, Purpose::Centre15, Purpose::BrisDeGlace { reason: "inconscient".to_owned() }];
    for profession in &professions {
        for practice in practices {
            for purpose in &purposes {
                callers.push(direct(profession.clone(), practice, purpose.clone()));
                for about in [None, Some(patient()), Some(OTHER_PATIENT.parse().expect("INS"))] {
                    callers.push(air(profession.clone(), practice, purpose.clone(), about));
                }
            }
        }
    }
    callers
}

/// Everybody who can sit before the portal.
pub(super) fn portals() -> Vec<Caller> {
    let mut users = vec![PortalUser::Patient];
    for id in [KNOWN, "ens-unknown"] {
        users.extend(DelegateRole::ALL.map(|role| PortalUser::Delegate(delegate(role, id))));
    }
    let mut callers = vec![unstated_portal()];
    for about in [patient(), OTHER_PATIENT.parse().expect("INS")] {
        callers.extend(users.iter().map(|user| portal_about(about.clone(), user.clone())));
    }
    callers
}

pub(super) fn unstated_portal() -> Caller {
    Caller::PatientPortal(structure(), PortalSession::Unstated)
}

pub(super) fn portal(user: PortalUser) -> Caller {
    portal_about(patient(), user)
}

fn portal_about(patient: Ins, user: PortalUser) -> Caller {
    let session = PortalSession::Of { patient, user, visibility: AccessVisibility::Ordinary };
    Caller::PatientPortal(structure(), session)
}

/// The id of delegates whom every list of these tests names.
pub(super) const KNOWN: &str = "ens-known";

pub(super) fn delegate(role: DelegateRole, id: &str) -> Delegate {
    Delegate { role, id: id.parse().expect("an id") }
}

pub(super) fn direct(profession: Code, practice: Practice, purpose: Purpose) -> Caller {
    let (family, given) = ("MARTIN".to_owned(), "Claire".to_owned());
    let professional = Professional { id: ps(), family, given, profession, savoir_faire: Vec::new(), practice };
    Caller::Direct(professional, purpose, Evidence::Certificate)
}

pub(super) fn air(profession: Code, practice: Practice, purpose: Purpose, about: Option<Ins>) -> Caller {
    let token = Token {
        kind: TokenKind::Vihf,
        id: "_1".to_owned(),
        statement: Statement {
            mode: StatedMode::IndirecteRenforcee,
            subject: StatedSubject { id: ps().to_string(), name: None },
            structure: structure().id,
            sector: None,
            roles: vec![profession.clone()],
            purpose: purpose.clone(),
            patient: about,
            visibility: AccessVisibility::Ordinary,
            software: None,
        },
        signer: Signer::Provider,
    };
    let name = "Claire MARTIN".to_owned();
    let professional =
        AirProfessional { id: ps(), name, profession, savoir_faire: Vec::new(), structure: structure(), practice };
    Caller::Air(professional, purpose, Box::new(token))
}

fn employee(practice: Practice, purpose: StructurePurpose) -> Caller {
    let (family, given) = ("PETIT".to_owned(), "Julie".to_owned());
    let id = "31350000899/42".parse().expect("PS_IdNat");
    let employee = StructureEmployee { id, family, given, structure: structure(), practice };
    Caller::Employee(employee, purpose, Evidence::Certificate)
}

fn ps() -> PsIdNat {
    "810000000011".parse().expect("PS_IdNat")
}

fn structure() -> Structure {
    let id: StructIdNat = "1350000899".parse().expect("Struct_IdNat");
    Structure { id, name: "HOPITAL DE TEST".to_owned() }
}

fn before() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("an instant")
}

pub(super) const G15: &str = "1.2.250.1.71.1.2.7";
