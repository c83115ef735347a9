//! The claims that any access token is held against: issuer, audience, times, certificate, level of authentication.
//!
//! Every claim that is wrong is told, not the first alone. Refuses to know what the claims say of a professional.
//! Source: RFC 7519 section 4.1, RFC 9068 section 4, RFC 8705 sections 3.1 and 3.2, B.4.

use base64_simd::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::config::Oidc;
use crate::domain::sha::Sha256Hash;
use crate::domain::text::is_text;
use crate::refusal::{Refusal, Rule};

/// What claims say ends up in the journal and in answers, where no other characters may stand.
pub(super) fn check_text(claims: &Map<String, Value>) -> Result<(), Refusal> {
    let wrong = claims.iter().find(|(_, value)| !is_text_throughout(value));
    match wrong {
        None => Ok(()),
        Some((name, _)) => {
            let expected = "no control characters but tab and line ends, and no non-characters";
            Err(Refusal::new(Rule::TokenClaim, place(name), "a character that no text has", expected))
        }
    }
}

fn is_text_throughout(value: &Value) -> bool {
    match value {
        Value::String(text) => text.chars().all(is_text),
        Value::Array(items) => items.iter().all(is_text_throughout),
        Value::Object(members) => members.values().all(is_text_throughout),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Where claims come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A token that the provider signed: it says who made it and when it ends.
    Jwt,
    /// The provider's own answer about a token: it need not (RFC 7662 section 2.2).
    Introspection,
}

/// What claims are held against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'a> {
    pub(super) settings: &'a Oidc,
    /// Of the connection; `None` where a token is judged without one, and then a binding is not compared.
    pub(super) certificate: Option<&'a Sha256Hash>,
    pub(super) now: Timestamp,
    pub(super) origin: Origin,
}

impl Circumstances<'_> {
    /// Every rule that the claims break.
    pub(super) fn refusals(&self, claims: &Map<String, Value>) -> Vec<Refusal> {
        let checks = [
            check_kind(claims),
            self.check_issuer(claims),
            self.check_audience(claims),
            self.check_end(claims),
            self.check_start(claims, "nbf"),
            self.check_start(claims, "iat"),
            self.check_binding(claims),
            self.check_level(claims),
        ];
        checks.into_iter().filter_map(Result::err).collect()
    }

    /// The last second at which the token holds; `None` where nothing says so.
    pub(super) fn end_s(&self, claims: &Map<String, Value>) -> Option<i64> {
        let exp = instant(claims, "exp").ok()??;
        Some(exp.saturating_add(i64::from(self.settings.skew_seconds)))
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        match (claims.get("iss"), self.origin) {
            (None, Origin::Introspection) => Ok(()),
            (Some(Value::String(issuer)), _) if *issuer == self.settings.issuer => Ok(()),
            (other, _) => Err(Refusal::new(Rule::TokenIssuer, place("iss"), told(other), &self.settings.issuer)),
        }
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let ours = &self.settings.audience;
        let stated = claims.get("aud");
        let is_ours = |one: &Value| one.as_str().is_some_and(|one| ours.iter().any(|our| our == one));
        let good = match stated {
            Some(Value::Array(several)) => several.iter().any(is_ours),
            Some(one) => is_ours(one),
            None => false,
        };
        if good || ours.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(Rule::TokenAudience, place("aud"), told(stated), one_of(ours)))
    }

    fn check_end(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        match (instant(claims, "exp")?, self.origin) {
            (None, Origin::Jwt) => Err(self.off("exp", "nothing".to_owned(), "an end")),
            (Some(exp), _) if exp.saturating_add(i64::from(self.settings.skew_seconds)) < self.now.as_second() => {
                let ago = self.now.as_second() - exp;
                Err(self.off("exp", format!("{}, {ago} s ago", shown(exp)), "an instant after"))
            }
            _ => Ok(()),
        }
    }

    fn check_start(&self, claims: &Map<String, Value>, name: &str) -> Result<(), Refusal> {
        match instant(claims, name)? {
            Some(start) if start > self.now.as_second().saturating_add(i64::from(self.settings.skew_seconds)) => {
                let ahead = start - self.now.as_second();
                Err(self.off(name, format!("{}, in {ahead} s", shown(start)), "an instant before"))
            }
            _ => Ok(()),
        }
    }

    /// RFC 8705: `cnf.x5t#S256` is the SHA-256 of the certificate of this very connection.
    fn check_binding(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        const PLACE: &str = "token, claim cnf.x5t#S256";
        let Some(cnf) = claims.get("cnf") else {
            return if self.settings.require_bound_tokens {
                const EXPECTED: &str =
                    "the thumbprint of the client certificate: ask the provider for a bound token over mutual TLS";
                Err(Refusal::new(Rule::TokenBinding, PLACE, "nothing: anybody could present this token", EXPECTED))
            } else {
                Ok(())
            };
        };
        let Some(bound) = cnf.get("x5t#S256").and_then(Value::as_str) else {
            const EXPECTED: &str =
                "x5t#S256, the thumbprint of a certificate: no other proof of possession is read here";
            return Err(Refusal::new(Rule::TokenBinding, PLACE, "a confirmation of another kind", EXPECTED));
        };
        match self.certificate.map(thumbprint) {
            Some(ours) if ours != bound => {
                let expected = format!("{ours}, the thumbprint of the client certificate of this connection");
                Err(Refusal::new(Rule::TokenBinding, PLACE, bound, expected))
            }
            _ => Ok(()),
        }
    }

    fn check_level(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let levels = &self.settings.acr_values;
        let stated = claims.get("acr");
        let good = stated.and_then(Value::as_str).is_some_and(|acr| levels.iter().any(|level| level == acr));
        if good || levels.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(Rule::TokenLevel, place("acr"), told(stated), one_of(levels)))
    }

    fn off(&self, name: &str, found: String, expected: &str) -> Refusal {
        let (now, skew) = (shown(self.now.as_second()), self.settings.skew_seconds);
        Refusal::new(
            Rule::TokenTime,
            place(name),
            found,
            format!("{expected} {now} (our clock), give or take {skew} s"),
        )
    }
}

