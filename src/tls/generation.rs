//! One consistent set of server certificate, roots, authorities, lists and ticket keys, read from files.
//!
//! Authorities of `tls.issuers` and `revocation.authorities` count alike for the signatures of lists and answers; only
//! the former complete a path. Knows no connection. Source: contract 2, B.1, B.2.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::client_verifier::{ClientVerifier, Issuers, TestCards};
use super::development_pki::is_development;
use super::expiry::{Expiring, ExpiringKind};
use super::files::{CERTIFICATE_FILE_BYTES_MAX, FileError, Stamp, read_key, read_objects, stamps};
use super::revocation::download::{Downloads, name_of};
use super::revocation::fetch::Fetcher;
use super::revocation::judge::Judge;
use super::revocation::list::List;
use super::revocation::policy::Missed;
use super::revocation::responder::Responders;
use super::revocation::{Revocations, Setback};
use super::trust::TrustError;
use crate::clock::Clock;
use crate::config;

/// What generations are read from, and what outlives them.
pub(super) struct Origin {
    pub(super) tls: config::Tls,
    pub(super) revocation: config::Revocation,
    pub(super) downloads: Downloads,
    pub(super) responders: Arc<Responders>,
    missed: Arc<Missed>,
}

/// What is in force together.
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) server: Arc<ServerConfig>,
    pub(super) verifier: Arc<ClientVerifier>,
    pub(super) fetcher: Fetcher,
    /// What was read and will end.
    pub(super) in_play: Vec<Expiring>,
}

impl ClientVerifier {
    /// Reads what it takes to judge chains without serving: no list is fetched and no responder asked.
    pub fn load(tls: &config::Tls, revocation: &config::Revocation) -> Result<Self, TrustError> {
        Origin::new(tls, revocation).read_verifier(&aws_lc_rs::default_provider()).map(|(verifier, _)| verifier)
    }

    /// A list that disappears or goes back must not let in whom it revoked.
    pub(super) fn check_succeeds(&self, before: &Self) -> Result<(), TrustError> {
        match self.setback_since(before) {
            None => Ok(()),
            Some(Setback::Gone { issuer }) => Err(TrustError::CrlGone(name_of(issuer))),
            Some(Setback::RolledBack { issuer, before, now }) => Err(TrustError::CrlRolledBack {
                authority: name_of(issuer),
                before: before.to_string(),
                now: now.to_string(),
            }),
        }
    }
}

impl Origin {
    pub(super) fn new(tls: &config::Tls, revocation: &config::Revocation) -> Self {
        let random = aws_lc_rs::default_provider().secure_random;
        Self {
            tls: tls.clone(),
            revocation: revocation.clone(),
            downloads: Downloads::new(revocation, random),
            responders: Arc::new(Responders::new(&revocation.ocsp_urls, revocation.refresh_s(), random)),
            missed: Arc::default(),
        }
    }

    pub(super) fn stamps(&self) -> Vec<Stamp> {
        let (tls, revocation) = (&self.tls, &self.revocation);
        let single = [tls.certificate.as_path(), tls.key.as_path()].into_iter();
        let named = tls.client_roots.iter().chain(&tls.client_crls).chain(tls.issuers.values().flatten());
        let named = named.chain(&revocation.authorities).chain(&revocation.https_roots);
        stamps(single.chain(named.map(PathBuf::as_path)).chain(self.downloads.files()))
    }

