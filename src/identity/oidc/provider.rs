//! What the provider publishes of itself: discovery, keys, endpoints; kept, refreshed, held through an outage.
//!
//! - Keys are fetched again ahead of `keys_refresh_seconds` by a task of their own; a request that comes first does it.
//! - A key that no set has makes one fetch, and at most one each `keys_refetch_seconds_min` whatever is presented:
//!   a rotation is seen at once, and nobody makes this gateway ask the provider in their rhythm.
//! - While the provider does not answer, keys hold for `keys_grace_seconds` more. Then nobody gets in by a token.
//! - A key that the provider took back is refused from the fetch that shows it.
//!
//! Refuses to know tokens. Source: OpenID Connect Discovery 1.0 section 4, RFC 8414, RFC 8705 section 5.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::fetch::{Fetch, FetchError, SettingsError};
use super::jose::PLACE;
use super::keys::KeySet;
use crate::clock::Clock;
use crate::config::{Oidc, SignatureAlgorithm};
use crate::refusal::{Refusal, Rule};

#[derive(Debug)]
pub(super) struct Provider {
    pub(super) fetch: Fetch,
    settings: Oidc,
    clock: Clock,
    current: ArcSwapOption<Published>,
    /// When the provider was asked last; held while it is asked, so that one asks for all.
    asked_at_s: Arc<Mutex<Option<i64>>>,
}

/// One consistent answer of the provider.
#[derive(Debug)]
pub(super) struct Published {
    /// Counts from 1.
    number: u64,
    fetched_at_s: i64,
    pub(super) keys: KeySet,
    pub(super) introspection_endpoint: Option<String>,
    pub(super) userinfo_endpoint: Option<String>,
}

impl Provider {
    pub(super) fn new(settings: &Oidc, clock: Clock) -> Result<Self, SettingsError> {
        let fetch = Fetch::new(settings)?;
        Ok(Self {
            fetch,
            settings: settings.clone(),
            clock,
            current: ArcSwapOption::empty(),
            asked_at_s: Arc::default(),
        })
    }

    /// Fetches ahead for as long as it is polled, so that no request waits for the provider.
    pub(super) async fn watch(self: Arc<Self>) {
        let ahead = u64::from(self.settings.keys_refresh_seconds) * 3 / 4;
        loop {
            let pause_s = match self.ask(self.number()).await {
                Some(_) => ahead.max(1),
                None => u64::from(self.settings.keys_refetch_seconds_min),
            };
            tokio::time::sleep(Duration::from_secs(pause_s)).await;
        }
    }

    /// What is in force now. Errors: `TokenProvider` where nothing is.
    pub(super) async fn published(self: &Arc<Self>) -> Result<Arc<Published>, Refusal> {
        let kept = self.current.load_full();
        let age_s = kept.as_ref().map(|kept| self.clock.now().as_second() - kept.fetched_at_s);
        let refresh_s = i64::from(self.settings.keys_refresh_seconds);
        let held_s = refresh_s + i64::from(self.settings.keys_grace_seconds);
        match (kept, age_s) {
            (Some(kept), Some(age_s)) if (0..refresh_s).contains(&age_s) => Ok(kept),
            // Somebody is asking already: what is kept is good meanwhile.
            (Some(kept), Some(age_s)) if age_s < held_s && self.asked_at_s.try_lock().is_err() => Ok(kept),
            (Some(kept), Some(age_s)) => match self.ask(kept.number).await {
                Some(newer) => Ok(newer),
                None if age_s < held_s => Ok(kept),
                None => Err(unavailable("keys that are too old to be believed")),
            },
            _ => self.ask(0).await.ok_or_else(|| unavailable("no keys")),
        }
    }

    /// What is in force, with the key that a token names. Errors: `TokenKey`, `TokenProvider`.
    pub(super) async fn published_with(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: SignatureAlgorithm,
    ) -> Result<Arc<Published>, Refusal> {
        let known = self.published().await?;
        if known.keys.find(kid, algorithm).is_some() {
            return Ok(known);
        }
        match self.ask(known.number).await {
            Some(newer) if newer.keys.find(kid, algorithm).is_some() => Ok(newer),
            newer => Err(unknown_key(kid, &newer.unwrap_or(known).keys)),
        }
    }

