//! The file `checkpoints`: signed notes, one after the other.
//!
//! An entry is a note, then lines that begin with `#`, then an empty line. Those lines are nobody's word: the
//! log starts from them again, after it has held them against what is signed. `# frontier` has the roots of the
//! tree's full subtrees, the largest first, together in base64; `# at` the length of the file then being written.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::fcntl::OFlag;

use crate::chain::Hash;
use crate::tree::Frontier;
use crate::{AuditError, Checkpoint, SignedNote, bounds, disk};

/// The file of all checkpoints.
pub(crate) const FILE: &str = "checkpoints";
/// The file with the one entry that says what was removed.
pub(crate) const REMOVED: &str = "removed";

const FRONTIER: &str = "# frontier ";
const AT: &str = "# at ";

/// One entry.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    /// The line that it begins at.
    pub(crate) line: u64,
    pub(crate) note: SignedNote,
    pub(crate) checkpoint: Checkpoint,
    frontier: Option<Vec<Hash>>,
    /// How long the current file was, as a hint.
    pub(crate) at: Option<u64>,
}

/// An entry that is none.
#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    pub(crate) line: u64,
    pub(crate) problem: String,
}

/// What stands in such a file.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) noted: Vec<Noted>,
    pub(crate) unreadable: Vec<Unreadable>,
    /// Where the last whole entry ends: what stands after it was being written when there was a crash.
    pub(crate) whole: usize,
}

impl Noted {
    /// The frontier, if it is that of the signed root.
    pub(crate) fn frontier(&self) -> Option<Frontier> {
        Frontier::from_parts(self.checkpoint.size, self.frontier.clone()?)
            .filter(|frontier| frontier.root() == self.checkpoint.root)
    }
}

/// The text of an entry.
pub(crate) fn entry(note: &str, frontier: &Frontier, at: u64) -> String {
    let roots: Vec<u8> = frontier.roots().iter().flat_map(|root| root.0).collect();
    format!("{note}{FRONTIER}{}\n{AT}{at}\n\n", STANDARD.encode(roots))
}

/// Reads entries, or notes that stand one after the other with an empty line between them.
pub(crate) fn parse(bytes: &[u8]) -> Entries {
    let mut entries = Entries::default();
    let (mut rest, mut line) = (bytes, 1);
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\n\n").and_then(|text| {
            let after = text + 2;
            memchr::memmem::find(&rest[after..], b"\n\n").map(|signatures| after + signatures + 2)
        });
        let Some(end) = end else { break };
        match noted(&rest[..end - 1], line) {
            Ok(noted) => entries.noted.push(noted),
            Err(problem) => entries.unreadable.push(Unreadable { line, problem }),
        }
        line += memchr::memchr_iter(b'\n', &rest[..end]).count() as u64;
        rest = &rest[end..];
        entries.whole = bytes.len() - rest.len();
    }
    entries
}

fn noted(entry: &[u8], line: u64) -> Result<Noted, String> {
    let entry = std::str::from_utf8(entry).map_err(|error| error.to_string())?;
    let mut note = String::with_capacity(entry.len());
    let (mut frontier, mut at) = (None, None);
    let mut signatures = false;
    for text in entry.split_inclusive('\n') {
        let said = text.trim_end_matches('\n');
        signatures |= said.is_empty();
        if !signatures || !said.starts_with('#') {
            note.push_str(text);
        } else if let Some(roots) = said.strip_prefix(FRONTIER) {
            let roots = STANDARD.decode(roots).map_err(|error| format!("its frontier: {error}"))?;
            let roots = roots.chunks(32).map(|root| <[u8; 32]>::try_from(root).map(Hash));
            frontier =
                Some(roots.collect::<Result<_, _>>().map_err(|error| format!("its frontier: {error}"))?);
        } else if let Some(length) = said.strip_prefix(AT) {
            at = length.parse().ok();
        }
    }
    let note: SignedNote = note.parse().map_err(|error: AuditError| error.to_string())?;
    let checkpoint = Checkpoint::of(&note).map_err(|error| error.to_string())?;
    Ok(Noted { line, note, checkpoint, frontier, at })
}

/// The file, open to be added to.
#[derive(Debug)]
pub(crate) struct Notebook {
    file: File,
    path: PathBuf,
    length: u64,
}

