//! TD0.3 and the patient's own list as Consent: read, list, and the answer to a write.

use axum::body::Body;
use bytes::Bytes;
use http::header::ETAG;
use http::request::Parts;
use http::{Method, StatusCode};

use super::answer::{Answer, Content, Handled};
use super::existence::{id_alone, only_patient};
use super::face::{Face, answer_id, id_in_path};
use super::negotiate::{Return, preferred_return};
use super::outcome;
use super::read::consent::read_consent;
use super::resource::bundle::{Bundle, Entry, Link};
use super::resource::consent::{id_of, write};
use crate::clock::new_uuid;
use crate::domain::ids::{ConsentId, LogicalId};
use crate::domain::sha::{Fingerprint, hex};
use crate::identity::caller::Caller;
use crate::operation::outcome::{ConsentOutcome, ConsentRequest};
use crate::refusal::{Failure, Fault};

/// `GET /Consent?patient.identifier=…`: the lines that the caller may see.
pub async fn list(face: &Face, caller: &Caller, parts: &Parts) -> Handled {
    let aliases = ["patient:identifier", "patient:Patient.identifier"];
    let ins = only_patient(face, parts, "patient.identifier", &aliases);
    let ins = ins?;
    let lines = face.gateway.list_consents(caller, &ins).await?.disclose();
    let base = face.writing().base;
    let now = face.now();
    let bundle = Bundle {
        id: new_uuid().to_string(),
        meta: None,
        kind: "searchset",
        timestamp: now.to_string(),
        total: Some(lines.len() as u64),
        link: vec![Link { relation: "self", url: format!("{base}/Consent?{}", parts.uri.query().unwrap_or_default()) }],
        entry: lines
            .iter()
            .map(|line| Entry::matching(format!("{base}/Consent/{}", id_of(line)), write(line, now)))
            .collect(),
    };
    Ok(Answer::resource(&bundle)?)
}

/// `GET /Consent/{id}`.
pub async fn read(face: &Face, caller: &Caller, parts: &Parts) -> Handled {
    let LogicalId(id) = id_alone(parts)?;
    let line = face.gateway.read_consent(caller, ConsentId(id)).await?.disclose();
    Ok(representation(face, &line)?)
}

/// `POST /Consent`, and `PUT /Consent/{id}` for a line (or a masked document) that is there.
pub async fn set(face: &Face, caller: &Caller, parts: &Parts, body: Body) -> Handled {
    let request = read_request(face, parts, body).await;
    let request = request?;
    let status = if request.id.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    let line = face.gateway.set_consent(caller, request).await?.disclose();
    let mut answer = representation(face, &line)?;
    match preferred_return(&parts.headers) {
        None | Some(Return::Representation) => {}
        Some(Return::Minimal) => answer.content = Content::Empty,
        Some(Return::OperationOutcome) => {
            let told = outcome::of_success("the patient's list is written", answer_id(parts));
            answer.content = Answer::resource(&told)?.content;
        }
    }
    let location = format!("{}/Consent/{}", face.writing().base, id_of(&line));
    Ok(answer.with_status(status).located(&location))
}

async fn read_request(face: &Face, parts: &Parts, body: Body) -> Result<ConsentRequest, Failure> {
    let id = match parts.method {
        Method::PUT => Some(id_in_path(parts)?),
        _ => None,
    };
    let message = face.read_list_message(parts, body).await?;
    read_consent(message, id.map(|LogicalId(id)| ConsentId(id)), &face.gateway.terminology)
}

/// A list keeps no versions: the tag is taken from what is shown.
fn representation(face: &Face, line: &ConsentOutcome) -> Result<Answer, Fault> {
    let answer = Answer::resource(&write(line, face.now()))?;
    let Content::Resource(json) = &answer.content else { return Ok(answer) };
    let digest = Fingerprint::of(&Bytes::copy_from_slice(json)).sha256;
    let etag = format!("W/\"{}\"", hex(&digest.0[..8]));
    Ok(answer.with(ETAG, &etag))
}
