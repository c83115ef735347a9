//! Judges a verified path: is anybody on it revoked, and until when does that hold?
//!
//! The root itself is trusted by configuration, and no list can say otherwise. Source: RFC 5280 6.3, RFC 6960.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::CertificateError;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

use super::policy::{Missed, Policies, unknown_names};
use super::responder::{Responders, Slot};
use super::{Revocations, Status};
use crate::config::{self, RevocationPolicy};

/// All that is known of revocation at one time.
#[derive(Debug)]
pub(in crate::tls) struct Judge {
    pub(in crate::tls) lists: Revocations,
    /// Whose lists and answers count: those that configuration names.
    authorities: Vec<CertificateDer<'static>>,
    policies: Policies,
    responders: Arc<Responders>,
    missed: Arc<Missed>,
}

/// Of a path on which nobody is known to be revoked.
#[derive(Default)]
pub(in crate::tls) struct Judgement {
    /// Until when that holds, dates of certificates apart; only where nothing is left to ask.
    pub(in crate::tls) until_s: i64,
    /// What has to be asked first.
    pub(in crate::tls) unanswered: Vec<Arc<Slot>>,
    /// What responders say of this path is kept fresh for as long as somebody holds these.
    pub(in crate::tls) held: Vec<Arc<Slot>>,
    /// Nobody vouches for one of the certificates, and the policy lets it in.
    pub(in crate::tls) lenience: Option<Lenience>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tls) enum Lenience {
    /// What was known last is past its end.
    Grace,
    /// Nothing was ever known.
    NoSource,
}

/// Why a path is not let in, in words for a log and for its holder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    #[error("a certificate that {authority} has revoked")]
    Revoked { authority: String },
    #[error("a certificate of {authority}, of which nothing is known since {}", moment(*.since_s))]
    Stale { authority: String, since_s: i64 },
    #[error("a certificate of {authority}, of which no list and no answer can vouch")]
    Unknown { authority: String },
    #[error("a certificate that cannot be read")]
    Unreadable,
}

/// A setting that names somebody who does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("revocation.policies: no root of tls.client_roots has the common name `{0}`")]
    Root(String),
    #[error(
        "revocation.ocsp_urls: no certificate of tls.client_roots, tls.issuers or revocation.authorities has the common \
         name `{0}`"
    )]
    Authority(String),
}

impl Judge {
    /// `authorities`: the roots among them.
    pub(in crate::tls) fn new(
        settings: &config::Revocation,
        lists: Revocations,
        roots: &[X509Certificate<'_>],
        authorities: &[X509Certificate<'_>],
        shared: (Arc<Responders>, Arc<Missed>),
    ) -> Result<Self, NameError> {
        let policies = Policies::of_roots(settings, roots).map_err(NameError::Root)?;
        if let Some(unknown) = unknown_names(&settings.ocsp_urls, authorities) {
            return Err(NameError::Authority(unknown.to_owned()));
        }
        let owned = authorities.iter().map(|authority| CertificateDer::from(authority.as_raw().to_vec())).collect();
        let (responders, missed) = shared;
        Ok(Self { lists, authorities: owned, policies, responders, missed })
    }

    /// Judges a path, end-entity first, root last. Errors: somebody is revoked; or nobody can vouch, will not be
    /// asked, and the policy wants it.
    pub(in crate::tls) fn judge(&self, path: &[X509Certificate<'_>], now_s: i64) -> Result<Judgement, Doubt> {
        let (root, below) = path.split_last().ok_or(Doubt::Unreadable)?;
        let policy = self.policies.under(root);
        let mut judgement = Judgement { until_s: i64::MAX, ..Judgement::default() };
        for certificate in below {
            let slot = self.responders.slot_of(certificate, &self.authorities, self.algorithms());
            let said = slot.as_ref().map_or(Status::Unlisted, |slot| slot.status());
            let listed = self.lists.status(certificate, path, now_s);
            if listed == Status::Revoked || said == Status::Revoked {
                return Err(Doubt::Revoked { authority: certificate.issuer().to_string() });
            }
            let known_until_s = listed.good_until_s().max(said.good_until_s());
            let fresh = known_until_s.filter(|until_s| now_s < *until_s);
            if let Some(slot) = slot {
                if fresh.is_none() && slot.may_be_asked(now_s) {
                    judgement.unanswered.push(Arc::clone(&slot));
                }
                judgement.held.push(slot);
            }
            let until_s = match fresh {
                Some(until_s) => {
                    self.missed.forget(certificate);
                    until_s
                }
                None if !judgement.unanswered.is_empty() => now_s,
                None => {
                    let has_source = listed != Status::Unlisted || self.responders.has_one_for(certificate);
                    let lenience = if known_until_s.is_some() { Lenience::Grace } else { Lenience::NoSource };
                    judgement.lenience = Some(lenience);
                    self.without_fresh(certificate, known_until_s, policy, has_source, now_s)?
                }
            };
            judgement.until_s = judgement.until_s.min(until_s);
        }
        Ok(judgement)
    }

    /// Roots, and the authorities that configuration names under them.
    pub(in crate::tls) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    pub(in crate::tls) fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.lists.algorithms
    }

    /// Until when a certificate comes in though nobody vouches for it now.
    fn without_fresh(
        &self,
        certificate: &X509Certificate<'_>,
        stale_s: Option<i64>,
        policy: RevocationPolicy,
        has_source: bool,
        now_s: i64,
    ) -> Result<i64, Doubt> {
        let authority = || certificate.issuer().to_string();
        let doubt = || match stale_s {
            Some(since_s) => Doubt::Stale { authority: authority(), since_s },
            None => Doubt::Unknown { authority: authority() },
        };
        let until_s = match policy {
            RevocationPolicy::Listed if !has_source => {
                self.missed.since_s(certificate, now_s);
                i64::MAX
            }
            RevocationPolicy::Hard | RevocationPolicy::Listed => return Err(doubt()),
            RevocationPolicy::Soft => {
                let since_s = stale_s.unwrap_or_else(|| self.missed.since_s(certificate, now_s));
                since_s.saturating_add(self.policies.grace_s)
            }
        };
        if now_s >= until_s {
            return Err(doubt());
        }
        Ok(until_s)
    }
}

impl Lenience {
    pub(in crate::tls) fn label(self) -> &'static str {
        match self {
            Self::Grace => "grace",
            Self::NoSource => "no_source",
        }
    }
}

impl From<Doubt> for CertificateError {
    fn from(doubt: Doubt) -> Self {
        match doubt {
            Doubt::Revoked { .. } => Self::Revoked,
            Doubt::Stale { .. } => Self::ExpiredRevocationList,
            Doubt::Unknown { .. } => Self::UnknownRevocationStatus,
            Doubt::Unreadable => Self::BadEncoding,
        }
    }
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
