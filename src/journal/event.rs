//! One line of the journal. No optional field: what is not known is said so.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::consent::{Consent, Delegate, DelegateRole};
use crate::domain::document_entry::DocumentEntry;
use crate::domain::ids::DossierId;
use crate::identity::caller::{Caller, Purpose};
use crate::identity::session::{PortalSession, PortalUser};
use crate::identity::statement::{AccessVisibility, Software};
use crate::identity::token::Token;

/// What happened, as it is sealed. Field order is part of the format: the line is hashed as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub at: Timestamp,
    pub actor: Actor,
    pub purpose: StatedPurpose,
    pub connection: Connection,
    pub action: Action,
    pub dossier: Subject,
    pub result: Outcome,
    /// Every entry concerned: a disclosure lists all that it disclosed.
    pub entries: Vec<EntryMention>,
    pub change: Change,
    pub token: StatedToken,
}

/// What was changed of the patient's list, or of who sees a document: the list itself forgets, the journal does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    None,
    /// What was asked for, and what ended with it.
    Lines(Vec<ChangedLine>),
    Label {
        label: String,
        present: bool,
    },
    /// The mail address of a professional, or of the patient where `who` is empty: whether there is one from now on.
    Contact {
        who: String,
        present: bool,
    },
}

/// A line of the list as it is from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedLine {
    pub id: String,
    /// In the words of the store.
    pub kind: String,
    /// National identifier, or id of a delegate; empty where the line names nobody.
    pub who: String,
    pub since: Timestamp,
    /// Empty without end.
    pub until: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Actor {
    Professional {
        ps_id: String,
        family: String,
        given: String,
        profession: String,
    },
    /// Whom a structure vouches for (AIR).
    AirProfessional {
        ps_id: String,
        name: String,
        profession: String,
        struct_id: String,
        structure: String,
    },
    /// For their structure.
    Employee {
        card_id: String,
        name: String,
        struct_id: String,
        structure: String,
    },
    Structure {
        struct_id: String,
        name: String,
    },
    PatientPortal {
        struct_id: String,
        name: String,
        user: StatedUser,
    },
    Operator,
    /// This gateway, of itself.
    System,
    /// A certificate that names nobody this gateway serves, or nobody whom the token names.
    Unidentified {
        certificate_serial: String,
        /// National id in its subject; empty where none was read.
        holder: String,
    },
}

/// Who sat before the portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatedUser {
    /// The portal handed on an act of the patient's and said no more.
    Unstated,
    Patient,
    LegalRepresentative(String),
    Aidant(String),
}

/// "Connexion secrète", or about what was said over one: legal representatives and aidants are not shown this line
/// (J64).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    Ordinary,
    Secret,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatedPurpose {
    Normal,
    BrisDeGlace {
        reason: String,
    },
    #[serde(rename = "centre_15")]
    Centre15,
    NotRead,
}

/// What the token of the request said: the real user although the act is the structure's, the software, the id under
/// which the VIHF itself is found again (F.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatedToken {
    None,
    Presented {
        kind: String,
        id: String,
        mode: String,
        user: String,
        /// Empty where the token says none.
        user_name: String,
        role: String,
        struct_id: String,
        /// `name version (homologation) installation`; empty where the token says none.
        software: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// TD2.1
    Deposit,
    /// TD3.1
    Search,
    /// Metadata of one document, by its id.
    Read,
    /// TD3.2
    Retrieve,
    /// TD0.2
    Existence,
    /// TD0.3, or the patient's own act.
    SetConsent,
    ListConsents,
    /// TD0.4
    ListDossiers,
    /// TD3.3a, TD3.3b: a label of one document, by whoever may.
    SetLabel,
    OpenDossier,
    CloseDossier,
    ReopenDossier,
    /// Where the patient, or a professional, is told what the law wants them told.
    SetContact,
    /// The relay took the mail that tells them (R1111-48, R1111-53).
    NotifyPatient,
    NotifyMedecinTraitant,
    /// Who did what with the record, or what one did oneself (R1111-43).
    ReadJournal,
    /// A request that was turned away before anybody knew what it was about.
    Request,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    Dossier(String),
    /// A list of records, none of which was opened (TD0.4).
    Dossiers(Vec<String>),
    /// The request named nobody, or nobody who has a record here.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// By the rule that allowed it.
    Done { rule: String },
    /// Sent a second time: same answer, nothing stored.
    DoneBefore,
    /// By the rule that denied it: known here, never told to the caller.
    Denied { rule: String },
    /// By the rules that the request broke.
    Refused { rules: Vec<String> },
    /// What was asked for is not there, or not there for this caller.
    NotFound,
}

