//! Who is revoked: lists (CRLs, full and delta) and answers of responders (OCSP), judged under a policy per root.
//!
//! 2026-11-21, why not the verifier's own CRL support: it checks the signature of the list again in each
//! handshake (100,000 entries made a handshake 4 times dearer, measured), and a resumed session or a
//! connection that stays open never comes back to it. Here a list is parsed when it is read, its signature is
//! checked once with the key of its authority (at loading where configuration has that authority, else when it
//! first shows up in a chain), and one lookup serves handshakes, resumptions and requests alike.
//!
//! - Only a list that its authority signed counts; then whom it names is revoked, be it stale or of any scope.
//! - A list vouches until its nextUpdate for the certificates in its [`scope`](self::scope). Of several editions
//!   the newest counts.
//! - A delta list adds to a complete list of the same scope, or takes off it who was on hold. Where it holds all
//!   that came after that list, the two together are as fresh as the delta. Source: RFC 5280 5.2.4.
//! - Any source may revoke, any fresh source vouches; what happens without one is [`policy`](self::policy).

pub(super) mod download;
pub(super) mod fetch;
pub(super) mod judge;
pub(super) mod list;
pub(super) mod ocsp;
pub(super) mod policy;
pub(super) mod responder;
mod scope;
mod signed;

use std::cmp::Ordering;
use std::collections::HashMap;

use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_parser::certificate::X509Certificate;

use self::list::{CrlError, Edition, Entry, List};
use self::scope::Scope;
use self::signed::significant;

/// Every list in force, by the DER of the name of its authority.
#[derive(Debug)]
pub(super) struct Revocations {
    by_issuer: HashMap<Box<[u8]>, Vec<List>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// What the lists say of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Revoked,
    /// Not revoked, as of lists that hold until then (seconds since 1970), be it past.
    GoodUntil(i64),
    /// There are lists of its authority, and none that may vouch for it.
    Unproven,
    /// Its authority publishes no list that we know.
    Unlisted,
}

impl Status {
    fn good_until_s(self) -> Option<i64> {
        match self {
            Self::GoodUntil(until_s) => Some(until_s),
            Self::Revoked | Self::Unproven | Self::Unlisted => None,
        }
    }
}

/// How a set of lists falls behind the one before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Setback<'a> {
    Gone { issuer: &'a [u8] },
    RolledBack { issuer: &'a [u8], before: &'a Edition, now: Edition },
}

