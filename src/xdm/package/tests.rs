use std::io::{Cursor, Write as _};
use std::sync::Arc;

use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::domain::document_entry::DocumentMetadata;
use crate::domain::sha::Fingerprint;
use crate::ebrim::sample::{metadata, submission_set};
use crate::ebrim::write::{OutgoingEntry, write_submission};
use crate::xdm::write::{OutgoingDocument, PackageWriter};

const DOCUMENT: &[u8] = b"<ClinicalDocument/>";

fn limits() -> Limits {
    Limits::from(&config::Limits::default())
}

fn read_within(zip: &[u8], limits: Limits) -> Result<Vec<LotResult>, Failure> {
    let spool = SpoolSettings { directory: Arc::new(std::env::temp_dir()), memory_bytes_max: 1000 };
    let terminology = Terminology::load().unwrap();
    let reading = Reading { spool: &spool, terminology: &terminology, limits };
    Ok(read_package(Cursor::new(zip), reading)?.collect())
}

fn read(zip: &[u8]) -> Result<Vec<LotResult>, Failure> {
    read_within(zip, limits())
}

/// The lots of a package of which all can be read.
fn lots(zip: &[u8]) -> Vec<Lot> {
    read(zip).unwrap().into_iter().collect::<Result<_, _>>().unwrap()
}

fn rule_of(failure: &Failure) -> Rule {
    match failure {
        Failure::Refused(refusals) => refusals[0].rule,
        Failure::Fault(fault) => panic!("{fault}"),
    }
}

