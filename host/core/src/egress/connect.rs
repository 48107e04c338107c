//! From a target to a connection: looked up once, every address checked, connected to a checked one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::pki_types::ServerName;
use stockade_ipc::HttpFault;
use stockade_policy::{HttpScheme, HttpTarget};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::Egress;
use super::address::prohibited;
use super::exchange::Failure;

/// A look-up that takes longer is given up.
const LOOK_UP: Duration = Duration::from_secs(5);
/// One address of several that takes longer to connect to gives way to the next.
const ONE_ADDRESS: Duration = Duration::from_secs(3);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 8;

/// Something to speak HTTP over.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// An open connection, and whether HTTP/2 was agreed on.
pub(super) struct Connected {
    pub(super) transport: Box<dyn Transport>,
    pub(super) http2: bool,
}

/// Looks up, checks, connects, and shakes hands.
pub(super) async fn connect(
    egress: &Egress,
    target: &HttpTarget,
    opened: &[IpNet],
    within: Duration,
) -> Result<Connected, Failure> {
    let until = Instant::now() + within;
    let addresses = timeout_at(until, addresses(target)).await.unwrap_or(Err(HttpFault::DnsTimeout))?;
    for address in &addresses {
        if let Some(why) = prohibited(address.ip(), opened) {
            return Err(Failure::Prohibited { address: address.ip(), why });
        }
    }
    let stream = match timeout_at(until, dial(&addresses)).await {
        Ok(stream) => stream?,
        Err(_) => return Err(HttpFault::ConnectTimeout.into()),
    };
    // The kernel's word for it, whatever lies between here and there.
    let peer = stream.peer_addr().map_err(|_| HttpFault::Terminated)?;
    if let Some(why) = prohibited(peer.ip(), opened) {
        return Err(Failure::Prohibited { address: peer.ip(), why });
    }
    match target.scheme() {
        HttpScheme::Http => Ok(Connected { transport: Box::new(stream), http2: false }),
        HttpScheme::Https => {
            let name = server_name(target.host())?;
            let connector = TlsConnector::from(Arc::clone(egress.tls()));
            let shaken = timeout_at(until, connector.connect(name, stream)).await;
            let stream = shaken.map_err(|_| HttpFault::ConnectTimeout)?.map_err(|error| untrusted(&error))?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(Connected { transport: Box::new(stream), http2 })
        }
    }
}

async fn addresses(target: &HttpTarget) -> Result<Vec<SocketAddr>, HttpFault> {
    let host = target.host();
    if let Ok(address) = without_brackets(host).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, target.port())]);
    }
    let found = timeout(LOOK_UP, lookup_host((host, target.port()))).await;
    let found = found.map_err(|_| HttpFault::DnsTimeout)?.map_err(|_| HttpFault::DnsError)?;
    let mut addresses: Vec<_> = found.collect();
    addresses.dedup();
    if addresses.is_empty() { Err(HttpFault::DnsError) } else { Ok(addresses) }
}

/// The first address that answers.
async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, HttpFault> {
    let mut fault = HttpFault::ConnectTimeout;
    for address in addresses.iter().take(ADDRESSES) {
        match timeout(ONE_ADDRESS, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Small requests do not wait for more to send with them.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => {
                fault = match error.kind() {
                    io::ErrorKind::ConnectionRefused => HttpFault::Refused,
                    io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                        HttpFault::Unreachable
                    }
                    _ => HttpFault::Terminated,
                };
            }
            Err(_) => fault = HttpFault::ConnectTimeout,
        }
    }
    Err(fault)
}

/// An address of IPv6 as it is written outside of URLs.
fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn server_name(host: &str) -> Result<ServerName<'static>, HttpFault> {
    ServerName::try_from(without_brackets(host).to_owned()).map_err(|_| HttpFault::TlsCertificate)
}

/// What went wrong in the handshake; a certificate that does not convince is a refusal.
fn untrusted(error: &io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error @ rustls::Error::InvalidCertificate(_)) => Failure::Certificate(error.to_string()),
        Some(rustls::Error::AlertReceived(_)) => HttpFault::TlsAlert.into(),
        Some(_) => HttpFault::TlsProtocol.into(),
        None => HttpFault::Terminated.into(),
    }
}
