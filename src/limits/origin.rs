//! Where a connection comes from, before anybody knows who it is.

use std::net::IpAddr;

use crate::config::Network;

/// Who comes, as far as an address tells. Not to be shown beside who it turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    /// One client: an IPv4 address, or the /64 of IPv6 in which one client picks addresses as it likes.
    pub fn client(address: IpAddr) -> Self {
        Self::within(address, CLIENT_BITS)
    }

    /// One site: an IPv4 address, or the /48 of IPv6 in which one customer of a provider has clients as it likes.
    pub fn site(address: IpAddr) -> Self {
        Self::within(address, SITE_BITS)
    }

    fn within(address: IpAddr, ipv6_bits: u8) -> Self {
        Self(match address.to_canonical() {
            v4 @ IpAddr::V4(_) => v4,
            v6 @ IpAddr::V6(_) => Network::around(v6, ipv6_bits).base(),
        })
    }
}

/// Of an IPv6 address, those that somebody else assigns. Source: RFC 7421, RFC 6177.
const CLIENT_BITS: u8 = 64;
const SITE_BITS: u8 = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_its_subnet_and_an_ipv4_client_its_address() {
        let origin = |text: &str| Origin::client(text.parse().unwrap());
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::9"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_eq!(origin("192.0.2.7"), origin("::ffff:192.0.2.7"));
        assert_ne!(origin("192.0.2.7"), origin("192.0.2.8"));
        let site = |text: &str| Origin::site(text.parse().unwrap());
        assert_eq!(site("2001:db8:1:2::1"), site("2001:db8:1:3::1"));
        assert_ne!(site("2001:db8:1::1"), site("2001:db8:2::1"));
        assert_ne!(site("192.0.2.7"), site("192.0.2.8"));
    }
}
