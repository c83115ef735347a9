//! Who may have a connection: by address until the handshake is over, by certificate from then on.
//!
//! Handshakes have places of their own, so that strangers take none of `limits.connections_max`, and share them so
//! that a few addresses cannot have them all. An address is not limited beyond the handshake: a hospital's
//! workstations, each with a card of its own, all come from one. Whoever comes through `limits.unlimited_addresses`
//! cannot be told from others there, and is limited by the load balancer alone.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

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
    pace_of_site: Rates<Origin>,
    handshakes: Arc<Shares<Origin>>,
    handshakes_of_site: Arc<Shares<Origin>>,
    places: Arc<Semaphore>,
    patience: Duration,
    connections: Arc<Ration>,
    explanations: Arc<Ration>,
}

/// A handshake in progress, until it is dropped.
pub(super) struct Handshaking {
    _shares: Option<[Share<Origin>; 2]>,
}

/// What a client gets whose handshake is over.
pub(super) struct Welcome {
    /// To be held as long as the connection is open.
    pub(super) portion: Portion,
    /// It has too many connections already; this one is to say so.
    pub(super) excess: Option<Refusal>,
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
            pace_of_site: Rates::new(limits.handshakes_per_second_per_address.saturating_mul(CLIENTS_OF_A_SITE)),
            handshakes: Shares::new(limits.handshakes_per_address_max),
            handshakes_of_site: Shares::among(limits.handshakes_max, u64::MAX),
            places: Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS))),
            patience: Duration::from_secs(limits.handshake_seconds),
            connections,
            explanations: Ration::new("connections that are told so", explanation, explanation),
        }
    }

    /// `None` for an address that has too many handshakes going on, or begins them too fast: no word can be said
    /// before the handshake, so its connection is closed.
    pub(super) fn knock(&self, address: IpAddr) -> Option<Handshaking> {
        if self.unlimited.iter().any(|network| network.contains(address)) {
            return Some(Handshaking { _shares: None });
        }
        let shares = self.take_shares(Origin::client(address), Origin::site(address));
        shares.map_err(count_limited).ok().map(|shares| Handshaking { _shares: Some(shares) })
    }

    /// Errors: the setting that is in the way.
    fn take_shares(&self, client: Origin, site: Origin) -> Result<[Share<Origin>; 2], &'static str> {
        if !(self.pace.pass(&client) && self.pace_of_site.pass(&site)) {
            return Err("handshakes_per_second_per_address");
        }
        let share = self.handshakes.take(&client, 1).ok_or("handshakes_per_address_max")?;
        let of_site = self.handshakes_of_site.take(&site, 1).ok_or("handshakes_max")?;
        Ok([share, of_site])
    }

    /// A place among the open connections, once there is one; `None` when that takes too long.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        let places = Arc::clone(&self.places);
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            return Some(place);
        }
        metrics::counter!("carnet_connections_held_back_total").increment(1);
        let place = timeout(self.patience, places.acquire_owned()).await.ok().and_then(Result::ok);
        if place.is_none() {
            count_limited("connections_max");
        }
        place
    }

    /// `None` for a client that has been told often enough that it has too many connections.
    pub(super) fn welcome(&self, holder: &Holder) -> Option<Welcome> {
        match self.connections.take(holder, 1) {
            Ok(portion) => Some(Welcome { portion, excess: None }),
            Err(refusal) => {
                let portion = self.explanations.take(holder, 1).ok()?;
                Some(Welcome { portion, excess: Some(refusal) })
            }
        }
    }
}

/// Connections beyond the limit of a holder, each open for one answer only.
const EXPLAINED_MAX: u64 = 4;
/// How many times as fast as one client all clients of an IPv6 site may come.
const CLIENTS_OF_A_SITE: NonZeroU32 = const { NonZeroU32::new(4).unwrap() };

#[cfg(test)]
mod tests {
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
    fn many_addresses_leave_something_and_the_clients_of_one_site_are_one() {
        let limits =
            Limits { handshakes_per_second_per_address: NonZeroU32::MAX, handshakes_max: 100, ..Limits::default() };
        let arrivals = Arrivals::new(&limits);
        let mut all = Vec::new();
        for address in (0..16_u8).map(|host| IpAddr::from([192, 0, 2, host])) {
            all.extend(std::iter::from_fn(|| arrivals.knock(address)));
        }
        assert!((80..90).contains(&all.len()), "{}", all.len());
        let of_site = |subnet: u16| arrivals.knock(IpAddr::from([0x2001, 0xdb8, 0, subnet, 0, 0, 0, 1]));
        let of_site: Vec<_> = (0..100).filter_map(of_site).collect();
        assert_eq!(of_site.len(), 2);
        assert!(arrivals.knock(address("2001:db8:1::1")).is_some());
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
