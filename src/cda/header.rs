//! The header of a CDA document as domain values.
//!
//! Required of every document: what identifies it and can be read in one way only (id, code, effectiveTime, one
//! recordTarget, a body). The other elements that structuration minimale makes mandatory are reported by
//! [`CdaHeader::missing_elements`], for a deposit to refuse and a migration to accept; setId and versionNumber
//! became mandatory only recently and are never missed. Source: J.1, J.2, D.2 (column "CDA source").

use std::io::BufRead;

use super::guard::Guard;
use super::reader;
use super::source::{SliceSource, StreamSource};
use crate::domain::author::{Author, Identifier, Institution};
use crate::domain::code::Code;
use crate::domain::confidentiality::ConfidentialityLevel;
use crate::domain::dtm::Dtm;
use crate::domain::patient::SourcePatientInfo;
use crate::refusal::{Failure, Fault, Refusal, Rule};
use crate::spool::Spooled;

/// What a document says of itself. Values are as found, whitespace aside; nothing is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdaHeader {
    pub container: Container,
    /// `templateId/@root`; the year in `@extension` changes no model.
    pub template_ids: Vec<String>,
    pub id: InstanceId,
    pub set_id: Option<InstanceId>,
    pub version_number: Option<u32>,
    pub code: Code,
    pub title: Option<String>,
    pub effective_time: Dtm,
    pub confidentiality: Option<ConfidentialityLevel>,
    pub language_code: Option<String>,
    pub patient: CdaPatient,
    pub authors: Vec<Author>,
    pub custodian: Option<Institution>,
    pub legal_authenticator: Option<Author>,
    pub service_events: Vec<ServiceEvent>,
    pub healthcare_facility_type_code: Option<Code>,
    /// `inFulfillmentOf/order`: orders and their accession numbers.
    pub orders: Vec<Order>,
    pub related_documents: Vec<RelatedDocument>,
    pub body: Body,
}

/// What stands around the `ClinicalDocument`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    Plain,
    /// A stylesheet that carries the document in `data:Contenu`. Never executed.
    SelfPresenting,
    /// An enveloping XML signature.
    Signed,
}

