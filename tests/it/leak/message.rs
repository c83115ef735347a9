//! Asks as HTTP requests: written once, then filled with the names that things have in each store.

use carnet::cli::message::{Provided, consent, new_oid, provision_for, provision_mask};
use carnet::domain::association::RelationKind;
use carnet::domain::confidentiality::{VISIBILITY_OID, VisibilityLabel};
use carnet::domain::ids::{EntryUuid, LogicalId};
use carnet::domain::ins::Ins;
use carnet::domain::national_id::{PS_ID_NAT_OID, STRUCT_ID_NAT_OID};
use carnet::operation::outcome::label_id;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::support::xml::xml_of;
use super::outsider::{HOSPITAL, Who};
use super::plot::CONTENT;
use super::record::nearest;
use super::request::{Ask, Filter, Name, Searched, Target, Way};
use super::world::{Answer, MEDECIN_TRAITANT, Sent};

/// What a document is called in one store.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) mark: u8,
    pub(super) logical: LogicalId,
    pub(super) entry: EntryUuid,
    /// URN.
    pub(super) unique: String,
    pub(super) set: String,
}

/// A request with `{id}` where a document is named, and the code of a label in its place for the Consent of that.
pub(super) struct Template {
    sent: Sent,
    target: Option<(Target, Name)>,
}

impl Template {
    pub(super) fn about(&self, names: &[Named]) -> Sent {
        let mut sent = self.sent.clone();
        let Some((target, name)) = self.target else { return sent };
        let named = match target {
            Target::Nobody => None,
            Target::Document(mark) => nearest(names.iter().map(|named| named.mark), mark).map(|index| &names[index]),
        };
        let absent = || ABSENT.to_owned();
        let id = named.map_or_else(absent, |named| match name {
            Name::Logical => named.logical.to_string(),
            Name::Entry => named.entry.to_string(),
            Name::Unique => named.unique.clone(),
        });
        sent.path = sent.path.replace(TARGET, &id);
        sent.body = sent.body.replace(TARGET, &id);
        for label in VisibilityLabel::ALL {
            let id = named.map_or_else(absent, |named| label_id(named.logical, label).to_string());
            sent.path = sent.path.replace(&place_of(label), &id);
        }
        sent
    }
}

fn place_of(label: VisibilityLabel) -> String {
    format!("{{{}}}", label.code())
}

pub(super) struct Writer<'p> {
    patient: &'p Ins,
    who: Who,
    /// Of the record, and when half of it was there.
    start: Timestamp,
    later: Timestamp,
}

impl<'p> Writer<'p> {
    pub(super) fn new(patient: &'p Ins, who: Who, start: Timestamp, later: Timestamp) -> Self {
        Self { patient, who, start, later }
    }

    pub(super) fn write(&self, ask: &Ask) -> Template {
        match ask {
            Ask::Search { what, filters, way, names_patient } => self.search(*what, filters, *way, *names_patient),
            Ask::Read { path, target, head, headers } => {
                let method = if *head { Method::HEAD } else { Method::GET };
                let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
                named(Sent { method, headers, ..get((*path).to_owned()) }, *target)
            }
            Ask::Astray { method, path, target } => {
                let method = method.parse().expect("a method");
                named(Sent { method, ..get((*path).to_owned()) }, *target)
            }
            Ask::Label { target, label, put, active } => {
                let mut provision = provision_mask(TARGET);
                provision["securityLabel"] =
                    json!([{ "system": format!("urn:oid:{VISIBILITY_OID}"), "code": label.code() }]);
                self.list_line(&provision, *active, put.then_some(*label), Some(*target))
            }
            Ask::OwnAuthorisation { active, under } => {
                let put = under.map(|_| VisibilityLabel::MasquePs);
                self.list_line(&self.own_authorisation(), *active, put, *under)
            }
            Ask::Deposit { relation, simplified, supersedes, in_xml } => {
                self.deposit(*relation, *simplified, *supersedes, *in_xml)
            }
        }
    }

