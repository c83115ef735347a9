//! A token as it was sent: parts of a compact JWS, or something that is none.
//!
//! Refuses to know whether it is to be believed. Nothing that the token says of its own keys (`jwk`, `jku`, `x5c`,
//! `x5u`) is read: keys come from the provider. Source: RFC 7515 sections 4.1 and 7.1, RFC 8725.

use base64_simd::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::refusal::{Refusal, Rule};

/// What was presented.
#[derive(Debug)]
pub(super) enum Presented<'a> {
    Jwt(Box<Jwt<'a>>),
    /// Only the provider can read it.
    Opaque,
}

/// A signed token whose parts can be read; its signature is not checked yet.
#[derive(Debug)]
pub(super) struct Jwt<'a> {
    pub(super) header: Header,
    pub(super) claims: Map<String, Value>,
    /// Header and payload as they were signed.
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
}

/// The parameters that are looked at. One that comes twice is refused.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

impl<'a> Presented<'a> {
    /// Takes a token apart.
    ///
    /// Errors: `TokenForm` for what has the shape of a JWS or a JWE and is none that can be read, and for what no
    /// header may carry.
    pub(super) fn read(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            let (found, expected) = (format!("{} bytes", token.len()), format!("at most {TOKEN_BYTES_MAX} bytes"));
            return Err(Refusal::new(Rule::TokenForm, PLACE, found, expected));
        }
        if token.is_empty() || !token.bytes().all(is_token_character) {
            return Err(form(PLACE, "characters that no token has", "letters, digits and -._~+/= (RFC 6750)"));
        }
        let (Some((signed, signature)), dots) = (token.rsplit_once('.'), token.matches('.').count()) else {
            return Ok(Self::Opaque);
        };
        match (dots, signed.split_once('.')) {
            (2, Some((header, payload))) => read_jws(header, payload, signed, signature),
            (4, _) if read_json::<Value>(token.split('.').next().unwrap_or_default()).is_some() => {
                Err(form(PLACE, "an encrypted token (JWE)", "a signed one (JWS): this gateway has no key to decrypt"))
            }
            _ => Ok(Self::Opaque),
        }
    }
}

fn read_jws<'a>(header: &str, payload: &str, signed: &'a str, signature: &'a str) -> Result<Presented<'a>, Refusal> {
    if !read_json::<Value>(header).is_some_and(|header| header.is_object()) {
        // Three parts by chance: a provider may cut its opaque tokens by dots.
        return Ok(Presented::Opaque);
    }
    let Some(header) = read_json::<Header>(header) else {
        return Err(form(
            "token, header",
            "no `alg`, or a parameter twice or of another type",
            "`alg`, `kid`, `typ`: texts",
        ));
    };
    if header.crit.is_some() {
        return Err(form("token, header, crit", "critical extensions", "none: this gateway knows of none"));
    }
    if let Some(typ) = header.typ.as_deref().filter(|typ| !is_access_token_type(typ)) {
        return Err(form("token, header, typ", typ, "at+jwt or JWT: an access token"));
    }
    let Some(claims) = read_json::<Map<String, Value>>(payload) else {
        return Err(form("token, payload", "no base64url of a JSON object", "claims"));
    };
    if URL_SAFE_NO_PAD.check(signature.as_bytes()).is_err() {
        return Err(form("token, signature", "no base64url", "base64url without padding"));
    }
    Ok(Presented::Jwt(Box::new(Jwt { header, claims, signed, signature })))
}

fn read_json<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode_to_vec(part).ok()?).ok()
}

/// RFC 9068 section 2.1; providers of before it write `JWT`. Media types are compared without regard to case.
fn is_access_token_type(typ: &str) -> bool {
    ["at+jwt", "application/at+jwt", "JWT"].iter().any(|known| known.eq_ignore_ascii_case(typ))
}

/// `b64token` of RFC 6750.
fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

fn form(place: &str, found: &str, expected: &str) -> Refusal {
    Refusal::new(Rule::TokenForm, place, found, expected)
}

/// Where a token as a whole is at fault.
pub(super) const PLACE: &str = "header Authorization";
/// The claims of a professional with ten activities take 6 KiB.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(json: &str) -> String {
        URL_SAFE_NO_PAD.encode_to_string(json)
    }

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.{}", encoded(header), encoded(payload), encoded("signature"))
    }

    fn refused(token: &str) -> Refusal {
        Presented::read(token).expect_err(token)
    }

    #[test]
    fn a_signed_token_is_taken_apart() {
        let token = token(r#"{"alg":"RS256","kid":"one","typ":"at+jwt"}"#, r#"{"iss":"https://psc.example"}"#);
        let Presented::Jwt(jwt) = Presented::read(&token).unwrap() else { panic!("opaque") };
        assert_eq!((jwt.header.alg.as_str(), jwt.header.kid.as_deref()), ("RS256", Some("one")));
        assert_eq!(jwt.claims["iss"], "https://psc.example");
        assert_eq!(format!("{}.{}", jwt.signed, jwt.signature), token);
    }

    #[test]
    fn what_is_no_jws_is_for_the_provider_to_read() {
        for token in ["2YotnFZFEjr1zCsicMWpAA", "a.b.c", "one.two", "....."] {
            assert!(matches!(Presented::read(token).unwrap(), Presented::Opaque), "{token}");
        }
    }

    #[test]
    fn each_fault_of_form_is_told_at_its_place() {
        let header = r#"{"alg":"RS256"}"#;
        let cases = [
            (String::new(), PLACE),
            ("a b".to_owned(), PLACE),
            ("a".repeat(TOKEN_BYTES_MAX + 1), PLACE),
            (format!("{}.k.iv.c.t", encoded(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#)), PLACE),
            (token(r#"{"kid":"one"}"#, "{}"), "token, header"),
            (token(r#"{"alg":256}"#, "{}"), "token, header"),
            (token(r#"{"alg":"RS256","alg":"ES256"}"#, "{}"), "token, header"),
            (token(r#"{"alg":"RS256","crit":["exp"]}"#, "{}"), "token, header, crit"),
            (token(r#"{"alg":"RS256","typ":"dpop+jwt"}"#, "{}"), "token, header, typ"),
            (token(header, "[]"), "token, payload"),
            (token(header, "{"), "token, payload"),
            (format!("{}.{}.a+b", encoded(header), encoded("{}")), "token, signature"),
        ];
        for (token, place) in cases {
            let refusal = refused(&token);
            assert_eq!((refusal.rule, refusal.place.as_str()), (Rule::TokenForm, place), "{token}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = Presented::read(&text);
        }

        #[test]
        fn any_header_and_payload_are_read_or_refused(header in "\\PC*", payload in "\\PC*", signature in "\\PC*") {
            let _ = Presented::read(&format!("{}.{}.{}", encoded(&header), encoded(&payload), encoded(&signature)));
        }

        #[test]
        fn a_damaged_token_is_read_or_refused(at in 0_usize..90, byte in b'-'..=b'z') {
            let mut token = token(r#"{"alg":"RS256","kid":"one"}"#, r#"{"iss":"https://psc.example"}"#).into_bytes();
            let at = at % token.len();
            token[at] = byte;
            let _ = Presented::read(&String::from_utf8(token).unwrap());
        }
    }
}
