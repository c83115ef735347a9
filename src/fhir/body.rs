//! Request bodies under guard: a limit of bytes and a pace to keep, whatever reads them.
//!
//! The guard fails with [`BodyError`] inside the error of the body; [`failure_of`] finds it again, so that
//! every reader refuses the same way.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http::header::EXPECT;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::config::Limits;
use crate::limits::turnstile::BodyBytes;
use crate::refusal::{Failure, Refusal, Rule};

/// Why a body was cut off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body stopped, or arrives at less than {bytes_per_second_min} bytes per second")]
    Slow { bytes_per_second_min: u64 },
    #[error("the body is longer than {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },
    #[error("{0}")]
    TooMuch(Refusal),
}

/// Puts the limits of the configuration around a body, and what its sender holds for it.
pub fn guarded(headers: &HeaderMap, body: Body, limits: &Limits, held: Option<BodyBytes>) -> Body {
    let patience_max = Duration::from_secs(limits.body_idle_seconds);
    // Who waits for a go-ahead sends nothing before it.
    let rest = if headers.contains_key(EXPECT) { Rest::NotSent } else { Rest::OnItsWay };
    Body::new(Guarded {
        inner: body,
        held,
        remaining: limits.body_bytes_max,
        bytes_max: limits.body_bytes_max,
        patience_max,
        patience: patience_max,
        bytes_per_second_min: limits.body_bytes_per_second_min.max(1),
        waiting_since: None,
        alarm: Box::pin(sleep(patience_max)),
        rest,
    })
}

/// Reads a small body whole. Errors: `BodyTooLarge` above `bytes_max`, and those of [`failure_of`].
pub async fn read_whole(mut body: Body, bytes_max: usize) -> Result<Bytes, Failure> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failure_of(&error))?;
        let Some(piece) = frame.data_ref() else { continue };
        if whole.len() + piece.remaining() > bytes_max {
            return Err(too_large(bytes_max as u64).into());
        }
        whole.extend_from_slice(piece);
    }
    Ok(whole.into())
}

/// What to tell the sender when reading the body failed: the fault is theirs or the network's.
pub fn failure_of(error: &(dyn Error + 'static)) -> Failure {
    let mut cause = Some(error);
    while let Some(current) = cause {
        match current.downcast_ref::<BodyError>() {
            Some(BodyError::Slow { bytes_per_second_min }) => {
                let expected =
                    format!("at least {bytes_per_second_min} bytes per second (limits.body_bytes_per_second_min)");
                return Refusal::new(Rule::BodyTimeout, "body", "a body that stops or dribbles", expected).into();
            }
            Some(BodyError::TooLarge { bytes_max }) => return too_large(*bytes_max).into(),
            Some(BodyError::TooMuch(refusal)) => return refusal.clone().into(),
            None => cause = current.source(),
        }
    }
    Refusal::new(Rule::BodyIncomplete, "body", "a body that breaks off", "the whole body").into()
}

fn too_large(bytes_max: u64) -> Refusal {
    Refusal::new(Rule::BodyTooLarge, "body", "a longer body", format!("at most {bytes_max} bytes"))
}

struct Guarded {
    inner: Body,
    held: Option<BodyBytes>,
    remaining: u64,
    bytes_max: u64,
    /// How long we still wait for the sender: waiting uses it up, bytes earn it back at the lowest pace allowed.
    patience: Duration,
    patience_max: Duration,
    bytes_per_second_min: u64,
    waiting_since: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
    rest: Rest,
}

/// What the client does with the part of the body that nobody has read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    OnItsWay,
    /// It waits, it is done, or it broke off.
    NotSent,
}

/// A sender who is refused early still sends. What comes is thrown away for a while: a connection closed under
/// a sender loses the answer that says why.
impl Drop for Guarded {
    fn drop(&mut self) {
        let (Rest::OnItsWay, Ok(runtime)) = (self.rest, Handle::try_current()) else { return };
        let mut rest = std::mem::take(&mut self.inner);
        let thrown_away = async move { while let Some(Ok(_)) = rest.frame().await {} };
        runtime.spawn(timeout(LINGER, thrown_away));
    }
}