/// Providers mark ID and refresh tokens by a claim of the name of the header's parameter.
fn check_kind(claims: &Map<String, Value>) -> Result<(), Refusal> {
    match claims.get("typ").map(|typ| typ.as_str().unwrap_or("something else than text")) {
        Some(typ) if !typ.eq_ignore_ascii_case("Bearer") => {
            Err(Refusal::new(Rule::TokenForm, place("typ"), typ, "Bearer, or nothing: an access token"))
        }
        _ => Ok(()),
    }
}

/// As `cnf` holds it.
pub(super) fn thumbprint(certificate: &Sha256Hash) -> String {
    URL_SAFE_NO_PAD.encode_to_string(certificate.0)
}

/// NumericDate: seconds since 1970, perhaps with a fraction, which is dropped.
fn instant(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and is held against the bounds below")]
    let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64));
    match seconds.filter(|seconds| (0..SECONDS_MAX).contains(seconds)) {
        Some(seconds) => Ok(Some(seconds)),
        None => Err(Refusal::new(
            Rule::TokenTime,
            place(name),
            told(Some(value)),
            "a number of seconds since 1970 (NumericDate)",
        )),
    }
}

fn shown(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |instant| instant.to_string())
}

fn place(claim: &str) -> String {
    format!("token, claim {claim}")
}

