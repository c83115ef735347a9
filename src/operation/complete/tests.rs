//! One test a rule, on the documents of `fixtures/`.

use bytes::Bytes;
use jiff::civil::date;

use super::*;
use crate::domain::author::AuthorPerson;
use crate::domain::confidentiality::{ConfidentialityLevel, VisibilityLabel};
use crate::refusal::Rule;
use crate::spool::Spooled;

const LETTER: &str = include_str!("../../../fixtures/cda/ldl-ses.xml");
const LETTER_ID: &str = "2.25.216807336150862295641978511506172918101";
const CONSULTATION: &str = include_str!("../../../fixtures/cda/cr-consultation-n1.xml");
const IMAGING: &str = include_str!("../../../fixtures/cda/cr-img.xml");
const LEGACY: &str = include_str!("../../../fixtures/cda/vsm-legacy.xml");
const LOINC: &str = "2.16.840.1.113883.6.1";
const DEMO: &str = "1.2.250.1.213.1.4.11";
const TEST: &str = "1.2.250.1.213.1.4.10";

struct Desk {
    terminology: Terminology,
    ins_domains: Vec<InsDomain>,
    rules: Rules,
}

impl Desk {
    fn new() -> Self {
        let ins_domains = vec![InsDomain::Demo];
        Self { terminology: Terminology::load().unwrap(), ins_domains, rules: Rules::Deposit }
    }

    fn migration() -> Self {
        Self { rules: Rules::Migration, ..Self::new() }
    }

    fn take(&self, document: impl Into<Bytes>, metadata: MetadataDraft) -> Result<DocumentMetadata, Failure> {
        let hospital = Institution { id: None, name: Some("who deposits".to_owned()) };
        let intake = Intake {
            terminology: &self.terminology,
            ins_domains: &self.ins_domains,
            on: date(2026, 11, 21),
            institution: Some(&hospital),
            rules: self.rules,
        };
        let mut draft = DocumentDraft {
            place: "doc".to_owned(),
            metadata,
            content: Spooled::of(document),
            declared_hash: None,
            declared_size: None,
            relations: Vec::new(),
        };
        complete_document(&mut draft, &intake)
    }

