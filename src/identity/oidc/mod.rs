//! Access tokens of a Pro Santé Connect-like provider, presented as `Authorization: Bearer` -> the [`Token`] they are.
//!
//! A token is believed when the provider signed it (or says itself that it is active), for us, now, and for the
//! certificate of this very connection. What it then says of the professional is in `professional`. A token that was
//! verified is kept under a hash of itself and of the certificate: the next request pays one hash and two look-ups,
//! and still sees a token that has ended and a key that was taken back.
//!
//! Refuses to know what the professional may do, and whether their structure is the one that calls: that is
//! [`super::caller`]'s question. Source: B.4, RFC 9068, RFC 8705, RFC 7662, RFC 8725.

mod cache;
mod claims;
mod fetch;
mod introspection;
mod jose;
mod judge;
mod keys;
mod professional;
mod provider;
mod userinfo;

use std::sync::Arc;

use serde_json::{Map, Value};

use self::cache::{Cache, TokenKey, Verified};
use self::claims::{Circumstances, Origin};
pub use self::fetch::SettingsError;
use self::introspection::Introspection;
use self::jose::{Jwt, Presented};
pub use self::judge::{Judgement, judge};
use self::keys::algorithm_of;
pub use self::keys::{KeySet, KeySetError};
use self::provider::{Provider, Published, unavailable, unknown_key};
use super::token::{Signer, Token, TokenKind};
use crate::clock::Clock;
use crate::config::Oidc;
use crate::domain::national_id::StructIdNat;
use crate::domain::value_set::Terminology;
use crate::refusal::{Failure, Refusal, Rule};
use crate::tls::client_certificate::ClientCertificate;
use crate::tls::subject::Subject;

/// The reader of access tokens.
#[derive(Debug)]
pub struct Bearer {
    settings: Oidc,
    clock: Clock,
    terminology: Arc<Terminology>,
    provider: Arc<Provider>,
    introspection: Option<Introspection>,
    cache: Cache,
}

impl Bearer {
    /// Reads the files that `settings` name; asks the provider nothing yet. `None` where no issuer is configured.
    pub fn new(settings: &Oidc, terminology: Arc<Terminology>, clock: Clock) -> Result<Option<Self>, SettingsError> {
        if !settings.is_on() {
            return Ok(None);
        }
        Ok(Some(Self {
            provider: Arc::new(Provider::new(settings, clock.clone())?),
            introspection: Introspection::new(settings)?,
            cache: Cache::new(settings.verified_tokens_max),
            settings: settings.clone(),
            clock,
            terminology,
        }))
    }

    /// Keeps the provider's keys fresh for as long as it is polled.
    pub async fn watch(&self) {
        Arc::clone(&self.provider).watch().await;
    }

    /// Believes a token that is presented on a connection with `certificate`, or tells why not.
    ///
    /// Errors: every `Token…` rule that it breaks; `TokenProvider` (wait) where the provider is needed and silent.
    pub async fn read(&self, token: &str, certificate: &ClientCertificate) -> Result<Token, Failure> {
        let key = TokenKey::new(token, &certificate.fingerprint);
        let published = self.provider.published().await;
        let still = |verified: &Verified| {
            let held = |key| published.as_ref().is_ok_and(|published| published.keys.holds(key));
            verified.signed_by.as_ref().is_none_or(held)
        };
        if let Some(verified) = self.cache.find(&key, self.clock.now().as_second(), still) {
            counted("kept");
            return Ok(verified.token.clone());
        }
        let presented = Presentation { token, key, certificate };
        let verified = match Presented::read(token) {
            Ok(Presented::Jwt(jwt)) => self.verify(*jwt, &presented).await,
            Ok(Presented::Opaque) => self.introspect(published.ok(), &presented).await,
            Err(refusal) => Err(vec![refusal]),
        };
        counted(if verified.is_ok() { "verified" } else { "refused" });
        let verified = verified.map_err(Failure::Refused)?;
        let token = verified.token.clone();
        self.cache.keep(key, Arc::new(verified));
        Ok(token)
    }

