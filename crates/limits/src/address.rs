//! Whose request it is: the address behind proxies that are trusted to tell it.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The proxies whose `X-Forwarded-For` counts.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// The proxies in these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of the caller: that of the connection, unless it is a trusted proxy's. Then the list it sends is read
    /// from its end, where the nearest proxy wrote, up to the first address that is not a trusted proxy's: what stands
    /// before that anybody could have written.
    ///
    /// `forwarded` are the values of all `X-Forwarded-For` fields in their order.
    pub fn caller<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut caller = peer.to_canonical();
        for entry in forwarded.rev().flat_map(|value| value.rsplit(',')) {
            if !self.trusts(caller) {
                break;
            }
            // Behind an entry that is no address nothing can be believed.
            let Some(address) = address_of(entry.trim()) else { break };
            caller = address.to_canonical();
        }
        caller
    }
}

/// An address, with a port or without, an IPv6 one in brackets or without.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(bare).or_else(with_port)
}

/// The first `prefix` bits of an address as a network.
pub(crate) fn network(address: IpAddr, ipv4_prefix: u8, ipv6_prefix: u8) -> IpNet {
    let prefix = if address.is_ipv4() { ipv4_prefix } else { ipv6_prefix };
    // Policies are checked to have prefixes that fit; a whole address is the narrowest reading of any other.
    IpNet::new(address, prefix).map_or_else(|_| IpNet::from(address), |network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::nobody_is_trusted("203.0.113.9", &["198.51.100.1"], "203.0.113.9")]
    #[case::one_proxy("10.0.0.1", &["198.51.100.1"], "198.51.100.1")]
    #[case::what_a_client_wrote_itself("10.0.0.1", &["1.2.3.4, 198.51.100.1"], "198.51.100.1")]
    #[case::two_proxies("10.0.0.1", &["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1")]
    #[case::two_fields("10.0.0.1", &["1.2.3.4", "198.51.100.1, 10.0.0.2"], "198.51.100.1")]
    #[case::only_proxies("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3")]
    #[case::nonsense("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1")]
    #[case::ports("10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1")]
    #[case::mapped("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1")]
    #[case::nothing_sent("10.0.0.1", &[], "10.0.0.1")]
    fn the_caller_is_the_last_address_that_a_trusted_proxy_saw(
        #[case] peer: &str,
        #[case] forwarded: &[&str],
        #[case] expected: &str,
    ) {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let caller = proxies.caller(peer.parse().unwrap(), forwarded.iter().copied());
        assert_eq!(caller, expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn networks_hide_the_rest_of_an_address() {
        assert_eq!(network("192.0.2.77".parse().unwrap(), 24, 64).to_string(), "192.0.2.0/24");
        assert_eq!(network("2001:db8:1:2:3::4".parse().unwrap(), 24, 64).to_string(), "2001:db8:1:2::/64");
    }
}
