//! Writes an IHE_XDM package: the shape that every reader of ITI-32 knows, names of ISO 9660 level 1.
//!
//! Same content, same bytes: entries carry no date of making. Source: H.2.

use std::io::{self, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::domain::association::RelationKind;
use crate::domain::document_entry::DocumentMetadata;
use crate::domain::ids::EntryUuid;
use crate::domain::status::AvailabilityStatus;
use crate::domain::submission_set::SubmissionSet;
use crate::ebrim::write::{OutgoingEntry, write_submission};
use crate::spool::Spooled;

/// A document and what is said of it.
#[derive(Debug)]
pub struct OutgoingDocument<'d> {
    pub entry_uuid: EntryUuid,
    pub metadata: &'d DocumentMetadata,
    pub status: AvailabilityStatus,
    pub relations: &'d [(RelationKind, EntryUuid)],
    pub content: &'d mut Spooled,
}

/// A package being written, lot by lot.
pub struct PackageWriter<W: Write + Seek> {
    zip: ZipWriter<W>,
    lots: usize,
    /// Rows of INDEX.HTM.
    index: String,
}

impl<W: Write + Seek> PackageWriter<W> {
    pub fn new(out: W) -> Self {
        Self { zip: ZipWriter::new(out), lots: 0, index: String::new() }
    }

    /// Adds one submission with its documents.
    pub fn add_lot(&mut self, set: &SubmissionSet, documents: &mut [OutgoingDocument<'_>]) -> io::Result<()> {
        self.lots += 1;
        let folder = format!("IHE_XDM/{}", lot_name(self.lots));
        let mut names = Vec::with_capacity(documents.len());
        for (at, document) in documents.iter_mut().enumerate() {
            let name = format!("DOC{:05}.{}", at + 1, extension(&document.metadata.mime_type));
            let path = format!("{folder}/{name}");
            self.zip.start_file(&path, packed())?;
            io::copy(&mut document.content.reader()?, &mut self.zip)?;
            self.list(&path, document.metadata);
            names.push(name);
        }
        let entries: Vec<_> = documents
            .iter()
            .zip(&names)
            .map(|(document, name)| OutgoingEntry {
                entry_uuid: document.entry_uuid,
                metadata: document.metadata,
                fingerprint: document.content.fingerprint(),
                status: document.status,
                uri: Some(name),
                relations: document.relations,
            })
            .collect();
        self.zip.start_file(format!("{folder}/METADATA.XML"), packed())?;
        write_submission(&mut self.zip, set, &entries)
    }

    /// Adds what a person with a browser needs, and closes the package.
    pub fn finish(mut self) -> io::Result<W> {
        self.zip.start_file("INDEX.HTM", packed())?;
        let index = INDEX.replace("{rows}", &self.index);
        self.zip.write_all(index.as_bytes())?;
        self.zip.start_file("README.TXT", packed())?;
        self.zip.write_all(README.as_bytes())?;
        Ok(self.zip.finish()?)
    }

    fn list(&mut self, path: &str, metadata: &DocumentMetadata) {
        let (date, title) = (metadata.creation_time.to_fhir(), html(&metadata.title));
        self.index += &["<tr><td>", &date, "</td><td><a href=\"", path, "\">", &title, "</a></td></tr>\r\n"].concat();
    }
}

/// Eight characters for any number of lots that a package can hold.
fn lot_name(number: usize) -> String {
    if number < 100 { format!("SUBSET{number:02}") } else { format!("SS{number:06}") }
}

fn extension(mime_type: &str) -> &'static str {
    match mime_type {
        "text/xml" | "application/xml" => "XML",
        "application/xslt+xml" => "XSL",
        "application/pdf" => "PDF",
        "application/dicom" => "DCM",
        "text/plain" => "TXT",
        _ => "BIN",
    }
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn packed() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)
}

const INDEX: &str = "<!DOCTYPE html>\r\n<html lang=\"fr\">\r\n<head><meta charset=\"utf-8\"><title>Documents de sant\u{e9}</title></head>\r\n\
    <body>\r\n<h1>Documents de sant\u{e9}</h1>\r\n<p>Paquet IHE XDM produit par le logiciel Carnet.</p>\r\n\
    <table>\r\n<tr><th>Date (UTC)</th><th>Document</th></tr>\r\n{rows}</table>\r\n</body>\r\n</html>\r\n";

const README: &str = "Paquet IHE XDM (Cross-enterprise Document Media Interchange), produit par le logiciel Carnet.\r\n\r\n\
    INDEX.HTM               liste des documents, pour un navigateur\r\n\
    IHE_XDM/                un dossier par lot de soumission\r\n\
    IHE_XDM/SUBSET01/       METADATA.XML et les documents du lot\r\n\r\n\
    Contact : l'organisme qui vous a remis ce paquet.\r\n";

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use zip::ZipArchive;

    use super::*;
    use crate::ebrim::sample::{metadata, submission_set};

    fn written() -> Vec<u8> {
        let metadata = metadata("1.2.250.1.999.2.1");
        let mut content = Spooled::of("<ClinicalDocument/>");
        let mut writer = PackageWriter::new(Cursor::new(Vec::new()));
        let document = OutgoingDocument {
            entry_uuid: EntryUuid(uuid::Uuid::from_u128(1)),
            metadata: &metadata,
            status: AvailabilityStatus::Approved,
            relations: &[],
            content: &mut content,
        };
        writer.add_lot(&submission_set("1.2.250.1.999.2.9", "2012"), &mut [document]).unwrap();
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn names_are_those_of_iso_9660() {
        let zip = ZipArchive::new(Cursor::new(written())).unwrap();
        let names: Vec<_> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
        let expected = ["IHE_XDM/SUBSET01/DOC00001.XML", "IHE_XDM/SUBSET01/METADATA.XML", "INDEX.HTM", "README.TXT"];
        assert_eq!(names, expected);
        assert_eq!((lot_name(99).as_str(), lot_name(100).as_str()), ("SUBSET99", "SS000100"));
    }

    #[test]
    fn the_same_content_makes_the_same_bytes() {
        assert_eq!(written(), written());
    }

    #[test]
    fn a_title_cannot_put_markup_into_the_index() {
        let mut zip = ZipArchive::new(Cursor::new(written())).unwrap();
        let mut index = String::new();
        zip.by_name("INDEX.HTM").unwrap().read_to_string(&mut index).unwrap();
        assert!(index.contains("Lettre &quot;de&quot; liaison &lt;sortie&gt;"), "{index}");
    }
}
