//! What a log is continued from: its key, and the tree over all its records.
//!
//! The tree is taken from the last checkpoint that this log's own key signed, where its frontier has the root that
//! the signature is over, and from the lines after it. Where there is none, all lines are read.

use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use crate::chain::{Hash, Head, LogId};
use crate::checkpoint::origin;
use crate::lines::{Lines, Piece};
use crate::note::{NoteSigner, Signed, SignedNote, VerifierKey};
use crate::notebook::{self, Entries, Notebook, Noted, REMOVED};
use crate::place::Place;
use crate::scan::Line;
use crate::segments::{self, Content, Files, Volume};
use crate::tail::First;
use crate::tree::{self, Frontier};
use crate::{AuditError, bounds, disk, key, place, tail};

/// Key and checkpoints of a log.
pub(crate) struct Signing {
    pub(crate) signer: NoteSigner,
    /// The keys that signed before it, as far as one led to the next.
    pub(crate) earlier: Vec<VerifierKey>,
    pub(crate) notebook: Notebook,
    pub(crate) entries: Entries,
    /// There are checkpoints, and none is of this key.
    pub(crate) key_lost: bool,
}

/// Opens them; makes the key where there is none.
pub(crate) fn signing(dir: &Path, log: LogId) -> Result<Signing, AuditError> {
    let origin = origin(log);
    let (notebook, entries) = Notebook::open(dir)?;
    let mut signer = key::read(dir, key::SECRET, &origin)?;
    if let Some(next) = key::read(dir, key::NEXT_SECRET, &origin)? {
        // A change of keys was interrupted. It is done if both have signed, and has not begun otherwise.
        let both = signer.as_ref().is_some_and(|old| {
            entries.noted.iter().any(|entry| {
                [old, &next].iter().all(|key| entry.note.signed_by(key.verifier()) == Signed::Yes)
            })
        });
        let next_path = dir.join(key::NEXT_SECRET);
        let failed = |source| AuditError::Key { path: next_path.clone(), source };
        if both {
            disk::rename(&next_path, &dir.join(key::SECRET)).map_err(failed)?;
            signer = Some(next);
        } else {
            disk::remove(&next_path).map_err(failed)?;
        }
        disk::sync_names(dir).map_err(failed)?;
    }
    let signer = signer.map_or_else(|| key::make(dir, key::SECRET, &origin), Ok)?;
    // From the last change back to the first: each new key says which one it comes after.
    let mut earlier: Vec<VerifierKey> = Vec::new();
    for entry in entries.noted.iter().rev() {
        if let Some((old, new)) = entry.checkpoint.change(&entry.note)
            && new == earlier.last().unwrap_or(signer.verifier())
        {
            earlier.push(old.clone());
        }
    }
    let mut signing = Signing { signer, earlier, notebook, entries, key_lost: false };
    let known = signing.entries.noted.iter().rev().any(|entry| signing.is_ours(&entry.note));
    signing.key_lost = !known && !signing.entries.noted.is_empty();
    Ok(signing)
}

impl Signing {
    fn is_ours(&self, note: &SignedNote) -> bool {
        std::iter::once(self.signer.verifier())
            .chain(&self.earlier)
            .any(|key| note.signed_by(key) == Signed::Yes)
    }
}

