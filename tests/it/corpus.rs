//! Every CDA example of the national agency, deposited and given back bit for bit, or refused for its INS.
//!
//! The examples are other people's work: read from `../shared/corpus/cda` (or `CARNET_SHARED`), skipped without it.

use std::path::PathBuf;

use carnet::cli::message::Provided;
use carnet::config::InsDomain;
use carnet::domain::ids::UniqueId;
use carnet::domain::ins::Ins;
use http::StatusCode;

use super::support::caller::search_path;
use super::support::{Caller, TestGateway};

/// The only examples that are refused: their INS fails its key (221042545611404, 223042545611404, 222127505611201).
const WRONG_INS: [&str; 6] = [
    "CSE-CS24_2024.01.xml",
    "CSE-CS24_2025.01.xml",
    "CSE-CS8_2024.01.xml",
    "CSE-CS8_2025.01.xml",
    "CSE-MDE_2023.01.xml",
    "OBP-SNE_2024.01.xml",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_published_example_is_taken_in_and_given_back_or_refused_for_its_ins() {
    let Some(files) = examples() else {
        eprintln!("skipped: no corpus of CDA examples here");
        return;
    };
    let gateway = TestGateway::builder()
        .configured(|config| config.dmp.ins_domains = vec![InsDomain::Test, InsDomain::Production])
        .start()
        .await;
    for ins in ["1.2.250.1.213.1.4.8|277076322082910"] {
        gateway.gateway().open_dossier(&ins.parse().expect("INS")).await.expect("record opens");
    }
    let (hospital, reader) = (gateway.hospital(), gateway.doctor("810000000011"));
    let mut taken = 0;
    for file in &files {
        let name = file.file_name().expect("name").to_string_lossy().into_owned();
        let content = std::fs::read(file).expect("example");
        if WRONG_INS.contains(&name.as_str()) {
            is_refused_for_its_ins(&hospital, &name, &content).await;
        } else {
            comes_back_as_it_was(&hospital, &reader, &name, &content).await;
            taken += 1;
        }
    }
    assert_eq!(taken, files.len() - WRONG_INS.len());
}

async fn comes_back_as_it_was(hospital: &Caller, reader: &Caller, name: &str, content: &[u8]) {
    let facts = Facts::read(content);
    let patient: Ins = format!("{}|{}", facts.ins_oid, facts.ins).parse().expect("INS");
    let unique_id: UniqueId = facts.id.parse().expect("uniqueId");
    let answer = hospital.post_json("", &provided(&patient, &unique_id, &facts, content).bundle()).await;
    assert_eq!(answer.status, StatusCode::OK, "{name}: {}", answer.text());
    let id = answer.created_document().expect("id");

    let read = reader.read_in_emergency(&id).await;
    assert_eq!(read.status, StatusCode::OK, "{name}");
    assert!(read.body == content, "{name}: other bytes came back");

    let found = hospital.get(&search_path(&patient, &format!("&identifier=urn:oid:{}", facts.id))).await.json();
    let resource = &found["entry"][0]["resource"];
    assert_eq!(resource["id"], id, "{name}");
    assert_eq!(resource["type"]["coding"][0]["code"], facts.type_code, "{name}");
    let attachment = &resource["content"][0]["attachment"];
    assert_eq!(attachment["size"], content.len(), "{name}");
    assert_eq!(attachment["title"], facts.title, "{name}");
    assert_eq!(attachment["creation"], facts.creation, "{name}");
}

async fn is_refused_for_its_ins(hospital: &Caller, name: &str, content: &[u8]) {
    let facts = Facts::read(content);
    let unique_id: UniqueId = facts.id.parse().expect("uniqueId");
    let patient: Ins = super::support::gateway::PATIENT.parse().expect("INS");
    let mut bundle = provided(&patient, &unique_id, &facts, content).bundle();
    // What a client that trusts the document would send.
    for entry in 0..2 {
        let identifier = &mut bundle["entry"][entry]["resource"]["subject"]["identifier"];
        identifier["value"] = facts.ins.clone().into();
        identifier["system"] = format!("urn:oid:{}", facts.ins_oid).into();
    }
    let answer = hospital.post_json("", &bundle).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {}", answer.text());
    assert!(answer.rules().iter().all(|rule| rule == "ins-key"), "{name}: {}", answer.text());
    assert!(!answer.text().contains(&facts.ins), "{name}: the INS is quoted in full");
}

fn provided<'a>(patient: &'a Ins, unique_id: &'a UniqueId, facts: &'a Facts, content: &'a [u8]) -> Provided<'a> {
    Provided {
        patient,
        unique_id,
        type_code: (&facts.type_system, &facts.type_code),
        title: &facts.title,
        mime_type: "text/xml",
        content,
        replaces: None,
    }
}

/// Facts of an example, read by other means than the gateway's own reader.
struct Facts {
    id: String,
    type_code: String,
    type_system: String,
    title: String,
    ins: String,
    ins_oid: String,
    creation: String,
}

impl Facts {
    fn read(content: &[u8]) -> Self {
        let text = String::from_utf8(content.to_vec()).expect("UTF-8");
        // Two examples bind the CDA namespace to a prefix.
        let text = without_comments(&text).replace("<c:", "<").replace("</c:", "</");
        let document = &text[text.find("<ClinicalDocument").expect("a CDA")..];
        let patient_role = between(document, "<patientRole", "<patient");
        let id = elements(patient_role, "id")
            .find(|id| attribute(id, "root").starts_with("1.2.250.1.213.1.4."))
            .expect("INS");
        let code = element(document, "code");
        let effective = attribute(element(document, "effectiveTime"), "value");
        Self {
            id: attribute(element(document, "id"), "root"),
            type_code: attribute(code, "code"),
            type_system: attribute(code, "codeSystem"),
            title: unescaped(between(document, "<title>", "</title>").trim()),
            ins: attribute(id, "extension"),
            ins_oid: attribute(id, "root"),
            creation: carnet::domain::dtm::Dtm::from_hl7(&effective).expect("effectiveTime").to_fhir(),
        }
    }
}

fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("<!--") {
        kept.push_str(&rest[..start]);
        rest = &rest[start..];
        rest = rest.find("-->").map_or("", |end| &rest[end + 3..]);
    }
    kept + rest
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let from = text.find(start).expect("start") + start.len();
    let until = text[from..].find(end).expect("end");
    &text[from..from + until]
}

fn element<'t>(text: &'t str, name: &str) -> &'t str {
    elements(text, name).next().expect("element")
}

fn elements<'t>(text: &'t str, name: &str) -> impl Iterator<Item = &'t str> {
    let opening = format!("<{name} ");
    let starts: Vec<usize> = text.match_indices(&opening).map(|(at, _)| at).collect();
    starts.into_iter().map(move |at| &text[at..at + text[at..].find('>').expect("tag end")])
}

fn attribute(tag: &str, name: &str) -> String {
    let named = tag.split_whitespace().find_map(|part| part.strip_prefix(name)?.strip_prefix("=\""));
    named.map_or_else(String::new, |rest| rest.split('"').next().unwrap_or_default().to_owned())
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&apos;", "'").replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&amp;", "&").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn examples() -> Option<Vec<PathBuf>> {
    let shared = std::env::var_os("CARNET_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let entries = std::fs::read_dir(shared.join("corpus/cda")).ok()?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "xml"));
    files.sort();
    Some(files)
}
