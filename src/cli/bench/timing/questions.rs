//! The questions whose answers are timed: every way to ask for a document by its name, about one that is hidden from
//! who asks and about one that is not there; and searches of a record that hides as much as it shows, beside one that
//! hides nothing.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::statistics::Random;
use crate::cli::bench::deposit::FHIR_JSON;
use crate::cli::bench::ground::{SEARCHED_SIZE, fill};
use crate::cli::bench::read::{find, search_query};
use crate::cli::bench::scene::Scene;
use crate::cli::bench::traffic::{Pieces, Target, succeed};
use crate::cli::client::Client;
use crate::cli::message::{Provided, consent, new_oid, provision_mask};
use crate::cli::specimen::Specimen;
use crate::domain::ids::UniqueId;
use crate::domain::ins::Ins;
use crate::refusal::Rule;

pub(super) struct Question {
    pub(super) route: &'static str,
    pub(super) case: Case,
    client: Client,
    way: Way,
    names: Vec<Name>,
}

/// What is compared with an absent document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// One that the patient masked, in a record that the caller consults.
    Masked,
    /// One in a record that the caller may not consult.
    NoRight,
    /// Many, beside what a search shows.
    Beside,
    /// Control: another absent one. What separates here is the measurement.
    Absent,
    /// Control: one that is shown. What does not separate here, nothing would.
    Shown,
}

/// How a document is asked for.
#[derive(Clone)]
enum Way {
    /// Its name ends this path.
    Get(&'static str),
    /// The query of a search that shows something.
    Search,
    /// As the target of a deposit, one message for each record.
    Deposit(Vec<String>),
}

/// What one document is called.
#[derive(Debug, Clone)]
struct Name {
    /// Which record it is in, by its place among them.
    record: usize,
    text: String,
    /// What is asked for instead; any other name, where nothing is said.
    absent: Option<String>,
}

/// The documents of all records by what is done with them.
#[derive(Default)]
struct Documents {
    masked: Vec<Named>,
    shown: Vec<Named>,
}

struct Named {
    record: usize,
    logical_id: String,
    unique_id: String,
}

impl Case {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Masked => "masked",
            Self::NoRight => "no right",
            Self::Beside => "masked beside",
            Self::Absent => "control: absent",
            Self::Shown => "control: shown",
        }
    }

    /// Whether its times must be those of an absent document.
    pub(super) fn is_hidden(self) -> bool {
        self != Self::Shown
    }
}

/// Fills the records, hides every other document, and writes the questions.
pub(super) async fn prepare(scene: &Scene, target: &Target) -> anyhow::Result<Vec<Question>> {
    let all = Scene::records(0);
    let (open, records) = all.split_first().context("no records")?;
    fill(target, records, SEARCHED_SIZE, ENTRIES).await?;
    // As many as the others show.
    fill(target, std::slice::from_ref(open), SEARCHED_SIZE, ENTRIES / 2).await?;
    let portal = scene.portal()?.client()?;
    let mut documents = Documents::default();
    for (record, patient) in records.iter().enumerate() {
        let found = find(target, patient, ENTRIES).await?;
        for (index, entry) in found["entry"].as_array().into_iter().flatten().enumerate() {
            let named = Named::read(record, &entry["resource"]).context("a document without names")?;
            if index % 2 == 0 {
                mask(&portal, target, patient, &named.logical_id).await?;
                documents.masked.push(named);
            } else {
                documents.shown.push(named);
            }
        }
    }
    ensure!(!documents.masked.is_empty() && !documents.shown.is_empty(), "records without documents");
    let messages = records.iter().map(message).collect::<anyhow::Result<Vec<_>>>()?;
    let mut all = questions(&documents, messages, &target.reader, &scene.stranger()?.client()?);
    all.push(search_of(records, open, &target.reader));
    Ok(all)
}

fn search_of(records: &[Ins], open: &Ins, doctor: &Client) -> Question {
    let query = |patient: &Ins| search_query(patient, ENTRIES);
    let names = records.iter().enumerate();
    let names = names.map(|(record, patient)| Name { record, text: query(patient), absent: Some(query(open)) });
    let (route, case) = ("DocumentReference?patient.identifier=", Case::Beside);
    Question { route, case, client: doctor.clone(), way: Way::Search, names: names.collect() }
}

fn questions(documents: &Documents, messages: Vec<String>, doctor: &Client, stranger: &Client) -> Vec<Question> {
    let logical = |named: &Named| Name { record: named.record, text: named.logical_id.clone(), absent: None };
    let unique = |named: &Named| Name { record: named.record, text: named.unique_id.clone(), absent: None };
    let read = ("DocumentReference/{id}", Way::Get("DocumentReference/"));
    let ways = [
        read.clone(),
        ("Binary/{id}", Way::Get("Binary/")),
        ("DocumentReference?identifier=", Way::Get("DocumentReference?identifier=")),
        // The mask of a document is a Consent that bears the document's id.
        ("Consent/{id}", Way::Get("Consent/")),
        ("deposit, relatesTo", Way::Deposit(messages)),
    ];
    let mut all = Vec::new();
    for (route, way) in ways {
        let name: &dyn Fn(&Named) -> Name = if route.contains("identifier") { &unique } else { &logical };
        for (case, client) in [(Case::Masked, doctor), (Case::NoRight, stranger)] {
            let names = documents.masked.iter().map(name).collect();
            all.push(Question { route, case, client: client.clone(), way: way.clone(), names });
        }
    }
    for case in [Case::Absent, Case::Shown] {
        let (route, way) = read.clone();
        let names = documents.shown.iter().map(logical).collect();
        all.push(Question { route, case, client: doctor.clone(), way, names });
    }
    all
}

