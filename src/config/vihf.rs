//! `[vihf]`: how far assertions are believed. Source: C.1.

use serde::Deserialize;

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct Vihf {
    /// Takes signatures and digests in SHA-1 too: old software knows nothing else.
    pub sha1: bool,
    /// How long after its `IssueInstant` an assertion may be presented.
    pub lifetime_seconds: u32,
    /// How far the sender's clock and ours may disagree.
    pub skew_seconds: u32,
}

impl Default for Vihf {
    fn default() -> Self {
        Self { sha1: false, lifetime_seconds: 300, skew_seconds: 60 }
    }
}

impl Vihf {
    /// Key and problem of a value that cannot be meant.
    pub(super) fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        const DAY_S: u32 = 86_400;
        if !(1..=DAY_S).contains(&self.lifetime_seconds) {
            return Some(("vihf.lifetime_seconds", "between a second and a day: the replay memory lasts as long"));
        }
        (self.skew_seconds > DAY_S).then_some(("vihf.skew_seconds", "at most a day: set the clocks instead"))
    }
}
