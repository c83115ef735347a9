//! The same rules without a provider and without a connection: for `carnet check`.

use jiff::Timestamp;
use serde_json::Value;

use super::claims::{Circumstances, Origin};
use super::jose::{Jwt, PLACE, Presented};
use super::keys::{KeySet, algorithm_of};
use super::provider::unknown_key;
use super::{id_of, no_provider, professional, structure_of};
use crate::config::Oidc;
use crate::domain::value_set::Terminology;
use crate::identity::token::{Signer, Token, TokenKind};
use crate::refusal::{Refusal, Rule};
use crate::tls::client_certificate::ClientCertificate;

/// What a token is and which rules it breaks.
#[derive(Debug)]
pub struct Judgement {
    /// Header parameters and registered claims, as the token has them.
    pub facts: Vec<(&'static str, String)>,
    /// What it would be if it were believed; `None` where what it states cannot be read.
    pub token: Option<Token>,
    pub refusals: Vec<Refusal>,
    /// What was not judged, and why not.
    pub not_judged: Vec<(&'static str, &'static str)>,
}

/// Judges a token by `settings` and the keys at hand, as of `now`. Goes on after the first rule that is broken.
pub fn judge(
    token: &str,
    settings: &Oidc,
    keys: Option<&KeySet>,
    certificate: Option<&ClientCertificate>,
    terminology: &Terminology,
    now: Timestamp,
) -> Judgement {
    let mut judgement = Judgement { facts: Vec::new(), token: None, refusals: Vec::new(), not_judged: Vec::new() };
    let jwt = match Presented::read(token) {
        Ok(Presented::Jwt(jwt)) => jwt,
        Ok(Presented::Opaque) if settings.introspection => {
            judgement
                .not_judged
                .push(("everything", "the token is opaque: only the provider can read it (introspection)"));
            return judgement;
        }
        Ok(Presented::Opaque) => {
            judgement.refusals.push(opaque(settings));
            return judgement;
        }
        Err(refusal) => {
            judgement.refusals.push(refusal);
            return judgement;
        }
    };
    judgement.facts = facts(&jwt);
    if !settings.is_on() {
        judgement.refusals.push(no_provider());
        return judgement;
    }
    judgement.refusals.extend(match keys {
        Some(keys) => check_signature(&jwt, settings, keys).err(),
        None => algorithm_of(&jwt.header.alg, &settings.algorithms).err(),
    });
    if keys.is_none() {
        judgement.not_judged.push(("the signature", "no JWK Set was given"));
    }
    if certificate.is_none() {
        judgement.not_judged.push(("the binding to a certificate", "no certificate was given"));
    }
    let fingerprint = certificate.map(|certificate| &certificate.fingerprint);
    let circumstances = Circumstances { settings, certificate: fingerprint, now, origin: Origin::Jwt };
    judgement.refusals.extend(circumstances.refusals(&jwt.claims));
    match professional::read(&jwt.claims, certificate.and_then(structure_of), terminology, now) {
        Ok(statement) => {
            let id = id_of(&jwt.claims).unwrap_or_default();
            judgement.token = Some(Token { kind: TokenKind::Oidc, id, statement, signer: Signer::Provider });
        }
        Err(refusals) => judgement.refusals.extend(refusals),
    }
    judgement
}

/// Of a token that is no JWT, where the provider is not to be asked.
pub(super) fn opaque(settings: &Oidc) -> Refusal {
    let expected = format!(
        "a JWT signed by {}: oidc.introspection is false, the provider is asked about no token",
        settings.issuer
    );
    Refusal::new(Rule::TokenForm, PLACE, "a token that is no JWT", expected)
}

fn check_signature(jwt: &Jwt<'_>, settings: &Oidc, keys: &KeySet) -> Result<(), Refusal> {
    let algorithm = algorithm_of(&jwt.header.alg, &settings.algorithms)?;
    let kid = jwt.header.kid.as_deref();
    keys.find(kid, algorithm).ok_or_else(|| unknown_key(kid, keys))?.verify(jwt, algorithm)
}

fn facts(jwt: &Jwt<'_>) -> Vec<(&'static str, String)> {
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut facts = vec![("alg", jwt.header.alg.clone())];
    facts.extend(jwt.header.kid.clone().map(|kid| ("kid", kid)));
    let claims = ["iss", "aud", "iat", "nbf", "exp", "jti", "acr", "client_id", "azp", "cnf"];
    facts.extend(claims.into_iter().filter_map(|name| Some((name, shown(jwt.claims.get(name)?)))));
    facts
}
