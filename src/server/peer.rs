//! Clients as they are counted: how many addresses are one client.

use std::net::IpAddr;

/// The other end of a connection, for counting: an IPv4 address, or the network of an IPv6 address, since one host has all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(u128);

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Peer(u32::from(address).into()),
            // Link-local addresses share one network and differ in their other half.
            IpAddr::V6(address) if address.is_unicast_link_local() || address.is_loopback() => Peer(address.into()),
            IpAddr::V6(address) => Peer(u128::from(address) >> 64 << 64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_count_as_one() {
        let peer = |text: &str| Peer::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(peer("10.0.0.1"), peer("::ffff:10.0.0.1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::2:3:4:5"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_ne!(peer("fe80::1"), peer("fe80::2"));
    }
}