impl Revocations {
    pub(super) fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { by_issuer: HashMap::new(), algorithms }
    }

    /// Adds one list. Where `authorities` has its issuer, the signature is checked here and now.
    pub(super) fn add(&mut self, list: List, authorities: &[X509Certificate<'_>]) -> Result<(), CrlError> {
        let of_ours = authorities.iter().any(|authority| authority.subject().as_raw() == list.issuer.as_ref());
        if of_ours && !list.is_proven(authorities, &self.algorithms) {
            return Err(CrlError::Signature);
        }
        self.by_issuer.entry(list.issuer.clone()).or_default().push(list);
        Ok(())
    }

    /// Whether there is a list of this authority that can vouch.
    pub(super) fn covers(&self, issuer: &[u8]) -> bool {
        let mut lists = self.by_issuer.get(issuer).into_iter().flatten();
        lists.any(|list| !list.is_delta() && list.scope.can_vouch())
    }

    /// The newest edition of each list, deltas apart.
    pub(super) fn newest(&self) -> impl Iterator<Item = &List> {
        self.by_issuer.values().flatten().filter(|list| {
            let editions = self.editions_of(list);
            editions.max_by(|a, b| a.edition.compare(&b.edition)).is_some_and(|newest| std::ptr::eq(newest, *list))
        })
    }

    /// The newest edition that we have of this list.
    pub(super) fn newest_of(&self, list: &List) -> Option<&List> {
        self.editions_of(list).max_by(|a, b| a.edition.compare(&b.edition))
    }

    /// What would let in again whom the set before kept out. An authority of which `went` holds is left out.
    pub(super) fn setback_since<'b>(&self, before: &'b Self, went: impl Fn(&[u8]) -> bool) -> Option<Setback<'b>> {
        before.newest().filter(|list| !went(&list.issuer)).find_map(|old| {
            let lists = || self.by_issuer.get(&old.issuer).into_iter().flatten();
            let kept = if old.is_delta() {
                // Its news may be in a complete list by now.
                lists().filter(|list| list.scope_der == old.scope_der).max_by(|a, b| a.edition.compare(&b.edition))
            } else {
                self.newest_of(old)
            };
            let Some(kept) = kept else {
                let replaced = lists().any(|list| !list.is_delta() && list.scope == Scope::ALL);
                return (old.scope.can_vouch() && !replaced).then_some(Setback::Gone { issuer: &old.issuer });
            };
            let now = kept.edition.clone();
            let rolled_back = now.compare(&old.edition) == Ordering::Less;
            rolled_back.then_some(Setback::RolledBack { issuer: &old.issuer, before: &old.edition, now })
        })
    }

    /// Looks a certificate up. `presented`: the chain it came with, where its authority may be found.
    pub(super) fn status(
        &self,
        certificate: &X509Certificate<'_>,
        presented: &[X509Certificate<'_>],
        now_s: i64,
    ) -> Status {
        let Some(lists) = self.by_issuer.get(certificate.issuer().as_raw()) else {
            return Status::Unlisted;
        };
        let proven: Vec<&List> = lists.iter().filter(|list| list.is_proven(presented, &self.algorithms)).collect();
        let serial = significant(certificate.raw_serial());
        let mut until_s = None;
        for scope_der in scopes(&proven) {
            let known = Known::of_scope(&proven, scope_der);
            if known.entry(serial) == Some(Entry::Revoked) {
                return Status::Revoked;
            }
            until_s = until_s.max(known.vouches_until_s(certificate, now_s));
        }
        until_s.map_or(Status::Unproven, Status::GoodUntil)
    }

    fn editions_of<'a>(&'a self, list: &List) -> impl Iterator<Item = &'a List> {
        let lists = self.by_issuer.get(&list.issuer).into_iter().flatten();
        lists.filter(move |other| other.is_edition_of(list))
    }
}

/// The newest complete list of one scope, and the deltas that are newer, newest first.
struct Known<'a> {
    complete: Option<&'a List>,
    deltas: Vec<&'a List>,
}

impl<'a> Known<'a> {
    fn of_scope(proven: &[&'a List], scope_der: &[u8]) -> Self {
        let of_scope = || proven.iter().copied().filter(|list| list.scope_der.as_ref() == scope_der);
        let complete = of_scope().filter(|list| !list.is_delta()).max_by(|a, b| a.edition.compare(&b.edition));
        let newer = |delta: &&List| complete.is_none_or(|complete| delta.edition.compare(&complete.edition).is_gt());
        let mut deltas: Vec<&List> = of_scope().filter(|list| list.is_delta()).filter(newer).collect();
        deltas.sort_by(|a, b| b.edition.compare(&a.edition));
        Self { complete, deltas }
    }

    /// What was said last of this serial.
    fn entry(&self, serial: &[u8]) -> Option<Entry> {
        self.deltas.iter().copied().chain(self.complete).find_map(|list| list.entry(serial))
    }

    fn vouches_until_s(&self, certificate: &X509Certificate<'_>, now_s: i64) -> Option<i64> {
        let begun = |list: &&List| list.edition.this_update_s <= now_s.saturating_add(CLOCK_DIFFERENCE_S);
        let complete = self.complete.filter(begun).filter(|list| list.scope.includes(certificate))?;
        let deltas = self.deltas.iter().copied().filter(begun).filter(|delta| delta.completes(complete));
        deltas.map(|delta| delta.next_update_s).chain([complete.next_update_s]).max()
    }
}

fn scopes<'a>(lists: &[&'a List]) -> Vec<&'a [u8]> {
    let mut scopes: Vec<&[u8]> = lists.iter().map(|list| list.scope_der.as_ref()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

/// How long to leave somebody alone who failed so many times in a row.
fn backoff_s(failures: u32) -> i64 {
    30 << failures.saturating_sub(1).min(6)
}

/// How far the clock of an authority may be ahead of ours.
const CLOCK_DIFFERENCE_S: i64 = 300;

#[cfg(test)]
mod tests;
