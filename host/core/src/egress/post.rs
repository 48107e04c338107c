//! Checkpoints of the audit log, sent to somebody who keeps them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use stockade_audit::Sink;
use stockade_policy::HttpTarget;
use tokio::time::timeout;

use super::connect::connect;
use super::exchange::Failure;
use super::{Egress, parts};

/// To connect, and for the answer: the next checkpoint is not far.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(20);

/// An address that takes checkpoints: each is the body of a POST, in the form of a signed note.
#[derive(Debug)]
pub(crate) struct Post {
    target: HttpTarget,
    egress: Arc<Egress>,
}

impl Post {
    /// None where it is no URL to send something to.
    pub(crate) fn to(url: &str, egress: &Arc<Egress>) -> Option<Post> {
        let (scheme, authority, path) = parts(url)?;
        let target = HttpTarget::parse("POST", scheme, authority, &format!("/{path}")).ok()?;
        Some(Post { target, egress: Arc::clone(egress) })
    }

    async fn send(&self, note: &str) -> io::Result<Response<Incoming>> {
        let target = &self.target;
        // The operator named it: wherever it is, it is meant.
        let anywhere = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
        let connected = connect(&self.egress, target, &anywhere, CONNECT).await.map_err(failed)?;
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(note.as_bytes())));
        *request.method_mut() = Method::POST;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        request.headers_mut().insert(header::CONTENT_TYPE, text);
        let uri = |text: &str| text.parse::<Uri>().map_err(io::Error::other);
        let io = TokioIo::new(connected.transport);
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
    }
}

fn failed(failure: Failure) -> io::Error {
    io::Error::other(match failure {
        Failure::Fault(fault) => format!("{fault:?}"),
        Failure::Certificate(why) => why,
        other => format!("{other:?}"),
    })
}

impl Sink for Post {
    fn name(&self) -> String {
        // Without the query, which may hold a token.
        format!("url {}", self.target.as_str().trim_start_matches("POST "))
    }

    fn deliver(&mut self, note: &str) -> io::Result<()> {
        let runtime = self.egress.runtime()?.clone();
        let answer = runtime.block_on(async { timeout(CONNECT + ANSWER, self.send(note)).await });
        let status = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??.status();
        if status.is_success() { Ok(()) } else { Err(io::Error::other(format!("it answered {status}"))) }
    }
}
