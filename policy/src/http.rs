//! Where a request goes, in one spelling. Checks, records, the `Host` field, the name in TLS and the lookup all
//! use this form and nothing that the plugin wrote.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::stands;

/// Longest path with its query, in bytes; common servers take no more either.
pub const MAX_TARGET: usize = 8 * 1024;
/// Longest method, in bytes.
const MAX_METHOD: usize = 32;
/// Longest DNS name, in bytes.
const MAX_HOST: usize = 253;
/// Methods in one grant.
const MAX_METHODS: usize = 16;

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HttpScheme {
    /// Over TLS.
    Https,
    /// In the clear; only where a grant names it.
    Http,
}

impl HttpScheme {
    /// The port that is meant where none is named.
    pub const fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }

    /// As in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// Why something is no target, or no grant of targets.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum HttpError {
    /// Not upper-case letters and hyphens, too long, or one that a broker cannot pass on.
    #[error("the method is none of upper-case letters that may be sent; CONNECT and TRACE are not")]
    Method,
    /// User information, an empty port, a port out of range.
    #[error("the authority is not HOST or HOST:PORT")]
    Authority,
    /// Not a name in ASCII and not an address in its usual spelling.
    #[error(
        "the host is neither a DNS name of letters, digits and hyphens nor an IP address in its usual spelling"
    )]
    Host,
    /// No path, white space, a fragment, bytes outside of ASCII, too long.
    #[error("the path does not start with a slash, has bytes that no request line may have, or is too long")]
    Path,
    /// `..` and its disguises: the server would see another path than the grant.
    #[error("the path has a dot segment")]
    DotSegment,
}

/// What one request is aimed at, in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    method: String,
    scheme: HttpScheme,
    host: String,
    port: u16,
    path: String,
    query: Option<String>,
    /// `GET https://host/path`: without the query, which may hold what no record should.
    text: String,
}

impl HttpTarget {
    /// Reads what a plugin wrote. An empty path is `/`.
    pub fn parse(
        method: &str,
        scheme: HttpScheme,
        authority: &str,
        path_with_query: &str,
    ) -> Result<HttpTarget, HttpError> {
        let known = (1..=MAX_METHOD).contains(&method.len())
            && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
            && !matches!(method, "CONNECT" | "TRACE");
        if !known {
            return Err(HttpError::Method);
        }
        let (host, port) = authority_parts(authority, scheme)?;
        let host = host_name(&host.to_ascii_lowercase())?;
        let (path, query) = match path_with_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_with_query, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        let sendable = |b: u8| b.is_ascii_graphic() && !matches!(b, b'#' | b'\\');
        if path_with_query.len() > MAX_TARGET
            || !path.starts_with('/')
            || !path.bytes().chain(query.unwrap_or_default().bytes()).all(sendable)
        {
            return Err(HttpError::Path);
        }
        if has_dot_segment(path) && stands("http.dot-segment") {
            return Err(HttpError::DotSegment);
        }
        let origin = Origin { scheme, host: &host, port };
        let text = format!("{method} {origin}{path}");
        Ok(HttpTarget {
            method: method.to_owned(),
            scheme,
            port,
            path: path.to_owned(),
            query: query.map(ToOwned::to_owned),
            text,
            host,
        })
    }

    /// `GET`, `POST`, ...
    pub fn method(&self) -> &str {
        &self.method
    }

    /// How it travels.
    pub const fn scheme(&self) -> HttpScheme {
        self.scheme
    }

    /// A DNS name in lower case, or an address; one of IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, whether it was named or not.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The `Host` field: no port where it is the scheme's own.
    pub fn authority(&self) -> String {
        Authority { scheme: self.scheme, host: &self.host, port: self.port }.to_string()
    }

    /// What stands in the request line.
    pub fn path_with_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// `GET https://api.example.org/v1`, for records and messages. The query is left out.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The requests that one grant allows. As a text: `[METHODS ][SCHEME://]HOST[:PORT][/PATH]`, where methods are
/// separated by commas, the scheme is https and the port the scheme's if not said, and the path covers what is
/// below it. `*.` in front of a host stands for one label or more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpScope(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Parts {
    methods: Vec<String>,
    scheme: HttpScheme,
    host: String,
    port: u16,
    path: String,
    text: String,
}

