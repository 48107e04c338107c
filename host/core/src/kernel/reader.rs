//! The program that reads, as the host has it: started like a worker, looked at like a worker, and given the socket
//! only then.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use stockade_ipc::fds;
use stockade_kernel_log::{BadReport, Report, Reports, Socket};
use stockade_policy::stands;

use crate::boot::{self, BootError};
use crate::launch::{LaunchError, Launcher, ResourceLimits, Spec};
use crate::memfd::{SealedFile, hex};
use crate::process::Process;

/// Why no reader reads.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReaderError {
    #[error("it did not start")]
    Launch(#[from] LaunchError),
    #[error("it did not look as it must")]
    Boot(#[from] BootError),
    #[error("it could not be given the socket")]
    Give(#[source] io::Error),
    #[error("it said what no reader says")]
    Report(#[from] BadReport),
    #[error("it ended")]
    Ended,
    #[error("its connection failed")]
    Connection(#[source] nix::Error),
}

/// How long it may take to seal itself: a hundred times what it takes on a busy machine.
const SEAL_TIME: Duration = Duration::from_secs(5);
/// Its memory: events that are being put together, and one line.
const MEMORY: u64 = 64 << 20;
/// Bytes that are taken from the connection at a time.
const TAKEN: usize = 64 * 1024;

/// A reader that reads.
#[derive(Debug)]
pub(super) struct Reader {
    process: Process,
    channel: OwnedFd,
    reports: Reports,
    /// What it was looked at for.
    pub(super) evidence: BTreeMap<&'static str, String>,
}

impl Reader {
    /// Starts one that goes on reading from `socket`.
    pub(super) fn start(
        launcher: &Launcher,
        program: &SealedFile,
        socket: &Socket,
    ) -> Result<Reader, ReaderError> {
        let spec = Spec {
            program,
            name: crate::programs::KERNEL_LOG,
            filter: "kernel-log",
            limits: ResourceLimits {
                data_bytes: MEMORY,
                file_bytes: 0,
                // It lives as long as the host.
                cpu_seconds: u64::MAX,
                open_files: 16,
            },
        };
        let started = launcher.start(&spec)?;
        let uid = started.uid;
        let mut reader = Reader {
            process: Process::new(started.pid, started.pidfd),
            channel: started.socket,
            reports: Reports::default(),
            evidence: BTreeMap::new(),
        };
        reader.ready()?;
        if stands("kernel.reader-attested") {
            reader.evidence = boot::kernel_account(reader.process.pid(), uid, launcher.namespaces())?;
        }
        reader.evidence.insert("pid", reader.process.pid().to_string());
        reader.evidence.insert("program_sha256", hex(&program.digest()));
        fds::send(reader.channel.as_fd(), &[0], &[socket.as_fd()]).map_err(ReaderError::Give)?;
        Ok(reader)
    }

    /// Waits until its filter stands.
    fn ready(&mut self) -> Result<(), ReaderError> {
        let until = Instant::now() + SEAL_TIME;
        loop {
            match self.next_report()? {
                Some(Report::Ready) => return Ok(()),
                Some(_) => return Err(ReaderError::Ended),
                None => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(BootError::TimedOut(SEAL_TIME).into());
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            match poll(&mut [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(ReaderError::Connection(error)),
            }
        }
    }

    /// The next report that has arrived.
    pub(super) fn next_report(&mut self) -> Result<Option<Report>, ReaderError> {
        if let Some(report) = self.reports.next_report()? {
            return Ok(Some(report));
        }
        let mut bytes = vec![0; TAKEN];
        match recv(self.channel.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => Err(ReaderError::Ended),
            Ok(count) => {
                self.reports.push(&bytes[..count]);
                Ok(self.reports.next_report()?)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(ReaderError::Connection(error)),
        }
    }

    pub(super) fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Ends it, if it has not ended, and says how it did.
    pub(super) fn end(self) -> String {
        self.process.kill();
        self.process.reap().exit.to_string()
    }
}
