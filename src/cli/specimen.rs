//! Documents to show and to measure with: the CDA of `fixtures/cda`, made out to any patient and made unique.
//!
//! The fixtures are whole documents, usable as they are; a specimen changes nothing in them but the patient's
//! INS, the identifiers, what it replaces, and the size of a level 1 body. Everybody in them is imaginary.

use base64_simd::STANDARD;

use crate::domain::ins::Ins;
use crate::domain::oid::Oid;

/// One CDA in the making.
#[derive(Clone, Debug)]
pub struct Specimen {
    text: String,
    id: String,
    set_id: Option<String>,
    /// The `id` element of the patient, as it stands in the text.
    patient: String,
}

impl Specimen {
    /// Discharge letter of a hospital (Struct_IdNat 1350000899), level 3.
    pub fn ldl_ses() -> Self {
        Self::of(include_str!("../../fixtures/cda/ldl-ses.xml"))
    }

    /// Report of a laboratory (Struct_IdNat 1350001111), level 3 with a PDF copy.
    pub fn cr_bio() -> Self {
        Self::of(include_str!("../../fixtures/cda/cr-bio.xml"))
    }

    /// Report of a radiology centre (Struct_IdNat 1350002222), level 3 with accession number.
    pub fn cr_img() -> Self {
        Self::of(include_str!("../../fixtures/cda/cr-img.xml"))
    }

    /// Consultation at a hospital (Struct_IdNat 1350000899), level 1: a PDF.
    pub fn cr_consultation_n1() -> Self {
        Self::of(include_str!("../../fixtures/cda/cr-consultation-n1.xml"))
    }

    /// Old synthesis of a general practitioner (Struct_IdNat 499700000024001), without setId.
    pub fn vsm_legacy() -> Self {
        Self::of(include_str!("../../fixtures/cda/vsm-legacy.xml"))
    }

    /// A level 1 document of this many bytes, give or take four.
    pub fn of_size(bytes: usize) -> Self {
        let mut specimen = Self::cr_consultation_n1();
        if let Some((before, rest)) = specimen.text.split_once(BODY_START)
            && let Some((_, after)) = rest.split_once(BODY_END)
        {
            let frame = before.len() + BODY_START.len() + BODY_END.len() + after.len();
            let body = STANDARD.encode_to_string(pdf_of(bytes.saturating_sub(frame) / 4 * 3));
            specimen.text = format!("{before}{BODY_START}{body}{BODY_END}{after}");
        }
        specimen
    }

    #[must_use]
    pub fn for_patient(mut self, ins: &Ins) -> Self {
        let patient = patient_element(ins.authority().oid(), ins.matricule());
        self.text = self.text.replacen(&self.patient, &patient, 1);
        self.patient = patient;
        self
    }

    /// Makes the document another one: new id, and a set of versions of its own.
    #[must_use]
    pub fn with_id(mut self, id: &Oid) -> Self {
        let element = |name: &str, root: &str| format!("<{name} root=\"{root}\"/>");
        self.text = self.text.replacen(&element("id", &self.id), &element("id", id.as_str()), 1);
        self.id = id.to_string();
        if let Some(set_id) = &mut self.set_id {
            self.text = self.text.replacen(&element("setId", set_id), &element("setId", id.as_str()), 1);
            *set_id = id.to_string();
        }
        self
    }

    /// Declares the document a replacement of an older one.
    #[must_use]
    pub fn replacing(mut self, older: &Oid) -> Self {
        let related = format!(
            "<relatedDocument typeCode=\"RPLC\"><parentDocument><id root=\"{older}\"/></parentDocument></relatedDocument>"
        );
        self.text = self.text.replacen("  <componentOf>", &format!("  {related}\n  <componentOf>"), 1);
        self
    }

    /// The OID of the document as it stands: its uniqueId.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn build(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    fn of(fixture: &str) -> Self {
        Self {
            text: fixture.to_owned(),
            id: root_of(fixture, "  <id root=\"").unwrap_or_default(),
            set_id: root_of(fixture, "  <setId root=\""),
            patient: patient_element(PATIENT.0, PATIENT.1),
        }
    }
}

