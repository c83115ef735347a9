//! The journal at an audit repository: syslog over mutual TLS on a real port, its outages and restarts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use carnet::app::App;
use carnet::clock::Clock;
use carnet::config::Config;
use http::StatusCode;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::support::gateway::{client_roots, free_address};
use super::support::{Document, TestGateway};

/// Takes messages, one connection after the other, for as long as it lives.
struct Repository {
    address: String,
    messages: mpsc::UnboundedReceiver<String>,
    task: tokio::task::JoinHandle<()>,
}

const NEWCOMER: &str = "207058575627097";

/// Instead of a message: the client did not believe the server.
const HUNG_UP: &str = "hung up";

#[derive(Clone, Copy)]
enum Temper {
    Obliging,
    /// Reads the first connection and resets it, as one that crashed.
    CrashesOnce,
    /// Closes without a close_notify of its own, as rsyslog with GnuTLS does.
    Terse,
}

impl Repository {
    async fn start(temper: Temper) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let (sender, messages) = mpsc::unbounded_channel();
        let acceptor = TlsAcceptor::from(Arc::new(server_config()));
        let task = tokio::spawn(async move {
            let mut temper = temper;
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                take(&acceptor, stream, &sender, temper).await;
                if let Temper::CrashesOnce = temper {
                    temper = Temper::Obliging;
                }
            }
        });
        Self { address, messages, task }
    }

    /// The next message, or none within a time that is long for a batch.
    async fn next(&mut self) -> String {
        let within = Duration::from_secs(20);
        tokio::time::timeout(within, self.messages.recv()).await.expect("a message in time").expect("a repository")
    }

    /// What was done, of the next `count` messages.
    async fn next_actions(&mut self, count: usize) -> Vec<String> {
        let mut actions = Vec::new();
        for _ in 0..count {
            let message = self.next().await;
            let code = message.split("<EventTypeCode csd-code=\"").nth(1).unwrap_or_else(|| panic!("{message}"));
            actions.push(code.split('"').next().unwrap().to_owned());
        }
        actions
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(acceptor: &TlsAcceptor, stream: TcpStream, sender: &mpsc::UnboundedSender<String>, temper: Temper) {
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return sender.send(HUNG_UP.to_owned()).unwrap();
    };
    let mut received = Vec::new();
    if stream.read_to_end(&mut received).await.is_err() {
        return;
    }
    if let Temper::CrashesOnce = temper {
        return stream.get_ref().0.set_zero_linger().unwrap();
    }
    for message in messages(&received) {
        sender.send(message).unwrap();
    }
    if let Temper::Obliging = temper {
        // A gateway that stops does not wait for it.
        let _ = stream.shutdown().await;
    }
}

/// The messages of RFC 5425 frames.
fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').expect("a length");
        let length: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
        let (message, rest) = bytes[space + 1..].split_at(length);
        messages.push(String::from_utf8(message.to_vec()).unwrap());
        bytes = rest;
    }
    messages
}

/// Asks every client for a certificate of the development PKI.
fn server_config() -> ServerConfig {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(client_roots()).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let chain = CertificateDer::pem_file_iter(file("server.pem")).unwrap().map(Result::unwrap).collect();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(file("server.key")).unwrap())
        .unwrap()
}

fn file(name: &str) -> PathBuf {
    client_roots().parent().expect("certs").join(name)
}

