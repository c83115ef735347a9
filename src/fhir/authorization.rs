//! What the Authorization header brings: a token, of whichever scheme, checked for itself.
//!
//! A scheme that is not served is refused, not ignored: its sender believes to be somebody. Source: contract 3,
//! RFC 9110 section 11.6.2, RFC 6750.

use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::identity::admission::Admission;
use crate::identity::oidc;
use crate::identity::token::Token;
use crate::identity::vihf::About;
use crate::refusal::{Failure, Refusal, Rule};
use crate::tls::client_certificate::ClientCertificate;

/// The token of a request on a connection with `certificate`, if it has one. Every scheme ends in the same [`Token`].
pub(super) async fn read_token(
    admission: &Admission,
    certificate: &ClientCertificate,
    parts: &Parts,
) -> Result<Option<Token>, Failure> {
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let Some(header) = headers.next() else { return Ok(None) };
    if headers.next().is_some() {
        return Err(refused(Rule::TokenScheme, "several", "one token, or none").into());
    }
    let text = header.to_str().map_err(|_| refused(Rule::TokenScheme, "bytes that are no text", EXPECTED))?.trim();
    let (scheme, credentials) = text.split_once(' ').unwrap_or((text, ""));
    if scheme.eq_ignore_ascii_case("IHE-SAML") {
        let assertion = base64_simd::STANDARD.decode_to_vec(credentials.trim()).map_err(|_| {
            refused(Rule::VihfForm, "something else than base64", "the assertion in base64, on one line")
        })?;
        return admission.vihf.take(&assertion, About::OnePatient).await.map(Some);
    }
    if scheme.eq_ignore_ascii_case("Bearer") {
        let bearer = admission.bearer.as_deref().ok_or_else(oidc::no_provider)?;
        return bearer.read(credentials.trim(), certificate).await.map(Some);
    }
    // A token that was sent without its scheme is nothing to be shown.
    let found = if scheme.len() <= SCHEME_BYTES_MAX { scheme } else { "no scheme" };
    Err(refused(Rule::TokenScheme, found, EXPECTED).into())
}

fn refused(rule: Rule, found: &str, expected: &str) -> Refusal {
    Refusal::new(rule, "header Authorization", found, expected)
}

const EXPECTED: &str = "IHE-SAML and the VIHF in base64, or Bearer and an access token";
/// No registered scheme has a longer name; tokens are longer.
const SCHEME_BYTES_MAX: usize = 20;