impl Notebook {
    /// Opens the file in `dir`, which its only writer holds, or makes it. What a crash left of an entry is cut
    /// off. Gives the entries that are there.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Entries), AuditError> {
        let path = dir.join(FILE);
        let failed = |step| {
            let path = path.clone();
            move |source| AuditError::File { step, path, source }
        };
        let existing = File::options()
            .read(true)
            .append(true)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(&path);
        let file = match existing {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk::create(&path).map_err(failed("open"))?
            }
            Err(source) => return Err(failed("open")(source)),
        };
        let stat = file.metadata().map_err(failed("stat"))?;
        let own = stat.is_file() && stat.uid() == nix::unistd::geteuid().as_raw() && stat.nlink() == 1;
        if !own || stat.mode() & 0o022 != 0 {
            return Err(AuditError::Exposed {
                path,
                problem: "is not a file that this user alone can write",
            });
        }
        let mut bytes = vec![0; usize::try_from(stat.size()).unwrap_or(usize::MAX).min(bounds::NOTEBOOK)];
        // Of a file that is longer, the end: the writer needs the last entry and those of a change of keys.
        let start = stat.size() - bytes.len() as u64;
        file.read_exact_at(&mut bytes, start).map_err(failed("read"))?;
        let skipped = if start == 0 { 0 } else { beginning(&bytes) };
        let entries = parse(&bytes[skipped..]);
        let whole = start + (skipped + entries.whole) as u64;
        if whole < stat.size() {
            disk::cut(&file, whole).map_err(failed("cut"))?;
        }
        Ok((Self { file, path, length: whole }, entries))
    }

    /// Adds an entry; when this returns it is on the disk.
    pub(crate) fn add(&mut self, entry: &str) -> Result<(), AuditError> {
        let added = disk::write_all(&self.file, entry.as_bytes()).and_then(|()| disk::sync(&self.file));
        if let Err(source) = added {
            // A part of an entry would make the next one unreadable.
            let _ = disk::cut(&self.file, self.length);
            return Err(AuditError::File { step: "write", path: self.path.clone(), source });
        }
        self.length += entry.len() as u64;
        Ok(())
    }
}

/// Where the first entry begins in the end of a file that was not read from its beginning.
fn beginning(bytes: &[u8]) -> usize {
    // An entry's empty line in its middle stands before a signature, the one at its end does not.
    let mut at = 0;
    while let Some(found) = memchr::memmem::find(&bytes[at..], b"\n\n") {
        at += found + 2;
        if !bytes[at..].starts_with("— ".as_bytes()) {
            return at;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{NoteSigner, sign};
    use crate::tree::leaf;

    fn entries(count: u64) -> String {
        let signer = NoteSigner::new("stockade/00", &[1; 32]);
        let mut frontier = Frontier::default();
        let mut text = String::new();
        for number in 0..count {
            frontier.push(leaf(&number.to_be_bytes()));
            let checkpoint = Checkpoint {
                origin: "stockade/00".into(),
                size: frontier.size(),
                root: frontier.root(),
                head: None,
                key: None,
                next_key: None,
            };
            text.push_str(&entry(&sign(&checkpoint.text(), &[&signer]), &frontier, number * 100));
        }
        text
    }

    #[test]
    fn what_is_added_is_read_again_and_a_part_of_an_entry_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let text = entries(3);
        let (mut notebook, none) = Notebook::open(dir.path()).unwrap();
        assert!(none.noted.is_empty());
        notebook.add(&text).unwrap();
        drop(notebook);
        for cut in [text.len(), text.len() - 1, text.len() - 30, text.len() - 200] {
            std::fs::write(dir.path().join(FILE), &text[..cut]).unwrap();
            let (_, read) = Notebook::open(dir.path()).unwrap();
            assert_eq!(read.noted.len(), 2 + usize::from(cut == text.len()), "{cut}");
            assert!(read.unreadable.is_empty());
            for noted in &read.noted {
                assert_eq!(noted.frontier().unwrap().root(), noted.checkpoint.root);
            }
            let left = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
            assert!(text.starts_with(&left) && left.ends_with("\n\n"));
        }
    }

    #[test]
    fn a_frontier_of_another_tree_is_none() {
        let text = entries(3).replace("# frontier ", "# frontier AAAA");
        let read = parse(text.as_bytes());
        assert_eq!((read.noted.len(), read.unreadable.len()), (0, 3));
        let other: Vec<&str> = text.lines().filter(|line| line.starts_with("# frontier")).collect();
        let swapped = entries(3).replacen(&other[0].replace("AAAA", ""), &other[1].replace("AAAA", ""), 1);
        assert!(parse(swapped.as_bytes()).noted[0].frontier().is_none());
    }

    #[test]
    fn the_end_of_a_long_file_is_read_from_the_first_whole_entry() {
        let text = entries(4);
        let at = text.match_indices("# at").nth(1).unwrap().0;
        for start in [10, at, text.find("\n\n").unwrap() - 3, text.find("\n\n").unwrap()] {
            let bytes = &text.as_bytes()[start..];
            let read = parse(&bytes[beginning(bytes)..]);
            assert!(read.unreadable.is_empty() && read.noted.last().unwrap().checkpoint.size == 4, "{start}");
        }
    }
}
