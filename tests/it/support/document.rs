//! Documents that tests deposit.

use carnet::cda::header::CdaHeader;
use carnet::cli::message::{Provided, new_oid};
use carnet::cli::specimen::Specimen;
use carnet::domain::code::Code;
use carnet::domain::ids::UniqueId;
use carnet::domain::ins::Ins;
use serde_json::{Value, json};

use super::gateway::patient;

/// A unique id that no document bears.
pub(crate) fn new_unique_id() -> UniqueId {
    new_oid()
}

/// One document with what its source says of it.
pub(crate) struct Document {
    pub(crate) patient: Ins,
    pub(crate) unique_id: UniqueId,
    pub(crate) type_code: Code,
    pub(crate) title: String,
    pub(crate) mime_type: &'static str,
    pub(crate) content: Vec<u8>,
    pub(crate) replaces: Option<String>,
    /// Made once: a document deposited twice is the same submission.
    bundle: Value,
}

impl Document {
    /// A discharge letter of the tests' patient, unlike any other.
    pub(crate) fn discharge_letter() -> Self {
        Self::of(Specimen::ldl_ses(), patient())
    }

    pub(crate) fn blood_test() -> Self {
        Self::of(Specimen::cr_bio(), patient())
    }

    pub(crate) fn imaging_report() -> Self {
        Self::of(Specimen::cr_img(), patient())
    }

    pub(crate) fn discharge_letter_of(patient: Ins) -> Self {
        Self::of(Specimen::ldl_ses(), patient)
    }

    /// A scanned letter: no header, so its source must say everything.
    pub(crate) fn scan() -> Self {
        let document = Self {
            patient: patient(),
            unique_id: new_oid(),
            type_code: Code::new("2.16.840.1.113883.6.1", "11490-0"),
            title: "Lettre numérisée".to_owned(),
            mime_type: "application/pdf",
            content: b"%PDF-1.4\n%%EOF\n".to_vec(),
            replaces: None,
            bundle: Value::Null,
        };
        let mut document = document.rebuilt();
        let reference = &mut document.bundle["entry"][1]["resource"];
        let code = |system: &str, code: &str| json!({ "coding": [{ "system": system, "code": code }] });
        let who = json!({ "system": "urn:oid:1.2.250.1.71.4.2.1", "value": "899700000016" });
        reference["author"] = json!([{ "type": "Practitioner", "identifier": who }]);
        reference["context"] = json!({
            "facilityType": code("urn:oid:1.2.250.1.71.4.2.4", "SA01"),
            "practiceSetting": code("urn:oid:1.2.250.1.213.1.1.4.9", "ETABLISSEMENT")
        });
        reference["content"][0]["attachment"]["creation"] = "2026-03-02T10:00:00+01:00".into();
        document
    }

    fn of(specimen: Specimen, patient: Ins) -> Self {
        let unique_id = new_oid();
        let UniqueId::Oid(oid) = &unique_id else { panic!("specimens are named by OID") };
        let content = specimen.for_patient(&patient).with_id(oid).build();
        let header = CdaHeader::from_slice(&content, "specimen").expect("a CDA");
        let document = Self {
            patient,
            unique_id,
            type_code: header.code,
            title: header.title.expect("title"),
            mime_type: "text/xml",
            content,
            replaces: None,
            bundle: Value::Null,
        };
        document.rebuilt()
    }

    /// The same source's next version of `id`.
    pub(crate) fn replacing(mut self, id: &str) -> Self {
        self.replaces = Some(id.to_owned());
        self.rebuilt()
    }

    pub(crate) fn with_content(mut self, content: Vec<u8>) -> Self {
        self.content = content;
        self.rebuilt()
    }

    pub(crate) fn bundle(&self) -> Value {
        self.bundle.clone()
    }

    /// The bundle with one thing in it changed.
    pub(crate) fn bundle_with(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut bundle = self.bundle();
        change(&mut bundle);
        bundle
    }

    pub(crate) fn simplified(&self) -> Value {
        self.provided().simplified()
    }

    fn rebuilt(mut self) -> Self {
        self.bundle = self.provided().bundle();
        self
    }

    fn provided(&self) -> Provided<'_> {
        Provided {
            patient: &self.patient,
            unique_id: &self.unique_id,
            type_code: (&self.type_code.system, &self.type_code.code),
            title: &self.title,
            mime_type: self.mime_type,
            content: &self.content,
            replaces: self.replaces.as_deref(),
        }
    }
}
