//! A document and a set with something in every attribute, for tests. Nobody real.

use super::rules::SOURCE_PATIENT_INFO;
use crate::domain::author::{Author, AuthorPerson, Identifier, Institution, PersonKind};
use crate::domain::code::Code;
use crate::domain::confidentiality::{Confidentiality, VisibilityLabel};
use crate::domain::document_entry::{DocumentMetadata, ReferenceId};
use crate::domain::dtm::Dtm;
use crate::domain::ids::SubmissionSetUuid;
use crate::domain::ins::Ins;
use crate::domain::patient::{SourcePatient, SourcePatientInfo};
use crate::domain::submission_set::SubmissionSet;

pub(crate) fn author() -> Author {
    Author {
        person: Some(AuthorPerson {
            id: Some(Identifier::new("1.2.250.1.71.4.2.1", "801234567897")),
            kind: PersonKind::Professional,
            family: Some("ROUX".to_owned()),
            given: Some("Camille".to_owned()),
        }),
        institution: Some(Institution {
            id: Some(Identifier::new("1.2.250.1.71.4.2.2", "1750000001")),
            name: Some("HOPITAL DES TILLEULS & ANNEXES".to_owned()),
        }),
        roles: vec!["Médecin traitant".to_owned()],
        specialty: Some(Code::new("1.2.250.1.213.1.1.4.5", "G15_10/SM26").with_display("Médecin - généraliste")),
    }
}

pub(crate) fn metadata(unique_id: &str) -> DocumentMetadata {
    DocumentMetadata {
        unique_id: unique_id.parse().unwrap(),
        patient_id: Ins::parse("207058575627097", "1.2.250.1.213.1.4.10").unwrap(),
        source_patient: SourcePatient {
            id: Some(Identifier::new("1.2.250.1.999.3", "IPP-17")),
            info: SourcePatientInfo {
                birth_family: Some("MARTIN".to_owned()),
                usual_family: Some("PETIT".to_owned()),
                given: Some("ANNE".to_owned()),
                birth_date: Some(Dtm::from_hl7("19700521").unwrap()),
                sex: Some("F".to_owned()),
            },
        },
        authors: vec![author()],
        legal_authenticator: Some(Author { person: author().person, ..Author::default() }),
        custodian: author().institution,
        class_code: Code::new("1.2.250.1.213.1.1.4.1", "11").with_display("Synthèse"),
        type_code: Code::new("2.16.840.1.113883.6.1", "34133-9").with_display("Synthèse d'épisode de soins"),
        confidentiality: Confidentiality { labels: [VisibilityLabel::MasquePs].into(), ..Confidentiality::default() },
        format_code: Code::new("1.3.6.1.4.1.19376.1.2.3", "urn:ihe:iti:xds-sd:pdf:2008"),
        healthcare_facility_type_code: Code::new("1.2.250.1.71.4.2.4", "SA01"),
        practice_setting_code: Code::new("1.2.250.1.213.1.1.4.9", "ETABLISSEMENT"),
        event_codes: vec![Code::new("1.2.250.1.213.2.5", "DEQP003")],
        title: "Lettre \"de\" liaison <sortie>".to_owned(),
        comments: Some("Première ligne\nseconde ligne".to_owned()),
        language_code: "fr-FR".to_owned(),
        mime_type: "text/xml".to_owned(),
        creation_time: Dtm::from_hl7("20120304101500").unwrap(),
        service_start_time: Dtm::from_hl7("20120301").unwrap(),
        service_stop_time: Some(Dtm::from_hl7("201203").unwrap()),
        reference_ids: vec![ReferenceId {
            identifier: Identifier::new("1.2.250.1.999.4", "ACC-1"),
            kind: "urn:ihe:iti:xds:2013:accession".to_owned(),
        }],
        other_slots: vec![
            ("urn:example:unknown".to_owned(), vec![" kept ^ & whole ".to_owned(), String::new()]),
            (SOURCE_PATIENT_INFO.to_owned(), vec!["PID-11|1 rue des Lilas^^Lyon".to_owned()]),
        ],
    }
}

pub(crate) fn submission_set(unique_id: &str, submission_time: &str) -> SubmissionSet {
    SubmissionSet {
        uuid: SubmissionSetUuid(uuid::Uuid::from_u128(0x5e7)),
        unique_id: unique_id.parse().unwrap(),
        source_id: "1.2.250.1.999.1".to_owned(),
        submission_time: Dtm::from_hl7(submission_time).unwrap(),
        patient_id: Ins::parse("207058575627097", "1.2.250.1.213.1.4.10").unwrap(),
        content_type_code: Code::new("1.2.250.1.213.2.2", "03").with_display("Hospitalisation"),
        author: author(),
        title: Some("Sortie".to_owned()),
        comments: None,
    }
}
