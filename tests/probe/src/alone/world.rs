//! The world that an attack finds itself in, the same as in a worker: nothing in 0 to 2, a socket in 3, a
//! sealed file in 4, no other descriptor, a session of its own.

use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Pid, fork};
use serde_json::Value;
use stockade_seal::Filter;

use crate::attacks::{Attack, Context};
use crate::sealed::raw;

/// What stands between the attack and the machine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layer {
    Control,
    /// The descriptor of the host's ruleset.
    Landlock(RawFd),
    Seccomp,
}

/// The descriptors of a worker, and a page on which the attacker leaves its report. (A page and not a
/// pipe: a worker has no pipe.)
pub(super) struct World {
    null: OwnedFd,
    ours: OwnedFd,
    theirs: OwnedFd,
    artifact: OwnedFd,
    report: NonNull<u8>,
    folder: PathBuf,
}

/// The process that attacks.
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
}

/// The report's length comes first, then its text.
const REPORT: usize = 4096;
const TEXT: usize = size_of::<AtomicUsize>();

/// Linux 6.3; nix has no name for it yet.
const MFD_NOEXEC_SEAL: u32 = 0x0008;

impl World {
    /// Makes a world and aims the context at a folder that is this run's alone.
    pub(super) fn new(context: &mut Context) -> io::Result<World> {
        let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
        let length = NonZeroUsize::new(REPORT).expect("it is not zero");
        // SAFETY: fresh memory, which nobody else has.
        let report = unsafe {
            mmap_anonymous(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED)?
        };
        let folder = prepare(context)?;
        // A child that is not executed anew has its host's heap: what is planted there must be found.
        if let Ok(secret) = std::env::var("STOCKADE_CANARY") {
            Box::leak(format!("STOCKADE_CANARY={secret}").into_boxed_str());
        }
        Ok(World { null, ours, theirs, artifact: artifact()?, report: report.cast(), folder })
    }

    /// The end of the socket that the host would have.
    pub(super) fn ours(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }

    /// Starts the attacker.
    pub(super) fn enter(&self, attack: &Attack, layer: Layer, context: &Context) -> io::Result<Child> {
        // Some attacks crash; nobody wants the cores.
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork()? } {
            ForkResult::Child => self.attack(attack, layer, context),
            ForkResult::Parent { child } => {
                let pidfd = raw(libc::SYS_pidfd_open, &[child.as_raw() as u64, 0]);
                let pidfd = RawFd::try_from(pidfd).ok().filter(|&fd| fd >= 0);
                let pidfd = pidfd.ok_or_else(|| io::Error::other("pidfd_open failed"))?;
                // SAFETY: the kernel has just made this descriptor for us.
                Ok(Child { pid: child, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
            }
        }
    }

    fn attack(&self, attack: &Attack, layer: Layer, context: &Context) -> ! {
        let ended = match self.confine(attack, layer) {
            Ok(()) => {
                self.leave(&attack.outcome(context).to_string());
                0
            }
            Err(step) => {
                let outcome = serde_json::json!({ "outcome": "unavailable", "why": step });
                self.leave(&outcome.to_string());
                1
            }
        };
        // SAFETY: ends this process alone; what runs at a program's end is the parent's to run.
        unsafe { libc::_exit(ended) }
    }

    /// Arranges the descriptors as the host's launcher does, then takes on the layer.
    fn confine(&self, attack: &Attack, layer: Layer) -> Result<(), &'static str> {
        let step = |name, result: i64| if result < 0 { Err(name) } else { Ok(()) };
        prctl::set_pdeathsig(Signal::SIGKILL).map_err(|_| "PR_SET_PDEATHSIG")?;
        nix::unistd::setsid().map_err(|_| "setsid")?;
        if !matches!(layer, Layer::Control) {
            prctl::set_no_new_privs().map_err(|_| "PR_SET_NO_NEW_PRIVS")?;
        }
        if let Layer::Landlock(ruleset) = layer {
            step("landlock_restrict_self", raw(libc::SYS_landlock_restrict_self, &[ruleset as u64, 0]))?;
        }
        let kept =
            [(&self.null, 0), (&self.null, 1), (&self.null, 2), (&self.theirs, 3), (&self.artifact, 4)];
        let parked = kept.map(|(file, place)| (fcntl(file, FcntlArg::F_DUPFD_CLOEXEC(32)), place));
        for (file, place) in parked {
            let file = file.map_err(|_| "F_DUPFD_CLOEXEC")?;
            step("dup3", raw(libc::SYS_dup3, &[file as u64, place, 0]))?;
        }
        step("close_range", raw(libc::SYS_close_range, &[5, u64::from(u32::MAX), 0]))?;
        if matches!(layer, Layer::Seccomp) {
            let filter = Filter::named(attack.filter).map_err(|_| "no such filter")?;
            let listener = filter.install().map_err(|_| "seccomp")?;
            // SAFETY: 3 was put there above and stays open.
            let socket = unsafe { BorrowedFd::borrow_raw(3) };
            stockade_ipc::fds::send(socket, b"L", &[listener.as_fd()]).map_err(|_| "sendmsg")?;
            // Not by dropping it: a debug build asks fcntl first, and the filter would hear of that.
            step("close", raw(libc::SYS_close, &[listener.into_raw_fd() as u64]))?;
        }
        Ok(())
    }

