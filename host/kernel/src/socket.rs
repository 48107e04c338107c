use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, setsockopt,
    socket, sockopt,
};

use crate::bounds;
use crate::error::KernelLogError;

/// `AUDIT_NLGRP_READLOG`, as a bit: every record, to everybody who may read (Linux 3.16).
const READLOG: u32 = 1;
/// Bytes of `struct nlmsghdr`: length, type, flags, sequence, port.
pub(crate) const HEADER: usize = 16;

/// Where the kernel sends every audit record of the machine. Who has it may read, with or without privilege: the
/// kernel looks when it is made (`audit_multicast_bind`).
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// What came in one piece.
#[derive(Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A record: its number and its text.
    Record(u16, &'a [u8]),
    /// Something that the kernel did not send, or that is too short.
    Foreign,
    /// The kernel threw records away, because they were not read in time.
    Overrun,
    /// Nothing, just now.
    Nothing,
}

impl Socket {
    /// Makes one. Needs CAP_AUDIT_READ in the first user namespace.
    pub fn open() -> Result<Socket, KernelLogError> {
        let fd = audit_socket()?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, READLOG)).map_err(KernelLogError::Join)?;
        // Root may have more than others; whoever is not root has what `net.core.rmem_max` allows.
        if setsockopt(&fd, sockopt::RcvBufForce, &bounds::QUEUE).is_err() {
            let _ = setsockopt(&fd, sockopt::RcvBuf, &bounds::QUEUE);
        }
        Ok(Socket(fd))
    }

    /// The one that somebody else has made.
    pub fn from_fd(fd: OwnedFd) -> Socket {
        Socket(fd)
    }

    /// Receives without waiting.
    pub fn receive<'b>(&self, buffer: &'b mut [u8; bounds::DATAGRAM]) -> nix::Result<Datagram<'b>> {
        // The address says who sent it: 0 is the kernel.
        match recvfrom::<NetlinkAddr>(self.0.as_raw_fd(), buffer) {
            Ok((length, sender)) => Ok(match record(&buffer[..length.min(bounds::DATAGRAM)]) {
                Some((kind, text)) if sender.is_some_and(|sender| sender.pid() == 0) => {
                    Datagram::Record(kind, text)
                }
                _ => Datagram::Foreign,
            }),
            Err(Errno::ENOBUFS) => Ok(Datagram::Overrun),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Datagram::Nothing),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

pub(crate) fn audit_socket() -> Result<OwnedFd, KernelLogError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkAudit)
        .map_err(KernelLogError::Socket)
}

/// Type and text. Whether the kernel's own length counts the header depends on the release; the datagram's end is
/// the text's.
fn record(datagram: &[u8]) -> Option<(u16, &[u8])> {
    let (header, text) = datagram.split_first_chunk::<HEADER>()?;
    Some((u16::from_ne_bytes([header[4], header[5]]), text))
}

/// Sends `datagram` to the kernel.
pub(crate) fn send(fd: &OwnedFd, datagram: &[u8]) -> nix::Result<()> {
    nix::sys::socket::sendto(fd.as_raw_fd(), datagram, &NetlinkAddr::new(0, 0), MsgFlags::empty()).map(drop)
}
