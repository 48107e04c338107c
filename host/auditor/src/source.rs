use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use flate2::bufread::MultiGzDecoder;
use stockade_audit::{BLOCK, Blocks, Entry, Hash, Lines, Piece, bounds};

use crate::error::AuditorError;

/// The file that is being written, always the last.
const CURRENT: &str = "audit.jsonl";
/// What the files before it are called: `audit-`, the number of the first record, and this.
const ENDING: &str = ".jsonl";
/// What is added to the name of one that was compressed.
const COMPRESSED: &str = ".gz";
/// Bytes of the first try at a record in the middle of a file: most are shorter.
const TRY: usize = 4096;
/// How much is read at first for each of the last records. Most are shorter.
const BYTES_A_RECORD: u64 = 1024;
/// Times that a directory which changes meanwhile is listed.
const LISTINGS: u32 = 1000;
/// `O_NONBLOCK` (the same number on x86-64 and aarch64): a fifo in a file's place must not hold the reader up.
const OPEN_FLAGS: i32 = 0o4000;

/// A log as an auditor has it: its files, opened, oldest first.
#[derive(Debug)]
pub struct Source {
    /// What was asked for: the log's directory, or one file.
    pub path: PathBuf,
    /// Its files.
    pub files: Vec<LogFile>,
}

/// One file of a log. It stays the same file, whatever name it gets later.
#[derive(Debug)]
pub struct LogFile {
    /// Its name in the directory; of a compressed one, the name that it had before.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its first record's number and hash, where its first line is a record.
    pub first: Option<(u64, Hash)>,
    content: Content,
}

/// What a file holds.
#[derive(Debug)]
enum Content {
    Plain(File),
    /// A compressed file with a table of its blocks, and the block that was unpacked last.
    Blocks(File, Blocks, Mutex<Option<(usize, Arc<[u8]>)>>),
    /// Another one, and what is in it: unpacked when it is looked at first, into a file without a name.
    Packed(File, OnceLock<File>),
}

/// A record, and where it stands.
#[derive(Debug)]
pub struct Located {
    /// What it says.
    pub entry: Entry,
    /// Whether the hash that it states is the hash of its line.
    pub intact: bool,
    /// Its line, without the newline.
    pub line: Vec<u8>,
    /// Which file of the source.
    pub file: usize,
    /// The byte at which its line begins.
    pub offset: u64,
}

/// A line that is not a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The name of the file.
    pub file: String,
    /// The byte at which the line begins.
    pub offset: u64,
    /// What it is not.
    pub problem: String,
}

/// What stands in a log.
#[derive(Debug)]
pub enum Found {
    /// A record.
    Record(Box<Located>),
    /// A line that is none.
    Damaged(Damage),
}

impl Source {
    /// Opens the log at `path`: its directory, or one of its files.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or there is no log.
    pub fn open(path: &Path) -> Result<Self, AuditorError> {
        let files = if path.is_dir() {
            let mut tries = 0;
            loop {
                tries += 1;
                match Self::list(path) {
                    Ok(Some(files)) => break files,
                    // It was compressed or removed between its name and its opening.
                    Err(AuditorError::File { source, .. })
                        if source.kind() == io::ErrorKind::NotFound && tries < LISTINGS => {}
                    Ok(None) if tries < LISTINGS => {}
                    Ok(None) => return Err(AuditorError::NoLog { path: path.to_owned() }),
                    Err(error) => return Err(error),
                }
            }
        } else {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            vec![LogFile::open(path.to_owned(), name)?]
        };
        if files.is_empty() {
            return Err(AuditorError::NoLog { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), files })
    }

