//! Sockets of every kind, and who they would reach.

use libc::{
    AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK, EACCES, ECONNREFUSED, EINPROGRESS, EPERM,
    EPROTOTYPE, IPPROTO_ICMP, IPPROTO_TCP, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM,
};

use super::context::Context;
use super::system::{Tried, call};
use super::table::Attack;

const MPTCP: i32 = 262;
const SCTP: i32 = 132;
/// Families end here; 46 is the first that no kernel knows.
const FAMILIES: u32 = 46;
const KINDS: [i32; 4] = [SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET];
const PROTOCOLS: [i32; 6] = [0, IPPROTO_TCP, libc::IPPROTO_UDP, IPPROTO_ICMP, MPTCP, SCTP];

/// `struct sockaddr_in` of a port on 127.0.0.1.
fn loopback(port: u16) -> [u16; 8] {
    let [first, second] = [[127, 0], [0, 1]].map(u16::from_ne_bytes);
    [AF_INET as u16, port.to_be(), first, second, 0, 0, 0, 0]
}

/// `struct sockaddr_un` of the abstract socket, and its length.
pub(super) fn abstract_address(c: &Context) -> ([u8; 110], usize) {
    let mut address = [0; 110];
    address[0] = AF_UNIX as u8;
    let name = c.unix_abstract.as_bytes();
    let length = name.len().min(107);
    address[3..3 + length].copy_from_slice(&name[..length]);
    (address, 3 + length)
}

fn path_address(path: &std::ffi::CStr) -> [u8; 110] {
    let mut address = [0; 110];
    address[0] = AF_UNIX as u8;
    let path = path.to_bytes();
    let length = path.len().min(107);
    address[2..2 + length].copy_from_slice(&path[..length]);
    address
}

fn socket(family: i32, kind: i32, protocol: i32) -> Tried {
    call!(socket, family, kind, protocol)
}

fn tcp() -> Tried {
    socket(AF_INET, SOCK_STREAM, 0)
}

/// In a worker each of these ends at the first call.
const fn sockets(id: &'static str, tries: &'static str, run: fn(&Context) -> Tried) -> Attack {
    Attack::new(id, tries, "socket", run)
}

