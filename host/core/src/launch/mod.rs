//! Starting a confined program. One long-lived thread does all the starting, because the signal that
//! ends a worker with its host is tied to the thread that started it, not to the process.

mod child;
mod lane;
mod ruleset;

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::mpsc;

use landlock::RulesetError;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::Mode;

use stockade_policy::{stands, word_for_programs};

pub use child::Step;
use child::{Identity, Plan};
pub(crate) use lane::{Together, widen};
pub use ruleset::deny_all as deny_all_ruleset;

use crate::memfd::SealedFile;

/// Why a program did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Landlock cannot refuse what it must.
    #[error("the Landlock ruleset could not be built")]
    Ruleset(#[source] RulesetError),
    /// The null device could not be opened.
    #[error("/dev/null could not be opened")]
    Null(#[source] nix::Error),
    /// The launcher thread could not be started, or has died.
    #[error("the launcher thread is gone")]
    Thread(#[source] io::Error),
    /// No socket pair.
    #[error("no socket pair could be made")]
    Socket(#[source] nix::Error),
    /// A step between clone and exec failed.
    #[error("starting the confined program failed at {step:?}")]
    Step {
        /// Which.
        step: Step,
        /// Why.
        #[source]
        error: nix::Error,
    },
    /// The host may not signal what it has started.
    #[error("the host could not end the program that it started")]
    OutOfReach(#[source] nix::Error),
}

impl LaunchError {
    /// What can be done about it.
    pub(crate) fn next_step(&self) -> &'static str {
        let error = match self {
            Self::Step { error, .. } | Self::Null(error) | Self::Socket(error) => Some(*error),
            Self::Thread(error) => error.raw_os_error().map(Errno::from_raw),
            Self::OutOfReach(_) => {
                return "run as root with CAP_KILL, or as another user; let filters pass pidfd_send_signal";
            }
            Self::Ruleset(_) => None,
        };
        error
            .and_then(shortage)
            .unwrap_or("run `stockade doctor`; where namespaces are forbidden, use --namespaces off")
    }
}

/// What to do where the machine, or a limit of this process, has run short.
pub(crate) fn shortage(error: Errno) -> Option<&'static str> {
    match error {
        Errno::EMFILE => Some("allow this process more open files (ulimit -n), or stop plugins"),
        Errno::ENFILE => Some("close files on this machine: it has no descriptors left"),
        Errno::EAGAIN => Some("allow this user more processes (ulimit -u, pids.max), or stop some"),
        Errno::ENOMEM => Some("make memory free on this machine, or stop plugins"),
        _ => None,
    }
}

/// Which namespaces a confined program gets besides all its other layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Namespaces {
    /// mount, pid, ipc, uts, cgroup, and user where the host is not root.
    #[default]
    Cheap,
    /// The cheap ones and a network namespace, which costs more than all of them. Sockets are refused
    /// without it too.
    All,
    /// None: for kernels and containers that forbid them.
    Off,
}

impl Namespaces {
    fn flags(self, root: bool) -> c_int {
        let cheap = [
            ("namespace.mount", libc::CLONE_NEWNS),
            ("namespace.pid", libc::CLONE_NEWPID),
            ("namespace.ipc", libc::CLONE_NEWIPC),
            ("namespace.uts", libc::CLONE_NEWUTS),
            ("namespace.cgroup", libc::CLONE_NEWCGROUP),
        ];
        let cheap = cheap.iter().filter(|kind| stands(kind.0)).fold(0, |flags, kind| flags | kind.1);
        let user = if root { 0 } else { libc::CLONE_NEWUSER };
        match self {
            Namespaces::Off => 0,
            Namespaces::Cheap => cheap | user,
            Namespaces::All => cheap | user | libc::CLONE_NEWNET,
        }
    }
}

/// Workers of a root host run as users from here on, one after the other from a random one on, so that
/// no two of a host share one and two hosts are unlikely to.
/// The range lies above what distributions and container runtimes hand out.
const FIRST_WORKER_UID: u32 = 1_879_048_192;
const WORKER_UIDS: u32 = 65_536;

/// What to start.
#[derive(Debug)]
pub(crate) struct Spec<'a> {
    pub(crate) program: &'a SealedFile,
    /// `argv[0]`: what the process list shows.
    pub(crate) name: &'a str,
    /// `argv[1]`: the filter.
    pub(crate) filter: &'a str,
    pub(crate) limits: ResourceLimits,
}

/// The limits that the kernel keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResourceLimits {
    pub(crate) data_bytes: u64,
    pub(crate) file_bytes: u64,
    pub(crate) cpu_seconds: u64,
    pub(crate) open_files: u64,
}

