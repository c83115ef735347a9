//! `[atna]`: the audit repository that the journal goes out to, beside being kept here. Source: IHE ITI-20, RFC 5425.

use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Atna {
    /// `HOST:PORT` of a syslog server that speaks TLS; empty: nothing is sent.
    pub syslog: String,
    /// Authorities of its certificate.
    pub roots: Vec<PathBuf>,
    /// What the gateway shows of itself, where the server asks for it (mutual TLS); empty: nothing.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Atna {
    /// Host and port, when lines are to be sent.
    pub fn receiver(&self) -> Option<(&str, u16)> {
        let (host, port) = self.syslog.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
        (!host.is_empty()).then_some((host, port.parse().ok()?))
    }

    pub(super) fn resolve_paths(&mut self, base: &Path) {
        let one = [&mut self.certificate, &mut self.key].into_iter().filter(|path| !path.as_os_str().is_empty());
        for path in one.chain(&mut self.roots) {
            *path = base.join(&*path);
        }
    }

    /// Key and problem of a contradiction.
    pub(super) fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        let is_set = |path: &Path| !path.as_os_str().is_empty();
        if is_set(&self.certificate) != is_set(&self.key) {
            return Some(("atna.key", "a certificate and its key go together: name both, or neither"));
        }
        if self.syslog.is_empty() {
            return None;
        }
        if self.receiver().is_none() {
            return Some(("atna.syslog", "write `HOST:PORT` of a syslog server that speaks TLS"));
        }
        self.roots.is_empty().then_some(("atna.roots", "name the authorities of the syslog server's certificate"))
    }
}

pub(super) const KEYS: &[&str] = &["syslog", "roots", "certificate", "key"];
