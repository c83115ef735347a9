//! What `carnet check` says of one file: the same frame for certificates, VIHF and tokens.

use serde_json::{Value, json};

use crate::cli::{Ending, Reason, say};
use crate::refusal::Refusal;

/// One judged file.
#[derive(Debug)]
pub(super) struct Report {
    /// What it is: "client certificate of a professional (CPS)", "VIHF 3.0, mode DIRECTE"...
    kind: String,
    /// Who and what it names, in the order of its reading.
    facts: Vec<(&'static str, String)>,
    /// What it may do, one sentence each; empty where it may do nothing.
    rights: Vec<String>,
    findings: Vec<Finding>,
}

/// What an offline look leads to.
#[derive(Debug)]
pub(super) enum Finding {
    /// The gateway would refuse it for this.
    Refused(Refusal),
    /// Only a running gateway can tell: what, and why not here.
    NotJudged { what: &'static str, why: String },
}

impl Report {
    pub(super) fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), facts: Vec::new(), rights: Vec::new(), findings: Vec::new() }
    }

    pub(super) fn fact(&mut self, name: &'static str, value: impl Into<String>) {
        self.facts.push((name, value.into()));
    }

    pub(super) fn right(&mut self, sentence: impl Into<String>) {
        self.rights.push(sentence.into());
    }

    /// A rule that fails; told once, however many checks come upon it.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        if !self.refusals().any(|known| *known == refusal) {
            self.findings.push(Finding::Refused(refusal));
        }
    }

    pub(super) fn not_judged(&mut self, what: &'static str, why: impl Into<String>) {
        self.findings.push(Finding::NotJudged { what, why: why.into() });
    }

    /// Refused as soon as one rule fails.
    pub(super) fn ending(&self) -> Ending {
        if self.refusals().next().is_some() { Ending::Refused } else { Ending::Done }
    }

    pub(super) fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.findings.iter().filter_map(|finding| match finding {
            Finding::Refused(refusal) => Some(refusal),
            Finding::NotJudged { .. } => None,
        })
    }

    /// For people.
    pub(super) fn print(&self, file: &str) {
        say(&format!("{file}: {}", self.kind));
        let width = self.facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in &self.facts {
            say(&format!("  {name:width$}  {value}"));
        }
        let accepted = self.ending() == Ending::Done;
        for right in self.rights.iter().filter(|_| accepted) {
            say(&format!("  may: {right}"));
        }
        for finding in &self.findings {
            match finding {
                Finding::Refused(refusal) => {
                    say(&format!("  refused: {}: {}", refusal.rule.code(), refusal.place));
                    say(&format!("    found     {}", refusal.found));
                    say(&format!("    expected  {}", refusal.expected));
                    say(&format!("    source    {}", refusal.rule.source()));
                }
                Finding::NotJudged { what, why } => say(&format!("  not judged: {what}: {why}")),
            }
        }
        if accepted {
            say("  accepted, as far as can be told offline");
        }
    }

    /// For programs.
    pub(super) fn json(&self, file: &str) -> Value {
        let facts: serde_json::Map<String, Value> =
            self.facts.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect();
        let refused: Vec<Reason> = self.refusals().cloned().map(Reason::from).collect();
        let not_judged = self.findings.iter().filter_map(|finding| match finding {
            Finding::NotJudged { what, why } => Some(json!({ "what": what, "why": why })),
            Finding::Refused(_) => None,
        });
        let accepted = self.ending() == Ending::Done;
        let rights = if accepted { self.rights.as_slice() } else { &[] };
        json!({
            "file": file,
            "kind": self.kind,
            "accepted": accepted,
            "facts": facts,
            "rights": rights,
            "refused": refused,
            "not_judged": not_judged.collect::<Vec<_>>(),
        })
    }
}