    async fn verify(&self, jwt: Jwt<'_>, presented: &Presentation<'_>) -> Result<Verified, Vec<Refusal>> {
        let algorithm = algorithm_of(&jwt.header.alg, &self.settings.algorithms).map_err(one)?;
        let kid = jwt.header.kid.as_deref();
        let published = self.provider.published_with(kid, algorithm).await.map_err(one)?;
        let key = published.keys.find(kid, algorithm).ok_or_else(|| one(unknown_key(kid, &published.keys)))?;
        key.verify(&jwt, algorithm).map_err(one)?;
        let (token, end_s) = self.believe(jwt.claims, Origin::Jwt, Some(&*published), presented).await?;
        // A signed token without an end was refused above.
        Ok(Verified { token, until_s: end_s.unwrap_or(i64::MIN), signed_by: Some(key.thumbprint) })
    }

    async fn introspect(
        &self,
        published: Option<Arc<Published>>,
        presented: &Presentation<'_>,
    ) -> Result<Verified, Vec<Refusal>> {
        let Some(introspection) = &self.introspection else {
            return Err(one(judge::opaque(&self.settings)));
        };
        let named = published.as_ref().and_then(|published| published.introspection_endpoint.as_deref());
        let endpoint =
            Some(self.settings.introspection_endpoint.as_str()).filter(|address| !address.is_empty()).or(named);
        let endpoint = endpoint.ok_or_else(|| one(unavailable("no introspection endpoint")))?;
        let claims = introspection.ask(&self.provider.fetch, endpoint, presented).await.map_err(one)?;
        let (token, end_s) = self.believe(claims, Origin::Introspection, published.as_deref(), presented).await?;
        let held_s = self.clock.now().as_second() + i64::from(self.settings.introspection_seconds);
        Ok(Verified { token, until_s: end_s.map_or(held_s, |end_s| end_s.min(held_s)), signed_by: None })
    }

    /// Claims that are the provider's -> what they state, and the last second at which they do.
    async fn believe(
        &self,
        mut claims: Map<String, Value>,
        origin: Origin,
        published: Option<&Published>,
        presented: &Presentation<'_>,
    ) -> Result<(Token, Option<i64>), Vec<Refusal>> {
        let Presentation { key, certificate, .. } = presented;
        let now = self.clock.now();
        let circumstances =
            Circumstances { settings: &self.settings, certificate: Some(&certificate.fingerprint), now, origin };
        let refusals = circumstances.refusals(&claims);
        if !refusals.is_empty() {
            return Err(refusals);
        }
        if self.settings.userinfo && userinfo::is_needed(&claims) {
            let endpoint = published.and_then(|published| published.userinfo_endpoint.as_deref());
            let endpoint = endpoint.ok_or_else(|| one(unavailable("no userinfo endpoint")))?;
            userinfo::complete(&mut claims, &self.provider.fetch, endpoint, presented).await.map_err(one)?;
        }
        let statement = professional::read(&claims, structure_of(certificate), &self.terminology, now)?;
        // Where there is no `jti`, the start of the token's hash: enough to find it in the journal.
        let id = id_of(&claims).unwrap_or_else(|| key.short());
        Ok((Token { kind: TokenKind::Oidc, id, statement, signer: Signer::Provider }, circumstances.end_s(&claims)))
    }
}

/// Of any access token, where configuration names no provider.
pub fn no_provider() -> Refusal {
    const EXPECTED: &str = "no access token: this gateway has no provider (oidc.issuer)";
    Refusal::new(Rule::TokenScheme, "header Authorization", "Bearer", EXPECTED)
}

/// A token and the connection that it came over.
struct Presentation<'a> {
    token: &'a str,
    key: TokenKey,
    certificate: &'a ClientCertificate,
}

fn structure_of(certificate: &ClientCertificate) -> Option<&StructIdNat> {
    match &certificate.subject {
        Subject::Organisation(organisation) => Some(&organisation.struct_id),
        Subject::Person(_) | Subject::Employee(_) => None,
    }
}

fn id_of(claims: &Map<String, Value>) -> Option<String> {
    claims.get("jti").and_then(Value::as_str).filter(|jti| jti.len() <= JTI_BYTES_MAX).map(str::to_owned)
}

fn one(refusal: Refusal) -> Vec<Refusal> {
    vec![refusal]
}

fn counted(outcome: &'static str) {
    metrics::counter!("carnet_oidc_tokens_total", "outcome" => outcome).increment(1);
}

const JTI_BYTES_MAX: usize = 128;
