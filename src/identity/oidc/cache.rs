//! Tokens that were verified, so that the next request with the same one costs a hash and a look.
//!
//! Invariant: an entry is of one token on one certificate. What can change while it is kept (time, the provider's
//! keys) is looked at on every use. Holds no token: only hashes of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::sha::{Fingerprinter, Sha256Hash, hex};
use crate::identity::token::Token;

#[derive(Debug)]
pub(super) struct Cache {
    kept: Mutex<Kept>,
    entries_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<TokenKey, Arc<Verified>>,
    /// Keys in the order they came; one that was replaced stands here twice until its first place is reached.
    order: VecDeque<TokenKey>,
}

/// A token on a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenKey(Sha256Hash);

/// What was found of a token.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) token: Token,
    /// The last second at which it holds.
    pub(super) until_s: i64,
    /// Of the key that signed it; `None` where the provider itself was asked.
    pub(super) signed_by: Option<Sha256Hash>,
}

impl TokenKey {
    pub(super) fn new(token: &str, certificate: &Sha256Hash) -> Self {
        let mut hash = Fingerprinter::default();
        // The fingerprint has a fixed length: no token can be cut otherwise.
        hash.update(&certificate.0);
        hash.update(token.as_bytes());
        Self(hash.finish().sha256)
    }

    /// Enough of it to tell tokens apart in a journal.
    pub(super) fn short(&self) -> String {
        hex(&self.0.0[..8])
    }
}

impl Cache {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { kept: Mutex::default(), entries_max }
    }

    /// What is kept of a token and still holds.
    pub(super) fn find(&self, key: &TokenKey, now_s: i64, still: impl Fn(&Verified) -> bool) -> Option<Arc<Verified>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let verified = kept.entries.get(key)?;
        if now_s <= verified.until_s && still(verified) {
            return Some(Arc::clone(verified));
        }
        kept.entries.remove(key);
        None
    }

    /// Keeps one more; the oldest make room.
    pub(super) fn keep(&self, key: TokenKey, verified: Arc<Verified>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.entries.insert(key, verified);
        kept.order.push_back(key);
        while kept.order.len() > self.entries_max {
            if let Some(oldest) = kept.order.pop_front() {
                kept.entries.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::caller::Purpose;
    use crate::identity::statement::{AccessVisibility, StatedMode, StatedSubject, Statement};
    use crate::identity::token::{Signer, TokenKind};

    const CERTIFICATE: Sha256Hash = Sha256Hash([1; 32]);

    fn verified(until_s: i64) -> Arc<Verified> {
        let statement = Statement {
            mode: StatedMode::IndirecteRenforcee,
            subject: StatedSubject { id: "810000000011".to_owned(), name: None },
            structure: "1350000899".parse().unwrap(),
            sector: None,
            roles: Vec::new(),
            purpose: Purpose::Normal,
            patient: None,
            visibility: AccessVisibility::Ordinary,
            software: None,
        };
        let token = Token { kind: TokenKind::Oidc, id: "jti".to_owned(), statement, signer: Signer::Provider };
        Arc::new(Verified { token, until_s, signed_by: None })
    }

    fn key(token: &str) -> TokenKey {
        TokenKey::new(token, &CERTIFICATE)
    }

    #[test]
    fn a_token_is_found_on_its_own_certificate_alone() {
        let cache = Cache::new(10);
        cache.keep(key("a"), verified(100));
        assert!(cache.find(&key("a"), 100, |_| true).is_some());
        assert!(cache.find(&TokenKey::new("a", &Sha256Hash([2; 32])), 100, |_| true).is_none());
    }

    #[test]
    fn what_no_longer_holds_is_gone_for_good() {
        let cache = Cache::new(10);
        cache.keep(key("a"), verified(100));
        assert!(cache.find(&key("a"), 101, |_| true).is_none());
        assert!(cache.find(&key("a"), 100, |_| true).is_none());
        cache.keep(key("a"), verified(100));
        assert!(cache.find(&key("a"), 100, |_| false).is_none());
    }

    #[test]
    fn the_oldest_make_room() {
        let cache = Cache::new(2);
        for token in ["a", "b", "c"] {
            cache.keep(key(token), verified(100));
        }
        assert!(cache.find(&key("a"), 0, |_| true).is_none());
        assert!(cache.find(&key("b"), 0, |_| true).is_some() && cache.find(&key("c"), 0, |_| true).is_some());
        for _ in 0..10 {
            cache.keep(key("c"), verified(100));
        }
        let kept = cache.kept.lock().unwrap();
        assert!(kept.order.len() <= 2 && kept.entries.len() <= 2);
    }
}
