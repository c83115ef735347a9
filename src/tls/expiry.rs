//! When what we rely on ends: a metric for each certificate and list in play, and warnings in the log in time.
//!
//! Each certificate is warned of once at 60, 30 and 7 days and once when it is over. Lists live for days, so
//! theirs is a metric, and the warning comes when one is stale. Knows the injected clock only.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use x509_parser::x509::X509Name;

/// One end to keep an eye on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Expiring {
    pub kind: ExpiringKind,
    /// Common name, or the whole name where there is none.
    pub name: String,
    pub until_s: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExpiringKind {
    Server,
    Root,
    Authority,
    Crl,
    /// Of those whom the gateway itself asks, and its own towards them.
    Service,
}

/// How near the end is. The log is told once of each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    Days60,
    Days30,
    Days7,
    Over,
}

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    told: Mutex<HashMap<Expiring, Notice>>,
    shown: Mutex<Vec<(ExpiringKind, String)>>,
}

impl Expiring {
    pub(super) fn new(kind: ExpiringKind, name: &X509Name<'_>, until_s: i64) -> Self {
        let common_name = name.iter_common_name().next().and_then(|one| one.as_str().ok());
        Self { kind, name: common_name.map_or_else(|| name.to_string(), str::to_owned), until_s }
    }
}

impl ExpiringKind {
    fn label(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Root => "root",
            Self::Authority => "authority",
            Self::Crl => "crl",
            Self::Service => "service",
        }
    }
}

impl Notice {
    fn of(one: &Expiring, now_s: i64) -> Option<Self> {
        let left_s = one.until_s.saturating_sub(now_s);
        if left_s <= 0 {
            return Some(Self::Over);
        }
        let steps = [(7, Self::Days7), (30, Self::Days30), (60, Self::Days60)];
        let reached = steps.into_iter().find(|(days, _)| left_s <= days * DAY_S);
        reached.filter(|_| one.kind != ExpiringKind::Crl).map(|(_, notice)| notice)
    }
}

impl Expiries {
    /// Sets the metrics and warns of what is near its end. What was told now, nearest step of each.
    pub(super) fn check(&self, in_play: &[Expiring], now_s: i64) -> Vec<(Expiring, Notice)> {
        self.show(in_play);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|one, _| in_play.contains(one));
        let mut news = Vec::new();
        for one in in_play {
            let Some(notice) = Notice::of(one, now_s) else { continue };
            if told.get(one).is_some_and(|before| *before >= notice) {
                continue;
            }
            told.insert(one.clone(), notice);
            tell(one, notice);
            news.push((one.clone(), notice));
        }
        news
    }

    /// The soonest end of each name; a name that is no longer in play ends never.
    fn show(&self, in_play: &[Expiring]) {
        let mut soonest: HashMap<(ExpiringKind, String), i64> = HashMap::new();
        for one in in_play {
            let end_s = soonest.entry((one.kind, one.name.clone())).or_insert(one.until_s);
            *end_s = one.until_s.min(*end_s);
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, name) in shown.iter().filter(|key| !soonest.contains_key(key)) {
            gauge(*kind, name).set(f64::INFINITY);
        }
        for ((kind, name), end_s) in &soonest {
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit 52 bits for ages")]
            gauge(*kind, name).set(*end_s as f64);
        }
        *shown = soonest.into_keys().collect();
    }
}

fn gauge(kind: ExpiringKind, name: &str) -> metrics::Gauge {
    metrics::gauge!("carnet_tls_expiry_timestamp", "kind" => kind.label(), "name" => name.to_owned())
}

fn tell(one: &Expiring, notice: Notice) {
    let (kind, name) = (one.kind.label(), one.name.as_str());
    let until = Timestamp::from_second(one.until_s).unwrap_or(Timestamp::MAX);
    match notice {
        Notice::Over => tracing::error!(kind, name, %until, "is past its end"),
        Notice::Days7 => tracing::error!(kind, name, %until, "ends in 7 days or less"),
        Notice::Days30 => tracing::warn!(kind, name, %until, "ends in 30 days or less"),
        Notice::Days60 => tracing::warn!(kind, name, %until, "ends in 60 days or less"),
    }
}

const DAY_S: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: ExpiringKind) -> Expiring {
        Expiring { kind, name: "AC TEST".to_owned(), until_s: 100 * DAY_S }
    }

    fn told_on(expiries: &Expiries, one: &Expiring, day: i64) -> Option<Notice> {
        expiries.check(std::slice::from_ref(one), day * DAY_S).first().map(|(_, notice)| *notice)
    }

    #[test]
    fn a_certificate_is_warned_of_once_at_each_step() {
        let (expiries, server) = (Expiries::default(), one(ExpiringKind::Server));
        let days = [39, 40, 41, 70, 71, 93, 94, 99, 100, 101];
        let told = days.map(|day| told_on(&expiries, &server, day));
        let wanted = [
            None,
            Some(Notice::Days60),
            None,
            Some(Notice::Days30),
            None,
            Some(Notice::Days7),
            None,
            None,
            Some(Notice::Over),
            None,
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_renewed_certificate_starts_again() {
        let (expiries, old) = (Expiries::default(), one(ExpiringKind::Root));
        assert_eq!(told_on(&expiries, &old, 95), Some(Notice::Days7));
        let new = Expiring { until_s: 150 * DAY_S, ..old };
        assert_eq!(told_on(&expiries, &new, 95), Some(Notice::Days60));
    }

    #[test]
    fn a_list_is_warned_of_when_it_is_stale() {
        let (expiries, list) = (Expiries::default(), one(ExpiringKind::Crl));
        assert_eq!(told_on(&expiries, &list, 99), None);
        assert_eq!(told_on(&expiries, &list, 100), Some(Notice::Over));
    }
}
