//! What a step is: a system call of the host that changes something.

use std::ffi::OsStr;
use std::fs;
use std::io::IoSliceMut;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libc::{c_long, user_regs_struct};
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes are written into a file.
    Write,
    /// A file or folder is made, or a file is made larger: there has to be room for it.
    Room,
    /// A file is made smaller, or is opened that is there already.
    Other,
    /// What was written comes down to the disk.
    Sync,
    /// A file gets another name, or loses one.
    Name,
    /// A process is made: a worker, the compiler, what reads the kernel's records.
    Process,
}

impl Kind {
    /// Whether a full disk refuses it.
    pub fn needs_room(self) -> bool {
        matches!(self, Self::Write | Self::Room)
    }

    /// How the kernel refuses it where a device is broken; no process is made where there are too many.
    pub fn failure(self) -> Errno {
        match self {
            Self::Process => Errno::EAGAIN,
            _ => Errno::EIO,
        }
    }
}

/// A system call of the host that changes something of its state folder, or makes a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The system call.
    pub call: &'static str,
    /// What it does.
    pub kind: Kind,
    /// The file, as seen from the state folder; empty for a process.
    pub file: PathBuf,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.call, self.file.display())
    }
}

/// Where a call names what it changes.
enum Names {
    /// By the descriptor in its first argument.
    Descriptor,
    /// By a path in this argument, seen from the current folder.
    Path(usize),
    /// By a path in this argument, seen from the folder in the argument before.
    PathAt(usize),
}

/// The calls that are looked at, and where each names its file.
fn known(call: c_long) -> Option<(&'static str, Names)> {
    use Names::{Descriptor, Path, PathAt};
    Some(match call {
        libc::SYS_write => ("write", Descriptor),
        libc::SYS_pwrite64 => ("pwrite64", Descriptor),
        libc::SYS_writev => ("writev", Descriptor),
        libc::SYS_pwritev => ("pwritev", Descriptor),
        libc::SYS_pwritev2 => ("pwritev2", Descriptor),
        libc::SYS_ftruncate => ("ftruncate", Descriptor),
        libc::SYS_fallocate => ("fallocate", Descriptor),
        libc::SYS_fsync => ("fsync", Descriptor),
        libc::SYS_fdatasync => ("fdatasync", Descriptor),
        libc::SYS_open => ("open", Path(0)),
        libc::SYS_openat => ("openat", PathAt(1)),
        libc::SYS_mkdir => ("mkdir", Path(0)),
        libc::SYS_mkdirat => ("mkdirat", PathAt(1)),
        libc::SYS_unlink => ("unlink", Path(0)),
        libc::SYS_rmdir => ("rmdir", Path(0)),
        libc::SYS_unlinkat => ("unlinkat", PathAt(1)),
        // By where it is to be: renamed and linked is only within the state folder, or into it.
        libc::SYS_rename => ("rename", Path(1)),
        libc::SYS_renameat => ("renameat", PathAt(3)),
        libc::SYS_renameat2 => ("renameat2", PathAt(3)),
        libc::SYS_link => ("link", Path(1)),
        libc::SYS_linkat => ("linkat", PathAt(3)),
        _ => return None,
    })
}

/// The step that a thread is about to take, if it is one. `state` is the state folder without links in it.
pub(super) fn step(thread: Pid, registers: &user_regs_struct, state: &Path) -> Option<Step> {
    let call = c_long::try_from(registers.orig_rax).ok()?;
    if makes_process(thread, call, registers) {
        return Some(Step { call: "clone", kind: Kind::Process, file: PathBuf::new() });
    }
    let arguments = arguments(registers);
    let (name, names) = known(call)?;
    if matches!(call, libc::SYS_open | libc::SYS_openat) {
        let flags = arguments[if call == libc::SYS_open { 1 } else { 2 }];
        if flags & u64::from(libc::O_CREAT.unsigned_abs()) == 0 {
            return None;
        }
    }
    let path = match names {
        Names::Descriptor => descriptor(thread, arguments[0])?,
        Names::Path(at) => folder(thread, libc::AT_FDCWD)?.join(text(thread, arguments[at])?),
        Names::PathAt(at) => {
            let path = text(thread, arguments[at])?;
            // Descriptors have 32 bits; above them may be anything.
            folder(thread, arguments[at - 1] as i32)?.join(path)
        }
    };
    let file = path.strip_prefix(state).ok()?.to_owned();
    let kind = match call {
        libc::SYS_fsync | libc::SYS_fdatasync => Kind::Sync,
        libc::SYS_open | libc::SYS_openat | libc::SYS_mkdir | libc::SYS_mkdirat if path.exists() => {
            Kind::Other
        }
        libc::SYS_ftruncate if fs::metadata(&path).is_ok_and(|file| file.len() >= arguments[1]) => {
            Kind::Other
        }
        libc::SYS_open | libc::SYS_openat | libc::SYS_mkdir | libc::SYS_mkdirat => Kind::Room,
        libc::SYS_ftruncate | libc::SYS_fallocate => Kind::Room,
        _ if matches!(names, Names::Descriptor) => Kind::Write,
        _ => Kind::Name,
    };
    Some(Step { call: name, kind, file })
}

/// Threads are made as well, and are no steps.
fn makes_process(thread: Pid, call: c_long, registers: &user_regs_struct) -> bool {
    let flags = match call {
        libc::SYS_fork | libc::SYS_vfork => return true,
        libc::SYS_clone => registers.rdi,
        // The first field of its structure has the flags.
        libc::SYS_clone3 => {
            let mut flags = [0; 8];
            match read(thread, registers.rdi, &mut flags) {
                Some(8) => u64::from_ne_bytes(flags),
                _ => return false,
            }
        }
        _ => return false,
    };
    flags & u64::from(libc::CLONE_THREAD.unsigned_abs()) == 0
}

fn arguments(registers: &user_regs_struct) -> [u64; 6] {
    [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9]
}

fn descriptor(thread: Pid, number: u64) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{thread}/fd/{number}")).ok()
}

/// The folder that a path is seen from.
fn folder(thread: Pid, number: i32) -> Option<PathBuf> {
    match number {
        libc::AT_FDCWD => fs::read_link(format!("/proc/{thread}/cwd")).ok(),
        number => descriptor(thread, u64::from(number.unsigned_abs())),
    }
}

/// A path in the memory of a process: up to its zero.
fn text(thread: Pid, address: u64) -> Option<PathBuf> {
    let mut bytes = vec![0; libc::PATH_MAX.unsigned_abs() as usize];
    // Up to the end of a page, where the memory may end: a path that goes on beyond it is read again.
    let page = 4096 - (address % 4096) as usize;
    let mut many = read(thread, address, &mut bytes[..page])?;
    if !bytes[..many].contains(&0) && many == page {
        many = read(thread, address, &mut bytes)?;
    }
    let end = bytes[..many].iter().position(|byte| *byte == 0)?;
    Some(PathBuf::from(OsStr::from_bytes(&bytes[..end])))
}

fn read(thread: Pid, address: u64, into: &mut [u8]) -> Option<usize> {
    let base = usize::try_from(address).ok()?;
    let from = RemoteIoVec { base, len: into.len() };
    process_vm_readv(thread, &mut [IoSliceMut::new(into)], &[from]).ok()
}