/// A document as it was called at the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryMention {
    pub document: String,
    pub unique_id: String,
    #[serde(rename = "type")]
    pub type_code: String,
    pub title: String,
}

impl Event {
    pub fn changing(self, change: Change) -> Self {
        Self { change, ..self }
    }

    /// The same line, not for who acts for the patient: what it is about was said in secret.
    pub fn in_secret(self) -> Self {
        Self { connection: Connection::Secret, ..self }
    }
}

impl Change {
    pub fn of_lines<'l>(lines: impl IntoIterator<Item = &'l Consent>) -> Self {
        let changed = lines.into_iter().map(|line| ChangedLine {
            id: line.id.to_string(),
            kind: line.kind.word().to_owned(),
            who: line.kind.party().to_owned(),
            since: line.since,
            until: line.until.map(|until| until.to_string()).unwrap_or_default(),
        });
        Self::Lines(changed.collect())
    }
}

impl Action {
    pub const ALL: [Self; 17] = [
        Self::Deposit,
        Self::Search,
        Self::Read,
        Self::Retrieve,
        Self::Existence,
        Self::SetConsent,
        Self::ListConsents,
        Self::ListDossiers,
        Self::SetLabel,
        Self::OpenDossier,
        Self::CloseDossier,
        Self::ReopenDossier,
        Self::SetContact,
        Self::NotifyPatient,
        Self::NotifyMedecinTraitant,
        Self::ReadJournal,
        Self::Request,
    ];

    /// The word that a line has for it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Search => "search",
            Self::Read => "read",
            Self::Retrieve => "retrieve",
            Self::Existence => "existence",
            Self::SetConsent => "set_consent",
            Self::ListConsents => "list_consents",
            Self::ListDossiers => "list_dossiers",
            Self::SetLabel => "set_label",
            Self::OpenDossier => "open_dossier",
            Self::CloseDossier => "close_dossier",
            Self::ReopenDossier => "reopen_dossier",
            Self::SetContact => "set_contact",
            Self::NotifyPatient => "notify_patient",
            Self::NotifyMedecinTraitant => "notify_medecin_traitant",
            Self::ReadJournal => "read_journal",
            Self::Request => "request",
        }
    }

    /// The action in plain words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Search => "search",
            Self::Read => "read metadata",
            Self::Retrieve => "read document",
            Self::Existence => "ask for existence",
            Self::SetConsent => "change of the patient's list",
            Self::ListConsents => "read the patient's list",
            Self::ListDossiers => "list of authorised records",
            Self::SetLabel => "change of who sees a document",
            Self::OpenDossier => "open record",
            Self::CloseDossier => "close record",
            Self::ReopenDossier => "reopen record",
            Self::SetContact => "change of a contact",
            Self::NotifyPatient => "notice to the patient",
            Self::NotifyMedecinTraitant => "notice to the médecin traitant",
            Self::ReadJournal => "read the journal",
            Self::Request => "request",
        }
    }
}

impl Outcome {
    /// FHIR's audit-event-outcome, which is DICOM's EventOutcomeIndicator: success, minor and serious failure.
    pub fn indicator(&self) -> &'static str {
        match self {
            Self::Done { .. } | Self::DoneBefore => "0",
            Self::Refused { .. } | Self::NotFound => "4",
            Self::Denied { .. } => "8",
        }
    }

    /// The rules that made it; empty where none is told.
    pub fn rules(&self) -> String {
        match self {
            Self::Done { rule } | Self::Denied { rule } => rule.clone(),
            Self::Refused { rules } => rules.join(", "),
            Self::DoneBefore | Self::NotFound => String::new(),
        }
    }
}

