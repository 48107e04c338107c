use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::AuditError;

/// Keeps a record's hash from being any other hash of the same bytes.
const RECORD: &[u8] = b"stockade audit record v1\n";
/// Keeps a genesis from being a record's hash.
const GENESIS: &[u8] = b"stockade audit genesis v1\n";

/// The hash of a record, or what the first record is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub(crate) [u8; 32]);

/// The random name of a log, drawn when its first record is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LogId(pub(crate) [u8; 16]);

/// How far a log had come: kept elsewhere, it shows later that nothing up to it was cut off or rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the last record.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Hash {
    /// The hash of a record whose line, up to its `hash` field, is `body`.
    pub(crate) fn of_record(prev: &Self, body: &[u8]) -> Self {
        Self(Sha256::new().chain_update(RECORD).chain_update(prev.0).chain_update(body).finalize().into())
    }

    /// The plain SHA-256 of some bytes.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Lowercase hex, the only form in which a hash is written.
    pub(crate) fn hex(&self) -> [u8; 64] {
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        hex
    }

    /// Reads lowercase hex; an uppercase digit would be a second spelling of the same record.
    pub(crate) fn from_hex(hex: &[u8]) -> Option<Self> {
        unhex(hex).map(Self)
    }
}

impl LogId {
    pub(crate) fn random() -> Result<Self, AuditError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| AuditError::Random(error.to_string()))?;
        Ok(Self(id))
    }

    /// What the first record is bound to.
    pub(crate) fn genesis(&self) -> Hash {
        Hash(Sha256::new().chain_update(GENESIS).chain_update(self.0).finalize().into())
    }

    pub(crate) fn from_hex(hex: &[u8]) -> Option<Self> {
        unhex(hex).map(Self)
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Without a branch or a table, so that many digits are read at once: a log has two hashes in each line.
fn unhex<const N: usize>(hex: &[u8]) -> Option<[u8; N]> {
    if hex.len() != 2 * N {
        return None;
    }
    let lowercase = hex
        .iter()
        .fold(true, |all, digit| all & ((digit.wrapping_sub(b'0') < 10) | (digit.wrapping_sub(b'a') < 6)));
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_chunks::<2>().0) {
        let pair = u16::from_be_bytes(*pair);
        // The lower half of a digit is its worth, that of a letter nine less; bit 6 tells which it is.
        let worth = (pair & 0x0f0f) + 9 * (pair >> 6 & 0x0101);
        *byte = (worth >> 4 | worth) as u8;
    }
    lowercase.then_some(bytes)
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Head {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let parse = || {
            let (seq, hash) = text.split_once(':')?;
            Some(Self { seq: seq.parse().ok()?, hash: Hash::from_hex(hash.as_bytes())? })
        };
        parse().ok_or_else(|| AuditError::Head(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_a_hash_has_one_spelling() {
        let all: Vec<u8> = (0..32).map(|number| number * 8 + 5).collect();
        let hash = Hash(all.clone().try_into().unwrap());
        assert_eq!(Hash::from_hex(&hash.hex()), Some(hash));
        for place in [0, 1, 30, 63] {
            for byte in 0..=u8::MAX {
                let mut hex = hash.hex();
                hex[place] = byte;
                let digit = (byte as char).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
                let read = Hash::from_hex(&hex);
                assert_eq!(read.is_some(), digit.is_some(), "{byte:#x} at {place}");
                assert!(read.is_none_or(|read| read.hex() == hex));
            }
        }
        assert_eq!(Hash::from_hex(&hash.hex()[..62]), None);
    }
}
