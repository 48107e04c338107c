//! Opening a plugin's files. The folder's contents are hostile: a manifest that is a link to a key of
//! the operator's would come back in an error message, a component that is a pipe would hang the host.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, open, openat, openat2};
use rustix::io::Errno;

use crate::PackageError;

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A plugin's folder; everything in it is opened below it.
pub(crate) struct Folder(OwnedFd);

fn unreadable(path: &Path, errno: Errno) -> PackageError {
    PackageError::Unreadable { path: path.to_owned(), source: io::Error::from(errno) }
}

/// What stands at a path that the operator named.
pub(crate) enum Entry {
    Folder(Folder),
    File(File),
}

pub(crate) fn entry(path: &Path) -> Result<Entry, PackageError> {
    match openat(CWD, path, FLAGS | OFlags::DIRECTORY, Mode::empty()) {
        Ok(fd) => return Ok(Entry::Folder(Folder(fd))),
        Err(Errno::NOTDIR) => {}
        Err(Errno::NOENT) => return Err(PackageError::NotFound { path: path.to_owned() }),
        Err(errno) => return Err(unreadable(path, errno)),
    }
    match open(path, FLAGS, Mode::empty()) {
        Ok(fd) => Ok(Entry::File(fd.into())),
        Err(Errno::NOENT | Errno::NOTDIR) => Err(PackageError::NotFound { path: path.to_owned() }),
        Err(errno) => Err(unreadable(path, errno)),
    }
}

impl Folder {
    /// Opens a file below the folder; none where there is none.
    pub(crate) fn file(&self, relative: &str) -> Result<Option<File>, PackageError> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match openat2(&self.0, relative, FLAGS, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(fd.into())),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(Errno::XDEV | Errno::LOOP) => Err(PackageError::Outside { path: relative.to_owned() }),
            Err(errno) => Err(unreadable(Path::new(relative), errno)),
        }
    }
}

/// The whole of a regular file, at most `max` bytes of it.
pub(crate) fn read(file: File, path: &Path, max: u64) -> Result<Vec<u8>, PackageError> {
    let unreadable = |source| PackageError::Unreadable { path: path.to_owned(), source };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(PackageError::NotAFile { path: path.to_owned() });
    }
    let too_large = || PackageError::TooLarge { path: path.to_owned(), max };
    if metadata.len() > max {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default() + 1);
    // The file can grow between the two; the cap holds all the same.
    file.take(max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > max { Err(too_large()) } else { Ok(bytes) }
}

/// Writes a file, whole or not at all: half of one would stand for what was there before.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), PackageError> {
    let failed = |source: io::Error| PackageError::Unwritable { path: path.to_owned(), source };
    let mut half = path.as_os_str().to_owned();
    half.push(format!(".{}", std::process::id()));
    let half = PathBuf::from(half);
    let mut options = OpenOptions::new();
    let written = options.write(true).create_new(true).mode(0o644).open(&half).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&half, path)?;
        File::open(path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new(".")))?
            .sync_all()
    });
    written.map_err(|error| {
        let _ = fs::remove_file(&half);
        failed(error)
    })
}