impl HttpScope {
    /// Whether a request is one of them.
    pub fn covers(&self, target: &HttpTarget) -> bool {
        let Parts { methods, scheme, host, port, path, .. } = &*self.0;
        *scheme == target.scheme
            && *port == target.port
            && covers_host(host, &target.host)
            && (methods.is_empty() || methods.contains(&target.method))
            && below(path, &target.path)
    }

    /// Whether every request that `other` allows is one of them.
    pub fn contains(&self, other: &HttpScope) -> bool {
        let (outer, inner) = (&*self.0, &*other.0);
        outer.is_on_the_port_of(inner)
            && contains_host(&outer.host, &inner.host)
            && below(&outer.path, &inner.path)
            && (outer.methods.is_empty()
                || !inner.methods.is_empty()
                    && inner.methods.iter().all(|method| outer.methods.contains(method)))
    }

    /// Whether there is a request that both allow.
    pub fn overlaps(&self, other: &HttpScope) -> bool {
        let (one, two) = (&*self.0, &*other.0);
        one.is_on_the_port_of(two)
            && (contains_host(&one.host, &two.host) || contains_host(&two.host, &one.host))
            && (below(&one.path, &two.path) || below(&two.path, &one.path))
            && (one.methods.is_empty()
                || two.methods.is_empty()
                || one.methods.iter().any(|method| two.methods.contains(method)))
    }

    /// A host or a pattern of hosts.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// As it is written, without what goes without saying.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl Parts {
    fn is_on_the_port_of(&self, other: &Parts) -> bool {
        self.scheme == other.scheme && self.port == other.port
    }
}

impl FromStr for HttpScope {
    type Err = HttpError;

    fn from_str(text: &str) -> Result<Self, HttpError> {
        let (methods, rest) = match text.split_once(' ') {
            Some((methods, rest)) => (methods.split(',').map(ToOwned::to_owned).collect(), rest),
            None => (Vec::new(), text),
        };
        let (scheme, rest) = match rest.split_once("://") {
            Some(("https", rest)) => (HttpScheme::Https, rest),
            Some(("http", rest)) => (HttpScheme::Http, rest),
            Some(_) => return Err(HttpError::Authority),
            None => (HttpScheme::Https, rest),
        };
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        let (host, port) = authority_parts(authority, scheme)?;
        let name = host_name(host.strip_prefix("*.").unwrap_or(host))?;
        // One host has one spelling in a grant: what was meant by another one is for the author to say.
        let is_address = name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok();
        let host = match host.starts_with("*.") {
            true if is_address => return Err(HttpError::Host),
            true => format!("*.{name}"),
            false if name != host => return Err(HttpError::Host),
            false => name,
        };
        let mut scope = Parts { methods, scheme, host, port, path: path.to_owned(), text: String::new() };
        scope.methods.sort();
        scope.methods.dedup();
        if scope.methods.len() > MAX_METHODS || path.contains('?') {
            return Err(HttpError::Path);
        }
        // Every method and the path have to be such that a request could have them.
        let any = ["GET".to_owned()];
        for method in if scope.methods.is_empty() { &any[..] } else { &scope.methods } {
            HttpTarget::parse(method, scheme, "host", path)?;
        }
        scope.text = scope.to_string();
        Ok(HttpScope(Box::new(scope)))
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.methods.is_empty() {
            write!(f, "{} ", self.methods.join(","))?;
        }
        if self.scheme != HttpScheme::Https {
            write!(f, "{}://", self.scheme.as_str())?;
        }
        Authority { scheme: self.scheme, host: &self.host, port: self.port }.fmt(f)?;
        if self.path != "/" {
            f.write_str(&self.path)?;
        }
        Ok(())
    }
}

impl TryFrom<String> for HttpScope {
    type Error = HttpError;

    fn try_from(text: String) -> Result<Self, HttpError> {
        text.parse()
    }
}

impl From<HttpScope> for String {
    fn from(scope: HttpScope) -> String {
        scope.0.text
    }
}

/// Whether a field belongs to the connection and not to the message: no plugin sends one, and none is told one.
/// `name` is in lower case.
pub fn is_of_the_connection(name: &str) -> bool {
    const ITS_OWN: [&str; 11] = [
        "connection",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    ITS_OWN.contains(&name)
}

struct Authority<'a> {
    scheme: HttpScheme,
    host: &'a str,
    port: u16,
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host)?;
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

