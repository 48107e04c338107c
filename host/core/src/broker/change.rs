//! `fs.write`, `fs.create`, `fs.delete`: changes are the host's own work. It holds every file that a worker has
//! open for writing and writes to it itself, so each byte is counted before it is there, and no worker ever
//! holds a descriptor that could write (docs/decisions/0016). Each change that is allowed leaves a record
//! before it is made; what is written to a file that is open does not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, StatxFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT,
    linkat, mkdirat, renameat_with, statat, statx, unlinkat, utimensat,
};
use rustix::io::{Errno, ReadWriteFlags, pwrite, pwritev2};
use rustix::process::{Resource, getrlimit};
use stockade_ipc::bounds::WRITABLE;
use stockade_ipc::{Answer, FileKind, FsError, Make, NewTime};
use stockade_policy::{Ask, Decision, GuestPath, decide, decide_naming, stands};

use super::fs::{Tree, again};
use super::{Broker, Reply, denied};
use crate::trail::{Trail, Unreachable, Unrecorded};

/// The files that one worker has open for writing, by the numbers that it knows them by.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles {
    files: BTreeMap<u32, Writable>,
    next: u32,
}

#[derive(Debug)]
struct Writable {
    file: File,
    path: GuestPath,
}

impl OpenFiles {
    /// Lets go of all of them.
    pub(crate) fn clear(&mut self) {
        self.files.clear();
    }

    fn keep(&mut self, file: OwnedFd, path: GuestPath) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.files.insert(self.next, Writable { file: file.into(), path });
        self.next
    }
}

/// By how much one plugin has made the granted directories grow, all its workers together.
#[derive(Debug)]
pub(crate) struct Growth {
    most_bytes: u64,
    most_files: u32,
    now: Mutex<Grown>,
}

#[derive(Debug, Default)]
struct Grown {
    bytes: u64,
    files: u32,
}

impl Growth {
    pub(crate) fn up_to(most_bytes: u64, most_files: u32) -> Growth {
        Growth { most_bytes, most_files, now: Mutex::default() }
    }

    /// Counts what is about to come; false where it would be too much.
    fn take(&self, bytes: u64, files: u32) -> bool {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = (now.bytes.saturating_add(bytes), now.files.saturating_add(files));
        let fits = (grown.0 <= self.most_bytes && grown.1 <= self.most_files) || !stands("fs.quota");
        if fits {
            (now.bytes, now.files) = grown;
        }
        fits
    }

    /// What went, or did not come after all. Never less than nothing: removing what was there before earns
    /// nobody a larger quota.
    fn give_back(&self, bytes: u64, files: u32) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.bytes = now.bytes.saturating_sub(bytes);
        now.files = now.files.saturating_sub(files);
    }
}

/// What may be done to an open file.
pub(super) enum Change<'a> {
    Write { at: Option<u64>, bytes: &'a [u8] },
    SetSize(u64),
    Stat,
    Sync,
    Close,
}

/// The directory that a path ends in, and its last name.
struct Place<'p> {
    directory: OwnedFd,
    name: &'p str,
}

fn failed(error: FsError) -> Result<Reply, Unrecorded> {
    Ok((Answer::FsFailed(error), None))
}

fn done() -> Result<Reply, Unrecorded> {
    Ok((Answer::FsDone, None))
}

fn told(error: Errno) -> FsError {
    match error {
        Errno::NOENT => FsError::NotFound,
        Errno::NOTDIR => FsError::NotDirectory,
        Errno::NAMETOOLONG => FsError::NameTooLong,
        Errno::EXIST => FsError::Exists,
        Errno::NOTEMPTY => FsError::NotEmpty,
        Errno::ISDIR => FsError::IsDirectory,
        Errno::XDEV => FsError::CrossDevice,
        Errno::INVAL => FsError::Invalid,
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => FsError::NoSpace,
        Errno::ROFS => FsError::ReadOnly,
        Errno::BUSY => FsError::Busy,
        _ => FsError::Io,
    }
}

