//! The provider's public keys, and what they say of a signature.
//!
//! A key is used for what it says it is for: another algorithm, another use or another curve does not fit. Shared
//! secrets (`oct`) are never loaded, so that a public key cannot be taken for one. Refuses to know where the keys
//! come from. Source: RFC 7517 sections 4 and 5, RFC 7518 section 6, RFC 8725 sections 3.1 and 3.2.

use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::Value;

use super::jose::Jwt;
use crate::config::SignatureAlgorithm;
use crate::domain::sha::{Fingerprint, Sha256Hash};
use crate::refusal::{Refusal, Rule};

/// A JWK Set: the keys of it that can be used here.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    /// The only one it is for, where it says so.
    algorithm: Option<String>,
    curve: Option<String>,
    decoding: DecodingKey,
    /// Same for the same key whatever set it stands in.
    pub(super) thumbprint: Sha256Hash,
}

/// Why an answer is no JWK Set that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error("this is no JWK Set: a JSON object with an array `keys`")]
    Syntax,
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
    #[error("none of its keys is a public key for signatures (RSA, EC or OKP)")]
    Empty,
}

impl KeySet {
    /// Reads a JWK Set. A key that cannot be used is passed over: sets hold keys of other purposes.
    pub fn from_json(json: &[u8]) -> Result<Self, KeySetError> {
        let set: JwkSet = serde_json::from_slice(json).map_err(|_| KeySetError::Syntax)?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let keys: Vec<Key> =
            set.keys.into_iter().filter_map(|value| serde_json::from_value(value).ok()).filter_map(Key::new).collect();
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self { keys }) }
    }

    /// The key that a token says it was signed with; without `kid`, the only one that fits.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: SignatureAlgorithm) -> Option<&Key> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match kid {
            Some(kid) => fitting.find(|key| key.kid.as_deref() == Some(kid)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }

    pub(super) fn holds(&self, thumbprint: &Sha256Hash) -> bool {
        self.keys.iter().any(|key| key.thumbprint == *thumbprint)
    }

    /// For explanations: what could have been named.
    pub(super) fn kids(&self) -> String {
        const SHOWN: usize = 5;
        let kids: Vec<&str> = self.keys.iter().filter_map(|key| key.kid.as_deref()).take(SHOWN).collect();
        match (kids.as_slice(), self.keys.len()) {
            ([], count) => format!("{count} without kid"),
            (shown, count) if count > shown.len() => format!("{} and others", shown.join(", ")),
            (shown, _) => shown.join(", "),
        }
    }
}

impl Key {
    fn new(jwk: Jwk) -> Option<Self> {
        let for_signatures = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"));
        if !for_signatures {
            return None;
        }
        let (key, parts) = match jwk.kty.as_str() {
            "RSA" => {
                let (n, e) = (jwk.n?, jwk.e?);
                (DecodingKey::from_rsa_components(&n, &e), format!("RSA {n} {e}"))
            }
            "EC" => {
                let (curve, x, y) = (jwk.crv.as_deref()?, jwk.x?, jwk.y?);
                (DecodingKey::from_ec_components(&x, &y), format!("EC {curve} {x} {y}"))
            }
            "OKP" => {
                let (curve, x) = (jwk.crv.as_deref()?, jwk.x?);
                (DecodingKey::from_ed_components(&x), format!("OKP {curve} {x}"))
            }
            _ => return None,
        };
        let thumbprint = Fingerprint::of(parts.as_bytes()).sha256;
        Some(Self { kid: jwk.kid, algorithm: jwk.alg, curve: jwk.crv, decoding: key.ok()?, thumbprint })
    }

    fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        let needed = match algorithm {
            SignatureAlgorithm::ES256 => Some("P-256"),
            SignatureAlgorithm::ES384 => Some("P-384"),
            SignatureAlgorithm::EdDSA => Some("Ed25519"),
            _ => None,
        };
        self.decoding.family() == of_library(algorithm).family()
            && needed.is_none_or(|curve| self.curve.as_deref() == Some(curve))
            && self.algorithm.as_deref().is_none_or(|only| only == name(algorithm))
    }

    /// Errors: `TokenSignature`.
    pub(super) fn verify(&self, jwt: &Jwt<'_>, algorithm: SignatureAlgorithm) -> Result<(), Refusal> {
        const EXPECTED: &str = "the signature of the provider over header and payload, unchanged";
        let by_this_key = crypto::verify(jwt.signature, jwt.signed.as_bytes(), &self.decoding, of_library(algorithm));
        if by_this_key.unwrap_or(false) {
            return Ok(());
        }
        let found = format!("a signature that key {} did not make", self.kid.as_deref().unwrap_or("without kid"));
        Err(Refusal::new(Rule::TokenSignature, "token, signature", found, EXPECTED))
    }
}

/// The algorithm of a token, if it is one of `allowed`. Errors: `TokenAlgorithm`.
pub(super) fn algorithm_of(alg: &str, allowed: &[SignatureAlgorithm]) -> Result<SignatureAlgorithm, Refusal> {
    allowed.iter().copied().find(|known| name(*known) == alg).ok_or_else(|| {
        let names: Vec<&str> = allowed.iter().copied().map(name).collect();
        Refusal::new(Rule::TokenAlgorithm, "token, header, alg", alg, format!("one of {}", names.join(", ")))
    })
}