struct Origin<'a> {
    scheme: HttpScheme,
    host: &'a str,
    port: u16,
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = Authority { scheme: self.scheme, host: self.host, port: self.port };
        write!(f, "{}://{authority}", self.scheme.as_str())
    }
}

/// The host as it stands there, and the port.
fn authority_parts(authority: &str, scheme: HttpScheme) -> Result<(&str, u16), HttpError> {
    // The colons of an address of IPv6 are inside of brackets.
    let after_brackets = authority.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match authority[after_brackets..].find(':') {
        Some(colon) => {
            let (host, port) = authority.split_at(after_brackets + colon);
            let digits = &port[1..];
            let number = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None };
            (host, number.filter(|&port| port != 0).ok_or(HttpError::Authority)?)
        }
        None => (authority, scheme.port()),
    };
    if host.is_empty() || host.contains('@') {
        return Err(HttpError::Authority);
    }
    Ok((host, port))
}

/// The one spelling of a host, or none: whatever a resolver might take for an address is one in its usual form
/// or is refused (`127.1`, `0x7f.1`, `0177.0.0.1`, `2130706433`).
fn host_name(host: &str) -> Result<String, HttpError> {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| HttpError::Host)?;
        return Ok(format!("[{address}]"));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(address.to_string());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if (1..=MAX_HOST).contains(&host.len()) && host.split('.').all(label) && !number {
        Ok(host.to_owned())
    } else {
        Err(HttpError::Host)
    }
}

fn covers_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(suffix) => host.strip_suffix(suffix).is_some_and(|head| head.len() > 1 && head.ends_with('.')),
        None => pattern == host,
    }
}

/// Whether every host of the inner pattern is one of the outer.
fn contains_host(outer: &str, inner: &str) -> bool {
    match inner.strip_prefix("*.") {
        Some(suffix) => outer == inner || outer.starts_with("*.") && covers_host(outer, suffix),
        None => covers_host(outer, inner),
    }
}