impl Actor {
    pub fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Direct(professional, ..) => Self::Professional {
                ps_id: professional.id.to_string(),
                family: professional.family.clone(),
                given: professional.given.clone(),
                profession: professional.profession.code.clone(),
            },
            Caller::Air(professional, ..) => Self::AirProfessional {
                ps_id: professional.id.to_string(),
                name: professional.name.clone(),
                profession: professional.profession.code.clone(),
                struct_id: professional.structure.id.to_string(),
                structure: professional.structure.name.clone(),
            },
            Caller::Employee(employee, ..) => Self::Employee {
                card_id: employee.id.to_string(),
                name: format!("{} {}", employee.given, employee.family),
                struct_id: employee.structure.id.to_string(),
                structure: employee.structure.name.clone(),
            },
            Caller::Indirect(structure, ..) => {
                Self::Structure { struct_id: structure.id.to_string(), name: structure.name.clone() }
            }
            Caller::PatientPortal(structure, session) => Self::PatientPortal {
                struct_id: structure.id.to_string(),
                name: structure.name.clone(),
                user: StatedUser::of(session),
            },
            Caller::Operator => Self::Operator,
        }
    }
}

impl StatedUser {
    fn of(session: &PortalSession) -> Self {
        match session {
            PortalSession::Unstated => Self::Unstated,
            PortalSession::Of { user: PortalUser::Patient, .. } => Self::Patient,
            PortalSession::Of { user: PortalUser::Delegate(Delegate { role, id }), .. } => match role {
                DelegateRole::LegalRepresentative => Self::LegalRepresentative(id.to_string()),
                DelegateRole::Aidant => Self::Aidant(id.to_string()),
            },
        }
    }
}

impl Connection {
    pub fn of(visibility: AccessVisibility) -> Self {
        match visibility {
            AccessVisibility::Ordinary => Self::Ordinary,
            AccessVisibility::HiddenFromLegalRepresentatives => Self::Secret,
        }
    }
}

impl StatedPurpose {
    /// TRE_R248; none where nobody read it.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Normal => Some("normal"),
            Self::BrisDeGlace { .. } => Some("bris_de_glace"),
            Self::Centre15 => Some("centre_15"),
            Self::NotRead => None,
        }
    }

    pub fn of(caller: &Caller) -> Self {
        match caller.purpose() {
            Purpose::Normal => Self::Normal,
            Purpose::BrisDeGlace { reason } => Self::BrisDeGlace { reason: reason.clone() },
            Purpose::Centre15 => Self::Centre15,
        }
    }
}

impl StatedToken {
    pub fn of_caller(caller: &Caller) -> Self {
        caller.token().map_or(Self::None, Self::of)
    }

    pub fn of(token: &Token) -> Self {
        let statement = &token.statement;
        let software = statement.software.as_ref();
        Self::Presented {
            kind: token.kind.word().to_owned(),
            id: token.id.clone(),
            mode: statement.mode.word().to_owned(),
            user: statement.subject.id.clone(),
            user_name: statement.subject.name.clone().unwrap_or_default(),
            role: statement.roles.iter().map(|role| role.code.as_str()).collect::<Vec<_>>().join(" "),
            struct_id: statement.structure.to_string(),
            software: software.map(describe).unwrap_or_default(),
        }
    }
}

fn describe(software: &Software) -> String {
    let Software { name, version, homologation, installation } = software;
    let installation = installation.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    format!("{name} {version} ({homologation}){installation}")
}

impl Subject {
    pub fn of(dossier: DossierId) -> Self {
        Self::Dossier(dossier.to_string())
    }

    /// The key under which the store files the line; empty where it is of no one record.
    pub fn key(&self) -> &str {
        match self {
            Self::Dossier(id) => id,
            Self::Dossiers(_) | Self::Unknown => "",
        }
    }
}

impl EntryMention {
    pub fn of(entry: &DocumentEntry) -> Self {
        Self {
            document: entry.logical_id.to_string(),
            unique_id: entry.metadata.unique_id.to_string(),
            type_code: entry.metadata.type_code.code.clone(),
            title: entry.metadata.title.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_listed_under_the_word_of_its_line() {
        for action in Action::ALL {
            assert_eq!(serde_json::to_string(&action).unwrap(), format!("\"{}\"", action.code()));
        }
    }
}