/// The patient of the fixtures: an INS of the demonstration authority.
const PATIENT: (&str, &str) = ("1.2.250.1.213.1.4.11", "258033523804237");
const BODY_START: &str = "representation=\"B64\">";
const BODY_END: &str = "</text>";

fn patient_element(oid: &str, matricule: &str) -> String {
    format!("<id root=\"{oid}\" extension=\"{matricule}\"/>")
}

fn root_of(fixture: &str, start: &str) -> Option<String> {
    let (_, rest) = fixture.split_once(start)?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// Bytes that begin like a PDF and do not compress, so that no layer can cheat a measurement.
fn pdf_of(length: usize) -> Vec<u8> {
    let mut bytes = b"%PDF-1.4\n".to_vec();
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cda::header::{Body, CdaHeader, PdfCopy};
    use crate::domain::author::Identifier;

    fn all() -> [Specimen; 5] {
        [
            Specimen::ldl_ses(),
            Specimen::cr_bio(),
            Specimen::cr_img(),
            Specimen::cr_consultation_n1(),
            Specimen::vsm_legacy(),
        ]
    }

    fn header_of(specimen: &Specimen) -> CdaHeader {
        CdaHeader::from_slice(specimen.text.as_bytes(), "").unwrap()
    }

    #[test]
    fn every_fixture_has_a_whole_header_and_a_checked_patient() {
        for specimen in all() {
            let header = header_of(&specimen);
            assert_eq!(header.missing_elements(), Vec::<&str>::new());
            assert_eq!(header.id.root, specimen.id());
            let [ins] = header.patient.ins.as_slice() else { panic!("{header:?}") };
            Ins::parse(&ins.value, &ins.system).unwrap();
        }
    }

    #[test]
    fn a_specimen_differs_from_its_fixture_only_where_asked() {
        let ins = Ins::parse("279035121518989", "1.2.250.1.213.1.4.10").unwrap();
        let (id, older): (Oid, Oid) = ("2.25.1234".parse().unwrap(), "2.25.99".parse().unwrap());
        for specimen in all() {
            let before = header_of(&specimen);
            let after = header_of(&specimen.for_patient(&ins).with_id(&id).replacing(&older));
            assert_eq!(after.id.root, "2.25.1234");
            assert_eq!(after.set_id.is_some(), before.set_id.is_some());
            assert_eq!(after.patient.ins, [Identifier::new("1.2.250.1.213.1.4.10", "279035121518989")]);
            assert_eq!(after.related_documents[0].ids[0].root, "2.25.99");
            assert_eq!((after.title, after.authors), (before.title, before.authors));
        }
    }

    #[test]
    fn a_measured_document_has_the_size_asked_for_and_a_pdf_inside() {
        for size in [20_000, 250_000, 1_000_001] {
            let document = Specimen::of_size(size).build();
            assert!(document.len() <= size && document.len() + 4 > size, "{} for {size}", document.len());
            let header = CdaHeader::from_slice(&document, "").unwrap();
            assert_eq!(header.body, Body::Unstructured { media_type: Some("application/pdf".to_owned()) });
        }
    }

    #[test]
    fn embedded_files_are_real_pdfs() {
        for specimen in [Specimen::cr_bio(), Specimen::cr_consultation_n1()] {
            let (_, rest) = specimen.text.split_once(BODY_START).unwrap();
            let base64: String = rest.split_once('<').unwrap().0.split_whitespace().collect();
            let pdf = STANDARD.decode_to_vec(base64).unwrap();
            assert!(pdf.starts_with(b"%PDF-") && pdf.ends_with(b"%%EOF\n"));
        }
        assert_eq!(header_of(&Specimen::cr_bio()).body, Body::Structured { pdf_copy: PdfCopy::Present });
    }
}
