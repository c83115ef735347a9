//! A document as a FHIR Binary, written in its final form piece by piece: the base64 is never held whole.

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};

use crate::domain::document_entry::DocumentEntry;
use crate::fhir::negotiate::Format;
use crate::refusal::Fault;

/// What stands before and after the base64 of a document.
pub struct Frame {
    before: String,
    after: &'static str,
}

impl Frame {
    pub fn of(entry: &DocumentEntry, format: Format) -> Self {
        let id = entry.logical_id;
        let version = entry.version;
        let mime = entry.metadata.mime_type.as_str();
        let (before, after) = match format {
            Format::Json => {
                let mime = serde_json::Value::from(mime);
                (
                    format!(
                        r#"{{"resourceType":"Binary","id":"{id}","meta":{{"versionId":"{version}"}},"contentType":{mime},"securityContext":{{"reference":"DocumentReference/{id}"}},"data":""#
                    ),
                    "\"}",
                )
            }
            Format::Xml => {
                let mime = quick_xml::escape::escape(mime);
                (
                    format!(
                        r#"<?xml version="1.0" encoding="UTF-8"?><Binary xmlns="http://hl7.org/fhir"><id value="{id}"/><meta><versionId value="{version}"/></meta><contentType value="{mime}"/><securityContext><reference value="DocumentReference/{id}"/></securityContext><data value=""#
                    ),
                    "\"/></Binary>",
                )
            }
        };
        Self { before, after }
    }

    /// Length of the whole answer for a document of `document_bytes`.
    pub fn length(&self, document_bytes: u64) -> u64 {
        self.before.len() as u64 + document_bytes.div_ceil(3) * 4 + self.after.len() as u64
    }

    /// The frame around the base64 of `content`, in pieces of about the size in which it comes.
    pub fn around<S>(self, content: S) -> impl Stream<Item = Result<Bytes, Fault>> + Send
    where
        S: Stream<Item = Result<Bytes, Fault>> + Send + Unpin,
    {
        let before = stream::once(async move { Ok(Bytes::from(self.before)) });
        let after = stream::once(async move { Ok(Bytes::from_static(self.after.as_bytes())) });
        before.chain(base64_of(content)).chain(after)
    }
}

/// Encodes whole groups of three bytes and carries the rest over to the next piece.
fn base64_of<S>(content: S) -> impl Stream<Item = Result<Bytes, Fault>> + Send
where
    S: Stream<Item = Result<Bytes, Fault>> + Send + Unpin,
{
    stream::unfold(Some((content, Vec::new())), |state| async move {
        let (mut content, mut carried) = state?;
        match content.next().await {
            Some(Ok(piece)) => {
                carried.extend_from_slice(&piece);
                let rest = carried.split_off(carried.len() - carried.len() % 3);
                Some((Ok(encoded(&carried)), Some((content, rest))))
            }
            Some(Err(fault)) => Some((Err(fault), None)),
            None => Some((Ok(encoded(&carried)), None)),
        }
    })
}

fn encoded(bytes: &[u8]) -> Bytes {
    Bytes::from(base64_simd::STANDARD.encode_to_string(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::resource::sample;
    use proptest::prelude::*;

    async fn written(entry: &DocumentEntry, format: Format, pieces: Vec<Bytes>) -> String {
        let size = pieces.iter().map(|piece| piece.len() as u64).sum();
        let frame = Frame::of(entry, format);
        let length = frame.length(size);
        let around = frame.around(stream::iter(pieces.into_iter().map(Ok)));
        let whole: Vec<u8> = around.map(|piece| piece.unwrap().to_vec()).concat().await;
        assert_eq!(whole.len() as u64, length);
        String::from_utf8(whole).unwrap()
    }

    fn split(bytes: &[u8], sizes: &[usize]) -> Vec<Bytes> {
        let mut rest = bytes;
        let mut pieces = Vec::new();
        for size in sizes {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            pieces.push(Bytes::copy_from_slice(piece));
            rest = after;
        }
        pieces.push(Bytes::copy_from_slice(rest));
        pieces
    }

    #[tokio::test]
    async fn both_formats_hold_the_document() {
        let mut entry = sample::entry();
        entry.metadata.mime_type = "text/x;a=\"<&>\"".to_owned();
        let json = written(&entry, Format::Json, split(b"abcde", &[2])).await;
        let binary: fhirkit::r4::Binary = fhirkit::from_json_strict(&json).unwrap();
        assert_eq!(binary.id, Some(entry.logical_id.to_string()));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((json["data"].as_str(), json["contentType"].as_str()), (Some("YWJjZGU="), Some("text/x;a=\"<&>\"")));
        let xml = written(&entry, Format::Xml, split(b"abcde", &[2])).await;
        assert!(xml.contains("<contentType value=\"text/x;a=&quot;&lt;&amp;&gt;&quot;\"/>"), "{xml}");
        assert!(xml.ends_with("<data value=\"YWJjZGU=\"/></Binary>"), "{xml}");
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_encode_like_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            sizes in proptest::collection::vec(0_usize..20, 0..20),
        ) {
            let pieces = split(&bytes, &sizes);
            let encoded = base64_of(stream::iter(pieces.into_iter().map(Ok)));
            let encoded: Vec<u8> = futures_util::future::FutureExt::now_or_never(
                encoded.map(|piece| piece.unwrap().to_vec()).concat(),
            ).unwrap();
            prop_assert_eq!(String::from_utf8(encoded).unwrap(), base64_simd::STANDARD.encode_to_string(&bytes));
        }
    }
}
