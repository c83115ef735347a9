//! What the Authorization header brings: a token, of whichever scheme, checked for itself.
//!
//! A scheme that is not served is refused, not ignored: its sender believes to be somebody. Where nobody is asked who
//! they are (`/metadata`), nothing is read. Source: contract 3, RFC 9110 section 11.6.2, RFC 6750.

use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::identity::admission::Admission;
use crate::identity::oidc;
use crate::identity::token::Token;
use crate::identity::vihf::{About, Unused};
use crate::refusal::{Failure, Refusal, Rule};
use crate::tls::client_certificate::ClientCertificate;

/// A token that is good in itself, of whichever scheme.
pub(super) enum Presented {
    /// To be used up before it is believed.
    Once(Unused),
    Bearer(Token),
}

impl Presented {
    pub(super) fn token(&self) -> &Token {
        match self {
            Self::Once(unused) => &unused.token,
            Self::Bearer(token) => token,
        }
    }
}

/// The token of a request on a connection with `certificate`, if it has one.
pub(super) async fn read_token(
    admission: &Admission,
    certificate: &ClientCertificate,
    parts: &Parts,
) -> Result<Option<Presented>, Failure> {
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let Some(header) = headers.next() else { return Ok(None) };
    if headers.next().is_some() {
        return Err(refused(Rule::TokenScheme, "several", "one token, or none").into());
    }
    let text = header.to_str().map_err(|_| refused(Rule::TokenScheme, "bytes that are no text", EXPECTED))?.trim();
    let (scheme, credentials) = match text.split_once(' ') {
        Some((scheme, credentials)) => (scheme, credentials),
        None if [VIHF_SCHEME, "Bearer"].iter().any(|scheme| text.eq_ignore_ascii_case(scheme)) => (text, ""),
        // One word may be the secret itself.
        None => return Err(refused(Rule::TokenScheme, "no scheme", EXPECTED).into()),
    };
    if scheme.eq_ignore_ascii_case(VIHF_SCHEME) {
        let assertion = base64_simd::STANDARD.decode_to_vec(credentials.trim()).map_err(|_| {
            refused(Rule::VihfForm, "something else than base64", "the assertion in base64, on one line")
        })?;
        let unused = admission.vihf.check(&assertion, About::OnePatient).await?;
        return Ok(Some(Presented::Once(unused)));
    }
    if scheme.eq_ignore_ascii_case("Bearer") {
        let bearer = admission.bearer.as_deref().ok_or_else(oidc::no_provider)?;
        return bearer.read(credentials.trim(), certificate).await.map(|token| Some(Presented::Bearer(token)));
    }
    let is_name =
        scheme.len() <= SCHEME_BYTES_MAX && scheme.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    Err(refused(Rule::TokenScheme, if is_name { scheme } else { "no scheme" }, EXPECTED).into())
}

fn refused(rule: Rule, found: &str, expected: &str) -> Refusal {
    Refusal::new(rule, "header Authorization", found, expected)
}

const VIHF_SCHEME: &str = "IHE-SAML";
const EXPECTED: &str = "IHE-SAML and the VIHF in base64, or Bearer and an access token";
/// The longest registered one has 14.
const SCHEME_BYTES_MAX: usize = 16;