    fn length(&self) -> &AtomicUsize {
        // SAFETY: the page is aligned, starts as zeros, and is shared for as long as `self` lives.
        unsafe { self.report.cast::<AtomicUsize>().as_ref() }
    }

    fn text(&self) -> NonNull<u8> {
        // SAFETY: the page is larger than this.
        unsafe { self.report.add(TEXT) }
    }

    fn leave(&self, text: &str) {
        let text = &text.as_bytes()[..text.len().min(REPORT - TEXT)];
        // SAFETY: the page has room for so much, and nobody reads before the length is there.
        unsafe { self.text().copy_from(NonNull::from(text).cast(), text.len()) };
        self.length().store(text.len(), Ordering::Release);
    }

    /// What the attacker has reported. To be asked when it has ended.
    pub(super) fn reported(&self) -> Option<Value> {
        let length = self.length().load(Ordering::Acquire).min(REPORT - TEXT);
        // SAFETY: the page is this long, and the one who wrote to it is gone.
        let text = unsafe { std::slice::from_raw_parts(self.text().as_ptr(), length) };
        serde_json::from_slice(text).ok()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What an attack has left there is of no use to the next.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder with something to read, to destroy and to follow.
fn prepare(context: &mut Context) -> io::Result<PathBuf> {
    let theirs = std::ffi::OsStr::from_bytes(context.folder.as_bytes());
    let folder = PathBuf::from(theirs).join(format!("run-{}", std::process::id()));
    fs::create_dir_all(folder.join("doomed-folder"))?;
    for name in ["file", "doomed", "other"] {
        fs::write(folder.join(name), "stockade attack target\n")?;
    }
    std::os::unix::fs::symlink("file", folder.join("symlink"))?;
    let program = folder.join("program");
    fs::write(&program, "#!/bin/sh\n")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    context.folder = CString::new(folder.as_os_str().as_bytes())?;
    context.file = context.inside("file");
    Ok(folder)
}

/// A file as the host makes the artifact: sealed, and open for reading only.
fn artifact() -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file: fs::File =
        memfd_create("artifact", flags | MFdFlags::from_bits_retain(MFD_NOEXEC_SEAL))?.into();
    file.write_all(&[0x5a; 8192])?;
    let seals = SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_WRITE))?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// The first call that waits at the listener.
pub(super) fn first_notification(listener: &OwnedFd) -> Option<libc::seccomp_data> {
    /// `_IOWR('!', 0, struct seccomp_notif)`
    const RECEIVE: libc::c_ulong =
        3 << 30 | (size_of::<libc::seccomp_notif>() as libc::c_ulong) << 16 | (b'!' as libc::c_ulong) << 8;
    // SAFETY: a struct of numbers, for which zeros are values.
    let mut notification: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the request's size is that of the struct.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut notification) };
    Errno::result(result).ok().map(|_| notification.data)
}
