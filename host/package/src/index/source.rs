use std::fmt;

use stockade_policy::is_sha256;

use crate::archive::PACKAGE_SUFFIX;

/// Longest source: 2 KiB, as other addresses.
pub(super) const MAX_SOURCE: usize = 2048;

const OCI: &str = "oci://";
const HTTPS: &str = "https://";

/// Where a package is. An index says so, and is believed in nothing: what comes from there has to have the digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// In a registry, by its digest: `oci://host/repository@sha256:...`. A tag would be another package tomorrow.
    Oci(String),
    /// At an address.
    Https(String),
    /// Beside the index: a path from its folder on, which does not leave that.
    Beside(String),
}

impl Source {
    /// Reads one; none where the text is none.
    pub fn parse(text: &str) -> Option<Source> {
        if text.len() > MAX_SOURCE {
            return None;
        }
        let owned = || text.to_owned();
        if let Some(rest) = text.strip_prefix(OCI) {
            let (place, digest) = rest.split_once("@sha256:")?;
            let (host, repository) = place.split_once('/')?;
            let good = is_host(host) && is_path(repository) && is_sha256(digest);
            return good.then(|| Source::Oci(owned()));
        }
        if let Some(rest) = text.strip_prefix(HTTPS) {
            let (host, path) = rest.split_once('/')?;
            return (is_host(host) && is_package(path)).then(|| Source::Https(owned()));
        }
        is_package(text).then(|| Source::Beside(owned()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Oci(text) | Self::Https(text) | Self::Beside(text) => text,
        }
    }

    /// The digest in it, where there is one.
    pub(super) fn digest(&self) -> Option<&str> {
        match self {
            Self::Oci(text) => text.split_once('@').map(|(_, digest)| digest),
            Self::Https(_) | Self::Beside(_) => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name or an address, with or without a port. No user before it, which would have it seem to be another's.
fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    !text.is_empty() && text.bytes().all(plain)
}

/// Parts that stay where they are, in characters that every reader takes for themselves: a percent, a backslash or a
/// question mark is read in more than one way.
fn is_path(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+' | b'~');
    text.split('/').all(|part| !matches!(part, "" | "." | "..") && part.bytes().all(plain))
}

fn is_package(path: &str) -> bool {
    path.ends_with(PACKAGE_SUFFIX) && is_path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_one_of_three_and_leads_nowhere_else() {
        let digest = format!("@sha256:{}", "0".repeat(64));
        for text in
            ["a.stockade.tar", "b/c-1.0.0+x.stockade.tar", "https://example.org:8443/p/a.stockade.tar"]
        {
            assert_eq!(Source::parse(text).map(|source| source.to_string()).as_deref(), Some(text));
        }
        let registry = format!("oci://registry.example.org:5000/acme/scan{digest}");
        assert!(matches!(Source::parse(&registry), Some(Source::Oci(_))));
        for bad in [
            "",
            "a.tar",
            "/etc/a.stockade.tar",
            "../a.stockade.tar",
            "x/../a.stockade.tar",
            "x//a.stockade.tar",
            "./a.stockade.tar",
            "x\\..\\a.stockade.tar",
            "%2e%2e/a.stockade.tar",
            "http://example.org/a.stockade.tar",
            "file:///a.stockade.tar",
            "https:///a.stockade.tar",
            "https://a@b/a.stockade.tar",
            "https://example.org/a.stockade.tar?x",
            "https://example.org/a.stockade.tar#.stockade.tar",
            "https://example.org/../a.stockade.tar",
            "oci://example.org/acme/scan:latest",
            "oci://example.org/acme/scan",
            "a\n.stockade.tar",
        ] {
            assert_eq!(Source::parse(bad), None, "{bad}");
        }
        for bad in ["oci://u@h/r", "oci:///r", "oci://h/", "oci://h/a/../b"] {
            assert_eq!(Source::parse(&format!("{bad}{digest}")), None, "{bad}");
        }
        assert_eq!(Source::parse(&format!("{}{PACKAGE_SUFFIX}", "a".repeat(MAX_SOURCE))), None);
    }
}
