//! The addresses that are not of the public internet, by the IANA registries of special-purpose addresses (RFC 6890; as of
//! 2025: iana-ipv4-special-registry, iana-ipv6-special-registry) and of IPv6 address space (RFC 4291 §2.4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4: network and length of its prefix.
const SPECIAL_V4: [(Ipv4Addr, u32); 16] = [
    // This network (RFC 791).
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    // Private (RFC 1918).
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Behind carriers' address translation (RFC 6598).
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // Loopback (RFC 1122).
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local, clouds' metadata among it (RFC 3927).
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Protocol assignments (RFC 6890).
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // Documentation (RFC 5737).
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Relays of 6to4, given up (RFC 7526).
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    // Benchmarks (RFC 2544).
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    // The platform's own channel to the machines of a large cloud, which no registry has as special.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    // Multicast (RFC 5771).
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // Reserved (RFC 1112), and the broadcast address.
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// IPv6 global unicast: everything outside of it is refused, the rest of `SPECIAL_V6` lies inside.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// IPv6: network and length of its prefix.
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    // Protocol assignments (RFC 2928): Teredo 2001::/32, benchmarks 2001:2::/48, ORCHID 2001:10::/28 and 2001:20::/28.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // Documentation (RFC 3849, RFC 9637).
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    // 6to4 (RFC 3056): leads to the IPv4 address in it, through whoever feels like relaying.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
];

/// IPv4 in IPv6 that is as good as the address in it: mapped (RFC 4291 §2.5.5.2), and the well-known prefix of NAT64
/// (RFC 6052 §2.1), by which networks without IPv4 call everything that has nothing else. Compatible ones (`::/96`) and the
/// local prefixes of NAT64 (`64:ff9b:1::/48`, RFC 8215) lead nobody knows where, and are not public.
const EMBEDDING: [(Ipv6Addr, u32); 2] =
    [(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96), (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96)];

fn in_v4(ip: Ipv4Addr, (network, length): (Ipv4Addr, u32)) -> bool {
    (ip.to_bits() ^ network.to_bits()).leading_zeros() >= length
}

fn in_v6(ip: Ipv6Addr, (network, length): (Ipv6Addr, u32)) -> bool {
    (ip.to_bits() ^ network.to_bits()).leading_zeros() >= length
}

/// The IPv4 address that an IPv6 address stands for.
pub(super) fn embedded(ip: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(ip) = ip else { return None };
    let stands = EMBEDDING.iter().any(|network| in_v6(ip, *network));
    // The last 32 bits.
    stands.then(|| IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() as u32)))
}

/// Whether an address is one of the public internet.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match embedded(ip).unwrap_or(ip) {
        IpAddr::V4(ip) => !SPECIAL_V4.iter().any(|network| in_v4(ip, *network)),
        IpAddr::V6(ip) => in_v6(ip, GLOBAL_V6) && !SPECIAL_V6.iter().any(|network| in_v6(ip, *network)),
    }
}
