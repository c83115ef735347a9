//! What goes on on one connection, so that one that goes nowhere can be told from one that is slow.
//!
//! hyper's own header timeout also runs while a kept connection waits for its next request, which would close
//! it under clients that pause; so the two waits are told apart here.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Shared by the stream, the requests and the task of one connection.
pub(super) struct Activity {
    /// Requests that a handler works on: it has its own time limits.
    handling: AtomicUsize,
    /// Answers whose body is on its way.
    answering: AtomicUsize,
    served: AtomicBool,
    clock: Instants,
    /// Set when a request was refused for what happened to the certificate since the handshake.
    withdrawn: Notify,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// A handler of ours.
    Handler,
    /// The client, to take the answer.
    Answer,
    /// The client, to finish what it began to ask.
    Head(Instant),
    /// The client, to ask anything at all.
    Request,
}

struct Instants {
    opened: Instant,
    /// Milliseconds after `opened`; the stream moved bytes, and the last answer ended.
    moved_ms: AtomicU64,
    answered_ms: AtomicU64,
    /// First bytes of a request whose handler has not been called yet.
    head: Mutex<Option<Instant>>,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        let clock = Instants {
            opened: Instant::now(),
            moved_ms: AtomicU64::new(0),
            answered_ms: AtomicU64::new(0),
            head: Mutex::new(None),
        };
        let (handling, answering) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { handling, answering, served: AtomicBool::new(false), clock, withdrawn: Notify::new() })
    }

    pub(super) fn waits_for(&self) -> Wait {
        if self.handling.load(Ordering::Acquire) > 0 {
            return Wait::Handler;
        }
        if self.answering.load(Ordering::Acquire) > 0 {
            return Wait::Answer;
        }
        if let Some(since) = *self.head() {
            return Wait::Head(since);
        }
        Wait::Request
    }

    /// When bytes went over the stream, in or out.
    pub(super) fn last_moved(&self) -> Instant {
        self.clock.after(&self.clock.moved_ms)
    }

    /// When the last answer was complete; when the connection opened, before the first.
    pub(super) fn last_answered(&self) -> Instant {
        self.clock.after(&self.clock.answered_ms)
    }

    /// Nothing of any request has arrived yet.
    pub(super) fn is_untouched(&self) -> bool {
        !self.served.load(Ordering::Acquire) && self.head().is_none()
    }

    /// Counts a request until its handler is done; [`Handling::answer`] then counts its answer.
    pub(super) fn begin(self: &Arc<Self>) -> Handling {
        self.handling.fetch_add(1, Ordering::AcqRel);
        self.served.store(true, Ordering::Release);
        *self.head() = None;
        Handling(Arc::clone(self))
    }

    pub(super) fn withdraw(&self) {
        self.withdrawn.notify_one();
    }

    pub(super) async fn withdrawn(&self) {
        self.withdrawn.notified().await;
    }

    fn read_some(&self) {
        self.clock.touch(&self.clock.moved_ms);
        let between_requests =
            self.handling.load(Ordering::Acquire) == 0 && self.answering.load(Ordering::Acquire) == 0;
        if between_requests {
            self.head().get_or_insert_with(Instant::now);
        }
    }

    fn head(&self) -> MutexGuard<'_, Option<Instant>> {
        // An instant is whole whatever panicked beside it.
        self.clock.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instants {
    fn touch(&self, at: &AtomicU64) {
        let elapsed_ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        at.store(elapsed_ms, Ordering::Release);
    }

    fn after(&self, at: &AtomicU64) -> Instant {
        self.opened + Duration::from_millis(at.load(Ordering::Acquire))
    }
}

/// A request in the hands of its handler.
pub(super) struct Handling(Arc<Activity>);

impl Handling {
    /// The answer, counted until its last byte was taken from it.
    pub(super) fn answer(self, body: Body) -> Answer {
        self.0.answering.fetch_add(1, Ordering::AcqRel);
        self.0.clock.touch(&self.0.clock.moved_ms);
        Answer { body, activity: Arc::clone(&self.0) }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.clock.touch(&self.0.clock.answered_ms);
        self.0.handling.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The body of an answer.
pub(super) struct Answer {
    body: Body,
    activity: Arc<Activity>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.activity.clock.touch(&self.activity.clock.answered_ms);
        self.activity.answering.fetch_sub(1, Ordering::AcqRel);
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells its connection's [`Activity`] when bytes move.
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.read_some();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_written(&outcome);
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_written(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<S> Watched<S> {
    fn note_written(&self, outcome: &Poll<io::Result<usize>>) {
        if matches!(outcome, Poll::Ready(Ok(written)) if *written > 0) {
            self.activity.clock.touch(&self.activity.clock.moved_ms);
        }
    }
}
