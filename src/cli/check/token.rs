//! Access tokens under `carnet check`: a token alone, or as it stands in a header, after `Bearer`.

use super::Grounds;
use super::report::Report;
use crate::domain::value_set::Terminology;
use crate::identity::oidc;
use crate::identity::statement::Statement;

/// The token in a file, if it holds one: parts of base64url, three of a signed token, five of an encrypted one.
pub(super) fn find(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let token = after("Bearer", after("Authorization:", text));
    let of_base64url = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let is_token = token.starts_with("ey") && matches!(token.split('.').count(), 3 | 5);
    (is_token && token.split('.').all(of_base64url)).then_some(token)
}

/// Holds a token against every rule that needs no provider.
pub(super) fn judge(token: &str, grounds: &Grounds) -> anyhow::Result<Report> {
    let (settings, terminology) = (&grounds.config.oidc, Terminology::load()?);
    let (keys, certificate) = (grounds.keys.as_ref(), grounds.certificate.as_ref());
    let judgement = oidc::judge(token, settings, keys, certificate, &terminology, grounds.now);
    let mut report = Report::new("access token of an OIDC provider");
    judgement.facts.into_iter().for_each(|(name, value)| report.fact(name, value));
    judgement.refusals.into_iter().for_each(|refusal| report.refuse(refusal));
    judgement.not_judged.into_iter().for_each(|(what, why)| report.not_judged(what, why));
    if let Some(token) = judgement.token {
        tell(&mut report, &token.statement);
        grounds.agree(&mut report, token);
    }
    Ok(report)
}

fn tell(report: &mut Report, statement: &Statement) {
    report.fact("professional", statement.subject.id.as_str());
    if let Some(name) = &statement.subject.name {
        report.fact("name", name.as_str());
    }
    let roles: Vec<&str> = statement.roles.iter().map(|role| role.code.as_str()).collect();
    report.fact("roles", roles.join(", "));
    report.fact("structure", statement.structure.as_str());
    if let Some(sector) = &statement.sector {
        report.fact("sector", sector.code.as_str());
    }
    report.fact("purpose", statement.purpose.code());
    report.right("AIR, with the certificate that it is bound to: consult, and deposit nothing");
}

/// What follows a word, where the text begins with it.
fn after<'a>(word: &str, text: &'a str) -> &'a str {
    let begins = text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if begins { text[word.len()..].trim_start() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_known_as_it_is_pasted() {
        for text in ["eyJh.eyJp.c2ln", "Bearer eyJh.eyJp.c2ln\n", "authorization: bearer eyJh.eyJp.c2ln"] {
            assert_eq!(find(text.as_bytes()), Some("eyJh.eyJp.c2ln"), "{text}");
        }
        assert!(find(b"eyJh.a.b.c.d").is_some());
        for text in ["", "<saml/>", "eyJh.eyJp", "Bearer 2YotnFZFEjr1zCsicMWpAA", "eyJh.e J.x"] {
            assert_eq!(find(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_searched(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = find(text.as_bytes());
            let _ = find(&bytes);
        }
    }
}
