//! Checkpoints (c2sp.org/tlog-checkpoint): how far a log had come, in the text of a signed note.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::chain::{Hash, Head, LogId};
use crate::{AuditError, Signed, SignedNote, VerifierKey};

/// The extension line that ties the tree to the chain: the last record's number and hash.
const HEAD: &str = "head ";
/// The extension lines of a change of keys: which one signed so far, and which one does from here on. Both sign
/// this text, so that whoever trusts one of them is led to the other.
const KEY: &str = "key ";
const NEXT_KEY: &str = "next-key ";

/// What a checkpoint says. Whether it is so is for [`verify`](crate::verify()), and who says so for
/// [`SignedNote::signed_by`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: `stockade/` and its random name.
    pub origin: String,
    /// How many records.
    pub size: u64,
    /// The root of the Merkle tree over their lines (RFC 6962).
    pub root: Hash,
    /// The last of them, by the chain.
    pub head: Option<Head>,
    /// In a change of keys, the one that signed so far.
    pub key: Option<VerifierKey>,
    /// In a change of keys, the one that signs from here on. It signs this checkpoint too.
    pub next_key: Option<VerifierKey>,
}

/// The name of a log, as its checkpoints and keys have it.
pub(crate) fn origin(log: LogId) -> String {
    format!("stockade/{log}")
}

impl Checkpoint {
    /// The text that is signed.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0));
        if let Some(head) = &self.head {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{HEAD}{head}");
        }
        if let Some(key) = &self.key {
            let _ = writeln!(text, "{KEY}{key}");
        }
        if let Some(key) = &self.next_key {
            let _ = writeln!(text, "{NEXT_KEY}{key}");
        }
        text
    }

    /// In a change of keys: the old and the new one, if both signed it.
    pub(crate) fn change(&self, note: &SignedNote) -> Option<(&VerifierKey, &VerifierKey)> {
        let (old, new) = (self.key.as_ref()?, self.next_key.as_ref()?);
        (note.signed_by(old) == Signed::Yes && note.signed_by(new) == Signed::Yes).then_some((old, new))
    }

    /// Reads what a note says.
    ///
    /// # Errors
    ///
    /// It is a note, but not of a checkpoint.
    pub fn of(note: &SignedNote) -> Result<Self, AuditError> {
        let bad = |problem| AuditError::Note { problem };
        let text = note.text().strip_suffix('\n').unwrap_or_default();
        let mut lines = text.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty()).ok_or(bad("it names no log"))?;
        let size: u64 = lines
            .next()
            .filter(|line| !line.starts_with('+') && (*line == "0" || !line.starts_with('0')))
            .and_then(|line| line.parse().ok())
            .ok_or(bad("its second line is not a number of records"))?;
        let root = lines
            .next()
            .and_then(|line| STANDARD.decode(line).ok())
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .ok_or(bad("its third line is not 32 bytes in base64"))?;
        let (mut head, mut key, mut next_key) = (None, None, None);
        for line in lines {
            if line.is_empty() {
                return Err(bad("one of its lines is empty"));
            }
            if let Some(text) = line.strip_prefix(HEAD) {
                let read: Head = text.parse().map_err(|_| bad("its head is not SEQ:HASH"))?;
                if head.replace(read).is_some() || read.seq.checked_add(1) != Some(size) {
                    return Err(bad("its head is not the last of its records"));
                }
            }
            for (prefix, place) in [(KEY, &mut key), (NEXT_KEY, &mut next_key)] {
                if let Some(text) = line.strip_prefix(prefix)
                    && place.replace(text.parse()?).is_some()
                {
                    return Err(bad("it names two keys in one place"));
                }
            }
        }
        Ok(Self { origin: origin.to_owned(), size, root: Hash(root), head, key, next_key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{NoteSigner, sign};

    fn read(text: &str) -> Result<Checkpoint, AuditError> {
        let signer = NoteSigner::new("n", &[1; 32]);
        Checkpoint::of(&sign(text, &[&signer]).parse().unwrap())
    }

    #[test]
    fn what_is_written_is_read_and_unknown_extensions_are_passed_over() {
        let head = Head { seq: 6, hash: Hash::of_bytes(b"head") };
        let checkpoint = Checkpoint {
            origin: "stockade/00".into(),
            size: 7,
            root: Hash::of_bytes(b"root"),
            head: Some(head),
            key: Some(NoteSigner::new("n", &[1; 32]).verifier().clone()),
            next_key: Some(NoteSigner::new("n", &[2; 32]).verifier().clone()),
        };
        assert_eq!(read(&checkpoint.text()).unwrap(), checkpoint);
        assert_eq!(read(&format!("{}witnessed by nobody\n", checkpoint.text())).unwrap(), checkpoint);
        // The example of the specification.
        let example =
            read("example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n");
        assert_eq!(example.unwrap().size, 20_852_163);
    }

    #[test]
    fn notes_that_are_no_checkpoints_are_refused() {
        let root = STANDARD.encode([0; 32]);
        let hash = "0".repeat(64);
        for text in [
            "x\n".to_owned(),
            "x\n1\n".to_owned(),
            format!("x\n01\n{root}\n"),
            format!("x\n+1\n{root}\n"),
            format!("x\n-1\n{root}\n"),
            format!("x\n1\n{}\n", STANDARD.encode([0; 31])),
            format!("x\n1\n{root}\nhead 1:{hash}\n"),
            format!("x\n1\n{root}\nhead 0:00\n"),
            format!("x\n1\n{root}\nhead 0:{hash}\nhead 0:{hash}\n"),
        ] {
            assert!(read(&text).is_err(), "{text}");
        }
    }
}