/// Why the package, or else its only lot, is refused.
fn refused(zip: &[u8]) -> Rule {
    match read(zip) {
        Err(failure) => rule_of(&failure),
        Ok(lots) => rule_of(&lots[0].as_ref().unwrap_err().failure),
    }
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in files {
        zip.start_file(*path, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// METADATA.XML of one document whose file is `uri`.
fn metadata_xml(uri: &str, status: AvailabilityStatus) -> Vec<u8> {
    let metadata = metadata("1.2.250.1.999.2.1");
    let entry = OutgoingEntry {
        entry_uuid: EntryUuid(uuid::Uuid::from_u128(1)),
        metadata: &metadata,
        fingerprint: Fingerprint::of(DOCUMENT),
        status,
        uri: Some(uri),
        relations: &[],
    };
    let mut xml = Vec::new();
    write_submission(&mut xml, &submission_set("1.2.250.1.999.2.9", "2012"), &[entry]).unwrap();
    xml
}

/// A package of one document, `uri` as said and `path` as stored.
fn package(uri: &str, path: &str) -> Vec<u8> {
    let xml = metadata_xml(uri, AvailabilityStatus::Approved);
    zip(&[("IHE_XDM/SUBSET01/METADATA.XML", &xml), (path, DOCUMENT)])
}

fn outgoing<'d>(
    number: u128,
    metadata: &'d DocumentMetadata,
    relations: &'d [(RelationKind, EntryUuid)],
    content: &'d mut Spooled,
) -> OutgoingDocument<'d> {
    let status = AvailabilityStatus::Approved;
    OutgoingDocument { entry_uuid: EntryUuid(uuid::Uuid::from_u128(number)), metadata, status, relations, content }
}

#[test]
fn a_written_package_reads_back() {
    let metadata = metadata("1.2.250.1.999.2.1");
    let mut content = Spooled::of(DOCUMENT);
    let mut writer = PackageWriter::new(Cursor::new(Vec::new()));
    let set = submission_set("1.2.250.1.999.2.9", "20120304");
    writer.add_lot(&set, &mut [outgoing(1, &metadata, &[], &mut content)]).unwrap();
    let zip = writer.finish().unwrap().into_inner();
    let mut lots = lots(&zip);
    let Lot { name, request, notes } = lots.remove(0);
    assert_eq!((name.as_str(), notes.len()), ("IHE_XDM/SUBSET01", 0));
    let document = &request.documents[0];
    assert_eq!(document.content.in_memory().unwrap(), DOCUMENT);
    assert_eq!(document.declared_hash, Some(Fingerprint::of(DOCUMENT).sha1));
    assert_eq!(document.metadata.unique_id, Some(metadata.unique_id));
    assert_eq!(request.submission_set.unwrap().unique_id, Some(set.unique_id));
}

#[test]
fn lots_come_oldest_first_but_what_is_replaced_before_what_replaces_it() {
    let [old, new, middle] = ["1.2.1", "1.2.2", "1.2.3"].map(metadata);
    let mut writer = PackageWriter::new(Cursor::new(Vec::new()));
    let replaces = [(RelationKind::Replaces, EntryUuid(uuid::Uuid::from_u128(1)))];
    for (number, time, metadata, relations) in
        [(2, "2010", &new, &replaces[..]), (3, "2011", &middle, &[]), (1, "2012", &old, &[])]
    {
        let mut content = Spooled::of(DOCUMENT);
        let set = submission_set(&format!("1.2.9.{number}"), time);
        writer.add_lot(&set, &mut [outgoing(number, metadata, relations, &mut content)]).unwrap();
    }
    let lots = lots(&writer.finish().unwrap().into_inner());
    let names: Vec<_> = lots.iter().map(|lot| lot.name.as_str()).collect();
    assert_eq!(names, ["IHE_XDM/SUBSET02", "IHE_XDM/SUBSET03", "IHE_XDM/SUBSET01"]);
    let target = &lots[2].request.documents[0].relations[0].target;
    assert_eq!(*target, TargetName::Unique(old.unique_id), "an entryUUID does not survive the move");
}

#[test]
fn a_document_is_found_in_another_case_and_under_a_top_folder() {
    assert_eq!(lots(&package("DOC1.XML", "IHE_XDM/SUBSET01/doc1.xml")).len(), 1);
    assert_eq!(lots(&package("../COMMON\\DOC1.XML", "IHE_XDM/COMMON/DOC1.XML")).len(), 1);
    let xml = metadata_xml("doc1.xml", AvailabilityStatus::Approved);
    let below = zip(&[
        ("export/ihe_xdm/ss000001/metadata.xml", &xml),
        ("export/ihe_xdm/ss000001/doc1.xml", DOCUMENT),
        ("__MACOSX/IHE_XDM/ss000001/METADATA.XML", b"junk"),
    ]);
    assert_eq!(lots(&below)[0].name, "export/ihe_xdm/ss000001");
}

#[test]
fn a_uri_never_leaves_the_package() {
    for uri in ["../../../DOC1.XML", "/DOC1.XML", "file:///etc/passwd", "C:\\DOC1.XML", "https://example.org/DOC1.XML"]
    {
        assert_eq!(refused(&package(uri, "DOC1.XML")), Rule::PackageForm, "{uri}");
    }
}

#[test]
fn a_missing_document_is_refused() {
    assert_eq!(refused(&package("DOC1.XML", "IHE_XDM/SUBSET01/DOC2.XML")), Rule::PackageForm);
}

#[test]
fn a_bad_lot_leaves_the_others_alone() {
    let xml = metadata_xml("DOC1.XML", AvailabilityStatus::Approved);
    let zip = zip(&[
        ("IHE_XDM/SUBSET01/METADATA.XML", b"<broken"),
        ("IHE_XDM/SUBSET02/METADATA.XML", &xml),
        ("IHE_XDM/SUBSET02/DOC1.XML", DOCUMENT),
    ]);
    let lots = read(&zip).unwrap();
    assert!(lots[0].is_ok());
    assert_eq!(rule_of(&lots[1].as_ref().unwrap_err().failure), Rule::XmlSyntax);
}

#[test]
fn what_was_deleted_or_archived_does_not_come_back() {
    for status in [AvailabilityStatus::Deleted, AvailabilityStatus::Archived, AvailabilityStatus::Deprecated] {
        let xml = metadata_xml("DOC1.XML", status);
        let zip = zip(&[("IHE_XDM/SUBSET01/METADATA.XML", &xml), ("IHE_XDM/SUBSET01/DOC1.XML", DOCUMENT)]);
        assert_eq!(refused(&zip), Rule::MetadataValue, "{status:?}");
    }
}

/// A good package but for one entry more, which `add` makes.
fn package_with(add: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut zip = ZipWriter::new_append(Cursor::new(package("DOC1.XML", "IHE_XDM/SUBSET01/DOC1.XML"))).unwrap();
    add(&mut zip);
    zip.finish().unwrap().into_inner()
}

/// Why a package is refused as a whole; `None` when it is not.
fn refused_whole(zip: &[u8]) -> Option<Rule> {
    read(zip).err().map(|failure| rule_of(&failure))
}

#[test]
fn paths_that_climb_are_refused() {
    for path in ["../evil.xml", "IHE_XDM/../../evil", "/etc/passwd", "..\\evil", "C:evil"] {
        // The writer would clean such a name, an attacker does not.
        let plain = "x".repeat(path.len());
        let mut bytes = package_with(|zip| zip.start_file(&plain, SimpleFileOptions::default()).unwrap());
        assert_eq!(refused_whole(&bytes), None);
        for at in 0..bytes.len() - plain.len() {
            if bytes[at..].starts_with(plain.as_bytes()) {
                bytes[at..at + plain.len()].copy_from_slice(path.as_bytes());
            }
        }
        assert_eq!(refused_whole(&bytes), Some(Rule::PackageForm), "{path}");
    }
}

#[test]
fn symbolic_links_are_refused() {
    let link = package_with(|zip| zip.add_symlink("LINK", "/etc/passwd", SimpleFileOptions::default()).unwrap());
    assert_eq!(refused_whole(&link), Some(Rule::PackageForm));
}

#[test]
fn what_unpacks_to_much_more_is_refused_before_it_is_unpacked() {
    let bomb = zip(&[("IHE_XDM/SUBSET01/METADATA.XML", b"<a/>"), ("IHE_XDM/SUBSET01/BOMB", &vec![0; 4 << 20])]);
    assert_eq!(refused(&bomb), Rule::BodyTooLarge);
}

#[test]
fn bytes_are_counted_whatever_the_directory_says() {
    let zip = package("DOC1.XML", "IHE_XDM/SUBSET01/DOC1.XML");
    let short = Limits { document_bytes_max: 10, ..limits() };
    assert_eq!(rule_of(&read_within(&zip, short).unwrap()[0].as_ref().unwrap_err().failure), Rule::BodyTooLarge);
    for limits in [
        Limits { metadata_bytes_max: 100, ..limits() },
        Limits { package_bytes_max: 100, ..limits() },
        Limits { entries_max: 1, ..limits() },
        Limits { lots_max: 0, ..limits() },
    ] {
        assert_eq!(read_within(&zip, limits).err().map(|failure| rule_of(&failure)), Some(Rule::BodyTooLarge));
    }
}

#[test]
fn documents_beyond_the_memory_of_a_lot_go_to_files() {
    let zip = package("DOC1.XML", "IHE_XDM/SUBSET01/DOC1.XML");
    let lots = read_within(&zip, Limits { lot_memory_bytes_max: 10, ..limits() }).unwrap();
    let lot = lots.into_iter().next().unwrap().unwrap();
    assert!(lot.request.documents[0].content.in_memory().is_none());
}

#[test]
fn a_truncated_package_is_refused() {
    let zip = package("DOC1.XML", "IHE_XDM/SUBSET01/DOC1.XML");
    for length in (0..zip.len()).step_by(7) {
        assert_eq!(refused(&zip[..length]), Rule::PackageForm, "{length} bytes");
    }
}

#[test]
fn every_published_package_is_opened_and_refused_for_its_metadata() {
    let Some(folder) = crate::ebrim::tests::shared("corpus/xds/xdm") else { return };
    let mut lots = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "zip") {
            for lot in read(&std::fs::read(&file).unwrap()).unwrap() {
                lots += 1;
                // None of them has a French patient: the package is right, the INS is not.
                let Failure::Refused(refusals) = lot.unwrap_err().failure else { panic!("{}", file.display()) };
                assert!(refusals.iter().all(|refusal| refusal.rule.category() == crate::refusal::Category::Rule));
            }
        }
    }
    assert_eq!(lots, 6);
}

proptest! {
    #[test]
    fn a_damaged_package_is_read_or_refused_without_a_panic(at in 0_usize..4000, value in any::<u8>()) {
        let mut zip = package("DOC1.XML", "IHE_XDM/SUBSET01/DOC1.XML");
        let at = at % zip.len();
        zip[at] = value;
        let _ = read(&zip);
    }

    #[test]
    fn a_resolved_uri_stays_inside(uri in "[A-Z./\\\\:]{0,20}") {
        if let Some(path) = resolve("IHE_XDM/SUBSET01", &uri) {
            prop_assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."));
        }
    }
}
