//! Whether an index is that of today. Whoever stands between its author and a reader cannot change it, since it is
//! signed; what is left is to show an old one (a rollback), to go on showing the same one (a freeze), to show two readers
//! two of one version (a fork), and, with a stolen key, to use up the versions (a fast-forward).

use serde::{Deserialize, Serialize};
use stockade_policy::stands;

use super::{Index, IndexError};
use crate::sha256;

/// How far an index can be ahead of the one that was seen: 2^32 versions, one a second for 136 years. Whoever steals a
/// key publishes the highest version that there is, and no honest index is ever newer; with this, it is refused where
/// another was seen before, and the key is revoked. What was taken in smaller steps is forgotten with the key:
/// docs/decisions/0034.
pub const MAX_AHEAD: u64 = 1 << 32;

/// What a reader has last taken from an index. To be kept, and handed back with the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The index's version.
    pub version: u64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// When it was taken: seconds since 1970.
    pub at: u64,
}

impl Index {
    /// Reads an index, holds it against the one that was taken last and against the clock (`now`, in seconds since
    /// 1970), and says what is to be kept of it. Whose it is is not looked at: check the signature first, since what is
    /// kept of a stranger's keeps out the real one.
    ///
    /// A clock that was set back gains nothing: it is never earlier than when the last index was taken.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse); or it is older than what was seen, is another of the same version, is too far ahead, or
    /// has expired.
    pub fn fresh(bytes: &[u8], seen: Option<&Seen>, now: u64) -> Result<(Index, Seen), IndexError> {
        let index = Index::parse(bytes)?;
        let taken = index.taken(bytes, seen, now)?;
        Ok((index, taken))
    }

    /// Holds an index that was read of these bytes against the one that was taken last and against the clock, as
    /// [`fresh`](Self::fresh) does: for whoever has to know its name to find what was seen of it.
    ///
    /// # Errors
    ///
    /// As [`fresh`](Self::fresh).
    pub fn taken(&self, bytes: &[u8], seen: Option<&Seen>, now: u64) -> Result<Seen, IndexError> {
        let taken = Seen {
            version: self.version,
            sha256: sha256(bytes),
            at: seen.map_or(now, |seen| now.max(seen.at)),
        };
        if let Some(seen) = seen {
            taken.follows(seen)?;
        }
        if taken.at >= self.expires && stands("index.expiry") {
            return Err(IndexError::Expired { expires: self.expires, now: taken.at });
        }
        Ok(taken)
    }

    /// Whether it is the index that was meant, and not another one that the same key has signed.
    ///
    /// # Errors
    ///
    /// It is another.
    pub fn is_named(&self, name: &str) -> Result<(), IndexError> {
        match self.name == name || !stands("index.name") {
            true => Ok(()),
            false => Err(IndexError::OtherName { found: self.name.clone(), expected: name.to_owned() }),
        }
    }
}

impl Seen {
    fn follows(&self, seen: &Seen) -> Result<(), IndexError> {
        let (version, last) = (self.version, seen.version);
        if version < last && stands("index.rollback") {
            return Err(IndexError::RolledBack { version, seen: last });
        }
        if version == last && self.sha256 != seen.sha256 && stands("index.fork") {
            return Err(IndexError::Forked { version });
        }
        if version.saturating_sub(last) > MAX_AHEAD && stands("index.ahead") {
            return Err(IndexError::Ahead { version, seen: last });
        }
        Ok(())
    }
}
