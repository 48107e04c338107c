use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const KIND: &str = "ed25519:";

/// Whoever signs, by the public key itself: `ed25519:` and its 32 bytes in hexadecimal. It is compared, and shown;
/// what it has signed is for others to check.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

/// A text that is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no public key: ed25519: and 64 hexadecimal digits are")]
pub struct NoKey;

impl PublicKey {
    /// Of the key's bytes.
    pub const fn new(bytes: [u8; 32]) -> PublicKey {
        PublicKey(bytes)
    }

    /// The key's bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KIND)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = NoKey;

    /// One spelling only: a key that can be written in two ways is compared wrongly somewhere.
    fn from_str(text: &str) -> Result<PublicKey, NoKey> {
        let digits = text.strip_prefix(KIND).ok_or(NoKey)?.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(NoKey);
        }
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(NoKey),
        };
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Ok(PublicKey(bytes))
    }
}

impl TryFrom<String> for PublicKey {
    type Error = NoKey;

    fn try_from(text: String) -> Result<PublicKey, NoKey> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_spelling() {
        let key = PublicKey::new(std::array::from_fn(|at| at as u8 * 8));
        let text = key.to_string();
        assert_eq!(text.len(), 8 + 64);
        assert_eq!(text.parse(), Ok(key));
        for other in [
            text.to_uppercase(),
            text.replace("ed25519:", ""),
            text.replace('8', "8 "),
            format!("{text}0"),
            text[..71].to_owned(),
            text.replace("ed25519", "ed448"),
            String::new(),
        ] {
            assert_eq!(other.parse::<PublicKey>(), Err(NoKey), "{other}");
        }
    }
}
