//! A mail server on a real port that takes mails, or makes the trouble that a test wants.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carnet::config::{Mail, Relay, RelaySecurity};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::gateway::certs;

/// Serves until it is dropped; one connection after the other takes the next trouble.
pub(crate) struct MailServer {
    address: SocketAddr,
    security: RelaySecurity,
    desk: Arc<Desk>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct Desk {
    troubles: Mutex<VecDeque<Trouble>>,
    taken: Mutex<Vec<Taken>>,
    connections: Mutex<usize>,
    logins: Mutex<Vec<String>>,
    /// Something happened.
    stirred: Notify,
    /// What `Trouble::Hold` waits for.
    released: Notify,
}

/// What one connection meets, in place of the usual answer.
#[derive(Clone, Copy)]
pub(crate) enum Trouble {
    Greeting(&'static str),
    Sender(&'static str),
    Recipient(&'static str),
    /// After the whole mail.
    End(&'static str),
    /// The whole mail is read, and the connection closed without a word.
    HangUp,
    /// The last reply waits until the test releases it.
    Hold,
    /// What `EHLO` is answered, instead of all that this server can.
    Offer(&'static str),
    /// What `STARTTLS` is answered.
    StartTls(&'static str),
}

/// A mail that the server read whole.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) to: String,
    pub(crate) text: String,
    /// Whether the server said so, and answers for it.
    pub(crate) is_acknowledged: bool,
}

impl MailServer {
    pub(crate) async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), RelaySecurity::Plain).await
    }

    pub(crate) async fn start_secure(security: RelaySecurity) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), security).await
    }

