//! Base64 that arrives in pieces of any length, decoded in slices as big as they come.
//!
//! Refuses to know where the text comes from. Source: RFC 4648 section 4; FHIR R4 datatypes.html#base64Binary
//! (whitespace between the characters is allowed).

use base64_simd::{STANDARD, STANDARD_NO_PAD};

/// Decoder of one base64 value.
pub(super) struct Base64Decoder {
    /// Characters that do not make a group of four yet.
    carry: Vec<u8>,
    padding: usize,
    line_breaks: LineBreaks,
}

/// Whether line breaks and tabs may stand in the text as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineBreaks {
    /// XML.
    Bare,
    /// JSON, which allows them as escapes only.
    Escaped,
}

/// Why a text is no base64. Never says which character: it belongs to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base64Error {
    /// A character outside the alphabet.
    Character,
    /// A line break as such inside a JSON string.
    LineBreak,
    /// Padding that is missing, too long or not at the end.
    Padding,
}

impl Base64Decoder {
    pub(super) fn new(line_breaks: LineBreaks) -> Self {
        Self { carry: Vec::new(), padding: 0, line_breaks }
    }

    /// Appends to `out` what `text` completes. At most 3 bytes for 4 characters, so the caller's pieces bound `out`.
    pub(super) fn push(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Base64Error> {
        let missing = (4 - self.carry.len()) % 4;
        let (completing, rest) = text.split_at(missing.min(text.len()));
        self.push_by_byte(completing, out)?;
        if !self.carry.is_empty() || self.padding > 0 {
            return self.push_by_byte(rest, out);
        }
        let padding = rest.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
        let (groups, tail) = rest.split_at((rest.len() - padding) & !3);
        // The decoder stops at whitespace, padding and anything worse: then byte by byte tells which it was.
        match STANDARD_NO_PAD.decode_append(groups, out) {
            Ok(()) => self.push_by_byte(tail, out),
            Err(_) => self.push_by_byte(rest, out),
        }
    }

    /// Judges the padding and appends the last bytes.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Base64Error> {
        if self.carry.is_empty() && self.padding == 0 {
            return Ok(());
        }
        let mut last = std::mem::take(&mut self.carry);
        last.resize(last.len() + self.padding, b'=');
        STANDARD.decode_append(&last, out).map_err(|_| Base64Error::Padding)
    }

    fn push_by_byte(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Base64Error> {
        for byte in text {
            match byte {
                b' ' => {}
                b'\t' | b'\n' | b'\r' if self.line_breaks == LineBreaks::Bare => {}
                0..0x20 => return Err(Base64Error::LineBreak),
                b'=' if self.padding == 2 => return Err(Base64Error::Padding),
                b'=' => self.padding += 1,
                _ if self.padding > 0 => return Err(Base64Error::Padding),
                _ => self.carry.push(*byte),
            }
        }
        let whole = self.carry.len() & !3;
        STANDARD_NO_PAD.decode_append(&self.carry[..whole], out).map_err(|_| Base64Error::Character)?;
        self.carry.drain(..whole);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(pieces: &[&[u8]]) -> Result<Vec<u8>, Base64Error> {
        let (mut decoder, mut out) = (Base64Decoder::new(LineBreaks::Escaped), Vec::new());
        for piece in pieces {
            decoder.push(piece, &mut out)?;
        }
        decoder.finish(&mut out)?;
        Ok(out)
    }

    #[test]
    fn padding_must_be_exact_and_last() {
        assert_eq!(decode(&[b"SGVsbG8="]).as_deref(), Ok(&b"Hello"[..]));
        for bad in [&b"SGVsbG8"[..], b"SGVsbG8==", b"SGVs=bG8", b"=", b"====", b"SGVsbG8=SGVsbG8=", b"SGVsb==="] {
            assert_eq!(decode(&[bad]), Err(Base64Error::Padding), "{bad:?}");
        }
    }

    #[test]
    fn characters_of_other_alphabets_are_refused() {
        for bad in [&b"SGV-"[..], b"SGV_", b"\xc3\xa9AA", b"SG\0s"] {
            assert!(decode(&[bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn spaces_may_stand_anywhere() {
        assert_eq!(decode(&[b" SG Vs", b" ", b"bG8 = "]).as_deref(), Ok(&b"Hello"[..]));
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_decode_like_the_whole(bytes: Vec<u8>, cuts in prop::collection::vec(0_usize..300, 0..8)) {
            let text = STANDARD.encode_to_string(&bytes).into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                pieces.push(&text[from..cut]);
                from = cut;
            }
            prop_assert_eq!(decode(&pieces), Ok(bytes));
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(text: Vec<u8>) {
            let _ = decode(&[&text]);
        }
    }
}
