//! Waiting for and ending confined programs, by pidfd alone: a number can be somebody else's by now.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

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
#[expect(
    unsafe_code,
    reason = "JUSTIFICATION: nix and rustix wait without __WALL, which a child without an exit signal needs, \
              and without the resource usage"
)]
pub(crate) fn reap(pidfd: &impl AsRawFd) -> Ended {
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
                libc::WEXITED | libc::__WALL,
                usage.as_mut_ptr(),
            )
        };
        match Errno::result(result) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(_) => return Ended { exit: Exit::Unknown, cpu_ms: 0 },
        }
    }
    // SAFETY: all zeroes is a valid value of the type, and the kernel has filled it in.
    let info = unsafe { info.assume_init() };
    // SAFETY: likewise.
    let usage = unsafe { usage.assume_init() };
    // SAFETY: waitid succeeded, so the record is that of a child.
    let status = unsafe { info.si_status() };
    let exit = match info.si_code {
        libc::CLD_EXITED => Exit::Code(status),
        libc::CLD_KILLED | libc::CLD_DUMPED => Exit::Signal(status),
        _ => Exit::Unknown,
    };
    let ms = |t: libc::timeval| t.tv_sec as u64 * 1000 + t.tv_usec as u64 / 1000;
    Ended { exit, cpu_ms: ms(usage.ru_utime) + ms(usage.ru_stime) }
}

/// Ends the process behind `pidfd`. One that has ended already stays so.
pub(crate) fn kill(pidfd: &impl AsFd) {
    let _ = pidfd_send_signal(pidfd, Signal::KILL);
}
