//! Domain values -> ebRIM: the way back of `metadata`, so that read(write(x)) is x.
//!
//! One form for everybody: the order of the schema, one prefix a namespace. Line ends inside values are
//! written as character references, for a reader turns plain ones into blanks.

use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use quick_xml::name::QName;

use super::hl7v2::{CodedText, Cx, Cxi, Xcn, Xon, write_source_patient_info};
use super::rules::SOURCE_PATIENT_INFO;
use super::urn::{self, document, submission_set};
use crate::domain::association::RelationKind;
use crate::domain::author::{Author, Identifier};
use crate::domain::code::Code;
use crate::domain::confidentiality::{CONFIDENTIALITY_OID, Confidentiality, VISIBILITY_OID};
use crate::domain::document_entry::DocumentMetadata;
use crate::domain::dtm::Dtm;
use crate::domain::ids::{EntryUuid, UniqueId};
use crate::domain::ins::{Ins, InsAuthority};
use crate::domain::sha::{Fingerprint, hex};
use crate::domain::status::AvailabilityStatus;
use crate::domain::submission_set::SubmissionSet;
use crate::domain::text::is_text;

/// A document entry on its way out.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingEntry<'e> {
    pub entry_uuid: EntryUuid,
    pub metadata: &'e DocumentMetadata,
    pub fingerprint: Fingerprint,
    pub status: AvailabilityStatus,
    /// XDM only: the file, as METADATA.XML sees it.
    pub uri: Option<&'e str>,
    pub relations: &'e [(RelationKind, EntryUuid)],
}

