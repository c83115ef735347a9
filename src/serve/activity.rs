//! What goes on on one connection, so that one that goes nowhere can be told from one that is slow.
//!
//! hyper's own header timeout also runs while a kept connection waits for its next request, which would close
//! it under clients that pause; so the two waits are told apart here.

use std::collections::HashMap;
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

use super::frames::FrameBudget;
use crate::limits::count_limited;

/// Shared by the stream, the requests and the task of one connection.
pub(super) struct Activity {
    /// Requests that a handler works on: it has its own time limits.
    handling: AtomicUsize,
    /// Answers whose body is on its way.
    answers: Mutex<Answers>,
    served: AtomicBool,
    clock: Instants,
    /// Set when a request was refused for what happened to the certificate since the handshake.
    withdrawn: Notify,
    /// At which an answer is expected to be taken.
    bytes_per_second_min: u64,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// A handler of ours, or the source of an answer.
    Handler,
    /// The client, to take more of the answer: it is behind the lowest pace by the time since then.
    Answer(Instant),
    /// The client, to finish what it began to ask.
    Head(Instant),
    /// The client, to ask anything at all.
    Request,
}

/// Since when each answer waits for the client, which earns time by what it takes; `None` while it waits for us. Told
/// by what is taken of the answer itself: bytes on the stream may be pings, and one answer that flows must not speak
/// for another that does not.
#[derive(Default)]
struct Answers {
    begun: u64,
    waiting: HashMap<u64, Option<Instant>>,
}

struct Instants {
    opened: Instant,
    /// Milliseconds after `opened` when the last answer ended.
    answered_ms: AtomicU64,
    /// First bytes of a request whose handler has not been called yet.
    head: Mutex<Option<Instant>>,
}

impl Activity {
    pub(super) fn new(bytes_per_second_min: u64) -> Arc<Self> {
        let clock = Instants { opened: Instant::now(), answered_ms: AtomicU64::new(0), head: Mutex::new(None) };
        let (handling, answers) = (AtomicUsize::new(0), Mutex::default());
        let (served, withdrawn) = (AtomicBool::new(false), Notify::new());
        Arc::new(Self { handling, answers, served, clock, withdrawn, bytes_per_second_min })
    }

    pub(super) fn waits_for(&self) -> Wait {
        let answers = self.answers();
        if let Some(since) = answers.waiting.values().flatten().min() {
            return Wait::Answer(*since);
        }
        if self.handling.load(Ordering::Acquire) > 0 || !answers.waiting.is_empty() {
            return Wait::Handler;
        }
        if let Some(since) = *self.head() {
            return Wait::Head(since);
        }
        Wait::Request
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
        let between_requests = self.handling.load(Ordering::Acquire) == 0 && self.answers().waiting.is_empty();
        if between_requests {
            self.head().get_or_insert_with(Instant::now);
        }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        // No step under the lock leaves it half done.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
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
        let activity = Arc::clone(&self.0);
        let mut answers = activity.answers();
        answers.begun += 1;
        let id = answers.begun;
        let now = Instant::now();
        answers.waiting.insert(id, Some(now));
        drop(answers);
        Answer {
            body,
            rest: Bytes::new(),
            id,
            behind: Duration::ZERO,
            waits_since: Some(now),
            earned: Duration::ZERO,
            activity,
        }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.clock.touch(&self.0.clock.answered_ms);
        self.0.handling.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The body of an answer, in pieces so small that taking one means that those before it left.
pub(super) struct Answer {
    body: Body,
    /// Of the piece read last.
    rest: Bytes,
    id: u64,
    /// How far the client is behind the lowest pace.
    behind: Duration,
    /// When it was handed its last piece, and the time that taking it earns.
    waits_since: Option<Instant>,
    earned: Duration,
    activity: Arc<Activity>,
}

impl Answer {
    /// The client has taken what it was handed, and asks for more.
    fn taken(&mut self, now: Instant) {
        let waited = self.waits_since.take().map_or(Duration::ZERO, |since| now.duration_since(since));
        self.behind = (self.behind + waited).saturating_sub(std::mem::take(&mut self.earned));
    }

    /// It is handed a piece of so many bytes.
    fn hand(&mut self, bytes: usize, now: Instant) {
        self.waits_since = Some(now);
        self.earned = Duration::from_millis(bytes as u64 * 1_000 / self.activity.bytes_per_second_min.max(1));
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.activity.clock.touch(&self.activity.clock.answered_ms);
        self.activity.answers().waiting.remove(&self.id);
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let now = Instant::now();
        this.taken(now);
        let polled = if this.rest.is_empty() {
            Pin::new(&mut this.body).poll_frame(cx)
        } else {
            Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest)))))
        };
        let polled = polled.map_ok(|frame| {
            frame.map_data(|mut piece| {
                this.rest = piece.split_off(piece.len().min(PIECE_BYTES_MAX));
                this.hand(piece.len(), now);
                piece
            })
        });
        let waits_since = polled.is_ready().then(|| now.checked_sub(this.behind).unwrap_or(now));
        this.activity.answers().waiting.insert(this.id, waits_since);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (self.rest.len() as u64, self.body.size_hint());
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}

/// A stream that tells its connection's [`Activity`] when bytes arrive, and ends when they are a flood of frames.
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    /// Of HTTP/2.
    frames: Option<FrameBudget>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, frames: Option<FrameBudget>) -> Self {
        Self { stream, activity, frames }
    }

    fn wrote(&mut self, outcome: &Poll<io::Result<usize>>) {
        if let (Some(frames), Poll::Ready(Ok(bytes))) = (&mut self.frames, outcome) {
            frames.wrote(*bytes);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.read_some();
            if let Some(frames) = &mut self.frames {
                frames.read(&buf.filled()[before..], Instant::now()).map_err(|flood| {
                    count_limited("http2_frames");
                    io::Error::other(flood)
                })?;
            }
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(&outcome);
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
        self.wrote(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// One frame of HTTP/2.
const PIECE_BYTES_MAX: usize = 16 * 1024;
