//! Handshakes: connections that are opened and closed again, with a full handshake or a resumed session.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use http::Uri;
use rustls::HandshakeKind;
use rustls::client::Resumption;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::figures::Part;
use super::scene::Credentials;
use crate::cli::client::Client;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handshake {
    Full,
    Resumed,
}

/// The clients of a load: each has its own session tickets, for a ticket serves once.
pub(super) struct Clients {
    each: Vec<Client>,
    kind: Handshake,
    server: Uri,
    shaken: AtomicU64,
}

impl Handshake {
    pub(super) fn part(self) -> Part {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
        }
    }
}

impl Clients {
    pub(super) fn new(credentials: &Credentials, kind: Handshake, count: usize, url: &str) -> anyhow::Result<Self> {
        let client = || -> anyhow::Result<Client> {
            let mut config = Client::config(&credentials.ca, credentials.identity(), rustls::ALL_VERSIONS)?;
            if kind == Handshake::Full {
                config.resumption = Resumption::disabled();
            }
            Ok(Client::with_config(config))
        };
        let each = (0..count).map(|_| client()).collect::<Result<_, _>>()?;
        Ok(Self { each, kind, server: url.parse()?, shaken: AtomicU64::new(0) })
    }

    /// Gets every client its first ticket.
    pub(super) async fn prime(&self) -> anyhow::Result<()> {
        for client in &self.each {
            connect_and_close(client, &self.server).await?;
        }
        Ok(())
    }

    /// One handshake. Errors: also when it is not of the kind that is measured.
    pub(super) async fn shake(&self, client: usize) -> anyhow::Result<Part> {
        let client = self.each.get(client).context("a load with more clients than there are")?;
        let resumed = connect_and_close(client, &self.server).await? == Some(HandshakeKind::Resumed);
        ensure!(resumed == (self.kind == Handshake::Resumed), "the server resumes no session");
        self.shaken.fetch_add(1, Ordering::Relaxed);
        Ok(self.kind.part())
    }

    /// How many were made since [`Self::prime`], measured or not.
    pub(super) fn shaken(&self) -> u64 {
        self.shaken.load(Ordering::Relaxed)
    }
}

/// Waits for the server's last word: only then has it checked the client (TLS 1.3), and its tickets have arrived.
async fn connect_and_close(client: &Client, server: &Uri) -> anyhow::Result<Option<HandshakeKind>> {
    let mut stream = client.connect(server).await?;
    stream.shutdown().await?;
    match stream.read_to_end(&mut Vec::new()).await {
        Ok(_) => {}
        // It closed without a goodbye; had it refused us, there would be an alert.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
        Err(error) => return Err(error.into()),
    }
    Ok(stream.get_ref().1.handshake_kind())
}
