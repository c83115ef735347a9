//! Who may have a connection: by address until the handshake is over, by certificate from then on.
//!
//! So neither a stranger nor one client can have all of `limits.connections_max`. An address is not limited beyond
//! the handshake: a hospital's workstations, each with a card of its own, all come from one.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::{Limits, Network};
use crate::limits::count_limited;
use crate::limits::origin::Origin;
use crate::limits::rates::Rates;
use crate::limits::ration::{Holder, Limit, Portion, Ration};
use crate::limits::shares::{Share, Shares};
use crate::refusal::Refusal;

pub(super) struct Arrivals {
    unlimited: Vec<Network>,
    pace: Rates<Origin>,
    handshakes: Arc<Shares<Origin>>,
    connections: Arc<Ration>,
    explanations: Arc<Ration>,
}

/// A handshake in progress, until it is dropped.
pub(super) struct Handshaking {
    _share: Option<Share<Origin>>,
}

/// What a client gets whose handshake is over. Its portion is held as long as the connection is open.
pub(super) enum Welcome {
    Serve(Portion),
    /// It has too many connections already; this one is told so.
    Explain(Portion, Refusal),
    /// It has been told often enough.
    Close,
}

impl Arrivals {
    pub(super) fn new(limits: &Limits) -> Self {
        let limit = |setting, max| Limit { setting, max };
        let connections = Ration::new(
            "open connections",
            limit("connections_per_certificate_max", limits.connections_per_certificate_max),
            limit("connections_per_structure_max", limits.connections_per_structure_max),
        );
        let explanation = limit("connections_explained", EXPLAINED_MAX);
        Self {
            unlimited: limits.unlimited_addresses.clone(),
            pace: Rates::new(limits.handshakes_per_second_per_address),
            handshakes: Shares::new(limits.handshakes_per_address_max),
            connections,
            explanations: Ration::new("connections that are told so", explanation, explanation),
        }
    }

    /// `None` for an address that has too many handshakes going on, or begins them too fast: no word can be said
    /// before the handshake, so its connection is closed.
    pub(super) fn knock(&self, address: IpAddr) -> Option<Handshaking> {
        if self.unlimited.iter().any(|network| network.contains(address)) {
            return Some(Handshaking { _share: None });
        }
        let origin = Origin::of(address);
        if !self.pace.pass(&origin) {
            count_limited("handshakes_per_second_per_address");
            return None;
        }
        let share = self.handshakes.take(&origin, 1);
        if share.is_none() {
            count_limited("handshakes_per_address_max");
        }
        share.map(|share| Handshaking { _share: Some(share) })
    }

    pub(super) fn welcome(&self, holder: &Holder) -> Welcome {
        match self.connections.take(holder, 1) {
            Ok(portion) => Welcome::Serve(portion),
            Err(refusal) => match self.explanations.take(holder, 1) {
                Ok(portion) => Welcome::Explain(portion, refusal),
                Err(_) => Welcome::Close,
            },
        }
    }
}

/// Connections beyond the limit of a holder, each open for one answer only.
const EXPLAINED_MAX: u64 = 4;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_of_handshakes_and_an_ipv6_client_no_more() {
        let arrivals = Arrivals::new(&Limits { handshakes_per_address_max: 2, ..Limits::default() });
        let first = arrivals.knock(address("2001:db8::1"));
        let second = arrivals.knock(address("2001:db8::2"));
        assert!(first.is_some() && second.is_some());
        assert!(arrivals.knock(address("2001:db8::3")).is_none());
        assert!(arrivals.knock(address("2001:db8:0:1::1")).is_some());
        drop(first);
        assert!(arrivals.knock(address("2001:db8::3")).is_some());
    }

    #[test]
    fn an_address_that_begins_too_many_handshakes_is_held_back() {
        let per_second = NonZeroU32::new(3).unwrap();
        let arrivals = Arrivals::new(&Limits { handshakes_per_second_per_address: per_second, ..Limits::default() });
        let begun = |text| (0..5).filter(|_| arrivals.knock(address(text)).is_some()).count();
        assert_eq!((begun("192.0.2.1"), begun("192.0.2.2")), (3, 3));
        // Load balancers and our own machine speak for many.
        assert_eq!(begun("127.0.0.1"), 5);
    }
}
