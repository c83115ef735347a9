//! What the Authorization header brings: a token, of whichever scheme, checked for itself.
//!
//! A scheme that is not served is refused, not ignored: its sender believes to be somebody. Source: contract 3,
//! RFC 9110 section 11.6.2.

use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::identity::admission::Admission;
use crate::identity::token::Token;
use crate::identity::vihf::About;
use crate::refusal::{Failure, Refusal, Rule};

/// The token of a request, if it has one. Every scheme ends in the same [`Token`].
pub(super) async fn read_token(admission: &Admission, parts: &Parts) -> Result<Option<Token>, Failure> {
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let Some(header) = headers.next() else { return Ok(None) };
    if headers.next().is_some() {
        return Err(refused(Rule::TokenScheme, "several", "one token, or none").into());
    }
    let text = header.to_str().map_err(|_| refused(Rule::TokenScheme, "bytes that are no text", EXPECTED))?;
    let (scheme, credentials) = text.trim().split_once(' ').unwrap_or((text, ""));
    if scheme.eq_ignore_ascii_case("IHE-SAML") {
        let assertion = base64_simd::STANDARD.decode_to_vec(credentials.trim()).map_err(|_| {
            refused(Rule::VihfForm, "something else than base64", "the assertion in base64, on one line")
        })?;
        return admission.vihf.take(&assertion, About::OnePatient).await.map(Some);
    }
    Err(refused(Rule::TokenScheme, scheme, EXPECTED).into())
}

fn refused(rule: Rule, found: &str, expected: &str) -> Refusal {
    Refusal::new(rule, "header Authorization", found, expected)
}

const EXPECTED: &str = "IHE-SAML and the VIHF in base64";
