//! Which addresses a plugin's requests may reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use stockade_policy::stands;

/// What is nobody's business but this machine's and its network's, and what is no place at all: the IANA
/// special-purpose registries of IPv4 and IPv6, without the few that are globally reachable.
const SPECIAL_V4: [(Ipv4Net, &str); 15] = [
    (v4([0, 0, 0, 0], 8), "this network"),
    (v4([10, 0, 0, 0], 8), "private"),
    (v4([100, 64, 0, 0], 10), "shared by a provider"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    (v4([169, 254, 0, 0], 16), "link-local, where clouds keep their metadata"),
    (v4([172, 16, 0, 0], 12), "private"),
    (v4([192, 0, 0, 0], 24), "for protocols"),
    (v4([192, 0, 2, 0], 24), "for documentation"),
    (v4([192, 88, 99, 0], 24), "a relay of 6to4"),
    (v4([192, 168, 0, 0], 16), "private"),
    (v4([198, 18, 0, 0], 15), "for benchmarks"),
    (v4([198, 51, 100, 0], 24), "for documentation"),
    (v4([203, 0, 113, 0], 24), "for documentation"),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([240, 0, 0, 0], 4), "reserved or broadcast"),
];

/// Only what is assigned as global unicast is a place on the internet, less these parts of it.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0], 3);
const SPECIAL_V6: [(Ipv6Net, &str); 5] = [
    (v6([0x2001, 0, 0, 0], 23), "for protocols"),
    (v6([0x2001, 0xdb8, 0, 0], 32), "for documentation"),
    (v6([0x2002, 0, 0, 0], 16), "6to4, which holds an address of IPv4"),
    (v6([0x3fff, 0, 0, 0], 20), "for documentation"),
    (v6([0x2620, 0x4f, 0x8000, 0], 48), "for protocols"),
];

const fn v4(address: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = address;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(head: [u16; 4], prefix: u8) -> Ipv6Net {
    let [a, b, c, d] = head;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// Why an address may not be reached; none where it may. What the operator opened is open as it is written: a
/// range of IPv4 opens no address of IPv6 that holds one of it.
pub(crate) fn prohibited(address: IpAddr, opened: &[IpNet]) -> Option<&'static str> {
    if opened.iter().any(|range| range.contains(&address)) || !stands("http.address") {
        return None;
    }
    match address {
        IpAddr::V4(address) => {
            SPECIAL_V4.iter().find(|(range, _)| range.contains(&address)).map(|(_, why)| *why)
        }
        IpAddr::V6(address) if address.is_loopback() => Some("loopback"),
        IpAddr::V6(address) if !GLOBAL_V6.contains(&address) => Some(
            "outside of what IPv6 has for the internet: local, mapped, translated, multicast or unassigned",
        ),
        IpAddr::V6(address) => {
            SPECIAL_V6.iter().find(|(range, _)| range.contains(&address)).map(|(_, why)| *why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str, opened: &[&str]) -> bool {
        let opened: Vec<IpNet> = opened.iter().map(|range| range.parse().unwrap()).collect();
        prohibited(address.parse().unwrap(), &opened).is_some()
    }

    #[test]
    fn d1_nothing_local_is_reached() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:7f00:1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(refused(address, &[]), "{address}");
        }
        for address in ["8.8.8.8", "1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"]
        {
            assert!(!refused(address, &[]), "{address}");
        }
    }

    #[test]
    fn what_the_operator_opened_is_open_and_nothing_beside_it() {
        assert!(!refused("127.0.0.1", &["127.0.0.1/32"]));
        assert!(refused("127.0.0.2", &["127.0.0.1/32"]));
        assert!(refused("::ffff:127.0.0.1", &["127.0.0.0/8"]));
        assert!(refused("::1", &["127.0.0.0/8"]));
        assert!(!refused("::1", &["::1/128"]));
    }
}