pub(super) const ATTACKS: &[Attack] = &[
    // TCP over IPv4 is variant 0, which every machine has.
    sockets("A11.every-socket", "socket(): every family, type and protocol", |c| {
        let (family, rest) = ((c.variant / 24 + 2) % FAMILIES, c.variant % 24);
        socket(family as i32, KINDS[(rest / 6) as usize], PROTOCOLS[(rest % 6) as usize])
    })
    .times(FAMILIES * 24),
    sockets("A11.tcp", "socket(AF_INET, SOCK_STREAM)", |_| tcp())
        .why("Landlock governs what a TCP socket does, not that there is one"),
    sockets("A11.tcp6", "socket(AF_INET6, SOCK_STREAM)", |_| socket(AF_INET6, SOCK_STREAM, 0)),
    sockets("A11.udp", "socket(AF_INET, SOCK_DGRAM)", |_| socket(AF_INET, SOCK_DGRAM, 0))
        .why("Landlock knows nothing of UDP"),
    sockets("A11.mptcp", "socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP)", |_| {
        socket(AF_INET, SOCK_STREAM, MPTCP)
    }),
    sockets("A11.sctp", "socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP)", |_| socket(AF_INET, SOCK_STREAM, SCTP)),
    sockets("A11.raw", "socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)", |_| {
        socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)
    })
    .why("needs CAP_NET_RAW"),
    sockets("A11.ping", "socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)", |_| {
        socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)
    })
    .why("net.ipv4.ping_group_range says who may, and by default nobody"),
    sockets("A11.unix", "socket(AF_UNIX, SOCK_STREAM)", |_| socket(AF_UNIX, SOCK_STREAM, 0)),
    sockets("A11.algorithms", "socket(AF_ALG, SOCK_SEQPACKET)", |_| socket(38, SOCK_SEQPACKET, 0)),
    Attack::new("A11.socketpair", "socketpair(AF_UNIX)", "socketpair", |_| {
        call!(socketpair, AF_UNIX, SOCK_STREAM, 0, &mut [0_i32; 2])
    }),
    sockets("A12.connect", "TCP connect to the host's port", |c| {
        call!(connect, tcp()?, &loopback(c.tcp_port), 16)
    })
    .landlock(&[EACCES]),
    sockets("A12.connect-unspecified", "TCP connect(AF_UNSPEC)", |_| call!(connect, tcp()?, &[0_u16; 8], 16))
        .why("AF_UNSPEC only takes a connection back, which Landlock allows"),
    sockets("A12.connect-mptcp", "MPTCP connect to the host's port", |c| {
        call!(connect, socket(AF_INET, SOCK_STREAM, MPTCP)?, &loopback(c.tcp_port), 16)
    })
    .why("Landlock knows TCP alone, and MPTCP is not it"),
    sockets("A12.fast-open", "TCP sendto(MSG_FASTOPEN) to the host's port", |c| {
        let message = libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL;
        call!(sendto, tcp()?, c"x", 1, message, &loopback(c.tcp_port), 16)
    })
    .landlock_any()
    .why("connects without connect(); whether Landlock sees it depends on the kernel"),
    sockets("A12.fast-open-connect", "TCP_FASTOPEN_CONNECT to the host's port", |c| {
        let socket = tcp()?;
        call!(setsockopt, socket, IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, &[1_u32], 4)?;
        call!(connect, socket, &loopback(c.tcp_port), 16)
    })
    .landlock(&[EACCES])
    .reached(&[EINPROGRESS]),
    sockets("A12.udp-sendto", "UDP sendto the host's port", |c| {
        let socket = socket(AF_INET, SOCK_DGRAM, 0)?;
        call!(sendto, socket, c"x", 1, 0, &loopback(c.udp_port), 16)
    })
    .why("Landlock knows nothing of UDP"),
    sockets("A12.udp-connect", "UDP connect to the host's port", |c| {
        call!(connect, socket(AF_INET, SOCK_DGRAM, 0)?, &loopback(c.udp_port), 16)
    })
    .why("Landlock knows nothing of UDP"),
    sockets("A12.bind", "TCP bind to a port", |_| call!(bind, tcp()?, &loopback(0), 16)).landlock(&[EACCES]),
    sockets("A12.udp-bind", "UDP bind to a port", |_| {
        call!(bind, socket(AF_INET, SOCK_DGRAM, 0)?, &loopback(0), 16)
    })
    .why("Landlock knows nothing of UDP"),
    sockets("A12.listen-unbound", "TCP listen without bind", |_| call!(listen, tcp()?, 1))
        .why("the kernel picks the port, and Landlock is not asked"),
    sockets("A13.connect-path", "connect to a socket of the host's, by its path", |c| {
        call!(connect, socket(AF_UNIX, SOCK_STREAM, 0)?, &path_address(&c.unix_path), 110)
    })
    .why("Landlock scopes sockets with a path only from ABI 9"),
    sockets("A13.connect-abstract", "connect to an abstract socket of the host's", |c| {
        let (address, length) = abstract_address(c);
        call!(connect, socket(AF_UNIX, SOCK_STREAM, 0)?, &address, length)
    })
    .landlock(&[EPERM]),
    sockets("A13.send-abstract", "datagram to an abstract socket of the host's", |c| {
        let (address, length) = abstract_address(c);
        let socket = socket(AF_UNIX, SOCK_DGRAM, 0)?;
        call!(sendto, socket, c"x", 1, 0, &address, length)
    })
    .reached(&[EPROTOTYPE, ECONNREFUSED])
    .landlock_any()
    .why("nothing takes datagrams there, and the kernel says so before it asks Landlock"),
    sockets("A13.bind-abstract", "bind to an abstract name", |c| {
        let (mut address, length) = abstract_address(c);
        address[2 + length..][..4].copy_from_slice(b"fake");
        call!(bind, socket(AF_UNIX, SOCK_STREAM, 0)?, &address, length + 5)
    })
    .why("Landlock scopes whom one connects to"),
    sockets("A13.bind-path", "bind to a path", |c| {
        call!(bind, socket(AF_UNIX, SOCK_STREAM, 0)?, &path_address(&c.inside("bound")), 110)
    })
    .landlock(&[EACCES]),
    sockets("A14.netlink-route", "socket(AF_NETLINK, NETLINK_ROUTE)", |_| socket(AF_NETLINK, SOCK_RAW, 0)),
    sockets("A14.netlink-audit", "join the audit group by netlink", |_| {
        let socket = socket(AF_NETLINK, SOCK_RAW, libc::NETLINK_AUDIT)?;
        call!(bind, socket, &[AF_NETLINK as u32, 0, 1], 12)
    })
    .why("needs CAP_AUDIT_READ"),
    sockets("A14.netlink-uevent", "join the device events by netlink", |_| {
        let socket = socket(AF_NETLINK, SOCK_RAW, libc::NETLINK_KOBJECT_UEVENT)?;
        call!(bind, socket, &[AF_NETLINK as u32, 0, 1], 12)
    }),
    sockets("A14.packet", "socket(AF_PACKET, SOCK_RAW)", |_| socket(AF_PACKET, SOCK_RAW, 0))
        .why("needs CAP_NET_RAW"),
    sockets("A14.vsock", "socket(AF_VSOCK, SOCK_STREAM)", |_| socket(AF_VSOCK, SOCK_STREAM, 0)),
    sockets("A14.xdp", "socket(AF_XDP, SOCK_RAW)", |_| socket(44, SOCK_RAW, 0)).why("needs CAP_NET_RAW"),
];
