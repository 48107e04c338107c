//! `wasi:filesystem`. A directory is a name in the worker and nothing else; every name goes to the host, which
//! opens it. Files are read here, at native speed, by descriptors that can do nothing else; what is written goes
//! to the host, which counts it.

mod change;
mod directory;
mod link;
mod wit;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::{Errno, pread};
use stockade_ipc::{Entry, FileKind, Stat};
use stockade_policy::GuestPath;

pub(crate) use link::{preopens, types};
pub(crate) use wit::ErrorCode;

/// How many files can be open at once.
#[derive(Clone)]
pub(crate) struct Quota {
    token: Arc<()>,
    max: usize,
}

impl Quota {
    /// Descriptors that the worker needs for itself: three null devices, the socket, the artifact; and a few
    /// to spare.
    const RESERVED: usize = 8;

    /// For a worker that may receive files.
    pub(crate) fn from_limit() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let max = limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Self { token: Arc::new(()), max: max.saturating_sub(Self::RESERVED) }
    }

    /// For a worker whose filter lets no file in.
    pub(crate) fn none() -> Self {
        Self { token: Arc::new(()), max: 0 }
    }

    /// Whether the filter lets files in.
    pub(crate) fn receives(&self) -> bool {
        self.max > 0
    }

    fn is_used_up(&self) -> bool {
        Arc::strong_count(&self.token) > self.max
    }
}

/// A file that the host opened for reading.
pub(crate) struct OpenFile {
    fd: OwnedFd,
    _counted: Arc<()>,
}

impl OpenFile {
    fn new(fd: OwnedFd, of: &Quota) -> OpenFile {
        OpenFile { fd, _counted: of.token.clone() }
    }

    /// Up to `len` bytes from `position` on; none at the end.
    pub(crate) fn read_at(&self, len: u64, position: u64) -> Result<Vec<u8>, Errno> {
        // Longer files do not exist; pread(2) takes no offset that is negative as an `off_t`.
        if i64::try_from(position).is_err() {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        loop {
            match pread(&self.fd, &mut bytes, position) {
                Ok(count) => {
                    bytes.truncate(count);
                    return Ok(bytes);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A file that the host holds open for writing.
pub(crate) struct Writing {
    file: u32,
}

/// `descriptor`
pub(crate) enum Descriptor {
    /// A directory, by its whole guest path.
    Directory(GuestPath),
    /// A file, to read, to write or both, and what the host told of it when it was opened.
    File { file: Option<Arc<OpenFile>>, writing: Option<Arc<Writing>>, path: GuestPath, stat: Box<Stat> },
}

impl Descriptor {
    /// What it holds of a file that is open for writing.
    pub(crate) fn into_writing(self) -> Option<Arc<Writing>> {
        match self {
            Self::Directory(_) => None,
            Self::File { writing, .. } => writing,
        }
    }

    fn path(&self) -> &GuestPath {
        match self {
            Self::Directory(path) | Self::File { path, .. } => path,
        }
    }
}

/// What the last listing told of entries that nobody has asked for since: a C library asks for each of them, one
/// after the other.
#[derive(Default)]
pub(crate) struct Listed {
    directory: Option<GuestPath>,
    identities: BTreeMap<String, (u64, u64)>,
}

impl Listed {
    fn of(directory: &GuestPath, entries: &[Entry]) -> Listed {
        // What a link leads to is another question.
        let told = entries.iter().filter(|entry| entry.kind != FileKind::Symlink);
        let identities = told.filter_map(|entry| Some((entry.name.clone(), entry.identity?))).collect();
        Listed { directory: Some(directory.clone()), identities }
    }

    /// Tells each once: who asks again wants to know what is there now.
    fn take(&mut self, directory: &GuestPath, name: &str) -> Option<(u64, u64)> {
        self.identities.remove(name).filter(|_| self.directory.as_ref() == Some(directory))
    }
}

/// `directory-entry-stream`: what the last answer brought, and where to go on.
pub(crate) struct Listing {
    path: GuestPath,
    entries: std::vec::IntoIter<Entry>,
    next: Option<u64>,
}
