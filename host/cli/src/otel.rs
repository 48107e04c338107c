//! Spans of calls and launches, and what was told within them, for an OpenTelemetry collector on this machine.

#[cfg(feature = "otel")]
pub(crate) use collector::start;

use crate::failure::Failure;
use crate::logging::Spans;

/// There is none in a program without the feature.
#[cfg(not(feature = "otel"))]
#[derive(Debug)]
pub(crate) enum Exporter {}

/// Refuses: who names a collector and gets nothing there should not have to find out why.
#[cfg(not(feature = "otel"))]
pub(crate) fn start(_otlp: &str) -> Result<(Spans, Exporter), Failure> {
    let message = "this stockade is built without what sends spans to a collector".to_owned();
    let next_step = "build stockade with --features otel (cargo build -p stockade-cli --features otel)";
    Err(Failure::usage("otel-missing", "tracing.otlp", message, next_step))
}

#[cfg(feature = "otel")]
mod collector {
    use std::future::ready;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use bytes::Bytes;
    use http::{HeaderValue, Request, Response, Uri, header, uri};
    use http_body_util::{BodyExt, Full, Limited};
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use opentelemetry::KeyValue;
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_http::{HttpClient, HttpError};
    use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider};
    use tokio::net::TcpStream;
    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::layer::Layer;

    use super::{Failure, Spans};

    /// A batch that is not taken by then is lost: there will be others.
    const TIMEOUT: Duration = Duration::from_secs(3);
    /// How long the last spans keep the host from ending.
    const FLUSH: Duration = Duration::from_secs(4);
    /// How often a batch is sent, full or not.
    const EVERY: Duration = Duration::from_secs(2);
    /// Spans that wait; those that find no place are dropped, and no call waits for one.
    const QUEUE: usize = 2048;
    const BATCH: usize = 256;
    /// A plugin may say much in one call.
    const MOST_EVENTS: u32 = 64;
    /// Of a collector's answer, which is a few bytes.
    const MOST_ANSWER: usize = 64 * 1024;

    /// Sends spans from a thread of its own. Where it is dropped, the last of them are sent, within [`FLUSH`].
    #[derive(Debug)]
    pub(crate) struct Exporter(SdkTracerProvider);

    impl Drop for Exporter {
        fn drop(&mut self) {
            // What could not be sent is told by the client.
            let _ = self.0.shutdown_with_timeout(FLUSH);
        }
    }

    /// Starts to send spans there. Nothing is connected before there is one.
    pub(crate) fn start(otlp: &str) -> Result<(Spans, Exporter), Failure> {
        let refused = |why: String| {
            let next_step = "name one on this machine, as http://127.0.0.1:4318/v1/traces";
            Failure::usage("bad-collector", "tracing.otlp", format!("{otlp:?}: {why}"), next_step)
        };
        let client = Client::to(otlp).map_err(|why| refused(why.to_owned()))?;
        // Of the environment the library still takes headers (OTEL_EXPORTER_OTLP_HEADERS), as collectors want them.
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(otlp)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(TIMEOUT)
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(EVERY)
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .with_sampler(Sampler::AlwaysOn)
            .with_max_events_per_span(MOST_EVENTS)
            .with_resource(resource())
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("stockade"))
            // Where this program was built, and which of its threads worked, is nothing to a collector.
            .with_location(false)
            .with_threads(false)
            .with_context_activation(false)
            .with_filter(Targets::new().with_target("stockade", LevelFilter::INFO));
        Ok((layer.boxed(), Exporter(provider)))
    }

    fn resource() -> Resource {
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        Resource::builder_empty().with_service_name("stockade").with_attribute(version).build()
    }

    /// HTTP to one collector on this machine.
    #[derive(Debug)]
    struct Client {
        addresses: Vec<SocketAddr>,
        host: HeaderValue,
        /// Whether it was told that spans do not arrive. Once is enough, until they do.
        told: AtomicBool,
    }

    impl Client {
        fn to(otlp: &str) -> Result<Client, &'static str> {
            let parsed: Uri = otlp.parse().map_err(|_| "this is no address of a collector")?;
            if parsed.scheme() != Some(&uri::Scheme::HTTP) {
                return Err("only http:// is spoken");
            }
            let authority = parsed.authority().filter(|authority| !authority.as_str().contains('@'));
            let authority = authority.ok_or("it must have a host, and no user")?;
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            // The name is not looked up: nobody can point it elsewhere.
            let found = match host.eq_ignore_ascii_case("localhost") {
                true => vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)],
                false => host.parse().into_iter().filter(IpAddr::is_loopback).collect(),
            };
            if found.is_empty() {
                return Err("spans go to localhost or a loopback address, and nowhere else");
            }
            let port = match authority.as_str().len() == authority.host().len() {
                true => 80,
                false => authority.port_u16().ok_or("this is no port")?,
            };
            let addresses = found.into_iter().map(|address| SocketAddr::new(address, port)).collect();
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| "this is no host")?;
            Ok(Client { addresses, host, told: AtomicBool::new(false) })
        }

        /// The exporter's thread has no runtime. One for each batch leaves nothing behind, whatever came of it.
        fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { tokio::time::timeout(TIMEOUT, self.exchange(request)).await? })
        }

        async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            let (mut parts, body) = request.into_parts();
            let path = parts.uri.path_and_query().map_or("/", uri::PathAndQuery::as_str);
            parts.uri = path.parse()?;
            parts.headers.insert(header::HOST, self.host.clone());
            let stream = TcpStream::connect(&*self.addresses).await?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // It ends with the runtime.
            tokio::spawn(connection);
            let (parts, body) =
                sender.send_request(Request::from_parts(parts, Full::new(body))).await?.into_parts();
            Ok(Response::from_parts(parts, Limited::new(body, MOST_ANSWER).collect().await?.to_bytes()))
        }

        fn tell(&self, answer: &Result<Response<Bytes>, HttpError>) {
            let why = match answer {
                Ok(answer) if answer.status().is_success() => {
                    return self.told.store(false, Ordering::Relaxed);
                }
                Ok(answer) => format!("it answers {}", answer.status()),
                Err(error) => error.to_string(),
            };
            if !self.told.swap(true, Ordering::Relaxed) {
                tracing::warn!(target: "stockade::host", "spans do not reach the collector, and are lost: {why}");
            }
        }
    }

    impl HttpClient for Client {
        fn send_bytes<'client: 'sent, 'sent>(
            &'client self,
            request: Request<Bytes>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sent>> {
            // The thread that asks has nothing else to do than to wait.
            let answer = self.send(request);
            self.tell(&answer);
            Box::pin(ready(answer))
        }
    }
}

#[cfg(test)]
mod tests;
