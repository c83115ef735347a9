//! `[mail]`: the relay that takes the notices of the outbox. Source: CSP L1111-17, R1111-53; RFC 5321, 8314.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Mail {
    /// `smtp://`, `smtp+starttls://` or `smtps://`, host and port; empty: nothing is sent, and notices wait.
    #[serde(deserialize_with = "relay_or_none")]
    pub smtp: Option<Relay>,
    /// Sender of every mail: a mailbox that somebody reads, for what cannot be delivered comes back to it.
    pub from: String,
    /// Name at the relay, where it wants one.
    pub user: String,
    /// File that holds its password.
    pub password_file: PathBuf,
    /// Authorities of the relay's certificate, PEM: the only ones believed.
    pub roots: Vec<PathBuf>,
    /// For one mail, from connecting to its last byte.
    pub timeout_seconds: u32,
    /// Before the second attempt; doubled at each further one.
    pub retry_seconds: u32,
    pub retry_seconds_max: u32,
    /// How often the outbox is looked at for what others wrote.
    pub poll_seconds: u32,
    /// Mails, and connections to the relay, at one time.
    pub in_flight_max: u32,
}

/// Where mail is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    pub security: RelaySecurity,
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelaySecurity {
    /// For loopback and private networks.
    Plain,
    /// Upgraded, or given up.
    StartTls,
    Tls,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            smtp: None,
            from: String::new(),
            user: String::new(),
            password_file: PathBuf::new(),
            roots: Vec::new(),
            timeout_seconds: 30,
            retry_seconds: 30,
            retry_seconds_max: 3600,
            poll_seconds: 15,
            in_flight_max: 4,
        }
    }
}

impl Mail {
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let password = Some(&mut self.password_file).filter(|path| !path.as_os_str().is_empty());
        self.roots.iter_mut().chain(password)
    }

    /// Key and problem of a value that cannot be meant.
    pub(super) fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        let security = self.smtp.as_ref().map(|relay| relay.security);
        let has_password = !self.password_file.as_os_str().is_empty();
        let nothing = [self.timeout_seconds, self.retry_seconds, self.poll_seconds, self.in_flight_max].contains(&0);
        let checks = [
            (nothing, "mail", "a time or a count of 0 lets nothing be sent"),
            (self.in_flight_max > IN_FLIGHT_MAX, "mail.in_flight_max", "is a number of connections: 100 at most"),
            (self.retry_seconds_max < self.retry_seconds, "mail.retry_seconds_max", "is below mail.retry_seconds"),
            (security.is_some() && self.from.is_empty(), "mail.from", "name the sender of the notices"),
            (self.user.is_empty() == has_password, "mail.user", "needs mail.password_file, and the reverse"),
            (
                security == Some(RelaySecurity::Plain) && has_password,
                "mail.smtp",
                "a password goes over TLS alone: write `smtps://` or `smtp+starttls://`",
            ),
            (
                security.is_some_and(|security| security != RelaySecurity::Plain) && self.roots.is_empty(),
                "mail.roots",
                "name the roots that the relay's certificate is under",
            ),
        ];
        checks.into_iter().find(|(is_wrong, ..)| *is_wrong).map(|(_, key, problem)| (key, problem))
    }
}

fn relay_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Relay>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Ok(None) } else { read_relay(&text).map(Some).map_err(de::Error::custom) }
}

fn read_relay(text: &str) -> Result<Relay, String> {
    let expected = || {
        "mail.smtp: write smtps://HOST[:465], smtp+starttls://HOST[:587] or, within a private network, smtp://HOST[:25]"
            .to_owned()
    };
    let uri: http::Uri = text.parse().map_err(|_| expected())?;
    let (security, usual_port) = match uri.scheme_str() {
        Some("smtp") => (RelaySecurity::Plain, 25),
        Some("smtp+starttls") => (RelaySecurity::StartTls, 587),
        Some("smtps") => (RelaySecurity::Tls, 465),
        _ => return Err(expected()),
    };
    let is_host_alone = uri.path().trim_matches('/').is_empty() && uri.query().is_none() && !text.contains('@');
    match uri.host().map(|host| host.trim_matches(['[', ']'])) {
        Some(host) if is_host_alone && !host.is_empty() => {
            Ok(Relay { security, host: host.to_owned(), port: uri.port_u16().unwrap_or(usual_port) })
        }
        _ => Err(expected()),
    }
}

const IN_FLIGHT_MAX: u32 = 100;

/// Known keys of the section.
pub(super) const KEYS: &[&str] = &[
    "smtp",
    "from",
    "user",
    "password_file",
    "roots",
    "timeout_seconds",
    "retry_seconds",
    "retry_seconds_max",
    "poll_seconds",
    "in_flight_max",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_a_host_and_how_it_is_reached() {
        let read = |text| read_relay(text).map(|relay| (relay.security, relay.host, relay.port));
        let relay = |security, host: &str, port| Ok((security, host.to_owned(), port));
        assert_eq!(read("smtp://127.0.0.1:2525"), relay(RelaySecurity::Plain, "127.0.0.1", 2525));
        assert_eq!(read("smtp://[::1]"), relay(RelaySecurity::Plain, "::1", 25));
        assert_eq!(read("smtp+starttls://mail.hopital.fr"), relay(RelaySecurity::StartTls, "mail.hopital.fr", 587));
        assert_eq!(read("smtps://mail.hopital.fr/"), relay(RelaySecurity::Tls, "mail.hopital.fr", 465));
        for wrong in
            ["mail.hopital.fr", "smtp:", "https://host", "smtp://user:secret@host", "smtp://host/path", "smtp://:25"]
        {
            let error = read_relay(wrong).unwrap_err();
            assert!(!error.contains("secret") && error.contains("smtps://HOST"), "{error}");
        }
    }

    #[test]
    fn a_password_never_goes_over_plain_text_and_tls_needs_roots() {
        let settings =
            |smtp| Mail { smtp: read_relay(smtp).ok(), from: "dmp@hopital.fr".to_owned(), ..Mail::default() };
        let key = |settings: Mail| settings.contradiction().map(|(key, _)| key);
        assert_eq!(key(Mail::default()), None);
        assert_eq!(key(settings("smtp://relay")), None);
        assert_eq!(key(settings("smtps://relay")), Some("mail.roots"));
        assert_eq!(key(Mail { roots: vec!["roots.pem".into()], ..settings("smtps://relay") }), None);
        assert_eq!(key(Mail { from: String::new(), ..settings("smtp://relay") }), Some("mail.from"));
        let with_password = |settings| Mail { user: "dmp".to_owned(), password_file: "secret".into(), ..settings };
        assert_eq!(key(with_password(settings("smtp://relay"))), Some("mail.smtp"));
        assert_eq!(key(Mail { user: "dmp".to_owned(), ..settings("smtp://relay") }), Some("mail.user"));
        assert_eq!(key(Mail { retry_seconds: 0, ..Mail::default() }), Some("mail"));
        assert_eq!(key(Mail { in_flight_max: 101, ..Mail::default() }), Some("mail.in_flight_max"));
        assert_eq!(key(Mail { retry_seconds_max: 5, ..Mail::default() }), Some("mail.retry_seconds_max"));
    }
}
