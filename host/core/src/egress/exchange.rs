//! One request and its response, in a task of its own. What comes back goes through a channel that holds little:
//! who does not read makes the server wait, not the host grow.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri, Version};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use stockade_ipc::bounds::{HTTP_FIELD_COUNT, HTTP_FIELDS, fit};
use stockade_ipc::{Bytes as Block, HttpFault, HttpField};
use stockade_policy::{HttpTarget, is_of_the_connection, stands};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::body::{BodyFault, Content, Length, Outgoing, Upload};
use super::connect::connect;
use super::{Egress, Reach};
use crate::secret::{Masked, Secrets};
use crate::trail::{Trail, Unrecorded};

/// Blocks of a request's body that wait to be sent.
const OUTGOING: usize = 4;
/// Blocks of a response's body that wait to be read.
const INCOMING: usize = 4;
/// Bytes that are read at once from a connection of HTTP/1.1.
const READ_BUFFER: usize = 64 * 1024;
/// Bytes that a server may send ahead over HTTP/2.
const WINDOW: u32 = 256 * 1024;

/// A request, decided and ready to go.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) target: HttpTarget,
    pub(crate) fields: HeaderMap,
    /// Its body.
    pub(crate) body: Content,
    /// To connect, for the first byte of the response, between any two.
    pub(crate) patience: [Duration; 3],
    pub(crate) reach: Reach,
    /// What may be filled into it, where anything may.
    pub(crate) secrets: Option<Arc<Secrets>>,
}

/// What comes back, in this order.
#[derive(Debug)]
pub(crate) enum Event {
    Head {
        status: u16,
        fields: Vec<HttpField>,
    },
    Body(Bytes),
    /// The end, with the trailers.
    End(Vec<HttpField>),
    Failed(HttpFault),
    /// It had to be recorded and could not be.
    Unrecorded(Unrecorded),
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum Failure {
    Fault(HttpFault),
    /// The name leads to an address that is closed.
    Prohibited {
        address: IpAddr,
        why: &'static str,
    },
    /// The server does not prove to be the one that was meant.
    Certificate(String),
    /// Something had to be recorded and could not be.
    Unrecorded(Unrecorded),
}

impl From<Unrecorded> for Failure {
    fn from(error: Unrecorded) -> Self {
        Self::Unrecorded(error)
    }
}

impl From<HttpFault> for Failure {
    fn from(fault: HttpFault) -> Self {
        Self::Fault(fault)
    }
}

/// A request on its way. Dropped, it is over: the connection is closed.
#[derive(Debug)]
pub(crate) struct Exchange {
    upload: Option<mpsc::Sender<Upload>>,
    events: mpsc::Receiver<Event>,
    next: Option<Event>,
    task: tokio::task::AbortHandle,
}

impl Exchange {
    /// Sends a request on its way, in a task of this runtime.
    pub(crate) fn start(runtime: &Handle, egress: Arc<Egress>, order: Order, trail: Arc<Trail>) -> Exchange {
        let (events_in, events) = mpsc::channel(INCOMING);
        let (upload, uploaded) = match order.body {
            Content::Follows(_) => {
                let (upload, uploaded) = mpsc::channel(OUTGOING);
                (Some(upload), Some(uploaded))
            }
            Content::Whole(_) => (None, None),
        };
        let task = runtime.spawn(async move {
            let target = order.target.clone();
            let last = match exchange(&egress, order, uploaded, &events_in, &trail).await {
                Ok(()) => return,
                Err(Failure::Fault(fault)) => Event::Failed(fault),
                Err(Failure::Unrecorded(error)) => Event::Unrecorded(error),
                Err(Failure::Prohibited { address, why }) => {
                    match trail.unreachable_address(&target, address, why) {
                        Ok(()) => Event::Failed(HttpFault::AddressProhibited),
                        Err(error) => Event::Unrecorded(error),
                    }
                }
                Err(Failure::Certificate(why)) => match trail.untrusted_server(&target, &why) {
                    Ok(()) => Event::Failed(HttpFault::TlsCertificate),
                    Err(error) => Event::Unrecorded(error),
                },
            };
            let _ = events_in.send(last).await;
        });
        Exchange { upload, events, next: None, task: task.abort_handle() }
    }