    fn search(&self, what: Searched, filters: &[Filter], way: Way, names_patient: bool) -> Template {
        let (path, patient) = match what {
            Searched::Documents => ("/DocumentReference", "patient.identifier"),
            Searched::Traces => ("/AuditEvent", "patient.identifier"),
            Searched::Consents => ("/Consent", "patient.identifier"),
            Searched::Existence => ("/Patient", "identifier"),
            Searched::Authorised => ("/Patient", "_has:Consent:patient:actor"),
        };
        let mut pairs = Vec::new();
        let mut target = None;
        match what {
            // Of other records only what is as old as this one: the two stores were not told the same of the others.
            Searched::Authorised => pairs.extend([
                format!("{patient}={}", self.own_token()),
                format!("_has:Consent:patient:date=ge{}", self.start),
            ]),
            _ if names_patient => pairs.push(format!("{patient}={}", self.patient_token())),
            Searched::Traces => pairs.push(format!("date=ge{}", self.start)),
            _ => {}
        }
        for filter in filters {
            match filter {
                Filter::Text(text) => {
                    pairs.push(text.replace("{later}", &self.later.to_string()));
                }
                // One name of a document is enough for one search.
                Filter::Id(_) | Filter::Identifier(..) | Filter::Entity(_) if target.is_some() => {}
                Filter::Entity(named) => {
                    target = Some((*named, Name::Logical));
                    pairs.push(format!("entity=DocumentReference/{TARGET}"));
                }
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
            Way::Get | Way::GetXml => get(format!("{path}?{query}")),
            Way::Head => Sent { method: Method::HEAD, ..get(format!("{path}?{query}")) },
            Way::Post => post(&format!("{path}/_search"), "application/x-www-form-urlencoded", query),
        };
        Template { sent, target }
    }

    /// Put under the id of a label of the target, or posted.
    fn list_line(
        &self,
        provision: &Value,
        active: bool,
        put: Option<VisibilityLabel>,
        target: Option<Target>,
    ) -> Template {
        let mut line = consent(self.patient, provision);
        line["status"] = if active { "active".into() } else { "inactive".into() };
        let path = put.map_or_else(|| "/Consent".to_owned(), |label| format!("/Consent/{}", place_of(label)));
        let method = if put.is_some() { Method::PUT } else { Method::POST };
        let sent = Sent { method, ..post(&path, FHIR_JSON, line.to_string()) };
        Template { sent, target: target.map(|target| (target, Name::Logical)) }
    }

    /// TD0.3, of whom the outsider says to be.
    fn own_authorisation(&self) -> Value {
        if let Some(id) = self.who.professional() {
            return provision_for("permit", &id);
        }
        let mut provision = provision_for("permit", &MEDECIN_TRAITANT.parse().expect("PS_IdNat"));
        let identifier = json!({ "system": format!("urn:oid:{STRUCT_ID_NAT_OID}"), "value": HOSPITAL });
        provision["actor"][0]["reference"] = json!({ "type": "Organization", "identifier": identifier });
        provision
    }

    fn own_token(&self) -> String {
        match self.who.professional() {
            Some(id) => format!("urn:oid:{PS_ID_NAT_OID}%7C{}", id.as_str()),
            None => format!("urn:oid:{STRUCT_ID_NAT_OID}%7C{HOSPITAL}"),
        }
    }

    fn deposit(
        &self,
        relation: Option<(RelationKind, Target, Name)>,
        simplified: bool,
        supersedes: bool,
        in_xml: bool,
    ) -> Template {
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
        let path = if simplified { "/DocumentReference" } else { "" };
        let sent = if in_xml {
            post(path, "application/fhir+xml", String::from_utf8(xml_of(&message)).expect("text"))
        } else {
            post(path, FHIR_JSON, message.to_string())
        };
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

const TARGET: &str = "{id}";
const ABSENT: &str = "00000000-0000-7000-8000-000000000000";
const FHIR_JSON: &str = "application/fhir+json";
