//! Proofs: that a record is in a log, and that a log continues what it once was.
//!
//! Both are small texts that hold by themselves, with the public key alone: whoever is shown one needs neither
//! the log nor Stockade. They are made from the files of the log; nothing that is kept beside them is trusted.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::chain::Hash;
use crate::lines::{Lines, Piece};
use crate::note::{Signed, VerifierKey};
use crate::notebook::{self, FILE, REMOVED};
use crate::scan::Line;
use crate::segments::Files;
use crate::tree::{self, Frontier, Gather};
use crate::{AuditError, Checkpoint, SignedNote};

/// Shows that a record is in the log that a checkpoint is of.
///
/// As JSON it is what `docs/audit.md` describes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InclusionProof {
    /// The signed checkpoint.
    pub note: String,
    /// The number of the record.
    pub index: u64,
    /// The line of the record, without its newline.
    pub record: String,
    /// The hashes beside the way from the record to the root, from below.
    pub hashes: Vec<ProofHash>,
}

/// Shows that the log of one checkpoint begins with all records of the one of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyProof {
    /// The earlier checkpoint.
    pub old: String,
    /// The later one.
    pub new: String,
    /// The hashes of RFC 6962, 2.1.2.
    pub hashes: Vec<ProofHash>,
}

/// A hash in a proof: in base64, as in checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ProofHash(pub Hash);

impl From<ProofHash> for String {
    fn from(hash: ProofHash) -> Self {
        STANDARD.encode(hash.0.as_bytes())
    }
}

impl TryFrom<String> for ProofHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let bytes = STANDARD.decode(text).map_err(|_| "a hash is not base64")?;
        bytes.try_into().map(|hash| Self(Hash(hash))).map_err(|_| "a hash has not 32 bytes")
    }
}

impl InclusionProof {
    /// Whether it holds, and `key` signed the checkpoint that it leads to; gives that checkpoint.
    ///
    /// # Errors
    ///
    /// It does not hold.
    pub fn verify(&self, key: &VerifierKey) -> Result<Checkpoint, AuditError> {
        let checkpoint = signed(&self.note, key)?;
        let hashes: Vec<Hash> = self.hashes.iter().map(|hash| hash.0).collect();
        let line = Line::read(self.record.as_bytes()).map_err(|problem| failed(&problem))?;
        if line.seq() != self.index || !line.intact() {
            return Err(failed("the record is not the one of this number, or it was changed"));
        }
        let leaf = tree::leaf(line.hash().as_bytes());
        let root = tree::root_by_inclusion(self.index, checkpoint.size, leaf, &hashes);
        if root == Some(checkpoint.root) {
            Ok(checkpoint)
        } else {
            Err(failed("the record is not in the log of this checkpoint, at this place"))
        }
    }
}

impl ConsistencyProof {
    /// Whether it holds, and `key` signed both checkpoints; gives them.
    ///
    /// # Errors
    ///
    /// It does not hold.
    pub fn verify(&self, key: &VerifierKey) -> Result<(Checkpoint, Checkpoint), AuditError> {
        let (old, new) = (signed(&self.old, key)?, signed(&self.new, key)?);
        if old.origin != new.origin {
            return Err(failed("the checkpoints are of two logs"));
        }
        let hashes: Vec<Hash> = self.hashes.iter().map(|hash| hash.0).collect();
        if tree::roots_by_consistency(old.size, new.size, old.root, &hashes) == Some((old.root, new.root)) {
            Ok((old, new))
        } else {
            Err(failed("the later log does not begin with all records of the earlier one"))
        }
    }
}

fn failed(problem: &str) -> AuditError {
    AuditError::Proof { problem: problem.to_owned() }
}

fn signed(note: &str, key: &VerifierKey) -> Result<Checkpoint, AuditError> {
    let note: SignedNote = note.parse()?;
    match note.signed_by(key) {
        Signed::Yes => Checkpoint::of(&note),
        Signed::No => Err(failed("the checkpoint is not signed by this key")),
        Signed::Bad => Err(failed("the signature of the checkpoint is bad")),
    }
}

/// Proves that record `seq` is in the log in `dir`, by `note`, or by its own last checkpoint.
///
/// # Errors
///
/// The record is not there or not under a checkpoint yet; the log cannot be read, or is not what the checkpoint says.
pub fn prove_inclusion(
    dir: impl AsRef<Path>,
    seq: u64,
    note: Option<&str>,
) -> Result<InclusionProof, AuditError> {
    let (note, checkpoint) = note_or_last(dir.as_ref(), note)?;
    if seq >= checkpoint.size {
        let problem =
            format!("the checkpoint is over {} records, record {seq} is not one of them", checkpoint.size);
        return Err(failed(&problem));
    }
    let walk = Walk::new(dir.as_ref(), &tree::inclusion(seq, checkpoint.size), Some(seq))?;
    let (hashes, record, root) = walk.run(checkpoint.size)?;
    let record = record.ok_or_else(|| failed("the record was removed by retention"))?;
    if root != checkpoint.root {
        return Err(failed("the log is not what the checkpoint says"));
    }
    Ok(InclusionProof { note, index: seq, record, hashes })
}

