//! What a document is: by the media type its sender gives, and by its first bytes.
//!
//! Nothing is opened beyond these bytes: they tell a PDF that is none from one, not a good PDF from a bad one.
//! Source: D.2 (mimeType), J.1 (bodies of level 1), J.3 (KOS).

/// The kinds of documents that may be deposited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// CDA, whichever of its media types it is sent under.
    Xml,
    Pdf,
    Text,
    Rtf,
    Jpeg,
    Tiff,
    /// KOS: references to the objects of an imaging study.
    Dicom,
}

impl MediaKind {
    /// Bytes from the start of a document that [`MediaKind::of_content`] wants to see.
    pub const HEAD_BYTES: usize = 1024;

    /// Media types that are accepted, as refusals name them.
    pub const ACCEPTED: &'static str = "text/xml (also application/xml, application/hl7-cda+xml, application/xslt+xml), \
         application/pdf, application/dicom, text/plain, text/rtf, image/jpeg or image/tiff";

    /// Reads a media type, parameters aside, in any case of letters.
    pub fn of_mime_type(mime_type: &str) -> Option<Self> {
        let essence = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "text/xml" | "application/xml" | "application/hl7-cda+xml" | "application/xslt+xml" => Some(Self::Xml),
            "application/pdf" => Some(Self::Pdf),
            "text/plain" => Some(Self::Text),
            "text/rtf" | "application/rtf" => Some(Self::Rtf),
            "image/jpeg" => Some(Self::Jpeg),
            "image/tiff" => Some(Self::Tiff),
            "application/dicom" => Some(Self::Dicom),
            _ => None,
        }
    }

    /// Tells a document by its first bytes; `None` for bytes of no kind that is accepted.
    pub fn of_content(head: &[u8]) -> Option<Self> {
        const BOM: &[u8] = b"\xef\xbb\xbf";
        let text = head.strip_prefix(BOM).unwrap_or(head).trim_ascii_start();
        match head {
            // First: before any other mark, XML has room for a comment that bears it.
            _ if is_markup(text) => Some(Self::Xml),
            // Nothing that is seen says what follows: it could be XML.
            _ if text.is_empty() => None,
            _ if head.get(128..132) == Some(b"DICM") => Some(Self::Dicom),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => Some(Self::Tiff),
            _ if text.starts_with(b"{\\rtf") => Some(Self::Rtf),
            // Readers of PDF accept other bytes before the mark, so its writers leave some.
            _ if head.windows(5).any(|window| window == b"%PDF-") => Some(Self::Pdf),
            _ if head.contains(&0) => None,
            _ => Some(Self::Text),
        }
    }

    /// Whether a document that begins like this may be sent under this media type.
    pub fn admits(self, head: &[u8]) -> bool {
        Self::of_content(head) == Some(self)
    }

    /// The usual media type, for a document that came without one.
    pub fn mime_type(self) -> &'static str {
        match self {
            Self::Xml => "text/xml",
            Self::Pdf => "application/pdf",
            Self::Text => "text/plain",
            Self::Rtf => "text/rtf",
            Self::Jpeg => "image/jpeg",
            Self::Tiff => "image/tiff",
            Self::Dicom => "application/dicom",
        }
    }
}

/// Whether XML begins here: a tag, a comment, a declaration. A plain text may begin with `<` as well, `< 5 mg`.
fn is_markup(text: &[u8]) -> bool {
    match text {
        [b'<', next, ..] => next.is_ascii_alphabetic() || matches!(next, b'_' | b':' | b'!' | b'?' | 0x80..),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_told_by_their_first_bytes() {
        let kos = [[0; 128].as_slice(), b"DICM\x02\x00"].concat();
        let xml_with_mark = [b"<!--".as_slice(), &[b'-'; 124], b"DICM-->"].concat();
        for (head, kind) in [
            (b"%PDF-1.4\n".as_slice(), Some(MediaKind::Pdf)),
            (b"\r\n%PDF-1.4\n", Some(MediaKind::Pdf)),
            (b"\xef\xbb\xbf <?xml version='1.0'?>", Some(MediaKind::Xml)),
            (b"<a>%PDF-</a>", Some(MediaKind::Xml)),
            (b"\xff\xd8\xff\xe0", Some(MediaKind::Jpeg)),
            (b"II*\x00", Some(MediaKind::Tiff)),
            (b"{\\rtf1", Some(MediaKind::Rtf)),
            (&kos, Some(MediaKind::Dicom)),
            (b"Compte rendu", Some(MediaKind::Text)),
            (b"< 5 mg", Some(MediaKind::Text)),
            (&xml_with_mark, Some(MediaKind::Xml)),
            (&[b' '; MediaKind::HEAD_BYTES], None),
            (b"PK\x03\x04\x00", None),
            (b"", None),
        ] {
            assert_eq!(MediaKind::of_content(head), kind, "{head:?}");
        }
    }

    #[test]
    fn a_media_type_is_read_without_its_parameters() {
        assert_eq!(MediaKind::of_mime_type("Text/XML; charset=utf-8"), Some(MediaKind::Xml));
        assert_eq!(MediaKind::of_mime_type("application/fhir+json"), None);
        assert!(MediaKind::Text.admits(b"< 5 mg") && !MediaKind::Pdf.admits(b"Compte rendu"));
    }

    #[test]
    fn every_kind_reads_back_from_its_media_type() {
        for kind in [
            MediaKind::Xml,
            MediaKind::Pdf,
            MediaKind::Text,
            MediaKind::Rtf,
            MediaKind::Jpeg,
            MediaKind::Tiff,
            MediaKind::Dicom,
        ] {
            assert_eq!(MediaKind::of_mime_type(kind.mime_type()), Some(kind));
        }
    }
}
