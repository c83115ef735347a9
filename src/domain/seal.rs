//! Seals and heads of the journal: what is hashed, and what is signed. Who keeps and who signs them is not known here.
//!
//! Two chains hold each line. That of its record lets one record be verified without reading the others; that over all
//! lines takes in each record's seals. The lines that concern no record make one more chain, of the empty id.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::sha::hex;

/// What a line is sealed with: SHA-256.
pub type Seal = [u8; 32];

/// What the first line of a chain continues.
pub const FIRST: Seal = [0; 32];

/// A line, and what stands beside it, as its record's chain holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineOfRecord<'a> {
    /// Within the record: 1, 2, 3...
    pub position: i64,
    /// Empty when the line concerns no record.
    pub dossier_id: &'a [u8],
    pub at_us: i64,
    pub line: &'a [u8],
}

/// The end of the chain over all lines at some moment: who knows it notices any change before it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Head {
    /// Of the last line.
    pub position: i64,
    /// Of the last line, in the chain over all.
    pub seal: Vec<u8>,
    /// Of the last line: the head needs no clock of its own.
    pub at_us: i64,
}

/// A head and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SignedHead {
    pub head: Head,
    pub key_id: String,
    /// Ed25519, of [`Head::statement`].
    pub signature: Vec<u8>,
}

impl LineOfRecord<'_> {
    /// Seals the line behind the one before it in the same record.
    pub fn seal(&self, before: &[u8]) -> Seal {
        hash(&self.frame(before))
    }

    fn frame(&self, before: &[u8]) -> Vec<u8> {
        let mut frame = start(RECORD, before, self.position);
        push(&mut frame, self.dossier_id);
        frame.extend(self.at_us.to_be_bytes());
        push(&mut frame, self.line);
        frame
    }
}

/// Seals a line, by the seal that it has in its record, behind the one before it in the chain over all.
pub fn seal_over_all(before: &[u8], position: i64, seal_in_record: &[u8]) -> Seal {
    hash(&frame_over_all(before, position, seal_in_record))
}

impl Head {
    /// What is signed: text, so that an auditor verifies it with any tool.
    pub fn statement(&self, store: Uuid) -> String {
        format!("carnet journal head 1\n{store}\n{}\n{}\n{}\n", self.position, hex(&self.seal), self.at_us)
    }
}

/// A seal of one chain is never one of the other.
const RECORD: &[u8; 24] = b"carnet journal record  1";
const OVER_ALL: &[u8; 24] = b"carnet journal over all1";

fn frame_over_all(before: &[u8], position: i64, seal_in_record: &[u8]) -> Vec<u8> {
    let mut frame = start(OVER_ALL, before, position);
    push(&mut frame, seal_in_record);
    frame
}

fn start(tag: &[u8], before: &[u8], position: i64) -> Vec<u8> {
    let mut frame = tag.to_vec();
    push(&mut frame, before);
    frame.extend(position.to_be_bytes());
    frame
}

/// Length first: no part can pass for the beginning of the next.
fn push(frame: &mut Vec<u8>, part: &[u8]) {
    frame.extend((part.len() as u64).to_be_bytes());
    frame.extend(part);
}

fn hash(frame: &[u8]) -> Seal {
    Sha256::digest(frame).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Parts = (Vec<u8>, i64, Vec<u8>, i64, Vec<u8>);

    fn framed((before, position, dossier_id, at_us, line): &Parts) -> Vec<u8> {
        LineOfRecord { position: *position, dossier_id, at_us: *at_us, line }.frame(before)
    }

    /// Few values and few lengths, so that parts which could be taken for one another do meet.
    fn parts() -> impl Strategy<Value = Parts> {
        let bytes = || prop::collection::vec(prop_oneof![Just(0), Just(1), Just(8)], 0..12);
        (bytes(), -1..3_i64, bytes(), -1..3_i64, bytes())
    }

    proptest! {
        #[test]
        fn no_two_different_lines_frame_alike(one in parts(), other in parts()) {
            prop_assert_eq!(one == other, framed(&one) == framed(&other));
        }

        #[test]
        fn what_moves_between_two_parts_frames_otherwise(parts in parts(), cut in 0..12_usize) {
            let (before, position, dossier_id, at_us, line) = parts;
            let whole = [dossier_id, line].concat();
            let cut = cut.min(whole.len());
            let split = |at: usize| {
                framed(&(before.clone(), position, whole[..at].to_vec(), at_us, whole[at..].to_vec()))
            };
            for at in (0..=whole.len()).filter(|at| *at != cut) {
                prop_assert_ne!(split(at), split(cut));
            }
        }

        #[test]
        fn the_two_chains_never_frame_alike(one in parts(), (before, position, seal, ..) in parts()) {
            prop_assert_ne!(framed(&one), frame_over_all(&before, position, &seal));
        }
    }

    #[test]
    fn seals_and_statements_stay_what_they_were() {
        let line = LineOfRecord { position: 1, dossier_id: b"d", at_us: 2, line: b"{}" };
        assert_eq!(hex(&line.seal(&FIRST)), "9806332f29671c14f564b78e40a1fa334ef149bd74be5e0b0fce8648d7d87029");
        assert_eq!(
            hex(&seal_over_all(&FIRST, 1, &line.seal(&FIRST))),
            "51ffe4aeff91c8fdc89bf93ac866edf282da1eaa1efd1fca301ad16d81cfbb9d"
        );
        let head = Head { position: 1, seal: vec![0xab; 2], at_us: 5 };
        let expected = "carnet journal head 1\n00000000-0000-0000-0000-000000000000\n1\nabab\n5\n";
        assert_eq!(head.statement(Uuid::nil()), expected);
    }
}