fn name(algorithm: SignatureAlgorithm) -> &'static str {
    match algorithm {
        SignatureAlgorithm::RS256 => "RS256",
        SignatureAlgorithm::RS384 => "RS384",
        SignatureAlgorithm::RS512 => "RS512",
        SignatureAlgorithm::PS256 => "PS256",
        SignatureAlgorithm::PS384 => "PS384",
        SignatureAlgorithm::PS512 => "PS512",
        SignatureAlgorithm::ES256 => "ES256",
        SignatureAlgorithm::ES384 => "ES384",
        SignatureAlgorithm::EdDSA => "EdDSA",
    }
}

fn of_library(algorithm: SignatureAlgorithm) -> Algorithm {
    match algorithm {
        SignatureAlgorithm::RS256 => Algorithm::RS256,
        SignatureAlgorithm::RS384 => Algorithm::RS384,
        SignatureAlgorithm::RS512 => Algorithm::RS512,
        SignatureAlgorithm::PS256 => Algorithm::PS256,
        SignatureAlgorithm::PS384 => Algorithm::PS384,
        SignatureAlgorithm::PS512 => Algorithm::PS512,
        SignatureAlgorithm::ES256 => Algorithm::ES256,
        SignatureAlgorithm::ES384 => Algorithm::ES384,
        SignatureAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

const KEYS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const N: &str = "sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1WlUzewbgBHod5pcM9H95GQRV3JDXboIRROSBigeC5yjU1hGzHHyXss8UDprecbAYxknTcQkhslANGRUZmdTOQ5qTRsLAt6BTYuyvVRdhS8exSZEy_c4gs_7svlJJQ4H9_NxsiIoLwAEk7-Q3UXERGYw_75IDrGA84-lA_-Ct4eTlXHBIY2EaV7t7LjJaynVJCpkv4LKjTTAumiGUIuQhrNhZLuF_RJLqHpM2kgWFLU7-VTdL1VbC2tejvcI2BlMkEpk1BzBZI0KQB0GaDWFLN-aEAw3vRw";

    fn set(keys: &Value) -> Result<KeySet, KeySetError> {
        KeySet::from_json(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn rsa(kid: &str) -> Value {
        json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": N, "e": "AQAB" })
    }

    #[test]
    fn a_key_is_found_by_its_id_and_for_its_own_algorithm() {
        let mut bound = rsa("bound");
        bound["alg"] = "PS256".into();
        let keys = set(&json!([rsa("one"), bound])).unwrap();
        assert!(keys.find(Some("one"), SignatureAlgorithm::RS256).is_some());
        assert!(keys.find(Some("two"), SignatureAlgorithm::RS256).is_none());
        assert!(keys.find(Some("one"), SignatureAlgorithm::ES256).is_none());
        assert!(keys.find(Some("bound"), SignatureAlgorithm::PS256).is_some());
        assert!(keys.find(Some("bound"), SignatureAlgorithm::RS256).is_none());
    }

    #[test]
    fn without_an_id_only_one_key_may_be_meant() {
        assert!(set(&json!([rsa("one")])).unwrap().find(None, SignatureAlgorithm::RS256).is_some());
        assert!(set(&json!([rsa("one"), rsa("two")])).unwrap().find(None, SignatureAlgorithm::RS256).is_none());
    }

    #[test]
    fn keys_of_other_purposes_are_passed_over() {
        let encryption = json!({ "kty": "RSA", "kid": "e", "use": "enc", "n": N, "e": "AQAB" });
        let signing = json!({ "kty": "RSA", "kid": "s", "key_ops": ["sign"], "n": N, "e": "AQAB" });
        let secret = json!({ "kty": "oct", "kid": "o", "k": "c2VjcmV0" });
        let broken = json!({ "kty": "EC", "kid": "b", "crv": "P-256", "x": "?" , "y": "?" });
        let mut keys = vec![encryption, signing, secret, broken, json!("no key"), json!({})];
        assert_eq!(set(&json!(keys)).unwrap_err(), KeySetError::Empty);
        keys.push(rsa("one"));
        assert_eq!(set(&json!(keys)).unwrap().kids(), "one");
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["", "[]", "{}", "{\"keys\":{}}"] {
            assert_eq!(KeySet::from_json(text.as_bytes()).unwrap_err(), KeySetError::Syntax, "{text}");
        }
        assert_eq!(set(&json!(vec![rsa("one"); KEYS_MAX + 1])).unwrap_err(), KeySetError::TooMany);
    }

    #[test]
    fn only_allowed_algorithms_are_ones() {
        let allowed = [SignatureAlgorithm::RS256];
        assert_eq!(algorithm_of("RS256", &allowed).unwrap(), SignatureAlgorithm::RS256);
        for alg in ["none", "None", "HS256", "ES256", "rs256", ""] {
            let refusal = algorithm_of(alg, &allowed).unwrap_err();
            assert_eq!((refusal.found.as_str(), refusal.expected.as_str()), (alg, "one of RS256"));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_set_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = KeySet::from_json(&bytes);
        }
    }
}
