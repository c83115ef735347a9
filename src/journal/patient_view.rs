//! The journal in plain French, as the holder of a record reads it: one sentence a line, in two groups.
//!
//! The sentence says what the line says and no rule: why somebody was refused is in the codes beside it. Hours are
//! those of Paris. Groups and kinds of actor bear the words of Mon espace santé; its third group, SERVICE_TIERS, stays
//! empty here, for no third-party service gets in. Source: F.2 (R1111-43), F.5; typography of the Imprimerie nationale.

mod change;

use jiff::Timestamp;

use super::event::{Action, Actor, EntryMention, Event, Outcome, StatedPurpose, StatedToken, StatedUser};
use crate::domain::code::Code;
use crate::domain::french_date::{day_and_month, in_paris};
use crate::domain::text::{cleaned, on_one_line};
use crate::domain::value_set::{Terminology, ValueSetName};

/// Under which heading Mon espace santé shows a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    MedicalDocument,
    General,
}

/// Who acted, in the classes of Mon espace santé.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorType {
    HealthcareProfessional,
    HealthcareFacility,
    Patient,
    Support,
    System,
}

impl Group {
    pub fn of(event: &Event) -> Self {
        match event.action {
            Action::Deposit | Action::Search | Action::Read | Action::Retrieve | Action::SetLabel => {
                Self::MedicalDocument
            }
            Action::SetConsent if !event.entries.is_empty() => Self::MedicalDocument,
            Action::SetConsent
            | Action::Existence
            | Action::ListConsents
            | Action::ListDossiers
            | Action::OpenDossier
            | Action::CloseDossier
            | Action::ReopenDossier
            | Action::SetContact
            | Action::NotifyPatient
            | Action::NotifyMedecinTraitant
            | Action::ReadJournal
            | Action::Request => Self::General,
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::MedicalDocument => "MEDICAL_DOCUMENT",
            Self::General => "GENERAL",
        }
    }

    pub fn heading(self) -> &'static str {
        match self {
            Self::MedicalDocument => "Documents de santé",
            Self::General => "Vie du dossier",
        }
    }
}

impl ActorType {
    pub fn of(actor: &Actor) -> Self {
        match actor {
            Actor::Professional { .. } | Actor::AirProfessional { .. } => Self::HealthcareProfessional,
            Actor::Employee { .. } | Actor::Structure { .. } => Self::HealthcareFacility,
            Actor::PatientPortal { .. } => Self::Patient,
            Actor::Operator => Self::Support,
            Actor::System | Actor::Unidentified { .. } => Self::System,
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::HealthcareProfessional => "HEALTHCARE_PROFESSIONAL",
            Self::HealthcareFacility => "HEALTHCARE_FACILITY",
            Self::Patient => "PATIENT",
            Self::Support => "SUPPORT",
            Self::System => "SYSTEM",
        }
    }
}

/// The sentence of one line: when, who, what, for which purpose, with which outcome.
pub fn sentence(event: &Event, terminology: &Terminology) -> String {
    let (when, who, purpose) = (instant(event.at), who(event, terminology), purpose(&event.purpose));
    let Deed { done, wanted } = deed(event.action, &event.entries);
    let done = change::phrase(&event.change, titles(&event.entries).as_deref(), event.at).unwrap_or(done);
    let what = match &event.result {
        Outcome::Done { .. } => format!("{done}{purpose}"),
        Outcome::DoneBefore => format!("{done}{purpose}, ce qui était déjà fait"),
        Outcome::Denied { .. } => format!("a voulu {wanted}{purpose}{NBSP}: l’accès lui a été refusé"),
        Outcome::Refused { .. } => {
            format!("a voulu {wanted}{purpose}{NBSP}: sa demande, non conforme, a été rejetée")
        }
        Outcome::NotFound => format!("a voulu {wanted}{purpose}, sans résultat"),
    };
    // Titles, names and reasons are their senders' words.
    on_one_line(&cleaned(format!("Le {when}, {who} {what}."))).into_owned()
}

