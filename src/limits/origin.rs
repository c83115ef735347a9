//! Where a connection comes from, before anybody knows who it is.

use std::net::IpAddr;

use crate::config::Network;

/// One client, as far as an address tells: an IPv4 address, or the /64 of IPv6 in which one client picks addresses
/// as it likes. Not to be shown beside who it turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            v4 @ IpAddr::V4(_) => v4,
            v6 @ IpAddr::V6(_) => Network::around(v6, CLIENT_BITS).base(),
        })
    }
}

/// Of an IPv6 address, those that somebody else assigns. Source: RFC 7421, RFC 6177.
const CLIENT_BITS: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_its_subnet_and_an_ipv4_client_its_address() {
        let origin = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::9"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_eq!(origin("192.0.2.7"), origin("::ffff:192.0.2.7"));
        assert_ne!(origin("192.0.2.7"), origin("192.0.2.8"));
    }
}
