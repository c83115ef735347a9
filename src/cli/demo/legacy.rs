//! The legacy package that the demo migrates: what an older system would export.

use std::io::Cursor;

use anyhow::bail;
use jiff::tz::TimeZone;

use crate::clock::new_uuid;
use crate::config::InsDomain;
use crate::domain::author::Author;
use crate::domain::code::Code;
use crate::domain::dtm::Dtm;
use crate::domain::ids::{EntryUuid, SubmissionSetUuid, UniqueId};
use crate::domain::ins::Ins;
use crate::domain::status::AvailabilityStatus;
use crate::domain::submission_set::SubmissionSet;
use crate::operation::complete::{Intake, Rules, complete_document};
use crate::operation::draft::{DocumentDraft, MetadataDraft};
use crate::operation::gateway::Gateway;
use crate::refusal::Failure;
use crate::spool::Spooled;
use crate::xdm::write::{OutgoingDocument, PackageWriter};

/// An IHE_XDM zip with one document, its metadata taken from its header.
pub(super) fn write_package(gateway: &Gateway, patient: &Ins, cda: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let now = gateway.clock.now();
    let mut draft = DocumentDraft {
        place: "legacy document".to_owned(),
        metadata: MetadataDraft::default(),
        content: Spooled::of(cda),
        declared_hash: None,
        declared_size: None,
        relations: Vec::new(),
    };
    let intake = Intake {
        terminology: &gateway.terminology,
        ins_domains: &[InsDomain::Demo],
        on: now.to_zoned(TimeZone::UTC).date(),
        institution: None,
        rules: Rules::Migration,
    };
    let metadata = match complete_document(&mut draft, &intake) {
        Ok(metadata) => metadata,
        Err(Failure::Fault(fault)) => return Err(fault.into()),
        Err(failure) => bail!("the legacy document: {failure}"),
    };
    let set = SubmissionSet {
        uuid: SubmissionSetUuid::new(),
        unique_id: UniqueId::Uuid(new_uuid()),
        source_id: "1.2.250.1.213.1.99.2".to_owned(),
        submission_time: Dtm::of(now),
        patient_id: patient.clone(),
        content_type_code: Code::new("1.2.250.1.213.2.2", "97"),
        author: metadata.authors.first().cloned().unwrap_or_else(Author::default),
        title: None,
        comments: None,
    };
    let mut document = OutgoingDocument {
        entry_uuid: EntryUuid::new(),
        metadata: &metadata,
        status: AvailabilityStatus::Approved,
        relations: &[],
        content: &mut draft.content,
    };
    let mut package = PackageWriter::new(Cursor::new(Vec::new()));
    package.add_lot(&set, std::slice::from_mut(&mut document))?;
    Ok(package.finish()?.into_inner())
}
