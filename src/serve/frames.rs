//! A budget of HTTP/2 frames, so that a client who sends frames and asks for nothing is cut off.
//!
//! hyper and h2 bound what streams and header blocks hold, small DATA frames, and resets of requests that no handler
//! has seen; they do not bound how often a peer resets requests at work, pings, changes settings or prioritises
//! (tried with h2 0.4.20: tests/it/http2.rs). Frames are therefore counted here, on their way to hyper. A frame costs
//! as much as [`FRAME_COST`] bytes of payload earn, in either direction, so that whoever deposits or reads pays with
//! what they came for; time earns a little too. Knows heads of frames only: all else about them is h2's to judge.
//! Source: RFC 9113 sections 4.1, 6 and 10.5; CVE-2019-9512 to 9518, CVE-2023-44487.

use tokio::time::Instant;

/// What one connection may still send.
pub(super) struct FrameBudget {
    /// Of the preface, then of the payload of the frame whose head was read last.
    skipped: usize,
    head: [u8; HEAD_BYTES],
    head_filled: usize,
    credit: u64,
    earned_until: Instant,
}

/// Why a connection ends; it becomes the error of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more frames than a client needs that asks for something")]
pub(super) struct Flood;

impl FrameBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self { skipped: PREFACE_BYTES, head: [0; HEAD_BYTES], head_filled: 0, credit: CREDIT_MAX, earned_until: now }
    }

    /// Counts the frames in what arrived, however it is cut into pieces.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        let earned = now.saturating_duration_since(self.earned_until).as_millis();
        if earned > 0 {
            self.earned_until = now;
            self.earn(u64::try_from(earned).unwrap_or(u64::MAX).saturating_mul(CREDIT_PER_MILLISECOND));
        }
        while !bytes.is_empty() {
            let skipped = self.skipped.min(bytes.len());
            self.skipped -= skipped;
            bytes = &bytes[skipped..];
            let of_head = bytes.len().min(HEAD_BYTES - self.head_filled);
            self.head[self.head_filled..self.head_filled + of_head].copy_from_slice(&bytes[..of_head]);
            self.head_filled += of_head;
            bytes = &bytes[of_head..];
            if self.head_filled == HEAD_BYTES {
                self.head_filled = 0;
                self.count_frame()?;
            }
        }
        Ok(())
    }

    /// What we send was asked for.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.earn(bytes as u64);
    }

    fn count_frame(&mut self) -> Result<(), Flood> {
        let [high, middle, low, kind, ..] = self.head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.skipped = length;
        match kind {
            // A request is bounded by streams and places, and what it costs us is answered.
            HEADERS => return Ok(()),
            DATA => self.earn(length as u64),
            _ => {}
        }
        self.credit = self.credit.checked_sub(FRAME_COST).ok_or(Flood)?;
        Ok(())
    }

    fn earn(&mut self, credit: u64) {
        self.credit = self.credit.saturating_add(credit).min(CREDIT_MAX);
    }
}

const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;

const FRAME_COST: u64 = 256;
/// A browser that leaves a page resets a hundred streams; nobody needs 2,000 at once.
const CREDIT_MAX: u64 = 2_000 * FRAME_COST;
/// 200 frames a second that ask for nothing: pings of any keep-alive are far below.
const CREDIT_PER_MILLISECOND: u64 = FRAME_COST / 5;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const PING: u8 = 6;
    const RST_STREAM: u8 = 3;
    const WINDOW_UPDATE: u8 = 8;
    const CONTINUATION: u8 = 9;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [.., high, middle, low] = length.to_be_bytes();
        let mut frame = vec![high, middle, low, kind, 0, 0, 0, 0, 1];
        frame.resize(HEAD_BYTES + length, 0);
        frame
    }

    fn begun() -> (FrameBudget, Instant) {
        let now = Instant::now();
        let mut budget = FrameBudget::new(now);
        budget.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now).unwrap();
        (budget, now)
    }

    /// How many of these frames pass before the connection ends; `None` when all of 10,000 do.
    fn passed(frames: &[Vec<u8>]) -> Option<usize> {
        let (mut budget, now) = begun();
        (0..10_000).find(|_| frames.iter().any(|frame| budget.read(frame, now).is_err()))
    }

    #[test]
    fn frames_that_ask_for_nothing_run_out_whatever_they_are() {
        for kind in [2, RST_STREAM, 4, PING, 7, WINDOW_UPDATE, CONTINUATION, 0xbe] {
            assert_eq!(passed(&[frame(kind, 0)]), Some(2_000), "{kind}");
        }
        assert_eq!(passed(&[frame(DATA, 0)]), Some(2_000));
        assert!(passed(&[frame(DATA, 1)]).is_some_and(|count| count < 2_020));
        assert_eq!(passed(&[frame(HEADERS, 40), frame(RST_STREAM, 4)]), Some(2_000));
    }

    #[test]
    fn a_body_pays_for_its_frames_and_an_answer_for_its_window_updates() {
        assert_eq!(passed(&[frame(DATA, 1_024), frame(PING, 8)]), None);
        let (mut budget, now) = begun();
        for _ in 0..10_000 {
            budget.wrote(2 * 1_024);
            budget.read(&frame(WINDOW_UPDATE, 4), now).unwrap();
            budget.read(&frame(WINDOW_UPDATE, 4), now).unwrap();
        }
    }

    #[test]
    fn time_lets_a_slow_client_go_on() {
        let (mut budget, mut now) = begun();
        for _ in 0..10_000 {
            now += Duration::from_millis(5);
            budget.read(&frame(PING, 8), now).unwrap();
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(kinds in prop::collection::vec((0..12_u8, 0..600_usize), 0..60), cut in 1..50_usize) {
            let stream: Vec<u8> = kinds.iter().flat_map(|(kind, length)| frame(*kind, *length)).collect();
            let (mut whole, now) = begun();
            let (mut pieces, _) = begun();
            pieces.earned_until = now;
            let at_once = whole.read(&stream, now);
            let in_pieces = stream.chunks(cut).try_for_each(|piece| pieces.read(piece, now));
            prop_assert_eq!(at_once, in_pieces);
            prop_assert_eq!(whole.credit, pieces.credit);
        }
    }
}
