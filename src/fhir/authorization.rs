//! The header `Authorization` of a request -> the access token in it, believed or refused.
//!
//! A token that is presented must be good, whatever its certificate could do without. Source: RFC 6750, contract 3.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::identity::oidc::{AccessToken, Bearer};
use crate::refusal::{Failure, Refusal, Rule};
use crate::tls::client_certificate::ClientCertificate;

/// `None` where no token is presented. Errors: `TokenScheme`, and those of [`Bearer::read`].
pub async fn access_token(
    bearer: Option<&Bearer>,
    headers: &HeaderMap,
    certificate: &ClientCertificate,
) -> Result<Option<Arc<AccessToken>>, Failure> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(scheme("several", "one").into());
    }
    // Never quoted: it may be a token without a scheme.
    let (stated, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
    if !stated.eq_ignore_ascii_case("Bearer") {
        return Err(scheme("another scheme", "Bearer, and an access token").into());
    }
    let Some(bearer) = bearer else {
        return Err(scheme("Bearer", "no access token: this gateway has no provider (oidc.issuer)").into());
    };
    bearer.read(token.trim(), certificate).await.map(Some)
}

fn scheme(found: &str, expected: &str) -> Refusal {
    Refusal::new(Rule::TokenScheme, "header Authorization", found, expected)
}
