//! One mail to one relay: the part of SMTP that a notice needs. RFC 5321, 3207 (STARTTLS), 4954 (AUTH), 8314 (TLS).
//!
//! What decides between "sent" and "to be sent again" is at which step a dialogue ended, so the steps are written out
//! here. A mail is the relay's from its last 250 on, and not before; everything that a relay says is read within limits,
//! and none of its words go further than the code in front of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::{self, Mail, RelaySecurity};
use crate::domain::mail_address::MailAddress;

/// The relay of the configuration, ready to be spoken to.
pub(super) struct Relay {
    at: config::Relay,
    /// Where the connection is to be encrypted: with whom.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(super) from: MailAddress,
    login: Option<Login>,
    within: Duration,
}

struct Login {
    user: String,
    password: String,
}

/// Why the settings of the relay cannot be used: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("`{key}`: cannot read {path}: {source}")]
    File { key: &'static str, path: PathBuf, source: std::io::Error },
    #[error("`mail.roots`: {path} holds no certificate that can be read")]
    Roots { path: PathBuf },
    #[error("`mail.from`: {0}")]
    From(#[from] crate::domain::mail_address::MailAddressError),
    #[error("`mail.smtp`: {0} is no name of a TLS server")]
    Host(String),
    #[error("`mail.roots`: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why a mail was not taken, and what that says of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undelivered {
    /// The relay takes nothing now, whoever it is for: nothing of this mail was spoken of.
    Relay(Cause),
    /// About this mail. It was not taken; or nobody can say, when the connection broke after its last byte.
    Mail(Cause),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Connect,
    Tls,
    Timeout,
    /// The connection ended, or what came is no SMTP.
    Broken,
    /// The relay offers no STARTTLS, or no way to log in that is known here.
    Unable,
    Reply(u16),
}

impl Relay {
    /// `None` where no relay is configured.
    pub(super) fn new(settings: &Mail) -> Result<Option<Self>, SettingsError> {
        let Some(at) = settings.smtp.clone() else { return Ok(None) };
        let tls = match at.security {
            RelaySecurity::Plain => None,
            RelaySecurity::StartTls | RelaySecurity::Tls => {
                let name = ServerName::try_from(at.host.clone()).map_err(|_| SettingsError::Host(at.host.clone()))?;
                Some((TlsConnector::from(Arc::new(client_config(&settings.roots)?)), name))
            }
        };
        let login = if settings.user.is_empty() {
            None
        } else {
            let password = read("mail.password_file", &settings.password_file)?;
            let password = String::from_utf8_lossy(&password).trim_end_matches(['\r', '\n']).to_owned();
            Some(Login { user: settings.user.clone(), password })
        };
        let within = Duration::from_secs(u64::from(settings.timeout_seconds));
        Ok(Some(Self { at, tls, from: settings.from.parse()?, login, within }))
    }

    /// Hands `message` over. `Ok`: the relay has taken it, and answers for it from now on.
    pub(super) async fn send(&self, to: &MailAddress, message: &str) -> Result<(), Undelivered> {
        let late = |_| Cause::Timeout;
        let opening = tokio::time::timeout(self.within, self.open());
        let mut session = opening.await.map_err(late).and_then(|opened| opened).map_err(Undelivered::Relay)?;
        let speaking = tokio::time::timeout(self.within, session.write_mail(to, message));
        speaking.await.map_err(late).and_then(|spoken| spoken).map_err(Undelivered::Mail)?;
        let answer = tokio::time::timeout(LAST_REPLY_WAIT, session.expect(2));
        answer.await.map_err(late).and_then(|answered| answered).map_err(Undelivered::Mail)?;
        // The mail is the relay's, whatever becomes of the good-bye.
        let _ = tokio::time::timeout(GOODBYE_WAIT, session.say_goodbye()).await;
        Ok(())
    }

    /// Up to the sender's name: what no mail has a part in.
    async fn open(&self) -> Result<Session, Cause> {
        let address = (self.at.host.as_str(), self.at.port);
        let stream = TcpStream::connect(address).await.map_err(|_| Cause::Connect)?;
        let mut session = match (&self.tls, self.at.security) {
            (Some(tls), RelaySecurity::Tls) => Session::greeted(encrypt(tls, Box::new(stream)).await?).await?,
            (Some(tls), _) => {
                let mut session = Session::greeted(Box::new(stream)).await?;
                let offers = session.hello(self.from.domain()).await?;
                session.start_tls(&offers, tls).await?
            }
            (None, _) => Session::greeted(Box::new(stream)).await?,
        };
        let offers = session.hello(self.from.domain()).await?;
        if let Some(login) = &self.login {
            session.log_in(&offers, login).await?;
        }
        session.command(&format!("MAIL FROM:<{}>", self.from), 2).await?;
        Ok(session)
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A dialogue with the relay.
struct Session {
    stream: BufReader<Box<dyn Stream>>,
}

impl Session {
    async fn greeted(stream: Box<dyn Stream>) -> Result<Self, Cause> {
        let mut session = Self { stream: BufReader::new(stream) };
        session.expect(2).await?;
        Ok(session)
    }

    /// What the relay offers, a line each.
    async fn hello(&mut self, name: &str) -> Result<Vec<String>, Cause> {
        self.command(&format!("EHLO {name}"), 2).await
    }

    async fn start_tls(mut self, offers: &[String], tls: &(TlsConnector, ServerName<'static>)) -> Result<Self, Cause> {
        if !offers.iter().any(|offer| offer.eq_ignore_ascii_case("STARTTLS")) {
            return Err(Cause::Unable);
        }
        self.command("STARTTLS", 2).await?;
        // What came along unencrypted would be taken for answers from behind the encryption.
        if !self.stream.buffer().is_empty() {
            return Err(Cause::Broken);
        }
        Ok(Self { stream: BufReader::new(encrypt(tls, self.stream.into_inner()).await?) })
    }

    async fn log_in(&mut self, offers: &[String], login: &Login) -> Result<(), Cause> {
        let mut words = offers.iter().map(|offer| offer.split_ascii_whitespace().collect::<Vec<_>>());
        let ways = words.find(|words| words.first().is_some_and(|word| word.eq_ignore_ascii_case("AUTH")));
        let ways = ways.unwrap_or_default();
        let offers = |way: &str| ways.iter().skip(1).any(|offered| offered.eq_ignore_ascii_case(way));
        if offers("PLAIN") {
            let secret = base64(&format!("\0{}\0{}", login.user, login.password));
            self.command(&format!("AUTH PLAIN {secret}"), 2).await?;
        } else if offers("LOGIN") {
            self.command("AUTH LOGIN", 3).await?;
            self.command(&base64(&login.user), 3).await?;
            self.command(&base64(&login.password), 2).await?;
        } else {
            return Err(Cause::Unable);
        }
        Ok(())
    }

    /// All of a mail but the relay's word that it has it.
    async fn write_mail(&mut self, to: &MailAddress, message: &str) -> Result<(), Cause> {
        self.command(&format!("RCPT TO:<{to}>"), 2).await?;
        self.command("DATA", 3).await?;
        // A dot alone on a line would end the mail (RFC 5321 section 4.5.2).
        self.write(&message.replace("\r\n.", "\r\n..")).await?;
        self.write(".\r\n").await
    }

    async fn say_goodbye(&mut self) -> Result<(), Cause> {
        self.write("QUIT\r\n").await?;
        self.stream.shutdown().await.map_err(|_| Cause::Broken)
    }

    async fn command(&mut self, line: &str, expected: u16) -> Result<Vec<String>, Cause> {
        self.write(&format!("{line}\r\n")).await?;
        self.expect(expected).await
    }

    async fn write(&mut self, text: &str) -> Result<(), Cause> {
        self.stream.write_all(text.as_bytes()).await.map_err(|_| Cause::Broken)?;
        self.stream.flush().await.map_err(|_| Cause::Broken)
    }

    /// Reads a reply whose code begins with `hundreds`; gives the text of its lines.
    async fn expect(&mut self, hundreds: u16) -> Result<Vec<String>, Cause> {
        let (code, lines) = self.read_reply().await?;
        if code / 100 == hundreds { Ok(lines) } else { Err(Cause::Reply(code)) }
    }

    /// `250-text` for each line but the last, `250 text` or `250` for that (RFC 5321 section 4.2.1).
    async fn read_reply(&mut self) -> Result<(u16, Vec<String>), Cause> {
        let (mut first, mut lines) = (None, Vec::new());
        while lines.len() < REPLY_LINES_MAX {
            let mut line = Vec::new();
            let mut bounded = (&mut self.stream).take(REPLY_LINE_BYTES_MAX);
            bounded.read_until(b'\n', &mut line).await.map_err(|_| Cause::Broken)?;
            let (code, is_last, text) = read_line(&line).ok_or(Cause::Broken)?;
            if *first.get_or_insert(code) != code {
                return Err(Cause::Broken);
            }
            lines.push(text);
            if is_last {
                return Ok((code, lines));
            }
        }
        Err(Cause::Broken)
    }
}

/// Code, whether it is the last line, text.
fn read_line(line: &[u8]) -> Option<(u16, bool, String)> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (digits, rest) = line.split_at_checked(3)?;
    let code: u16 = str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit))?.parse().ok()?;
    let (is_last, text) = match rest.split_first() {
        None => (true, &[][..]),
        Some((b' ', text)) => (true, text),
        Some((b'-', text)) => (false, text),
        Some(_) => return None,
    };
    (200..600).contains(&code).then(|| (code, is_last, String::from_utf8_lossy(text).trim().to_owned()))
}

async fn encrypt(
    (connector, name): &(TlsConnector, ServerName<'static>),
    stream: Box<dyn Stream>,
) -> Result<Box<dyn Stream>, Cause> {
    let encrypted = connector.connect(name.clone(), stream).await.map_err(|_| Cause::Tls)?;
    Ok(Box::new(encrypted))
}

fn client_config(roots: &[PathBuf]) -> Result<ClientConfig, SettingsError> {
    let mut store = RootCertStore::empty();
    for path in roots {
        let text = read("mail.roots", path)?;
        let bad = || SettingsError::Roots { path: path.clone() };
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|_| bad())?;
        if certificates.is_empty() {
            return Err(bad());
        }
        for certificate in certificates {
            store.add(certificate)?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, SettingsError> {
    std::fs::read(path).map_err(|source| SettingsError::File { key, path: path.to_owned(), source })
}

fn base64(text: &str) -> String {
    base64_simd::STANDARD.encode_to_string(text)
}

impl Undelivered {
    pub(super) fn cause(self) -> Cause {
        match self {
            Self::Relay(cause) | Self::Mail(cause) => cause,
        }
    }
}

impl Cause {
    /// Said of this very mail for good (RFC 5321 section 4.2.1): the same words will meet the same answer.
    pub(super) fn is_permanent(self) -> bool {
        matches!(self, Self::Reply(500..600))
    }

    /// For metrics: the reply by its first digit alone.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Unable => "unable",
            Self::Reply(500..600) => "reply_5xx",
            Self::Reply(_) => "reply_4xx",
        }
    }
}

impl std::fmt::Display for Cause {
    /// What the outbox keeps.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reply(code) => write!(f, "{code}"),
            other => f.write_str(other.class()),
        }
    }
}

