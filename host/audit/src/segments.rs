//! The files that a log is in: closed segments, and the one that is being written.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use nix::fcntl::OFlag;

use crate::ahead::ahead;
use crate::{AuditError, bounds, place};

/// The file that will be written next, until it takes the place of the current one.
pub(crate) const NEXT: &str = "audit.jsonl.next";
/// Ending of a segment that was compressed.
pub(crate) const GZIP: &str = ".gz";
/// Ending of a compressed segment that is being made.
pub(crate) const PART: &str = ".part";

/// The name of a closed segment: that of its first record, so that names sort as records do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) first: u64,
    /// `.gz` where it is compressed.
    pub(crate) gzip: bool,
    pub(crate) file: String,
}

impl Name {
    pub(crate) fn new(first: u64, gzip: bool) -> Self {
        let ending = if gzip { GZIP } else { "" };
        Self { first, gzip, file: format!("audit-{first:020}.jsonl{ending}") }
    }

    pub(crate) fn parse(file: &str) -> Option<Self> {
        let digits = file.strip_prefix("audit-")?;
        let name = Self::new(digits.get(..20)?.parse().ok()?, file.ends_with(GZIP));
        (name.file == file).then_some(name)
    }
}

/// The closed segments in a directory, by number; the same one plain and compressed only where a crash came
/// in between.
pub(crate) fn names(dir: &Path) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.extend(entry?.file_name().to_str().and_then(Name::parse));
    }
    names.sort();
    Ok(names)
}

/// The files of one log, in the order of their records.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) files: Vec<Volume>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    /// Its name within the directory; what findings say.
    pub(crate) name: Arc<str>,
    /// The number that its name claims for its first record.
    pub(crate) first: Option<u64>,
    pub(crate) content: Content,
}

/// Where its bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A closed segment.
    Closed(PathBuf, bool),
    /// The current file, opened when the directory was looked at.
    Current(PathBuf, Arc<File>),
    /// A copy in memory.
    Memory(Arc<[u8]>, bool),
}

impl Files {
    /// The log at `path`: a directory, or one file of it.
    pub(crate) fn find(path: &Path) -> Result<Self, AuditError> {
        let file = |path: &Path| {
            let name: Arc<str> =
                path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into()).into();
            let gzip = name.ends_with(GZIP);
            let opened = open(path).map_err(|source| opening(path, source))?;
            let content = if gzip {
                Content::Closed(path.to_owned(), true)
            } else {
                Content::Current(path.to_owned(), Arc::new(opened))
            };
            Ok(Volume { name, first: None, content })
        };
        if !path.is_dir() {
            return Ok(Self { files: vec![file(path)?] });
        }
        let current = path.join(place::FILE);
        let failed = |source| AuditError::Directory { path: path.to_owned(), source };
        loop {
            let last = file(&current)?;
            let Content::Current(_, opened) = &last.content else { continue };
            let stat = opened.metadata().map_err(failed)?;
            let identity = (stat.dev(), stat.ino());
            let names = names(path).map_err(failed)?;
            // Segments are only ever added by a rotation, and that changes what the name leads to.
            match fs::metadata(&current) {
                Ok(now) if (now.dev(), now.ino()) == identity => {}
                Ok(_) => continue,
                Err(source) => return Err(opening(&current, source)),
            }
            let mut files: Vec<Volume> = Vec::with_capacity(names.len() + 1);
            for Name { first, gzip, file } in names {
                let path = path.join(&file);
                // In the middle of a rotation, the current file has its later name already.
                let same = fs::metadata(&path).is_ok_and(|stat| (stat.dev(), stat.ino()) == identity);
                // Compressed and plain, sorted in this order: the plain one is removed last.
                let twice = files.last().is_some_and(|before| before.first == Some(first));
                if !same && !twice {
                    let content = Content::Closed(path, gzip);
                    files.push(Volume { name: file.into(), first: Some(first), content });
                }
            }
            files.push(last);
            return Ok(Self { files });
        }
    }
}

impl Volume {
    /// Its bytes from the beginning, decompressed.
    pub(crate) fn read(&self) -> Result<Box<dyn BufRead + Send>, AuditError> {
        let plain = |file: File| -> Box<dyn BufRead + Send> {
            Box::new(BufReader::with_capacity(bounds::READ_BUFFER, file))
        };
        Ok(match &self.content {
            Content::Memory(bytes, false) => Box::new(Cursor::new(Arc::clone(bytes))),
            Content::Memory(bytes, true) => gunzip(Cursor::new(Arc::clone(bytes))),
            // The path again: a handle of its own, with a position of its own.
            Content::Current(path, file) => plain(reopen(path, file)?),
            Content::Closed(path, true) => {
                gunzip(BufReader::new(open(path).map_err(|source| opening(path, source))?))
            }
            Content::Closed(path, false) => match open(path) {
                Ok(file) => plain(file),
                // It was compressed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let mut name = path.as_os_str().to_owned();
                    name.push(GZIP);
                    let path = PathBuf::from(name);
                    gunzip(BufReader::new(open(&path).map_err(|source| opening(&path, source))?))
                }
                Err(source) => return Err(opening(path, source)),
            },
        })
    }

    /// What an error of reading it says.
    pub(crate) fn failed(&self, source: io::Error) -> AuditError {
        AuditError::File { step: "read", path: self.path(), source }
    }

    pub(crate) fn path(&self) -> PathBuf {
        match &self.content {
            Content::Closed(path, _) | Content::Current(path, _) => path.clone(),
            Content::Memory(..) => PathBuf::from(&*self.name),
        }
    }
}

fn gunzip(input: impl BufRead + Send + 'static) -> Box<dyn BufRead + Send> {
    let bytes = ahead(MultiGzDecoder::new(input).take(bounds::SEGMENT_MOST));
    Box::new(BufReader::with_capacity(bounds::READ_BUFFER, bytes))
}

/// Opens a file to read.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // A fifo in its place must not hold the reader up.
    File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

/// The same open file with a position of its own.
fn reopen(path: &Path, file: &File) -> Result<File, AuditError> {
    use std::os::fd::AsRawFd;
    open(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd()))).map_err(|source| opening(path, source))
}

fn opening(path: &Path, source: io::Error) -> AuditError {
    AuditError::File { step: "open", path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_numbers_do_and_others_are_left_alone() {
        assert_eq!(Name::new(7, false).file, "audit-00000000000000000007.jsonl");
        assert_eq!(Name::parse("audit-00000000000000000007.jsonl.gz"), Some(Name::new(7, true)));
        assert_eq!(Name::parse("audit-18446744073709551615.jsonl").unwrap().first, u64::MAX);
        assert!(Name::new(9, true).file < Name::new(10, false).file);
        for other in [
            "audit.jsonl",
            "audit-7.jsonl",
            "audit-0000000000000000000x.jsonl",
            "audit-00000000000000000007.jsonl.part",
            "audit-+0000000000000000007.jsonl",
            "audit-99999999999999999999.jsonl",
            "audit-00000000000000000007.json.gz",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
