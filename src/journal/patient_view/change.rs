//! A change of the list, or of who sees a document, as a sentence of the patient's view goes on.

use jiff::Timestamp;

use super::NBSP;
use crate::domain::confidentiality::VisibilityLabel;
use crate::journal::event::{Change, ChangedLine};

/// `a bloqué le professionnel 8…`; none where nothing is known of what changed. `titles` are those of the documents.
pub(super) fn phrase(change: &Change, titles: Option<&str>, at: Timestamp) -> Option<String> {
    match change {
        Change::None => None,
        Change::Lines(lines) => {
            let phrases: Vec<_> = lines.iter().filter_map(|line| of_line(line, at)).collect();
            (!phrases.is_empty()).then(|| phrases.join(", "))
        }
        Change::Label { label, present } => of_label(label, *present, titles.unwrap_or("un document")),
        Change::Contact { who, present } => Some(of_contact(who, *present)),
    }
}

fn of_line(ChangedLine { kind, who, until, .. }: &ChangedLine, at: Timestamp) -> Option<String> {
    let has_ended = until.parse::<Timestamp>().is_ok_and(|until| until <= at);
    let (begun, ended) = match kind.as_str() {
        "authorisation" => {
            (format!("a autorisé {who} à consulter le dossier"), format!("a mis fin à l’autorisation de {who}"))
        }
        "block" => (format!("a bloqué l’accès de {who}"), format!("a débloqué l’accès de {who}")),
        "medecin_traitant" => (
            format!("a désigné {who} comme médecin traitant"),
            format!("a mis fin à la désignation de {who} comme médecin traitant"),
        ),
        "opposition_bris_de_glace" => (
            "s’est opposé à l’accès en urgence par bris de glace".to_owned(),
            "a levé l’opposition à l’accès en urgence par bris de glace".to_owned(),
        ),
        "opposition_centre_15" => (
            format!("s’est opposé à l’accès du centre{NBSP}15"),
            format!("a levé l’opposition à l’accès du centre{NBSP}15"),
        ),
        "masked_in_emergencies" => (
            "a permis la lecture des documents masqués en urgence".to_owned(),
            "a retiré la permission de lire les documents masqués en urgence".to_owned(),
        ),
        "mask_by_default" => (
            "a demandé que chaque nouveau document soit masqué".to_owned(),
            "a demandé que les nouveaux documents ne soient plus masqués".to_owned(),
        ),
        "legal_representative" => (
            format!("a enregistré un représentant légal ({who})"),
            format!("a mis fin à l’enregistrement d’un représentant légal ({who})"),
        ),
        "aidant" => (format!("a désigné un aidant ({who})"), format!("a mis fin à la désignation d’un aidant ({who})")),
        _ => return None,
    };
    Some(if has_ended { ended } else { begun })
}

fn of_label(label: &str, present: bool, titles: &str) -> Option<String> {
    let whom = match VisibilityLabel::from_code(label)? {
        VisibilityLabel::MasquePs => "aux professionnels",
        VisibilityLabel::InvisiblePatient => "au patient",
        VisibilityLabel::InvisibleRepresentantsLegaux => "aux représentants légaux",
    };
    Some(if present {
        format!("a rendu {titles} invisible {whom}")
    } else {
        format!("a rendu {titles} visible {whom}")
    })
}

fn of_contact(who: &str, present: bool) -> String {
    let done = if present { "a enregistré" } else { "a supprimé" };
    let whose = if who.is_empty() { "du patient".to_owned() } else { format!("du professionnel {who}") };
    format!("{done} l’adresse de courriel {whose}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::consent::{Consent, ConsentKind, DeclaredBy, Delegate, DelegateRole, Grantee};
    use crate::domain::ids::ConsentId;

    #[test]
    fn every_kind_of_line_and_every_label_has_its_phrase() {
        let ps = || "810000000011".parse().unwrap();
        let delegation = |role| ConsentKind::Delegation(Delegate { role, id: "ens-42".parse().unwrap() });
        let (since, at) = (Timestamp::UNIX_EPOCH, "2026-11-22T10:00:00Z".parse().unwrap());
        for kind in [
            ConsentKind::Authorisation(Grantee::Professional(ps())),
            ConsentKind::Block(ps()),
            ConsentKind::MedecinTraitant(ps()),
            ConsentKind::OppositionBrisDeGlace,
            ConsentKind::OppositionCentre15,
            ConsentKind::MaskedInEmergencies,
            ConsentKind::MaskByDefault,
            delegation(DelegateRole::LegalRepresentative),
            delegation(DelegateRole::Aidant),
        ] {
            let said = |until| {
                let (id, declared_by) = (ConsentId::new(), DeclaredBy::Patient);
                let is_secret = false;
                let line = Consent { id, kind: kind.clone(), since, until, declared_by, is_secret };
                phrase(&Change::of_lines([&line]), None, at).unwrap()
            };
            assert_ne!(said(None), said(Some(at)), "{kind:?}");
            assert!(said(None).contains(kind.party()), "{kind:?}");
        }
        for label in VisibilityLabel::ALL {
            let said = |present| {
                phrase(&Change::Label { label: label.code().to_owned(), present }, Some("« A »"), at).unwrap()
            };
            assert_ne!(said(true), said(false));
        }
        assert_eq!(phrase(&Change::None, None, at), None);
    }
}