/// Address space: 64 GiB. An engine reserves 4 GiB for each memory of a guest, and what is only reserved costs
/// nothing. Without a limit, reading one page here and there fills the machine with page tables, which no
/// other limit counts. With it one large mapping costs 128 MiB of them, and as many small ones as the kernel
/// allows (`vm.max_map_count`), each far from the next, 512 MiB.
const ADDRESS_BYTES: u64 = 64 << 30;

/// The stack of the program: what the guest may use and room for host functions below it.
const STACK_BYTES: u64 = 8 * 1024 * 1024;

impl ResourceLimits {
    fn list(self) -> Vec<(u32, u64)> {
        let all = [
            ("limit.core", libc::RLIMIT_CORE, 0),
            ("limit.fsize", libc::RLIMIT_FSIZE, self.file_bytes),
            ("limit.memlock", libc::RLIMIT_MEMLOCK, 0),
            ("limit.msgqueue", libc::RLIMIT_MSGQUEUE, 0),
            ("limit.nice", libc::RLIMIT_NICE, 0),
            ("limit.rtprio", libc::RLIMIT_RTPRIO, 0),
            ("limit.sigpending", libc::RLIMIT_SIGPENDING, 16),
            ("limit.nofile", libc::RLIMIT_NOFILE, self.open_files),
            ("limit.stack", libc::RLIMIT_STACK, STACK_BYTES),
            ("limit.cpu", libc::RLIMIT_CPU, self.cpu_seconds),
            ("limit.data", libc::RLIMIT_DATA, self.data_bytes),
            ("limit.as", libc::RLIMIT_AS, ADDRESS_BYTES),
        ];
        all.into_iter()
            .filter(|limit| stands(limit.0))
            .map(|(_, resource, value)| (resource, value))
            .collect()
    }
}

/// A program that has been started and has not said anything yet.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) socket: OwnedFd,
    /// The user it runs as.
    pub(crate) uid: u32,
}

struct Order {
    program: RawFd,
    argv: Vec<CString>,
    limits: ResourceLimits,
    socket: OwnedFd,
    reply: mpsc::SyncSender<Result<(i32, OwnedFd, u32), LaunchError>>,
}

/// Starts confined programs.
#[derive(Debug)]
pub(crate) struct Launcher {
    orders: mpsc::Sender<Order>,
    namespaces: Namespaces,
}

impl Launcher {
    /// Prepares everything that all launches share.
    pub(crate) fn new(namespaces: Namespaces) -> Result<Launcher, LaunchError> {
        let ruleset = ruleset::deny_all().map_err(LaunchError::Ruleset)?;
        let null = nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(LaunchError::Null)?;
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("stockade-launch".to_owned())
            .spawn(move || {
                lane::keep_to_half();
                let mut thread = LauncherThread {
                    ruleset,
                    landlock_flags: ruleset::flags(),
                    null,
                    namespaces,
                    started: getrandom::u32().unwrap_or(0),
                    stack: Stack::new(),
                };
                for order in inbox {
                    let result = thread.start(&order);
                    // Who asked may have given up; then the process dies with its socket.
                    let _ = order.reply.send(result);
                }
            })
            .map_err(LaunchError::Thread)?;
        Ok(Launcher { orders, namespaces })
    }

    pub(crate) fn namespaces(&self) -> Namespaces {
        self.namespaces
    }

    /// Starts a program; returns once it executes.
    pub(crate) fn start(&self, spec: &Spec<'_>) -> Result<Started, LaunchError> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
            .map_err(LaunchError::Socket)?;
        let (reply, answer) = mpsc::sync_channel(1);
        let words = [spec.name.to_owned(), spec.filter.to_owned()].into_iter().chain(word_for_programs());
        let argv = words.map(|word| CString::new(word).expect("names of ours have no NUL")).collect();
        let gone = || LaunchError::Thread(io::ErrorKind::BrokenPipe.into());
        let program = spec.program.as_fd().as_raw_fd();
        let order = Order { program, argv, limits: spec.limits, socket: theirs, reply };
        self.orders.send(order).map_err(|_| gone())?;
        let (pid, pidfd, uid) = answer.recv().map_err(|_| gone())??;
        if let Err(error) = crate::reap::may_kill(&pidfd)
            && stands("launch.within-reach")
        {
            // It has met nothing that is not ours, and ends without a connection.
            drop(ours);
            crate::reap::reap(&pidfd);
            return Err(LaunchError::OutOfReach(error));
        }
        Ok(Started { pid, pidfd, socket: ours, uid })
    }
}

