//! Ways to the network, straight through the WASI interfaces.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

use crate::attempt::Attempt;

/// Where clouds keep the credentials of a machine.
const METADATA: (u8, u8, u8, u8) = (169, 254, 169, 254);

fn address(port: u16) -> IpSocketAddress {
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: METADATA })
}

pub(crate) fn tcp_connect() -> Attempt {
    let connect = || {
        let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
        socket.start_connect(&instance_network(), address(80))?;
        loop {
            match socket.finish_connect() {
                Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
                result => return result.map(|_| "connected"),
            }
        }
    };
    Attempt::new("tcp connect to 169.254.169.254:80", connect().map_err(|code: ErrorCode| code.name()))
}

pub(crate) fn udp() -> Attempt {
    let send = || {
        let socket = create_udp_socket(IpAddressFamily::Ipv4)?;
        let any = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (0, 0, 0, 0) });
        socket.start_bind(&instance_network(), any)?;
        socket.finish_bind()?;
        socket.stream(Some(address(53))).map(|_| "bound and connected")
    };
    Attempt::new("udp to 169.254.169.254:53", send().map_err(|code: ErrorCode| code.name()))
}

pub(crate) fn dns() -> Attempt {
    let resolve = || {
        let stream = resolve_addresses(&instance_network(), "example.com")?;
        loop {
            match stream.resolve_next_address() {
                Err(ErrorCode::WouldBlock) => stream.subscribe().block(),
                result => return result.map(|address| format!("{address:?}")),
            }
        }
    };
    Attempt::new("resolve example.com", resolve().map_err(|code: ErrorCode| code.name()))
}

pub(crate) fn http() -> Attempt {
    Attempt::new("http get http://169.254.169.254/", request())
}

fn request() -> Result<String, String> {
    let request = OutgoingRequest::new(Fields::new());
    let bad = |()| "the request could not be made".to_owned();
    request.set_scheme(Some(&Scheme::Http)).map_err(bad)?;
    request.set_authority(Some("169.254.169.254")).map_err(bad)?;
    request.set_path_with_query(Some("/latest/meta-data/")).map_err(bad)?;
    let response = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    response.subscribe().block();
    match response.get() {
        Some(Ok(Ok(response))) => Ok(format!("status {}", response.status())),
        Some(Ok(Err(code))) => Err(format!("{code:?}")),
        Some(Err(())) | None => Err("no answer".into()),
    }
}
