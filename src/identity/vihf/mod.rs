//! VIHF: a SAML 2.0 assertion, verified in full -> the [`Token`] that it is.
//!
//! Whatever transport brought it hands over the assertion alone, with the namespaces that are in scope declared on
//! it: the Authorization header of FHIR does, [`wss`] cuts it out of a SOAP message. Order: form, signature, signer,
//! issuer, times, attributes; a token comes out only when nothing is wrong. Then responders are asked about the signer,
//! where there are any, somebody tells whether token and connection agree, and the replay memory is asked last: an
//! assertion over the wrong connection is not used up.
//! Knows nothing of the connection: whether token and client certificate agree is [`super::caller`]'s question.
//! Source: C, T-1 to T-3.

mod assertion;
pub mod issue;
mod rules;
mod signature;
mod tree;
pub mod wss;

use std::sync::Arc;

use futures_util::future::{self, BoxFuture};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;

use self::assertion::Assertion;
use super::replay::{AssertionMemory, Keep, Presentation, PresentedAssertion};
use super::statement::{StatedMode, Statement};
use super::token::{Signer, Token, TokenKind};
use crate::clock::Clock;
use crate::config::{self, Config, InsDomain};
use crate::domain::sha::{Fingerprint, Sha256Hash, hex};
use crate::domain::value_set::Terminology;
use crate::refusal::{Failure, Refusal, Rule};
use crate::tls::distinguished_name::DistinguishedName;
use crate::tls::signature_certificate::SignatureCertificate;
use crate::tls::trust::Trust;

/// Verifies assertions. Cheap to share; holds no state but the memory's.
pub struct Verifier {
    judge: Judge,
    memory: Arc<dyn AssertionMemory>,
}

/// Everything but the memory: what can be told of an assertion without presenting it.
pub struct Judge {
    signers: Arc<dyn SignerTrust>,
    settings: config::Vihf,
    ins_domains: Vec<InsDomain>,
    homologations: Vec<String>,
    terminology: Arc<Terminology>,
    clock: Clock,
}

/// Who vouches for certificates that sign.
pub trait SignerTrust: Send + Sync {
    /// The holder of the first certificate, if it may sign at that time; the others were sent along with it.
    fn signer(&self, chain: &[CertificateDer<'_>], at: Timestamp) -> Result<SignatureCertificate, Refusal>;

    /// Asks whoever on the network has a say in whether this signer is revoked. Nobody has, where only files count.
    fn ask_about<'a>(&'a self, _chain: &'a [CertificateDer<'a>]) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(future::ready(Ok(())))
    }
}

/// What the call that carries the assertion is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    OnePatient,
    /// TD0.4, TD0.5: no INS is needed.
    NoPatient,
}

/// What was found of one assertion. Good if nothing is refused.
#[derive(Debug)]
pub struct Judgement {
    /// As far as it could be read, good or not.
    pub id: Option<String>,
    pub signer: Option<SignatureCertificate>,
    pub statement: Option<Statement>,
    pub refusals: Vec<Refusal>,
    good: Option<Good>,
}

#[derive(Debug)]
struct Good {
    token: Token,
    /// The signer's, and what was sent along with it.
    chain: Vec<CertificateDer<'static>>,
    key: Sha256Hash,
    until: Timestamp,
}

/// How much is told of what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// To whom nobody knows: nothing that an unsigned text says is looked into.
    UpToSignature,
    /// To an integrator with a file.
    Everything,
}

/// A good assertion that was not noted yet: its token is to be believed only once it is.
#[derive(Debug)]
pub struct Unused {
    pub token: Token,
    presented: PresentedAssertion,
}

impl Verifier {
    pub fn new(judge: Judge, memory: Arc<dyn AssertionMemory>) -> Self {
        Self { judge, memory }
    }

    /// Whether an assertion that is presented now is good in itself.
    pub async fn check(&self, assertion: &[u8], about: About) -> Result<Unused, Failure> {
        let judgement = self.judge.judge(assertion, about, Telling::UpToSignature);
        let Some(Good { token, chain, key, until }) = judgement.good else {
            return Err(Failure::Refused(judgement.refusals));
        };
        self.judge.signers.ask_about(&chain).await?;
        let keep = match token.statement.mode {
            StatedMode::IndirecteRenforcee => Keep::Text(String::from_utf8_lossy(assertion).into_owned()),
            StatedMode::Directe | StatedMode::Indirecte => Keep::Nothing,
        };
        Ok(Unused { token, presented: PresentedAssertion { key, until, at: self.judge.clock.now(), keep } })
    }

