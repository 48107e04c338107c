//! The program.

mod filter;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use stockade_kernel_log::{Assembler, Datagram, Event, Report, Socket, bounds, parse};

/// Where the host leaves a program its connection (`host/core/src/launch/child.rs`).
const CHANNEL: i32 = 3;

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReaderError {
    /// The process could be looked into by others of its user.
    #[error("the process could not be made undumpable")]
    Dumpable(#[source] nix::Error),
    /// Without its filter it reads nothing.
    #[error("the filter could not be put up")]
    Filter(#[source] seccompiler::Error),
    /// The host did not send a socket.
    #[error("the host sent no socket")]
    NoSocket(#[source] io::Error),
    /// The kernel's socket failed.
    #[error("the kernel's records could not be received")]
    Receive(#[source] nix::Error),
    /// Waiting failed.
    #[error("waiting for records failed")]
    Wait(#[source] nix::Error),
    /// The host does not listen any more.
    #[error("the host could not be told")]
    Tell(#[source] nix::Error),
}

/// Seals itself, gets the socket, and reads until the host closes its end.
pub(crate) fn run() -> Result<(), ReaderError> {
    nix::sys::prctl::set_dumpable(false).map_err(ReaderError::Dumpable)?;
    filter::install().map_err(ReaderError::Filter)?;
    let channel = inherited();
    tell(&channel, &Report::Ready)?;
    let socket = socket(&channel)?;
    read(&channel, &socket)
}

#[expect(
    unsafe_code,
    reason = "JUSTIFICATION: nothing safe owns a descriptor that was born with the process"
)]
fn inherited() -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: the host puts the connection there before it executes this program, and nothing else here names it.
    unsafe { OwnedFd::from_raw_fd(CHANNEL) }
}

/// The one descriptor that the host sends, with one byte.
fn socket(channel: &OwnedFd) -> Result<Socket, ReaderError> {
    let (_, mut files) =
        stockade_ipc::fds::receive(channel.as_fd(), &mut [0; 1]).map_err(ReaderError::NoSocket)?;
    let socket = files.pop().ok_or_else(|| ReaderError::NoSocket(io::ErrorKind::UnexpectedEof.into()))?;
    Ok(Socket::from_fd(socket))
}

fn read(channel: &OwnedFd, socket: &Socket) -> Result<(), ReaderError> {
    let mut assembler = Assembler::default();
    let mut buffer = [0; bounds::DATAGRAM];
    let mut malformed = 0;
    loop {
        let mut ready = Vec::new();
        let mut collect = |event: Event| ready.push(Report::Event(Box::new(event)));
        let now = Instant::now();
        let wait = match socket.receive(&mut buffer).map_err(ReaderError::Receive)? {
            Datagram::Record(kind, text) => {
                match parse(kind, text) {
                    Ok(Some((stamp, record))) => assembler.take(stamp, record, now, &mut collect),
                    Ok(None) => {}
                    Err(_) => malformed += 1,
                }
                false
            }
            Datagram::Foreign => {
                malformed += 1;
                false
            }
            Datagram::Overrun => {
                ready.push(Report::Overrun);
                false
            }
            Datagram::Nothing => {
                assembler.expire(now, &mut collect);
                true
            }
        };
        if wait && malformed > 0 {
            ready.push(Report::Malformed(std::mem::take(&mut malformed)));
        }
        for report in &ready {
            tell(channel, report)?;
        }
        // Only a wait notices that the host is gone; telling it something does so too.
        if wait && ready.is_empty() && !wait_for(channel, socket, assembler.due(), now)? {
            return Ok(());
        }
    }
}

/// Waits for a record, or until something is due. False where the host has closed its end.
fn wait_for(
    channel: &OwnedFd,
    socket: &Socket,
    due: Option<Instant>,
    now: Instant,
) -> Result<bool, ReaderError> {
    // A millisecond more: an early look would find nothing due.
    let left = |due: Instant| due.saturating_duration_since(now) + std::time::Duration::from_millis(1);
    let timeout =
        due.map_or(PollTimeout::NONE, |due| PollTimeout::try_from(left(due)).unwrap_or(PollTimeout::MAX));
    let mut watched =
        [PollFd::new(socket.as_fd(), PollFlags::POLLIN), PollFd::new(channel.as_fd(), PollFlags::empty())];
    match poll(&mut watched, timeout) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(true),
        Err(error) => return Err(ReaderError::Wait(error)),
    }
    Ok(watched[1].revents().is_none_or(|events| events.is_empty()))
}

/// Waits where the host does not read: then the kernel keeps the records, and says so if it cannot.
fn tell(channel: &OwnedFd, report: &Report) -> Result<(), ReaderError> {
    let line = report.line();
    let mut rest = &line[..];
    while !rest.is_empty() {
        match send(channel.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => rest = &rest[sent..],
            Err(Errno::EINTR) => {}
            Err(error) => return Err(ReaderError::Tell(error)),
        }
    }
    Ok(())
}
