//! Descriptors across the socket: from the host to a worker, and once, at boot, the listener back.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use stockade_policy::stands;

use crate::bounds::FDS;

/// Sends `bytes` with `fds` attached to their first byte. May send fewer bytes than given.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    Ok(sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(bytes)],
        control,
        MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
        None,
    )?)
}

/// Receives bytes and at most [`FDS`] descriptors, close-on-exec. A message whose descriptors do not fit
/// is an error; none of them stays open. (rustix and not nix: where the kernel says that descriptors were
/// cut off, nix hands out none of those that it has already installed, and they would stay open for ever.)
pub fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(bytes)];
    let message = recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            fds.extend(rights);
        }
    }
    // Alignment can leave room for a descriptor more than was asked for.
    if (message.flags.contains(ReturnFlags::CTRUNC) || fds.len() > FDS) && stands("descriptors.count") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more descriptors than a message has"));
    }
    Ok((message.bytes, fds))
}
