//! The way out: the host's own client of HTTP. It connects to addresses that it has checked itself, speaks
//! HTTP/1.1 and 2, follows no redirect, knows no proxy, keeps no cookie and shares no connection: one request,
//! one connection, closed with it.

mod address;
mod body;
mod connect;
mod exchange;
pub(crate) mod plain;
mod post;

use std::io;
use std::sync::{Arc, OnceLock};

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use stockade_policy::HttpScheme;
use tokio::runtime::{Handle, Runtime};

pub(crate) use body::Content;
pub(crate) use exchange::{Event, Exchange, Order, fields};
pub(crate) use post::Post;

use crate::error::HostError;

/// What requests of all plugins share: threads and trust. Neither is there before the first request.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    /// Certificate authorities that the operator named, besides the system's.
    authorities: Vec<CertificateDer<'static>>,
    runtime: OnceLock<Runtime>,
    tls: OnceLock<Arc<ClientConfig>>,
}

/// Where one plugin's requests may go, and what they may use up.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    /// Ranges that the operator opened, of those which are closed to everybody.
    pub(crate) opened: Arc<[IpNet]>,
    /// Bytes in the body of one request.
    pub(crate) request_bytes: u64,
    /// Bytes in the body of one response.
    pub(crate) response_bytes: u64,
}

/// The parts of a URL that an operator wrote: scheme, authority, and the path without its first `/`. None where it is
/// none of HTTP.
pub(crate) fn parts(url: &str) -> Option<(HttpScheme, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "https" => HttpScheme::Https,
        "http" => HttpScheme::Http,
        _ => return None,
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    Some((scheme, authority, path))
}

impl Egress {
    /// Trusts the certificate authorities in `pem` as well.
    pub(crate) fn new(pem: &[Vec<u8>]) -> Result<Egress, HostError> {
        let mut authorities = Vec::new();
        for text in pem {
            let before = authorities.len();
            for certificate in CertificateDer::pem_slice_iter(text) {
                authorities
                    .push(certificate.map_err(|error| HostError::Authority { why: error.to_string() })?);
            }
            if authorities.len() == before {
                return Err(HostError::Authority { why: "there is no certificate in it".to_owned() });
            }
        }
        Ok(Egress { authorities, runtime: OnceLock::new(), tls: OnceLock::new() })
    }

    /// Where requests run: threads of their own, which no embedding program keeps waiting.
    pub(crate) fn runtime(&self) -> io::Result<&Handle> {
        if self.runtime.get().is_none() {
            let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2));
            let made = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads)
                .thread_name("stockade-http")
                .enable_all()
                .build()?;
            // Another thread may have been faster; one of the two goes again.
            if let Err(surplus) = self.runtime.set(made) {
                surplus.shutdown_background();
            }
        }
        Ok(self.runtime.get().expect("it was set").handle())
    }

    /// TLS 1.2 and 1.3 with certificates checked against the system's authorities and the operator's.
    fn tls(&self) -> &Arc<ClientConfig> {
        self.tls.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(target: "stockade::host", %error, "the system's certificate authorities");
            }
            roots.add_parsable_certificates(found.certs);
            roots.add_parsable_certificates(self.authorities.iter().cloned());
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("the provider has suites for both versions")
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            Arc::new(config)
        })
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        // Dropping a runtime waits for its threads, which nobody may do in a task.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