    /// Uses it up: it is taken now, and never again. Errors: `VihfReplayed`; what the memory says.
    pub async fn take(&self, unused: Unused) -> Result<Token, Failure> {
        let Unused { token, presented } = unused;
        match self.memory.note(presented).await? {
            Presentation::First => Ok(token),
            Presentation::Again => {
                let expected = "an id that was never presented: each call, and each resend, needs a VIHF of its own";
                Err(Refusal::new(Rule::VihfReplayed, "VIHF, Assertion/@ID", token.id, expected).into())
            }
        }
    }
}

impl Judge {
    pub fn new(config: &Config, signers: Arc<dyn SignerTrust>, terminology: Arc<Terminology>, clock: Clock) -> Self {
        Self {
            signers,
            settings: config.vihf.clone(),
            ins_domains: config.dmp.ins_domains.clone(),
            homologations: config.dmp.homologations.clone(),
            terminology,
            clock,
        }
    }

    /// Holds an assertion against every rule, as of now.
    pub fn judge(&self, bytes: &[u8], about: About, telling: Telling) -> Judgement {
        let assertion = match Assertion::read(bytes) {
            Ok(assertion) => assertion,
            Err(refusal) => {
                let refusals = vec![refusal];
                return Judgement { id: None, signer: None, statement: None, refusals, good: None };
            }
        };
        let now = self.clock.now();
        let mut refusals = Vec::new();
        let signer = self.judge_signature(bytes, &assertion, now, &mut refusals);
        if telling == Telling::UpToSignature && !refusals.is_empty() {
            return Judgement { id: Some(assertion.id), signer, statement: None, refusals, good: None };
        }
        refusals.extend(signer.as_ref().and_then(|signer| check_issuer(&assertion.issuer, signer).err()));
        refusals.extend(self.judge_times(&assertion, now));
        let tables = rules::Tables {
            terminology: &self.terminology,
            ins_domains: &self.ins_domains,
            homologations: &self.homologations,
            on: now.to_zoned(jiff::tz::TimeZone::UTC).date(),
        };
        let statement = match rules::read(&assertion, about, tables) {
            Ok(statement) => Some(statement),
            Err(wrong) => {
                refusals.extend(wrong);
                None
            }
        };
        if statement.as_ref().is_some_and(|statement| statement.mode == StatedMode::IndirecteRenforcee) {
            refusals.extend(self.judge_login(&assertion, now));
        }
        let chain = assertion.signature.certificates.iter().map(|der| CertificateDer::from(der.clone()));
        let good = match (&signer, &statement) {
            (Some(signer), Some(statement)) if refusals.is_empty() => Some(Good {
                chain: chain.collect(),
                key: replay_key(signer, &assertion.id),
                until: later(self.end_of(&assertion), self.skew()),
                token: Token {
                    kind: TokenKind::Vihf,
                    id: assertion.id.clone(),
                    statement: statement.clone(),
                    signer: Signer::Holder(signer.subject.clone()),
                },
            }),
            _ => None,
        };
        Judgement { id: Some(assertion.id), signer, statement, refusals, good }
    }

    /// The signer, where the certificate could be read; whatever else is wrong goes to `refusals`.
    fn judge_signature(
        &self,
        bytes: &[u8],
        assertion: &Assertion,
        now: Timestamp,
        refusals: &mut Vec<Refusal>,
    ) -> Option<SignatureCertificate> {
        let form = &assertion.signature;
        refusals.extend(form.check_strength(self.settings.sha1).err());
        let chain: Vec<CertificateDer<'_>> =
            form.certificates.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let signer = match self.signers.signer(&chain, now) {
            Ok(signer) => signer,
            Err(refusal) => {
                refusals.push(refusal);
                return None;
            }
        };
        let text = std::str::from_utf8(bytes).unwrap_or_default().trim_start_matches('\u{feff}');
        refusals.extend(signature::verify(text, &signer.public_key).err());
        Some(signer)
    }

