use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::kernel::Followed;
use crate::reap::{Ended, Exit, kill, reap, reap_if_ended};

/// A confined process that this host has to answer for: dropped, it is killed and reaped.
#[derive(Debug)]
pub(crate) struct Process {
    pid: i32,
    pidfd: OwnedFd,
    reaped: AtomicBool,
    /// A signal did not reach it.
    out_of_reach: AtomicBool,
    /// Where the kernel's own records of it are looked for.
    followed: Option<Followed>,
}

impl Process {
    pub(crate) fn new(pid: i32, pidfd: OwnedFd) -> Process {
        let (reaped, out_of_reach) = (AtomicBool::new(false), AtomicBool::new(false));
        Process { pid, pidfd, reaped, out_of_reach, followed: None }
    }

    /// The kernel's own records of it are looked for.
    pub(crate) fn followed_by(mut self, followed: Option<Followed>) -> Process {
        self.followed = followed;
        self
    }

    /// Its number, as the kernel counts from here. For reading and showing; never for signals.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Ends it; the end itself is for [`reap`](Self::reap) to see.
    pub(crate) fn kill(&self) {
        if !kill(&self.pidfd) {
            self.out_of_reach.store(true, Ordering::Relaxed);
        }
    }

    /// Whether this host could not end it: it has given up the user or the capability since. That it could
    /// was made sure of when it was started.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        self.out_of_reach.load(Ordering::Relaxed)
    }

    /// Waits for its end and takes it out of the process table. Who cannot be ended is not waited for.
    pub(crate) fn reap(&self) -> Ended {
        self.reaped.store(true, Ordering::Relaxed);
        if self.is_out_of_reach() {
            return reap_if_ended(&self.pidfd).unwrap_or(Ended { exit: Exit::Unknown, cpu_ms: 0 });
        }
        let end = reap(&self.pidfd);
        // Until here its number could not be anybody else's.
        if let Some(followed) = &self.followed {
            followed.ended();
        }
        end
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !*self.reaped.get_mut() {
            self.kill();
            self.reap();
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
