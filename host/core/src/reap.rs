//! Waiting for and ending confined programs, by pidfd alone: a number can be somebody else's by now.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use rustix::process::{Signal, pidfd_send_signal};

/// The code that a worker exits with where it gets no more memory. Its word only: any code that runs in it
/// can exit with any number.
pub(crate) const OUT_OF_MEMORY: i32 = 71;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Somebody else waited for it first.
    Unknown,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("end unknown"),
        }
    }
}

/// What a process used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    /// Processor time, user and system, in milliseconds.
    pub(crate) cpu_ms: u64,
}

/// Waits until the process behind `pidfd` has ended and takes it out of the process table.
pub(crate) fn reap(pidfd: &impl AsRawFd) -> Ended {
    wait_for(pidfd, 0).unwrap_or(Ended { exit: Exit::Unknown, cpu_ms: 0 })
}

/// The same where it has ended already; none where it has not.
pub(crate) fn reap_if_ended(pidfd: &impl AsRawFd) -> Option<Ended> {
    wait_for(pidfd, libc::WNOHANG)
}

#[expect(
    unsafe_code,
    reason = "JUSTIFICATION: nix and rustix wait without __WALL, which a child without an exit signal needs, \
              and without the resource usage"
)]
fn wait_for(pidfd: &impl AsRawFd, more: libc::c_int) -> Option<Ended> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to memory of the right type, which the kernel fills in.
        let result = unsafe {
            libc::syscall(
                libc::SYS_waitid,
                libc::P_PIDFD,
                pidfd.as_raw_fd(),
                info.as_mut_ptr(),
                libc::WEXITED | libc::__WALL | more,
                usage.as_mut_ptr(),
            )
        };
        match Errno::result(result) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            // Somebody else waited for it: a program that waits for every child of its process, or one that
            // ignores SIGCHLD, which has the kernel do it.
            Err(_) => return Some(Ended { exit: kept_exit(pidfd), cpu_ms: 0 }),
        }
    }
    // SAFETY: all zeroes is a valid value of the type, and the kernel has filled it in.
    let info = unsafe { info.assume_init() };
    // SAFETY: likewise.
    let usage = unsafe { usage.assume_init() };
    // SAFETY: waitid succeeded, so the record is that of a child, or all zeroes.
    let pid = unsafe { info.si_pid() };
    // SAFETY: likewise.
    let status = unsafe { info.si_status() };
    if pid == 0 {
        return None;
    }
    let exit = match info.si_code {
        libc::CLD_EXITED => Exit::Code(status),
        libc::CLD_KILLED | libc::CLD_DUMPED => Exit::Signal(status),
        _ => Exit::Unknown,
    };
    let ms = |t: libc::timeval| t.tv_sec as u64 * 1000 + t.tv_usec as u64 / 1000;
    Some(Ended { exit, cpu_ms: ms(usage.ru_utime) + ms(usage.ru_stime) })
}

/// `struct pidfd_info` of Linux 6.15, the first that keeps how a process ended for who holds its pidfd.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    /// Process, group, parent; users and groups.
    numbers: [u32; 11],
    exit_code: i32,
}

/// Looks at it, 200 µs apart.
const SOON: u32 = 50;

const PIDFD_INFO_EXIT: u64 = 1 << 3;
const PIDFD_GET_INFO: libc::c_ulong = libc::_IOWR::<PidfdInfo>(0xff, 11);

/// How a process ended that somebody else has waited for.
#[expect(unsafe_code, reason = "JUSTIFICATION: no wrapper knows this request yet")]
fn kept_exit(pidfd: &impl AsRawFd) -> Exit {
    // Whoever waits for it takes it first and has the kernel write this down then.
    for _ in 0..SOON {
        let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
        // SAFETY: the request carries the structure's size, and the kernel writes no more than that.
        let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
        match info.exit_code {
            _ if result != 0 => break,
            _ if info.mask & PIDFD_INFO_EXIT == 0 => std::thread::sleep(Duration::from_micros(200)),
            code if libc::WIFEXITED(code) => return Exit::Code(libc::WEXITSTATUS(code)),
            code => return Exit::Signal(libc::WTERMSIG(code)),
        }
    }
    Exit::Unknown
}

/// Whether this process may end the one behind `pidfd`: not where it runs as another user and the host has
/// no CAP_KILL, or where a filter around the host forbids the call.
#[expect(unsafe_code, reason = "JUSTIFICATION: no wrapper asks without sending a signal")]
pub(crate) fn may_kill(pidfd: &impl AsRawFd) -> Result<(), Errno> {
    // SAFETY: signal 0 is asked for and not sent; there is no information to read.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            0,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    match Errno::result(result) {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Ends the process behind `pidfd`. One that has ended already stays so. False where it may not.
pub(crate) fn kill(pidfd: &impl AsFd) -> bool {
    matches!(pidfd_send_signal(pidfd, Signal::KILL), Ok(()) | Err(rustix::io::Errno::SRCH))
}