/// The stack that children run on until they exec. One serves all: the thread waits for each.
struct Stack(Vec<u128>);

impl Stack {
    /// 64 KiB: the child calls nothing that needs more than a page.
    fn new() -> Stack {
        Stack(vec![0; 4096])
    }

    fn top(&mut self) -> *mut c_void {
        self.0.as_mut_ptr_range().end.cast()
    }
}

struct LauncherThread {
    ruleset: OwnedFd,
    landlock_flags: u32,
    null: OwnedFd,
    namespaces: Namespaces,
    /// Where in the range of users the next worker stands.
    started: u32,
    stack: Stack,
}

impl LauncherThread {
    fn start(&mut self, order: &Order) -> Result<(i32, OwnedFd, u32), LaunchError> {
        let argv: Vec<*const c_char> =
            order.argv.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let root = uid == 0;
        let maps = (format!("{uid} {uid} 1"), format!("{gid} {gid} 1"));
        let worker_uid = FIRST_WORKER_UID + self.started % WORKER_UIDS;
        self.started = self.started.wrapping_add(1);
        let (runs_as, identity) = match self.namespaces {
            _ if root => (worker_uid, Identity::Switch { uid: worker_uid, gid: worker_uid }),
            Namespaces::Off => (uid, Identity::Same),
            _ => (uid, Identity::Mapped { uid_map: maps.0.as_bytes(), gid_map: maps.1.as_bytes() }),
        };
        let mut plan = Plan {
            program: order.program,
            ruleset: self.ruleset.as_raw_fd(),
            landlock_flags: self.landlock_flags,
            socket: order.socket.as_raw_fd(),
            null: self.null.as_raw_fd(),
            argv: argv.as_ptr(),
            limits: &order.limits.list(),
            identity,
            failed: None,
        };
        let flags = self.namespaces.flags(root);
        let (pid, pidfd) = clone_vfork(&mut self.stack, flags, &mut plan)
            .map_err(|error| LaunchError::Step { step: Step::Clone, error })?;
        match plan.failed {
            None => Ok((pid, pidfd, runs_as)),
            Some((step, error)) => {
                crate::reap::reap(&pidfd);
                Err(LaunchError::Step { step, error: Errno::from_raw(error) })
            }
        }
    }
}

/// Runs [`child::run`] in a new process that shares this one's memory until it executes, while this
/// thread waits: no page table is copied, however large the host is. The child has no exit signal, which
/// exec changes to SIGCHLD: an embedding program that waits for every child of its process meets ours, too
/// (see [`crate::reap`]).
#[expect(unsafe_code, reason = "JUSTIFICATION: no wrapper clones with namespaces, a pidfd and shared memory")]
fn clone_vfork(stack: &mut Stack, namespaces: c_int, plan: &mut Plan<'_>) -> nix::Result<(i32, OwnedFd)> {
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | namespaces;
    // A handler of the host's must never run in the child: it would run on the host's memory.
    let mut mask = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut mask))?;
    // SAFETY: the stack is ours alone and large enough; the child only makes system calls and writes to
    // `plan`; CLONE_VFORK keeps this frame alive until it has executed or exited.
    let pid =
        unsafe { libc::clone(child::run, stack.top(), flags, ptr::from_mut(plan).cast(), &raw mut pidfd) };
    let pid = Errno::result(pid);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?;
    // SAFETY: clone has succeeded, so the kernel has just made this descriptor for us.
    pid.map(|pid| (pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::memfd::Use;

    #[test]
    fn g1_a_program_whose_host_is_gone_before_it_starts_does_not_start() {
        let mut own = File::open("/proc/self/exe").unwrap();
        let program = SealedFile::copy("program", Use::Program, &mut own, u64::MAX - 1).unwrap();
        let mut thread = LauncherThread {
            ruleset: ruleset::deny_all().unwrap(),
            landlock_flags: ruleset::flags(),
            null: nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).unwrap(),
            namespaces: Namespaces::Off,
            started: 0,
            stack: Stack::new(),
        };
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).unwrap();
        drop(ours);
        let limits = ResourceLimits { data_bytes: 1 << 26, file_bytes: 0, cpu_seconds: 1, open_files: 16 };
        let (reply, _) = mpsc::sync_channel(1);
        let argv = vec![CString::new("program").unwrap()];
        let order = Order { program: program.as_fd().as_raw_fd(), argv, limits, socket: theirs, reply };
        match thread.start(&order) {
            Err(LaunchError::Step { step: Step::DeathSignal, error: Errno::ESRCH }) => {}
            other => panic!("{other:?}"),
        }
    }
}
