//! One document entry with every element filled, for tests of the writers. Test identities only.

use jiff::Timestamp;

use crate::domain::association::{Association, RelationKind};
use crate::domain::author::{Author, AuthorPerson, Identifier, Institution, PersonKind};
use crate::domain::code::Code;
use crate::domain::confidentiality::{Confidentiality, ConfidentialityLevel, VisibilityLabel};
use crate::domain::document_entry::{DocumentEntry, DocumentMetadata, ReferenceId};
use crate::domain::dtm::Dtm;
use crate::domain::ids::{EntryUuid, LogicalId, SubmissionSetUuid};
use crate::domain::ins::Ins;
use crate::domain::national_id::{PS_ID_NAT_OID, STRUCT_ID_NAT_OID};
use crate::domain::patient::{SourcePatient, SourcePatientInfo};
use crate::domain::sha::Fingerprint;
use crate::domain::status::AvailabilityStatus;

pub(crate) const BYTES: &[u8] = b"<ClinicalDocument/>";

pub(crate) fn ins() -> Ins {
    Ins::parse("207058575627097", "1.2.250.1.213.1.4.10").unwrap()
}

pub(crate) fn author(kind: PersonKind) -> Author {
    Author {
        person: Some(AuthorPerson {
            id: Some(Identifier::new(PS_ID_NAT_OID, "801234567897")),
            kind,
            family: Some("DURAND".to_owned()),
            given: Some("Romane".to_owned()),
        }),
        institution: Some(Institution {
            id: Some(Identifier::new(STRUCT_ID_NAT_OID, "1750803447")),
            name: Some("Clinique des Essais".to_owned()),
        }),
        roles: vec!["Médecin traitant".to_owned()],
        specialty: Some(Code::new("1.2.250.1.213.1.1.4.5", "G15_10/SM26").with_display("Médecin généraliste")),
    }
}

pub(crate) fn entry() -> DocumentEntry {
    DocumentEntry {
        entry_uuid: EntryUuid::new(),
        logical_id: LogicalId::new(),
        version: 2,
        submission_set: SubmissionSetUuid::new(),
        availability_status: AvailabilityStatus::Approved,
        metadata: metadata(),
        fingerprint: Fingerprint::of(BYTES),
        associations: vec![Association { kind: RelationKind::Replaces, target: LogicalId::new() }],
        registered: "2026-03-01T10:20:30.123456Z".parse::<Timestamp>().unwrap(),
        updated: "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap(),
    }
}

fn metadata() -> DocumentMetadata {
    DocumentMetadata {
        unique_id: "1.2.250.1.213.9.1".parse().unwrap(),
        patient_id: ins(),
        source_patient: SourcePatient {
            id: Some(Identifier::new("1.2.250.1.999", "IPP42")),
            info: SourcePatientInfo {
                birth_family: Some("ESSAI".to_owned()),
                usual_family: Some("TEST".to_owned()),
                given: Some("Camille".to_owned()),
                birth_date: Dtm::from_hl7("20070517").ok(),
                sex: Some("F".to_owned()),
            },
        },
        authors: vec![author(PersonKind::Professional), author(PersonKind::Device), author(PersonKind::Patient)],
        legal_authenticator: Some(author(PersonKind::Professional)),
        custodian: author(PersonKind::Professional).institution,
        class_code: Code::new("1.2.250.1.213.1.1.4.1", "10").with_display("Compte rendu"),
        type_code: Code::new("2.16.840.1.113883.6.1", "11488-4").with_display("CR de consultation"),
        confidentiality: Confidentiality {
            level: ConfidentialityLevel::N,
            labels: [VisibilityLabel::MasquePs, VisibilityLabel::InvisiblePatient].into(),
        },
        format_code: Code::new("1.3.6.1.4.1.19376.1.2.3", "urn:ihe:iti:xds-sd:pdf:2008"),
        healthcare_facility_type_code: Code::new("1.2.250.1.71.4.2.4", "SA01"),
        practice_setting_code: Code::new("1.2.250.1.213.1.1.4.9", "ETABLISSEMENT"),
        event_codes: vec![Code::new("2.16.840.1.113883.6.3", "A00")],
        title: "Compte rendu d'essai".to_owned(),
        comments: Some("sans objet".to_owned()),
        language_code: "fr-FR".to_owned(),
        mime_type: "text/xml".to_owned(),
        creation_time: Dtm::from_hl7("20260301101500").unwrap(),
        service_start_time: Dtm::from_hl7("20260228").unwrap(),
        service_stop_time: Dtm::from_hl7("20260301").ok(),
        reference_ids: vec![ReferenceId {
            identifier: Identifier::new("1.2.250.1.998", "ORDER7"),
            kind: "urn:ihe:iti:xds:2013:order".to_owned(),
        }],
        other_slots: Vec::new(),
    }
}
