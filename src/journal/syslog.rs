//! Sends the journal to an audit repository (ATNA), behind the gateway's back: lines go out once they are committed.
//!
//! A task reads lines after a cursor in the database, so that nothing waits for the repository and nothing is lost to
//! its absence. Syslog has no receipts: each batch has a connection of its own, which ends with the close_notify of
//! both sides (RFC 5425 section 4.4), and only when the receiver's end has come does the cursor move. Every line arrives,
//! in order; after a failure some come twice. Of several gateways on a database, the one with the lease sends.
//!
//! Receivers there are (rsyslog with GnuTLS) that close without a close_notify of their own: once ours is out, an end of
//! the TCP connection without an error is taken for theirs. Either end proves that the receiver's machine took the bytes
//! and that the receiver closed, not that it kept them. Only close_notify is authenticated: without it, whoever controls
//! the network can fake the end and have lines not sent again; a reset, an end before ours, or silence never count.
//!
//! Refuses to know what a message says.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::SignedDuration;
use metrics::{counter, gauge};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::atna::{Source, frame};
use crate::clock::{Clock, new_uuid};
use crate::config::Atna;
use crate::refusal::Fault;
use crate::store::syslog::{Lease, Outgoing, advance, count_waiting, give_back, list_waiting, take};
use crate::store::{self, Store};
use crate::tls::outgoing::client_config;

/// What is to be sent, from where to where.
pub struct Forwarder {
    store: Store,
    clock: Clock,
    source: Source,
    receiver: Receiver,
    /// Of this run: a gateway that starts again is another holder.
    holder: String,
}

struct Receiver {
    host: String,
    port: u16,
    tls: Arc<ClientConfig>,
}

#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the audit repository: {0}")]
    Connection(#[from] io::Error),
    #[error("the audit repository: no end of the exchange within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What became of one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Nothing waits, or another gateway sends.
    Idle,
    /// A batch is there; there may be more.
    Sent,
}

impl Forwarder {
    /// None where no receiver is named. Errors: its certificates cannot be read.
    pub fn new(settings: &Atna, store: Store, clock: Clock, source: Source) -> Result<Option<Self>, Fault> {
        let Some((host, port)) = settings.receiver() else { return Ok(None) };
        let is_mutual = !settings.certificate.as_os_str().is_empty();
        let identity = is_mutual.then_some((settings.certificate.as_path(), settings.key.as_path()));
        let tls = client_config(&settings.roots, identity).map_err(|error| Fault::new("[atna]", error))?;
        let receiver = Receiver { host: host.to_owned(), port, tls: Arc::new(tls) };
        Ok(Some(Self { store, clock, source, receiver, holder: new_uuid().to_string() }))
    }

    /// Sends until it is told to stop. A batch under way then comes again, from whoever sends next.
    pub async fn run(self, until: impl Future<Output = ()>) {
        tokio::select! {
            () = self.send_all() => {}
            () = until => {
                if let Err(error) = self.give_back().await {
                    tracing::warn!(%error, "the lease on the audit repository ends by itself");
                }
            }
        }
    }

    async fn send_all(&self) {
        let mut pause = ROUND_EVERY;
        loop {
            pause = match self.round().await {
                Ok(Round::Sent) => Duration::ZERO,
                Ok(Round::Idle) => ROUND_EVERY,
                Err(error) => {
                    counter!("carnet_atna_failures_total").increment(1);
                    tracing::warn!(%error, "lines of the journal wait for the audit repository");
                    (pause * 2).clamp(ROUND_EVERY, PAUSE_MAX)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn round(&self) -> Result<Round, SendError> {
        if self.measure().await? == 0 || !self.take().await? {
            return Ok(Round::Idle);
        }
        let sent = self.send_batch().await;
        let Ok(Some((last, count))) = sent else {
            self.give_back().await?;
            return sent.map(|_| Round::Idle);
        };
        let holder = self.holder.clone();
        let write =
            self.store.write("syslog_advance", move |tx| Box::pin(async move { advance(tx, &holder, last).await }));
        if write.await? {
            counter!("carnet_atna_lines_total").increment(count);
        }
        self.measure().await?;
        Ok(Round::Sent)
    }

    async fn take(&self) -> Result<bool, SendError> {
        let now = self.clock.now();
        let lease = Lease { holder: self.holder.clone(), until: now + LEASE };
        let write = self.store.write("syslog_take", move |tx| Box::pin(async move { take(tx, &lease, now).await }));
        Ok(write.await?)
    }

    async fn give_back(&self) -> Result<(), SendError> {
        let holder = self.holder.clone();
        let write =
            self.store.write("syslog_give_back", move |tx| Box::pin(async move { give_back(tx, &holder).await }));
        Ok(write.await?)
    }

    /// The position of the last line that arrived, and how many they were.
    async fn send_batch(&self) -> Result<Option<(i64, u64)>, SendError> {
        let lines = self.store.read("syslog", |tx| Box::pin(list_waiting(tx, BATCH_LINES_MAX))).await?;
        let Some(last) = lines.last().map(|line| line.position) else { return Ok(None) };
        let count = lines.len() as u64;
        let exchange = self.receiver.send(&self.source, lines);
        tokio::time::timeout(BATCH_WITHIN, exchange).await.map_err(|_| SendError::Timeout(BATCH_WITHIN))??;
        Ok(Some((last, count)))
    }

    /// How many lines wait; tells the metrics.
    async fn measure(&self) -> Result<u64, SendError> {
        let waiting = self.store.read("syslog_waiting", |tx| Box::pin(count_waiting(tx))).await?;
        let now = self.clock.now();
        let age = waiting.since.map_or(0.0, |since| now.duration_since(since).as_secs_f64().max(0.0));
        gauge!("carnet_atna_waiting_lines").set(u32::try_from(waiting.lines).unwrap_or(u32::MAX));
        gauge!("carnet_atna_waiting_seconds").set(age);
        Ok(waiting.lines)
    }
}

impl Receiver {
    /// One connection: every line, our end, and the receiver's word that it has read up to there.
    async fn send(&self, source: &Source, lines: Vec<Outgoing>) -> io::Result<()> {
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let mut stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        for line in lines {
            stream.write_all(&frame(source, line.position, &line.line, line.patient.as_ref())?).await?;
        }
        let mut unwanted = [0; 512];
        if let Some(said) = stream.read(&mut unwanted).now_or_never()
            && said? == 0
        {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before the lines did"));
        }
        stream.shutdown().await?;
        // A receiver has nothing to say but its end.
        loop {
            match stream.read(&mut unwanted).await {
                Ok(0) => return Ok(()),
                // TCP's end, without close_notify.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            };
        }
    }
}

/// Bounds what is in memory at once: a line names at most the entries of a page.
const BATCH_LINES_MAX: u32 = 100;
const BATCH_WITHIN: Duration = Duration::from_secs(20);
/// Longer than a batch may take, so that nobody else sends meanwhile.
const LEASE: SignedDuration = SignedDuration::from_secs(30);
const ROUND_EVERY: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);
