//! Claims that the provider keeps for its userinfo endpoint: Pro Santé Connect puts the professional there, and only
//! their id into the token.
//!
//! Invariant: what a token says stands; userinfo adds what it leaves out, and nothing that decides whether the token
//! is believed. Source: OpenID Connect Core 1.0 section 5.3, B.4.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request};
use serde_json::{Map, Value};

use super::Presentation;
use super::fetch::{Fetch, FetchError};
use super::provider::unavailable;
use crate::domain::ins::mask;
use crate::refusal::{Refusal, Rule};

/// Whether the professional must be asked for.
pub(super) fn is_needed(claims: &Map<String, Value>) -> bool {
    !claims.contains_key("SubjectRefPro")
}

/// Adds to the claims of a token what they leave out. Errors: `TokenProvider`; `TokenClaim` for another subject.
pub(super) async fn complete(
    claims: &mut Map<String, Value>,
    fetch: &Fetch,
    endpoint: &str,
    presented: &Presentation<'_>,
) -> Result<(), Refusal> {
    let mut told = ask(fetch, endpoint, presented).await.map_err(|error| {
        tracing::warn!(%error, "the provider did not say who a token is of");
        unavailable("a token without SubjectRefPro, and no userinfo")
    })?;
    let (stated, found) = (subject(claims), subject(&told));
    if stated.is_empty() || stated != found {
        let expected = format!("{}, the sub of the token", mask(stated));
        return Err(Refusal::new(Rule::TokenClaim, "userinfo, claim sub", mask(found), expected));
    }
    for name in OF_PROFESSIONALS {
        if let Some(value) = told.remove(name) {
            claims.entry(name).or_insert(value);
        }
    }
    Ok(())
}

async fn ask(fetch: &Fetch, endpoint: &str, presented: &Presentation<'_>) -> Result<Map<String, Value>, FetchError> {
    let unsendable = |_| FetchError::Content("the token is no header".to_owned());
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", presented.token)).map_err(unsendable)?;
    bearer.set_sensitive(true);
    let request = Request::get(endpoint).header(AUTHORIZATION, bearer).header(ACCEPT, "application/json");
    let answer = fetch.ask(&presented.certificate.fingerprint, request, Bytes::new()).await?;
    serde_json::from_slice(&answer).map_err(|error| FetchError::Content(error.to_string()))
}

fn subject(claims: &Map<String, Value>) -> &str {
    claims.get("sub").and_then(Value::as_str).unwrap_or_default()
}

const OF_PROFESSIONALS: [&str; 9] = [
    "SubjectNameID",
    "SubjectRole",
    "SubjectOrganizationID",
    "SubjectRefPro",
    "Secteur_Activite",
    "Mode_Acces_Raison",
    "Acces_Regulation_Medicale",
    "given_name",
    "family_name",
];