/// Writes a `SubmitObjectsRequest` that holds the set, its entries and what links them.
pub fn write_submission(out: impl Write, set: &SubmissionSet, entries: &[OutgoingEntry<'_>]) -> io::Result<()> {
    let mut xml = Xml { writer: Writer::new_with_indent(out, b' ', 1), last_id: 0 };
    xml.writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.open("lcm:SubmitObjectsRequest", &[("xmlns:lcm", urn::LCM), ("xmlns:rim", urn::RIM)])?;
    xml.open("rim:RegistryObjectList", &[])?;
    for entry in entries {
        write_entry(&mut xml, entry)?;
    }
    write_set(&mut xml, set)?;
    for entry in entries {
        write_associations(&mut xml, set, entry)?;
    }
    xml.close("rim:RegistryObjectList")?;
    xml.close("lcm:SubmitObjectsRequest")
}

fn write_entry<W: Write>(xml: &mut Xml<W>, entry: &OutgoingEntry<'_>) -> io::Result<()> {
    let metadata = entry.metadata;
    let id = entry.entry_uuid.to_urn();
    xml.open(
        "rim:ExtrinsicObject",
        &[
            ("id", &id),
            ("mimeType", &metadata.mime_type),
            ("objectType", urn::STABLE_DOCUMENT),
            ("status", entry.status.urn()),
        ],
    )?;
    write_entry_slots(xml, entry)?;
    xml.international("rim:Name", &metadata.title)?;
    xml.international("rim:Description", metadata.comments.as_deref().unwrap_or_default())?;
    for author in &metadata.authors {
        write_author(xml, &id, document::AUTHOR, author)?;
    }
    for (scheme, code) in [
        (document::CLASS, &metadata.class_code),
        (document::TYPE, &metadata.type_code),
        (document::FORMAT, &metadata.format_code),
        (document::FACILITY, &metadata.healthcare_facility_type_code),
        (document::PRACTICE, &metadata.practice_setting_code),
    ] {
        write_code(xml, &id, scheme, code)?;
    }
    for code in confidentiality_codes(&metadata.confidentiality) {
        write_code(xml, &id, document::CONFIDENTIALITY, &code)?;
    }
    for code in &metadata.event_codes {
        write_code(xml, &id, document::EVENT, code)?;
    }
    let patient_id = patient_cx(&metadata.patient_id);
    xml.identifier(&id, document::PATIENT_ID, &patient_id, "XDSDocumentEntry.patientId")?;
    xml.identifier(&id, document::UNIQUE_ID, &unique_id(&metadata.unique_id), "XDSDocumentEntry.uniqueId")?;
    xml.close("rim:ExtrinsicObject")
}

fn write_entry_slots<W: Write>(xml: &mut Xml<W>, entry: &OutgoingEntry<'_>) -> io::Result<()> {
    let metadata = entry.metadata;
    xml.slot("creationTime", [metadata.creation_time.to_hl7()])?;
    xml.slot("languageCode", [&metadata.language_code])?;
    xml.slot("serviceStartTime", [metadata.service_start_time.to_hl7()])?;
    xml.slot("serviceStopTime", metadata.service_stop_time.map(Dtm::to_hl7))?;
    xml.slot("sourcePatientId", metadata.source_patient.id.as_ref().map(source_patient_cx))?;
    let mut others: Vec<_> = metadata.other_slots.iter().collect();
    let mut patient_info = write_source_patient_info(&metadata.source_patient.info);
    others.retain(|(name, values)| {
        let mine = name == SOURCE_PATIENT_INFO;
        if mine {
            patient_info.extend(values.iter().cloned());
        }
        !mine
    });
    xml.slot(SOURCE_PATIENT_INFO, patient_info)?;
    let authenticator = metadata.legal_authenticator.as_ref().and_then(|author| author.person.as_ref());
    xml.slot("legalAuthenticator", authenticator.map(|person| Xcn::from(person).to_string()))?;
    xml.slot(urn::CUSTODIAN, metadata.custodian.as_ref().map(|custodian| Xon::from(custodian).to_string()))?;
    xml.slot(urn::REFERENCE_ID_LIST, metadata.reference_ids.iter().map(|id| Cxi::from(id).to_string()))?;
    xml.slot("hash", [hex(&entry.fingerprint.sha1.0)])?;
    xml.slot("size", [entry.fingerprint.size_bytes.to_string()])?;
    xml.slot("URI", entry.uri)?;
    for (name, values) in others {
        xml.slot_even_empty(name, values)?;
    }
    Ok(())
}

fn write_set<W: Write>(xml: &mut Xml<W>, set: &SubmissionSet) -> io::Result<()> {
    let id = set.uuid.to_urn();
    xml.open("rim:RegistryPackage", &[("id", &id), ("status", AvailabilityStatus::Approved.urn())])?;
    xml.slot("submissionTime", [set.submission_time.to_hl7()])?;
    xml.international("rim:Name", set.title.as_deref().unwrap_or_default())?;
    xml.international("rim:Description", set.comments.as_deref().unwrap_or_default())?;
    write_author(xml, &id, submission_set::AUTHOR, &set.author)?;
    write_code(xml, &id, submission_set::CONTENT_TYPE, &set.content_type_code)?;
    xml.identifier(&id, submission_set::PATIENT_ID, &patient_cx(&set.patient_id), "XDSSubmissionSet.patientId")?;
    xml.identifier(&id, submission_set::SOURCE_ID, &set.source_id, "XDSSubmissionSet.sourceId")?;
    xml.identifier(&id, submission_set::UNIQUE_ID, &unique_id(&set.unique_id), "XDSSubmissionSet.uniqueId")?;
    xml.close("rim:RegistryPackage")?;
    let own = xml.next_id();
    xml.empty(
        "rim:Classification",
        &[("id", &own), ("classifiedObject", &id), ("classificationNode", urn::SUBMISSION_SET)],
    )
}

fn write_associations<W: Write>(xml: &mut Xml<W>, set: &SubmissionSet, entry: &OutgoingEntry<'_>) -> io::Result<()> {
    let id = entry.entry_uuid.to_urn();
    let own = xml.next_id();
    let set_id = set.uuid.to_urn();
    let attributes =
        [("id", &*own), ("associationType", urn::HAS_MEMBER), ("sourceObject", &set_id), ("targetObject", &id)];
    xml.open("rim:Association", &attributes)?;
    xml.slot("SubmissionSetStatus", ["Original"])?;
    xml.close("rim:Association")?;
    for (kind, target) in entry.relations {
        let own = xml.next_id();
        let target = target.to_urn();
        let association_type = urn::association_type(*kind);
        xml.empty(
            "rim:Association",
            &[("id", &own), ("associationType", association_type), ("sourceObject", &id), ("targetObject", &target)],
        )?;
    }
    Ok(())
}

fn write_author<W: Write>(xml: &mut Xml<W>, owner: &str, scheme: &str, author: &Author) -> io::Result<()> {
    let own = xml.next_id();
    xml.open(
        "rim:Classification",
        &[("id", &own), ("classificationScheme", scheme), ("classifiedObject", owner), ("nodeRepresentation", "")],
    )?;
    xml.slot("authorPerson", author.person.as_ref().map(|person| Xcn::from(person).to_string()))?;
    xml.slot("authorInstitution", author.institution.as_ref().map(|at| Xon::from(at).to_string()))?;
    xml.slot("authorRole", &author.roles)?;
    xml.slot("authorSpecialty", author.specialty.as_ref().map(|code| CodedText::from(code).to_string()))?;
    xml.close("rim:Classification")
}

fn write_code<W: Write>(xml: &mut Xml<W>, owner: &str, scheme: &str, code: &Code) -> io::Result<()> {
    let own = xml.next_id();
    xml.open(
        "rim:Classification",
        &[
            ("id", &own),
            ("classificationScheme", scheme),
            ("classifiedObject", owner),
            ("nodeRepresentation", &code.code),
        ],
    )?;
    xml.slot("codingScheme", [&code.system])?;
    xml.international("rim:Name", code.display.as_deref().unwrap_or_default())?;
    xml.close("rim:Classification")
}

fn confidentiality_codes(confidentiality: &Confidentiality) -> Vec<Code> {
    let level = Code::new(CONFIDENTIALITY_OID, confidentiality.level.code());
    let labels = confidentiality.labels.iter().map(|label| Code::new(VISIBILITY_OID, label.code()));
    std::iter::once(level).chain(labels).collect()
}

fn patient_cx(ins: &Ins) -> String {
    let authority = Some(ins.authority().oid().to_owned());
    Cx { id: ins.matricule().to_owned(), authority, id_type: Some("NH".to_owned()) }.to_string()
}

fn source_patient_cx(id: &Identifier) -> String {
    let id_type = if InsAuthority::from_oid(&id.system).is_some() { "NH" } else { "PI" };
    let authority = Some(id.system.clone()).filter(|system| !system.is_empty());
    Cx { id: id.value.clone(), authority, id_type: Some(id_type.to_owned()) }.to_string()
}

/// XDS knows OIDs only; an id that came as a UUID keeps its URN so that it reads back as one.
fn unique_id(id: &UniqueId) -> String {
    match id {
        UniqueId::Oid(oid) => oid.to_string(),
        UniqueId::Uuid(_) => id.to_urn(),
    }
}

/// quick-xml's writer with the shapes that ebRIM repeats.
struct Xml<W: Write> {
    writer: Writer<W>,
    last_id: usize,
}

impl<W: Write> Xml<W> {
    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
        self.writer.write_event(Event::Start(tag(name, attributes)))
    }

    fn close(&mut self, name: &str) -> io::Result<()> {
        self.writer.write_event(Event::End(BytesEnd::new(name)))
    }

    fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
        self.writer.write_event(Event::Empty(tag(name, attributes)))
    }

    /// A slot, or nothing when there is no value.
    fn slot<V: AsRef<str>>(&mut self, name: &str, values: impl IntoIterator<Item = V>) -> io::Result<()> {
        let mut values = values.into_iter().peekable();
        if values.peek().is_some() { self.slot_even_empty(name, values) } else { Ok(()) }
    }

    fn slot_even_empty<V: AsRef<str>>(&mut self, name: &str, values: impl IntoIterator<Item = V>) -> io::Result<()> {
        self.open("rim:Slot", &[("name", name)])?;
        self.open("rim:ValueList", &[])?;
        for value in values {
            self.open("rim:Value", &[])?;
            self.writer.write_event(Event::Text(BytesText::from_escaped(escaped(value.as_ref()))))?;
            self.close("rim:Value")?;
        }
        self.close("rim:ValueList")?;
        self.close("rim:Slot")
    }

    fn international(&mut self, name: &str, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.open(name, &[])?;
        self.empty("rim:LocalizedString", &[("value", text)])?;
        self.close(name)
    }

    fn identifier(&mut self, owner: &str, scheme: &str, value: &str, name: &str) -> io::Result<()> {
        let own = self.next_id();
        self.open(
            "rim:ExternalIdentifier",
            &[("id", &own), ("registryObject", owner), ("identificationScheme", scheme), ("value", value)],
        )?;
        self.international("rim:Name", name)?;
        self.close("rim:ExternalIdentifier")
    }

    /// The schema wants an id on everything; these are read by nobody.
    fn next_id(&mut self) -> String {
        self.last_id += 1;
        format!("id{}", self.last_id)
    }
}

