//! Deposits (ITI-65) of documents that all differ, made at next to no cost.
//!
//! Everything that varies - unique ids, patient - stands in the message and in the first kilobytes of the document.
//! Only these are written and encoded for each request; the rest of the base64 is made once and shared. Hash and
//! size are left to the gateway, which computes them anyhow.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde_json::json;

use super::amount::Size;
use super::figures::Part;
use super::traffic::{Call, Pieces, Source, Target};
use crate::cli::message::Provided;
use crate::cli::specimen::Specimen;
use crate::clock::Clock;
use crate::domain::ids::UniqueId;
use crate::domain::ins::Ins;
use crate::domain::oid::Oid;

pub(super) struct Deposits {
    records: Vec<Ins>,
    run: Run,
    /// The message up to its base64, and the document up to the last thing that varies, both for serial 0.
    message_head: String,
    document_head: String,
    /// Base64 of the rest of the document.
    document_rest: Bytes,
    message_end: Bytes,
}

impl Deposits {
    /// Deposits of about `size` bytes into `records` in turn.
    pub(super) fn new(records: Vec<Ins>, size: Size, clock: &Clock) -> anyhow::Result<Self> {
        let run = Run(clock.now().as_microsecond());
        let patient = records.first().context("a deposit needs a record")?;
        let id: Oid = run.document_id(0).parse()?;
        let document = Specimen::of_size(size.bytes).for_patient(patient).with_id(&id).build();
        let document = String::from_utf8(document).context("a specimen")?;
        ensure!(document.len() <= size.bytes, "--size {size}: no document here is smaller than {}", document.len());
        let last = document.rfind(id.as_str()).max(document.rfind(patient.matricule())).context("a specimen's id")?;
        let cut = whole_groups(&document, last + id.as_str().len());
        let message = message(run, id, patient);
        let (head, end) = message.split_once(DATA_MARK).context("a message has a place for its document")?;
        Ok(Self {
            run,
            message_head: head.to_owned(),
            document_head: document[..cut].to_owned(),
            document_rest: base64_simd::STANDARD.encode_to_string(&document[cut..]).into(),
            message_end: Bytes::copy_from_slice(end.as_bytes()),
            records,
        })
    }

    fn body(&self, serial: usize) -> Pieces {
        let patient = self.records[serial % self.records.len()].matricule();
        let varied = |text: &str| {
            text.replace(&self.run.document_id(0), &self.run.document_id(serial))
                .replace(&self.run.submission_set_id(0), &self.run.submission_set_id(serial))
                .replace(self.records[0].matricule(), patient)
        };
        let mut head = varied(&self.message_head);
        base64_simd::STANDARD.encode_append(varied(&self.document_head), &mut head);
        Pieces::from([head.into(), self.document_rest.clone(), self.message_end.clone()])
    }
}

impl Source for Deposits {
    fn part(&self) -> Part {
        "deposit"
    }

    fn call(&self, target: &Target) -> anyhow::Result<Call> {
        let request = Request::post(&target.fhir_url)
            .header(CONTENT_TYPE, FHIR_JSON)
            .header(ACCEPT, FHIR_JSON)
            .body(self.body(SERIALS.fetch_add(1, Ordering::Relaxed)))?;
        Ok(Call { client: target.depositor.clone(), request, answer_bytes: None })
    }
}

/// Microseconds since 1970 when these deposits were prepared: sets their ids apart from those of every other run.
///
/// Ids are under 2.999, the arc that is set aside for examples; all of one run are equally long.
#[derive(Clone, Copy)]
struct Run(i64);

impl Run {
    fn document_id(self, serial: usize) -> String {
        format!("2.999.{}.1.{}", self.0, FIRST_SERIAL + serial)
    }

    fn submission_set_id(self, serial: usize) -> String {
        format!("2.999.{}.2.{}", self.0, FIRST_SERIAL + serial)
    }
}

