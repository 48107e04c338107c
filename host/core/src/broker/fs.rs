//! `fs`: names are the host's business. It opens below a tree that it holds open, following no link and
//! crossing no mount, and hands the worker a descriptor that can only read.

use std::hash::BuildHasher;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, SeekFrom, StatxFlags, open, openat2, seek, statx,
};
use rustix::io::Errno;
use stockade_ipc::bounds::ENTRIES;
use stockade_ipc::{Answer, Entry, FileKind, FsError, Stat};
use stockade_policy::{GuestPath, stands};

use super::{Broker, Reply, denied};
use crate::trail::{Trail, Unreachable, Unrecorded};

/// A directory tree that a plugin may use.
#[derive(Debug)]
pub(crate) struct Tree {
    root: GuestPath,
    directory: OwnedFd,
}

/// No way out of the tree, by name, link or mount (Linux 5.6, `openat2(2)`).
const INSIDE: [(&str, ResolveFlags); 4] = [
    ("fs.beneath", ResolveFlags::BENEATH),
    ("fs.no-magic-links", ResolveFlags::NO_MAGICLINKS),
    ("fs.no-links", ResolveFlags::NO_SYMLINKS),
    ("fs.no-mounts", ResolveFlags::NO_XDEV),
];

impl Tree {
    /// Opens the directory that stands at `root` in the guest's view.
    pub(crate) fn open(root: GuestPath, directory: &Path) -> io::Result<Tree> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Tree { root, directory: open(directory, flags, Mode::empty())? })
    }

    fn resolve(&self, below: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.make(below, flags, Mode::empty())
    }

    /// Opens or, if the flags say so, makes what is at a path below.
    pub(super) fn make(&self, below: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let name = if below.is_empty() { "." } else { below };
        let inside = INSIDE.iter().filter(|rule| stands(rule.0)).map(|rule| rule.1).collect();
        openat2(&self.directory, name, flags | OFlags::CLOEXEC, mode, inside)
    }

    /// What is at `below`, on the way to the whole path for an operation.
    pub(super) fn reach(
        &self,
        below: &str,
        flags: OFlags,
        (path, operation): (&GuestPath, &'static str),
        trail: &Trail,
    ) -> Result<Result<OwnedFd, Reply>, Unrecorded> {
        let failed = |error| Ok(Err((Answer::FsFailed(error), None)));
        match self.resolve(below, flags) {
            Ok(fd) => Ok(Ok(fd)),
            Err(Errno::NOENT) => failed(FsError::NotFound),
            Err(Errno::NOTDIR) => failed(FsError::NotDirectory),
            Err(Errno::NAMETOOLONG) => failed(FsError::NameTooLong),
            Err(error @ (Errno::LOOP | Errno::XDEV | Errno::ACCESS | Errno::PERM)) => {
                let why = match error {
                    Errno::LOOP => Unreachable::LINK,
                    Errno::XDEV => Unreachable::OUTSIDE,
                    _ => Unreachable::NOT_OURS,
                };
                trail.unreachable_path(operation, path, why)?;
                Ok(Err((Answer::Denied, None)))
            }
            Err(_) => failed(FsError::Io),
        }
    }
}