/// For the last reply. A relay may deliver before it gives it, and whoever hangs up first sends twice
/// (RFC 5321 section 4.5.3.2.6, RFC 1047).
pub(super) const LAST_REPLY_WAIT_S: u32 = 600;
const LAST_REPLY_WAIT: Duration = Duration::from_secs(LAST_REPLY_WAIT_S as u64);
const GOODBYE_WAIT: Duration = Duration::from_secs(1);
const REPLY_LINES_MAX: usize = 128;
const REPLY_LINE_BYTES_MAX: u64 = 2048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<(u16, bool, String)> {
        read_line(text.as_bytes())
    }

    #[test]
    fn a_line_of_a_reply_is_a_code_and_a_text() {
        assert_eq!(read("250 2.0.0 taken\r\n"), Some((250, true, "2.0.0 taken".to_owned())));
        assert_eq!(read("250-STARTTLS\r\n"), Some((250, false, "STARTTLS".to_owned())));
        assert_eq!(read("354\n"), Some((354, true, String::new())));
        for bad in
            ["", "250 cut off", "25 x\r\n", "2500\r\n", "+50 x\r\n", "100 x\r\n", "650 x\r\n", "HTTP/1.1 400\r\n"]
        {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    async fn reply(text: &str) -> Result<Vec<String>, Cause> {
        let stream: Box<dyn Stream> =
            Box::new(tokio::io::join(std::io::Cursor::new(text.to_owned()), tokio::io::sink()));
        Session { stream: BufReader::new(stream) }.expect(2).await
    }

    #[tokio::test]
    async fn a_reply_is_all_its_lines_and_its_code_decides() {
        assert_eq!(reply("250-a\r\n250-b\r\n250 c\r\n").await.unwrap(), ["a", "b", "c"]);
        assert_eq!(reply("451 later\r\n").await, Err(Cause::Reply(451)));
        assert_eq!(reply("250-a\r\n550 b\r\n").await, Err(Cause::Broken));
        assert_eq!(reply("250-a\r\n").await, Err(Cause::Broken));
        assert_eq!(reply(&"250-a\r\n".repeat(1000)).await, Err(Cause::Broken));
        assert_eq!(reply(&format!("250 {}\r\n", "a".repeat(4000))).await, Err(Cause::Broken));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line_or_none(line: Vec<u8>) {
            let _ = read_line(&line);
        }
    }
}
