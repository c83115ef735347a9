//! A listener on a real port with a fresh development PKI, and clients for it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use carnet::cli::client::{Client, ClientError, Identity};
use carnet::clock::Clock;
use carnet::config::{self, Limits, Revocation};
use carnet::serve::serve;
use carnet::tls::development_pki::{DevelopmentPki, Holder, Issued, KeyUse};
use carnet::tls::listener::PresentedCertificate;
use carnet::tls::subject::Subject;
use carnet::tls::trust::Trust;
use http::{Request, Response};
use http_body_util::Empty;
use rustls::SupportedProtocolVersion;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// Answers `/who` with the caller's national id or the rule that refuses them, and `/slow` once it is let.
pub(crate) struct TestListener {
    pub(crate) pki: DevelopmentPki,
    pub(crate) trust: Arc<Trust>,
    pub(crate) address: SocketAddr,
    /// `/slow` was entered; `/slow` may answer.
    pub(crate) entered: Arc<Notify>,
    pub(crate) release: Arc<Notify>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    _folder: Option<TempDir>,
}

impl TestListener {
    pub(crate) async fn start() -> Self {
        Self::start_with(Limits::default(), Clock::System).await
    }

    pub(crate) async fn start_with(limits: Limits, clock: Clock) -> Self {
        Self::start_configured(limits, clock, |_| {}).await
    }

    pub(crate) async fn start_configured(limits: Limits, clock: Clock, change: impl FnOnce(&mut config::Tls)) -> Self {
        let settle = |_: &DevelopmentPki, tls: &mut config::Tls| {
            change(tls);
            Revocation::default()
        };
        Self::start_under(clock, settle, limits).await
    }

    /// With other settings of revocation: `settle` is given the PKI and may change where lists come from.
    pub(crate) async fn start_under(
        clock: Clock,
        settle: impl FnOnce(&DevelopmentPki, &mut config::Tls) -> Revocation,
        limits: Limits,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = DevelopmentPki::create(folder.path(), Clock::System).unwrap();
        let mut tls = settings(&pki);
        let revocation = settle(&pki, &mut tls);
        let trust = Trust::load(&tls, &revocation, clock).unwrap();
        Self::serve(pki, Some(folder), trust, limits).await
    }

    /// Another gateway over the PKI of this one.
    pub(crate) async fn beside(&self, trust: Arc<Trust>) -> Self {
        let pki = DevelopmentPki::open(self.pki.directory(), Clock::System).unwrap();
        Self::serve(pki, None, trust, Limits::default()).await
    }

    async fn serve(pki: DevelopmentPki, folder: Option<TempDir>, trust: Arc<Trust>, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let gate = (Arc::clone(&entered), Arc::clone(&release));
        let slow = get(move || async move {
            gate.0.notify_one();
            gate.1.notified().await;
            "done"
        });
        let router = Router::new().route("/who", get(who)).route("/slow", slow);
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&trust);
        let task = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            serve(listener, served, router, &limits, shutdown).await;
        });
        Self { pki, trust, address, entered, release, stop, task, _folder: folder }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    pub(crate) fn issue(&self, holder: &Holder) -> Issued {
        self.pki.issue(holder, KeyUse::Auth, self.pki.usual_lifetime()).unwrap()
    }

    pub(crate) fn client(&self, issued: &Issued) -> Client {
        Client::with_config(self.client_config(issued, rustls::ALL_VERSIONS))
    }

    pub(crate) fn client_config(
        &self,
        issued: &Issued,
        versions: &[&'static SupportedProtocolVersion],
    ) -> rustls::ClientConfig {
        let identity = Identity::Certificate { chain_pem: &issued.certificate_pem, key_pem: &issued.key_pem };
        Client::config(&self.server_ca(), identity, versions).unwrap()
    }

    pub(crate) fn server_ca(&self) -> String {
        std::fs::read_to_string(self.pki.directory().join("server-ca.pem")).unwrap()
    }

    /// What `/who` answers to this client.
    pub(crate) async fn who(&self, client: &Client) -> Result<String, ClientError> {
        let response = self.get(client, "/who").await?;
        Ok(String::from_utf8(response.into_body().to_vec()).unwrap())
    }

    pub(crate) async fn get(&self, client: &Client, path: &str) -> Result<Response<Bytes>, ClientError> {
        client.send(Request::get(self.url(path)).body(Empty::<Bytes>::new()).unwrap()).await
    }

    /// Tells the listener to stop; the task ends when it has.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        self.stop.send(()).unwrap();
        self.task
    }
}

pub(crate) fn settings(pki: &DevelopmentPki) -> config::Tls {
    let file = |name: &str| pki.directory().join(name);
    config::Tls {
        certificate: file("server.pem"),
        key: file("server.key"),
        client_roots: vec![file("client-roots.pem")],
        client_crls: vec![file("crl")],
        allow_development_roots: true,
        allow_test_cards: false,
        issuers: pki.issuers(),
        reload_seconds: 1,
    }
}

pub(crate) fn doctor() -> Holder {
    Holder::Professional {
        ps_id: "801234567897".parse().unwrap(),
        family: "DURANT".to_owned(),
        given: "Romuald".to_owned(),
        profession: 10,
        savoir_faire: vec!["SM26".to_owned()],
    }
}

pub(crate) fn hospital() -> Holder {
    Holder::Organisation {
        struct_id: "1750803447".parse().unwrap(),
        name: "CHU TEST".to_owned(),
        application: "DPI".to_owned(),
    }
}

async fn who(Extension(certificate): Extension<PresentedCertificate>) -> String {
    match &*certificate {
        Ok(certificate) => match &certificate.subject {
            Subject::Person(person) => person.ps_id.to_string(),
            Subject::Employee(employee) => employee.id.to_string(),
            Subject::Organisation(organisation) => organisation.struct_id.to_string(),
        },
        Err(refused) => refused.refusal.rule.code().to_owned(),
    }
}
