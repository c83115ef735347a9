//! Which requests a load is made of, and where they go.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};

use super::figures::Part;
use crate::cli::client::Client;

/// A server under load, with a client for each kind of caller.
#[derive(Clone)]
pub(super) struct Target {
    /// `https://HOST:PORT/fhir`
    pub(super) fhir_url: String,
    pub(super) depositor: Client,
    pub(super) reader: Client,
}

/// One request on its way, and what its answer must be.
pub(super) struct Call {
    pub(super) client: Client,
    pub(super) request: Request<Pieces>,
    /// Length of the answer, where it is known.
    pub(super) answer_bytes: Option<usize>,
}

/// Makes the requests of one kind, each unlike the last.
pub(super) trait Source: Send + Sync {
    fn part(&self) -> Part;
    fn call(&self, target: &Target) -> anyhow::Result<Call>;
}

/// Requests of one or several kinds in turn.
pub(super) struct Traffic {
    cycle: Vec<Arc<dyn Source>>,
    turns: AtomicUsize,
}

impl Traffic {
    pub(super) fn new(cycle: Vec<Arc<dyn Source>>) -> Self {
        Self { cycle, turns: AtomicUsize::new(0) }
    }

    pub(super) fn of(source: impl Source + 'static) -> Self {
        Self::new(vec![Arc::new(source)])
    }

    /// Sends the next request and reads its answer. Errors: whatever is no success.
    pub(super) async fn exchange(&self, target: &Target) -> anyhow::Result<Part> {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) % self.cycle.len().max(1);
        let source = self.cycle.get(turn).context("a load without requests")?;
        let call = source.call(target)?;
        let answer_bytes = call.answer_bytes;
        let answer = succeed(call.client.send(call.request).await?)?;
        ensure!(
            answer_bytes.is_none_or(|expected| expected == answer.len()),
            "an answer of {} bytes where {} were expected",
            answer.len(),
            answer_bytes.unwrap_or_default()
        );
        Ok(source.part())
    }
}

/// The body of a successful answer. Errors: status and beginning of any other.
pub(super) fn succeed(response: Response<Bytes>) -> anyhow::Result<Bytes> {
    let status = response.status();
    let body = response.into_body();
    let shown = body.get(..ERROR_BYTES_MAX).unwrap_or(&body);
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(shown));
    Ok(body)
}

/// A request body in pieces, of which the large ones are shared by all requests and never copied.
pub(super) struct Pieces(VecDeque<Bytes>);

impl Pieces {
    pub(super) fn none() -> Self {
        Self(VecDeque::new())
    }
}

impl<const N: usize> From<[Bytes; N]> for Pieces {
    fn from(pieces: [Bytes; N]) -> Self {
        Self(pieces.into())
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

/// Enough for the issues of an OperationOutcome.
const ERROR_BYTES_MAX: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn pieces_know_their_length_and_arrive_in_order() {
        let pieces = Pieces::from([Bytes::from_static(b"ab"), Bytes::from_static(b"c")]);
        assert_eq!(pieces.size_hint().exact(), Some(3));
        assert_eq!(pieces.collect().await.unwrap().to_bytes(), "abc");
        assert!(Pieces::none().is_end_stream());
    }

    #[test]
    fn a_refusal_is_an_error_with_its_reason() {
        let response = Response::builder().status(422).body(Bytes::from_static(b"ins-key")).unwrap();
        assert_eq!(succeed(response).unwrap_err().to_string(), "422 Unprocessable Entity: ins-key");
    }
}
