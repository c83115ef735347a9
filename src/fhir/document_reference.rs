//! `GET /DocumentReference/{id}`: the metadata of one document.

use http::StatusCode;
use http::header::{ETAG, IF_NONE_MATCH};
use http::request::Parts;

use super::answer::{Answer, Handled};
use super::existence::id_alone;
use super::face::Face;
use super::resource::document_reference;
use crate::identity::caller::Caller;

pub async fn read(face: &Face, caller: &Caller, parts: &Parts) -> Handled {
    let id = id_alone(parts)?;
    let entry = face.gateway.read(caller, id).await?.disclose();
    let etag = format!("W/\"{}\"", entry.version);
    let unchanged = parts.headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let unchanged = unchanged.is_some_and(|known| known.split(',').any(|tag| tag.trim() == etag));
    let answer = if unchanged {
        Answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        Answer::resource(&document_reference::write(face.writing(), &entry))?
    };
    Ok(answer.with(ETAG, &etag).modified(entry.updated))
}
