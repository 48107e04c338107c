use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::bounds::DATAGRAM;
use crate::error::KernelLogError;
use crate::socket::{Datagram, HEADER, Socket, audit_socket, send};

/// What the kernel says of its audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditStatus {
    /// 0: nothing of Landlock is recorded. 2: nobody can change that until the machine starts again.
    pub enabled: u32,
    /// Records that the kernel keeps until they are sent.
    pub backlog_limit: u32,
    /// Records that the kernel has thrown away since the machine started.
    pub lost: u32,
}

/// `AUDIT_GET`.
const GET: u16 = 1000;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
/// The kernel answers before the question has been sent; a machine that takes longer is stuck.
const PATIENCE: Duration = Duration::from_millis(500);

impl AuditStatus {
    /// Asks. Needs CAP_AUDIT_CONTROL in the first user namespace, and to be in the first pid namespace.
    pub fn ask() -> Result<AuditStatus, KernelLogError> {
        let fd = audit_socket()?;
        let mut question = [0; HEADER];
        question[..4].copy_from_slice(&(HEADER as u32).to_ne_bytes());
        question[4..6].copy_from_slice(&GET.to_ne_bytes());
        question[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
        send(&fd, &question).map_err(|error| match error {
            Errno::EPERM => KernelLogError::Refused(error),
            error => KernelLogError::Ask(error),
        })?;
        let socket = Socket::from_fd(fd);
        let until = Instant::now() + PATIENCE;
        let mut buffer = [0; DATAGRAM];
        loop {
            match socket.receive(&mut buffer).map_err(KernelLogError::Ask)? {
                Datagram::Record(GET, status) => {
                    return AuditStatus::of(status).ok_or(KernelLogError::NoAnswer);
                }
                Datagram::Record(NLMSG_ERROR, error) => {
                    let error = error.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                    return Err(KernelLogError::Refused(Errno::from_raw(error.wrapping_neg())));
                }
                Datagram::Nothing => {}
                _ => continue,
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(KernelLogError::NoAnswer);
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(KernelLogError::Ask(error)),
            }
        }
    }

    /// `struct audit_status`: mask, enabled, failure, pid, rate limit, backlog limit, lost, and more since.
    fn of(status: &[u8]) -> Option<AuditStatus> {
        let number = |at: usize| Some(u32::from_ne_bytes(*status.get(4 * at..)?.first_chunk()?));
        Some(AuditStatus { enabled: number(1)?, backlog_limit: number(5)?, lost: number(6)? })
    }
}
