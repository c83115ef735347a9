//! What the demo needs before anything happens: a folder, a PKI, open records, a gateway that serves.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::cast::CAST;
use crate::app::{App, Running};
use crate::cli::client::{Client, Identity};
use crate::cli::say;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::ins::Ins;
use crate::tls::development_pki::{DevelopmentPki, KeyUse};

/// A running gateway with callers at the ready.
pub(super) struct Stage {
    pub(super) folder: PathBuf,
    pub(super) base: String,
    pub(super) patient: Ins,
    pub(super) running: Running,
    clients: BTreeMap<&'static str, Client>,
    serials: BTreeMap<&'static str, String>,
    server_ca: String,
    /// What was deposited, for `demo.json`.
    pub(super) deposited: Vec<Value>,
}

/// An answer, read.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// The fictitious patient of the tour, under the demonstration authority.
const PATIENT: &str = "1.2.250.1.213.1.4.11|258033523804237";
/// The national agency's test patient: its published examples can be deposited right away.
const TEST_PATIENT: &str = "1.2.250.1.213.1.4.10|279035121518989";

impl Stage {
    pub(super) async fn set(folder: &Path) -> anyhow::Result<Self> {
        let pki = DevelopmentPki::create(&folder.join("certs"), Clock::System)?;
        let clients_folder = folder.join("certs/clients");
        std::fs::create_dir_all(&clients_folder).context("make the folder of client certificates")?;
        let server_ca = std::fs::read_to_string(folder.join("certs/server-ca.pem")).context("read server-ca.pem")?;
        let (mut clients, mut serials) = (BTreeMap::new(), BTreeMap::new());
        for member in &CAST {
            let issued = pki.issue(&member.holder()?, KeyUse::Auth, pki.usual_lifetime())?;
            issued.write(&clients_folder.join(member.name))?;
            let identity = Identity::Certificate { chain_pem: &issued.certificate_pem, key_pem: &issued.key_pem };
            clients.insert(member.name, Client::new(&server_ca, identity)?);
            serials.insert(member.name, issued.serial);
        }
        let config_path = folder.join("carnet.toml");
        std::fs::write(&config_path, configuration(free_address(8443)?, free_address(9464)?))
            .context("write carnet.toml")?;
        let config = Config::load(Some(&config_path), std::iter::empty())?;
        let base = format!("{}/fhir", config.listen.public_url);
        let running = App::start(Arc::new(config), Clock::System).await?;
        let patient: Ins = PATIENT.parse().context("the demo patient")?;
        let test_patient: Ins = TEST_PATIENT.parse().context("the test patient")?;
        for ins in [&patient, &test_patient] {
            running.gateway.open_dossier(ins).await?;
        }
        let folder = folder.to_owned();
        let stage = Self { folder, base, patient, running, clients, serials, server_ca, deposited: Vec::new() };
        stage.write_summary()?;
        Ok(stage)
    }

    pub(super) fn client(&self, name: &str) -> anyhow::Result<&Client> {
        self.clients.get(name).with_context(|| format!("{name} is not in the cast"))
    }

