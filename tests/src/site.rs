//! A server on the loopback device, with TLS by an authority of its own: what a plugin's requests are sent to.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// A certificate authority that nobody trusts by default.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names and its key, in PEM: for somebody else's server.
    pub fn issue(&self, names: &[&str]) -> (String, String) {
        let (certificate, key) = self.signed(names, |_| {});
        (certificate.pem(), key.serialize_pem())
    }

    fn signed(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (Certificate, KeyPair) {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate, key)
    }

    /// A server's side of TLS for these names, after `change`.
    fn server(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let (certificate, key) = self.signed(names, change);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a key that fits");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

impl Default for Authority {
    fn default() -> Self {
        Authority::new()
    }
}

/// A running server. It ends with this.
#[derive(Debug)]
pub struct Site {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    runtime: Option<Runtime>,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

impl Site {
    /// In the clear.
    pub fn plain() -> Site {
        Site::start(None)
    }

    /// With a certificate of `authority` for `localhost` and 127.0.0.1.
    pub fn secure(authority: &Authority) -> Site {
        Site::with_certificate(authority, &["localhost", "127.0.0.1"], |_| {})
    }

    /// With a certificate of `authority` for these names, after `change`.
    pub fn with_certificate(
        authority: &Authority,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Site {
        Site::start(Some(authority.server(names, change)))
    }

    fn start(tls: Option<ServerConfig>) -> Site {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("site")
            .enable_all()
            .build()
            .expect("a runtime");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let notes = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, notes) = (acceptor.clone(), Arc::clone(&notes));
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let service = service_fn(move |request| answer(request, Arc::clone(&notes)));
                    let server = auto::Builder::new(TokioExecutor::new());
                    match acceptor {
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                let _ = server.serve_connection(TokioIo::new(stream), service).await;
                            }
                        }
                        None => drop(server.serve_connection(TokioIo::new(stream), service).await),
                    }
                });
            }
        });
        Site { address, seen, runtime: Some(runtime) }
    }

    /// `localhost:PORT`
    pub fn authority(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Method, path and version of every request so far, and its fields.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn whole(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(text.into()).boxed());
    *response.status_mut() = status;
    response
}

/// Blocks of 64 KiB, as many as there are and as fast as they are taken.
fn blocks(count: u64) -> Answer {
    static BLOCK: [u8; 65_536] = [0x5a; 65_536];
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    tokio::spawn(async move {
        for _ in 0..count {
            if sender.send(Bytes::from_static(&BLOCK)).await.is_err() {
                return;
            }
        }
    });
    streamed(receiver)
}

fn streamed(mut blocks: tokio::sync::mpsc::Receiver<Bytes>) -> Answer {
    let frames = futures_util::stream::poll_fn(move |cx| {
        blocks.poll_recv(cx).map(|block| block.map(|block| Ok(Frame::data(block))))
    });
    Response::new(BodyExt::boxed(StreamBody::new(frames)))
}

/// By the first part of the path: what the site does.
async fn answer(request: Request<Incoming>, seen: Arc<Mutex<Vec<String>>>) -> Result<Answer, Infallible> {
    let mut line = format!("{} {} {:?}", request.method(), request.uri(), request.version());
    for (name, value) in request.headers() {
        line.push_str(&format!("\n{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    }
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let number = || query.parse::<u64>().unwrap_or_default();
    let mut parts = path.split('/').skip(1);
    Ok(match parts.next().unwrap_or_default() {
        "echo" => {
            // Block by block, while the request still comes.
            let (sender, receiver) = tokio::sync::mpsc::channel(1);
            tokio::spawn(async move {
                let mut body = request.into_body();
                while let Some(Ok(frame)) = body.frame().await {
                    if let Ok(data) = frame.into_data()
                        && sender.send(data).await.is_err()
                    {
                        return;
                    }
                }
            });
            streamed(receiver)
        }
        "length" => {
            let (mut body, mut length) = (request.into_body(), 0);
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => length += frame.data_ref().map_or(0, Bytes::len),
                    Err(error) => return Ok(whole(StatusCode::BAD_REQUEST, error.to_string())),
                }
            }
            whole(StatusCode::OK, length.to_string())
        }
        // A database of vulnerabilities, as OSV speaks: what begins with `bad-` has one.
        "v1" if path == "/v1/querybatch" => {
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let asked: Json = serde_json::from_slice(&body).unwrap_or_default();
            let found = |query: &Json| match query["package"]["name"].as_str() {
                Some(name) if name.starts_with("bad-") => {
                    json!({ "vulns": [{ "id": format!("TEST-{name}") }] })
                }
                _ => json!({}),
            };
            let results: Vec<_> = asked["queries"].as_array().into_iter().flatten().map(found).collect();
            whole(StatusCode::OK, json!({ "results": results }).to_string())
        }
        // A language model, as OpenAI speaks.
        "v1" if path == "/v1/chat/completions" => {
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            seen.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(String::from_utf8_lossy(&body).into_owned());
            completion(&serde_json::from_slice(&body).unwrap_or_default(), &line).await
        }
        "fields" => whole(StatusCode::OK, line),
        "blocks" => blocks(number()),
        "silence" => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            whole(StatusCode::OK, "late")
        }
        "wait" => {
            tokio::time::sleep(Duration::from_millis(number())).await;
            whole(StatusCode::OK, "waited")
        }
        "halfway" => {
            // A head and a block, and then nothing.
            let (sender, receiver) = tokio::sync::mpsc::channel(1);
            tokio::spawn(async move {
                let _ = sender.send(Bytes::from_static(b"half")).await;
                tokio::time::sleep(Duration::from_secs(600)).await;
            });
            streamed(receiver)
        }
        "redirect" => {
            let mut response = whole(StatusCode::FOUND, "elsewhere");
            if let Ok(to) = query.parse() {
                response.headers_mut().insert("location", to);
            }
            response
        }
        "status" => {
            let status = parts.next().and_then(|status| status.parse().ok()).unwrap_or(StatusCode::OK);
            whole(status, "")
        }
        _ => whole(StatusCode::OK, format!("hello from {path}")),
    })
}

