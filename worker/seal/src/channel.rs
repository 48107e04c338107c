use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use stockade_ipc::phase::Sender;
use stockade_ipc::{FrameBuffer, Phases, ToHost, ToWorker, fds};

use crate::SealError;

/// The descriptor of the socket to the host, in every confined program.
const SOCKET: i32 = 3;

/// The one connection that a confined program has.
#[derive(Debug)]
pub struct Channel {
    socket: BorrowedFd<'static>,
    phases: Phases,
    incoming: FrameBuffer,
    outgoing: Vec<u8>,
}

impl Channel {
    #[expect(
        unsafe_code,
        reason = "JUSTIFICATION: a descriptor that is there at start has only its number to be known by"
    )]
    pub(crate) fn inherited() -> Channel {
        // SAFETY: the host starts every confined program with the socket at this number, nothing in the
        // program closes it, and it stays open until the process ends.
        let socket = unsafe { BorrowedFd::borrow_raw(SOCKET) };
        Channel { socket, phases: Phases::default(), incoming: FrameBuffer::default(), outgoing: Vec::new() }
    }

    /// Sends a message; waits while the host does not read.
    pub fn send(&mut self, message: &ToHost) -> Result<(), SealError> {
        self.encode(message)?;
        let mut rest = &self.outgoing[..];
        while !rest.is_empty() {
            match nix::unistd::write(self.socket, rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(Errno::EINTR) => {}
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(SealError::Closed),
                Err(e) => return Err(SealError::Socket(e)),
            }
        }
        self.phases.advance(message.kind());
        Ok(())
    }

    /// Sends a message with descriptors: the Hello. Fits into an empty socket buffer at once.
    pub(crate) fn send_with_files(
        &mut self,
        message: &ToHost,
        files: &[BorrowedFd<'_>],
    ) -> Result<(), SealError> {
        self.encode(message)?;
        let sent = fds::send(self.socket, &self.outgoing, files).map_err(SealError::Receive)?;
        if sent != self.outgoing.len() {
            return Err(SealError::Closed);
        }
        self.phases.advance(message.kind());
        Ok(())
    }

    fn encode(&mut self, message: &ToHost) -> Result<(), SealError> {
        self.phases.check(Sender::Worker, message.kind(), 0)?;
        self.outgoing.clear();
        message.frame(&mut self.outgoing)?;
        Ok(())
    }

    /// Gives back the memory that it keeps for large messages.
    pub fn rest(&mut self) {
        self.outgoing = Vec::new();
        self.incoming.rest();
    }

    /// Waits for the host's next message.
    pub fn receive(&mut self) -> Result<ToWorker, SealError> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(message);
            }
            match nix::unistd::read(self.socket, self.incoming.space()) {
                Ok(0) => return Err(SealError::Closed),
                Ok(count) => self.incoming.filled(count),
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Err(SealError::Closed),
                Err(e) => return Err(SealError::Socket(e)),
            }
        }
    }

    /// Waits for the host's next message and the descriptors with it. Uses `recvmsg`, which only the
    /// first message of a session and workers with an `fs` grant may.
    pub fn receive_with_files(&mut self) -> Result<(ToWorker, Vec<OwnedFd>), SealError> {
        let mut files = Vec::new();
        loop {
            if let Some(message) = self.take()? {
                return Ok((message, files));
            }
            match fds::receive(self.socket, self.incoming.space()) {
                Ok((0, _)) => return Err(SealError::Closed),
                Ok((count, more)) => {
                    self.incoming.filled(count);
                    files.extend(more);
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(SealError::Receive(e)),
            }
        }
    }

    fn take(&mut self) -> Result<Option<ToWorker>, SealError> {
        let Some((kind, body)) = self.incoming.next(Sender::Host, &self.phases)? else {
            return Ok(None);
        };
        let message = ToWorker::decode(kind, body)?;
        self.phases.advance(kind);
        Ok(Some(message))
    }
}
