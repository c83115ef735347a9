//! A Pro Santé Connect-like provider on a real TLS port, that answers as a test wants it to.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::routing::any;
use axum::{Extension, Router};
use base64_simd::URL_SAFE_NO_PAD;
use carnet::config::Oidc;
use carnet::domain::sha::{Fingerprint, Sha256Hash};
use carnet::tls::client_certificate::ClientCertificate;
use http::{HeaderMap, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::gateway::client_roots;

pub(crate) const CLIENT_ID: &str = "carnet & co";
pub(crate) const SECRET: &str = "s3cret/+";

pub(crate) struct Provider {
    pub(crate) issuer: String,
    port: u16,
    ca: PathBuf,
    secret: PathBuf,
    state: Arc<Mutex<State>>,
    _folder: TempDir,
}

/// A signing key of the provider, or of somebody who would like to be it.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    key: EncodingKey,
}

#[derive(Default)]
struct State {
    /// Path -> what is answered there instead.
    instead: HashMap<&'static str, Answer>,
    keys: Vec<Value>,
    /// Opaque token -> what introspection says.
    opaque: HashMap<String, Value>,
    asked: HashMap<String, usize>,
    last_form: String,
    last_authorization: String,
    last_certificate: Option<Sha256Hash>,
}

#[derive(Clone)]
pub(crate) enum Answer {
    Status(u16),
    Text(String),
    /// The request is taken and never answered.
    Silence,
    Redirect(String),
}

pub(crate) const DISCOVERY: &str = "/auth/.well-known/openid-configuration";
pub(crate) const KEYS: &str = "/auth/certs";
pub(crate) const INTROSPECTION: &str = "/auth/introspect";
pub(crate) const USERINFO: &str = "/auth/userinfo";
/// For clients that show a certificate.
pub(crate) const INTROSPECTION_MTLS: &str = "/auth/mtls/introspect";

impl SigningKey {
    pub(crate) fn rsa(kid: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("RSA key");
        // What stands before the RSAPrivateKey in the PKCS#8 of a key of 2048 bits.
        let key = EncodingKey::from_rsa_der(&pair.serialize_der()[26..]);
        Self { kid: kid.to_owned(), algorithm: Algorithm::RS256, key }
    }

    pub(crate) fn ec(kid: &str) -> Self {
        let pair = KeyPair::generate().expect("P-256 key");
        Self { kid: kid.to_owned(), algorithm: Algorithm::ES256, key: EncodingKey::from_ec_der(&pair.serialize_der()) }
    }

    /// The same key, used otherwise.
    pub(crate) fn with_algorithm(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    pub(crate) fn jwk(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).expect("JWK")).expect("JSON");
        jwk["kid"] = self.kid.as_str().into();
        jwk["use"] = "sig".into();
        jwk
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) }, claims)
    }

    pub(crate) fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.key).expect("token")
    }
}