/// Does what the last message says: `say TEXT`, `call FUNCTION ARGUMENTS`, `long`, `wait MILLISECONDS`, `status N`,
/// `free`, `garbage`. A token is a word that is read, and one that is written.
async fn completion(asked: &Json, line: &str) -> Answer {
    let messages = asked["messages"].as_array().cloned().unwrap_or_default();
    let text = |message: &Json| message["content"].as_str().unwrap_or_default().to_owned();
    let words = |text: &str| text.split_whitespace().count() as u64;
    let read: u64 = messages.iter().map(|message| words(&text(message))).sum();
    let most = asked["max_tokens"].as_u64().or(asked["max_completion_tokens"].as_u64()).unwrap_or_default();
    let last = messages.last().map(text).unwrap_or_default();
    let (what, rest) = last.split_once(' ').unwrap_or((&last, ""));
    let answered = |message: Json, written: u64, finish: &str| {
        let usage =
            json!({ "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written });
        let choice = json!({ "index": 0, "message": message, "finish_reason": finish });
        json!({ "id": "1", "object": "chat.completion", "choices": [choice], "usage": usage })
    };
    let said = |text: &str| answered(json!({ "role": "assistant", "content": text }), words(text), "stop");
    let document = match what {
        _ if messages.last().is_some_and(|message| message["role"] == "tool") => {
            said(&format!("it says {last}"))
        }
        "say" => said(rest),
        "call" => {
            let (name, arguments) = rest.split_once(' ').unwrap_or((rest, "{}"));
            let function = json!({ "name": name, "arguments": arguments });
            let calls = json!([{ "id": "call-1", "type": "function", "function": function }]);
            answered(json!({ "role": "assistant", "content": null, "tool_calls": calls }), 1, "tool_calls")
        }
        "long" => answered(json!({ "role": "assistant", "content": "and so on" }), most, "length"),
        "wait" => {
            tokio::time::sleep(Duration::from_millis(rest.parse().unwrap_or_default())).await;
            said("waited")
        }
        "free" => json!({ "choices": [{ "message": { "content": "free" } }] }),
        "status" => {
            let status = rest.parse().unwrap_or(StatusCode::OK);
            // As careless as a server can be.
            let error = json!({ "error": { "message": format!("no: {line}"), "type": "test" } });
            return whole(status, error.to_string());
        }
        _ => return whole(StatusCode::OK, "garbage"),
    };
    whole(StatusCode::OK, document.to_string())
}

/// A server that reads a request's head and answers each connection with the same bytes, whatever they are.
#[derive(Debug)]
pub struct Raw {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Raw {
    /// Sends `head` once, and then `again` for as long as somebody reads.
    pub fn answering(head: impl Into<Vec<u8>>, again: impl Into<Vec<u8>>) -> Raw {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (head, again) = (head.into(), again.into());
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                if stream.write_all(&head).is_err() || again.is_empty() {
                    continue;
                }
                // Nobody is kept from ending the test by a reader that takes everything.
                for _ in 0..1_000_000 {
                    if stream.write_all(&again).is_err() {
                        break;
                    }
                }
            }
        });
        Raw { address }
    }
}