/// A profession under its code: the system that it is of, and its name.
pub fn profession<'t>(code: &str, terminology: &'t Terminology) -> Option<(&'static str, &'t str)> {
    PROFESSION_SYSTEMS.into_iter().find_map(|system| {
        let name = terminology.display(ValueSetName::SubjectRole, &Code::new(system, code))?;
        Some((system, name))
    })
}

/// What was done, as a sentence goes on, and in the infinitive.
struct Deed {
    done: String,
    wanted: &'static str,
}

fn deed(action: Action, entries: &[EntryMention]) -> Deed {
    let named = titles(entries);
    let (done, wanted) = match (action, &named) {
        (Action::Deposit, Some(titles)) => (format!("a déposé {titles}"), "déposer un document"),
        (Action::Deposit, None) => ("a déposé un document".to_owned(), "déposer un document"),
        (Action::Search, Some(titles)) => {
            (format!("a recherché des documents et trouvé {titles}"), "rechercher des documents")
        }
        (Action::Search, None) => ("a recherché des documents".to_owned(), "rechercher des documents"),
        (Action::Read, Some(titles)) => {
            (format!("a consulté la fiche de {titles}"), "consulter la fiche d’un document")
        }
        (Action::Read, None) => ("a consulté la fiche d’un document".to_owned(), "consulter la fiche d’un document"),
        (Action::Retrieve, Some(titles)) => (format!("a consulté {titles}"), "consulter un document"),
        (Action::Retrieve, None) => ("a consulté un document".to_owned(), "consulter un document"),
        (Action::Existence, _) => ("a vérifié l’existence du dossier".to_owned(), "vérifier l’existence d’un dossier"),
        (Action::SetConsent | Action::SetLabel, Some(titles)) => {
            (format!("a changé la visibilité de {titles}"), "changer la visibilité d’un document")
        }
        (Action::SetConsent, None) => {
            ("a modifié les autorisations du dossier".to_owned(), "modifier les autorisations du dossier")
        }
        (Action::ListConsents, _) => {
            ("a consulté les autorisations du dossier".to_owned(), "consulter les autorisations du dossier")
        }
        (Action::SetLabel, None) => {
            ("a changé la visibilité d’un document".to_owned(), "changer la visibilité d’un document")
        }
        (Action::ListDossiers, _) => {
            ("a consulté la liste de ses dossiers autorisés".to_owned(), "consulter la liste de ses dossiers autorisés")
        }
        (Action::OpenDossier, _) => ("a ouvert le dossier".to_owned(), "ouvrir le dossier"),
        (Action::CloseDossier, _) => ("a fermé le dossier".to_owned(), "fermer le dossier"),
        (Action::SetContact, _) => ("a modifié une adresse de contact".to_owned(), "modifier une adresse de contact"),
        (Action::NotifyPatient, _) => {
            ("a informé par courriel le titulaire du dossier".to_owned(), "informer le titulaire du dossier")
        }
        (Action::NotifyMedecinTraitant, _) => {
            ("a informé par courriel le médecin traitant".to_owned(), "informer le médecin traitant")
        }
        (Action::ReopenDossier, _) => ("a rouvert le dossier".to_owned(), "rouvrir le dossier"),
        (Action::ReadJournal, _) => {
            ("a consulté l’historique des accès".to_owned(), "consulter l’historique des accès")
        }
        (Action::Request, _) => ("a fait une demande".to_owned(), "faire une demande"),
    };
    Deed { done, wanted }
}

/// « A », « B » et « C ».
fn titles(entries: &[EntryMention]) -> Option<String> {
    let mut quoted: Vec<String> = entries.iter().map(|entry| format!("«{NBSP}{}{NBSP}»", entry.title)).collect();
    let last = quoted.pop()?;
    Some(if quoted.is_empty() { last } else { format!("{} et {last}", quoted.join(", ")) })
}

