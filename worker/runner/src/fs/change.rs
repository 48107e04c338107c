//! Changes: decided here, made by the host, which holds the files that are open for writing.

use std::sync::Arc;

use stockade_ipc::bounds::WRITE;
use stockade_ipc::{Answer, Bytes, Make, NewTime, Stat};
use stockade_policy::{Ask, Capability, Decision, GuestPath, Rule, decide, decide_naming, stands};

use super::directory::{Handle, Told};
use super::wit::{DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags};
use super::{Descriptor, OpenFile, Writing};
use crate::state::State;

impl State {
    /// The whole path of `name` below a directory, for a change that `ask` stands for.
    fn changing(
        &mut self,
        directory: &Handle,
        name: &str,
        ask: impl for<'p> FnOnce(&'p GuestPath) -> Ask<'p>,
    ) -> Told<GuestPath> {
        let path = match self.resolve(directory, name, "fs.write")? {
            Ok(path) => path,
            Err(error) => return Ok(Err(error)),
        };
        let decided = self.decide(&ask(&path));
        Ok(decided.map_err(|_| self.no_change()).map(|()| path))
    }

    /// What a guest is told: a file system that nothing can change, or a file that it cannot.
    fn no_change(&self) -> ErrorCode {
        let any = [Capability::FsWrite, Capability::FsCreate, Capability::FsDelete];
        if any.iter().any(|capability| self.grants.has(*capability)) {
            ErrorCode::Access
        } else {
            ErrorCode::ReadOnly
        }
    }

    pub(super) fn directory_flags(&self) -> DescriptorFlags {
        let any = [Capability::FsCreate, Capability::FsDelete];
        match any.iter().any(|capability| self.grants.has(*capability)) {
            true => DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY,
            false => DescriptorFlags::READ,
        }
    }

    /// The host's answer to a change.
    fn changed(&mut self, ask: stockade_ipc::Ask) -> Result<(), ErrorCode> {
        match self.ask(ask).0 {
            Answer::FsDone => Ok(()),
            other => Err(other.into()),
        }
    }

    /// Opens a file for writing, perhaps one that is not there yet.
    pub(super) fn open_writable(
        &mut self,
        directory: &Handle,
        name: &str,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Told<Handle> {
        let has = |flag| open & flag != OpenFlags::default();
        let (create, exclusive) = (has(OpenFlags::CREATE), has(OpenFlags::EXCLUSIVE));
        let read = flags & DescriptorFlags::READ != DescriptorFlags::default();
        let path = match self.resolve(directory, name, "fs.write")? {
            Ok(path) => path,
            Err(error) => return Ok(Err(error)),
        };
        if has(OpenFlags::DIRECTORY) {
            return Ok(Err(if create { ErrorCode::Invalid } else { ErrorCode::IsDirectory }));
        }
        // What is there has to be writable, and what is not, makeable: the host knows which it is.
        let writes = || Ask::FsWrite { path: &path };
        let makes = || Ask::FsCreate { path: &path };
        let either = create && decide(&self.grants, &writes()).is_allowed();
        let asked = if create { makes() } else { writes() };
        if !either && self.decide(&asked).is_err() {
            return Ok(Err(self.no_change()));
        }
        if read && self.decide(&Ask::FsRead { path: &path }).is_err() {
            return Ok(Err(ErrorCode::Access));
        }
        if read && self.files.is_used_up() {
            return Ok(Err(ErrorCode::Quota));
        }
        let make = match (create, exclusive) {
            (false, _) => Make::Never,
            (true, false) => Make::IfMissing,
            (true, true) => Make::Always,
        };
        let text = path.as_str().to_owned();
        let ask =
            stockade_ipc::Ask::FsOpenWritable { path: text, make, truncate: has(OpenFlags::TRUNCATE), read };
        let (file, stat, reader) = match self.ask(ask) {
            (Answer::FsWritable(file, stat), reader) => (file, stat, reader),
            (Answer::FsFailed(error), _) => return Ok(Err(error.into())),
            _ => return Ok(Err(self.no_change())),
        };
        let reader = reader.map(|fd| Arc::new(OpenFile::new(fd, &self.files)));
        let writing = Some(Arc::new(Writing { file }));
        Ok(Ok(self.table.push(Descriptor::File { file: reader, writing, path, stat: Box::new(stat) })?))
    }

    /// Writes all of it, from a position on or at the end.
    pub(crate) fn write_file(
        &mut self,
        to: &Writing,
        mut at: Option<u64>,
        mut bytes: &[u8],
    ) -> Result<(), ErrorCode> {
        while !bytes.is_empty() {
            let part = Bytes(bytes[..bytes.len().min(WRITE)].to_vec());
            let written = match self.ask(stockade_ipc::Ask::FsWrite { file: to.file, at, bytes: part }).0 {
                Answer::FsWritten(count @ 1..) => count,
                other => return Err(other.into()),
            };
            bytes = bytes.get(written as usize..).unwrap_or_default();
            at = at.map(|at| at.saturating_add(written.into()));
        }
        Ok(())
    }

    /// What a file that is open for writing is by now.
    pub(super) fn stat_open(&mut self, of: &Writing) -> Result<Stat, ErrorCode> {
        match self.ask(stockade_ipc::Ask::FsStatOpen { file: of.file }).0 {
            Answer::FsStat(stat) => Ok(stat),
            other => Err(other.into()),
        }
    }

    pub(super) fn writing(&mut self, it: &Handle) -> Told<Arc<Writing>> {
        Ok(match self.table.get(it)? {
            Descriptor::File { writing: Some(writing), .. } => Ok(Arc::clone(writing)),
            Descriptor::File { .. } => Err(ErrorCode::BadDescriptor),
            Descriptor::Directory(_) => Err(ErrorCode::IsDirectory),
        })
    }

    pub(super) fn set_size(&mut self, it: &Handle, size: u64) -> Told<()> {
        let writing = self.writing(it)?;
        Ok(writing.and_then(|to| self.changed(stockade_ipc::Ask::FsSetSize { file: to.file, size })))
    }

    /// Brings what was written to the disk; where nothing can be, there is nothing to bring.
    pub(super) fn sync(&mut self, it: &Handle) -> Told<()> {
        Ok(match self.writing(it)? {
            Ok(to) => self.changed(stockade_ipc::Ask::FsSync { file: to.file }),
            Err(_) => Ok(()),
        })
    }

    /// Whoever held a descriptor or a stream of it is gone; the last one tells the host.
    pub(crate) fn let_go(&mut self, writing: Option<Arc<Writing>>) {
        if let Some(Writing { file }) = writing.and_then(Arc::into_inner) {
            self.ask(stockade_ipc::Ask::FsClose { file });
        }
    }

    pub(super) fn set_times(&mut self, it: &Handle, times: [NewTimestamp; 2]) -> Told<()> {
        let path = self.table.get(it)?.path().clone();
        if self.decide(&Ask::FsWrite { path: &path }).is_err() {
            return Ok(Err(self.no_change()));
        }
        Ok(self.times(&path, times))
    }

    pub(super) fn set_times_at(&mut self, at: &Handle, name: &str, times: [NewTimestamp; 2]) -> Told<()> {
        let path = self.changing(at, name, |path| Ask::FsWrite { path })?;
        Ok(path.and_then(|path| self.times(&path, times)))
    }

    fn times(&mut self, path: &GuestPath, times: [NewTimestamp; 2]) -> Result<(), ErrorCode> {
        let [accessed, modified] = times.map(NewTime::from);
        self.changed(stockade_ipc::Ask::FsSetTimes { path: path.as_str().to_owned(), accessed, modified })
    }

    pub(super) fn make_directory(&mut self, at: &Handle, name: &str) -> Told<()> {
        let path = self.changing(at, name, |path| Ask::FsCreate { path })?;
        Ok(path.and_then(|path| {
            self.changed(stockade_ipc::Ask::FsMakeDirectory { path: path.as_str().to_owned() })
        }))
    }

    pub(super) fn remove(&mut self, at: &Handle, name: &str, directory: bool) -> Told<()> {
        let path = self.changing(at, name, |path| Ask::FsDelete { path })?;
        Ok(path.and_then(|path| {
            self.changed(stockade_ipc::Ask::FsRemove { path: path.as_str().to_owned(), directory })
        }))
    }

    /// Moves, or links.
    pub(super) fn name(
        &mut self,
        (old, old_name): (&Handle, &str),
        (new, new_name): (&Handle, &str),
        keep: bool,
    ) -> Told<()> {
        let (from, to) =
            match (self.resolve(old, old_name, "fs.delete")?, self.resolve(new, new_name, "fs.create")?) {
                (Ok(from), Ok(to)) => (from, to),
                (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
            };
        if let Decision::Deny(denial) = decide_naming(&self.grants, &from, &to)
            && stands("guest.decide")
        {
            let why = denial.why.to_string();
            self.refused("fs.create", to.as_str(), denial.rule, &why);
            return Ok(Err(self.no_change()));
        }
        if !keep && self.decide(&Ask::FsDelete { path: &from }).is_err() {
            return Ok(Err(self.no_change()));
        }
        let (from, to) = (from.as_str().to_owned(), to.as_str().to_owned());
        Ok(self.changed(stockade_ipc::Ask::FsName { from, to, keep }))
    }

    /// Others would follow it to wherever it points.
    pub(super) fn no_symlink(&mut self, at: &Handle, name: &str) -> Told<()> {
        Ok(self.resolve(at, name, "fs.create")?.and_then(|path| {
            let reason = "symbolic links are not made";
            self.refused("fs.create", path.as_str(), Rule::built_in("fs.no-links"), reason);
            Err(self.no_change())
        }))
    }
}
