use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use interprocess::os::unix::uds_local_socket::Stream;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use stockade_ipc::phase::Sender;
use stockade_ipc::{Fault, FrameBuffer, Phase, Phases, Rest, ToHost, ToWorker, fds};
use stockade_policy::stands;

/// The host's end of a session: the socket, the phase it stands in, and half-read frames.
///
/// The socket blocks by itself; who must not wait says so in each call. So the same session serves a
/// thread and an async task, each with the fewest system calls.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Arc<Stream>,
    phases: Phases,
    incoming: FrameBuffer,
    /// The last look took all that there was.
    drained: bool,
    outgoing: Vec<u8>,
    sent: usize,
    /// Bytes received and sent since somebody asked.
    moved: (u64, u64),
}

/// What one look at the socket brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Something; look for a frame.
    Some,
    /// Nothing yet.
    Nothing,
    /// The peer is gone.
    End,
}

/// What small messages need, and an idle session may keep.
const SMALL: usize = 64 * 1024;

/// Linux 6.16: whether the peer may send descriptors.
const SO_PASSRIGHTS: libc::c_int = 83;

impl Connection {
    pub(crate) fn new(socket: OwnedFd) -> Connection {
        Connection {
            socket: Arc::new(socket.into()),
            phases: Phases::default(),
            incoming: FrameBuffer::default(),
            drained: false,
            outgoing: Vec::new(),
            sent: 0,
            moved: (0, 0),
        }
    }

    /// The socket, for who has to end the connection without having the session.
    pub(crate) fn socket(&self) -> Arc<Stream> {
        Arc::clone(&self.socket)
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phases.now()
    }

    /// Receives the first message, the only one that brings a descriptor.
    pub(crate) fn receive_hello(&mut self) -> io::Result<(Progress, Vec<OwnedFd>)> {
        let (count, files) = fds::receive(self.socket.as_fd(), self.incoming.space())?;
        self.incoming.filled(count);
        Ok((if count == 0 { Progress::End } else { Progress::Some }, files))
    }

    /// Has the kernel refuse descriptors from the peer. False on kernels that cannot; there `read_more`
    /// drops them, since it has no room for control data.
    #[expect(unsafe_code, reason = "JUSTIFICATION: no wrapper knows this socket option yet")]
    pub(crate) fn refuse_descriptors(&self) -> bool {
        let off: libc::c_int = i32::from(!stands("connection.rights"));
        // SAFETY: the option takes an int and the kernel only reads it.
        let result = unsafe {
            libc::setsockopt(
                self.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_PASSRIGHTS,
                (&raw const off).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        result == 0
    }

    /// Reads what is there; waits for it unless told not to.
    pub(crate) fn read_more(&mut self, wait: bool) -> io::Result<Progress> {
        let flags = if wait { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
        let socket = self.as_raw_fd();
        loop {
            let space = self.incoming.space();
            let room = space.len();
            match recv(socket, space, flags) {
                Ok(0) | Err(Errno::ECONNRESET) => return Ok(Progress::End),
                Ok(count) => {
                    self.drained = count < room;
                    self.incoming.filled(count);
                    self.moved.0 += count as u64;
                    return Ok(Progress::Some);
                }
                Err(Errno::EAGAIN) => return Ok(Progress::Nothing),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Whether the last look took all that there was: who waits for more need not look again before the kernel tells of it.
    pub(crate) fn is_drained(&self) -> bool {
        self.drained
    }

    /// The next whole message, judged by the phase table, decoded and plausible. It has taken its step.
    pub(crate) fn take(&mut self) -> Result<Option<ToHost>, Fault> {
        let Some((kind, body)) = self.incoming.next(Sender::Worker, &self.phases)? else {
            return Ok(None);
        };
        let message = ToHost::decode(kind, body)?.check()?;
        self.phases.advance(kind);
        Ok(Some(message))
    }

    /// Whether nothing came behind the last message: between calls no message of a worker's is legal, and one
    /// that is there already would pass for a part of the next call.
    pub(crate) fn quiet(&mut self) -> Result<(), Fault> {
        self.take()?;
        if self.is_torn() { Err(Fault::Torn) } else { Ok(()) }
    }

    /// Bytes that were received and sent since this was asked last.
    pub(crate) fn take_moved(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.moved)
    }

    /// Whether the peer stopped in the middle of a frame.
    pub(crate) fn is_torn(&self) -> bool {
        self.incoming.is_torn()
    }

    /// Encodes a message to be sent by [`flush`](Self::flush).
    pub(crate) fn queue(&mut self, message: &ToWorker) -> Result<(), Fault> {
        self.phases.check(Sender::Host, message.kind(), 0)?;
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
        }
        message.frame(&mut self.outgoing)?;
        self.phases.advance(message.kind());
        Ok(())
    }

    /// Sends what is queued; waits for room unless told not to. True once everything is sent.
    pub(crate) fn flush(&mut self, wait: bool) -> io::Result<bool> {
        let mut flags = MsgFlags::MSG_NOSIGNAL;
        flags.set(MsgFlags::MSG_DONTWAIT, !wait);
        while self.sent < self.outgoing.len() {
            match nix::sys::socket::send(self.as_raw_fd(), &self.outgoing[self.sent..], flags) {
                Ok(count) => {
                    self.sent += count;
                    self.moved.1 += count as u64;
                }
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(true)
    }

    /// Whether it keeps the memory of a large message for the next one.
    pub(crate) fn is_large(&self) -> bool {
        self.incoming.is_large() || self.outgoing.capacity() > SMALL
    }

    /// Gives it back, and has the worker do the same.
    pub(crate) fn rest(&mut self) -> Result<(), Fault> {
        self.queue(&Rest.into())?;
        // A worker that has read its last call has room for eight bytes; one that has not gets them before its next.
        if self.flush(false).unwrap_or_default() {
            self.outgoing = Vec::new();
            self.sent = 0;
        }
        self.incoming.rest();
        Ok(())
    }

    /// Sends a message with descriptors, at once and whole: whoever gets one has just asked and reads,
    /// so there is room. A peer that left none does not play along. Nor does one that has not read what it was
    /// sent before a descriptor: the kernel counts those on their way for all workers of a user together, and
    /// with too many of them none could start.
    pub(crate) fn send_with_files(
        &mut self,
        message: &ToWorker,
        files: &[BorrowedFd<'_>],
    ) -> Result<(), Fault> {
        if !files.is_empty() && self.unread() > 0 && stands("connection.files-read") {
            return Err(Fault::NotReading);
        }
        self.queue(message)?;
        let sent = fds::send(self.socket.as_fd(), &self.outgoing[self.sent..], files);
        match sent {
            Ok(count) if self.sent + count == self.outgoing.len() => {
                self.sent += count;
                self.moved.1 += count as u64;
                Ok(())
            }
            // It has gone, which is not the same.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Fault::Torn),
            _ => Err(Fault::NotReading),
        }
    }
}

impl Connection {
    /// How much of the kernel's memory is taken by what the peer has not read.
    #[expect(unsafe_code, reason = "JUSTIFICATION: neither nix nor rustix asks a socket what is unread")]
    fn unread(&self) -> libc::c_int {
        nix::ioctl_read_bad!(outgoing_queue, libc::TIOCOUTQ, libc::c_int);
        let mut unread = 0;
        // SAFETY: the kernel writes one int, which lives until the call is over.
        let asked = unsafe { outgoing_queue(self.as_raw_fd(), &raw mut unread) };
        // Every kernel knows this of every stream socket; one that did not would get no file.
        asked.map_or(libc::c_int::MAX, |_| unread)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_fd().as_raw_fd()
    }
}
