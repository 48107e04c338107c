//! One registry, and what is asked of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Response;
use hyper::body::Incoming;
use ipnet::IpNet;
use serde::Deserialize;
use stockade_package::archive::{Blob, BlobName};
use stockade_package::sha256;
use stockade_policy::{HttpScheme, HttpTarget, stands};
use zeroize::Zeroizing;

use super::reference::is_digest;
use super::{Credentials, OciError, Reference};
use crate::egress::plain::{all, anywhere, send};
use crate::egress::{Egress, parts};

/// For the head of an answer. A registry may check what it was sent before it answers: 64 MiB.
const ANSWER: Duration = Duration::from_secs(120);
/// For the rest of it, besides what its length takes on a slow line.
const PATIENCE: Duration = Duration::from_secs(20);
/// Largest answer that is no blob and no manifest: 64 KiB.
const MAX_ANSWER: u64 = 64 * 1024;
/// How much of what a registry says is told.
const MAX_SAID: usize = 300;
/// How often a blob may be elsewhere.
const MAX_REDIRECTS: usize = 3;
/// Longest token.
const MAX_TOKEN: usize = 16 * 1024;

/// A registry, with the repository that is meant in it.
pub(super) struct Client {
    egress: Arc<Egress>,
    reference: Reference,
    scheme: HttpScheme,
    /// What stands in the field `authorization`, once it is known that something has to.
    authorization: Option<HeaderValue>,
}

