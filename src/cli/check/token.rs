//! What `carnet check` says of an access token: who it names, what it may do, every rule that it breaks.

use jiff::Timestamp;

use crate::config::Oidc;
use crate::domain::value_set::Terminology;
use crate::identity::oidc::{KeySet, judge};
use crate::identity::statement::Statement;
use crate::refusal::Refusal;
use crate::tls::client_certificate::ClientCertificate;

/// One judged token, in the words of a report.
#[derive(Debug)]
pub struct JudgedToken {
    pub kind: String,
    pub facts: Vec<(&'static str, String)>,
    pub rights: Vec<String>,
    pub refusals: Vec<Refusal>,
    /// What only the running gateway can tell, and why not here.
    pub not_judged: Vec<(&'static str, &'static str)>,
}

/// Whether a text is worth judging as an access token: three parts of base64url, whatever stands around them.
pub fn is_token(text: &str) -> bool {
    let text = bare(text);
    let of_base64url = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    text.starts_with("ey") && text.split('.').count() == 3 && text.split('.').all(of_base64url)
}

/// Judges the text of a file: a token alone, or as it stands in a header, after `Bearer`.
pub fn judge_token(
    text: &str,
    settings: &Oidc,
    keys: Option<&KeySet>,
    certificate: Option<&ClientCertificate>,
    terminology: &Terminology,
    now: Timestamp,
) -> JudgedToken {
    let judgement = judge(bare(text), settings, keys, certificate, terminology, now);
    let mut facts = judgement.facts;
    facts.extend(judgement.statement.as_ref().map(facts_of).unwrap_or_default());
    let accepted = judgement.refusals.is_empty() && judgement.statement.is_some();
    let rights = if accepted { vec![RIGHTS.to_owned()] } else { Vec::new() };
    JudgedToken {
        kind: "access token of an OIDC provider".to_owned(),
        facts,
        rights,
        refusals: judgement.refusals,
        not_judged: judgement.not_judged,
    }
}

fn bare(text: &str) -> &str {
    let text = text.trim();
    let text = text
        .get(..HEADER.len())
        .filter(|start| start.eq_ignore_ascii_case(HEADER))
        .map_or(text, |start| &text[start.len()..])
        .trim_start();
    text.get(..SCHEME.len())
        .filter(|start| start.eq_ignore_ascii_case(SCHEME))
        .map_or(text, |start| &text[start.len()..])
        .trim_start()
}

fn facts_of(statement: &Statement) -> Vec<(&'static str, String)> {
    let roles: Vec<String> = statement
        .roles
        .iter()
        .map(|role| {
            role.display.as_ref().map_or_else(|| role.code.clone(), |display| format!("{} {display}", role.code))
        })
        .collect();
    let mut facts = vec![
        ("professional", statement.subject.id.clone()),
        ("structure", statement.structure.to_string()),
        ("roles", roles.join(", ")),
        ("purpose", statement.purpose.code().to_owned()),
    ];
    facts.extend(statement.sector.as_ref().map(|sector| ("sector", sector.code.clone())));
    facts
}

const RIGHTS: &str =
    "consult, in the name of this professional, on a connection with the certificate of this structure (AIR)";
const HEADER: &str = "Authorization:";
const SCHEME: &str = "Bearer ";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_known_as_it_is_pasted() {
        for text in ["eyJh.eyJp.c2ln", "Bearer eyJh.eyJp.c2ln\n", "authorization: bearer eyJh.eyJp.c2ln"] {
            assert!(is_token(text), "{text}");
            assert_eq!(bare(text), "eyJh.eyJp.c2ln");
        }
        for text in ["", "<saml/>", "eyJh.eyJp", "Bearer 2YotnFZFEjr1zCsicMWpAA", "eyJh.e J.x"] {
            assert!(!is_token(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in "\\PC*") {
            let settings = Oidc { issuer: "https://psc.example".to_owned(), ..Oidc::default() };
            let terminology = Terminology::load().unwrap();
            let judged = judge_token(&text, &settings, None, None, &terminology, Timestamp::UNIX_EPOCH);
            prop_assert!(!judged.refusals.is_empty());
        }
    }
}
