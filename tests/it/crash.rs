//! kill -9 during a storm of deposits: what was acknowledged is there and whole, the journal verifies.
//!
//! Short by default; `CARNET_CRASH_ROUNDS=20` for the long form.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use carnet::clock::Clock;
use carnet::config::Config;
use carnet::journal::verify::Verdict;
use carnet::operation::gateway::Gateway;
use carnet::tls::development_pki::{DevelopmentPki, Holder, KeyUse};
use http::StatusCode;
use tokio::sync::Mutex;

use super::support::gateway::{PATIENT, free_address, patient};
use super::support::{Caller, Document};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill_whole() {
    let rounds = std::env::var_os("CARNET_CRASH_ROUNDS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(2);
    let folder = tempfile::tempdir().expect("folder");
    let (hospital, reader) = set_up(folder.path()).await;
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    for round in 0..rounds {
        let mut server = start(folder.path()).await;
        let storm: Vec<_> =
            (0..8).map(|_| tokio::spawn(deposit_until_killed(hospital.again(), Arc::clone(&acknowledged)))).collect();
        // Another moment in each round: some in the middle of a commit, some between two.
        wait_for(&acknowledged, (round + 1) * 20).await;
        server.kill().expect("kill -9");
        server.wait().expect("gone");
        for deposits in storm {
            deposits.await.expect("storm");
        }
        check(folder.path(), &acknowledged.lock().await).await;
    }
    let mut server = start(folder.path()).await;
    for (id, content) in acknowledged.lock().await.iter() {
        let read = reader.read_in_emergency(id).await;
        assert_eq!(read.status, StatusCode::OK, "{id} was acknowledged");
        assert!(read.body == *content, "{id} is not whole");
    }
    let found = hospital.search("&_count=1").await.json();
    server.kill().expect("kill");
    server.wait().expect("gone");
    // What was under way when the server died may be there as well, whole.
    assert!(found["total"].as_u64() >= Some(acknowledged.lock().await.len() as u64));
}

type Acknowledged = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

async fn deposit_until_killed(hospital: Caller, acknowledged: Acknowledged) {
    loop {
        let document = Document::blood_test();
        let Some(answer) = hospital.try_deposit(&document).await else { return };
        if let Some(id) = answer.created_document() {
            acknowledged.lock().await.push((id, document.content));
        }
    }
}

/// Waits until the storm has had `count` deposits acknowledged: a condition, not a time.
async fn wait_for(acknowledged: &Acknowledged, count: usize) {
    let reached = async {
        while acknowledged.lock().await.len() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), reached).await.expect("the storm deposits");
}

/// The database as the crash left it, opened by itself.
async fn check(folder: &Path, acknowledged: &[(String, Vec<u8>)]) {
    let config = Config::load(Some(&folder.join("carnet.toml")), std::iter::empty()).expect("configuration");
    let gateway = Gateway::open(Arc::new(config), Clock::System).await.expect("the database opens");
    let verdict = gateway.verify_journal().await.expect("journal");
    assert!(matches!(verdict, Verdict::Intact { .. }), "{verdict:?}");
    let lines = gateway.list_journal(Some(&patient()), 0, u32::MAX).await.expect("lines");
    let journaled: std::collections::HashSet<_> =
        lines.iter().flat_map(|(_, event)| &event.entries).map(|entry| entry.document.clone()).collect();
    for (id, _) in acknowledged {
        assert!(journaled.contains(id), "{id} has no journal line");
    }
}

pub(crate) async fn set_up(folder: &Path) -> (Caller, Caller) {
    let pki = DevelopmentPki::create(&folder.join("certs"), Clock::System).expect("PKI");
    let hospital = Holder::Organisation {
        struct_id: "1350000899".parse().expect("Struct_IdNat"),
        name: "HOPITAL DE TEST".to_owned(),
        application: "TEST".to_owned(),
    };
    let reader = Holder::Professional {
        ps_id: "810000000011".parse().expect("PS_IdNat"),
        family: "MARTIN".to_owned(),
        given: "Claire".to_owned(),
        profession: 10,
        savoir_faire: vec!["SM54".to_owned()],
    };
    let issue = |holder| pki.issue(holder, KeyUse::Auth, pki.usual_lifetime()).expect("certificate");
    let issued = [issue(&hospital), issue(&reader)];
    let (professionals, operators) = (free_address(), free_address());
    let text = format!(
        "[listen]\nprofessionals = \"{professionals}\"\noperators = \"{operators}\"\npublic_url = \"https://localhost:{}\"\n\
         [tls]\nallow_development_roots = true\n[store]\nfree_bytes_min = 0\n[dmp]\nins_domains = [\"test\"]\n[log]\nfilter = \"error\"\n",
        professionals.port()
    );
    let config_path = folder.join("carnet.toml");
    std::fs::write(&config_path, text).expect("configuration");
    let config = Config::load(Some(&config_path), std::iter::empty()).expect("configuration");
    // Paths of the PKI are those of the defaults, relative to the file.
    assert!(config.tls.certificate.exists());
    let gateway = Gateway::open(Arc::new(config), Clock::System).await.expect("gateway");
    gateway.open_dossier(&PATIENT.parse().expect("INS")).await.expect("record opens");
    let server_ca = std::fs::read_to_string(folder.join("certs/server-ca.pem")).expect("server CA");
    let base = format!("https://localhost:{}/fhir", professionals.port());
    let caller = |id, issued| Caller::new(id, &server_ca, issued, base.clone());
    (caller("1350000899", &issued[0]), caller("810000000011", &issued[1]))
}

/// The real program, as an operator starts it; returns once it is ready.
pub(crate) async fn start(folder: &Path) -> Child {
    let config = Config::load(Some(&folder.join("carnet.toml")), std::iter::empty()).expect("configuration");
    let child = Command::new(env!("CARGO_BIN_EXE_carnet"))
        .args(["serve", "--config"])
        .arg(folder.join("carnet.toml"))
        .stdin(Stdio::null())
        .spawn()
        .expect("carnet serve");
    let ready = async {
        while tokio::net::TcpStream::connect(config.listen.professionals).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ready).await.expect("carnet serve listens");
    child
}