impl Provider {
    pub(crate) async fn start(keys: &[&SigningKey]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let port = listener.local_addr().expect("address").port();
        let (ca, secret) = (folder.path().join("ca.pem"), folder.path().join("secret"));
        let pair = KeyPair::generate().expect("key");
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).expect("name").self_signed(&pair).expect("certificate");
        std::fs::write(&ca, certificate.pem()).expect("CA file");
        std::fs::write(&secret, format!("{SECRET}\n")).expect("secret file");
        let state = Arc::new(Mutex::new(State::default()));
        let issuer = format!("https://localhost:{port}/auth");
        let provider = Self { issuer, port, ca, secret, state, _folder: folder };
        provider.publish(keys);
        let key = PrivateKeyDer::try_from(pair.serialize_der()).expect("key");
        provider.serve(listener, certificate.der().clone(), key);
        provider
    }

    pub(crate) fn publish(&self, keys: &[&SigningKey]) {
        self.lock().keys = keys.iter().map(|key| key.jwk()).collect();
    }

    pub(crate) fn answer(&self, path: &'static str, instead: Option<Answer>) {
        match instead {
            Some(answer) => self.lock().instead.insert(path, answer),
            None => self.lock().instead.remove(path),
        };
    }

    /// What introspection says of an opaque token.
    pub(crate) fn know(&self, token: &str, claims: Value) {
        self.lock().opaque.insert(token.to_owned(), claims);
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.lock().asked.get(path).copied().unwrap_or_default()
    }

    /// Form and Authorization of the last introspection.
    pub(crate) fn last_question(&self) -> (String, String) {
        let state = self.lock();
        (state.last_form.clone(), state.last_authorization.clone())
    }

    /// Fingerprint of the certificate that came with it.
    pub(crate) fn last_certificate(&self) -> Option<Sha256Hash> {
        self.lock().last_certificate
    }

    /// What a gateway must be told of this provider.
    pub(crate) fn settings(&self) -> Oidc {
        Oidc {
            issuer: self.issuer.clone(),
            audience: vec!["carnet".to_owned()],
            ca: vec![self.ca.clone()],
            timeout_seconds: 1,
            client_id: CLIENT_ID.to_owned(),
            client_secret: self.secret.clone(),
            ..Oidc::default()
        }
    }

    /// The claims of a doctor at the hospital of the tests, for `certificate`.
    pub(crate) fn claims(&self, certificate: &ClientCertificate, now: Timestamp) -> Value {
        let now_s = now.as_second();
        json!({
            "iss": self.issuer, "aud": "carnet", "sub": "f:1:810000000011", "jti": "e1", "typ": "Bearer",
            "iat": now_s, "exp": now_s + 120, "acr": "eidas1",
            "cnf": { "x5t#S256": URL_SAFE_NO_PAD.encode_to_string(certificate.fingerprint.0) },
            "given_name": "Claire", "family_name": "MARTIN", "SubjectNameID": "810000000011",
            "SubjectRole": ["10^1.2.250.1.213.1.1.5.5"], "SubjectOrganization": "HOPITAL DE TEST",
            "SubjectOrganizationID": "1350000899", "Secteur_Activite": "SA01^1.2.250.1.71.4.2.4",
            "Mode_Acces_Raison": "", "Acces_Regulation_Medicale": "FAUX",
            "SubjectRefPro": { "codeCivilite": "MME", "exercices": [{
                "codeProfession": "10", "codeCategorieProfessionnelle": "C", "codeSavoirFaire": "SM54",
                "activities": [{
                    "codeSecteurDactivite": "SA01", "numeroFinessSite": "350000899",
                    "numeroFinessetablissementJuridique": "350000022",
                    "identifiantTechniqueDeLaStructure": "F350000899",
                    "ancienIdentifiantDeLaStructure": "1350000899" }] }] },
        })
    }

    fn serve(&self, listener: TcpListener, certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        let authorities = CertificateDer::pem_file_iter(client_roots()).expect("roots");
        roots.add_parsable_certificates(authorities.map(|authority| authority.expect("PEM")));
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let clients = clients.allow_unauthenticated().build().expect("verifier");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate], key)
            .expect("certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (state, base) = (Arc::clone(&self.state), format!("https://localhost:{}", self.port));
        let router = Router::new().fallback(any(
            move |shown: Extension<Option<Sha256Hash>>, uri: Uri, headers: HeaderMap, body: Bytes| {
                respond(Arc::clone(&state), base.clone(), shown.0, uri, headers, body)
            },
        ));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                    let shown = shown.map(|leaf| Fingerprint::of(leaf).sha256);
                    let service = TowerToHyperService::new(router.layer(Extension(shown)));
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

async fn respond(
    state: Arc<Mutex<State>>,
    base: String,
    shown: Option<Sha256Hash>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path().to_owned();
    let instead = {
        let mut state = state.lock().expect("no panic");
        *state.asked.entry(path.clone()).or_default() += 1;
        if path == INTROSPECTION || path == INTROSPECTION_MTLS {
            state.last_certificate = shown;
            state.last_form = String::from_utf8_lossy(&body).into_owned();
            let text = headers.get("authorization").and_then(|value| value.to_str().ok());
            text.unwrap_or_default().clone_into(&mut state.last_authorization);
        }
        state.instead.get(path.as_str()).cloned()
    };
    let json = |value: &Value| Response::new(Body::from(value.to_string()));
    match instead {
        Some(Answer::Status(status)) => with_status(status),
        Some(Answer::Text(text)) => Response::new(Body::from(text)),
        Some(Answer::Silence) => std::future::pending().await,
        Some(Answer::Redirect(to)) => {
            let mut response = with_status(302);
            response.headers_mut().insert("location", to.parse().expect("address"));
            response
        }
        None if path == DISCOVERY => json(&json!({
            "issuer": format!("{base}/auth"),
            "jwks_uri": format!("{base}{KEYS}"),
            "introspection_endpoint": format!("{base}{INTROSPECTION}"),
            "userinfo_endpoint": format!("{base}{USERINFO}"),
            "mtls_endpoint_aliases": { "introspection_endpoint": format!("{base}{INTROSPECTION_MTLS}") },
        })),
        None if path == KEYS => json(&json!({ "keys": state.lock().expect("no panic").keys })),
        None if path == INTROSPECTION || path == INTROSPECTION_MTLS => {
            let token =
                form_urlencoded::parse(&body).find(|(name, _)| name == "token").map(|(_, token)| token.into_owned());
            let known = state.lock().expect("no panic").opaque.get(&token.unwrap_or_default()).cloned();
            json(&known.unwrap_or_else(|| json!({ "active": false })))
        }
        None => with_status(404),
    }
}

fn with_status(status: u16) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).expect("status");
    response
}
