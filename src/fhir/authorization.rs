//! What the Authorization header brings: a token, of whichever scheme, checked for itself.
//!
//! A scheme that is not served is refused, not ignored: its sender believes to be somebody. Where nobody is asked who
//! they are (`/metadata`), nothing is read. Source: contract 3, RFC 9110 section 11.6.2.

use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::identity::admission::Admission;
use crate::identity::vihf::{About, Unused};
use crate::refusal::{Failure, Refusal, Rule};

/// The token of a request, if it has one, not used up yet.
pub(super) fn read_token(admission: &Admission, parts: &Parts) -> Result<Option<Unused>, Failure> {
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let Some(header) = headers.next() else { return Ok(None) };
    if headers.next().is_some() {
        return Err(refused(Rule::TokenScheme, "several", "one token, or none").into());
    }
    let text = header.to_str().map_err(|_| refused(Rule::TokenScheme, "bytes that are no text", EXPECTED))?.trim();
    let (scheme, credentials) = match text.split_once(' ') {
        Some((scheme, credentials)) => (scheme, credentials),
        None if text.eq_ignore_ascii_case(VIHF_SCHEME) => (text, ""),
        // One word may be the secret itself.
        None => return Err(refused(Rule::TokenScheme, "no scheme", EXPECTED).into()),
    };
    if scheme.eq_ignore_ascii_case(VIHF_SCHEME) {
        let assertion = base64_simd::STANDARD.decode_to_vec(credentials.trim()).map_err(|_| {
            refused(Rule::VihfForm, "something else than base64", "the assertion in base64, on one line")
        })?;
        return admission.vihf.check(&assertion, About::OnePatient).map(Some).map_err(Failure::Refused);
    }
    let is_name =
        scheme.len() <= SCHEME_BYTES_MAX && scheme.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    Err(refused(Rule::TokenScheme, if is_name { scheme } else { "no scheme" }, EXPECTED).into())
}

fn refused(rule: Rule, found: &str, expected: &str) -> Refusal {
    Refusal::new(rule, "header Authorization", found, expected)
}

const VIHF_SCHEME: &str = "IHE-SAML";
const EXPECTED: &str = "IHE-SAML and the VIHF in base64";
/// The longest registered one has 14.
const SCHEME_BYTES_MAX: usize = 16;