    pub(super) fn read(&self, clock: &Clock, number: u64) -> Result<Generation, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (verifier, mut in_play) = self.read_verifier(&provider)?;
        let verifier = Arc::new(verifier);
        let mut chain = Vec::new();
        read_objects(&self.tls.certificate, CERTIFICATE_FILE_BYTES_MAX, &mut chain)?;
        in_play.extend(chain.iter().filter_map(|(_, der)| Some(expiring(ExpiringKind::Server, &parse(der)?))));
        let key = read_key(&self.tls.key)?;
        let time: Arc<dyn TimeProvider> = Arc::new(ClockTime(clock.clone()));
        let fetcher = self.read_fetcher(&provider, &time)?;
        let mut server = ServerConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TrustError::Server)?
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(chain.into_iter().map(|(_, der)| der).collect(), key)
            .map_err(TrustError::Server)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        server.ticketer = aws_lc_rs::Ticketer::new().map_err(TrustError::Server)?;
        Ok(Generation { number, server: Arc::new(server), verifier, fetcher, in_play })
    }

    fn read_fetcher(
        &self,
        provider: &Arc<CryptoProvider>,
        time: &Arc<dyn TimeProvider>,
    ) -> Result<Fetcher, TrustError> {
        let mut roots = RootCertStore::empty();
        for path in &self.revocation.https_roots {
            for (path, der) in read_authorities(path)? {
                roots.add(der).map_err(|error| FileError::Content { path, problem: error.to_string() })?;
            }
        }
        let timeout = Duration::from_secs(self.revocation.timeout_seconds);
        Fetcher::new(roots, Arc::clone(provider), Arc::clone(time), timeout).map_err(TrustError::Server)
    }

    /// Roots, authorities and lists, and when they end.
    fn read_verifier(&self, provider: &CryptoProvider) -> Result<(ClientVerifier, Vec<Expiring>), TrustError> {
        let roots = self.read_roots()?;
        let issuers = read_issuers(&self.tls)?;
        let mut others: Vec<CertificateDer<'static>> = Vec::new();
        for path in &self.revocation.authorities {
            others.extend(read_authorities(path)?.into_iter().map(|(_, der)| der));
        }
        others.extend(issuers.values().flatten().cloned());
        others.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        others.dedup();
        let parsed_roots: Vec<X509Certificate<'_>> = roots.iter().filter_map(|der| parse(der)).collect();
        let mut authorities = parsed_roots.clone();
        authorities.extend(others.iter().filter_map(|der| parse(der)));
        let lists = self.read_lists(provider, &authorities)?;
        for root in parsed_roots.iter().filter(|root| !lists.covers(root.subject().as_raw())) {
            tracing::warn!(authority = %root.subject(), "no CRL of this root");
        }
        let mut in_play: Vec<Expiring> = Vec::new();
        in_play.extend(parsed_roots.iter().map(|root| expiring(ExpiringKind::Root, root)));
        in_play.extend(authorities[roots.len()..].iter().map(|one| expiring(ExpiringKind::Authority, one)));
        in_play.extend(lists.newest().map(expiring_list));
        let shared = (Arc::clone(&self.responders), Arc::clone(&self.missed));
        let judge = Judge::new(&self.revocation, lists, &parsed_roots, &authorities, shared)?;
        let test_cards = if self.tls.allow_test_cards { TestCards::Accepted } else { TestCards::Refused };
        let verifier = ClientVerifier::new(roots, issuers, test_cards, judge).map_err(TrustError::Roots)?;
        Ok((verifier, in_play))
    }

    fn read_roots(&self) -> Result<Vec<CertificateDer<'static>>, TrustError> {
        let mut roots = Vec::new();
        for path in &self.tls.client_roots {
            for (path, der) in read_authorities(path)? {
                if parse(&der).is_some_and(|root| is_development(&root)) && !self.tls.allow_development_roots {
                    return Err(TrustError::DevelopmentRoot(path));
                }
                roots.push(der);
            }
        }
        if roots.is_empty() { Err(TrustError::NoRoots) } else { Ok(roots) }
    }

    fn read_lists(
        &self,
        provider: &CryptoProvider,
        authorities: &[X509Certificate<'_>],
    ) -> Result<Revocations, TrustError> {
        let mut lists = Revocations::new(provider.signature_verification_algorithms);
        let bytes_max = self.revocation.crl_bytes_max;
        let mut found: Vec<(PathBuf, CertificateRevocationListDer<'static>)> = Vec::new();
        for path in &self.tls.client_crls {
            read_objects(path, bytes_max, &mut found)?;
        }
        for (path, der) in found {
            let added = List::read(der.to_vec()).and_then(|list| lists.add(list, authorities));
            added.map_err(|cause| TrustError::Crl { path, cause })?;
        }
        for path in self.downloads.files().filter(|path| path.exists()) {
            let mut found: Vec<(PathBuf, CertificateRevocationListDer<'static>)> = Vec::new();
            let added = read_objects(path, bytes_max, &mut found).map_err(TrustError::from).and_then(|()| {
                let mut read = found.into_iter().map(|(_, der)| List::read(der.to_vec()));
                let added = read.try_for_each(|list| list.and_then(|list| lists.add(list, authorities)));
                added.map_err(|cause| TrustError::Crl { path: path.to_owned(), cause })
            });
            if let Err(error) = added {
                // It will be fetched again: no reason not to start. What it held must not be missed unseen,
                // which the check against the set before sees to.
                tracing::error!(%error, "a list that was fetched before cannot be used");
            }
        }
        Ok(lists)
    }
}

fn read_issuers(settings: &config::Tls) -> Result<Issuers, TrustError> {
    let mut issuers = Issuers::new();
    for (class, paths) in &settings.issuers {
        let of_class: &mut Vec<_> = issuers.entry(*class).or_default();
        for path in paths {
            of_class.extend(read_authorities(path)?.into_iter().map(|(_, der)| der));
        }
    }
    Ok(issuers)
}

/// Certificates of authorities, each with its file.
fn read_authorities(path: &Path) -> Result<Vec<(PathBuf, CertificateDer<'static>)>, FileError> {
    let mut found: Vec<(PathBuf, CertificateDer<'static>)> = Vec::new();
    read_objects(path, CERTIFICATE_FILE_BYTES_MAX, &mut found)?;
    // A folder that is being filled anew would otherwise let nobody in for a while.
    if found.is_empty() {
        let problem = "a folder without a certificate".to_owned();
        return Err(FileError::Content { path: path.to_owned(), problem });
    }
    for (path, der) in &found {
        let content = |problem: &str| FileError::Content { path: path.clone(), problem: problem.to_owned() };
        match X509Certificate::from_der(der) {
            Ok(([], authority)) if authority.is_ca() => {}
            Ok(([], _)) => return Err(content("a certificate that is no authority's (basicConstraints, CA TRUE)")),
            Ok(_) | Err(_) => return Err(content("this is no X.509 certificate")),
        }
    }
    Ok(found)
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

fn expiring(kind: ExpiringKind, certificate: &X509Certificate<'_>) -> Expiring {
    Expiring::new(kind, certificate.subject(), certificate.validity().not_after.timestamp())
}

/// What cannot be read is told where it is used.
pub(super) fn expiring_services(file: &Path) -> Vec<Expiring> {
    let mut found: Vec<(PathBuf, CertificateDer<'static>)> = Vec::new();
    let read = read_objects(file, CERTIFICATE_FILE_BYTES_MAX, &mut found);
    let certificates = found.iter().filter(|_| read.is_ok()).filter_map(|(_, der)| parse(der));
    certificates.map(|certificate| expiring(ExpiringKind::Service, &certificate)).collect()
}

fn expiring_list(list: &List) -> Expiring {
    let name = name_of(&list.issuer);
    let name = if list.is_delta() { format!("{name} (delta)") } else { name };
    Expiring { kind: ExpiringKind::Crl, name, until_s: list.next_update_s }
}

/// The handshake's time is the program's time.
#[derive(Debug)]
struct ClockTime(Clock);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