/// `II`: an identifier that may be a root alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceId {
    pub root: String,
    pub extension: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CdaPatient {
    /// Identifiers under an authority that assigns INS, unchecked, in document order.
    pub ins: Vec<Identifier>,
    /// The others: IPP of a hospital, historical INS.
    pub others: Vec<Identifier>,
    pub info: SourcePatientInfo,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceEvent {
    pub ids: Vec<InstanceId>,
    pub code: Option<Code>,
    pub start: Option<Dtm>,
    pub stop: Option<Dtm>,
    /// `performer/…/standardIndustryClassCode`: the main event has one.
    pub practice_setting_code: Option<Code>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Id(InstanceId),
    AccessionNumber(InstanceId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelatedDocument {
    /// `RPLC`, `XFRM`, `APND`.
    pub type_code: String,
    pub ids: Vec<InstanceId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Level 1: one file in base64.
    Unstructured { media_type: Option<String> },
    /// Level 3, perhaps with its own rendering as a PDF inside.
    Structured { pdf_copy: PdfCopy },
}

/// Section FR-Document-PDF-copie (1.2.250.1.213.1.1.2.243).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PdfCopy {
    Present,
    Absent,
}

impl CdaHeader {
    /// Reads a document that was received: without a copy when it is in memory, else as a stream.
    ///
    /// Errors: `CdaSyntax`, `CdaForbidden`, `CdaLimit`, `CdaHeader`, each under `place`.
    pub fn read(document: &mut Spooled, place: &str) -> Result<Self, Failure> {
        Self::read_if_any(document, place)?.ok_or_else(|| absent(place))
    }

    /// The same, but `None` for an XML signature that envelops no document, such as that of a submission.
    pub fn read_if_any(document: &mut Spooled, place: &str) -> Result<Option<Self>, Failure> {
        if let Some(bytes) = document.in_memory() {
            return reader::read(Guard::new(SliceSource::new(bytes), place), place);
        }
        let stream =
            document.reader().map_err(|cause| Fault::new("a document being received cannot be read", cause))?;
        reader::read(Guard::new(StreamSource::new(stream), place), place)
    }

    /// Reads a document that is in memory. `place` says where it is, in the sender's terms; empty if it stands alone.
    pub fn from_slice(document: &[u8], place: &str) -> Result<Self, Failure> {
        reader::read(Guard::new(SliceSource::new(document), place), place)?.ok_or_else(|| absent(place))
    }

    /// Reads a document in one pass. Memory: the header, at most 1 MiB, and one text, comment, section or tag,
    /// base64 left out (at most 8 MiB, usually 64 KB).
    pub fn from_reader(document: impl BufRead, place: &str) -> Result<Self, Failure> {
        reader::read(Guard::new(StreamSource::new(document), place), place)?.ok_or_else(|| absent(place))
    }

    /// The service event that the metadata speak of: the one with a practice setting, else the first.
    pub fn main_event(&self) -> Option<&ServiceEvent> {
        self.service_events.iter().find(|event| event.practice_setting_code.is_some()).or(self.service_events.first())
    }

    /// Mandatory elements (J.2) that are not there, by their path.
    pub fn missing_elements(&self) -> Vec<&'static str> {
        let has_author_id = |author: &Author| author.person.as_ref().is_some_and(|person| person.id.is_some());
        let main = self.main_event();
        [
            ("ClinicalDocument/title", self.title.is_some()),
            ("ClinicalDocument/languageCode", self.language_code.is_some()),
            ("ClinicalDocument/author/assignedAuthor/id", self.authors.iter().any(has_author_id)),
            ("ClinicalDocument/custodian", self.custodian.is_some()),
            (
                "ClinicalDocument/legalAuthenticator/assignedEntity/id",
                self.legal_authenticator.as_ref().is_some_and(has_author_id),
            ),
            (
                "ClinicalDocument/documentationOf/serviceEvent/effectiveTime/low",
                main.is_some_and(|event| event.start.is_some()),
            ),
            (
                "ClinicalDocument/documentationOf/serviceEvent/performer/assignedEntity/representedOrganization/standardIndustryClassCode",
                main.is_some_and(|event| event.practice_setting_code.is_some()),
            ),
            (
                "ClinicalDocument/componentOf/encompassingEncounter/location/healthCareFacility/code",
                self.healthcare_facility_type_code.is_some(),
            ),
        ]
        .into_iter()
        .filter_map(|(path, present)| (!present).then_some(path))
        .collect()
    }
}

impl InstanceId {
    /// An identifier of the record: the root is the authority, or alone the value (system empty).
    pub fn to_identifier(&self) -> Identifier {
        match &self.extension {
            Some(extension) => Identifier::new(&self.root, extension),
            None => Identifier::new("", &self.root),
        }
    }
}

/// No document where one was wanted.
pub(super) fn absent(place: &str) -> Failure {
    let expected = "one ClinicalDocument (urn:hl7-org:v3)";
    Refusal::new(Rule::CdaHeader, place_in(place, "ClinicalDocument"), "nothing", expected).into()
}

/// `path` of the document, after where the document is.
pub(super) fn place_in(place: &str, path: &str) -> String {
    if place.is_empty() { path.to_owned() } else { format!("{place}: {path}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::author::PersonKind;
    use crate::domain::ins::{Ins, InsError};
    use proptest::prelude::*;

    const SMALL: &str = r#"<?xml version="1.0" encoding="UTF-8"?><?xml-stylesheet type="text/xsl" href="x.xsl"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><realmCode code="FR"/><templateId root="1.2.250.1.213.1.1.1.1"/>
<id root="1.2.3.4.5"/><code code="11488-4" codeSystem="2.16.840.1.113883.6.1"/><title>Une  &lt;lettre&gt;&#160;</title>
<effectiveTime value="20240106113623+0100"/><confidentialityCode code="R"/><languageCode code="fr-FR"/>
<recordTarget><patientRole><id root="1.2.250.1.213.1.4.10" extension="279035121518989"/><id root="1.2.3" extension="IPP1"/>
<patient><name><family qualifier="CL">USAGE</family><family qualifier="BR">NAISSANCE</family><given>ANNE MARIE</given><given qualifier="BR">ANNE</given></name>
<administrativeGenderCode code="F"/><birthTime nullFlavor="UNK"/></patient></patientRole></recordTarget>
<author><assignedAuthor><id root="1.2.250.1.71.4.2.1" extension="801234567897"/></assignedAuthor></author>
<component><nonXMLBody><text mediaType="application/pdf" representation="B64">JVBERi0=</text></nonXMLBody></component></ClinicalDocument>"#;

    fn small_with(from: &str, to: &str) -> String {
        assert!(SMALL.contains(from), "{from}");
        SMALL.replacen(from, to, 1)
    }

    fn refusals_of(document: &str) -> Vec<(Rule, String)> {
        match CdaHeader::from_slice(document.as_bytes(), "") {
            Err(Failure::Refused(refusals) | Failure::Journaled(refusals)) => {
                refusals.into_iter().map(|r| (r.rule, r.place)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_header_becomes_domain_values() {
        let header = CdaHeader::from_slice(SMALL.as_bytes(), "").unwrap();
        assert_eq!(header.id, InstanceId { root: "1.2.3.4.5".to_owned(), extension: None });
        assert_eq!(header.title.as_deref(), Some("Une <lettre>"));
        assert_eq!(header.effective_time.to_hl7(), "20240106103623");
        assert_eq!(header.confidentiality, Some(ConfidentialityLevel::R));
        assert_eq!(header.patient.ins, [Identifier::new("1.2.250.1.213.1.4.10", "279035121518989")]);
        assert_eq!(header.patient.others, [Identifier::new("1.2.3", "IPP1")]);
        let info = &header.patient.info;
        assert_eq!(info.birth_family.as_deref(), Some("NAISSANCE"));
        assert_eq!(info.usual_family.as_deref(), Some("USAGE"));
        assert_eq!(info.given.as_deref(), Some("ANNE"));
        assert_eq!(info.birth_date, None);
        assert_eq!(header.body, Body::Unstructured { media_type: Some("application/pdf".to_owned()) });
    }

    #[test]
    fn other_elements_that_should_be_there_are_named_but_not_refused() {
        let missing = CdaHeader::from_slice(SMALL.as_bytes(), "").unwrap().missing_elements();
        assert!(missing.contains(&"ClinicalDocument/legalAuthenticator/assignedEntity/id"), "{missing:?}");
        assert!(!missing.contains(&"ClinicalDocument/author/assignedAuthor/id"), "{missing:?}");
    }

    #[test]
    fn what_identifies_a_document_is_refused_when_missing_all_at_once() {
        let document = small_with("<id root=\"1.2.3.4.5\"/>", "<id nullFlavor=\"UNK\"/>")
            .replace("<effectiveTime value=\"20240106113623+0100\"/>", "");
        let expected =
            ["ClinicalDocument/id", "ClinicalDocument/effectiveTime"].map(|p| (Rule::CdaHeader, p.to_owned()));
        assert_eq!(refusals_of(&document), expected);
    }

    #[test]
    fn a_time_that_is_none_is_refused_with_its_path() {
        let document = small_with("20240106113623+0100", "6 janvier");
        assert_eq!(refusals_of(&document), [(Rule::CdaHeader, "ClinicalDocument/effectiveTime".to_owned())]);
    }

    #[test]
    fn two_patients_or_two_documents_are_refused() {
        let second = small_with("</recordTarget>", "</recordTarget><recordTarget><patientRole/></recordTarget>");
        assert_eq!(refusals_of(&second), [(Rule::CdaHeader, "ClinicalDocument/recordTarget".to_owned())]);
        let body = SMALL.split_once("?>\n").unwrap().1;
        let signed = |inside: &str| {
            format!(
                "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:Object>{inside}</ds:Object></ds:Signature>"
            )
        };
        let header = CdaHeader::from_slice(signed(body).as_bytes(), "").unwrap();
        assert_eq!(header.container, Container::Signed);
        assert_eq!(refusals_of(&signed(&body.repeat(2))), [(Rule::CdaHeader, "ClinicalDocument".to_owned())]);
    }

    #[test]
    fn xml_that_is_no_cda_is_refused_with_where_the_document_is() {
        let Err(Failure::Refused(refusals)) = CdaHeader::from_slice(b"<html/>", "Bundle.entry[1]") else { panic!() };
        assert_eq!(
            (refusals[0].rule, refusals[0].place.as_str()),
            (Rule::CdaHeader, "Bundle.entry[1]: the root element")
        );
    }

    #[test]
    fn a_document_of_20_mb_is_read_through_little_memory() {
        let document = small_with("JVBERi0=", &"QUJD".repeat(5_000_000));
        let stream = std::io::BufReader::new(document.as_bytes());
        assert_eq!(
            CdaHeader::from_reader(stream, "").unwrap(),
            CdaHeader::from_slice(document.as_bytes(), "").unwrap()
        );
    }

    fn streamed(document: &str) -> Result<CdaHeader, Failure> {
        CdaHeader::from_reader(std::io::BufReader::new(document.as_bytes()), "")
    }

    #[test]
    fn a_text_comment_or_section_of_more_than_8_mib_is_refused_from_a_stream() {
        const MIB: usize = 1024 * 1024;
        for (open, close) in [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?p ", "?>"), ("", "")] {
            for filling in ["<", "é"] {
                if open.is_empty() && filling != "é" {
                    continue;
                }
                let long = |bytes: usize| {
                    let inside = format!("{open}{}{close}</nonXMLBody>", filling.repeat(bytes / filling.len()));
                    small_with("</nonXMLBody>", &inside)
                };
                assert!(streamed(&long(7 * MIB)).is_ok(), "{open}{filling}");
                let Err(Failure::Refused(refusals)) = streamed(&long(9 * MIB)) else { panic!("{open}{filling}") };
                assert_eq!(refusals[0].rule, Rule::CdaLimit, "{open}{filling}");
            }
        }
    }

    #[test]
    fn a_header_of_more_than_1_mib_is_refused_however_it_is_filled() {
        let id = format!("<id root=\"1.2.3\" extension=\"{}\"/>", "7".repeat(10_000));
        let event = format!("<documentationOf><serviceEvent>{}</serviceEvent></documentationOf>", id.repeat(60));
        let document = |events: usize| small_with("<component>", &format!("{}<component>", event.repeat(events)));
        assert!(CdaHeader::from_slice(document(1).as_bytes(), "").is_ok());
        assert_eq!(refusals_of(&document(2)), [(Rule::CdaLimit, PATH_OF_EVENT_ID.to_owned())]);
    }

    const PATH_OF_EVENT_ID: &str = "ClinicalDocument/documentationOf/serviceEvent/id";

    #[test]
    fn an_author_of_more_than_500_roles_is_refused() {
        let with = |roles: usize| {
            let roles = "<functionCode code=\"A\"/>".repeat(roles);
            small_with("<assignedAuthor>", &format!("{roles}<assignedAuthor>"))
        };
        assert_eq!(CdaHeader::from_slice(with(500).as_bytes(), "").unwrap().authors[0].roles.len(), 500);
        assert_eq!(refusals_of(&with(501)), [(Rule::CdaLimit, "ClinicalDocument/author/functionCode".to_owned())]);
    }

    /// 59 published documents, where they are at hand.
    #[test]
    fn every_published_document_is_read_the_same_from_memory_and_from_a_stream() {
        let Some(folder) = corpus() else { return };
        let (mut read, mut bad_keys) = (0, 0);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "xml") {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let header = CdaHeader::from_slice(&bytes, "").unwrap_or_else(|failure| panic!("{path:?}: {failure}"));
            let streamed = CdaHeader::from_reader(std::io::BufReader::with_capacity(4096, bytes.as_slice()), "");
            assert_eq!(streamed.unwrap(), header, "{path:?}");
            assert_eq!(header.missing_elements(), Vec::<&str>::new(), "{path:?}");
            assert!(header.set_id.is_some() && header.title.is_some() && header.id.extension.is_none(), "{path:?}");
            assert_eq!(header.patient.ins.len(), 1, "{path:?}");
            let ins = &header.patient.ins[0];
            bad_keys += usize::from(Ins::parse(&ins.value, &ins.system) == Err(InsError::Key));
            assert!(header.patient.info.birth_date.is_some() && header.patient.info.birth_family.is_some(), "{path:?}");
            read += 1;
        }
        assert_eq!((read, bad_keys), (59, 6));
    }

    #[test]
    fn the_kinds_of_published_documents_are_told_apart() {
        let Some(folder) = corpus() else { return };
        let read = |name: &str| CdaHeader::from_slice(&std::fs::read(folder.join(name)).unwrap(), "").unwrap();
        let laboratory = read("BIO-CR-BIO_2021.01_Auto-Presentable.xml");
        assert_eq!(laboratory.container, Container::SelfPresenting);
        assert_eq!(laboratory.body, Body::Structured { pdf_copy: PdfCopy::Absent });
        assert_eq!(read("eP-MED-DM_2024.01_PosoNonStruct.xml").body, Body::Structured { pdf_copy: PdfCopy::Present });
        let imaging = read("IMG_CR_IMG_2024.01.xml");
        assert_eq!((imaging.orders.len(), imaging.service_events.len()), (4, 4));
        assert_eq!(imaging.related_documents[0].type_code, "RPLC");
        let dispensed = read("eDISP-MED_2024.01.xml");
        let kinds: Vec<_> = dispensed.authors.iter().map(|author| author.person.as_ref().unwrap().kind).collect();
        assert_eq!(kinds, [PersonKind::Device, PersonKind::Professional]);
        assert_eq!(dispensed.authors[0].person.as_ref().unwrap().family.as_deref(), Some("Dossier Pharmaceutique"));
    }

    fn corpus() -> Option<std::path::PathBuf> {
        let beside = || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
        let folder = std::env::var_os("CARNET_SHARED").map_or_else(beside, Into::into).join("corpus/cda");
        if !folder.is_dir() {
            eprintln!("skipped: no published documents at hand");
            return None;
        }
        Some(folder)
    }

    proptest! {
        #[test]
        fn a_document_cut_anywhere_is_refused(at in 0..SMALL.len() - 1) {
            let cut = &SMALL.as_bytes()[..at];
            prop_assert!(CdaHeader::from_slice(cut, "").is_err());
            prop_assert!(CdaHeader::from_reader(cut, "").is_err());
        }

        #[test]
        fn a_mutated_document_is_read_or_refused_without_a_panic(
            changes in proptest::collection::vec((0..SMALL.len(), any::<u8>()), 1..8),
        ) {
            let mut document = SMALL.as_bytes().to_vec();
            for (at, byte) in changes {
                document[at] = byte;
            }
            let slice = CdaHeader::from_slice(&document, "");
            let stream = CdaHeader::from_reader(document.as_slice(), "");
            prop_assert_eq!(slice.ok(), stream.ok());
        }
    }
}
