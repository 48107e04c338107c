//! Checkpoints of the audit log, sent to somebody who keeps them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderMap, HeaderValue};
use hyper::body::Incoming;
use stockade_audit::Sink;
use stockade_policy::HttpTarget;

use super::plain::{self, anywhere};
use super::{Egress, parts};

/// To connect and for the answer: the next checkpoint is not far.
const WITHIN: Duration = Duration::from_secs(30);

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
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        let fields = HeaderMap::from_iter([(header::CONTENT_TYPE, text)]);
        let body = Bytes::copy_from_slice(note.as_bytes());
        plain::send(&self.egress, &self.target, &anywhere(), (fields, body), WITHIN).await
    }
}

impl Sink for Post {
    fn name(&self) -> String {
        // Without the query, which may hold a token.
        format!("url {}", self.target.as_str().trim_start_matches("POST "))
    }

    fn deliver(&mut self, note: &str) -> io::Result<()> {
        let runtime = self.egress.runtime()?.clone();
        let status = runtime.block_on(self.send(note))?.status();
        if status.is_success() { Ok(()) } else { Err(io::Error::other(format!("it answered {status}"))) }
    }
}