/// The tree over all records, of which `head` is the last. Says too how many of them are signed for.
pub(crate) fn frontier(
    place: &Place,
    first: First,
    length: u64,
    head: Head,
    signing: &Signing,
) -> Result<(Frontier, u64), AuditError> {
    let unsound = |seq, problem: &str| AuditError::Unsound {
        path: place.path.clone(),
        seq,
        problem: problem.to_owned(),
    };
    let origin = origin(first.log);
    let signed = |entry: &&Noted| {
        entry.checkpoint.origin == origin && entry.note.signed_by(signing.signer.verifier()) == Signed::Yes
    };
    let noted = &signing.entries.noted;
    if noted.iter().filter(|entry| entry.checkpoint.size > head.seq + 1).any(|entry| signed(&entry)) {
        return Err(unsound(head.seq + 1, "a checkpoint of this log covers more records than there are"));
    }
    let last = noted.iter().rev().filter(signed).find_map(|entry| {
        Some((entry.checkpoint.size, entry.checkpoint.head?.hash, entry.frontier()?, entry.at))
    });
    let files = Files::find(&place.dir)?;
    let (mut replay, at) = match last {
        Some((size, hash, frontier, at)) => (Replay { next: size, prev: Some(hash), frontier }, at),
        None => (beginning(&place.dir, &files, &signed)?, None),
    };
    let certified = last_size(noted, &signed);
    let wanted = files.files.iter().rposition(|file| file.first.unwrap_or(first.seq) <= replay.next);
    for volume in &files.files[wanted.unwrap_or(0)..] {
        if let (Content::Current(path, _), Some(at)) = (&volume.content, at)
            && at <= length
            && first.seq <= replay.next
        {
            // The hint is good if the line there is the one that follows the checkpoint.
            let mut again = segments::open(path).map_err(|source| volume.failed(source))?;
            again.seek(SeekFrom::Start(at)).map_err(|source| volume.failed(source))?;
            let mut tried = replay.clone();
            let input = BufReader::with_capacity(bounds::READ_BUFFER, again);
            if tried.run(volume, input).is_ok() && tried.next == head.seq + 1 {
                replay = tried;
                break;
            }
        }
        replay
            .skip_and_run(volume)
            .map_err(|(seq, problem)| unsound(seq, &format!("{}: {problem}", volume.name)))?;
    }
    if replay.next != head.seq + 1 || replay.prev != Some(head.hash) {
        return Err(unsound(replay.next, "the records do not lead from the last checkpoint to the end"));
    }
    Ok((replay.frontier, certified))
}

fn last_size(noted: &[Noted], signed: &impl Fn(&&Noted) -> bool) -> u64 {
    noted.iter().rev().filter(signed).map(|entry| entry.checkpoint.size).next().unwrap_or(0)
}

/// Where the records that are there begin: with the log, or after what was removed.
fn beginning(dir: &Path, files: &Files, signed: &impl Fn(&&Noted) -> bool) -> Result<Replay, AuditError> {
    let from_genesis = Replay { next: 0, prev: None, frontier: Frontier::default() };
    if files.files.first().is_none_or(|file| file.first.is_none_or(|first| first == 0)) {
        return Ok(from_genesis);
    }
    let path = dir.join(REMOVED);
    let bytes = place::read_own(&path, bounds::NOTE, 0o022).map_err(|source| AuditError::File {
        step: "read",
        path,
        source,
    })?;
    let entries = notebook::parse(&bytes.unwrap_or_default());
    let statement = entries.noted.iter().find(signed);
    Ok(statement
        .and_then(|entry| {
            let (frontier, head) = (entry.frontier()?, entry.checkpoint.head?);
            Some(Replay { next: entry.checkpoint.size, prev: Some(head.hash), frontier })
        })
        .unwrap_or(from_genesis))
}

/// Follows the chain and grows the tree.
#[derive(Clone)]
struct Replay {
    next: u64,
    /// The hash before; `None` before the first record of all.
    prev: Option<Hash>,
    frontier: Frontier,
}

impl Replay {
    /// Reads a file from its beginning; what is before `next` was followed before.
    fn skip_and_run(&mut self, volume: &Volume) -> Result<(), (u64, String)> {
        let input = volume.read().map_err(|error| (self.next, error.to_string()))?;
        self.run(volume, input)
    }

    fn run(&mut self, volume: &Volume, input: impl BufRead) -> Result<(), (u64, String)> {
        let mut lines = Lines::new(input, 0);
        loop {
            let read = lines.next().map_err(|source| (self.next, volume.failed(source).to_string()))?;
            let line = match read {
                Piece::End => return Ok(()),
                Piece::Line(line) => line,
                Piece::TooLong | Piece::Torn(_) => return Err((self.next, "a line is no record".into())),
            };
            let record = Line::read(line).map_err(|problem| (self.next, problem))?;
            if record.seq() < self.next {
                continue;
            }
            if !record.intact() || record.seq() != self.next {
                return Err((self.next, "it was changed or is not there".into()));
            }
            let bound = match self.prev {
                Some(prev) => record.prev() == prev,
                None => record.parsed().is_some_and(|parsed| tail::genesis(parsed).is_ok()),
            };
            if !bound {
                return Err((self.next, "it is not bound to the record before it".into()));
            }
            self.frontier.push(tree::leaf(record.hash().as_bytes()));
            self.prev = Some(record.hash());
            self.next += 1;
        }
    }
}
