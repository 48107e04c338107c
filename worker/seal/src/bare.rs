use std::ffi::CStr;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::prctl;
use nix::sys::signal::{self, SigSet, SigmaskHow};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, execve};
use stockade_ipc::{Confined as ConfinedMessage, Hello, ToWorker};
use stockade_policy::stands;

use crate::{Channel, Filter, SealError};

/// A program as the host started it: confined by the host, not yet by its own filter.
#[derive(Debug)]
pub struct Bare {
    filter: &'static Filter,
}

/// A program whose filter stands and was proved to the host.
#[derive(Debug)]
pub struct Confined {
    channel: Channel,
}

impl Bare {
    /// Takes stock: which filter the host wants, and a clean signal mask (the host starts us with every
    /// signal blocked, so that none reaches the moments between fork and exec).
    pub fn enter() -> Result<Bare, SealError> {
        give_way();
        let name = std::env::args().nth(1).unwrap_or_default();
        let filter = Filter::named(&name)?;
        signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
            .map_err(SealError::SignalMask)?;
        Ok(Bare { filter })
    }

    /// Whether the filter lets the program receive files at run time.
    pub fn receives_files(&self) -> bool {
        self.filter.receives_files
    }

    /// Seals the process. The whole of it, in order.
    pub fn confine(self) -> Result<Confined, SealError> {
        if stands("seal.dumpable") {
            prctl::set_dumpable(false).map_err(SealError::Dumpable)?;
        }
        let mut channel = Channel::inherited();
        give_way();
        let listener = self.filter.install()?;
        let hello = Hello { filter: self.filter.name.to_owned(), filter_digest: self.filter.digest };
        channel.send_with_files(&hello.into(), &[listener.as_fd()])?;
        if stands("seal.listener") {
            drop(listener);
        } else {
            let _ = listener.into_raw_fd();
        }
        canaries()?;
        channel.send(&ConfinedMessage.into())?;
        Ok(Confined { channel })
    }
}

impl Confined {
    /// Waits until the host has attested this process: only then does it send anything. The first message
    /// brings what the program works on.
    pub fn attested(mut self) -> Result<(ToWorker, Vec<OwnedFd>, Channel), SealError> {
        let (message, files) = self.channel.receive_with_files()?;
        Ok((message, files, self.channel))
    }
}

/// Lets another process of this processor have its turn.
fn give_way() {
    // Never fails.
    let _ = nix::sched::sched_yield();
}

/// Tries what must not work, one of each kind. The host sees all four arrive, in this order, and answers
/// EPERM; any other result means that the filter is not what stopped them.
fn canaries() -> Result<(), SealError> {
    const NOWHERE: &CStr = c"/";
    let refused = |name, result: Result<(), Errno>| match result {
        Err(Errno::EPERM) => Ok(()),
        _ => Err(SealError::Canary(name)),
    };
    refused("openat", openat(AT_FDCWD, NOWHERE, OFlag::O_RDONLY, Mode::empty()).map(drop))?;
    refused("socket", socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).map(drop))?;
    refused("execve", execve::<&CStr, &CStr>(NOWHERE, &[], &[]).map(drop))?;
    // Signal 0 to init: asks for permission and does nothing, should it ever get through.
    refused("kill", signal::kill(Pid::from_raw(1), None))
}
