//! The body of a request, as it comes from the worker: whole, or block by block.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use stockade_ipc::HttpFault;
use stockade_policy::{HttpTarget, stands};
use tokio::sync::mpsc;

use super::exchange::Failure;
use crate::secret::Secrets;
use crate::trail::Trail;

/// Longest body that secrets are filled into.
const FILLED: u64 = 64 * 1024;

/// The body of a request.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it; empty where there is none.
    Whole(Bytes),
    /// It comes block by block, and is this long.
    Follows(Length),
}

/// How long a body is, if that was said.
pub(crate) type Length = Option<u64>;

#[derive(Debug)]
pub(crate) enum Upload {
    Block(Bytes),
    /// The body is whole; these are its trailers.
    End(HeaderMap),
}

/// The body of a request, as it comes from the worker.
#[derive(Debug)]
pub(super) struct Outgoing {
    uploaded: Option<mpsc::Receiver<Upload>>,
    /// What came of it before it was asked for.
    early: VecDeque<Upload>,
    /// What was promised.
    pub(super) length: Option<u64>,
    sent: u64,
    most: u64,
}

/// The body is not what was promised, or too long.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request")]
pub(super) struct BodyFault(pub(super) HttpFault);

impl Outgoing {
    pub(super) fn new(content: Content, uploaded: Option<mpsc::Receiver<Upload>>, most: u64) -> Outgoing {
        let (early, length) = match content {
            Content::Whole(bytes) if bytes.is_empty() => (VecDeque::new(), Some(0)),
            Content::Whole(bytes) => {
                let length = bytes.len() as u64;
                (VecDeque::from([Upload::Block(bytes), Upload::End(HeaderMap::new())]), Some(length))
            }
            Content::Follows(length) => (VecDeque::new(), length),
        };
        Outgoing { uploaded, early, length, sent: 0, most }
    }

    /// The next of it. Behind the end there is the end again; none where it was let go of before it was whole.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Upload>> {
        match (self.early.pop_front(), &mut self.uploaded) {
            (Some(early), _) => Poll::Ready(Some(early)),
            (None, Some(uploaded)) => uploaded.poll_recv(cx),
            (None, None) => Poll::Ready(Some(Upload::End(HeaderMap::new()))),
        }
    }

    /// Many clients open a body for every request and close it at once. A request of a kind that has none as a
    /// rule waits for that, and goes without one: servers that get one all the same may take it amiss.
    pub(super) async fn look_ahead(&mut self) -> Result<(), HttpFault> {
        let (Some(uploaded), None, true) = (&mut self.uploaded, self.length, self.early.is_empty()) else {
            return Ok(());
        };
        match uploaded.recv().await {
            Some(Upload::End(trailers)) if trailers.is_empty() => {
                self.uploaded = None;
                self.length = Some(0);
            }
            Some(first) => self.early.push_back(first),
            None => return Err(HttpFault::Terminated),
        }
        Ok(())
    }

    /// Puts secrets into the body, if it is a short one: it has to be whole for that.
    pub(super) async fn fill(
        &mut self,
        secrets: &Secrets,
        target: &HttpTarget,
        trail: &Trail,
    ) -> Result<(), Failure> {
        if self.length.is_some_and(|length| length > FILLED) {
            return Ok(());
        }
        let mut whole = Vec::new();
        loop {
            match std::future::poll_fn(|cx| self.poll_next(cx)).await {
                Some(Upload::Block(block)) => {
                    whole.extend_from_slice(&block);
                    if whole.len() as u64 > FILLED {
                        self.early.push_back(Upload::Block(whole.into()));
                        return Ok(());
                    }
                }
                Some(Upload::End(trailers)) => {
                    if self.length.is_some_and(|promised| promised != whole.len() as u64) {
                        return Err(HttpFault::RequestBodySize.into());
                    }
                    let filled = secrets.fill(&whole, target, trail)?.ok_or(HttpFault::Denied)?;
                    self.length = Some(filled.len() as u64);
                    if trailers.is_empty() && filled.is_empty() {
                        self.uploaded = None;
                    } else {
                        self.early.push_back(Upload::Block(Bytes::copy_from_slice(&filled)));
                        self.early.push_back(Upload::End(trailers));
                    }
                    return Ok(());
                }
                None => return Err(HttpFault::Terminated.into()),
            }
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let promised = self.length.unwrap_or(u64::MAX);
        Poll::Ready(match ready!(self.poll_next(cx)) {
            Some(Upload::Block(block)) => {
                self.sent += block.len() as u64;
                if self.sent > promised.min(self.most) && stands("http.request-size") {
                    return Poll::Ready(Some(Err(BodyFault(HttpFault::RequestBodySize))));
                }
                Some(Ok(Frame::data(block)))
            }
            Some(Upload::End(trailers)) => {
                self.uploaded = None;
                match self.length {
                    Some(promised) if promised != self.sent => {
                        Some(Err(BodyFault(HttpFault::RequestBodySize)))
                    }
                    _ if trailers.is_empty() => None,
                    _ => Some(Ok(Frame::trailers(trailers))),
                }
            }
            // It was let go of before it was whole: nobody may take it for a whole one.
            None => Some(Err(BodyFault(HttpFault::Terminated))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.uploaded.is_none() && self.early.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
