//! Asks as HTTP requests: written once, then filled with the names that things have in each store.

use std::collections::BTreeSet;

use carnet::cli::message::{Provided, consent, new_oid, provision_for, provision_mask};
use carnet::domain::association::RelationKind;
use carnet::domain::confidentiality::VisibilityLabel;
use carnet::domain::ids::{EntryUuid, LogicalId};
use carnet::domain::ins::Ins;
use http::Method;
use serde_json::{Value, json};

use super::examine::CONTENT;
use super::record::nearest;
use super::request::{Ask, Filter, Name, Target, Way};
use super::world::{Answer, Sent};

/// What a document is called in one store.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) mark: u8,
    pub(super) logical: LogicalId,
    pub(super) entry: EntryUuid,
    /// URN.
    pub(super) unique: String,
    pub(super) set: String,
    /// That it bears since its deposit, its own and those of what it replaced.
    pub(super) labels: BTreeSet<VisibilityLabel>,
}

/// A request with `{target}` where a document is named.
pub(super) struct Template {
    sent: Sent,
    target: Option<(Target, Name)>,
}

impl Template {
    pub(super) fn about(&self, names: &[Named]) -> Sent {
        let mut sent = self.sent.clone();
        let Some((target, name)) = self.target else { return sent };
        let id = match target {
            Target::Nobody => ABSENT.to_owned(),
            Target::Document(mark) => {
                let index = nearest(names.iter().map(|named| named.mark), mark);
                let named = &names[index.expect("a pair has documents")];
                match name {
                    Name::Logical => named.logical.to_string(),
                    Name::Entry => named.entry.to_string(),
                    Name::Unique => named.unique.clone(),
                }
            }
        };
        sent.path = sent.path.replace(TARGET, &id);
        sent.body = sent.body.replace(TARGET, &id);
        sent
    }
}

pub(super) struct Writer<'p> {
    patient: &'p Ins,
}

impl<'p> Writer<'p> {
    pub(super) fn new(patient: &'p Ins) -> Self {
        Self { patient }
    }

    pub(super) fn write(&self, ask: &Ask) -> Template {
        match ask {
            Ask::Search { filters, way, names_patient } => self.search(filters, *way, *names_patient),
            Ask::Read { path, target, head, headers } => {
                let method = if *head { Method::HEAD } else { Method::GET };
                let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
                named(Sent { method, path: format!("/{path}/{TARGET}"), headers, body: String::new() }, *target)
            }
            Ask::Astray { method, path, target } => {
                let path = path.replace("{id}", TARGET);
                let method = method.parse().expect("a method");
                named(Sent { method, path, headers: Vec::new(), body: String::new() }, *target)
            }
            Ask::Existence => unnamed(get(format!("/Patient?identifier={}", self.patient_token()))),
            Ask::ListConsents => unnamed(get(format!("/Consent?patient.identifier={}", self.patient_token()))),
            Ask::Traces { entity } => {
                let of_one = entity.map_or_else(String::new, |_| format!("&entity=DocumentReference/{TARGET}"));
                let path = format!("/AuditEvent?patient.identifier={}{of_one}", self.patient_token());
                Template { sent: get(path), target: entity.map(|target| (target, Name::Logical)) }
            }
            Ask::Mask { target, put, active } => {
                self.list_line(&provision_mask(TARGET), *active, put.then_some(*target), Some(*target))
            }
            Ask::OwnAuthorisation { active, under } => {
                let own = provision_for("permit", &"810000000011".parse().expect("PS_IdNat"));
                self.list_line(&own, *active, *under, *under)
            }
            Ask::Deposit { relation, simplified, supersedes } => self.deposit(*relation, *simplified, *supersedes),
        }
    }

    fn search(&self, filters: &[Filter], way: Way, names_patient: bool) -> Template {
        let mut pairs = Vec::new();
        let mut target = None;
        if names_patient {
            pairs.push(format!("patient.identifier={}", self.patient_token()));
        }
        for filter in filters {
            match filter {
                Filter::Text(text) => pairs.push(text.clone()),
                // One name of a document is enough for one search.
                Filter::Id(_) | Filter::Identifier(..) if target.is_some() => {}
                Filter::Id(named) => {
                    target = Some((*named, Name::Logical));
                    pairs.push(format!("_id={TARGET}"));
                }
                Filter::Identifier(named, name) => {
                    target = Some((*named, *name));
                    let urn = if *name == Name::Unique { "" } else { "urn:uuid:" };
                    pairs.push(format!("identifier={urn}{TARGET}"));
                }
            }
        }
        if way == Way::GetXml {
            pairs.push("_format=xml".to_owned());
        }
        let query = pairs.join("&");
        let sent = match way {
            Way::Get | Way::GetXml => get(format!("/DocumentReference?{query}")),
            Way::Head => Sent { method: Method::HEAD, ..get(format!("/DocumentReference?{query}")) },
            Way::Post => post("/DocumentReference/_search", "application/x-www-form-urlencoded", query),
        };
        Template { sent, target }
    }