    fn number(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |published| published.number)
    }

    /// Something newer than `seen`, if the provider has it and may be asked.
    async fn ask(self: &Arc<Self>, seen: u64) -> Option<Arc<Published>> {
        let mut asked_at_s = Arc::clone(&self.asked_at_s).lock_owned().await;
        if let Some(newer) = self.current.load_full().filter(|current| current.number > seen) {
            return Some(newer);
        }
        let now_s = self.clock.now().as_second();
        let since_s = asked_at_s.map(|at_s| now_s - at_s);
        if since_s.is_some_and(|since_s| (0..i64::from(self.settings.keys_refetch_seconds_min)).contains(&since_s)) {
            return None;
        }
        *asked_at_s = Some(now_s);
        let provider = Arc::clone(self);
        // A task of its own: a caller who hangs up must not use up the turn of all.
        let asking = tokio::spawn(async move {
            let newer = provider.fetch_all(seen + 1, now_s).await;
            drop(asked_at_s);
            newer
        });
        asking.await.ok().flatten()
    }

    async fn fetch_all(&self, number: u64, now_s: i64) -> Option<Arc<Published>> {
        let outcome = self.fetch_published(number, now_s).await;
        let label = if outcome.is_ok() { "fetched" } else { "failed" };
        metrics::counter!("carnet_oidc_fetches_total", "outcome" => label).increment(1);
        match outcome {
            Ok(published) => {
                let published = Arc::new(published);
                self.current.store(Some(Arc::clone(&published)));
                Some(published)
            }
            Err((asked, error)) => {
                tracing::warn!(asked, %error, "the provider's keys were not fetched: those before hold for their grace");
                None
            }
        }
    }

    async fn fetch_published(&self, number: u64, now_s: i64) -> Result<Published, (&'static str, FetchError)> {
        let address = format!("{}/.well-known/openid-configuration", self.settings.issuer.trim_end_matches('/'));
        let told = self.fetch.get(&address).await.and_then(|json| self.read_discovery(&json));
        let discovery = told.map_err(|error| ("discovery", error))?;
        let keys = self.fetch.get(&discovery.jwks_uri).await;
        let keys =
            keys.and_then(|json| KeySet::from_json(&json).map_err(|error| FetchError::Content(error.to_string())));
        let keys = keys.map_err(|error| ("jwks_uri", error))?;
        let over_mutual_tls = !self.settings.client_certificate.as_os_str().is_empty();
        let aliases = discovery.mtls_endpoint_aliases.filter(|_| over_mutual_tls).unwrap_or_default();
        Ok(Published {
            number,
            fetched_at_s: now_s,
            keys,
            introspection_endpoint: aliases.introspection_endpoint.or(discovery.introspection_endpoint),
            userinfo_endpoint: aliases.userinfo_endpoint.or(discovery.userinfo_endpoint),
        })
    }

    /// Invariant: what another issuer says of itself is never taken for ours.
    fn read_discovery(&self, json: &[u8]) -> Result<Discovery, FetchError> {
        let discovery: Discovery =
            serde_json::from_slice(json).map_err(|error| FetchError::Content(error.to_string()))?;
        if discovery.issuer == self.settings.issuer {
            Ok(discovery)
        } else {
            let both = format!("issuer {:?} where oidc.issuer is {:?}", discovery.issuer, self.settings.issuer);
            Err(FetchError::Content(both))
        }
    }
}

/// The part of the provider's metadata that is used.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
    introspection_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    mtls_endpoint_aliases: Option<Aliases>,
}

#[derive(Default, Deserialize)]
struct Aliases {
    introspection_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
}

pub(super) fn unavailable(found: &str) -> Refusal {
    const EXPECTED: &str = "an answer of the provider: the same request again after Retry-After";
    Refusal::new(Rule::TokenProvider, PLACE, format!("{found}: the provider does not answer"), EXPECTED)
}

pub(super) fn unknown_key(kid: Option<&str>, keys: &KeySet) -> Refusal {
    let found = kid.unwrap_or("no kid, and more than one key or none that fits `alg`");
    Refusal::new(
        Rule::TokenKey,
        "token, header, kid",
        found,
        format!("a key that the provider publishes for `alg`: {}", keys.kids()),
    )
}
