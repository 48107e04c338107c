//! A request of the operator's own: whole, over a connection of its own, to an address that they named.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use stockade_policy::HttpTarget;
use tokio::time::{Instant, timeout_at};

use super::Egress;
use super::connect::connect;
use super::exchange::Failure;

/// To connect.
const CONNECT: Duration = Duration::from_secs(10);

/// Bytes a second that a body has to come at, over all of it: a drop now and then would keep us for good.
const SLOWEST: u64 = 32 * 1024;

/// Every address: an operator who names one means it.
pub(crate) fn anywhere() -> [IpNet; 2] {
    [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]
}

/// Sends a request; of the addresses that are closed to plugins it may go to those that are `opened`.
pub(crate) async fn send(
    egress: &Egress,
    target: &HttpTarget,
    opened: &[IpNet],
    (fields, body): (HeaderMap, Bytes),
    within: Duration,
) -> io::Result<Response<Incoming>> {
    let until = Instant::now() + within;
    let connected = connect(egress, target, opened, CONNECT.min(within)).await.map_err(failed)?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::from_bytes(target.method().as_bytes()).map_err(io::Error::other)?;
    *request.headers_mut() = fields;
    let uri = |text: &str| text.parse::<Uri>().map_err(io::Error::other);
    let io = TokioIo::new(connected.transport);
    let answered = async {
        if connected.http2 {
            let path = target.path_with_query();
            *request.uri_mut() =
                uri(&format!("{}://{}{path}", target.scheme().as_str(), target.authority()))?;
            *request.version_mut() = Version::HTTP_2;
            let http2 = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await;
            let (mut sender, connection) = http2.map_err(io::Error::other)?;
            tokio::spawn(connection);
            sender.send_request(request).await.map_err(io::Error::other)
        } else {
            *request.uri_mut() = uri(&target.path_with_query())?;
            let host = HeaderValue::from_str(&target.authority()).map_err(io::Error::other)?;
            request.headers_mut().insert(header::HOST, host);
            let http1 = hyper::client::conn::http1::handshake(io).await;
            let (mut sender, connection) = http1.map_err(io::Error::other)?;
            tokio::spawn(connection);
            sender.send_request(request).await.map_err(io::Error::other)
        }
    };
    timeout_at(until, answered).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// All of a response's body; an error where it is longer than `most`, or takes longer than `patience` and what `most` takes
/// at the slowest.
pub(crate) async fn all(mut body: Incoming, most: u64, patience: Duration) -> io::Result<Bytes> {
    let until = Instant::now() + patience + Duration::from_secs(most / SLOWEST);
    let mut all = BytesMut::new();
    loop {
        let frame = timeout_at(until, body.frame()).await;
        let frame = frame.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        let Some(frame) = frame.transpose().map_err(io::Error::other)? else { return Ok(all.freeze()) };
        let Ok(block) = frame.into_data() else { continue };
        if (all.len() + block.len()) as u64 > most {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("the answer is longer than {most} bytes"),
            ));
        }
        all.extend_from_slice(&block);
    }
}

fn failed(failure: Failure) -> io::Error {
    io::Error::other(match failure {
        Failure::Fault(fault) => format!("{fault:?}"),
        Failure::Certificate(why) => why,
        Failure::Prohibited { address, why } => format!("{address} is closed ({why})"),
        other => format!("{other:?}"),
    })
}