    fn list_line(&self, provision: &Value, active: bool, under: Option<Target>, target: Option<Target>) -> Template {
        let mut line = consent(self.patient, provision);
        line["status"] = if active { "active".into() } else { "inactive".into() };
        let path = if under.is_some() { format!("/Consent/{TARGET}") } else { "/Consent".to_owned() };
        let sent = post(&path, FHIR_JSON, line.to_string());
        let method = if under.is_some() { Method::PUT } else { Method::POST };
        Template { sent: Sent { method, ..sent }, target: target.map(|target| (target, Name::Logical)) }
    }

    fn deposit(&self, relation: Option<(RelationKind, Target, Name)>, simplified: bool, supersedes: bool) -> Template {
        let patched = matches!(relation, Some((RelationKind::Replaces, _, Name::Logical))) && supersedes;
        let provided = Provided {
            patient: self.patient,
            unique_id: &new_oid(),
            type_code: ("2.16.840.1.113883.6.1", "11490-0"),
            title: "Lettre numérisée",
            mime_type: "application/pdf",
            content: CONTENT,
            replaces: patched.then_some(TARGET),
        };
        let mut message = if simplified { provided.simplified() } else { provided.bundle() };
        let reference = if simplified { &mut message } else { &mut message["entry"][1]["resource"] };
        complete(reference);
        if let (Some((kind, _, name)), false) = (relation, patched) {
            let target = match name {
                Name::Logical => json!({ "reference": format!("DocumentReference/{TARGET}") }),
                Name::Entry => json!({ "reference": format!("urn:uuid:{TARGET}") }),
                Name::Unique => json!({ "identifier": { "system": "urn:ietf:rfc:3986", "value": TARGET } }),
            };
            reference["relatesTo"] = json!([{ "code": kind.code(), "target": target }]);
        }
        let sent = post(if simplified { "/DocumentReference" } else { "" }, FHIR_JSON, message.to_string());
        Template { sent, target: relation.map(|(_, target, name)| (target, name)) }
    }

    fn patient_token(&self) -> String {
        format!("urn:oid:{}%7C{}", self.patient.authority().oid(), self.patient.matricule())
    }
}

/// What a scanned letter has no header to say.
fn complete(reference: &mut Value) {
    let code = |system: &str, code: &str| json!({ "coding": [{ "system": system, "code": code }] });
    let who = json!({ "system": "urn:oid:1.2.250.1.71.4.2.1", "value": "899700000016" });
    reference["author"] = json!([{ "type": "Practitioner", "identifier": who }]);
    reference["context"] = json!({
        "facilityType": code("urn:oid:1.2.250.1.71.4.2.4", "SA01"),
        "practiceSetting": code("urn:oid:1.2.250.1.213.1.1.4.9", "ETABLISSEMENT")
    });
    reference["content"][0]["attachment"]["creation"] = "2026-03-02T10:00:00+01:00".into();
}

/// The next page of a search, as the answer links it.
pub(super) fn next_page(sent: &Sent, answer: &Answer) -> Option<Sent> {
    let json: Value = serde_json::from_slice(&answer.body).ok()?;
    let links = json["link"].as_array()?;
    let next = links.iter().find(|link| link["relation"] == "next")?["url"].as_str()?;
    let (_, path) = next.split_once("/fhir/")?;
    Some(Sent { method: Method::GET, path: format!("/{path}"), headers: sent.headers.clone(), body: String::new() })
}

fn get(path: String) -> Sent {
    Sent { method: Method::GET, path, headers: Vec::new(), body: String::new() }
}

fn post(path: &str, content_type: &str, body: String) -> Sent {
    let headers = vec![("content-type", content_type.to_owned())];
    Sent { method: Method::POST, path: path.to_owned(), headers, body }
}

fn named(sent: Sent, target: Target) -> Template {
    Template { sent, target: Some((target, Name::Logical)) }
}

fn unnamed(sent: Sent) -> Template {
    Template { sent, target: None }
}

const TARGET: &str = "{target}";
const ABSENT: &str = "00000000-0000-7000-8000-000000000000";
const FHIR_JSON: &str = "application/fhir+json";