    fn judge_times(&self, assertion: &Assertion, now: Timestamp) -> Vec<Refusal> {
        let skew = self.skew();
        let refused = |place: &str, found: Timestamp, expected: String| {
            Refusal::new(Rule::VihfTime, format!("VIHF, {place}"), found.to_string(), expected)
        };
        let mut refusals = Vec::new();
        let future = [
            ("Assertion/@IssueInstant", Some(assertion.issue_instant)),
            ("Conditions/@NotBefore", assertion.not_before),
            ("AuthnStatement/@AuthnInstant", Some(assertion.authn.instant)),
        ];
        for (place, instant) in future {
            if let Some(instant) = instant.filter(|instant| *instant > later(now, skew)) {
                let expected = format!("an instant not after {now}, our time, and vihf.skew_seconds: set the clock");
                refusals.push(refused(place, instant, expected));
            }
        }
        if now >= later(later(assertion.issue_instant, self.lifetime()), skew) {
            let (life, skew) = (self.settings.lifetime_seconds, self.settings.skew_seconds);
            let expected = format!("one of the {life} s before {now}, our time (and {skew} s of skew): a new VIHF");
            refusals.push(refused("Assertion/@IssueInstant", assertion.issue_instant, expected));
        }
        if let Some(end) = assertion.not_on_or_after.filter(|end| now >= later(*end, skew)) {
            let expected = format!("an end after {now}, our time: a new VIHF");
            refusals.push(refused("Conditions/@NotOnOrAfter", end, expected));
        }
        refusals
    }

    /// AIR: the structure's word for a login that it saw, by strong means and not long ago (EX_AIR-050).
    fn judge_login(&self, assertion: &Assertion, now: Timestamp) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        let class = assertion.authn.class.trim_start_matches(assertion::AUTHN_CLASSES);
        let contexts = &self.settings.air_contexts;
        if !contexts.iter().any(|known| known == class) {
            let expected = format!("a strong login, one of vihf.air_contexts: {}", contexts.join(", "));
            refusals.push(Refusal::new(Rule::VihfAttribute, "VIHF, AuthnContextClassRef", class, expected));
        }
        let hours = self.settings.login_age_hours_max;
        let end = later(later(assertion.authn.instant, SignedDuration::from_hours(hours.into())), self.skew());
        if now >= end {
            let found = assertion.authn.instant.to_string();
            let expected = format!("a login of the {hours} h before {now}, our time (vihf.login_age_hours_max)");
            refusals.push(Refusal::new(Rule::VihfTime, "VIHF, AuthnStatement/@AuthnInstant", found, expected));
        }
        refusals
    }

    fn end_of(&self, assertion: &Assertion) -> Timestamp {
        let end = later(assertion.issue_instant, self.lifetime());
        assertion.not_on_or_after.map_or(end, |stated| stated.min(end))
    }

    fn lifetime(&self) -> SignedDuration {
        SignedDuration::from_secs(self.settings.lifetime_seconds.into())
    }

    fn skew(&self) -> SignedDuration {
        SignedDuration::from_secs(self.settings.skew_seconds.into())
    }
}

impl Judgement {
    /// The token, where nothing is wrong with the assertion itself.
    pub fn token(&self) -> Option<&Token> {
        self.good.as_ref().map(|good| &good.token)
    }
}

impl SignerTrust for Trust {
    fn signer(&self, chain: &[CertificateDer<'_>], at: Timestamp) -> Result<SignatureCertificate, Refusal> {
        SignatureCertificate::verify(chain, at, &self.verifier())
    }

    fn ask_about<'a>(&'a self, chain: &'a [CertificateDer<'a>]) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(self.ask_about_signer(chain))
    }
}

/// Issuer is the subject of the certificate, in whichever rendering.
fn check_issuer(issuer: &str, signer: &SignatureCertificate) -> Result<(), Refusal> {
    let refused = |found: &str, expected: String| Refusal::new(Rule::VihfIssuer, "VIHF, Issuer", found, expected);
    let stated = issuer
        .parse::<DistinguishedName>()
        .map_err(|error| refused("no DN", format!("the DN of the signing certificate ({error})")))?;
    signer.name.check_stated_as(&stated).map_err(|(found, expected)| {
        refused(&found, format!("{expected}, as in the subject of the signing certificate"))
    })
}

/// Instants come from outside: the last one there is has none after it.
fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// Ids are the signer's business: two keys may use one. The key, not its certificate, which nobody signed here.
fn replay_key(signer: &SignatureCertificate, id: &str) -> Sha256Hash {
    let key = Fingerprint::of(&signer.public_key).sha256;
    Fingerprint::of(&[hex(&key.0).as_bytes(), id.as_bytes()].concat()).sha256
}

#[cfg(test)]
mod tests;