    /// The files in a log's directory; none where the log went over to another file meanwhile, whose last one could
    /// then be missing.
    fn list(path: &Path) -> Result<Option<Vec<LogFile>>, AuditorError> {
        let failed = |source| AuditorError::File { step: "list", path: path.to_owned(), source };
        let current = || fs::metadata(path.join(CURRENT)).map(|stat| (stat.dev(), stat.ino())).ok();
        let before = current();
        let mut files = Vec::<LogFile>::new();
        let mut compressed = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name == CURRENT || is_segment(&name) {
                files.push(LogFile::open(path.join(&name), name)?);
            } else if name.strip_suffix(COMPRESSED).is_some_and(is_segment) {
                compressed.push(name);
            }
        }
        // While one is compressed there are both.
        let plain: Vec<_> = files.iter().map(|file| format!("{}{COMPRESSED}", file.name)).collect();
        for name in compressed.into_iter().filter(|name| !plain.contains(name)) {
            files.push(LogFile::open(path.join(&name), name)?);
        }
        if current() != before {
            return Ok(None);
        }
        // A file whose beginning is damaged says no number: it is looked at among the last, by name.
        files.sort_by(|a, b| a.place().cmp(&b.place()));
        // While the log goes over to another file, the old one has two names; the later is the current one.
        let identities: Vec<_> = files.iter().map(|file| file.identity().ok()).collect();
        let mut number = 0;
        files.retain(|_| {
            number += 1;
            !identities[number..].contains(&identities[number - 1])
        });
        Ok(Some(files))
    }

    /// Everything from `offset` of file number `file` on, to where the log ends when it is reached.
    pub fn read_from(&self, file: usize, offset: u64) -> Records<'_> {
        let mut records = Records { source: self, file, lines: None, end: (file, offset) };
        records.enter(file, offset);
        records
    }

    /// Everything.
    pub fn read(&self) -> Records<'_> {
        self.read_from(0, 0)
    }

    /// The record that begins at `offset` of file number `file`; none where no record does.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn at(&self, file: usize, offset: u64) -> Result<Option<Located>, AuditorError> {
        let Some(from) = self.files.get(file) else { return Ok(None) };
        let mut line = vec![0; TRY];
        let mut filled = 0;
        let end = loop {
            let failed = |source| AuditorError::File { step: "read", path: from.path.clone(), source };
            let more = from.bytes_at(&mut line[filled..], offset + filled as u64).map_err(failed)?;
            if let Some(at) = line[filled..filled + more].iter().position(|byte| *byte == b'\n') {
                break filled + at;
            }
            filled += more;
            if more == 0 || filled > bounds::LINE {
                return Ok(None);
            }
            if filled == line.len() {
                line.resize(bounds::LINE + 1, 0);
            }
        };
        line.truncate(end);
        Ok(Entry::from_line(&line).ok().map(|(entry, intact)| Located { entry, intact, line, file, offset }))
    }

    /// The first record there is.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn first(&self) -> Result<Option<Located>, AuditorError> {
        self.at(0, 0)
    }

    /// The last `count` records, in order, without reading what is before them.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn last(&self, count: usize) -> Result<(Vec<Located>, Vec<Damage>), AuditorError> {
        let (mut found, mut damages) = (Vec::new(), Vec::new());
        for (number, file) in self.files.iter().enumerate().rev() {
            let missing = count - found.len();
            if missing == 0 {
                break;
            }
            let failed = |source| AuditorError::File { step: "read", path: file.path.clone(), source };
            let length = file.length().map_err(failed)?;
            let mut bytes = BYTES_A_RECORD.saturating_mul(missing as u64);
            loop {
                let start = length.saturating_sub(bytes);
                let (records, broken) = self.tail_of(number, start, missing)?;
                if records.len() >= missing || start == 0 {
                    found.splice(0..0, records);
                    damages.splice(0..0, broken);
                    break;
                }
                bytes = bytes.saturating_mul(8).max(BYTES_A_RECORD);
            }
        }
        Ok((found, damages))
    }

    /// The last records of one file, of what begins at `start` or behind it.
    fn tail_of(
        &self,
        number: usize,
        start: u64,
        count: usize,
    ) -> Result<(Vec<Located>, Vec<Damage>), AuditorError> {
        let mut kept = std::collections::VecDeque::new();
        let mut damages = Vec::new();
        // From one byte before, so that a line that begins exactly there is not lost; what is left of the one
        // before is not looked at.
        let mut records = self.read_from(number, start.saturating_sub(1));
        if start > 0 {
            records.next();
        }
        for found in records {
            match found? {
                Found::Record(located) if located.file == number => {
                    if kept.len() == count {
                        kept.pop_front();
                    }
                    kept.push_back(*located);
                }
                Found::Damaged(damage) if damage.file == self.files[number].name => damages.push(damage),
                Found::Record(_) | Found::Damaged(_) => break,
            }
        }
        Ok((kept.into(), damages))
    }

    /// Bytes from that place to the end, for whoever wants to show how far something is.
    pub fn bytes_from(&self, file: usize, offset: u64) -> u64 {
        let length = |file: &LogFile| file.length().unwrap_or(0);
        self.files.iter().skip(file).map(length).sum::<u64>().saturating_sub(offset)
    }
}

