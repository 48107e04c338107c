//! Descriptors across the socket: from the host to a worker, and once, at boot, the listener back.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

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
/// is an error; none of them stays open.
pub fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; FDS]);
    let mut parts = [IoSliceMut::new(bytes)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let truncated = message.flags.contains(MsgFlags::MSG_CTRUNC);
    let mut fds = Vec::new();
    if let Ok(messages) = message.cmsgs() {
        for control in messages {
            if let ControlMessageOwned::ScmRights(raw) = control {
                fds.extend(raw.into_iter().map(adopt));
            }
        }
    }
    if truncated {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more descriptors than a message has"));
    }
    Ok((message.bytes, fds))
}

#[expect(
    unsafe_code,
    reason = "JUSTIFICATION: nix hands received descriptors out as plain numbers; nothing safe owns them"
)]
fn adopt(fd: std::os::fd::RawFd) -> OwnedFd {
    // SAFETY: the kernel has just installed this descriptor for this recvmsg call, and nobody else
    // has seen its number.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