fn told(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn one_of(known: &[String]) -> String {
    match known {
        [one] => one.clone(),
        several => format!("one of {}", several.join(", ")),
    }
}

/// The first second of the year 10000.
const SECONDS_MAX: i64 = 253_402_300_800;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW_S: i64 = 1_790_000_000;
    const CERTIFICATE: Sha256Hash = Sha256Hash([7; 32]);

    fn settings() -> Oidc {
        Oidc { issuer: "https://psc.example".to_owned(), audience: vec!["carnet".to_owned()], ..Oidc::default() }
    }

    fn good() -> Value {
        json!({
            "iss": "https://psc.example", "aud": ["other", "carnet"], "exp": NOW_S + 60, "nbf": NOW_S, "iat": NOW_S,
            "acr": "eidas1", "cnf": { "x5t#S256": thumbprint(&CERTIFICATE) }, "typ": "Bearer",
        })
    }

    #[test]
    fn a_claim_with_a_character_that_no_text_has_is_refused_by_its_name() {
        let checked = |claims: Value| check_text(claims.as_object().unwrap()).err().map(|refusal| refusal.place);
        let bad = json!({ "sub": "x", "SubjectRefPro": { "exercices": [{ "nom": "D\u{1b}[31m" }] } });
        assert_eq!(checked(bad), Some(place("SubjectRefPro")));
        assert_eq!(checked(json!({ "address": { "formatted": "1 rue\nParis" } })), None);
    }

    fn refusals_of(claims: &Value, settings: &Oidc, origin: Origin) -> Vec<Refusal> {
        let now = Timestamp::from_second(NOW_S).unwrap();
        Circumstances { settings, certificate: Some(&CERTIFICATE), now, origin }.refusals(claims.as_object().unwrap())
    }

    #[test]
    fn a_good_token_breaks_no_rule() {
        assert_eq!(refusals_of(&good(), &settings(), Origin::Jwt), []);
    }

    #[test]
    fn each_claim_wrong_alone_is_told_alone_with_what_was_found_and_expected() {
        let other = thumbprint(&Sha256Hash([8; 32]));
        let cases = [
            ("typ", json!("ID"), Rule::TokenForm, "ID", "Bearer"),
            ("iss", json!("https://other.example"), Rule::TokenIssuer, "https://other.example", "https://psc.example"),
            ("iss", json!("https://psc.example/"), Rule::TokenIssuer, "https://psc.example/", "https://psc.example"),
            ("iss", json!(["https://psc.example"]), Rule::TokenIssuer, "[", "https://psc.example"),
            ("aud", json!("other"), Rule::TokenAudience, "other", "carnet"),
            ("aud", json!([]), Rule::TokenAudience, "[]", "carnet"),
            ("exp", json!(NOW_S - 31), Rule::TokenTime, "31 s ago", "our clock"),
            ("exp", json!("soon"), Rule::TokenTime, "soon", "NumericDate"),
            ("exp", json!(-1), Rule::TokenTime, "-1", "NumericDate"),
            ("exp", json!(1e300), Rule::TokenTime, "1e+300", "NumericDate"),
            ("nbf", json!(NOW_S + 31), Rule::TokenTime, "in 31 s", "our clock"),
            ("iat", json!(NOW_S + 3600), Rule::TokenTime, "in 3600 s", "our clock"),
            ("acr", json!("password"), Rule::TokenLevel, "password", "eidas1, eidas2, eidas3"),
            ("cnf", json!({ "x5t#S256": other }), Rule::TokenBinding, other.as_str(), "BwcHBwcH"),
            ("cnf", json!({ "jkt": "x" }), Rule::TokenBinding, "another kind", "x5t#S256"),
        ];
        for (name, value, rule, found, expected) in cases {
            let mut claims = good();
            claims[name] = value.clone();
            let refusals = refusals_of(&claims, &settings(), Origin::Jwt);
            assert_eq!(refusals.len(), 1, "{name} {value}: {refusals:?}");
            let refusal = &refusals[0];
            assert_eq!(refusal.rule, rule, "{name} {value}");
            assert!(refusal.place.starts_with(&format!("token, claim {name}")), "{refusal}");
            assert!(refusal.found.contains(found) && refusal.expected.contains(expected), "{refusal}");
        }
    }

    #[test]
    fn each_claim_that_must_be_there_is_missed_alone() {
        let cases = [
            ("iss", Rule::TokenIssuer),
            ("aud", Rule::TokenAudience),
            ("exp", Rule::TokenTime),
            ("acr", Rule::TokenLevel),
            ("cnf", Rule::TokenBinding),
        ];
        for (name, rule) in cases {
            let mut claims = good();
            claims.as_object_mut().unwrap().remove(name);
            let rules: Vec<Rule> = refusals_of(&claims, &settings(), Origin::Jwt).iter().map(|one| one.rule).collect();
            assert_eq!(rules, [rule], "{name}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        assert_eq!(refusals_of(&json!({}), &settings(), Origin::Jwt).len(), 5);
    }

    #[test]
    fn clocks_may_disagree_by_the_skew_and_no_more() {
        for (claim, within, beyond) in [("exp", -30, -31), ("nbf", 30, 31), ("iat", 30, 31)] {
            let mut claims = good();
            claims[claim] = json!(NOW_S + within);
            assert_eq!(refusals_of(&claims, &settings(), Origin::Jwt), [], "{claim}");
            claims[claim] = json!(NOW_S + beyond);
            assert_eq!(refusals_of(&claims, &settings(), Origin::Jwt).len(), 1, "{claim}");
        }
    }

    #[test]
    fn what_configuration_does_not_ask_for_is_not_missed() {
        let mut claims = good();
        for name in ["aud", "acr", "cnf"] {
            claims.as_object_mut().unwrap().remove(name);
        }
        let lenient = Oidc { audience: Vec::new(), acr_values: Vec::new(), require_bound_tokens: false, ..settings() };
        assert_eq!(refusals_of(&claims, &lenient, Origin::Jwt), []);
        claims["cnf"] = json!({ "x5t#S256": thumbprint(&Sha256Hash([8; 32])) });
        assert_eq!(refusals_of(&claims, &lenient, Origin::Jwt).len(), 1, "what is bound to another stays bound");
    }

    #[test]
    fn the_provider_itself_need_not_say_who_it_is_nor_when_the_token_ends() {
        let mut claims = good();
        for name in ["iss", "exp"] {
            claims.as_object_mut().unwrap().remove(name);
        }
        assert_eq!(refusals_of(&claims, &settings(), Origin::Introspection), []);
        claims["iss"] = "https://other.example".into();
        assert_eq!(refusals_of(&claims, &settings(), Origin::Introspection).len(), 1);
    }

    proptest! {
        #[test]
        fn any_claims_are_judged(name in "iss|aud|exp|nbf|iat|cnf|acr|typ", text in "\\PC*", number in any::<f64>()) {
            for value in [json!(text), json!(number), json!([text]), json!({ "x5t#S256": text }), Value::Null] {
                let mut claims = good();
                claims[&name] = value;
                let _ = refusals_of(&claims, &settings(), Origin::Jwt);
            }
        }
    }
}