fn unpacked_bytes(packed: &File) -> MultiGzDecoder<BufReader<Onward<'_, File>>> {
    MultiGzDecoder::new(BufReader::new(Onward { file: packed, offset: 0 }))
}

/// Whether a file of a log's directory is one that the log went on from.
fn is_segment(name: &str) -> bool {
    let number = name.strip_prefix("audit-").and_then(|rest| rest.strip_suffix(ENDING));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

impl LogFile {
    fn open(path: PathBuf, name: String) -> Result<Self, AuditorError> {
        let at = path.clone();
        let failed = |source| AuditorError::File { step: "open", path: at.clone(), source };
        let file = File::options().read(true).custom_flags(OPEN_FLAGS).open(&path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("it is not a regular file")));
        }
        let (name, content) = match name.strip_suffix(COMPRESSED) {
            Some(plain) => {
                let content = match Blocks::read(&file).map_err(failed)? {
                    Some(blocks) => Content::Blocks(file, blocks, Mutex::new(None)),
                    None => Content::Packed(file, OnceLock::new()),
                };
                (plain.to_owned(), content)
            }
            None => (name, Content::Plain(file)),
        };
        let mut opened = Self { name, path, first: None, content };
        let first = |line: &[u8]| Entry::from_line(line).ok().map(|(entry, _)| (entry.seq, entry.hash));
        opened.first = match &opened.content {
            // Its beginning is enough here; what cannot be unpacked is told where it is read.
            Content::Packed(packed, _) => {
                match Lines::new(BufReader::with_capacity(bounds::LINE, unpacked_bytes(packed)), 0).next() {
                    Ok(Piece::Line(line)) => first(line),
                    _ => None,
                }
            }
            // As above: what cannot be unpacked is told where it is read.
            Content::Blocks(..) => match opened.lines(0).next() {
                Ok(Piece::Line(line)) => first(line),
                _ => None,
            },
            Content::Plain(_) => match opened.lines(0).next().map_err(failed)? {
                Piece::Line(line) => first(line),
                _ => None,
            },
        };
        Ok(opened)
    }

    /// In which order the files of a log are read.
    fn place(&self) -> (u64, bool, &str) {
        (self.first.map_or(u64::MAX, |(seq, _)| seq), self.name == CURRENT, &self.name)
    }

    /// Which file it is, whatever it is called.
    pub(crate) fn identity(&self) -> io::Result<(u64, u64)> {
        let (Content::Plain(file) | Content::Packed(file, _) | Content::Blocks(file, ..)) = &self.content;
        file.metadata().map(|stat| (stat.dev(), stat.ino()))
    }

    /// What is in a compressed file without a table.
    fn unpacked<'f>(packed: &File, unpacked: &'f OnceLock<File>) -> io::Result<&'f File> {
        if let Some(file) = unpacked.get() {
            return Ok(file);
        }
        let mut to = tempfile::tempfile()?;
        let most = bounds::SEGMENT_MOST;
        if io::copy(&mut unpacked_bytes(packed).take(most + 1), &mut to)? > most {
            return Err(io::Error::other("it unpacks to more than any file of a log"));
        }
        Ok(unpacked.get_or_init(|| to))
    }

    pub(crate) fn length(&self) -> io::Result<u64> {
        let file = match &self.content {
            Content::Plain(file) => file,
            Content::Blocks(_, blocks, _) => return Ok(blocks.length()),
            Content::Packed(packed, unpacked) => Self::unpacked(packed, unpacked)?,
        };
        file.metadata().map(|stat| stat.len())
    }

    pub(crate) fn lines(&self, offset: u64) -> Lines<BufReader<Onward<'_>>> {
        Lines::new(BufReader::with_capacity(bounds::LINE, Onward { file: self, offset }), offset)
    }
}