/// What came of a change of a name. What the host itself may not do is a refusal, and recorded.
fn answered(
    error: Errno,
    (path, operation): (&GuestPath, &'static str),
    trail: &Trail,
) -> Result<Reply, Unrecorded> {
    if matches!(error, Errno::ACCESS | Errno::PERM) {
        trail.unreachable_path(operation, path, Unreachable::NOT_OURS)?;
        return denied();
    }
    failed(told(error))
}

/// Past this size a write would end this process with a signal.
fn own_limit() -> u64 {
    getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX).min(i64::MAX.cast_unsigned())
}

fn size(file: &impl AsFd) -> rustix::io::Result<u64> {
    statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::SIZE).map(|found| found.stx_size)
}

impl Broker {
    /// Decides a change and records it, whichever way it goes. None where it is refused.
    fn may(&self, ask: &Ask<'_>, trail: &Trail) -> Result<Option<()>, Unrecorded> {
        self.allowed(ask, trail)?.map(|rule| trail.allowed(ask, &rule)).transpose()
    }

    /// The place of a path that is to change: its directory, which links and mounts do not lead to. None where
    /// nothing is granted there, or the path is a granted directory itself.
    fn place<'p>(
        &self,
        path: &'p GuestPath,
        operation: &'static str,
        trail: &Trail,
    ) -> Result<Result<Place<'p>, Reply>, Unrecorded> {
        let Some((tree, below)) = self.tree(path) else {
            return Ok(Err((Answer::FsFailed(FsError::NotFound), None)));
        };
        if below.is_empty() {
            return Ok(Err((Answer::FsFailed(FsError::Busy), None)));
        }
        let (above, name) = below.rsplit_once('/').unwrap_or(("", below));
        let directory = tree.reach(above, OFlags::PATH | OFlags::DIRECTORY, (path, operation), trail)?;
        Ok(directory.map(|directory| Place { directory, name }))
    }

    pub(super) fn open_writable(
        &self,
        path: &GuestPath,
        (make, truncate, read): (Make, bool, bool),
        files: &mut OpenFiles,
        trail: &Trail,
    ) -> Result<Reply, Unrecorded> {
        if files.files.len() >= WRITABLE && stands("fs.writable-files") {
            trail.over_quota("fs.write", path, "the worker has too many files open for writing")?;
            return failed(FsError::Quota);
        }
        // Where neither is granted nothing is said of what is there.
        let (writes, makes) = (Ask::FsWrite { path }, Ask::FsCreate { path });
        let either = make != Make::Never && decide(&self.grants, &writes).is_allowed();
        if !either && self.allowed(if make == Make::Never { &writes } else { &makes }, trail)?.is_none() {
            return denied();
        }
        if read && self.allowed(&Ask::FsRead { path }, trail)?.is_none() {
            return denied();
        }
        let Some((tree, below)) = self.tree(path) else { return failed(FsError::NotFound) };
        // Twice: what is not there may be made by somebody else before we do.
        for _ in 0..2 {
            let opened = match tree.reach(below, OFlags::PATH, (path, "fs.write"), trail)? {
                Ok(found) => self.open_found(&found, path, make, truncate, trail)?,
                Err((Answer::FsFailed(FsError::NotFound), _)) if make != Make::Never => {
                    self.make_file(tree, below, path, trail)?
                }
                Err(reply) => return Ok(reply),
            };
            let file = match opened {
                Ok(file) => file,
                Err((Answer::FsFailed(FsError::Exists), _)) if make == Make::IfMissing => continue,
                Err(reply) => return Ok(reply),
            };
            let Ok(stat) = self.describe(&file) else { return failed(FsError::Io) };
            let reader = match read.then(|| again(&file, OFlags::RDONLY)).transpose() {
                Ok(reader) => reader,
                Err(error) => return failed(told(error)),
            };
            return Ok((Answer::FsWritable(files.keep(file, path.clone()), stat), reader));
        }
        failed(FsError::Io)
    }

    fn open_found(
        &self,
        found: &OwnedFd,
        path: &GuestPath,
        make: Make,
        truncate: bool,
        trail: &Trail,
    ) -> Result<Result<OwnedFd, Reply>, Unrecorded> {
        let no = |error| Ok(Err((Answer::FsFailed(error), None)));
        let refused = |why| -> Result<Result<OwnedFd, Reply>, Unrecorded> {
            trail.unreachable_path("fs.write", path, why)?;
            Ok(Err((Answer::Denied, None)))
        };
        let Ok(stat) = self.describe(found) else { return no(FsError::Io) };
        if make == Make::Always {
            return no(FsError::Exists);
        }
        match stat.kind {
            FileKind::File => {}
            FileKind::Directory => return no(FsError::IsDirectory),
            FileKind::Symlink | FileKind::Other => return refused(Unreachable::NO_FILE),
        }
        // Whoever runs it would run the plugin's bytes as somebody else.
        let mode =
            statx(found, "", AtFlags::EMPTY_PATH, StatxFlags::MODE).map_or(u16::MAX, |found| found.stx_mode);
        let runs_as_another = Mode::from_raw_mode(mode.into()).intersects(Mode::SUID | Mode::SGID);
        if runs_as_another && stands("fs.no-setuid") {
            return refused(Unreachable::RUNS_AS_ANOTHER);
        }
        if self.may(&Ask::FsWrite { path }, trail)?.is_none() {
            return Ok(Err((Answer::Denied, None)));
        }
        let file = match again(found, OFlags::WRONLY) {
            Ok(file) => file,
            Err(Errno::ACCESS | Errno::PERM) => return refused(Unreachable::NOT_OURS),
            Err(error) => return no(told(error)),
        };
        if truncate {
            let before = size(&file).unwrap_or(0);
            if let Err(error) = rustix::fs::ftruncate(&file, 0) {
                return no(told(error));
            }
            self.growth.give_back(before, 0);
        }
        Ok(Ok(file))
    }

    fn make_file(
        &self,
        tree: &Tree,
        below: &str,
        path: &GuestPath,
        trail: &Trail,
    ) -> Result<Result<OwnedFd, Reply>, Unrecorded> {
        const READABLE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::ROTH);
        if self.may(&Ask::FsCreate { path }, trail)?.is_none() {
            return Ok(Err((Answer::Denied, None)));
        }
        if !self.one_more(path, trail)? {
            return Ok(Err((Answer::FsFailed(FsError::Quota), None)));
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOCTTY;
        Ok(match tree.make(below, flags, READABLE) {
            Ok(file) => Ok(file),
            Err(error) => {
                self.growth.give_back(0, 1);
                Err(answered(error, (path, "fs.create"), trail)?)
            }
        })
    }

    pub(super) fn change(
        &self,
        number: u32,
        change: Change<'_>,
        files: &mut OpenFiles,
        trail: &Trail,
    ) -> Result<Reply, Unrecorded> {
        let Some(open) = files.files.get(&number) else {
            trail.unknown_file(number)?;
            return denied();
        };
        match change {
            Change::Write { at, bytes } => self.write(open, at, bytes, trail),
            Change::SetSize(to) => self.set_size(open, to, trail),
            Change::Stat => match self.describe(&open.file) {
                Ok(stat) => Ok((Answer::FsStat(stat), None)),
                Err(_) => failed(FsError::Io),
            },
            Change::Sync => match open.file.sync_all() {
                Ok(()) => done(),
                Err(_) => failed(FsError::Io),
            },
            Change::Close => {
                files.files.remove(&number);
                done()
            }
        }
    }

    /// Counts one file or directory more; false, and recorded, where that is too many.
    fn one_more(&self, path: &GuestPath, trail: &Trail) -> Result<bool, Unrecorded> {
        let fits = self.growth.take(0, 1);
        if !fits {
            trail.over_quota("fs.create", path, "the plugin has made as many files as it may")?;
        }
        Ok(fits)
    }

    /// Counts by how much a file grows from one size to another.
    fn grow(
        &self,
        path: &GuestPath,
        from: u64,
        to: u64,
        trail: &Trail,
    ) -> Result<Result<u64, FsError>, Unrecorded> {
        if to > own_limit() {
            return Ok(Err(FsError::NoSpace));
        }
        let growth = to.saturating_sub(from);
        if self.growth.take(growth, 0) {
            return Ok(Ok(growth));
        }
        trail.over_quota("fs.write", path, "the plugin has written as much as it may")?;
        Ok(Err(FsError::Quota))
    }

    fn write(
        &self,
        Writable { file, path }: &Writable,
        at: Option<u64>,
        bytes: &[u8],
        trail: &Trail,
    ) -> Result<Reply, Unrecorded> {
        let Ok(before) = size(file) else { return failed(FsError::Io) };
        let Some(end) = at.unwrap_or(before).checked_add(bytes.len() as u64) else {
            return failed(FsError::Invalid);
        };
        let growth = match self.grow(path, before, end, trail)? {
            Ok(growth) => growth,
            Err(error) => return failed(error),
        };
        let written = match at {
            Some(at) => pwrite(file, bytes, at),
            // At the end as it is when it is written, whoever else writes there.
            None => pwritev2(file, &[IoSlice::new(bytes)], u64::MAX, ReadWriteFlags::APPEND),
        };
        let missing = bytes.len() - written.unwrap_or(0);
        self.growth.give_back(growth.min(missing as u64), 0);
        match written {
            Ok(count) => Ok((Answer::FsWritten(count as u32), None)),
            Err(error) => failed(told(error)),
        }
    }

    fn set_size(
        &self,
        Writable { file, path }: &Writable,
        to: u64,
        trail: &Trail,
    ) -> Result<Reply, Unrecorded> {
        let Ok(before) = size(file) else { return failed(FsError::Io) };
        let growth = match self.grow(path, before, to, trail)? {
            Ok(growth) => growth,
            Err(error) => return failed(error),
        };
        match rustix::fs::ftruncate(file, to) {
            Ok(()) => {
                self.growth.give_back(before.saturating_sub(to), 0);
                done()
            }
            Err(error) => {
                self.growth.give_back(growth, 0);
                failed(told(error))
            }
        }
    }

    pub(super) fn set_times(
        &self,
        path: &GuestPath,
        [accessed, modified]: [NewTime; 2],
        trail: &Trail,
    ) -> Result<Reply, Unrecorded> {
        if self.may(&Ask::FsWrite { path }, trail)?.is_none() {
            return denied();
        }
        let Some((tree, below)) = self.tree(path) else { return failed(FsError::NotFound) };
        let found = match tree.reach(below, OFlags::PATH, (path, "fs.write"), trail)? {
            Ok(found) => found,
            Err(reply) => return Ok(reply),
        };
        let time = |time| match time {
            NewTime::Keep => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            NewTime::Now => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
            NewTime::At(seconds, nanoseconds) => {
                Timespec { tv_sec: seconds, tv_nsec: nanoseconds.min(999_999_999).into() }
            }
        };
        let times = Timestamps { last_access: time(accessed), last_modification: time(modified) };
        match utimensat(&found, "", &times, AtFlags::EMPTY_PATH) {
            Ok(()) => done(),
            Err(error) => answered(error, (path, "fs.write"), trail),
        }
    }

    pub(super) fn make_directory(&self, path: &GuestPath, trail: &Trail) -> Result<Reply, Unrecorded> {
        const OPEN: Mode = Mode::RWXU.union(Mode::RGRP).union(Mode::XGRP).union(Mode::ROTH).union(Mode::XOTH);
        if self.may(&Ask::FsCreate { path }, trail)?.is_none() {
            return denied();
        }
        let place = match self.place(path, "fs.create", trail)? {
            Ok(place) => place,
            Err(reply) => return Ok(reply),
        };
        if !self.one_more(path, trail)? {
            return failed(FsError::Quota);
        }
        match mkdirat(&place.directory, place.name, OPEN) {
            Ok(()) => done(),
            Err(error) => {
                self.growth.give_back(0, 1);
                answered(error, (path, "fs.create"), trail)
            }
        }
    }

    pub(super) fn remove(
        &self,
        path: &GuestPath,
        directory: bool,
        trail: &Trail,
    ) -> Result<Reply, Unrecorded> {
        if self.may(&Ask::FsDelete { path }, trail)?.is_none() {
            return denied();
        }
        let place = match self.place(path, "fs.delete", trail)? {
            Ok(place) => place,
            Err(reply) => return Ok(reply),
        };
        let (bytes, files) = place.holds();
        let how = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match unlinkat(&place.directory, place.name, how) {
            Ok(()) => {
                self.growth.give_back(bytes, files);
                done()
            }
            Err(error) => answered(error, (path, "fs.delete"), trail),
        }
    }

    /// Moves, or links.
    pub(super) fn name(
        &self,
        from: &GuestPath,
        to: &GuestPath,
        keep: bool,
        trail: &Trail,
    ) -> Result<Reply, Unrecorded> {
        if !keep && self.allowed(&Ask::FsDelete { path: from }, trail)?.is_none() {
            return denied();
        }
        if let Decision::Deny(denial) = decide_naming(&self.grants, from, to)
            && stands("broker.decide")
        {
            trail.denied(&Ask::FsCreate { path: to }, &denial)?;
            return denied();
        }
        // What replaces something removes it.
        let replaces = !keep && decide(&self.grants, &Ask::FsDelete { path: to }).is_allowed();
        if !keep && self.may(&Ask::FsDelete { path: from }, trail)?.is_none() {
            return denied();
        }
        if self.may(&Ask::FsCreate { path: to }, trail)?.is_none() {
            return denied();
        }
        let (old, new) = match (self.place(from, "fs.delete", trail)?, self.place(to, "fs.create", trail)?) {
            (Ok(old), Ok(new)) => (old, new),
            (Err(reply), _) | (_, Err(reply)) => return Ok(reply),
        };
        let result = if keep {
            if !self.one_more(to, trail)? {
                return failed(FsError::Quota);
            }
            let linked = old
                .is_file()
                .and_then(|()| linkat(&old.directory, old.name, &new.directory, new.name, AtFlags::empty()));
            if linked.is_err() {
                self.growth.give_back(0, 1);
            }
            linked
        } else {
            let (bytes, files) = if replaces { new.holds() } else { (0, 0) };
            let flags = if replaces { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
            let moved = renameat_with(&old.directory, old.name, &new.directory, new.name, flags);
            if moved.is_ok() {
                self.growth.give_back(bytes, files);
            }
            moved
        };
        match result {
            Ok(()) => done(),
            Err(error) => answered(error, (to, "fs.create"), trail),
        }
    }
}

impl Place<'_> {
    fn stat(&self) -> rustix::io::Result<rustix::fs::Stat> {
        statat(&self.directory, self.name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// What goes with the name: the bytes of a file that has no other, and one name.
    fn holds(&self) -> (u64, u32) {
        match self.stat() {
            Ok(found) if FileType::from_raw_mode(found.st_mode).is_file() && found.st_nlink == 1 => {
                (found.st_size.unsigned_abs(), 1)
            }
            Ok(_) => (0, 1),
            Err(_) => (0, 0),
        }
    }

    /// Links are made to files alone: to a link it would be followed by others.
    fn is_file(&self) -> rustix::io::Result<()> {
        let found = self.stat()?;
        if FileType::from_raw_mode(found.st_mode).is_file() { Ok(()) } else { Err(Errno::INVAL) }
    }
}
