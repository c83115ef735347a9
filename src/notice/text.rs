//! What a notice says, in plain French. No name, no document, no link: mail is read on the way.

use jiff::Timestamp;

use crate::domain::french_date::{day_and_month, in_paris};
use crate::domain::notice::{Addressee, Notice, NoticeKind};

/// Subject and body, for people.
pub(super) struct Text {
    pub(super) subject: &'static str,
    pub(super) body: String,
}

pub(super) fn text_of(notice: &Notice) -> Text {
    let at = moment(notice.at);
    let (subject, body) = match (notice.kind, &notice.addressee) {
        (NoticeKind::BrisDeGlace, Addressee::Patient(_)) => {
            (PATIENT_SUBJECT, format!("{PATIENT_BRIS_DE_GLACE} {at}.\n\n{PATIENT_REST}"))
        }
        (NoticeKind::Centre15, Addressee::Patient(_)) => {
            (PATIENT_SUBJECT, format!("{PATIENT_CENTRE_15} {at}.\n\n{PATIENT_REST}"))
        }
        (NoticeKind::BrisDeGlace, Addressee::Professional(_)) => {
            (DOCTOR_SUBJECT, format!("{DOCTOR} par un professionnel de santé (bris de glace), {at}.\n\n{DOCTOR_REST}"))
        }
        (NoticeKind::Centre15, Addressee::Professional(_)) => {
            (DOCTOR_SUBJECT, format!("{DOCTOR} par la régulation médicale (centre 15), {at}.\n\n{DOCTOR_REST}"))
        }
        (NoticeKind::InvisibleDocument, _) => (ADVICE_SUBJECT, ADVICE.to_owned()),
    };
    Text { subject, body: format!("Bonjour,\n\n{body}\n\n{END}\n") }
}

/// `le 22 novembre 2026 à 6 h 12 (heure de Paris)`
fn moment(at: Timestamp) -> String {
    let at = in_paris(at);
    let (day, month) = day_and_month(&at);
    format!("le {day} {month} {} à {} h {:02} (heure de Paris)", at.year(), at.hour(), at.minute())
}

const PATIENT_SUBJECT: &str = "Votre dossier médical partagé a été consulté en urgence";

const PATIENT_BRIS_DE_GLACE: &str =
    "Un professionnel de santé a déclaré une situation d'urgence et a consulté votre dossier médical partagé";

const PATIENT_CENTRE_15: &str =
    "La régulation médicale du SAMU (centre 15) a consulté votre dossier médical partagé en situation d'urgence";

const PATIENT_REST: &str = "\
La loi le permet sans autorisation préalable et prévoit que vous en soyez informé (articles L. 1111-17 et R. 1111-48 \
du code de la santé publique).

Pour savoir qui a consulté votre dossier et ce qui a été vu, connectez-vous à Mon espace santé et ouvrez l'historique \
des accès. Si cet accès vous paraît anormal, signalez-le à Mon espace santé.

Vous pouvez vous opposer à de telles consultations à l'avenir : ce choix se fait dans les réglages de confidentialité \
de Mon espace santé, et peut être changé à tout moment.";

const DOCTOR_SUBJECT: &str = "Accès en urgence au dossier médical partagé d'un de vos patients";

const DOCTOR: &str =
    "Le dossier médical partagé d'un patient dont vous êtes le médecin traitant a été consulté en urgence";

const DOCTOR_REST: &str = "\
Vous en êtes informé comme le prévoient les articles L. 1111-17 et R. 1111-48 du code de la santé publique. Ce message \
ne désigne pas le patient, le courrier électronique n'étant pas confidentiel : l'historique des accès aux dossiers de \
vos patients le fait.";

const ADVICE_SUBJECT: &str = "Un document de votre dossier médical partagé mérite d'être expliqué";

const ADVICE: &str = "\
Un professionnel de santé a déposé dans votre dossier médical partagé un document qu'il souhaite vous présenter avant \
que vous ne le lisiez. Deux semaines ont passé : nous vous conseillons de prendre rendez-vous avec lui, ou avec votre \
médecin traitant.

Sans cette consultation, le document vous sera de toute façon accessible au bout d'un mois (article R. 1111-53 du code \
de la santé publique).";

const END: &str = "\
Ce message est envoyé automatiquement. Pour votre sécurité, il ne contient ni nom, ni donnée de santé, ni lien.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{DossierId, LogicalId, NoticeId};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_moment_is_told_on_the_clocks_of_paris() {
        assert_eq!(moment(at("2026-11-22T05:12:59Z")), "le 22 novembre 2026 à 6 h 12 (heure de Paris)");
        assert_eq!(moment(at("2026-07-31T22:05:00Z")), "le 1er août 2026 à 0 h 05 (heure de Paris)");
        // The last Sunday of October, before and after the change.
        assert_eq!(moment(at("2026-10-25T00:59:00Z")), "le 25 octobre 2026 à 2 h 59 (heure de Paris)");
        assert_eq!(moment(at("2026-10-25T01:00:00Z")), "le 25 octobre 2026 à 2 h 00 (heure de Paris)");
    }

    fn notice(kind: NoticeKind, addressee: Addressee) -> Notice {
        let (id, dossier, at) = (NoticeId::new(), DossierId::new(), at("2026-11-22T05:12:00Z"));
        let occasion = format!("1 810000000045 {}", LogicalId::new());
        Notice { id, dossier, kind, occasion, addressee, at, due: at, is_secret: false }
    }

    #[test]
    fn each_notice_says_what_the_law_wants_and_names_nobody() {
        let patient = || Addressee::Patient(DossierId::new());
        let doctor = || Addressee::Professional("810000000011".parse().unwrap());
        let all = [
            (NoticeKind::BrisDeGlace, patient(), "a déclaré une situation d'urgence"),
            (NoticeKind::Centre15, patient(), "centre 15"),
            (NoticeKind::BrisDeGlace, doctor(), "bris de glace"),
            (NoticeKind::Centre15, doctor(), "centre 15"),
            (NoticeKind::InvisibleDocument, patient(), "prendre rendez-vous"),
        ];
        for (kind, addressee, said) in all {
            let notice = notice(kind, addressee);
            let Text { subject, body } = text_of(&notice);
            assert!(body.contains(said) && body.contains("du code de la santé publique"), "{body}");
            let is_access = kind != NoticeKind::InvisibleDocument;
            assert_eq!(body.contains("le 22 novembre 2026 à 6 h 12"), is_access, "{body}");
            let is_patients = matches!(notice.addressee, Addressee::Patient(_));
            assert_eq!(body.contains("vous opposer"), is_patients && is_access, "{body}");
            let all = format!("{subject} {body}");
            for secret in ["8100000000", &notice.dossier.to_string(), &notice.occasion, "http", "INS"] {
                assert!(!all.contains(secret), "{secret}: {all}");
            }
        }
    }
}