/// What can be read at any byte.
pub(crate) trait Bytes {
    fn bytes_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Bytes for File {
    fn bytes_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_at(into, offset)
    }
}

impl Bytes for LogFile {
    fn bytes_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.content {
            Content::Plain(file) => file.read_at(into, offset),
            Content::Packed(packed, unpacked) => Self::unpacked(packed, unpacked)?.read_at(into, offset),
            Content::Blocks(packed, blocks, last) => {
                let number = usize::try_from(offset / BLOCK as u64).map_err(io::Error::other)?;
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                let block = match &*last {
                    Some((at, block)) if *at == number => Arc::clone(block),
                    _ => last.insert((number, blocks.unpack(packed, number)?.into())).1.clone(),
                };
                let rest = block.get((offset % BLOCK as u64) as usize..).unwrap_or_default();
                let count = rest.len().min(into.len());
                into[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
        }
    }
}

/// A file from some byte on, with a place of its own: two readers of one file do not move each other.
pub(crate) struct Onward<'f, F = LogFile> {
    file: &'f F,
    offset: u64,
}

impl<F: Bytes> Read for Onward<'_, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let more = self.file.bytes_at(into, self.offset)?;
        self.offset += more as u64;
        Ok(more)
    }
}

/// What stands in a log, in its order.
pub struct Records<'s> {
    source: &'s Source,
    file: usize,
    lines: Option<Lines<BufReader<Onward<'s>>>>,
    /// The place after the last whole line.
    end: (usize, u64),
}

impl<'s> Records<'s> {
    /// The place after the last whole line that was read: reading goes on there later.
    pub const fn end(&self) -> (usize, u64) {
        self.end
    }

    fn enter(&mut self, file: usize, offset: u64) {
        let source: &'s Source = self.source;
        self.file = file;
        self.lines = source.files.get(file).map(|file| file.lines(offset));
    }

    /// The next piece; none at the end of the last file.
    fn piece(&mut self) -> Result<Option<Found>, AuditorError> {
        loop {
            let Some(lines) = &mut self.lines else { return Ok(None) };
            let offset = lines.offset();
            let of = &self.source.files[self.file];
            let damaged =
                |problem: String| Ok(Some(Found::Damaged(Damage { file: of.name.clone(), offset, problem })));
            let last = self.file + 1 >= self.source.files.len();
            let piece = match lines.next() {
                Ok(piece) => piece,
                // Somebody has changed it: the records in it are missed, and the others are not.
                Err(error) if !matches!(of.content, Content::Plain(_)) => {
                    let found = damaged(format!("it cannot be unpacked: {error}"));
                    self.enter(self.file + 1, 0);
                    self.end = (self.file, 0);
                    return found;
                }
                Err(source) => {
                    return Err(AuditorError::File { step: "read", path: of.path.clone(), source });
                }
            };
            match piece {
                Piece::Line(line) => {
                    let read = Entry::from_line(line).map(|(entry, intact)| Located {
                        entry,
                        intact,
                        line: line.to_vec(),
                        file: self.file,
                        offset,
                    });
                    self.end = (self.file, lines.offset());
                    return match read {
                        Ok(located) => Ok(Some(Found::Record(Box::new(located)))),
                        Err(problem) => damaged(problem),
                    };
                }
                Piece::TooLong => {
                    self.end = (self.file, lines.offset());
                    return damaged("it is longer than any record".into());
                }
                // At the very end the writer may be in the middle of it.
                Piece::End | Piece::Torn(_) if last => {
                    self.lines = None;
                    return Ok(None);
                }
                Piece::Torn(part) => {
                    let problem = format!("the file ends within it, after {} bytes", part.len());
                    let found = damaged(problem);
                    self.enter(self.file + 1, 0);
                    self.end = (self.file, 0);
                    return found;
                }
                Piece::End => {
                    self.enter(self.file + 1, 0);
                    self.end = (self.file, 0);
                }
            }
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Found, AuditorError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.piece().transpose()
    }
}

impl std::fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("end", &self.end).finish_non_exhaustive()
    }
}
