//! Where the events of a document come from: bytes in memory, borrowed, or a stream through one buffer.

use std::io::BufRead;

use quick_xml::NsReader;
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;

use super::thin::ThinReader;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namespace {
    /// `urn:hl7-org:v3`
    Hl7,
    /// `urn:asip-sante:ci-sis`: the wrapper of a self-presenting document.
    CiSis,
    Xsl,
    XmlDsig,
    /// `urn:dicom-org:ps3-20`
    Dicom,
    Other,
    /// The prefix is not declared.
    Undeclared,
}

/// Where events come from: a slice that is borrowed, or a stream through one buffer that is used again.
pub(super) trait Source {
    fn next(&mut self) -> Result<(Namespace, Event<'_>), quick_xml::Error>;
    /// Bytes of the document read so far.
    fn offset(&self) -> u64;
}

pub(super) struct SliceSource<'d>(NsReader<&'d [u8]>);

pub(super) struct StreamSource<R> {
    reader: NsReader<ThinReader<R>>,
    buffer: Vec<u8>,
}

impl<'d> SliceSource<'d> {
    pub(super) fn new(document: &'d [u8]) -> Self {
        Self(strict(NsReader::from_reader(document)))
    }
}

impl<R: BufRead> StreamSource<R> {
    pub(super) fn new(document: R) -> Self {
        Self { reader: strict(NsReader::from_reader(ThinReader::new(document))), buffer: Vec::new() }
    }
}

fn strict<R>(mut reader: NsReader<R>) -> NsReader<R> {
    let config = reader.config_mut();
    config.enable_all_checks(true);
    config.expand_empty_elements = true;
    reader
}

impl Source for SliceSource<'_> {
    fn next(&mut self) -> Result<(Namespace, Event<'_>), quick_xml::Error> {
        let event = self.0.read_event()?;
        Ok((namespace_of(&self.0, &event), event))
    }

    fn offset(&self) -> u64 {
        self.0.buffer_position()
    }
}

impl<R: BufRead> Source for StreamSource<R> {
    fn next(&mut self) -> Result<(Namespace, Event<'_>), quick_xml::Error> {
        self.buffer.clear();
        self.reader.get_mut().begin_event();
        let event = self.reader.read_event_into(&mut self.buffer)?;
        Ok((namespace_of(&self.reader, &event), event))
    }

    fn offset(&self) -> u64 {
        self.reader.buffer_position() + self.reader.get_ref().left_out()
    }
}

fn namespace_of<R>(reader: &NsReader<R>, event: &Event<'_>) -> Namespace {
    let Event::Start(tag) = event else { return Namespace::Other };
    match reader.resolver().resolve_element(tag.name()).0 {
        ResolveResult::Bound(namespace) => match namespace.as_ref() {
            "urn:hl7-org:v3" => Namespace::Hl7,
            "urn:asip-sante:ci-sis" => Namespace::CiSis,
            "http://www.w3.org/1999/XSL/Transform" => Namespace::Xsl,
            "http://www.w3.org/2000/09/xmldsig#" => Namespace::XmlDsig,
            "urn:dicom-org:ps3-20" => Namespace::Dicom,
            _ => Namespace::Other,
        },
        ResolveResult::Unbound => Namespace::Other,
        ResolveResult::Unknown(_) => Namespace::Undeclared,
    }
}
