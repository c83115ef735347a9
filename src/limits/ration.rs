//! Limits of a holder: one certificate, and all certificates of one structure together.
//!
//! Both are needed. A stolen or broken client is one certificate; a structure may have as many as it asks for.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::count_limited;
use super::rates::Rates;
use super::shares::{Share, Shares};
use crate::domain::national_id::StructIdNat;
use crate::domain::sha::Sha256Hash;
use crate::refusal::{Refusal, Rule};
use crate::tls::listener::PresentedCertificate;
use crate::tls::subject::Subject;

/// Whose share something is.
#[derive(Clone, Debug)]
pub struct Holder {
    certificate: Sha256Hash,
    structure: Option<StructIdNat>,
}

/// A limit and the key of `[limits]` that sets it.
#[derive(Clone, Copy, Debug)]
pub struct Limit<T> {
    pub setting: &'static str,
    pub max: T,
}

/// So much of one thing at one time.
pub struct Ration {
    /// What is rationed, in the words of a refusal: "deposits in flight".
    things: &'static str,
    certificates: (&'static str, Arc<Shares<Sha256Hash>>),
    structures: (&'static str, Arc<Shares<StructIdNat>>),
}

/// What a holder has of a [`Ration`], until it is dropped.
pub struct Portion {
    of: Arc<Ration>,
    certificate: Share<Sha256Hash>,
    structure: Option<Share<StructIdNat>>,
}

/// So often in a second.
pub struct Pace {
    certificates: (&'static str, Rates<Sha256Hash>),
    structures: (&'static str, Rates<StructIdNat>),
}

impl Holder {
    /// Of a certificate of any class: who may do nothing here has a share of the explanations.
    pub fn of(presented: &PresentedCertificate) -> Self {
        match presented.as_ref() {
            Ok(certificate) => {
                let structure = match &certificate.subject {
                    Subject::Organisation(organisation) => Some(organisation.struct_id.clone()),
                    Subject::Employee(employee) => employee.structure(),
                    Subject::Person(_) => None,
                };
                Self { certificate: certificate.fingerprint, structure }
            }
            Err(refused) => Self { certificate: refused.fingerprint, structure: None },
        }
    }
}

impl Ration {
    pub fn new(things: &'static str, certificate: Limit<u64>, structure: Limit<u64>) -> Arc<Self> {
        Arc::new(Self {
            things,
            certificates: (certificate.setting, Shares::new(certificate.max)),
            structures: (structure.setting, Shares::new(structure.max)),
        })
    }

    /// Errors: `TooManyRequests`.
    pub fn take(self: &Arc<Self>, holder: &Holder, amount: u64) -> Result<Portion, Refusal> {
        let certificate = self.certificates.1.take(&holder.certificate, amount);
        let certificate = certificate.ok_or_else(|| self.of_certificate())?;
        let structure = holder.structure.as_ref().map(|structure| self.structures.1.take(structure, amount));
        let structure = structure.map(|taken| taken.ok_or_else(|| self.of_structure())).transpose()?;
        Ok(Portion { of: Arc::clone(self), certificate, structure })
    }

    fn of_certificate(&self) -> Refusal {
        let (setting, shares) = &self.certificates;
        over_limit(setting, self.things, CERTIFICATE, shares.each_max())
    }

    fn of_structure(&self) -> Refusal {
        let (setting, shares) = &self.structures;
        over_limit(setting, self.things, STRUCTURE, shares.each_max())
    }
}

impl Portion {
    /// Errors: `TooManyRequests`.
    pub fn grow(&mut self, by: u64) -> Result<(), Refusal> {
        if !self.certificate.grow(by) {
            return Err(self.of.of_certificate());
        }
        if !self.structure.as_mut().is_none_or(|structure| structure.grow(by)) {
            return Err(self.of.of_structure());
        }
        Ok(())
    }
}

impl Pace {
    pub fn new(certificate: Limit<NonZeroU32>, structure: Limit<NonZeroU32>) -> Self {
        Self {
            certificates: (certificate.setting, Rates::new(certificate.max)),
            structures: (structure.setting, Rates::new(structure.max)),
        }
    }

    /// Errors: `TooManyRequests`.
    pub fn pass(&self, holder: &Holder) -> Result<(), Refusal> {
        let (setting, rates) = &self.certificates;
        if !rates.pass(&holder.certificate) {
            return Err(over_limit(setting, REQUESTS, CERTIFICATE, rates.per_second()));
        }
        let (setting, rates) = &self.structures;
        if !holder.structure.as_ref().is_none_or(|structure| rates.pass(structure)) {
            return Err(over_limit(setting, REQUESTS, STRUCTURE, rates.per_second()));
        }
        Ok(())
    }
}

fn over_limit(setting: &'static str, things: &str, holder: &str, max: u64) -> Refusal {
    count_limited(setting);
    let found = format!("more {things} than {holder} may have");
    let expected = format!("at most {max} (limits.{setting}); the same again after Retry-After");
    Refusal::new(Rule::TooManyRequests, "client certificate", found, expected)
}

const REQUESTS: &str = "requests a second";
const CERTIFICATE: &str = "one certificate";
const STRUCTURE: &str = "the certificates of one structure together";

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(certificate: u8, structure: Option<&str>) -> Holder {
        Holder { certificate: Sha256Hash([certificate; 32]), structure: structure.map(|id| id.parse().unwrap()) }
    }

    fn ration(certificate: u64, structure: u64) -> Arc<Ration> {
        let limit = |setting, max| Limit { setting, max };
        Ration::new("deposits in flight", limit("of_certificate", certificate), limit("of_structure", structure))
    }

    #[test]
    fn certificates_of_one_structure_share_what_it_has() {
        let ration = ration(2, 3);
        let hospital = [1, 2, 3].map(|certificate| holder(certificate, Some("1350000899")));
        let mut held: Vec<Portion> = [0, 0, 1].map(|which| ration.take(&hospital[which], 1).unwrap()).into();
        let refusal = ration.take(&hospital[0], 1).err().unwrap();
        assert_eq!(refusal.rule, Rule::TooManyRequests);
        assert!(refusal.expected.contains("limits.of_certificate"), "{refusal}");
        let refusal = ration.take(&hospital[2], 1).err().unwrap();
        assert!(refusal.expected.contains("limits.of_structure"), "{refusal}");
        // Neither a person nor another structure feels it, and what was refused holds nothing.
        assert!(ration.take(&holder(4, None), 2).is_ok());
        assert!(ration.take(&holder(5, Some("1350001111")), 2).is_ok());
        held.remove(0);
        assert!(ration.take(&hospital[2], 1).is_ok());
    }

    #[test]
    fn a_portion_grows_as_far_as_its_holder_may() {
        let ration = ration(10, 12);
        let (one, other) = (holder(1, Some("1350000899")), holder(2, Some("1350000899")));
        let mut first = ration.take(&one, 4).unwrap();
        assert!(first.grow(6).is_ok() && first.grow(1).is_err());
        let mut second = ration.take(&other, 1).unwrap();
        assert!(second.grow(1).is_ok() && second.grow(1).is_err());
        drop((first, second));
        assert!(ration.take(&one, 10).is_ok());
    }

    #[test]
    fn two_certificates_of_a_structure_come_no_more_often_than_it_may() {
        let per_second = |setting, max| Limit { setting, max: NonZeroU32::new(max).unwrap() };
        let pace = Pace::new(per_second("of_certificate", 200), per_second("of_structure", 300));
        let [one, other] = [1, 2].map(|certificate| holder(certificate, Some("1350000899")));
        let passed = |holder: &Holder| (0..200).filter(|_| pace.pass(holder).is_ok()).count();
        assert_eq!(passed(&one), 200);
        let refusals: Vec<_> = (0..200).filter_map(|_| pace.pass(&other).err()).collect();
        assert!(!refusals.is_empty() && refusals[0].expected.contains("limits.of_structure"));
        assert!(pace.pass(&holder(3, None)).is_ok());
    }
}
