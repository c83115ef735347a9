//! Documents of one message while it is being read: decoded, measured and spooled as they arrive.
//!
//! Knows neither JSON nor XML. All documents of a message share one allowance of memory; what is beyond it
//! lies in files, so that no message decides how much memory is used (contract 7.5).

use std::io;

use super::base64::{Base64Decoder, Base64Error, LineBreaks};
use crate::config::Limits;
use crate::refusal::{Failure, Fault, Refusal, Rule};
use crate::spool::{SpoolSettings, SpoolWriter, Spooled};

/// Takes in the base64 of one document after the other.
pub(super) struct Intake {
    settings: SpoolSettings,
    document_bytes_max: u64,
    done: Vec<Received>,
    open: Option<Open>,
    decoded: Vec<u8>,
    line_breaks: LineBreaks,
}

/// One document that was cut out of a message, and where it stood.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) place: String,
    pub(super) content: Spooled,
}

struct Open {
    place: String,
    decoder: Base64Decoder,
    writer: SpoolWriter,
    size_bytes: u64,
}

impl Intake {
    pub(super) fn new(limits: &Limits, settings: SpoolSettings, line_breaks: LineBreaks) -> Self {
        let document_bytes_max = limits.document_bytes_max;
        Self { settings, document_bytes_max, done: Vec::new(), open: None, decoded: Vec::new(), line_breaks }
    }

    /// Starts a document; the text that stands for it in the message from now on.
    pub(super) fn begin(&mut self, place: String) -> Result<String, Failure> {
        if self.done.len() >= DOCUMENTS_MAX {
            let found = format!("more than {DOCUMENTS_MAX} documents");
            let expected = format!("at most {DOCUMENTS_MAX} documents in one message");
            return Err(Refusal::new(Rule::BodyTooLarge, place, found, expected).into());
        }
        let decoder = Base64Decoder::new(self.line_breaks);
        let writer = SpoolWriter::new(self.settings.clone());
        self.open = Some(Open { place, decoder, writer, size_bytes: 0 });
        Ok(placeholder(self.done.len()))
    }

    /// Base64 of the document that was begun, in pieces of any length.
    pub(super) fn push(&mut self, text: &[u8]) -> Result<(), Failure> {
        let Some(open) = &mut self.open else { return Ok(()) };
        for piece in text.chunks(PIECE_CHARS) {
            self.decoded.clear();
            self.decoded.reserve(PIECE_CHARS);
            open.decoder.push(piece, &mut self.decoded).map_err(|error| open.refusal_of(error))?;
            open.write(&self.decoded, self.document_bytes_max)?;
        }
        Ok(())
    }

    /// Ends the document that was begun.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        self.decoded.clear();
        open.decoder.finish(&mut self.decoded).map_err(|error| open.refusal_of(error))?;
        open.write(&self.decoded, self.document_bytes_max)?;
        let content = open.writer.finish();
        if let Some(bytes) = content.in_memory() {
            self.settings.memory_bytes_max = self.settings.memory_bytes_max.saturating_sub(bytes.len());
        }
        self.done.push(Received { place: open.place, content });
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<Received> {
        self.done
    }
}

impl Open {
    fn write(&mut self, bytes: &[u8], bytes_max: u64) -> Result<(), Failure> {
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes > bytes_max {
            let found = format!("more than {bytes_max} bytes");
            let expected = format!("at most {bytes_max} bytes in one document (limits.document_bytes_max)");
            return Err(Refusal::new(Rule::BodyTooLarge, &self.place, found, expected).into());
        }
        self.writer.write(bytes).map_err(|error| spool_failure(&self.place, error))
    }

    fn refusal_of(&self, error: Base64Error) -> Failure {
        let (rule, found) = match error {
            Base64Error::Character => (Rule::Base64, "a character outside the base64 alphabet"),
            Base64Error::LineBreak => (Rule::JsonSyntax, "a control character as such inside a string"),
            Base64Error::Padding => (Rule::Base64, "padding (=) that is missing, too long or not at the end"),
        };
        Refusal::new(rule, &self.place, found, "base64 of RFC 4648 section 4 with its padding").into()
    }
}

/// The index of the document in the message behind a placeholder.
pub(super) fn index_of(placeholder: &str) -> Option<usize> {
    if placeholder.len() == PLACEHOLDER_CHARS { placeholder.parse().ok() } else { None }
}

/// Eight digits: themselves valid base64, so that structural checks accept them.
fn placeholder(index: usize) -> String {
    format!("{index:0PLACEHOLDER_CHARS$}")
}

fn spool_failure(place: &str, error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let expected = "the same message again, once there is room";
            Refusal::new(Rule::StorageFull, place, "no room left to receive this document", expected).into()
        }
        _ => Fault::new("a document could not be spooled", error).into(),
    }
}

pub(super) const PLACEHOLDER_CHARS: usize = 8;

/// Base64 characters decoded and hashed at a time: what is decoded stays in the processor's cache.
const PIECE_CHARS: usize = 64 * 1024;

/// Each document may need a file of its own.
const DOCUMENTS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_placeholder_is_valid_base64_and_names_its_document() {
        for index in [0, 7, 99] {
            let text = placeholder(index);
            assert!(base64_simd::STANDARD.check(text.as_bytes()).is_ok());
            assert_eq!(index_of(&text), Some(index));
        }
    }

    #[test]
    fn documents_of_one_message_share_the_memory_that_is_allowed() {
        let directory = tempfile::tempdir().unwrap();
        let settings = SpoolSettings { directory: Arc::new(directory.path().to_owned()), memory_bytes_max: 10 };
        let mut intake = Intake::new(&Limits::default(), settings, LineBreaks::Escaped);
        for _ in 0..2 {
            intake.begin("Binary.data".to_owned()).unwrap();
            intake.push(b"MTIzNDU2").unwrap();
            intake.end().unwrap();
        }
        let done = intake.finish();
        assert!(done[0].content.in_memory().is_some());
        assert!(done[1].content.in_memory().is_none());
    }

    #[test]
    fn a_place_to_spool_that_is_missing_is_our_fault() {
        let settings = SpoolSettings { directory: Arc::new("/nonexistent/spool".into()), memory_bytes_max: 0 };
        let mut intake = Intake::new(&Limits::default(), settings, LineBreaks::Escaped);
        intake.begin("Binary.data".to_owned()).unwrap();
        assert!(matches!(intake.push(b"MTIzNDU2"), Err(Failure::Fault(_))));
    }

    #[test]
    fn a_full_disk_asks_to_send_again() {
        let failure = spool_failure("Binary.data", io::ErrorKind::StorageFull.into());
        assert!(matches!(failure, Failure::Refused(refusals) if refusals[0].rule == Rule::StorageFull));
    }
}