/// A gateway that sends to `address`, and the folder of its certificate.
async fn gateway_towards(address: &str, roots: PathBuf) -> (TestGateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("gateway.pem"), folder.path().join("gateway.key"));
    let struct_id = "1350000899".parse().unwrap();
    let holder = carnet::tls::development_pki::Holder::Organisation {
        struct_id,
        name: "PASSERELLE".to_owned(),
        application: "CARNET".to_owned(),
    };
    let issued = super::support::gateway::issue(&holder);
    std::fs::write(&certificate, issued.certificate_pem).unwrap();
    std::fs::write(&key, issued.key_pem).unwrap();
    let settle = |config: &mut Config| {
        address.clone_into(&mut config.atna.syslog);
        config.atna.roots = vec![roots];
        config.atna.certificate = certificate;
        config.atna.key = key;
    };
    (TestGateway::builder().configured(settle).start().await, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_arrives_in_its_order_as_the_journal_has_it() {
    let mut repository = Repository::start(Temper::Obliging).await;
    let (gateway, _folder) = gateway_towards(&repository.address, file("server-ca.pem")).await;
    let hospital = gateway.hospital();
    let id = hospital.deposited(&Document::discharge_letter()).await;
    assert_eq!(gateway.doctor("810000000011").read_in_emergency(&id).await.status, StatusCode::OK);
    hospital.found("").await;
    let lines = gateway.gateway().list_journal(None, 0, u32::MAX).await.unwrap();
    let written: Vec<_> = lines.iter().map(|(_, event)| event.action.code().to_owned()).collect();
    assert_eq!(written, ["open_dossier", "open_dossier", "deposit", "retrieve", "search"]);
    assert_eq!(repository.next_actions(written.len()).await, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_took_waits_and_nothing_waits_for_it() {
    let mut repository = Repository::start(Temper::CrashesOnce).await;
    let (gateway, _folder) = gateway_towards(&repository.address, file("server-ca.pem")).await;
    gateway.hospital().deposited(&Document::discharge_letter()).await;
    let first = repository.next().await;
    assert!(first.contains("IHE+RFC-3881") && first.contains("csd-code=\"open_dossier\""), "{first}");
    assert_eq!(repository.next_actions(2).await, ["open_dossier", "deposit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_closes_without_close_notify_is_sent_each_line_once() {
    let mut repository = Repository::start(Temper::Terse).await;
    let (gateway, _folder) = gateway_towards(&repository.address, file("server-ca.pem")).await;
    let hospital = gateway.hospital();
    hospital.deposited(&Document::discharge_letter()).await;
    assert_eq!(repository.next_actions(3).await, ["open_dossier", "open_dossier", "deposit"]);
    hospital.found("").await;
    assert_eq!(repository.next_actions(1).await, ["search"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_it_goes_on_where_it_was() {
    let mut repository = Repository::start(Temper::Obliging).await;
    let (gateway, _folder) = gateway_towards(&repository.address, file("server-ca.pem")).await;
    let config = Arc::clone(&gateway.gateway().config);
    gateway.hospital().deposited(&Document::discharge_letter()).await;
    let before = [repository.next().await, repository.next().await, repository.next().await];
    gateway.running.stop().await.unwrap();
    let again = App::start(config, Clock::System).await.unwrap();
    again.gateway.open_dossier(&format!("1.2.250.1.213.1.4.10|{NEWCOMER}").parse().unwrap()).await.unwrap();
    let mut next = repository.next().await;
    // What is taken may not be known as taken when a gateway ends: then it comes again, and first.
    while !next.contains(NEWCOMER) {
        assert!(before.contains(&next), "{next}");
        next = repository.next().await;
    }
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_gateways_on_one_database_one_sends() {
    let mut repository = Repository::start(Temper::Obliging).await;
    let (gateway, _folder) = gateway_towards(&repository.address, file("server-ca.pem")).await;
    let mut config = Config::clone(&gateway.gateway().config);
    (config.listen.professionals, config.listen.operators) = (free_address(), free_address());
    let other = App::start(Arc::new(config), Clock::System).await.unwrap();
    let hospital = gateway.hospital();
    for _ in 0..4 {
        hospital.deposited(&Document::blood_test()).await;
    }
    assert_eq!(repository.next_actions(2).await, ["open_dossier"; 2]);
    assert_eq!(repository.next_actions(4).await, ["deposit"; 4]);
    hospital.found("").await;
    assert_eq!(repository.next_actions(1).await, ["search"]);
    other.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_of_another_authority_gets_nothing() {
    let mut stranger = Repository::start(Temper::Obliging).await;
    let (gateway, _folder) = gateway_towards(&stranger.address, client_roots()).await;
    gateway.hospital().deposited(&Document::discharge_letter()).await;
    assert_eq!([stranger.next().await, stranger.next().await], [HUNG_UP; 2]);
    assert_eq!(gateway.journal_lines().await, 3);
}