    fn refusals(&self, document: impl Into<Bytes>, metadata: MetadataDraft) -> Vec<(Rule, String)> {
        match self.take(document, metadata) {
            Err(Failure::Refused(refusals) | Failure::Journaled(refusals)) => {
                refusals.into_iter().map(|r| (r.rule, r.place)).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn nothing() -> MetadataDraft {
    MetadataDraft::default()
}

fn letter_with(from: &str, to: &str) -> String {
    assert!(LETTER.contains(from), "{from}");
    LETTER.replace(from, to)
}

/// All that a bare file must be told by its sender.
fn of_bare_pdf() -> MetadataDraft {
    MetadataDraft {
        unique_id: Some("2.25.77".parse().unwrap()),
        patient_id: Some(Ins::parse("258033523804237", DEMO).unwrap()),
        authors: vec![Author { person: Some(AuthorPerson::default()), ..Author::default() }],
        type_code: Some(Code::new(LOINC, "34112-3")),
        healthcare_facility_type_code: Some(Code::new("1.2.250.1.71.4.2.4", "SA01")),
        practice_setting_code: Some(Code::new("1.2.250.1.213.1.1.4.9", "ETABLISSEMENT")),
        title: Some("CR de séjour".to_owned()),
        language_code: Some("fr-FR".to_owned()),
        mime_type: Some("application/pdf".to_owned()),
        creation_time: Some(Dtm::from_hl7("20260102").unwrap()),
        ..nothing()
    }
}

const PDF: &[u8] = b"%PDF-1.4\n%%EOF\n";

#[test]
fn a_simplified_publish_takes_everything_from_the_header() {
    let metadata = Desk::new().take(LETTER, nothing()).unwrap();
    assert_eq!(metadata.unique_id.to_string(), LETTER_ID);
    assert_eq!(metadata.patient_id, Ins::parse("258033523804237", DEMO).unwrap());
    assert_eq!(metadata.class_code.code, "10");
    assert_eq!(metadata.format_code.code, "urn:asip:ci-sis:ldl-ses:2017");
    assert_eq!(metadata.healthcare_facility_type_code.code, "SA01");
    assert_eq!(metadata.practice_setting_code.code, "ETABLISSEMENT");
    assert_eq!(metadata.mime_type, "text/xml");
    assert_eq!(metadata.creation_time.to_hl7(), "20260309153000");
    assert_eq!(metadata.service_start_time.to_hl7(), "20260303084500");
    assert_eq!(metadata.service_stop_time.unwrap().to_hl7(), "20260309150000");
    assert_eq!(metadata.event_codes, [Code::new("2.16.840.1.113883.5.4", "IMP").with_display("Hospitalisation")]);
    assert_eq!(metadata.custodian.unwrap().id.unwrap().value, "1350000899");
    assert_eq!(metadata.source_patient.id.unwrap().value, "000417732");
    assert_eq!(metadata.authors[0].person.as_ref().unwrap().family.as_deref(), Some("KERMADEC"));
    assert!(metadata.legal_authenticator.is_some());
}

#[test]
fn what_the_sender_says_is_kept_as_sent() {
    let sent = MetadataDraft {
        title: Some("Un autre titre".to_owned()),
        creation_time: Some(Dtm::from_hl7("20260310").unwrap()),
        mime_type: Some("application/xml".to_owned()),
        healthcare_facility_type_code: Some(Code::new("1.2.250.1.71.4.2.4", "SA05")),
        ..nothing()
    };
    let metadata = Desk::new().take(LETTER, sent).unwrap();
    assert_eq!(metadata.title, "Un autre titre");
    assert_eq!(metadata.creation_time.to_hl7(), "20260310");
    assert_eq!(metadata.mime_type, "application/xml");
    assert_eq!(metadata.healthcare_facility_type_code.code, "SA05");
}

#[test]
fn orders_accession_numbers_and_studies_become_reference_ids() {
    let metadata = Desk::new().take(IMAGING, nothing()).unwrap();
    let kinds: Vec<_> =
        metadata.reference_ids.iter().map(|id| (id.kind.as_str(), id.identifier.value.as_str())).collect();
    assert_eq!(
        kinds,
        [
            ("urn:ihe:iti:xds:2013:order", "P26-0802"),
            ("urn:ihe:iti:xds:2013:accession", "A26-11873"),
            ("urn:ihe:iti:xds:2016:studyInstanceUID", "2.25.301446178890213457765001238845117706543"),
        ]
    );
    assert_eq!(metadata.class_code.code, "31");
}

#[test]
fn the_body_of_a_level_1_document_gives_its_format() {
    let metadata = Desk::new().take(CONSULTATION, nothing()).unwrap();
    assert_eq!(metadata.format_code.code, "urn:ihe:iti:xds-sd:pdf:2008");
}

#[test]
fn a_structured_document_of_an_unknown_model_has_the_format_of_other_models() {
    let metadata = Desk::new().take(letter_with("1.2.250.1.213.1.1.1.29", "1.2.250.1.213.1.1.1.999"), nothing());
    assert_eq!(metadata.unwrap().format_code.code, "urn:asipSante:modelesHorsProfils:2011");
}

#[test]
fn a_format_that_says_nothing_is_derived_like_an_absent_one() {
    let format_code = Some(Code::new("1.3.6.1.4.1.19376.1.2.3", "urn:ihe:iti:xds:2017:mimeTypeSufficient"));
    let metadata = Desk::new().take(LETTER, MetadataDraft { format_code, ..nothing() }).unwrap();
    assert_eq!(metadata.format_code.code, "urn:asip:ci-sis:ldl-ses:2017");
}

#[test]
fn the_guides_snomed_codes_are_kept_as_french_ones() {
    let snomed = |code| Some(Code::new("2.16.840.1.113883.6.96", code));
    let sent = MetadataDraft {
        healthcare_facility_type_code: snomed("22232009"),
        practice_setting_code: snomed("394802001"),
        ..nothing()
    };
    let metadata = Desk::new().take(LETTER, sent).unwrap();
    assert_eq!(metadata.healthcare_facility_type_code.code, "SA01");
    assert_eq!(metadata.practice_setting_code.code, "AMBULATOIRE");
}

#[test]
fn codes_that_no_value_set_knows_are_refused_each_in_its_place() {
    let sent = MetadataDraft {
        format_code: Some(Code::new("1.3.6.1.4.1.19376.1.2.3", "urn:x")),
        healthcare_facility_type_code: Some(Code::new("2.16.840.1.113883.6.96", "1")),
        practice_setting_code: Some(Code::new("1.2.250.1.213.1.1.4.9", "ESSMS")),
        ..nothing()
    };
    let places = ["doc.formatCode", "doc.healthcareFacilityTypeCode", "doc.practiceSettingCode"];
    assert_eq!(Desk::new().refusals(LETTER, sent), places.map(|place| (Rule::UnknownCode, place.to_owned())));
}

#[test]
fn a_retired_type_is_refused_at_deposit_and_kept_by_migration() {
    let old = letter_with("\"11490-0\"", "\"27899-4\"");
    let refused = [(Rule::UnknownCode, "doc: ClinicalDocument/code".to_owned())];
    assert_eq!(Desk::new().refusals(old.clone(), nothing()), refused);
    let migrated = Desk::migration().take(old, nothing()).unwrap();
    assert_eq!((migrated.type_code.code.as_str(), migrated.class_code.code.as_str()), ("27899-4", "10"));
}

#[test]
fn identifiers_and_type_must_be_those_of_the_document() {
    let sent = MetadataDraft {
        unique_id: Some("2.25.1".parse().unwrap()),
        type_code: Some(Code::new(LOINC, "11488-4")),
        ..nothing()
    };
    let expected = ["doc.uniqueId", "doc.typeCode"].map(|place| (Rule::CdaMetadataMismatch, place.to_owned()));
    assert_eq!(Desk::new().refusals(LETTER, sent), expected);
}

#[test]
fn an_id_with_an_extension_is_refused() {
    let document = letter_with(&format!("<id root=\"{LETTER_ID}\"/>"), "<id root=\"1.2.3\" extension=\"7\"/>");
    let expected = [(Rule::UniqueIdForm, "doc: ClinicalDocument/id".to_owned())];
    assert_eq!(Desk::new().refusals(document, nothing()), expected);
}

const PATIENT_PATH: &str = "doc: ClinicalDocument/recordTarget/patientRole/id";

#[test]
fn another_patient_than_that_of_the_document_is_refused_and_never_shown_whole() {
    let sent = || MetadataDraft { patient_id: Ins::parse("279035121518989", DEMO).ok(), ..nothing() };
    assert_eq!(Desk::new().refusals(LETTER, sent()), [(Rule::PatientMismatch, PATIENT_PATH.to_owned())]);
    let Err(Failure::Refused(refusals)) = Desk::new().take(LETTER, sent()) else { panic!() };
    let shown = refusals[0].to_string();
    assert!(!shown.contains("258033523804237") && !shown.contains("279035121518989"), "{shown}");
}

#[test]
fn the_same_number_of_another_domain_is_another_patient() {
    let sent = MetadataDraft { patient_id: Ins::parse("258033523804237", TEST).ok(), ..nothing() };
    assert_eq!(Desk::new().refusals(LETTER, sent), [(Rule::PatientMismatch, PATIENT_PATH.to_owned())]);
}

#[test]
fn nir_and_nia_of_the_same_number_are_one_patient() {
    let document = letter_with(DEMO, "1.2.250.1.213.1.4.9");
    let sent = MetadataDraft { patient_id: Ins::parse("258033523804237", "1.2.250.1.213.1.4.8").ok(), ..nothing() };
    let desk = Desk { ins_domains: vec![InsDomain::Production], ..Desk::new() };
    let metadata = desk.take(document, sent).unwrap();
    assert_eq!(metadata.patient_id.authority().oid(), "1.2.250.1.213.1.4.8");
}

#[test]
fn an_ins_with_a_wrong_key_a_wrong_form_or_none_is_refused_for_that_reason() {
    let refusal = |matricule: &str| Desk::new().refusals(letter_with("258033523804237", matricule), nothing());
    assert_eq!(refusal("258033523804238"), [(Rule::InsKey, PATIENT_PATH.to_owned())]);
    assert_eq!(refusal("2580335238042"), [(Rule::InsForm, PATIENT_PATH.to_owned())]);
    let without = letter_with(DEMO, "1.2.250.1.213.1.4.2");
    assert_eq!(Desk::new().refusals(without, nothing()), [(Rule::InsMissing, PATIENT_PATH.to_owned())]);
}

#[test]
fn an_ins_of_a_domain_that_is_not_accepted_is_refused() {
    let desk = Desk { ins_domains: vec![InsDomain::Production, InsDomain::Test], ..Desk::new() };
    assert_eq!(desk.refusals(LETTER, nothing()), [(Rule::InsDomain, "doc.patientId".to_owned())]);
}

#[test]
fn an_element_that_the_cisis_makes_mandatory_is_missed_at_deposit_but_not_by_migration() {
    let document = letter_with("legalAuthenticator", "otherAuthenticator");
    let path = "doc: ClinicalDocument/legalAuthenticator/assignedEntity/id";
    assert_eq!(Desk::new().refusals(document.clone(), nothing()), [(Rule::CdaHeader, path.to_owned())]);
    assert!(Desk::migration().take(document, nothing()).is_ok());
    assert!(Desk::new().take(LEGACY, nothing()).is_ok());
}

#[test]
fn the_stricter_confidentiality_counts_and_labels_come_from_the_sender() {
    let labels = [VisibilityLabel::MasquePs].into();
    let confidentiality = Some(Confidentiality { level: ConfidentialityLevel::N, labels });
    let document = letter_with("<confidentialityCode code=\"N\"", "<confidentialityCode code=\"R\"");
    let metadata = Desk::new().take(document, MetadataDraft { confidentiality, ..nothing() }).unwrap();
    assert_eq!(metadata.confidentiality.level, ConfidentialityLevel::R);
    assert!(metadata.confidentiality.has(VisibilityLabel::MasquePs));
    assert_eq!(Desk::new().take(LETTER, nothing()).unwrap().confidentiality, Confidentiality::default());
}

#[test]
fn a_title_of_more_than_128_characters_is_refused() {
    let refused =
        |count: usize| Desk::new().take(LETTER, MetadataDraft { title: Some("é".repeat(count)), ..nothing() });
    assert!(refused(128).is_ok());
    let Err(Failure::Refused(refusals)) = refused(129) else { panic!() };
    assert_eq!((refusals[0].rule, refusals[0].place.as_str()), (Rule::MetadataValue, "doc.title"));
}

#[test]
fn a_bare_file_with_all_its_metadata_is_taken() {
    let metadata = Desk::new().take(PDF, of_bare_pdf()).unwrap();
    assert_eq!(metadata.format_code.code, "urn:ihe:iti:xds-sd:pdf:2008");
    assert_eq!(metadata.service_start_time, metadata.creation_time);
    assert_eq!(metadata.custodian.unwrap().name.as_deref(), Some("who deposits"));
    assert_eq!(metadata.source_patient.id.unwrap().value, "258033523804237");
}

#[test]
fn a_kos_has_the_type_class_and_format_of_imaging() {
    let kos = [[0; 128].as_slice(), b"DICM"].concat();
    let sent = MetadataDraft {
        type_code: Some(Code::new("1.2.250.1.213.1.1.4.12", "IMG-KOS")),
        mime_type: Some("application/dicom".to_owned()),
        ..of_bare_pdf()
    };
    let metadata = Desk::new().take(kos, sent).unwrap();
    assert_eq!(
        (metadata.class_code.code.as_str(), metadata.format_code.system.as_str()),
        ("31", "1.2.840.10008.2.6.1")
    );
}

#[test]
fn a_bare_file_without_metadata_is_refused_with_every_attribute_it_lacks() {
    let refusals = Desk::new().refusals(PDF, nothing());
    let missing = [
        "uniqueId",
        "typeCode",
        "healthcareFacilityTypeCode",
        "practiceSettingCode",
        "author",
        "title",
        "languageCode",
        "creationTime",
    ];
    for attribute in missing {
        assert!(refusals.contains(&(Rule::MissingMetadata, format!("doc.{attribute}"))), "{attribute}: {refusals:?}");
    }
    assert!(refusals.contains(&(Rule::InsMissing, "doc.patientId".to_owned())));
    assert_eq!(refusals.len(), missing.len() + 1);
}

#[test]
fn content_that_is_not_what_the_media_type_says_is_refused() {
    let refused = |content: &[u8], mime_type: &str| {
        let sent = MetadataDraft { mime_type: Some(mime_type.to_owned()), ..of_bare_pdf() };
        Desk::new().refusals(content.to_vec(), sent)
    };
    let mismatch = [(Rule::MimeTypeMismatch, "doc.mimeType".to_owned())];
    assert_eq!(refused(b"hello", "application/pdf"), mismatch);
    assert_eq!(refused(PDF, "text/xml"), mismatch);
    assert_eq!(refused(LETTER.as_bytes(), "application/pdf"), mismatch);
    assert_eq!(refused(PDF, "image/jpeg"), mismatch);
    assert_eq!(refused(PDF, "application/zip")[0], mismatch[0]);
}

#[test]
fn xml_under_the_media_type_of_something_else_is_refused() {
    let bare = LETTER.split_once("?>").unwrap().1;
    let body = LETTER[LETTER.find("<ClinicalDocument").unwrap()..].to_owned();
    let signed = format!(
        "<s:Signature xmlns:s=\"http://www.w3.org/2000/09/xmldsig#\"><s:Object>{body}</s:Object></s:Signature>"
    );
    let marked = format!("<!--{}DICM-->{body}", " ".repeat(124));
    let with_dtd = format!("<!DOCTYPE ClinicalDocument [<!ENTITY a \"b\">]>{body}");
    let behind_space = format!("{}{body}", " ".repeat(2_000));
    for document in [LETTER, bare, &body, &signed, &marked, &with_dtd, &behind_space, &format!("\u{feff}{LETTER}")] {
        for mime_type in ["text/plain", "Text/Plain; charset=utf-8", "application/dicom", "application/pdf", "text/rtf"]
        {
            let sent = MetadataDraft { mime_type: Some(mime_type.to_owned()), ..of_bare_pdf() };
            let refusals = Desk::new().refusals(document.to_owned(), sent);
            assert!(
                refusals.contains(&(Rule::MimeTypeMismatch, "doc.mimeType".to_owned())),
                "{mime_type}: {refusals:?}"
            );
        }
    }
}

#[test]
fn a_document_that_is_said_to_be_a_signature_is_read_all_the_same() {
    let signature = |inside: &str| {
        format!(
            "<s:Signature xmlns:s=\"http://www.w3.org/2000/09/xmldsig#\"><s:Object>{inside}</s:Object></s:Signature>"
        )
    };
    let take = |content: String| {
        let type_code = Some(Code::new("ASTM", "E1762"));
        let sent = MetadataDraft { type_code, mime_type: Some("text/xml".to_owned()), ..of_bare_pdf() };
        match Desk::migration().take(content, sent) {
            Ok(_) => Vec::new(),
            Err(failure) => failure.refusals().iter().map(|refusal| refusal.rule).collect::<Vec<_>>(),
        }
    };
    let body = &LETTER[LETTER.find("<ClinicalDocument").unwrap()..];
    assert!(take(LETTER.to_owned()).contains(&Rule::CdaMetadataMismatch));
    assert!(take(signature(body)).contains(&Rule::CdaMetadataMismatch));
    assert_eq!(take("<html/>".to_owned()), [Rule::CdaHeader]);
    assert_eq!(take("<!DOCTYPE a><a/>".to_owned()), [Rule::CdaForbidden]);
    let alone = take(signature("x"));
    assert!(!alone.contains(&Rule::CdaHeader) && !alone.contains(&Rule::MimeTypeMismatch), "{alone:?}");
}

#[test]
fn metadata_beyond_their_limits_are_refused_by_attribute_with_count_and_limit() {
    let long = || "é".repeat(1_001);
    let person = AuthorPerson { family: Some(long()), ..AuthorPerson::default() };
    let of_person = Author { person: Some(person), ..Author::default() };
    let code = Code::new(LOINC, "1");
    let id = ReferenceId { identifier: Identifier::new("1.2", "3"), kind: "urn:x".to_owned() };
    let institution = Institution { id: None, name: Some(long()) };
    let slot = |values: usize, bytes: usize| vec![("s".to_owned(), vec!["x".repeat(bytes); values])];
    for (attribute, found, expected, sent) in [
        (
            "comments",
            "4001 characters",
            "at most 4000 characters",
            MetadataDraft { comments: Some("é".repeat(4_001)), ..of_bare_pdf() },
        ),
        (
            "author",
            "1001 characters",
            "at most 1000 characters",
            MetadataDraft { authors: vec![of_person.clone()], ..of_bare_pdf() },
        ),
        (
            "author",
            "101 values",
            "at most 100 values",
            MetadataDraft { authors: vec![Author::default(); 101], ..of_bare_pdf() },
        ),
        (
            "author",
            "501 roles",
            "at most 500 roles",
            MetadataDraft {
                authors: vec![Author { roles: vec![String::new(); 501], ..Author::default() }],
                ..of_bare_pdf()
            },
        ),
        (
            "legalAuthenticator",
            "1001 characters",
            "at most 1000 characters",
            MetadataDraft { legal_authenticator: Some(of_person), ..of_bare_pdf() },
        ),
        (
            "custodian",
            "1001 characters",
            "at most 1000 characters",
            MetadataDraft { custodian: Some(institution), ..of_bare_pdf() },
        ),
        (
            "eventCodeList",
            "501 values",
            "at most 500 values",
            MetadataDraft { event_codes: vec![code.clone(); 501], ..of_bare_pdf() },
        ),
        (
            "eventCodeList",
            "1001 characters",
            "at most 1000 characters",
            MetadataDraft { event_codes: vec![code.with_display(&long())], ..of_bare_pdf() },
        ),
        (
            "referenceIdList",
            "501 values",
            "at most 500 values",
            MetadataDraft { reference_ids: vec![id; 501], ..of_bare_pdf() },
        ),
        (
            "languageCode",
            "1001 characters",
            "at most 1000 characters",
            MetadataDraft { language_code: Some(long()), ..of_bare_pdf() },
        ),
        (
            "mimeType",
            "1016 characters",
            "at most 1000 characters",
            MetadataDraft { mime_type: Some(format!("application/pdf;{}", "x".repeat(1_000))), ..of_bare_pdf() },
        ),
        (
            "other slots",
            "65537 bytes",
            "at most 65536 bytes",
            MetadataDraft { other_slots: slot(1, 65_536), ..of_bare_pdf() },
        ),
        (
            "other slots",
            "501 values",
            "at most 500 values",
            MetadataDraft { other_slots: slot(501, 1), ..of_bare_pdf() },
        ),
    ] {
        let Err(Failure::Refused(refusals)) = Desk::new().take(PDF, sent) else { panic!("{attribute}") };
        assert_eq!(refusals, [Refusal::new(Rule::MetadataValue, format!("doc.{attribute}"), found, expected)]);
    }
    let full = MetadataDraft { comments: Some("é".repeat(4_000)), other_slots: slot(1, 65_535), ..of_bare_pdf() };
    assert!(Desk::new().take(PDF, full).is_ok());
}

#[test]
fn a_cda_that_cannot_be_read_is_refused_for_that_alone() {
    let cut = &LETTER.as_bytes()[..4_000];
    let refusals = Desk::new().refusals(cut.to_vec(), nothing());
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].0, Rule::CdaSyntax);
    assert!(refusals[0].1.starts_with("doc: byte "), "{}", refusals[0].1);
}

/// 53 of the 59 published documents; the other six carry an INS whose key is wrong.
#[test]
fn every_published_document_is_completed_or_refused_for_its_ins_alone() {
    let beside = || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("CARNET_SHARED").map_or_else(beside, Into::into).join("corpus/cda");
    let Ok(entries) = std::fs::read_dir(folder) else {
        eprintln!("skipped: no published documents at hand");
        return;
    };
    let desk = Desk { ins_domains: vec![InsDomain::Production, InsDomain::Test], ..Desk::new() };
    let (mut taken, mut refused) = (0, 0);
    for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "xml")) {
        match desk.take(std::fs::read(&path).unwrap(), nothing()) {
            Ok(metadata) => {
                assert_ne!(metadata.format_code.code, "urn:asipSante:modelesHorsProfils:2011", "{path:?}");
                taken += 1;
            }
            Err(Failure::Refused(refusals) | Failure::Journaled(refusals)) => {
                let rules: Vec<Rule> = refusals.iter().map(|refusal| refusal.rule).collect();
                assert_eq!(rules, [Rule::InsKey], "{path:?}");
                refused += 1;
            }
            Err(Failure::Fault(fault)) => panic!("{path:?}: {fault}"),
        }
    }
    assert_eq!((taken, refused), (53, 6));
}