    /// Blocks of the body that would be taken now.
    pub(crate) fn room(&self) -> usize {
        self.upload.as_ref().map_or(0, mpsc::Sender::capacity)
    }

    /// Whether the body is not whole yet.
    pub(crate) fn uploads(&self) -> bool {
        self.upload.is_some()
    }

    /// Takes a block of the body. False where there is no room, or nobody to send it any more.
    pub(crate) fn upload(&self, block: Bytes) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.try_send(Upload::Block(block)).is_ok())
    }

    /// The body is whole. False where there is no room for saying so yet.
    pub(crate) fn finish(&mut self, trailers: HeaderMap) -> bool {
        let Some(upload) = &self.upload else { return false };
        let said = !matches!(upload.try_send(Upload::End(trailers)), Err(mpsc::error::TrySendError::Full(_)));
        if said {
            self.upload = None;
        }
        said
    }

    /// Ready once something has come back.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.next.is_none() {
            // The last event is followed by the channel's end, which nobody waits for.
            let event = ready!(self.events.poll_recv(cx)).unwrap_or(Event::Failed(HttpFault::Internal));
            self.next = Some(event);
        }
        Poll::Ready(())
    }

    /// Done once a block of the body would be taken, or never will be again.
    pub(crate) fn room_made(&self) -> impl Future<Output = ()> + Send + 'static {
        let upload = self.upload.clone();
        async move {
            if let Some(upload) = upload {
                let _ = upload.reserve().await;
            }
        }
    }

    /// What has come back, if something has.
    pub(crate) fn next(&mut self) -> Option<Event> {
        if self.next.is_none() {
            self.next = self.events.try_recv().ok();
        }
        self.next.take()
    }

    /// Puts back what was not taken whole.
    pub(crate) fn put_back(&mut self, rest: Event) {
        self.next = Some(rest);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn exchange(
    egress: &Egress,
    order: Order,
    uploaded: Option<mpsc::Receiver<Upload>>,
    events: &mpsc::Sender<Event>,
    trail: &Trail,
) -> Result<(), Failure> {
    let Order { target, mut fields, body, patience: [to_connect, first_byte, between], reach, secrets } =
        order;
    let connected = connect(egress, &target, &reach.opened, to_connect).await?;
    let mut body = Outgoing::new(body, uploaded, reach.request_bytes);
    if let Some(secrets) = &secrets {
        body.fill(secrets, &target, trail).await?;
        if let Some(length) = body.length
            && fields.contains_key(header::CONTENT_LENGTH)
        {
            fields.insert(header::CONTENT_LENGTH, length.into());
        }
        // A secret that comes back compressed could not be masked.
        fields.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if matches!(target.method(), "GET" | "HEAD" | "DELETE" | "OPTIONS") {
        body.look_ahead().await?;
    }
    let answer = Answering { events, between, most: reach.response_bytes, secrets };
    let mut request = Request::new(body);
    *request.method_mut() =
        Method::from_bytes(target.method().as_bytes()).map_err(|_| HttpFault::Protocol)?;
    *request.headers_mut() = fields;
    let path = target.path_with_query();
    let io = TokioIo::new(connected.transport);
    if connected.http2 {
        let uri = format!("{}://{}{path}", target.scheme().as_str(), target.authority());
        *request.uri_mut() = uri.parse::<Uri>().map_err(|_| HttpFault::Protocol)?;
        *request.version_mut() = Version::HTTP_2;
        let mut http2 = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HTTP_FIELDS as u32);
        let (mut sender, connection) = http2.handshake(io).await.map_err(|error| fault(&error))?;
        drive(timeout(first_byte, sender.send_request(request)), connection, answer).await
    } else {
        *request.uri_mut() = path.parse::<Uri>().map_err(|_| HttpFault::Protocol)?;
        let host = HeaderValue::from_str(&target.authority()).map_err(|_| HttpFault::Protocol)?;
        request.headers_mut().insert(header::HOST, host);
        let mut http1 = hyper::client::conn::http1::Builder::new();
        http1.max_headers(HTTP_FIELD_COUNT).max_buf_size(READ_BUFFER);
        let (mut sender, connection) = http1.handshake(io).await.map_err(|error| fault(&error))?;
        drive(timeout(first_byte, sender.send_request(request)), connection, answer).await
    }
}

/// How a response is passed on.
struct Answering<'a> {
    events: &'a mpsc::Sender<Event>,
    between: Duration,
    most: u64,
    /// What is masked in it.
    secrets: Option<Arc<Secrets>>,
}

