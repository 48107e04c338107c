use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg, OFlag};

use crate::AuditError;

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
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(&path)
            .map_err(|source| AuditError::File { step: "open", path: path.clone(), source })?;
        let stat = file.metadata().map_err(|source| AuditError::File {
            step: "stat",
            path: path.clone(),
            source,
        })?;
        guard(&path, &stat)?;
        if !stat.file_type().is_file() {
            return Err(AuditError::Exposed { path, problem: "is not a regular file" });
        }
        // A second name would be a way to the file that the directory's mode does not guard.
        if stat.nlink() > 1 {
            return Err(AuditError::Exposed { path, problem: "has a second name (hard link)" });
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
        directory.sync_all().map_err(failed)?;
        Ok(place)
    }

    /// Whether the path still leads to this file, this file is still as long as this process made it,
    /// and this process is still the one that opened it.
    pub(crate) fn still(&self, length: Option<u64>) -> Result<(), AuditError> {
        if std::process::id() != self.process {
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

    /// Makes changes of names in the directory durable.
    pub(crate) fn sync_names(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
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
