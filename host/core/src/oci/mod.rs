//! Packages in OCI registries: pushed and pulled as they are, by the host's own client
//! (<https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>).
//!
//! A registry is trusted with nothing: what it sends is bounded, has the digest by which it was asked for, and has to make the
//! package that a file would be, byte by byte.

mod client;
mod credentials;
mod error;
mod reference;

use std::sync::Arc;

use bytes::Bytes;
use stockade_package::archive::{
    Blob, MANIFEST_TYPE, MAX_PACKAGE_MANIFEST, Packed, Parts, blobs, named_blobs,
};
use stockade_package::sha256;

pub use credentials::Credentials;
pub use error::OciError;
pub use reference::{Reference, Which};

use crate::egress::Egress;
use crate::error::HostError;
use client::Client;

/// How registries are reached.
#[derive(Debug, Default)]
pub struct Registries {
    egress: Arc<Egress>,
    plain_http: bool,
}

/// A package that was pulled.
#[derive(Debug)]
pub struct Pulled {
    /// What is in it.
    pub parts: Parts,
    /// Its file, and the digest by which the registry knows it.
    pub packed: Packed,
}

impl Registries {
    /// Trusts the certificate authorities in these PEM texts besides the system's; with `plain_http`, speaks without TLS.
    ///
    /// # Errors
    ///
    /// A text has no certificate.
    pub fn new(authorities: &[Vec<u8>], plain_http: bool) -> Result<Registries, HostError> {
        Ok(Registries { egress: Arc::new(Egress::new(authorities)?), plain_http })
    }

    /// By connections that are made elsewhere.
    pub(crate) fn by(egress: Arc<Egress>, plain_http: bool) -> Registries {
        Registries { egress, plain_http }
    }

    /// Pushes a package under a tag. Its digest, which is that of its file.
    ///
    /// # Errors
    ///
    /// The registry does not take it.
    pub fn push(
        &self,
        to: &Reference,
        parts: &Parts,
        credentials: Option<Credentials>,
    ) -> Result<String, OciError> {
        let Which::Tag(tag) = &to.which else { return Err(OciError::TagNeeded) };
        let made = blobs(parts);
        self.run(to, |mut client| async move {
            client.log_in(credentials.as_ref(), "pull,push").await?;
            for blob in [made.config, made.component] {
                if !client.has_blob(&blob.digest).await? {
                    client.upload(blob).await?;
                }
            }
            let Blob { digest, bytes } = made.manifest;
            client.put_manifest(tag, MANIFEST_TYPE, Bytes::from(bytes), &digest).await?;
            Ok(digest)
        })
    }

    /// Pulls a package.
    ///
    /// # Errors
    ///
    /// It is not there, or is not what it was asked for.
    pub fn pull(&self, from: &Reference, credentials: Option<Credentials>) -> Result<Pulled, OciError> {
        let not_a_package = |source| OciError::NotAPackage { reference: from.to_string(), source };
        self.run(from, |mut client| async move {
            client.log_in(credentials.as_ref(), "pull").await?;
            let manifest = client.manifest(MANIFEST_TYPE, MAX_PACKAGE_MANIFEST).await?;
            let digest = format!("sha256:{}", sha256(&manifest));
            if let Which::Digest(wanted) = &from.which
                && *wanted != digest
            {
                return Err(
                    client.wrong(format!("a manifest with the digest {digest}, and {wanted} was asked for"))
                );
            }
            let [config, component] = named_blobs(&manifest).map_err(not_a_package)?;
            let config = client.blob(&config).await?;
            let component = client.blob(&component).await?;
            let (parts, packed) = Parts::of_blobs(&manifest, &config, &component).map_err(not_a_package)?;
            Ok(Pulled { parts, packed })
        })
    }

    fn run<T, F: Future<Output = Result<T, OciError>>>(
        &self,
        reference: &Reference,
        work: impl FnOnce(Client) -> F,
    ) -> Result<T, OciError> {
        let client = Client::new(Arc::clone(&self.egress), reference.clone(), self.plain_http)?;
        let runtime = self.egress.runtime().map_err(|source| OciError::Unreachable {
            registry: reference.registry.clone(),
            what: "to start threads",
            source,
        })?;
        runtime.block_on(work(client))
    }
}