    /// A client that shows no certificate.
    pub(super) fn anonymous(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.server_ca, Identity::Anonymous)?)
    }

    pub(super) async fn send(
        &self,
        name: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let content = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if body.is_some() {
            request = request.header("content-type", "application/fhir+json");
        }
        self.ask(name, request.body(Full::new(Bytes::from(content)))?).await
    }

    pub(super) async fn get(&self, name: &str, path: &str) -> anyhow::Result<Answer> {
        self.send(name, Method::GET, path, None).await
    }

    /// A read with headers that say why, or for whom.
    pub(super) async fn get_stating(&self, name: &str, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut request = Request::get(format!("{}{path}", self.base));
        for (header, value) in headers {
            request = request.header(*header, *value);
        }
        self.ask(name, request.body(Full::new(Bytes::new()))?).await
    }

    async fn ask(&self, name: &str, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let response: Response<Bytes> = self.client(name)?.send(request).await?;
        Ok(Answer { status: response.status(), body: response.into_body() })
    }

    pub(super) async fn post(&self, name: &str, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(name, Method::POST, path, Some(body)).await
    }

    /// `demo.json`: everything another client needs to go on from here.
    pub(super) fn write_summary(&self) -> anyhow::Result<()> {
        let callers = CAST.iter().map(|member| {
            let file = |extension: &str| format!("certs/clients/{}.{extension}", member.name);
            json!({
                "name": member.name,
                "role": member.role,
                "kind": if member.is_professional() { "professional" } else { "organisation" },
                "id": member.id,
                "certificate": file("pem"),
                "key": file("key"),
                "serial": self.serials.get(member.name),
            })
        });
        let record = |ins: &str| {
            let (oid, matricule) = ins.split_once('|').unwrap_or_default();
            json!({ "ins": matricule, "oid": oid, "token": format!("urn:oid:{oid}|{matricule}") })
        };
        let summary = json!({
            "base_url": self.base,
            "professionals": self.running.professionals.to_string(),
            "operators": format!("http://{}", self.running.operators),
            "config": "carnet.toml",
            "server_ca": "certs/server-ca.pem",
            "callers": callers.collect::<Vec<_>>(),
            "records": [record(PATIENT), record(TEST_PATIENT)],
            "deposited": self.deposited,
        });
        let text = serde_json::to_string_pretty(&summary)?;
        std::fs::write(self.folder.join("demo.json"), text + "\n").context("write demo.json")
    }

    pub(super) fn print_what_to_try(&self) {
        let certs = self.folder.join("certs");
        let bundle = self.folder.join("bundle.json");
        let curl = |name: &str, rest: &str| {
            let certs = certs.display();
            say(&format!(
                "  curl --cacert {certs}/server-ca.pem --cert {certs}/clients/{name}.pem --key {certs}/clients/{name}.key \\\n    {rest}"
            ));
        };
        let token = format!("urn:oid:{}%7C{}", self.patient.authority().oid(), self.patient.matricule());
        say("\nTry it yourself:");
        curl("martin", &format!("'{}/DocumentReference?patient.identifier={token}&status=current'", self.base));
        curl("bernard", &format!("'{}/DocumentReference?patient.identifier={token}&status=current'", self.base));
        if let Some(id) = self.deposited.first().and_then(|deposit| deposit["id"].as_str()) {
            curl("petit", &format!("'{}/Binary/{id}'", self.base));
        }
        let post = format!("-H 'Content-Type: application/fhir+json' --data-binary @{}", bundle.display());
        curl("hospital", &format!("{post} '{}'", self.base));
        say(&format!("  carnet journal show --config {}/carnet.toml", self.folder.display()));
        say(&format!("  curl http://{}/metrics", self.running.operators));
    }

    /// Stops the gateway; requests in flight finish.
    pub(super) async fn strike(self) -> anyhow::Result<()> {
        Ok(self.running.stop().await?)
    }
}

/// The usual port when it is free, else any: two demos may run side by side.
fn free_address(usual: u16) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", usual)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)));
    Ok(listener.context("find a free port")?.local_addr()?)
}

fn configuration(professionals: SocketAddr, operators: SocketAddr) -> String {
    let port = professionals.port();
    format!(
        r#"# Written by `carnet demo`. The PKI beside it is for development only.
[listen]
professionals = "{professionals}"
operators = "{operators}"
public_url = "https://localhost:{port}"

[tls]
certificate = "certs/server.pem"
key = "certs/server.key"
client_roots = ["certs/client-roots.pem"]
client_crls = ["certs/crl/"]
allow_development_roots = true
reload_seconds = 1

[tls.issuers]
person = ["certs/ca/personnes.pem"]
employee = ["certs/ca/personnes.pem"]
organisation = ["certs/ca/organisations.pem"]

[store]
database = "sqlite:carnet.db"

[dmp]
ins_domains = ["demo", "test"]

[dmp.structure_classes]
2990000045 = "patient_portal"
2990000052 = "insurer"

[log]
filter = "warn"
"#
    )
}