/// Sends and receives in one task: the connection moves whenever its response is waited for.
async fn drive(
    response: impl Future<Output = Result<hyper::Result<Response<Incoming>>, tokio::time::error::Elapsed>>,
    connection: impl Future<Output = hyper::Result<()>>,
    answer: Answering<'_>,
) -> Result<(), Failure> {
    let received = async {
        let response =
            response.await.map_err(|_| HttpFault::ResponseTimeout)?.map_err(|error| fault(&error))?;
        receive(response, &answer).await
    };
    let mut received = std::pin::pin!(received);
    let mut connection = std::pin::pin!(connection);
    let mut connected = true;
    std::future::poll_fn(|cx| {
        if connected && connection.as_mut().poll(cx).is_ready() {
            connected = false;
        }
        received.as_mut().poll(cx)
    })
    .await
}

async fn receive(
    response: Response<Incoming>,
    Answering { events, between, most, secrets }: &Answering<'_>,
) -> Result<(), Failure> {
    let secrets = secrets.as_deref();
    let (head, mut body) = response.into_parts();
    if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(HttpFault::Protocol.into());
    }
    if body.size_hint().lower() > *most && stands("http.response-size") {
        return Err(HttpFault::ResponseBodySize.into());
    }
    let fields = told(&head.headers, secrets).ok_or(HttpFault::ResponseHeaderSize)?;
    // What a small response has of a body is there a moment after its head: one wake-up for both.
    tokio::task::yield_now().await;
    let mut early = immediate(body.frame()).await;
    // Whoever is not there any more does not want the rest either; the task is aborted.
    let _ = events.send(Event::Head { status: head.status.as_u16(), fields }).await;
    let mut left = *most;
    let mut masked = Masked::default();
    loop {
        let next = match early.take() {
            Some(frame) => frame,
            None => timeout(*between, body.frame()).await.map_err(|_| HttpFault::ReadTimeout)?,
        };
        let Some(frame) = next else {
            send(events, masked.rest()).await;
            end(events, Vec::new()).await;
            return Ok(());
        };
        match frame.map_err(|error| fault(&error))?.into_data() {
            Ok(block) => {
                if stands("http.response-size") {
                    left = left.checked_sub(block.len() as u64).ok_or(HttpFault::ResponseBodySize)?;
                }
                match secrets {
                    Some(secrets) => send(events, masked.pass(&block, secrets)).await,
                    None => send(events, block).await,
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    send(events, masked.rest()).await;
                    let trailers = told(&trailers, secrets).ok_or(HttpFault::ResponseHeaderSize)?;
                    end(events, trailers).await;
                    return Ok(());
                }
            }
        }
    }
}

/// Says that this was all, and waits until it was heard: whoever waits for it goes on before the connection is
/// closed, which takes a while.
async fn end(events: &mpsc::Sender<Event>, trailers: Vec<HttpField>) {
    let _ = events.send(Event::End(trailers)).await;
    events.closed().await;
}

