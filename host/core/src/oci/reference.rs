use std::fmt;
use std::str::FromStr;

use stockade_policy::is_sha256;

use super::OciError;

/// What references begin with.
const SCHEME: &str = "oci://";
/// Longest name of a repository, with the registry's: 255 bytes, as registries have it.
const MAX_NAME: usize = 255;
/// Longest tag.
const MAX_TAG: usize = 128;

/// A package in a registry: `oci://registry.example.org:5000/plugins/scan:1.2.0`, or with `@sha256:` and 64 digits in the
/// tag's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The registry's host, and its port if one is named.
    pub registry: String,
    /// The repository within it.
    pub repository: String,
    /// Which of its packages.
    pub which: Which,
}

/// A name that can be given to another package at any time, or one that cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// A tag.
    Tag(String),
    /// The digest of a manifest, `sha256:` and 64 digits.
    Digest(String),
}

impl Which {
    /// As it stands in a registry's paths.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(text) | Self::Digest(text) => text,
        }
    }
}

/// Whether a text is `sha256:` and 64 digits.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(is_sha256)
}

fn is_tag(text: &str) -> bool {
    (1..=MAX_TAG).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Letters and digits, with single separators between them.
fn is_component(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let inner = text.replace("__", "_");
    !inner.is_empty()
        && inner.split(['.', '_']).all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|b| plain(b) || b == b'-')
        })
}

impl FromStr for Reference {
    type Err = OciError;

    /// By the rules of <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>. A reference without tag and
    /// digest is refused: what `latest` is, nobody knows.
    fn from_str(text: &str) -> Result<Reference, OciError> {
        let bad = || OciError::Reference { text: text.to_owned() };
        let (registry, rest) =
            text.strip_prefix(SCHEME).and_then(|rest| rest.split_once('/')).ok_or_else(bad)?;
        let (repository, which) = match rest.split_once('@') {
            Some((repository, digest)) => (repository, Which::Digest(digest.to_owned())),
            None => {
                let (repository, tag) = rest.rsplit_once(':').ok_or_else(bad)?;
                (repository, Which::Tag(tag.to_owned()))
            }
        };
        let named = match &which {
            Which::Tag(tag) => is_tag(tag),
            Which::Digest(digest) => is_digest(digest),
        };
        let good = named
            && !registry.is_empty()
            && !registry.contains('@')
            && registry.len() + repository.len() < MAX_NAME
            && repository.split('/').all(is_component);
        if !good {
            return Err(bad());
        }
        Ok(Reference { registry: registry.to_owned(), repository: repository.to_owned(), which })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match self.which {
            Which::Tag(_) => ':',
            Which::Digest(_) => '@',
        };
        write!(f, "{SCHEME}{}/{}{separator}{}", self.registry, self.repository, self.which.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_written() {
        let digest = format!("oci://r.example/a@sha256:{}", "0a".repeat(32));
        for text in
            ["oci://localhost:5000/scan:1.2.0", "oci://r.example/a/b-c/d_e/f__g.h:v1", digest.as_str()]
        {
            assert_eq!(text.parse::<Reference>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let bad = [
            "r.example/a:1",
            "oci://r.example",
            "oci://r.example/a",
            "oci://r.example/:1",
            "oci://r.example/A:1",
            "oci://r.example/a//b:1",
            "oci://r.example/../b:1",
            "oci://r.example/a:-x",
            "oci://r.example/a:",
            "oci://u@r.example/a:1",
            "oci:///a:1",
            "oci://r.example/a@sha256:0A",
            "oci://r.example/a@sha512:00",
            "oci://r.example/a-:1",
            "oci://r.example/a?x:1",
        ];
        for text in bad {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        assert!(format!("oci://r.example/a:{}", "x".repeat(129)).parse::<Reference>().is_err());
    }
}