/// An answer to `401`: `Bearer realm="...",service="..."`.
struct Challenge<'a> {
    scheme: &'a str,
    parameters: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Client {
    pub(super) fn new(
        egress: Arc<Egress>,
        reference: Reference,
        plain_http: bool,
    ) -> Result<Client, OciError> {
        let scheme = if plain_http { HttpScheme::Http } else { HttpScheme::Https };
        // A name that no request could have is told as what it is.
        HttpTarget::parse("GET", scheme, &reference.registry, "/v2/")
            .map_err(|_| OciError::Reference { text: reference.to_string() })?;
        Ok(Client { egress, reference, scheme, authorization: None })
    }

    /// An answer that is none to what was asked.
    pub(super) fn wrong(&self, what: impl Into<String>) -> OciError {
        OciError::Answer { registry: self.reference.registry.clone(), what: what.into() }
    }

    fn unreachable(&self, what: &'static str, source: io::Error) -> OciError {
        OciError::Unreachable { registry: self.reference.registry.clone(), what, source }
    }

    fn target(&self, method: &str, path: &str) -> Result<HttpTarget, OciError> {
        HttpTarget::parse(method, self.scheme, &self.reference.registry, path)
            .map_err(|error| self.wrong(format!("an address that no request can have: {error}")))
    }

    fn in_repository(&self, method: &str, rest: &str) -> Result<HttpTarget, OciError> {
        self.target(method, &format!("/v2/{}/{rest}", self.reference.repository))
    }

    /// Sends a request to the registry itself.
    async fn ask(
        &self,
        what: &'static str,
        target: &HttpTarget,
        mut fields: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, OciError> {
        if let Some(authorization) = &self.authorization {
            fields.insert(header::AUTHORIZATION, authorization.clone());
        }
        let answer = send(&self.egress, target, &anywhere(), (fields, body), ANSWER).await;
        answer.map_err(|source| self.unreachable(what, source))
    }

    /// Finds out whether the registry wants to know who we are, and tells it.
    pub(super) async fn log_in(
        &mut self,
        credentials: Option<&Credentials>,
        actions: &str,
    ) -> Result<(), OciError> {
        const WHAT: &str = "its version";
        let answer = self.ask(WHAT, &self.target("GET", "/v2/")?, HeaderMap::new(), Bytes::new()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(());
        }
        let challenge = answer.headers().get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let challenge = challenge.and_then(Challenge::parse).ok_or_else(|| self.wrong("no challenge"))?;
        let unauthorized = || OciError::Unauthorized { registry: self.reference.registry.clone() };
        let text = match challenge.scheme.to_ascii_lowercase().as_str() {
            "basic" => {
                let basic = credentials.ok_or_else(unauthorized)?.basic();
                Zeroizing::new(format!("Basic {}", *basic))
            }
            "bearer" => {
                let token = self.token(&challenge, credentials, actions).await?;
                Zeroizing::new(format!("Bearer {}", *token))
            }
            _ => return Err(self.wrong("a challenge that is neither Basic nor Bearer")),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| self.wrong("a token that is none"))?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(())
    }

    /// <https://distribution.github.io/distribution/spec/auth/token/>
    async fn token(
        &self,
        challenge: &Challenge<'_>,
        credentials: Option<&Credentials>,
        actions: &str,
    ) -> Result<Zeroizing<String>, OciError> {
        const WHAT: &str = "a token";
        let realm = challenge.get("realm").ok_or_else(|| self.wrong("a challenge without a realm"))?;
        let (scheme, authority, path) =
            parts(realm).ok_or_else(|| self.wrong("a realm that is no address"))?;
        // The password goes there: never in the clear, where the registry itself does not.
        if scheme == HttpScheme::Http && self.scheme == HttpScheme::Https {
            return Err(self.wrong("a realm without TLS"));
        }
        let mut query =
            format!("scope={}", escaped(&format!("repository:{}:{actions}", self.reference.repository)));
        if let Some(service) = challenge.get("service") {
            query.push_str(&format!("&service={}", escaped(service)));
        }
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = HttpTarget::parse("GET", scheme, authority, &format!("/{path}{separator}{query}"))
            .map_err(|error| self.wrong(format!("a realm that no request can have: {error}")))?;
        let mut fields = HeaderMap::new();
        if let Some(credentials) = credentials {
            let basic = Zeroizing::new(format!("Basic {}", *credentials.basic()));
            if let Ok(mut value) = HeaderValue::from_str(&basic) {
                value.set_sensitive(true);
                fields.insert(header::AUTHORIZATION, value);
            }
        }
        let answer = send(&self.egress, &target, &anywhere(), (fields, Bytes::new()), ANSWER).await;
        let answer = answer.map_err(|source| self.unreachable(WHAT, source))?;
        let body = Zeroizing::new(self.expect(WHAT, answer, StatusCode::OK, MAX_ANSWER).await?.to_vec());
        let Token { token, access_token } =
            serde_json::from_slice(&body).map_err(|_| self.wrong("something else than a token"))?;
        let token = Zeroizing::new(token.or(access_token).unwrap_or_default());
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Err(self.wrong("a token that is none"));
        }
        Ok(token)
    }

    /// The body of an answer with this status; anything else is told.
    async fn expect(
        &self,
        what: &'static str,
        answer: Response<Incoming>,
        status: StatusCode,
        most: u64,
    ) -> Result<Bytes, OciError> {
        let got = answer.status();
        if got == status {
            return all(answer.into_body(), most, PATIENCE)
                .await
                .map_err(|source| self.unreachable(what, source));
        }
        let registry = self.reference.registry.clone();
        match got {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(OciError::Unauthorized { registry }),
            StatusCode::NOT_FOUND => Err(OciError::NotFound { reference: self.reference.to_string() }),
            _ => {
                let said = all(answer.into_body(), MAX_ANSWER, PATIENCE).await.unwrap_or_default();
                let said = String::from_utf8_lossy(&said).chars().take(MAX_SAID).collect();
                Err(OciError::Refused { registry, what, status: got.as_u16(), said })
            }
        }
    }

    pub(super) async fn has_blob(&self, digest: &str) -> Result<bool, OciError> {
        const WHAT: &str = "whether it has a blob";
        let target = self.in_repository("HEAD", &format!("blobs/{digest}"))?;
        let answer = self.ask(WHAT, &target, HeaderMap::new(), Bytes::new()).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_redirection() => Ok(true),
            _ => self.expect(WHAT, answer, StatusCode::OK, 0).await.map(|_| true),
        }
    }

    /// Uploads a blob, at once.
    pub(super) async fn upload(&self, blob: Blob) -> Result<(), OciError> {
        const WHAT: &str = "to take a blob";
        let target = self.in_repository("POST", "blobs/uploads/")?;
        let begun = self.ask(WHAT, &target, HeaderMap::new(), Bytes::new()).await?;
        let location = begun.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.map(str::to_owned);
        self.expect(WHAT, begun, StatusCode::ACCEPTED, MAX_ANSWER).await?;
        let location = location.ok_or_else(|| self.wrong("no place to upload to"))?;
        let path = self.own_path(&location)?;
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = self.target("PUT", &format!("{path}{separator}digest={}", escaped(&blob.digest)))?;
        let fields = field(header::CONTENT_TYPE, "application/octet-stream");
        let done = self.ask(WHAT, &target, fields, Bytes::from(blob.bytes)).await?;
        self.expect(WHAT, done, StatusCode::CREATED, MAX_ANSWER).await.map(drop)
    }

    /// The path of an address of the registry's own. A registry that names another's would have us send the package, and the
    /// password, there.
    fn own_path(&self, location: &str) -> Result<String, OciError> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Ok(location.to_owned());
        }
        let elsewhere = || self.wrong("somebody else's address to upload to");
        let (scheme, authority, path) = parts(location).ok_or_else(elsewhere)?;
        let origin = |scheme, authority: &str| {
            HttpTarget::parse("PUT", scheme, authority, "/").map(|target| target.as_str().to_owned()).ok()
        };
        match origin(scheme, authority) == origin(self.scheme, &self.reference.registry)
            || !stands("oci.upload-origin")
        {
            true => Ok(format!("/{path}")),
            false => Err(elsewhere()),
        }
    }

    pub(super) async fn put_manifest(
        &self,
        tag: &str,
        media_type: &'static str,
        manifest: Bytes,
        digest: &str,
    ) -> Result<(), OciError> {
        const WHAT: &str = "to take a manifest";
        let target = self.in_repository("PUT", &format!("manifests/{tag}"))?;
        let answer = self.ask(WHAT, &target, field(header::CONTENT_TYPE, media_type), manifest).await?;
        let named = answer.headers().get("docker-content-digest").cloned();
        self.expect(WHAT, answer, StatusCode::CREATED, MAX_ANSWER).await?;
        match named {
            Some(named) if named != digest => {
                Err(self.wrong(format!("another digest than {digest}: it keeps something else")))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn manifest(&self, media_type: &'static str, most: u64) -> Result<Bytes, OciError> {
        const WHAT: &str = "for a manifest";
        let which = self.reference.which.as_str();
        let target = self.in_repository("GET", &format!("manifests/{which}"))?;
        let answer = self.ask(WHAT, &target, field(header::ACCEPT, media_type), Bytes::new()).await?;
        self.expect(WHAT, answer, StatusCode::OK, most).await
    }

    /// A blob, wherever the registry keeps it. It has the digest by which it was asked for.
    pub(super) async fn blob(&self, name: &BlobName) -> Result<Bytes, OciError> {
        const WHAT: &str = "for a blob";
        if !is_digest(&name.digest) {
            return Err(self.wrong("a manifest with a digest that is none"));
        }
        let target = self.in_repository("GET", &format!("blobs/{}", name.digest))?;
        let mut answer = self.ask(WHAT, &target, HeaderMap::new(), Bytes::new()).await?;
        let mut redirects = 0;
        while answer.status().is_redirection() {
            redirects += 1;
            if redirects > MAX_REDIRECTS {
                return Err(self.wrong("one redirection after the other"));
            }
            answer = self.elsewhere(WHAT, &answer).await?;
        }
        let bytes = self.expect(WHAT, answer, StatusCode::OK, name.bytes).await?;
        let found = format!("sha256:{}", sha256(&bytes));
        if found != name.digest && stands("oci.blob-digest") {
            return Err(self.wrong(format!("a blob with the digest {found} instead of {}", name.digest)));
        }
        Ok(bytes)
    }

    /// Where large registries keep their blobs. Nobody there is told who we are, and a registry cannot have us ask around
    /// in the network that we are in: nothing that is closed to plugins is open to it.
    async fn elsewhere(
        &self,
        what: &'static str,
        answer: &Response<Incoming>,
    ) -> Result<Response<Incoming>, OciError> {
        let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| self.wrong("a redirection to nowhere"))?;
        if let Ok(path) = self.own_path(location) {
            return self.ask(what, &self.target("GET", &path)?, HeaderMap::new(), Bytes::new()).await;
        }
        let place = parts(location).filter(|(scheme, ..)| *scheme == HttpScheme::Https);
        let (scheme, authority, path) =
            place.ok_or_else(|| self.wrong("a redirection to a place without TLS"))?;
        let target = HttpTarget::parse("GET", scheme, authority, &format!("/{path}"))
            .map_err(|error| self.wrong(format!("a redirection that no request can have: {error}")))?;
        const CLOSED: [IpNet; 0] = [];
        let answer = send(&self.egress, &target, &CLOSED, (HeaderMap::new(), Bytes::new()), ANSWER).await;
        answer.map_err(|source| self.unreachable(what, source))
    }
}

fn field(name: HeaderName, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
}

/// A value within a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

impl<'a> Challenge<'a> {
    /// Of a field with one challenge, as registries send it: RFC 9110, 11.6.1, without escapes in quotes.
    fn parse(text: &'a str) -> Option<Challenge<'a>> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let mut parameters = Vec::new();
        let mut rest = rest.trim_start();
        while let Some((name, after)) = rest.split_once('=') {
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => {
                    after.split_once(',').map_or((after, ""), |(value, _)| (value, &after[value.len()..]))
                }
            };
            parameters.push((name.trim().to_ascii_lowercase(), value.to_owned()));
            rest = after.trim_start().trim_start_matches(',').trim_start();
        }
        (!scheme.is_empty()).then_some(Challenge { scheme, parameters })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let text = r#"Bearer realm="https://auth.example/token?a=b,c",service="r.example", error=x"#;
        let challenge = Challenge::parse(text).expect("a challenge");
        assert_eq!(challenge.scheme, "Bearer");
        assert_eq!(challenge.get("realm"), Some("https://auth.example/token?a=b,c"));
        assert_eq!((challenge.get("service"), challenge.get("error")), (Some("r.example"), Some("x")));
        assert_eq!(Challenge::parse("Basic").expect("a challenge").get("realm"), None);
        assert!(Challenge::parse("").is_none() && Challenge::parse("Bearer realm=\"x").is_none());
    }
}
