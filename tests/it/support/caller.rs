//! One caller with a certificate: what they do reads like the field speaks.

use bytes::Bytes;
use carnet::cli::client::{Client, Identity};
use carnet::cli::message;
use carnet::domain::ins::Ins;
use carnet::tls::client_certificate::ClientCertificate;
use carnet::tls::development_pki::Issued;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::Document;
use super::gateway::patient;

pub(crate) struct Caller {
    pub(crate) id: String,
    pub(crate) client: Client,
    base: String,
    server_ca: String,
    certificate_pem: String,
    key_pem: String,
    /// Headers of every request: the session of a portal.
    session: Vec<(&'static str, String)>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Caller {
    pub(crate) fn new(id: &str, server_ca: &str, issued: &Issued, base: String) -> Self {
        let identity = Identity::Certificate { chain_pem: &issued.certificate_pem, key_pem: &issued.key_pem };
        Self {
            id: id.to_owned(),
            client: Client::new(server_ca, identity).expect("client"),
            base,
            server_ca: server_ca.to_owned(),
            certificate_pem: issued.certificate_pem.clone(),
            key_pem: issued.key_pem.clone(),
            session: Vec::new(),
        }
    }

    /// The same portal with somebody before it: `patient`, `legal_representative ID`, `aidant ID`.
    pub(crate) fn on_behalf_of(mut self, patient: &Ins, user: &str) -> Self {
        let token = format!("urn:oid:{}|{}", patient.authority().oid(), patient.matricule());
        self.session = vec![("x-on-behalf-of", token), ("x-portal-user", user.to_owned())];
        self
    }

    /// "Connexion secrète" (J64).
    pub(crate) fn in_secret(mut self) -> Self {
        self.session.push(("x-secret-connection", "true".to_owned()));
        self
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in &self.session {
            request = request.header(*name, value);
        }
        let response = self.client.send(request.body(Full::new(body.into())).expect("request")).await.expect("answer");
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// What this caller shows of themselves.
    pub(crate) fn certificate(&self) -> ClientCertificate {
        let leaf = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).expect("PEM");
        ClientCertificate::from_der(&leaf).expect("a client certificate")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// A document of whichever record, by breaking the glass: what a professional without any right may.
    pub(crate) async fn read_in_emergency(&self, document: &str) -> Answer {
        let emergency = [("x-purpose-of-use", "bris_de_glace"), ("x-access-reason", "inconscient")];
        self.send(Method::GET, &format!("/Binary/{document}"), &emergency, "").await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/fhir+json")];
        self.send(Method::POST, path, &headers, body.to_string()).await
    }

    /// ITI-65.
    pub(crate) async fn deposit(&self, document: &Document) -> Answer {
        self.post_json("", &document.bundle()).await
    }

    /// The same caller, for another task.
    pub(crate) fn again(&self) -> Self {
        Self {
            id: self.id.clone(),
            client: self.client.clone(),
            base: self.base.clone(),
            server_ca: self.server_ca.clone(),
            certificate_pem: self.certificate_pem.clone(),
            key_pem: self.key_pem.clone(),
            session: self.session.clone(),
        }
    }

    /// A connection of HTTP/1.1 to be written on by hand.
    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        self.client.connect(&self.base.parse().expect("URL")).await.expect("connection")
    }

    /// ITI-65 whose length is not announced.
    pub(crate) async fn send_in_chunks(&self, body: &str) -> Answer {
        let pieces: Vec<_> = body.as_bytes().chunks(64 * 1024).map(Bytes::copy_from_slice).collect();
        let frames =
            futures_util::stream::iter(pieces.into_iter().map(|piece| Ok::<_, std::io::Error>(Frame::data(piece))));
        let request = Request::post(self.base.as_str()).header("content-type", "application/fhir+json");
        let request = request.body(StreamBody::new(frames)).expect("request");
        let (parts, body) = self.client.send(request).await.expect("answer").into_parts();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// An HTTP/2 POST.
    pub(crate) async fn send_over_http2(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let identity = Identity::Certificate { chain_pem: &self.certificate_pem, key_pem: &self.key_pem };
        let mut config = Client::config(&self.server_ca, identity, rustls::ALL_VERSIONS).expect("TLS settings");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = Client::with_config(config).connect(&self.base.parse().expect("URL")).await.expect("connection");
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.expect("HTTP/2");
        tokio::spawn(connection);
        let mut request = Request::post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("request");
        let (parts, body) = sender.send_request(request).await.expect("answer").into_parts();
        Answer { status: parts.status, headers: parts.headers, body: body.collect().await.expect("body").to_bytes() }
    }

    /// ITI-65 against a server that may be gone: `None` when no answer came.
    pub(crate) async fn try_deposit(&self, document: &Document) -> Option<Answer> {
        let request = Request::post(self.base.as_str()).header("content-type", "application/fhir+json");
        let request = request.body(Full::new(Bytes::from(document.bundle().to_string()))).expect("request");
        let (parts, body) = self.client.send(request).await.ok()?.into_parts();
        Some(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// ITI-65 that must succeed: the id of the DocumentReference.
    pub(crate) async fn deposited(&self, document: &Document) -> String {
        let answer = self.deposit(document).await;
        answer.created_document().unwrap_or_else(|| panic!("deposit refused: {}", answer.text()))
    }

    /// ITI-67 over the record of the tests' patient.
    pub(crate) async fn search(&self, more: &str) -> Answer {
        self.get(&search_path(&patient(), more)).await
    }

    /// Ids that a search lists.
    pub(crate) async fn found(&self, more: &str) -> Vec<String> {
        let answer = self.search(more).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.entry_ids()
    }

    /// TD0.3.
    pub(crate) async fn declare_authorisation(&self, patient: &Ins) {
        let ps = self.id.parse().expect("PS_IdNat");
        let consent = message::consent(patient, &message::provision_for("permit", &ps));
        let answer = self.post_json("/Consent", &consent).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    }

    /// By the patient's portal.
    pub(crate) async fn block(&self, ps: &str) {
        let ps = ps.parse().expect("PS_IdNat");
        let consent = message::consent(&patient(), &message::provision_for("deny", &ps));
        let answer = self.post_json("/Consent", &consent).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    }

    /// By the patient's portal: ends the block.
    pub(crate) async fn unblock(&self, ps: &str) {
        let ps = ps.parse().expect("PS_IdNat");
        self.end(&message::provision_for("deny", &ps)).await;
    }

    /// By the patient's portal.
    pub(crate) async fn mask(&self, document: &str) {
        let consent = message::consent(&patient(), &message::provision_mask(document));
        let answer = self.post_json("/Consent", &consent).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    }

    /// By the patient's portal.
    pub(crate) async fn unmask(&self, document: &str) {
        self.end(&message::provision_mask(document)).await;
    }

    async fn end(&self, provision: &Value) {
        let mut consent = message::consent(&patient(), provision);
        consent["status"] = "inactive".into();
        let answer = self.post_json("/Consent", &consent).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    }
}

pub(crate) fn search_path(patient: &Ins, more: &str) -> String {
    let token = format!("urn:oid:{}%7C{}", patient.authority().oid(), patient.matricule());
    format!("/DocumentReference?patient.identifier={token}{more}")
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Code of the first broken rule of an OperationOutcome.
    pub(crate) fn rule(&self) -> String {
        self.rules().into_iter().next().unwrap_or_default()
    }

    /// Codes of all broken rules.
    pub(crate) fn rules(&self) -> Vec<String> {
        let body = self.json();
        assert_eq!(body["resourceType"], "OperationOutcome", "{body}");
        let issues = body["issue"].as_array().cloned().unwrap_or_default();
        let code = |issue: &Value| {
            let codings = issue["details"]["coding"].as_array()?;
            let ours = codings.iter().find(|coding| coding["system"] == "urn:carnet:rule")?;
            ours["code"].as_str().map(str::to_owned)
        };
        issues.iter().filter_map(code).collect()
    }

    /// Id of the DocumentReference that an ITI-65 answer tells of.
    pub(crate) fn created_document(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        let locations = body["entry"].as_array()?.iter().filter_map(|entry| entry["response"]["location"].as_str());
        let location = locations.into_iter().find_map(|location| location.split("DocumentReference/").nth(1))?;
        Some(location.split('/').next()?.to_owned())
    }

    pub(crate) fn entry_ids(&self) -> Vec<String> {
        let body = self.json();
        let entries = body["entry"].as_array().cloned().unwrap_or_default();
        entries.iter().filter_map(|entry| entry["resource"]["id"].as_str().map(str::to_owned)).collect()
    }

    /// The body without what names this answer alone.
    pub(crate) fn without_id(&self) -> Value {
        let mut body = self.json();
        body.as_object_mut().map(|body| body.remove("id"));
        body
    }
}
