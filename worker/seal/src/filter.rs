use std::os::fd::{FromRawFd, OwnedFd};

use nix::errno::Errno;

use crate::SealError;

/// A seccomp filter, compiled when the program was built.
#[derive(Debug)]
pub struct Filter {
    /// The profile it belongs to, `+fs` where files may be received at run time.
    pub name: &'static str,
    /// Whether it allows receiving files.
    pub receives_files: bool,
    program: &'static [libc::sock_filter],
    /// SHA-256 over the instructions, each as code, jt, jf, k in little endian.
    pub digest: [u8; 32],
}

const fn ins(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Every filter that this program can put up.
pub static FILTERS: [Filter; 9] = include!(concat!(env!("OUT_DIR"), "/filters.rs"));

/// The filters with one protection taken out each, by its name. Only in test builds (docs/decisions/0013).
#[cfg(feature = "removable-protections")]
static VARIANTS: &[(&str, Filter)] = include!(concat!(env!("OUT_DIR"), "/variants.rs"));

/// Linux 5.19: a caller waiting for its verdict can only be killed, so that a signal cannot make it
/// retry and confuse the count of loading calls.
const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;

impl Filter {
    /// The filter of this name.
    pub fn named(name: &str) -> Result<&'static Filter, SealError> {
        #[cfg(feature = "removable-protections")]
        if let Some((_, variant)) = VARIANTS
            .iter()
            .find(|(protection, filter)| filter.name == name && !stockade_policy::stands(protection))
        {
            return Ok(variant);
        }
        FILTERS.iter().find(|f| f.name == name).ok_or_else(|| SealError::UnknownFilter(name.to_owned()))
    }

    /// The instructions, as the kernel gets them.
    pub fn program(&self) -> &'static [libc::sock_filter] {
        self.program
    }

    /// Puts the filter up for good and returns the listener of its notifications.
    #[expect(
        unsafe_code,
        reason = "JUSTIFICATION: no wrapper installs a filter with a listener; seccompiler and nix have no call"
    )]
    pub fn install(&self) -> Result<OwnedFd, SealError> {
        let program = libc::sock_fprog {
            len: u16::try_from(self.program.len()).expect("the kernel takes at most 4096 instructions"),
            filter: self.program.as_ptr().cast_mut(),
        };
        // SAFETY: `program` points to instructions that live for ever; the kernel copies them and writes
        // nothing through the pointer.
        let listener = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE_RECV,
                &raw const program,
            )
        };
        let listener = Errno::result(listener).map_err(SealError::Filter)?;
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(listener as i32) })
    }
}
