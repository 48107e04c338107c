use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::entry::Parsed;
use crate::lines::{Lines, Piece};
use crate::segments::{Content, Files, Volume};
use crate::{AuditError, Entry};

/// Reads the records of a log, also while it is being written: after the last whole record it ends, and
/// asked again it goes on with what has come since, in the next file too.
///
/// It does not verify; [`verify`](crate::verify()) does.
pub struct Reader {
    /// What was opened: a directory, or a file of it.
    path: PathBuf,
    /// The files that are still to be read, the next one last.
    ahead: Vec<Volume>,
    /// The one that is being read.
    at: Volume,
    lines: Lines<Box<dyn BufRead + Send>>,
    /// The number that the next record should have, for what an error says.
    next: u64,
    /// The log was seen to have gone on in another file: nothing more comes to this one.
    left: bool,
}

impl Reader {
    /// Opens the log at `path`: its directory, or one of its files, which is then read alone.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, AuditError> {
        let path = path.as_ref();
        Self::of(path, Files::find(path)?.files)
    }

    fn of(path: &Path, mut ahead: Vec<Volume>) -> Result<Self, AuditError> {
        ahead.reverse();
        let Some(at) = ahead.pop() else {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(AuditError::File { step: "open", path: path.to_owned(), source });
        };
        let lines = Lines::new(at.read()?, 0);
        Ok(Self { path: path.to_owned(), ahead, at, lines, next: 0, left: false })
    }

    /// Opens it near its end: skips all but about the last `bytes`, up to the beginning of a line.
    ///
    /// # Errors
    ///
    /// It cannot be opened or read.
    pub fn open_at_end(path: impl AsRef<Path>, bytes: u64) -> Result<Self, AuditError> {
        let path = path.as_ref();
        let mut files = Files::find(path)?.files;
        let mut missing = bytes;
        for place in (0..files.len()).rev() {
            let length = length(&files[place])?;
            if length >= missing || place == 0 {
                files.drain(..place);
                let start = length.saturating_sub(missing);
                let mut reader = Self::of(path, files)?;
                if start > 0 {
                    // From one byte before, so that a line that begins exactly there is not lost.
                    reader.pass_over(start - 1)?;
                }
                return Ok(reader);
            }
            missing -= length;
        }
        Self::of(path, files)
    }

    /// The first record with this number.
    ///
    /// # Errors
    ///
    /// A line before it is not a record, or it cannot be read.
    pub fn find(path: impl AsRef<Path>, seq: u64) -> Result<Option<Entry>, AuditError> {
        let path = path.as_ref();
        let mut files = Files::find(path)?.files;
        let from = files.iter().rposition(|file| file.first.is_some_and(|first| first <= seq)).unwrap_or(0);
        files.drain(..from);
        for entry in Self::of(path, files)? {
            let entry = entry?;
            if entry.seq == seq {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Passes over so many bytes of the file and the line that is there.
    fn pass_over(&mut self, bytes: u64) -> Result<(), AuditError> {
        let failed = |source| self.at.failed(source);
        let input: Box<dyn BufRead + Send> = match &self.at.content {
            Content::Closed(path, false) | Content::Current(path, _) => {
                let mut file = crate::segments::open(path).map_err(failed)?;
                file.seek(SeekFrom::Start(bytes)).map_err(failed)?;
                Box::new(BufReader::with_capacity(crate::bounds::READ_BUFFER, file))
            }
            Content::Closed(_, true) | Content::Memory(..) => {
                let mut input = self.at.read()?;
                std::io::copy(&mut input.by_ref().take(bytes), &mut std::io::sink()).map_err(failed)?;
                input
            }
        };
        self.lines = Lines::new(input, bytes);
        self.lines.next().map(drop).map_err(|source| self.at.failed(source))
    }

    /// Goes to the next file; says whether there is one.
    fn turn(&mut self) -> Result<bool, AuditError> {
        if self.ahead.is_empty() {
            let Content::Current(path, file) = &self.at.content else { return Ok(false) };
            let same = |stat: fs::Metadata| {
                file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (stat.dev(), stat.ino()))
            };
            if !self.path.is_dir() || fs::metadata(path).is_ok_and(same) {
                return Ok(false);
            }
            // The log has gone on in another file. What came to this one since the last look is read first.
            if !self.left {
                self.left = true;
                return Ok(true);
            }
            self.left = false;
            let next = self.next;
            let files = Files::find(&self.path)?.files;
            let from = files.iter().position(|file| file.first.is_none_or(|first| first >= next));
            self.ahead = files.into_iter().skip(from.unwrap_or(0)).rev().collect();
        }
        let Some(at) = self.ahead.pop() else { return Ok(false) };
        self.lines = Lines::new(at.read()?, 0);
        self.at = at;
        Ok(true)
    }
}

/// How long a file is; of a compressed one, what it says of itself (RFC 1952, ISIZE).
fn length(volume: &Volume) -> Result<u64, AuditError> {
    let failed = |source| volume.failed(source);
    match &volume.content {
        Content::Current(_, file) => Ok(file.metadata().map_err(failed)?.size()),
        Content::Memory(bytes, _) => Ok(bytes.len() as u64),
        Content::Closed(path, false) => match fs::metadata(path) {
            Ok(stat) => Ok(stat.size()),
            // It was compressed meanwhile; it is at least as long as nothing.
            Err(_) => Ok(0),
        },
        Content::Closed(path, true) => {
            let mut file = crate::segments::open(path).map_err(failed)?;
            let mut size = [0; 4];
            file.seek(SeekFrom::End(-4)).and_then(|_| file.read_exact(&mut size)).map_err(failed)?;
            Ok(u32::from_le_bytes(size).into())
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Entry, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let seq = self.next;
            let unsound = |problem| AuditError::Unsound { path: self.at.path(), seq, problem };
            return Some(match self.lines.next() {
                Ok(Piece::End | Piece::Torn(_)) => match self.turn() {
                    Ok(true) => continue,
                    Ok(false) => return None,
                    Err(error) => Err(error),
                },
                Ok(Piece::TooLong) => Err(unsound("a line is longer than any record".into())),
                Ok(Piece::Line(line)) => match Parsed::read(line) {
                    Ok(parsed) => {
                        self.next = parsed.wire.seq.saturating_add(1);
                        Ok(parsed.into_entry())
                    }
                    Err(problem) => Err(unsound(problem)),
                },
                Err(source) => Err(self.at.failed(source)),
            });
        }
    }
}