fn tag<'t>(name: &'t str, attributes: &[(&'t str, &str)]) -> BytesStart<'t> {
    let mut tag = BytesStart::new(name);
    for (key, value) in attributes {
        tag.push_attribute(Attribute { key: QName(key), value: escaped(value).into() });
    }
    tag
}

/// Text for content and attributes; what XML cannot carry at all becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut whole = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '&' => whole.push_str("&amp;"),
            '<' => whole.push_str("&lt;"),
            '>' => whole.push_str("&gt;"),
            '"' => whole.push_str("&quot;"),
            '\t' => whole.push_str("&#9;"),
            '\n' => whole.push_str("&#10;"),
            '\r' => whole.push_str("&#13;"),
            legal if is_text(legal) => whole.push(legal),
            _ => whole.push('\u{FFFD}'),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::author::{AuthorPerson, Institution, PersonKind};
    use crate::domain::confidentiality::VisibilityLabel;
    use crate::domain::document_entry::ReferenceId;
    use crate::domain::patient::SourcePatient;
    use crate::domain::value_set::Terminology;
    use crate::ebrim::metadata::{Submission, read_submission};
    use crate::ebrim::object::SubmitObjectsRequest;
    use crate::ebrim::sample::{metadata, submission_set};
    use crate::operation::draft::{MetadataDraft, SubmissionSetDraft};
    use crate::refusal::Refusal;

    fn outgoing(number: u128, metadata: &DocumentMetadata) -> OutgoingEntry<'_> {
        OutgoingEntry {
            entry_uuid: EntryUuid(uuid::Uuid::from_u128(number)),
            metadata,
            fingerprint: Fingerprint::of(b"document"),
            status: AvailabilityStatus::Approved,
            uri: Some("DOC00001.XML"),
            relations: &[],
        }
    }

    fn read(xml: &[u8]) -> Result<Submission, Vec<Refusal>> {
        read_submission(
            &SubmitObjectsRequest::read(xml).map_err(|refusal| vec![refusal])?,
            &Terminology::load().unwrap(),
        )
    }

    /// What a reader should find, the class aside: that one is never the sender's.
    fn expected(metadata: DocumentMetadata) -> MetadataDraft {
        MetadataDraft {
            unique_id: Some(metadata.unique_id),
            patient_id: Some(metadata.patient_id),
            source_patient: Some(metadata.source_patient).filter(|source| *source != SourcePatient::default()),
            authors: metadata.authors,
            legal_authenticator: metadata.legal_authenticator,
            custodian: metadata.custodian,
            type_code: Some(metadata.type_code),
            confidentiality: Some(metadata.confidentiality),
            format_code: Some(metadata.format_code),
            healthcare_facility_type_code: Some(metadata.healthcare_facility_type_code),
            practice_setting_code: Some(metadata.practice_setting_code),
            event_codes: metadata.event_codes,
            title: Some(metadata.title),
            comments: metadata.comments,
            language_code: Some(metadata.language_code),
            mime_type: Some(metadata.mime_type),
            creation_time: Some(metadata.creation_time),
            service_start_time: Some(metadata.service_start_time),
            service_stop_time: metadata.service_stop_time,
            reference_ids: metadata.reference_ids,
            other_slots: metadata.other_slots,
        }
    }

    fn assert_same(read: &MetadataDraft, mut expected: MetadataDraft) {
        // What is left of sourcePatientInfo is found before the slots that no row knows.
        expected.other_slots.sort_by_key(|(name, _)| name != SOURCE_PATIENT_INFO);
        assert_eq!(read.patient_id, expected.patient_id);
        assert_eq!(format!("{read:#?}"), format!("{expected:#?}"));
    }

    #[test]
    fn a_document_reads_back_as_it_was_written() {
        let metadata = metadata("1.2.250.1.999.2.1");
        let mut xml = Vec::new();
        write_submission(&mut xml, &submission_set("1.2.250.1.999.2.9", "20120304"), &[outgoing(1, &metadata)])
            .unwrap();
        let submission = read(&xml).unwrap();
        let entry = &submission.documents[0];
        assert_eq!(submission.notes, [""; 0]);
        assert_eq!(entry.declared_hash, Some(Fingerprint::of(b"document").sha1));
        assert_eq!(entry.declared_size, Some(8));
        assert_eq!(entry.uri.as_deref(), Some("DOC00001.XML"));
        assert_eq!(entry.status, Some(AvailabilityStatus::Approved));
        assert_same(&entry.metadata, expected(metadata));
    }

    #[test]
    fn a_submission_set_reads_back_as_it_was_written() {
        let set = submission_set("1.2.250.1.999.2.9", "20120304101700");
        let mut xml = Vec::new();
        write_submission(&mut xml, &set, &[]).unwrap();
        let read = read(&xml).unwrap().set;
        let expected = SubmissionSetDraft {
            place: format!("RegistryPackage[{}]", set.uuid.to_urn()),
            unique_id: Some(set.unique_id),
            source_id: Some(set.source_id),
            submission_time: Some(set.submission_time),
            patient_id: Some(set.patient_id.clone()),
            content_type_code: Some(set.content_type_code),
            author: Some(set.author),
            title: set.title,
            comments: set.comments,
        };
        assert_eq!(read.patient_id, Some(set.patient_id));
        assert_eq!(format!("{read:#?}"), format!("{expected:#?}"));
    }

    #[test]
    fn the_written_form_is_the_golden_file() {
        let metadata = metadata("1.2.250.1.999.2.1");
        let mut entry = outgoing(1, &metadata);
        let relations = [(RelationKind::Replaces, EntryUuid(uuid::Uuid::from_u128(7)))];
        entry.relations = &relations;
        let mut xml = Vec::new();
        write_submission(&mut xml, &submission_set("1.2.250.1.999.2.9", "20120304101700"), &[entry]).unwrap();
        let golden = include_str!("../../fixtures/xds/submit-objects-request.xml");
        assert_eq!(String::from_utf8(xml).unwrap().trim_end(), golden.trim_end());
    }

    #[test]
    fn what_xml_cannot_carry_is_replaced() {
        assert_eq!(escaped("a\u{1}\u{FFFF}<\r"), "a\u{FFFD}\u{FFFD}&lt;&#13;");
    }

    fn text() -> impl Strategy<Value = String> {
        "[A-Za-zé\u{1F600}]([A-Za-z0-9 <>&'\"^|~\\\\\n\t]{0,12}[A-Za-z0-9é&])?"
    }

    fn code() -> impl Strategy<Value = Code> {
        (text(), text(), prop::option::of(text())).prop_map(|(system, code, display)| Code { system, code, display })
    }

    fn identifier() -> impl Strategy<Value = Identifier> {
        (text(), text()).prop_map(|(system, value)| Identifier { system, value })
    }

    fn any_author() -> impl Strategy<Value = Author> {
        let kind = prop::sample::select(vec![PersonKind::Professional, PersonKind::Patient, PersonKind::Device]);
        let person = (prop::option::of(identifier()), kind, text(), prop::option::of(text()))
            .prop_map(|(id, kind, family, given)| AuthorPerson { id, kind, family: Some(family), given });
        let institution =
            (prop::option::of(identifier()), text()).prop_map(|(id, name)| Institution { id, name: Some(name) });
        let roles = prop::collection::vec(text(), 0..3);
        (prop::option::of(person), prop::option::of(institution), roles, prop::option::of(code()))
            .prop_map(|(person, institution, roles, specialty)| Author { person, institution, roles, specialty })
    }

    proptest! {
        #[test]
        fn any_document_reads_back(
            authors in prop::collection::vec(any_author(), 0..3),
            codes in prop::collection::vec(code(), 4..8),
            texts in prop::collection::vec(text(), 6),
            labels in prop::collection::btree_set(prop::sample::select(VisibilityLabel::ALL.to_vec()), 0..3),
            source_id in prop::option::of(identifier()),
            reference in prop::option::of(identifier()),
            slots in prop::collection::btree_map("urn:[a-z]{1,8}", prop::collection::vec("[a-z &<\r\n]{0,9}", 0..3), 0..3),
        ) {
            let mut metadata = metadata("urn:uuid:12345678-abcd-1234-abcd-1234567890ab");
            metadata.custodian = authors.first().and_then(|author| author.institution.clone());
            metadata.legal_authenticator = authors.first()
                .and_then(|author| author.person.clone())
                .map(|person| Author { person: Some(person), ..Author::default() });
            metadata.authors = authors;
            metadata.confidentiality.labels = labels;
            [metadata.type_code, metadata.format_code, metadata.healthcare_facility_type_code, metadata.practice_setting_code] =
                [codes[0].clone(), codes[1].clone(), codes[2].clone(), codes[3].clone()];
            metadata.event_codes = codes[4..].to_vec();
            metadata.source_patient.id = source_id;
            metadata.source_patient.info.birth_family = Some(texts[0].clone());
            metadata.source_patient.info.given = Some(texts[1].clone());
            metadata.title = texts[2].clone();
            metadata.comments = Some(texts[3].clone());
            metadata.reference_ids = reference
                .map(|identifier| ReferenceId { identifier, kind: texts[4].clone() })
                .into_iter()
                .collect();
            metadata.other_slots = slots.into_iter().collect();
            let mut xml = Vec::new();
            write_submission(&mut xml, &submission_set("1.2.9", "2012"), &[outgoing(1, &metadata)]).unwrap();
            assert_same(&read(&xml).unwrap().documents[0].metadata, expected(metadata));
        }
    }
}
