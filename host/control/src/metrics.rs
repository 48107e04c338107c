//! Metrics and health over HTTP, for a scraper and for probes.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use stockade_host::METRICS_TYPE;
use stockade_policy::stands;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::server::{Operations, apart, health};

/// Scrapes at a time: each walks over all plugins.
const SCRAPES: usize = 4;

struct Site<O> {
    operations: Arc<O>,
    scrapes: Semaphore,
}

/// Serves `/metrics`, `/health/live` and `/health/ready` on `address`, until `end`. Returns where it listens, and what
/// has to be polled.
///
/// Whoever reaches the address reads them: there is no other check, which is why [`serve_metrics`] takes loopback
/// addresses alone.
///
/// # Errors
///
/// The address is not one of this machine's loopback device, or is in use.
pub async fn serve_metrics<O: Operations>(
    address: SocketAddr,
    operations: Arc<O>,
    end: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<(SocketAddr, impl Future<Output = std::io::Result<()>>)> {
    if !address.ip().is_loopback() {
        return Err(std::io::Error::other(
            "metrics are for this machine: use an address of the loopback device",
        ));
    }
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let site = Arc::new(Site { operations, scrapes: Semaphore::new(SCRAPES) });
    let router = Router::new()
        .route("/metrics", get(metrics::<O>))
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready::<O>))
        .layer(middleware::from_fn(only_this_machine))
        .with_state(site);
    Ok((bound, async move { axum::serve(listener, router).with_graceful_shutdown(end).await }))
}

/// A page from elsewhere that has its name lead here is a reader from elsewhere: it is known by the name that it asks
/// for (DNS rebinding).
async fn only_this_machine(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host });
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    if host == "localhost" || address.is_ok_and(|address| address.is_loopback()) || !stands("metrics.host") {
        return next.run(request).await;
    }
    (StatusCode::MISDIRECTED_REQUEST, "ask for localhost, or for an address of the loopback device\n")
        .into_response()
}

async fn metrics<O: Operations>(State(site): State<Arc<Site<O>>>) -> impl IntoResponse {
    let Ok(_scrape) = site.scrapes.try_acquire() else {
        let plain = [(header::CONTENT_TYPE, "text/plain")];
        return (StatusCode::SERVICE_UNAVAILABLE, plain, "others are being served\n".to_owned());
    };
    let text = apart(site.operations.host(), |host| host.metrics()).await;
    (StatusCode::OK, [(header::CONTENT_TYPE, METRICS_TYPE)], text)
}

async fn ready<O: Operations>(State(site): State<Arc<Site<O>>>) -> impl IntoResponse {
    let health = health(&*site.operations).await;
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(health))
}
