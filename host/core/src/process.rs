use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::reap::{Ended, kill, reap};

/// A confined process that this host has to answer for: dropped, it is killed and reaped.
#[derive(Debug)]
pub(crate) struct Process {
    pid: i32,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Process {
    pub(crate) fn new(pid: i32, pidfd: OwnedFd) -> Process {
        Process { pid, pidfd, reaped: false }
    }

    /// Its number, as the kernel counts from here. For reading and showing; never for signals.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Ends it and waits for the end, which a killed process cannot put off.
    pub(crate) fn end(mut self) -> Ended {
        kill(&self.pidfd);
        self.reaped = true;
        reap(&self.pidfd)
    }

    /// Takes note of an end that came by itself.
    pub(crate) fn reap(&mut self) -> Ended {
        self.reaped = true;
        reap(&self.pidfd)
    }

    pub(crate) fn kill(&self) {
        kill(&self.pidfd);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped {
            kill(&self.pidfd);
            reap(&self.pidfd);
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