/// Whether the path is the prefix or below it. `/v10` is not below `/v1`.
fn below(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

/// Whether a server could see `..` or `.` in the path, after decoding what it might decode.
fn has_dot_segment(path: &str) -> bool {
    let decoded = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    // What follows a semicolon in a segment is a parameter of it to some servers.
    decoded.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: &str, authority: &str, path: &str) -> Result<String, HttpError> {
        HttpTarget::parse(method, HttpScheme::Https, authority, path).map(|target| target.text)
    }

    fn host(authority: &str) -> Result<String, HttpError> {
        HttpTarget::parse("GET", HttpScheme::Https, authority, "/").map(|target| target.host)
    }

    fn covered(scope: &str, method: &str, scheme: HttpScheme, authority: &str, path: &str) -> bool {
        let scope: HttpScope = scope.parse().unwrap();
        scope.covers(&HttpTarget::parse(method, scheme, authority, path).unwrap())
    }

    #[test]
    fn d1_addresses_have_one_spelling() {
        for refused in [
            "127.1",
            "0",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "1.2.3.4.5",
            "256.0.0.1",
        ] {
            assert_eq!(host(refused), Err(HttpError::Host), "{refused}");
        }
        assert_eq!(host("127.0.0.1").unwrap(), "127.0.0.1");
        assert_eq!(host("[0:0:0:0:0:0:0:1]").unwrap(), "[::1]");
        assert_eq!(host("[::ffff:127.0.0.1]").unwrap(), "[::ffff:127.0.0.1]");
        assert_eq!(host("[fe80::1%lo]"), Err(HttpError::Host));
        assert_eq!(host("::1"), Err(HttpError::Authority));
    }

    #[test]
    fn d4_hosts_are_not_confused() {
        for refused in [
            "good.example@evil.example",
            "good.example\\@evil.example",
            "good.example#@evil.example",
            "good.example?@evil.example",
            "good.example/evil",
            "good.example\t",
            "good .example",
            "good.example:",
            "good.example:0",
            "good.example:65536",
            "good.example:+443",
            "good.example:443:443",
            "good..example",
            ".good.example",
            "good.example.",
            "-good.example",
            "g\u{f6}od.example",
            "good.ex\u{430}mple",
            "[::1]x",
            "x[::1]",
            "",
            ":443",
        ] {
            assert!(host(refused).is_err(), "{refused}");
        }
        assert_eq!(target("GET", "API.Example.ORG:443", "").unwrap(), "GET https://api.example.org/");
        assert_eq!(
            target("GET", "api.example.org:8443", "/x?y=1").unwrap(),
            "GET https://api.example.org:8443/x"
        );
        assert_eq!(host("xn--bcher-kva.example").unwrap(), "xn--bcher-kva.example");
    }

    #[test]
    fn d5_nothing_gets_into_the_request_line() {
        for path in ["/a b", "/a\r\nX: y", "/a\0", "/a#b", "/a\\b", "a", "*", "/\u{e4}", "//host\u{7f}"] {
            assert_eq!(target("GET", "h.example", path), Err(HttpError::Path), "{path:?}");
        }
        for method in ["", "get", "GET ", "GET\r\n", "CONNECT", "TRACE", "G\0T", &"A".repeat(33)] {
            assert_eq!(target(method, "h.example", "/"), Err(HttpError::Method), "{method:?}");
        }
        assert!(target("M-SEARCH", "h.example", "/").is_ok());
        assert_eq!(target("GET", "h.example", &format!("/{}", "a".repeat(MAX_TARGET))), Err(HttpError::Path));
    }

    #[test]
    fn d4_a_path_does_not_climb_out_of_its_prefix() {
        for path in [
            "/v1/../admin",
            "/v1/%2e%2E/admin",
            "/v1/.%2e",
            "/v1/./x",
            "/v1/..;a=b/x",
            "/v1/%2e%2e%2fx",
            "/v1/..%5cx",
        ] {
            assert_eq!(target("GET", "h.example", path), Err(HttpError::DotSegment), "{path}");
        }
        assert!(target("GET", "h.example", "/v1/...").is_ok());
        assert!(target("GET", "h.example", "/v1/a..b?..").is_ok());
    }

    #[test]
    fn grants_cover_scheme_host_port_method_and_path() {
        use HttpScheme::{Http, Https};
        assert!(covered("api.example.org", "DELETE", Https, "api.example.org", "/any?thing"));
        assert!(!covered("api.example.org", "GET", Http, "api.example.org", "/"));
        assert!(!covered("api.example.org", "GET", Https, "api.example.org:8443", "/"));
        assert!(!covered("api.example.org", "GET", Https, "x.api.example.org", "/"));
        assert!(covered("http://api.example.org", "GET", Http, "api.example.org", "/"));
        assert!(!covered("http://api.example.org", "GET", Https, "api.example.org:80", "/"));
        assert!(covered("GET,HEAD api.example.org:8443/v1", "HEAD", Https, "api.example.org:8443", "/v1/x"));
        assert!(!covered("GET,HEAD api.example.org/v1", "POST", Https, "api.example.org", "/v1/x"));
        assert!(!covered("api.example.org/v1", "GET", Https, "api.example.org", "/v10"));
        assert!(covered("api.example.org/v1", "GET", Https, "api.example.org", "/v1?x"));
        assert!(!covered("api.example.org/v1/", "GET", Https, "api.example.org", "/v1"));
        assert!(covered("*.example.org", "GET", Https, "a.b.example.org", "/"));
        assert!(!covered("*.example.org", "GET", Https, "example.org", "/"));
        assert!(!covered("*.example.org", "GET", Https, "evilexample.org", "/"));
        assert!(covered("127.0.0.1:8443", "GET", Https, "127.0.0.1:8443", "/"));
        assert!(covered("[::1]", "GET", Https, "[0::1]", "/"));
    }

    #[test]
    fn a_grant_is_written_in_one_way() {
        let written = |text: &str| text.parse::<HttpScope>().map(|scope| scope.0.text);
        assert_eq!(written("https://api.example.org:443/").unwrap(), "api.example.org");
        assert_eq!(
            written("POST,GET,GET https://api.example.org/v1").unwrap(),
            "GET,POST api.example.org/v1"
        );
        assert_eq!(written("http://h.example:80").unwrap(), "http://h.example");
        for refused in [
            "",
            "*",
            "*.",
            "*.*.org",
            "*.127.0.0.1",
            "API.example.org",
            "example.org.",
            "exa mple.org",
            "ftp://h.example",
            "h.example?x=1",
            "h.example/a?x",
            "h.example/../x",
            "get h.example",
            "CONNECT h.example",
            "GET,, h.example",
            "u@h.example",
            "[0::1]",
        ] {
            assert!(written(refused).is_err(), "{refused}");
        }
    }
}
