//! Names below a directory: resolved and decided here, looked at by the host.

use std::sync::Arc;

use stockade_ipc::{Answer, FileKind, Stat};
use stockade_policy::{Ask, GuestPath, PathError, Rule};
use wasmtime::component::Resource;

use super::wit::{DescriptorFlags, DirectoryEntry, ErrorCode, OpenFlags, PathFlags};
use super::{Descriptor, Listed, Listing, OpenFile};
use crate::state::State;

/// A trap outside, what the guest is told inside.
pub(super) type Told<T> = wasmtime::Result<Result<T, ErrorCode>>;

/// A descriptor, as a guest names it.
pub(super) type Handle = Resource<Descriptor>;

impl State {
    /// The whole path of `name` below a directory.
    pub(super) fn resolve(
        &mut self,
        directory: &Handle,
        name: &str,
        operation: &'static str,
    ) -> Told<GuestPath> {
        let Descriptor::Directory(base) = self.table.get(directory)? else {
            return Ok(Err(ErrorCode::NotDirectory));
        };
        match base.resolve(name) {
            Ok(path) => Ok(Ok(path)),
            Err(error) => {
                if error == PathError::Escapes {
                    let resource = format!("{base}: {name}");
                    self.refused(operation, &resource, Rule::built_in("guest-path"), &error.to_string());
                }
                Ok(Err(error.into()))
            }
        }
    }

    fn readable(&mut self, directory: &Handle, name: &str) -> Told<GuestPath> {
        let path = match self.resolve(directory, name, "fs.read")? {
            Ok(path) => path,
            Err(error) => return Ok(Err(error)),
        };
        let decided = self.decide(&Ask::FsRead { path: &path });
        Ok(decided.map(|()| path).map_err(|_| ErrorCode::Access))
    }

    /// What is at a path that the grants cover.
    fn look(&mut self, path: &GuestPath) -> Result<Stat, ErrorCode> {
        match self.ask(stockade_ipc::Ask::FsStat { path: path.as_str().to_owned() }).0 {
            Answer::FsStat(stat) => Ok(stat),
            other => Err(other.into()),
        }
    }

    pub(super) fn stat(&mut self, descriptor: &Handle) -> Told<Stat> {
        Ok(match self.table.get(descriptor)? {
            Descriptor::File { writing: Some(writing), .. } => {
                let writing = Arc::clone(writing);
                self.stat_open(&writing)
            }
            Descriptor::File { stat, .. } => Ok(**stat),
            Descriptor::Directory(path) => {
                let path = path.clone();
                self.look(&path)
            }
        })
    }

    pub(super) fn stat_at(&mut self, directory: &Handle, flags: PathFlags, name: &str) -> Told<Stat> {
        let path = match self.readable(directory, name)? {
            Ok(path) => path,
            Err(error) => return Ok(Err(error)),
        };
        let stat = self.look(&path);
        if let Ok(Stat { kind: FileKind::Symlink, .. }) = stat
            && flags & PathFlags::SYMLINK_FOLLOW != PathFlags::default()
        {
            self.no_link(&path);
            return Ok(Err(ErrorCode::Access));
        }
        Ok(stat)
    }

    pub(super) fn identity_at(
        &mut self,
        directory: &Handle,
        flags: PathFlags,
        name: &str,
    ) -> Told<(u64, u64)> {
        if let Descriptor::Directory(path) = self.table.get(directory)?
            && let Some(identity) = self.listed.take(path, name)
        {
            return Ok(Ok(identity));
        }
        Ok(self.stat_at(directory, flags, name)?.map(|stat| stat.identity))
    }

    /// Leaves a record: links could lead anywhere, so none is followed or read.
    fn no_link(&mut self, path: &GuestPath) {
        let reason = "symbolic links are not followed";
        self.refused("fs.read", path.as_str(), Rule::built_in("fs.beneath"), reason);
    }

    pub(super) fn read_link(&mut self, directory: &Handle, name: &str) -> Told<String> {
        Ok(match self.readable(directory, name)? {
            Ok(path) => {
                self.no_link(&path);
                Err(ErrorCode::Access)
            }
            Err(error) => Err(error),
        })
    }

    pub(super) fn open_at(
        &mut self,
        directory: &Handle,
        name: &str,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Told<Handle> {
        let changes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
        if open & changes != OpenFlags::default()
            || flags & DescriptorFlags::WRITE != DescriptorFlags::default()
        {
            return self.open_writable(directory, name, open, flags);
        }
        let path = match self.readable(directory, name)? {
            Ok(path) => path,
            Err(error) => return Ok(Err(error)),
        };
        let descriptor = match self.open(path) {
            Ok(Descriptor::File { .. }) if open & OpenFlags::DIRECTORY != OpenFlags::default() => {
                return Ok(Err(ErrorCode::NotDirectory));
            }
            Ok(descriptor) => descriptor,
            Err(error) => return Ok(Err(error)),
        };
        Ok(Ok(self.table.push(descriptor)?))
    }

    fn open(&mut self, path: GuestPath) -> Result<Descriptor, ErrorCode> {
        if !self.files.receives() {
            return Err(ErrorCode::Access);
        }
        // A descriptor that finds no free number is lost on its way, and the message with it.
        if self.files.is_used_up() {
            return Err(ErrorCode::Quota);
        }
        match self.ask(stockade_ipc::Ask::FsOpen { path: path.as_str().to_owned() }) {
            (Answer::FsOpened(Stat { kind: FileKind::Directory, .. }), _) => Ok(Descriptor::Directory(path)),
            (Answer::FsOpened(stat), Some(fd)) => {
                let file = Some(Arc::new(OpenFile::new(fd, &self.files)));
                Ok(Descriptor::File { file, writing: None, path, stat: Box::new(stat) })
            }
            (other, _) => Err(other.into()),
        }
    }

    pub(super) fn list(&mut self, directory: &Handle) -> Told<Resource<Listing>> {
        let Descriptor::Directory(path) = self.table.get(directory)? else {
            return Ok(Err(ErrorCode::NotDirectory));
        };
        let path = path.clone();
        let mut listing = Listing { path, entries: Vec::new().into_iter(), next: Some(0) };
        // Asked at once, so that what is wrong with the directory shows here.
        Ok(match self.more(&mut listing) {
            Ok(()) => Ok(self.table.push(listing)?),
            Err(error) => Err(error),
        })
    }

    fn more(&mut self, listing: &mut Listing) -> Result<(), ErrorCode> {
        let Some(after) = listing.next.take() else { return Ok(()) };
        let path = listing.path.as_str().to_owned();
        match self.ask(stockade_ipc::Ask::FsList { path, after }).0 {
            Answer::FsEntries { entries, next } => {
                self.listed = Listed::of(&listing.path, &entries);
                (listing.entries, listing.next) = (entries.into_iter(), next);
                Ok(())
            }
            other => Err(other.into()),
        }
    }

    pub(super) fn next_entry(&mut self, listing: &Resource<Listing>) -> Told<Option<DirectoryEntry>> {
        loop {
            let now = self.table.get_mut(listing)?;
            if let Some(entry) = now.entries.next() {
                return Ok(Ok(Some(DirectoryEntry { kind: entry.kind.into(), name: entry.name })));
            }
            if now.next.is_none() {
                return Ok(Ok(None));
            }
            let empty = Vec::new().into_iter();
            let mut taken = Listing { path: now.path.clone(), entries: empty, next: now.next.take() };
            if let Err(error) = self.more(&mut taken) {
                return Ok(Err(error));
            }
            *self.table.get_mut(listing)? = taken;
        }
    }
}
