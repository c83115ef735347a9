//! `[vihf]`: how far assertions are believed. Source: C.1, B.3.

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Vihf {
    /// Takes signatures and digests in SHA-1 too: old software knows nothing else.
    pub sha1: bool,
    /// How long after its `IssueInstant` an assertion may be presented.
    pub lifetime_seconds: u32,
    /// How far the sender's clock and ours may disagree.
    pub skew_seconds: u32,
    /// How a professional may have logged in (AIR): SAML classes of authentication context, their last part.
    pub air_contexts: Vec<String>,
    /// How old that login may be (AIR). No text bounds it: a long shift is.
    pub login_age_hours_max: u32,
}

impl Default for Vihf {
    fn default() -> Self {
        // C.1 names the first two; the others are the classes of SAML 2.0 that need something one holds. A password
        // alone, and "unspecified", are no strong means.
        const STRONG: [&str; 6] = [
            "SmartcardPKI",
            "TLSClient",
            "SoftwarePKI",
            "MobileTwoFactorContract",
            "MobileTwoFactorUnregistered",
            "TimeSyncToken",
        ];
        Self {
            sha1: false,
            lifetime_seconds: 300,
            skew_seconds: 60,
            air_contexts: STRONG.map(str::to_owned).to_vec(),
            login_age_hours_max: 12,
        }
    }
}

impl Vihf {
    /// Key and problem of a value that cannot be meant.
    pub(super) fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        const DAY_S: u32 = 86_400;
        const YEAR_H: u32 = 8_760;
        if !(1..=DAY_S).contains(&self.lifetime_seconds) {
            return Some(("vihf.lifetime_seconds", "between a second and a day: the replay memory lasts as long"));
        }
        if self.skew_seconds > DAY_S {
            return Some(("vihf.skew_seconds", "at most a day: set the clocks instead"));
        }
        let is_hours = (1..=YEAR_H).contains(&self.login_age_hours_max);
        (!is_hours).then_some(("vihf.login_age_hours_max", "between an hour and a year"))
    }
}