async fn send(events: &mpsc::Sender<Event>, block: impl Into<Bytes>) {
    let block = block.into();
    if !block.is_empty() {
        let _ = events.send(Event::Body(block)).await;
    }
}

/// What a future has to say at once, if it has.
async fn immediate<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// The fields of a response as a worker gets them; none where they are too many.
fn told(fields: &HeaderMap, secrets: Option<&Secrets>) -> Option<Vec<HttpField>> {
    let value = |value: &HeaderValue| {
        let mut value = value.as_bytes().to_vec();
        if let Some(secrets) = secrets {
            secrets.mask(&mut value);
        }
        Block(value)
    };
    let told: Vec<HttpField> = fields
        .iter()
        .filter(|(name, _)| !is_of_the_connection(name.as_str()))
        .map(|(name, bytes)| (name.as_str().to_owned(), value(bytes)))
        .collect();
    let sizes = told.iter().map(|(name, value)| name.len() + value.0.len());
    fit(sizes, HTTP_FIELD_COUNT, HTTP_FIELDS).then_some(told)
}

/// What hyper says, in the words of the protocol between host and worker.
fn fault(error: &hyper::Error) -> Failure {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = source {
        if let Some(fault) = inner.downcast_ref::<BodyFault>() {
            return fault.0.into();
        }
        match inner.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::UnexpectedEof) => return HttpFault::ResponseIncomplete.into(),
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                return HttpFault::Terminated.into();
            }
            _ => {}
        }
        source = inner.source();
    }
    let fault = if error.is_parse() && error.to_string().contains("too large") {
        HttpFault::ResponseHeaderSize
    } else if error.is_incomplete_message() || error.is_body_write_aborted() {
        HttpFault::ResponseIncomplete
    } else if error.is_closed() || error.is_canceled() {
        HttpFault::Terminated
    } else if error.is_timeout() {
        HttpFault::ReadTimeout
    } else {
        HttpFault::Protocol
    };
    fault.into()
}

/// What a plugin wrote, as fields that may go onto the wire, and the length that it promised.
pub(crate) fn fields(wanted: &[HttpField]) -> Option<(HeaderMap, Length)> {
    let mut fields = HeaderMap::with_capacity(wanted.len());
    let mut length = None;
    for (name, Block(value)) in wanted {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(value).ok()?;
        if name == header::CONTENT_LENGTH {
            let digits = value.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
            if length.replace(digits.parse().ok()?).is_some() {
                return None;
            }
        }
        if is_of_the_connection(name.as_str()) && stands("http.fields") {
            return None;
        }
        fields.append(name, value);
    }
    Some((fields, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &[(&str, &str)]) -> Option<(usize, Length)> {
        let list: Vec<_> =
            list.iter().map(|(name, value)| ((*name).to_owned(), Block(value.as_bytes().to_vec()))).collect();
        fields(&list).map(|(fields, length)| (fields.len(), length))
    }

    #[test]
    fn d5_fields_that_would_split_or_frame_a_request_are_refused() {
        assert_eq!(of(&[("x-a", "1"), ("x-a", "2"), ("content-length", "12")]), Some((3, Some(12))));
        for refused in [
            &[("host", "x")][..],
            &[("Host", "x")],
            &[("connection", "close")],
            &[("transfer-encoding", "chunked")],
            &[("te", "trailers")],
            &[("upgrade", "h2c")],
            &[("expect", "100-continue")],
            &[("proxy-authorization", "x")],
            &[(":path", "/")],
            &[("x a", "1")],
            &[("", "1")],
            &[("x-a", "1\r\nx-b: 2")],
            &[("x-a", "1\0")],
            &[("content-length", "1"), ("content-length", "1")],
            &[("content-length", "+1")],
            &[("content-length", "1, 1")],
            &[("content-length", "99999999999999999999")],
        ] {
            assert_eq!(of(refused), None, "{refused:?}");
        }
    }
}