/// Proves that the log in `dir` continues what the checkpoint `old` is of, by `new`, or by its own last checkpoint.
///
/// # Errors
///
/// It does not; it cannot be read; or too much was removed of it.
pub fn prove_consistency(
    dir: impl AsRef<Path>,
    old: &str,
    new: Option<&str>,
) -> Result<ConsistencyProof, AuditError> {
    let (old, earlier) = note_or_last(dir.as_ref(), Some(old))?;
    let (new, later) = note_or_last(dir.as_ref(), new)?;
    if earlier.size == 0 || earlier.size > later.size {
        return Err(failed("the first checkpoint is not the earlier one"));
    }
    let walk = Walk::new(dir.as_ref(), &tree::consistency(earlier.size, later.size), None)?;
    let (hashes, _, root) = walk.run(later.size)?;
    let plain: Vec<Hash> = hashes.iter().map(|hash| hash.0).collect();
    let roots = tree::roots_by_consistency(earlier.size, later.size, earlier.root, &plain);
    if root != later.root || roots != Some((earlier.root, later.root)) {
        return Err(failed("the log is not what the checkpoints say: it was forked or changed"));
    }
    Ok(ConsistencyProof { old, new, hashes })
}

fn note_or_last(dir: &Path, note: Option<&str>) -> Result<(String, Checkpoint), AuditError> {
    let note: SignedNote = match note {
        Some(note) => note.trim_start_matches('\n').parse()?,
        None => {
            let path = dir.join(FILE);
            let bytes =
                std::fs::read(&path).map_err(|source| AuditError::File { step: "read", path, source })?;
            let last = notebook::parse(&bytes).noted.pop();
            last.map(|entry| entry.note).ok_or_else(|| failed("the log has no checkpoint"))?
        }
    };
    let checkpoint = Checkpoint::of(&note)?;
    Ok((note.to_string(), checkpoint))
}

/// One way through the files for the subtrees of a proof.
struct Walk {
    files: Files,
    gather: Gather,
    frontier: Frontier,
    /// The record whose line is wanted.
    wanted: Option<u64>,
}

impl Walk {
    fn new(dir: &Path, subtrees: &[std::ops::Range<u64>], wanted: Option<u64>) -> Result<Self, AuditError> {
        let mut files = Files::find(dir)?;
        let removed = match std::fs::read(dir.join(REMOVED)) {
            Ok(bytes) => notebook::parse(&bytes).noted.into_iter().next(),
            Err(_) => None,
        };
        // That what it says is true shows in the root that comes out.
        let begun = removed.and_then(|statement| statement.frontier()).unwrap_or_default();
        files.files.retain(|file| file.first.is_none_or(|first| first >= begun.size()));
        let gather = Gather::new(subtrees, &begun)
            .ok_or_else(|| failed("what the proof needs was removed by retention"))?;
        Ok(Self { files, gather, frontier: begun, wanted })
    }

    fn run(mut self, size: u64) -> Result<(Vec<ProofHash>, Option<String>, Hash), AuditError> {
        let mut record = None;
        'files: for volume in &self.files.files {
            let mut lines = Lines::new(volume.read()?, 0);
            loop {
                if self.frontier.size() == size {
                    break 'files;
                }
                let line = match lines.next().map_err(|source| volume.failed(source))? {
                    Piece::Line(line) => line,
                    Piece::End => break,
                    Piece::Torn(_) | Piece::TooLong => {
                        return Err(failed("the log has a line that is no record"));
                    }
                };
                let read = Line::read(line).ok().filter(Line::intact);
                let read =
                    read.ok_or_else(|| failed("the log has a line that is no record, or was changed"))?;
                let (index, leaf) = (self.frontier.size(), tree::leaf(read.hash().as_bytes()));
                if self.wanted == Some(index) {
                    record = std::str::from_utf8(line).ok().map(str::to_owned);
                }
                self.gather.leaf(index, || leaf);
                self.frontier.push(leaf);
            }
        }
        let hashes = self.gather.roots().filter(|_| self.frontier.size() == size);
        let hashes = hashes.ok_or_else(|| failed("the log has fewer records than the checkpoint is over"))?;
        Ok((hashes.into_iter().map(ProofHash).collect(), record, self.frontier.root()))
    }
}
