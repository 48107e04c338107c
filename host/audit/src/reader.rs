use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::entry::Parsed;
use crate::lines::{Lines, Piece};
use crate::{AuditError, Entry, bounds, place};

/// Reads the records of a log, also while it is being written: after the last whole record it ends, and
/// asked again it goes on with what has come since.
///
/// It does not verify; [`verify`](crate::verify()) does.
pub struct Reader {
    path: PathBuf,
    lines: Lines<BufReader<File>>,
    /// The number that the next record should have, for what an error says.
    next: u64,
}

impl Reader {
    /// Opens the log at `path`, its directory or its file.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, AuditError> {
        let (path, file) = open(path.as_ref())?;
        Ok(Self { path, lines: Lines::new(BufReader::with_capacity(bounds::LINE, file), 0), next: 0 })
    }

    /// Opens it near its end: skips all but about the last `bytes`, up to the beginning of a line.
    ///
    /// # Errors
    ///
    /// It cannot be opened or read.
    pub fn open_at_end(path: impl AsRef<Path>, bytes: u64) -> Result<Self, AuditError> {
        let (path, mut file) = open(path.as_ref())?;
        let failed = |source| AuditError::File { step: "read", path: path.clone(), source };
        let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
        let start = length.saturating_sub(bytes);
        // From one byte before, so that a line that begins exactly there is not lost.
        file.seek(SeekFrom::Start(start.saturating_sub(1))).map_err(failed)?;
        let mut lines = Lines::new(BufReader::with_capacity(bounds::LINE, file), start.saturating_sub(1));
        if start > 0 {
            lines.next().map_err(failed)?;
        }
        Ok(Self { path, lines, next: 0 })
    }

    /// The first record with this number.
    ///
    /// # Errors
    ///
    /// A line before it is not a record, or it cannot be read.
    pub fn find(path: impl AsRef<Path>, seq: u64) -> Result<Option<Entry>, AuditError> {
        for entry in Self::open(path)? {
            let entry = entry?;
            if entry.seq == seq {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

impl Iterator for Reader {
    type Item = Result<Entry, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        let seq = self.next;
        let unsound = |problem| AuditError::Unsound { path: self.path.clone(), seq, problem };
        Some(match self.lines.next() {
            Ok(Piece::End | Piece::Torn(_)) => return None,
            Ok(Piece::TooLong) => Err(unsound("a line is longer than any record".into())),
            Ok(Piece::Line(line)) => match Parsed::read(line) {
                Ok(parsed) => {
                    self.next = parsed.wire.seq.saturating_add(1);
                    Ok(parsed.into_entry())
                }
                Err(problem) => Err(unsound(problem)),
            },
            Err(source) => Err(AuditError::File { step: "read", path: self.path.clone(), source }),
        })
    }
}

/// Opens a log to read: `path` is the file, or the directory that it is in.
pub(crate) fn open(path: &Path) -> Result<(PathBuf, File), AuditError> {
    let path = if path.is_dir() { path.join(place::FILE) } else { path.to_owned() };
    let file = File::options()
        .read(true)
        // A fifo in its place must not hold the reader up.
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(&path)
        .map_err(|source| AuditError::File { step: "open", path: path.clone(), source })?;
    Ok((path, file))
}
