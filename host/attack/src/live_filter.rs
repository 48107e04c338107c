//! The filter that the kernel really holds for a live process (A59): read with ptrace(2), digested as the
//! worker's build digests it.
#![expect(
    unsafe_code,
    reason = "JUSTIFICATION: no safe wrapper has PTRACE_SECCOMP_GET_FILTER, and the wait that goes with it has \
              to be for a child without an exit signal"
)]

use std::io;
use std::ptr;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use sha2::{Digest, Sha256};

use crate::fixtures::hex;

/// Linux 4.4; libc has no name for it.
const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;
/// The longest filter that the kernel takes.
const MAX_INSTRUCTIONS: usize = 4096;

/// A process that is stopped, and goes on when this goes. It is let go by the thread that seized it.
struct Seized(Pid);

impl Seized {
    fn new(pid: Pid) -> io::Result<Seized> {
        // SAFETY: seizing takes neither address nor data; both are null.
        request(libc::PTRACE_SEIZE, pid, 0, ptr::null_mut())?;
        let seized = Seized(pid);
        // SAFETY: as above.
        request(libc::PTRACE_INTERRUPT, pid, 0, ptr::null_mut())?;
        waitpid(pid, Some(WaitPidFlag::__WALL))?;
        Ok(seized)
    }

    /// The instructions of the filter that was installed first, the only one of a worker.
    fn filter(&self) -> io::Result<Vec<libc::sock_filter>> {
        let count = request(PTRACE_SECCOMP_GET_FILTER, self.0, 0, ptr::null_mut())?;
        let count = usize::try_from(count).map_err(io::Error::other)?;
        if count > MAX_INSTRUCTIONS {
            return Err(io::Error::other("the kernel says that it holds more instructions than it takes"));
        }
        let mut filter = vec![libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; count];
        request(PTRACE_SECCOMP_GET_FILTER, self.0, 0, filter.as_mut_ptr().cast())?;
        Ok(filter)
    }
}

impl Drop for Seized {
    fn drop(&mut self) {
        // It may have been ended meanwhile; then nothing holds it.
        let _ = request(libc::PTRACE_DETACH, self.0, 0, ptr::null_mut());
    }
}

/// `ptrace(2)`. `data` is null, or has room for what the request writes.
fn request(
    what: libc::c_uint,
    pid: Pid,
    address: usize,
    data: *mut libc::c_void,
) -> io::Result<libc::c_long> {
    // SAFETY: the requests of this file write nothing to this process but a filter to `data`, which is null
    // or has room for as many instructions as the kernel has just said that there are; a filter never grows.
    let result = unsafe { libc::ptrace(what, pid.as_raw(), address, data) };
    Ok(Errno::result(result)?)
}

/// SHA-256 over the instructions, each as code, jt, jf, k in little endian, in hex.
pub(crate) fn digest(pid: u32) -> io::Result<String> {
    let pid = Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?);
    let filter = Seized::new(pid)?.filter()?;
    let mut hash = Sha256::new();
    for instruction in filter {
        hash.update(instruction.code.to_le_bytes());
        hash.update([instruction.jt, instruction.jf]);
        hash.update(instruction.k.to_le_bytes());
    }
    Ok(hex(&hash.finalize()))
}