/// The message for serial 0, with a mark where the base64 goes.
fn message(run: Run, id: Oid, patient: &Ins) -> String {
    let provided = Provided {
        patient,
        unique_id: &UniqueId::Oid(id),
        type_code: ("http://loinc.org", "11488-4"),
        title: "Consultation",
        mime_type: "text/xml",
        content: &[],
        replaces: None,
    };
    let mut message = provided.bundle();
    message["entry"][0]["resource"]["identifier"][0]["value"] = json!(format!("urn:oid:{}", run.submission_set_id(0)));
    message["entry"][2]["resource"]["data"] = json!(DATA_MARK);
    message.to_string()
}

/// The end of the base64 group, three bytes, that `at` is in, and of the character.
fn whole_groups(text: &str, at: usize) -> usize {
    let mut ends = (at.next_multiple_of(3)..text.len()).step_by(3);
    ends.find(|end| text.is_char_boundary(*end)).unwrap_or(text.len())
}

/// One sequence for all, so that no two deposits of this process are alike.
static SERIALS: AtomicUsize = AtomicUsize::new(1);

/// Nine digits, for no arc of an OID may begin with 0.
const FIRST_SERIAL: usize = 100_000_000;

const DATA_MARK: &str = "=document=";

pub(super) const FHIR_JSON: &str = "application/fhir+json";

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    fn deposits(size: &str) -> Deposits {
        let records = ["279035121518989", "207058575627097"];
        let records = records.map(|matricule| Ins::parse(matricule, "1.2.250.1.213.1.4.10").unwrap());
        Deposits::new(records.to_vec(), size.parse().unwrap(), &Clock::System).unwrap()
    }

    async fn sent(deposits: &Deposits, serial: usize) -> (Value, String) {
        let body = deposits.body(serial);
        let length = body.size_hint().exact().unwrap();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(body.len() as u64, length);
        let message: Value = serde_json::from_slice(&body).unwrap();
        let data = message["entry"][2]["resource"]["data"].as_str().unwrap();
        let document = String::from_utf8(base64_simd::STANDARD.decode_to_vec(data).unwrap()).unwrap();
        (message, document)
    }

    #[tokio::test]
    async fn a_message_and_its_document_agree_on_id_and_patient() {
        let deposits = deposits("20k");
        for serial in [0, 1, 2, 899_999_999] {
            let (message, document) = sent(&deposits, serial).await;
            let reference = &message["entry"][1]["resource"];
            let id = reference["masterIdentifier"]["value"].as_str().unwrap().strip_prefix("urn:oid:").unwrap();
            assert!(document.contains(&format!("<id root=\"{id}\"/>")), "{id}");
            assert!(id.parse::<Oid>().is_ok(), "{id}");
            let matricule = reference["subject"]["identifier"]["value"].as_str().unwrap();
            assert!(document.contains(&format!("extension=\"{matricule}\"")));
            assert!((19_900..=20_000).contains(&document.len()), "{}", document.len());
        }
    }

    #[tokio::test]
    async fn no_two_deposits_are_alike() {
        let deposits = deposits("20k");
        let (first, second) = (sent(&deposits, 7).await, sent(&deposits, 8).await);
        assert_ne!(first.1, second.1);
        let set = |message: &Value| message["entry"][0]["resource"]["identifier"][0]["value"].clone();
        assert_ne!(set(&first.0), set(&second.0));
        assert_ne!(set(&first.0), first.0["entry"][1]["resource"]["masterIdentifier"]["value"]);
    }

    #[test]
    fn a_size_that_no_document_has_is_refused() {
        let record = Ins::parse("279035121518989", "1.2.250.1.213.1.4.10").unwrap();
        let refused = Deposits::new(vec![record], Size { bytes: 1_000 }, &Clock::System).err().unwrap();
        assert!(refused.to_string().starts_with("--size 1k: no document here is smaller than"));
    }

    #[tokio::test]
    async fn a_message_passes_a_strict_reader_of_fhir() {
        let (message, _) = sent(&deposits("20k"), 3).await;
        fhirkit::from_json_strict::<fhirkit::r4::Bundle>(&message.to_string()).unwrap();
    }

    #[test]
    fn only_the_first_kilobytes_are_made_for_each_request() {
        let deposits = deposits("1m");
        assert!(deposits.document_head.len() < 4_000, "{}", deposits.document_head.len());
        assert!(deposits.document_rest.len() > 1_300_000);
    }
}
