use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg, OFlag};

use crate::segments::{self, NEXT};
use crate::{AuditError, disk};

/// The name of the log within its directory.
pub(crate) const FILE: &str = "audit.jsonl";

/// Where a log is: its directory and file, opened and locked, and what tells whether they still are.
pub(crate) struct Place {
    pub(crate) file: Flock<File>,
    pub(crate) dir: PathBuf,
    pub(crate) path: PathBuf,
    /// Whether the file was there before.
    pub(crate) existed: bool,
    identity: (u64, u64),
    process: u32,
}

impl Place {
    /// Opens or makes the file in `dir`, for this process alone.
    pub(crate) fn open(dir: &Path) -> Result<Self, AuditError> {
        let failed = |source| AuditError::Directory { path: dir.to_owned(), source };
        // Absolute, so that the later look at the path does not depend on the working directory.
        let dir = &std::path::absolute(dir).map_err(failed)?;
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let directory = File::options()
            .read(true)
            .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits())
            .open(dir)
            .map_err(failed)?;
        guard(dir, &directory.metadata().map_err(failed)?)?;

        let path = dir.join(FILE);
        let existed = fs::symlink_metadata(&path).is_ok();
        let segments = segments::names(dir).map_err(failed)?;
        // No crash leaves segments without the file that goes on after them.
        if !existed && !segments.is_empty() {
            return Err(AuditError::Replaced { path, change: "deleted or moved away" });
        }
        let opened = if existed {
            File::options()
                .read(true)
                .append(true)
                .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
                .open(&path)
        } else {
            disk::create(&path)
        };
        let file = opened.map_err(|source| AuditError::File { step: "open", path: path.clone(), source })?;
        let stat = file.metadata().map_err(|source| AuditError::File {
            step: "stat",
            path: path.clone(),
            source,
        })?;
        guard(&path, &stat)?;
        if !stat.file_type().is_file() {
            return Err(AuditError::Exposed { path, problem: "is not a regular file" });
        }
        let identity = (stat.dev(), stat.ino());
        let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((_, nix::Error::EWOULDBLOCK)) => {
                return Err(AuditError::Locked { pid: holder(identity), path });
            }
            Err((_, errno)) => return Err(AuditError::File { step: "lock", path, source: errno.into() }),
        };
        let place = Self { file, dir: dir.clone(), path, existed, identity, process: std::process::id() };
        // Between open and lock the last writer may have been replaced together with its file.
        place.still(None)?;
        place.undo_rotation(&segments)?;
        let names = place.file.metadata().map_err(failed)?.nlink();
        // A second name would be a way to the file that the directory's mode does not guard.
        if names > 1 {
            return Err(AuditError::Exposed { path: place.path, problem: "has a second name (hard link)" });
        }
        disk::sync_names(dir).map_err(failed)?;
        Ok(place)
    }

    /// Whether the path still leads to this file, this file is still as long as this process made it,
    /// and this process is still the one that opened it.
    pub(crate) fn still(&self, length: Option<u64>) -> Result<(), AuditError> {
        if !self.is_ours() {
            return Err(AuditError::Forked);
        }
        let replaced = |change| Err(AuditError::Replaced { path: self.path.clone(), change });
        let stat = match fs::symlink_metadata(&self.path) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return replaced("deleted or moved away");
            }
            Err(source) => {
                return Err(AuditError::File { step: "stat", path: self.path.clone(), source });
            }
        };
        if (stat.dev(), stat.ino()) != self.identity {
            return replaced("replaced");
        }
        match length {
            Some(length) if stat.size() < length => replaced("truncated"),
            Some(length) if stat.size() > length => replaced("written to"),
            _ => Ok(()),
        }
    }

    /// Takes back what a rotation that was interrupted has left: the file's name as a segment, given before
    /// its own name went to the next file, and that next file, in which nothing is that anybody relies on.
    fn undo_rotation(&self, segments: &[segments::Name]) -> Result<(), AuditError> {
        let undo = || {
            for segment in segments {
                let path = self.dir.join(&segment.file);
                let stat = fs::symlink_metadata(&path)?;
                if (stat.dev(), stat.ino()) == self.identity {
                    disk::remove(&path)?;
                }
            }
            disk::remove_if_there(&self.dir.join(NEXT))
        };
        undo().map_err(|source| AuditError::Directory { path: self.dir.clone(), source })
    }

    /// Goes on with `next`, which has taken the file's name.
    pub(crate) fn follow(&mut self, next: Flock<File>) -> io::Result<()> {
        let stat = next.metadata()?;
        self.identity = (stat.dev(), stat.ino());
        self.file = next;
        Ok(())
    }

    /// Makes changes of names in the directory durable.
    pub(crate) fn sync_names(&self) -> io::Result<()> {
        disk::sync_names(&self.dir)
    }

    /// Whether this process is the one that opened it.
    pub(crate) fn is_ours(&self) -> bool {
        std::process::id() == self.process
    }
}

/// Reads a small file of the log's directory: no link, nobody else's, and without these rights of others.
pub(crate) fn read_own(path: &Path, most: usize, others: u32) -> io::Result<Option<Vec<u8>>> {
    let file =
        File::options().read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(path);
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let stat = file.metadata()?;
    let own = stat.is_file() && stat.uid() == nix::unistd::geteuid().as_raw() && stat.mode() & others == 0;
    if !own {
        let problem = "it is not a file of this user alone";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    }
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than such a file can be"));
    }
    Ok(Some(bytes))
}

/// Refuses what others could change. Reading is the auditors' group's right.
fn guard(path: &Path, stat: &fs::Metadata) -> Result<(), AuditError> {
    let exposed = |problem| Err(AuditError::Exposed { path: path.to_owned(), problem });
    if stat.uid() != nix::unistd::geteuid().as_raw() {
        return exposed("belongs to another user");
    }
    if stat.mode() & 0o022 != 0 {
        return exposed("can be written by its group or by everyone");
    }
    Ok(())
}

/// The process that holds the lock, from `/proc/locks` (proc(5)): `1: FLOCK ADVISORY WRITE PID MAJ:MIN:INODE`.
/// The inode alone is compared: on overlay and btrfs the device there is not the one that stat gives.
fn holder((_, inode): (u64, u64)) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        if words.next() != Some("FLOCK") {
            return None;
        }
        let pid = words.nth(2)?;
        let held: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
        // 0 is a process of another pid namespace.
        (held == inode).then(|| pid.parse().ok().filter(|pid| *pid != 0))?
    })
}
