//! Asks the provider about a token that only it can read. Source: RFC 7662, RFC 6749 section 2.3.1, RFC 8705 section 2.

use bytes::Bytes;
use form_urlencoded::byte_serialize;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request};
use serde_json::{Map, Value};

use super::Presentation;
use super::fetch::{Fetch, FetchError, SettingsError, read_secret};
use super::jose::PLACE;
use super::provider::unavailable;
use crate::config::Oidc;
use crate::refusal::{Refusal, Rule};

#[derive(Debug)]
pub(super) struct Introspection {
    client_id: String,
    /// Absent where the provider knows us by our certificate.
    basic: Option<HeaderValue>,
}

impl Introspection {
    /// `None` where configuration asks for none.
    pub(super) fn new(settings: &Oidc) -> Result<Option<Self>, SettingsError> {
        if !settings.introspection {
            return Ok(None);
        }
        let basic = if settings.client_secret.as_os_str().is_empty() {
            None
        } else {
            basic(&settings.client_id, &read_secret(&settings.client_secret)?)
        };
        Ok(Some(Self { client_id: settings.client_id.clone(), basic }))
    }

    /// The claims of an active token. Errors: `TokenInactive`, `TokenProvider`.
    pub(super) async fn ask(
        &self,
        fetch: &Fetch,
        endpoint: &str,
        presented: &Presentation<'_>,
    ) -> Result<Map<String, Value>, Refusal> {
        let outcome = self.question(fetch, endpoint, presented).await;
        let label = match &outcome {
            Ok(Some(_)) => "active",
            Ok(None) => "inactive",
            Err(_) => "failed",
        };
        metrics::counter!("carnet_oidc_introspections_total", "outcome" => label).increment(1);
        match outcome {
            Ok(Some(claims)) => Ok(claims),
            Ok(None) => {
                let found = "a token that the provider says is not active: ended, taken back, or none of its own";
                Err(Refusal::new(Rule::TokenInactive, PLACE, found, "an active access token"))
            }
            Err(error) => {
                tracing::warn!(%error, "the provider was not asked about a token");
                Err(unavailable("a token that only the provider can read"))
            }
        }
    }

    async fn question(
        &self,
        fetch: &Fetch,
        endpoint: &str,
        presented: &Presentation<'_>,
    ) -> Result<Option<Map<String, Value>>, FetchError> {
        let mut request = Request::post(endpoint)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        if let Some(basic) = &self.basic {
            request = request.header(AUTHORIZATION, basic);
        }
        let answer = fetch.ask(&presented.certificate.fingerprint, request, self.form(presented.token)).await?;
        let mut claims: Map<String, Value> =
            serde_json::from_slice(&answer).map_err(|error| FetchError::Content(error.to_string()))?;
        match claims.remove("active") {
            Some(Value::Bool(true)) => Ok(Some(claims)),
            Some(Value::Bool(false)) => Ok(None),
            _ => Err(FetchError::Content("no `active`".to_owned())),
        }
    }

    fn form(&self, token: &str) -> Bytes {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", token).append_pair("token_type_hint", "access_token");
        if self.basic.is_none() && !self.client_id.is_empty() {
            form.append_pair("client_id", &self.client_id);
        }
        form.finish().into()
    }
}

/// Both halves form-encoded, as RFC 6749 wants them.
fn basic(client_id: &str, secret: &str) -> Option<HeaderValue> {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(client_id), encoded(secret));
    let mut value = HeaderValue::try_from(format!("Basic {}", base64_simd::STANDARD.encode_to_string(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}