    pub(crate) async fn start_at(address: SocketAddr, security: RelaySecurity) -> Self {
        let listener = TcpListener::bind(address).await.expect("port");
        let (address, desk) = (listener.local_addr().expect("address"), Arc::<Desk>::default());
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&certs())));
        let serving = Arc::clone(&desk);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("connection");
                tokio::spawn(serve(stream, acceptor.clone(), security, Arc::clone(&serving)));
            }
        });
        Self { address, security, desk, accepting: accepting.abort_handle() }
    }

    /// Settings of a gateway that sends here.
    pub(crate) fn settings(&self) -> Mail {
        let host = if self.security == RelaySecurity::Plain { "127.0.0.1" } else { "localhost" };
        let relay = Relay { security: self.security, host: host.to_owned(), port: self.address.port() };
        let roots = vec![certs().join("server-ca.pem")];
        Mail { smtp: Some(relay), from: "dmp@hopital.fr".to_owned(), roots, ..Mail::default() }
    }

    pub(crate) fn makes(&self, troubles: &[Trouble]) {
        self.desk.troubles.lock().expect("troubles").extend(troubles);
    }

    pub(crate) fn release(&self) {
        self.desk.released.notify_one();
    }

    pub(crate) fn connections(&self) -> usize {
        *self.desk.connections.lock().expect("connections")
    }

    pub(crate) fn logins(&self) -> Vec<String> {
        self.desk.logins.lock().expect("logins").clone()
    }

    /// Every mail that was read whole.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.desk.taken.lock().expect("mails").clone()
    }

    /// Addresses of the mails that the server answers for, in order.
    pub(crate) fn acknowledged(&self) -> Vec<String> {
        let mut told: Vec<_> =
            self.taken().into_iter().filter(|mail| mail.is_acknowledged).map(|mail| mail.to).collect();
        told.sort();
        told
    }

    /// Waits until so many mails were read whole.
    pub(crate) async fn has_taken(&self, count: usize) {
        self.until(|| self.taken().len() >= count).await;
    }

    pub(crate) async fn was_connected(&self, count: usize) {
        self.until(|| self.connections() >= count).await;
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        let waiting = async {
            loop {
                let stirred = self.desk.stirred.notified();
                if is_so() {
                    return;
                }
                stirred.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("the mail server is spoken to");
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Taken {
    pub(crate) fn message_id(&self) -> &str {
        self.text.split("Message-ID: ").nth(1).and_then(|rest| rest.lines().next()).expect("a Message-ID")
    }

    /// The text as its reader sees it.
    pub(crate) fn body(&self) -> String {
        let body = self.text.split("\r\n\r\n").nth(1).expect("a body").replace("\r\n", "");
        String::from_utf8(base64_simd::STANDARD.decode_to_vec(body).expect("base64")).expect("UTF-8")
    }
}

impl Desk {
    fn note<T>(&self, list: &Mutex<Vec<T>>, item: T) {
        list.lock().expect("list").push(item);
        self.stirred.notify_waiters();
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, security: RelaySecurity, desk: Arc<Desk>) {
    *desk.connections.lock().expect("connections") += 1;
    desk.stirred.notify_waiters();
    let trouble = desk.troubles.lock().expect("troubles").pop_front();
    if security == RelaySecurity::Tls {
        let Ok(stream) = acceptor.accept(stream).await else { return };
        converse(BufReader::new(stream), &desk, trouble, Greeting::Due).await;
        return;
    }
    if let Some(plain) = converse(BufReader::new(stream), &desk, trouble, Greeting::Due).await {
        let Ok(stream) = acceptor.accept(plain.into_inner()).await else { return };
        converse(BufReader::new(stream), &desk, trouble, Greeting::Over).await;
    }
}

#[derive(PartialEq)]
enum Greeting {
    Due,
    Over,
}

/// One dialogue; gives the stream back where it is to be encrypted.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    desk: &Desk,
    trouble: Option<Trouble>,
    greeting: Greeting,
) -> Option<BufReader<S>> {
    if greeting == Greeting::Due {
        let text = if let Some(Trouble::Greeting(text)) = trouble { text } else { "220 ready" };
        say(&mut stream, text).await?;
    }
    let mut to = String::new();
    loop {
        let line = hear(&mut stream).await?;
        let answer = match (line.split([' ', ':']).next().unwrap_or_default(), trouble) {
            ("EHLO", Some(Trouble::Offer(offer))) => offer,
            ("EHLO", _) => "250-localhost\r\n250-AUTH GSSAPI PLAIN LOGIN\r\n250 STARTTLS",
            ("STARTTLS", Some(Trouble::StartTls(text))) => {
                say(&mut stream, text).await?;
                return Some(stream);
            }
            ("STARTTLS", _) => {
                say(&mut stream, "220 go on").await?;
                return Some(stream);
            }
            ("AUTH", _) if line == "AUTH LOGIN" => {
                say(&mut stream, "334 VXNlcm5hbWU6").await?;
                let user = hear(&mut stream).await?;
                say(&mut stream, "334 UGFzc3dvcmQ6").await?;
                desk.note(&desk.logins, format!("LOGIN {user} {}", hear(&mut stream).await?));
                "235 welcome"
            }
            ("AUTH", _) => {
                desk.note(&desk.logins, line.trim_start_matches("AUTH ").to_owned());
                "235 welcome"
            }
            ("MAIL", Some(Trouble::Sender(text))) | ("RCPT", Some(Trouble::Recipient(text))) => text,
            ("RCPT", _) => {
                to = line.trim_start_matches("RCPT TO:<").trim_end_matches('>').to_owned();
                "250 known"
            }
            ("DATA", _) => {
                say(&mut stream, "354 go on").await?;
                take(&mut stream, desk, trouble, &to).await?;
                continue;
            }
            ("QUIT", _) => return say(&mut stream, "221 bye").await.and(None),
            _ => "250 good",
        };
        say(&mut stream, answer).await?;
    }
}

/// Reads a mail, and answers for it or not.
async fn take<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    desk: &Desk,
    trouble: Option<Trouble>,
    to: &str,
) -> Option<()> {
    let mut text = String::new();
    loop {
        let line = hear(stream).await?;
        if line == "." {
            break;
        }
        text.push_str(&line);
        text.push_str("\r\n");
    }
    let is_acknowledged = !matches!(trouble, Some(Trouble::End(_) | Trouble::HangUp));
    desk.note(&desk.taken, Taken { to: to.to_owned(), text, is_acknowledged });
    match trouble {
        Some(Trouble::HangUp) => None,
        Some(Trouble::End(answer)) => say(stream, answer).await,
        Some(Trouble::Hold) => {
            desk.released.notified().await;
            say(stream, "250 taken at last").await
        }
        _ => say(stream, "250 taken").await,
    }
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, text: &str) -> Option<()> {
    stream.write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

async fn hear<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut line = String::new();
    let count = stream.read_line(&mut line).await.ok()?;
    (count > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The server certificate of the tests' PKI, for `localhost`.
fn server_config(certs: &Path) -> ServerConfig {
    let chain = CertificateDer::pem_file_iter(certs.join("server.pem")).expect("chain");
    let chain = chain.collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(certs.join("server.key")).expect("key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    builder.with_no_client_auth().with_single_cert(chain, key).expect("certificate and key")
}
