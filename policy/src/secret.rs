//! Secrets by name: which, and towards whom.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{HttpError, HttpScope};

/// Longest name, in bytes. Names become parts of files' names and of records.
const MAX_NAME: usize = 128;
const OPEN: &[u8] = b"{{secret:";
const CLOSE: &[u8] = b"}}";

/// One secret and the requests that it may be filled into. As a text: `NAME@REQUESTS`, where the requests are
/// written as in a grant of `http`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretScope(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Parts {
    name: String,
    to: HttpScope,
    text: String,
}

/// Why a text is no grant of a secret.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretError {
    /// No `@`, or nothing usable before it.
    #[error("a secret is granted as NAME@HOST, with a name of letters, digits, -, _ and .")]
    Name,
    /// What follows is no grant of requests.
    #[error(transparent)]
    To(#[from] HttpError),
}

/// Whether the text can name a secret, a model, or a configuration value.
pub fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

impl SecretScope {
    /// Which secret.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Which requests it may be filled into.
    pub fn to(&self) -> &HttpScope {
        &self.0.to
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl FromStr for SecretScope {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let (name, to) = text.split_once('@').filter(|(name, _)| is_name(name)).ok_or(SecretError::Name)?;
        let to: HttpScope = to.parse()?;
        let text = format!("{name}@{}", to.as_str());
        Ok(SecretScope(Box::new(Parts { name: name.to_owned(), to, text })))
    }
}

impl TryFrom<String> for SecretScope {
    type Error = SecretError;

    fn try_from(text: String) -> Result<Self, SecretError> {
        text.parse()
    }
}

impl From<SecretScope> for String {
    fn from(scope: SecretScope) -> String {
        scope.0.text
    }
}

impl fmt::Display for SecretScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

/// The first placeholder in a text, `{{secret:NAME}}`: where it starts and ends, and which secret it names.
pub fn placeholder(text: &[u8]) -> Option<(usize, usize, &str)> {
    let mut from = 0;
    while let Some(found) = find(&text[from..], OPEN) {
        let start = from + found;
        let rest = &text[start + OPEN.len()..];
        let limit = rest.len().min(MAX_NAME + CLOSE.len());
        if let Some(length) = find(&rest[..limit], CLOSE)
            && let Ok(name) = std::str::from_utf8(&rest[..length])
            && is_name(name)
        {
            return Some((start, start + OPEN.len() + length + CLOSE.len(), name));
        }
        from = start + 1;
    }
    None
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_bound_to_requests() {
        let scope: SecretScope = "TOKEN_1@GET https://api.example.org:443/v1".parse().unwrap();
        assert_eq!((scope.name(), scope.as_str()), ("TOKEN_1", "TOKEN_1@GET api.example.org/v1"));
        for bad in ["", "a", "@a.org", "a b@a.org", "../a@a.org", "a@", "a@*", "a@b@c.org", "\u{e4}@a.org"] {
            assert!(bad.parse::<SecretScope>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn d12_placeholders_are_found_and_nothing_else() {
        assert_eq!(placeholder(b"Bearer {{secret:a.b}} x"), Some((7, 21, "a.b")));
        assert_eq!(placeholder(b"{{secret:{{secret:a}}"), Some((9, 21, "a")));
        for none in [
            "",
            "{{secret:}}",
            "{{secret:a}",
            "{{secret:a b}}",
            "{{secret:../a}}",
            "{secret:a}",
            "{{Secret:a}}",
        ] {
            assert_eq!(placeholder(none.as_bytes()), None, "{none}");
        }
        let long = format!("{{{{secret:{}}}}}", "a".repeat(MAX_NAME + 1));
        assert_eq!(placeholder(long.as_bytes()), None);
    }
}
