//! The kernel's word on what a confined program tried: seccomp notifications (`seccomp_unotify(2)`).

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use stockade_policy::stands;

use crate::call_name::{X86_64, call_name};

/// A call that a filter did not allow. The caller waits for its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notification {
    id: u64,
    pub(crate) pid: u32,
    arch: u64,
    number: i32,
    pub(crate) args: [u64; 6],
}

/// The host's end of a filter.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

impl Listener {
    /// Takes a descriptor that a program claims to be its filter's listener; none if it is not one.
    pub(crate) fn adopt(fd: OwnedFd) -> Option<Listener> {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
        (link.as_os_str() == "anon_inode:seccomp notify" || !stands("attest.listener"))
            .then_some(Listener(fd))
    }

    /// Takes the next notification. Waits if there is none: poll first.
    pub(crate) fn receive(&self) -> Result<Notification, Errno> {
        let mut raw = libc::seccomp_notif {
            id: 0,
            pid: 0,
            flags: 0,
            data: libc::seccomp_data { nr: 0, arch: 0, instruction_pointer: 0, args: [0; 6] },
        };
        self.control(request(b'!', 0, size_of::<libc::seccomp_notif>()), &mut raw)?;
        let libc::seccomp_data { nr: number, arch, args, .. } = raw.data;
        Ok(Notification { id: raw.id, pid: raw.pid, arch: arch.into(), number, args })
    }

    /// Answers with EPERM.
    pub(crate) fn refuse(&self, notification: &Notification) -> Result<(), Errno> {
        self.answer(notification, -libc::EPERM, 0)
    }

    /// Lets the call happen. Only ever decided on the phase and on register arguments: what a pointer
    /// points to can be changed after the look.
    pub(crate) fn pass(&self, notification: &Notification) -> Result<(), Errno> {
        self.answer(notification, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32)
    }

    fn answer(&self, to: &Notification, error: i32, flags: u32) -> Result<(), Errno> {
        let mut raw = libc::seccomp_notif_resp { id: to.id, val: 0, error, flags };
        self.control(request(b'!', 1, size_of::<libc::seccomp_notif_resp>()), &mut raw)
    }

    #[expect(unsafe_code, reason = "JUSTIFICATION: no wrapper knows the seccomp notification requests")]
    fn control<T>(&self, request: libc::c_ulong, argument: &mut T) -> Result<(), Errno> {
        // SAFETY: `request` says how large T is, and T is the plain struct that the kernel expects.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), request, std::ptr::from_mut(argument)) };
        Errno::result(result).map(drop)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `_IOWR(group, number, size)`
const fn request(group: u8, number: u8, size: usize) -> libc::c_ulong {
    3 << 30 | (size as libc::c_ulong) << 16 | (group as libc::c_ulong) << 8 | number as libc::c_ulong
}

impl Notification {
    /// The call's number; none where it is one of another architecture, whose numbers mean other calls.
    pub(crate) fn call(&self) -> Option<libc::c_long> {
        (self.arch == X86_64 || !stands("notify.architecture")).then(|| self.number.into())
    }

    pub(crate) fn name(&self) -> String {
        call_name(self.arch, self.number)
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::eventfd::EventFd;

    use super::*;

    #[test]
    fn b13_what_is_no_listener_is_not_taken_for_one() {
        let event: OwnedFd = EventFd::new().unwrap().into();
        assert!(Listener::adopt(event).is_none());
        assert!(Listener::adopt(std::fs::File::open("/dev/null").unwrap().into()).is_none());
    }
}