fn who(event: &Event, terminology: &Terminology) -> String {
    match &event.actor {
        Actor::Professional { family, given, profession, .. } => {
            named(&format!("{given} {family}"), profession, terminology)
        }
        Actor::AirProfessional { name, profession, structure, .. } => {
            format!("{}, au nom de {structure},", named(name, profession, terminology))
        }
        Actor::Employee { name, structure, .. } => format!("{name}, au nom de {structure},"),
        Actor::Structure { name, .. } => match &event.token {
            StatedToken::Presented { user_name, .. } if !user_name.is_empty() => {
                format!("la structure {name} (utilisateur{NBSP}: {user_name})")
            }
            StatedToken::Presented { .. } | StatedToken::None => format!("la structure {name}"),
        },
        Actor::PatientPortal { name, user, .. } => format!("{}, par {name},", before_the_portal(user)),
        Actor::Operator => "l’exploitant du service".to_owned(),
        Actor::System => "le service".to_owned(),
        Actor::Unidentified { .. } => "un demandeur non reconnu".to_owned(),
    }
}

fn before_the_portal(user: &StatedUser) -> &'static str {
    match user {
        StatedUser::Unstated | StatedUser::Patient => "le titulaire du dossier",
        StatedUser::LegalRepresentative(_) => "un représentant légal",
        StatedUser::Aidant(_) => "un aidant",
    }
}

fn named(name: &str, code: &str, terminology: &Terminology) -> String {
    match profession(code, terminology) {
        _ if DOCTORS.contains(&code) => format!("le docteur {name}"),
        Some((_, profession)) => format!("{name} ({})", profession.to_lowercase()),
        None => name.to_owned(),
    }
}

fn purpose(purpose: &StatedPurpose) -> String {
    match purpose {
        StatedPurpose::Normal | StatedPurpose::NotRead => String::new(),
        StatedPurpose::BrisDeGlace { reason } => format!(" en urgence (bris de glace{NBSP}: {reason})"),
        StatedPurpose::Centre15 => format!(" en régulation médicale (centre{NBSP}15)"),
    }
}

/// `12 mars 2026 à 14 h 05`.
fn instant(at: Timestamp) -> String {
    let at = in_paris(at);
    let (day, month) = day_and_month(&at);
    format!("{day}{NBSP}{month} {} à {}{NBSP}h{NBSP}{:02}", at.year(), at.hour(), at.minute())
}

const NBSP: char = '\u{a0}';
/// Médecin and chirurgien-dentiste (TRE_G15).
const DOCTORS: [&str; 2] = ["10", "40"];
/// TRE_G15, TRE_G16, TRE_R94, TRE_R95, TRE_R291: a line keeps the code alone, and no two of them share one but the
/// professions in training, which are called as their profession.
const PROFESSION_SYSTEMS: [&str; 5] = [
    "1.2.250.1.71.1.2.7",
    "1.2.250.1.71.1.2.8",
    "1.2.250.1.213.1.6.1.4",
    "1.2.250.1.213.1.6.1.109",
    "1.2.250.1.213.1.6.1.140",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_those_of_paris_in_winter_and_in_summer() {
        for (at, expected) in [
            ("2026-03-12T13:05:00Z", "12 mars 2026 à 14 h 05"),
            ("2026-07-01T22:30:00Z", "2 juillet 2026 à 0 h 30"),
            ("2026-07-31T22:00:00Z", "1er août 2026 à 0 h 00"),
            ("2026-03-29T01:00:00Z", "29 mars 2026 à 3 h 00"),
            ("2026-10-25T01:00:00Z", "25 octobre 2026 à 2 h 00"),
        ] {
            assert_eq!(instant(at.parse().unwrap()).replace(NBSP, " "), expected);
        }
    }

    #[test]
    fn titles_are_quoted_and_joined() {
        let mention = |title: &str| EntryMention {
            document: String::new(),
            unique_id: String::new(),
            type_code: String::new(),
            title: title.to_owned(),
        };
        let three = ["A", "B", "C"].map(mention);
        let shown = |count: usize| titles(&three[..count]).map(|text| text.replace(NBSP, "~"));
        assert_eq!(shown(0), None);
        assert_eq!(shown(1).unwrap(), "«~A~»");
        assert_eq!(shown(3).unwrap(), "«~A~», «~B~» et «~C~»");
    }
}