const LINGER: Duration = Duration::from_secs(5);

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let too_large = || axum::Error::new(BodyError::TooLarge { bytes_max: this.bytes_max });
        // What a Content-Length announces need not arrive first.
        if this.inner.size_hint().lower() > this.remaining {
            return Poll::Ready(Some(Err(too_large())));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            if this.waiting_since.is_none() {
                let now = Instant::now();
                this.waiting_since = Some(now);
                this.alarm.as_mut().reset(now + this.patience);
            }
            std::task::ready!(this.alarm.as_mut().poll(cx));
            this.rest = Rest::NotSent;
            let bytes_per_second_min = this.bytes_per_second_min;
            return Poll::Ready(Some(Err(axum::Error::new(BodyError::Slow { bytes_per_second_min }))));
        };
        this.rest = if matches!(frame, Some(Ok(_))) { Rest::OnItsWay } else { Rest::NotSent };
        let waited = this.waiting_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        this.patience = this.patience.saturating_sub(waited);
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, |piece| piece.len() as u64);
            let Some(remaining) = this.remaining.checked_sub(length) else {
                return Poll::Ready(Some(Err(too_large())));
            };
            this.remaining = remaining;
            if let Some(Err(refusal)) = this.held.as_mut().map(|held| held.arrived(length)) {
                return Poll::Ready(Some(Err(axum::Error::new(BodyError::TooMuch(refusal)))));
            }
            let earned = Duration::from_millis(length.saturating_mul(1000) / this.bytes_per_second_min);
            this.patience = this.patience.saturating_add(earned).min(this.patience_max);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule_of(failure: Failure) -> Rule {
        match failure {
            Failure::Refused(refusals) | Failure::Journaled(refusals) => refusals[0].rule,
            Failure::Fault(fault) => panic!("{fault}"),
        }
    }

    #[tokio::test]
    async fn a_body_above_the_limit_is_cut_off() {
        let limits = Limits { body_bytes_max: 10, ..Limits::default() };
        let exact = read_whole(guarded(&HeaderMap::new(), Body::from("0123456789"), &limits, None), 100).await.unwrap();
        assert_eq!(exact, "0123456789");
        let failure =
            read_whole(guarded(&HeaderMap::new(), Body::from("0123456789a"), &limits, None), 100).await.unwrap_err();
        assert_eq!(rule_of(failure), Rule::BodyTooLarge);
        let failure = read_whole(Body::from("0123456789a"), 10).await.unwrap_err();
        assert_eq!(rule_of(failure), Rule::BodyTooLarge);
    }

    #[tokio::test]
    async fn a_silent_body_is_cut_off() {
        let limits = Limits { body_idle_seconds: 0, ..Limits::default() };
        let silent = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let failure = read_whole(guarded(&HeaderMap::new(), silent, &limits, None), 100).await.unwrap_err();
        assert_eq!(rule_of(failure), Rule::BodyTimeout);
    }

    /// A byte now and then breaks every silence and never keeps the pace.
    #[tokio::test]
    async fn a_body_that_dribbles_is_cut_off() {
        let limits = Limits { body_idle_seconds: 1, body_bytes_per_second_min: 1024, ..Limits::default() };
        let dribble = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        });
        let whole = read_whole(guarded(&HeaderMap::new(), Body::from_stream(dribble), &limits, None), usize::MAX);
        let failure = timeout(Duration::from_secs(10), whole).await.expect("a cut in time").unwrap_err();
        assert_eq!(rule_of(failure), Rule::BodyTimeout);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_incomplete() {
        let pieces = [Ok(Bytes::from("a")), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
        let broken = Body::from_stream(futures_util::stream::iter(pieces));
        assert_eq!(rule_of(read_whole(broken, 100).await.unwrap_err()), Rule::BodyIncomplete);
    }
}