impl Question {
    /// Times `samples` answers of each kind, hidden first, in microseconds: one at a time on one connection, in pairs
    /// whose order is random, so that what drifts meets both alike.
    pub(super) async fn ask(&self, url: &str, samples: usize, random: &mut Random) -> anyhow::Result<[Vec<f64>; 2]> {
        let mut times = [Vec::with_capacity(samples), Vec::with_capacity(samples)];
        let warm_up = WARM_UP_MAX.min(samples / 5);
        for turn in 0..warm_up + samples {
            let name = self.names.get(random.below(self.names.len())).context("a question without names")?;
            let first = random.below(2);
            for kind in [first, 1 - first] {
                let is_absent = kind == 1 || self.case == Case::Absent;
                let text = match &name.absent {
                    _ if !is_absent => name.text.clone(),
                    Some(absent) => absent.clone(),
                    None => unlike(&name.text, random),
                };
                let is_nowhere = (is_absent || self.case.is_hidden()) && self.case != Case::Beside;
                let took = self.time(url, name.record, &text, is_nowhere).await?;
                if turn >= warm_up {
                    times[kind].push(took);
                }
            }
        }
        Ok(times)
    }

    async fn time(&self, url: &str, record: usize, name: &str, is_nowhere: bool) -> anyhow::Result<f64> {
        let request = match &self.way {
            Way::Get(path) => Request::get(format!("{url}/{path}{name}")).body(Pieces::none()),
            Way::Search => Request::get(format!("{url}/DocumentReference?{name}")).body(Pieces::none()),
            Way::Deposit(messages) => {
                let message = messages.get(record).context("a record without a message")?.replace(TARGET, name);
                Request::post(url).header(CONTENT_TYPE, FHIR_JSON).body(Pieces::from([Bytes::from(message)]))
            }
        };
        let mut request = request?;
        request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static(FHIR_JSON));
        let begin = Instant::now();
        let answer = self.client.send(request).await?;
        let took = begin.elapsed();
        let (status, text) = (answer.status(), String::from_utf8_lossy(answer.body()));
        let says_nothing = match status {
            StatusCode::OK => text.contains(NOTHING_FOUND),
            StatusCode::UNPROCESSABLE_ENTITY => text.contains(Rule::ReplaceTarget.code()),
            _ => status == StatusCode::NOT_FOUND,
        };
        ensure!(says_nothing == is_nowhere, "{}, {}: answered {status}: {text}", self.route, self.case.word());
        Ok(took.as_secs_f64() * 1e6)
    }
}

impl Named {
    fn read(record: usize, resource: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let unique_id = text(&resource["masterIdentifier"]["value"])?;
        Some(Self { record, logical_id: text(&resource["id"])?, unique_id })
    }
}

async fn mask(portal: &Client, target: &Target, patient: &Ins, document: &str) -> anyhow::Result<()> {
    let line = consent(patient, &provision_mask(document)).to_string();
    let request = Request::post(format!("{}/Consent", target.fhir_url)).header(CONTENT_TYPE, FHIR_JSON);
    let answer = portal.send(request.body(Pieces::from([Bytes::from(line)]))?).await?;
    succeed(answer).map(drop).context("mask a document")
}

/// A deposit that is refused for its target alone: never stored, it may be sent again and again.
fn message(patient: &Ins) -> anyhow::Result<String> {
    let unique_id = new_oid();
    let UniqueId::Oid(id) = &unique_id else { anyhow::bail!("an OID") };
    let content = Specimen::cr_consultation_n1().for_patient(patient).with_id(id).build();
    let provided = Provided {
        patient,
        unique_id: &unique_id,
        type_code: ("http://loinc.org", "11488-4"),
        title: "Consultation",
        mime_type: "text/xml",
        content: &content,
        replaces: None,
    };
    let mut message = provided.bundle();
    let target = json!({ "reference": format!("DocumentReference/{TARGET}") });
    message["entry"][1]["resource"]["relatesTo"] = json!([{ "code": "appends", "target": target }]);
    Ok(message.to_string())
}

/// A name of the same form and length, beside the other in every index, that nothing bears.
fn unlike(name: &str, random: &mut Random) -> String {
    let kept = name.len().saturating_sub(UNLIKE_DIGITS);
    format!("{}{:08}", &name[..kept], random.below(100_000_000))
}

const UNLIKE_DIGITS: usize = 8;
/// Documents in each record.
const ENTRIES: u16 = 50;
/// Answers of each kind that do not count.
const WARM_UP_MAX: usize = 20;
const TARGET: &str = "{target}";
const NOTHING_FOUND: &str = "\"total\":0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_name_has_the_form_of_the_hidden_one() {
        let mut random = Random::seeded(1);
        for name in ["019a0c5e-2d7b-7f3a-8c1d-2e3f4a5b6c7d", "urn:oid:2.999.1793257200000000.1.100000042"] {
            let other = unlike(name, &mut random);
            assert_ne!(other, name);
            let (kept, changed) = other.split_at(name.len() - 8);
            assert!(name.starts_with(kept) && changed.bytes().all(|byte| byte.is_ascii_digit()), "{other}");
        }
    }

    #[test]
    fn every_route_is_asked_about_both_ways_of_hiding_and_both_controls_are_there() {
        let named = || Named { record: 0, logical_id: "l".to_owned(), unique_id: "u".to_owned() };
        let documents = Documents { masked: vec![named()], shown: vec![named()] };
        let client = Client::new("", crate::cli::client::Identity::Anonymous).unwrap();
        let all = questions(&documents, vec![String::new()], &client, &client);
        let count = |case| all.iter().filter(|question| question.case == case).count();
        assert_eq!([Case::Masked, Case::NoRight, Case::Absent, Case::Shown].map(count), [5, 5, 1, 1]);
    }
}