impl Broker {
    /// The tree whose root is nearest above the path, and the rest of the path.
    pub(super) fn tree<'p>(&self, path: &'p GuestPath) -> Option<(&Tree, &'p str)> {
        self.trees
            .iter()
            .filter_map(|tree| Some((tree, path.below(&tree.root)?)))
            .min_by_key(|(_, below)| below.len())
    }

    fn resolve(
        &self,
        path: &GuestPath,
        flags: OFlags,
        trail: &Trail,
    ) -> Result<Result<OwnedFd, Reply>, Unrecorded> {
        // Granted, but no directory stands there: the plugin sees an empty place.
        let Some((tree, below)) = self.tree(path) else {
            return Ok(Err((Answer::FsFailed(FsError::NotFound), None)));
        };
        tree.reach(below, flags, (path, "fs.read"), trail)
    }

    pub(super) fn open(&self, path: &GuestPath, trail: &Trail) -> Result<Reply, Unrecorded> {
        // O_PATH first: opening a FIFO waits and opening a device acts, looking at either does not.
        let found = match self.resolve(path, OFlags::PATH, trail)? {
            Ok(found) => found,
            Err(reply) => return Ok(reply),
        };
        let stat = match self.describe(&found) {
            Ok(stat) => stat,
            Err(_) => return Ok((Answer::FsFailed(FsError::Io), None)),
        };
        match stat.kind {
            FileKind::Directory => Ok((Answer::FsOpened(stat), None)),
            FileKind::Other if !stands("fs.files-only") => self.reopen(&found, stat, path, trail),
            FileKind::File => self.reopen(&found, stat, path, trail),
            FileKind::Symlink | FileKind::Other => {
                trail.unreachable_path("fs.read", path, Unreachable::NO_FILE)?;
                denied()
            }
        }
    }

    /// The very file that was looked at, through our own descriptor of it.
    fn reopen(
        &self,
        found: &OwnedFd,
        stat: Stat,
        path: &GuestPath,
        trail: &Trail,
    ) -> Result<Reply, Unrecorded> {
        let access = if stands("fs.read-only") { OFlags::RDONLY } else { OFlags::RDWR };
        match again(found, access) {
            Ok(file) => Ok((Answer::FsOpened(stat), Some(file))),
            Err(Errno::ACCESS | Errno::PERM) => {
                trail.unreachable_path("fs.read", path, Unreachable::NOT_OURS)?;
                denied()
            }
            Err(_) => Ok((Answer::FsFailed(FsError::Io), None)),
        }
    }

    pub(super) fn stat(&self, path: &GuestPath, trail: &Trail) -> Result<Reply, Unrecorded> {
        Ok(match self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW, trail)? {
            Ok(found) => match self.describe(&found) {
                Ok(stat) => (Answer::FsStat(stat), None),
                Err(_) => (Answer::FsFailed(FsError::Io), None),
            },
            Err(reply) => reply,
        })
    }

    pub(super) fn list(&self, path: &GuestPath, after: u64, trail: &Trail) -> Result<Reply, Unrecorded> {
        let directory = match self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY, trail)? {
            Ok(directory) => directory,
            Err(reply) => return Ok(reply),
        };
        Ok(match self.entries(&directory, after) {
            Ok((entries, next)) => (Answer::FsEntries { entries, next }, None),
            Err(_) => (Answer::FsFailed(FsError::Io), None),
        })
    }

    pub(super) fn describe(&self, file: &impl AsFd) -> rustix::io::Result<Stat> {
        let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
        let time = |t: rustix::fs::StatxTimestamp| (t.tv_sec, t.tv_nsec);
        let device = (found.stx_dev_major, found.stx_dev_minor);
        Ok(Stat {
            kind: kind(FileType::from_raw_mode(found.stx_mode.into())),
            size: found.stx_size,
            links: found.stx_nlink.into(),
            accessed: time(found.stx_atime),
            modified: time(found.stx_mtime),
            changed: time(found.stx_ctime),
            identity: self.identity(device, found.stx_ino),
        })
    }

    fn identity(&self, device: (u32, u32), inode: u64) -> (u64, u64) {
        (self.identity.hash_one((0_u8, device, inode)), self.identity.hash_one((1_u8, device, inode)))
    }

    /// Up to [`ENTRIES`] entries from a position on, and the position behind them. With what tells them apart: the C
    /// library of a guest wants it of each, and an ask for each would take longer than reading the file.
    fn entries(&self, directory: &OwnedFd, after: u64) -> rustix::io::Result<(Vec<Entry>, Option<u64>)> {
        if after != 0 {
            seek(directory, SeekFrom::Start(after))?;
        }
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut listing = RawDir::new(directory, &mut buffer);
        let mut entries = Vec::new();
        while let Some(entry) = listing.next() {
            let entry = entry?;
            // A name that is not UTF-8 cannot be said in WIT.
            if let Ok(name) = std::str::from_utf8(entry.file_name().to_bytes())
                && !matches!(name, "." | "..")
            {
                let look = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
                let identity = statx(directory, entry.file_name(), look, StatxFlags::INO)
                    .map(|found| self.identity((found.stx_dev_major, found.stx_dev_minor), found.stx_ino));
                entries.push(Entry {
                    name: name.to_owned(),
                    kind: kind(entry.file_type()),
                    identity: identity.ok(),
                });
            }
            if entries.len() == ENTRIES {
                return Ok((entries, Some(entry.next_entry_cookie())));
            }
        }
        Ok((entries, None))
    }
}

/// A descriptor of the very file behind another one.
pub(super) fn again(found: &OwnedFd, access: OFlags) -> rustix::io::Result<OwnedFd> {
    let this = format!("/proc/self/fd/{}", found.as_raw_fd());
    open(this, access | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK, Mode::empty())
}

fn kind(of: FileType) -> FileKind {
    match of {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        _ => FileKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use stockade_audit::{Log, Plugin};
    use stockade_policy::Grants;

    use super::super::{Growth, Http};
    use super::*;

    fn below(directory: &Path, name: &str) -> rustix::io::Result<OwnedFd> {
        Tree::open(GuestPath::root(), directory).unwrap().resolve(name, OFlags::RDONLY)
    }

    #[test]
    fn b19_a_link_is_followed_nowhere() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(tree.path().join("file"), "x").unwrap();
        symlink("file", tree.path().join("link")).unwrap();
        below(tree.path(), "file").expect("the file itself opens");
        assert_eq!(below(tree.path(), "link").unwrap_err(), Errno::LOOP);
    }

    #[test]
    fn b19_a_link_out_of_the_tree_leads_nowhere() {
        let tree = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", tree.path().join("link")).unwrap();
        assert!(below(tree.path(), "link").is_err());
    }

    #[test]
    fn b19_a_link_of_the_kernels_own_leads_nowhere() {
        let file = tempfile::tempfile().unwrap();
        assert!(below(Path::new("/proc/self/fd"), &file.as_raw_fd().to_string()).is_err());
    }

    #[test]
    fn b19_a_mount_is_not_crossed() {
        below(Path::new("/proc"), "version").expect("it opens where it stands");
        assert_eq!(below(Path::new("/"), "proc/version").unwrap_err(), Errno::XDEV);
    }

    #[test]
    fn b19_what_is_handed_out_reads_only() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(tree.path().join("file"), "x").unwrap();
        let trees = vec![Tree::open(GuestPath::root(), tree.path()).unwrap()];
        let broker =
            Broker::new(Grants::none(), trees, Default::default(), Growth::up_to(0, 0), Http::none());
        let log = Arc::new(Log::open(tree.path().join("audit")).unwrap());
        let trail = Trail::new(log, Plugin::new("p", "0", "0", "node").shared(), "1".into());
        let path = GuestPath::parse("/file").unwrap();
        let (_, file) = broker.open(&path, &trail).unwrap();
        let flags = OFlag::from_bits_retain(fcntl(file.unwrap(), FcntlArg::F_GETFL).unwrap());
        assert_eq!(flags & OFlag::O_ACCMODE, OFlag::O_RDONLY);
    }
}
