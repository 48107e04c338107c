use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::reap::{Ended, kill, reap};

/// A confined process that this host has to answer for: dropped, it is killed and reaped.
#[derive(Debug)]
pub(crate) struct Process {
    pid: i32,
    pidfd: OwnedFd,
    reaped: AtomicBool,
}

impl Process {
    pub(crate) fn new(pid: i32, pidfd: OwnedFd) -> Process {
        Process { pid, pidfd, reaped: AtomicBool::new(false) }
    }

    /// Its number, as the kernel counts from here. For reading and showing; never for signals.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Ends it; the end itself is for [`reap`](Self::reap) to see.
    pub(crate) fn kill(&self) {
        kill(&self.pidfd);
    }

    /// Waits for its end and takes it out of the process table.
    pub(crate) fn reap(&self) -> Ended {
        self.reaped.store(true, Ordering::Relaxed);
        reap(&self.pidfd)
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
