//! The kernel's own audit records of what Landlock and seccomp refused, tied to the launches that they are of.
//!
//! A worker's filter stops what it tries before Landlock sees it, and shows it to the host; so there should never be
//! such a record. Where there is one, the filter let something pass, and Landlock refused it: the second layer has a
//! witness of its own. docs/decisions/0025.

mod launches;
mod mode;
mod reader;
mod watch;
mod words;

use std::sync::Arc;

use nix::time::{ClockId, clock_gettime};
use stockade_audit::Log;

pub use mode::{AuditForbidden, KernelRecords};

pub(crate) use launches::{Followed, Owner};

use crate::launch::{Launcher, Started};
use crate::programs::KernelLog;
use crate::trail::Trail;
use launches::Launches;
use watch::Watcher;

/// Reads the kernel's records for one host, where it may.
#[derive(Debug)]
pub(crate) struct Kernel(Option<(Arc<Launches>, Watcher)>);

impl Kernel {
    /// Opens the kernel's socket and starts the reader; says in the log how far that came. Never stops a host:
    /// what a worker's filter refuses reaches it in any case.
    pub(crate) fn start(
        log: &Arc<Log>,
        launcher: &Arc<Launcher>,
        program: KernelLog,
    ) -> std::io::Result<Kernel> {
        let found = mode::look();
        let program = match (program, &found.mode) {
            (KernelLog::Found(program), KernelRecords::Read | KernelRecords::Disabled) => program,
            (KernelLog::Missing(path), KernelRecords::Read | KernelRecords::Disabled) => {
                let mode = KernelRecords::NoProgram(path);
                words::note(log, &words::mode(&mode, found.status, None));
                return Ok(Kernel(None));
            }
            (_, mode) => {
                words::note(log, &words::mode(mode, found.status, None));
                return Ok(Kernel(None));
            }
        };
        let Some(socket) = found.socket else { return Ok(Kernel(None)) };
        let launches = Arc::new(Launches::default());
        let read = watch::Read { socket, program, mode: found.mode, status: found.status };
        let watcher = Watcher::start(Arc::clone(log), Arc::clone(launcher), Arc::clone(&launches), read)?;
        Ok(Kernel(Some((launches, watcher))))
    }

    /// From here on the kernel's records of this process are this launch's. `since` is from before it was started.
    pub(crate) fn follow(&self, trail: &Trail, started: &Started, since: Boottime) -> Option<Followed> {
        let (launches, _) = self.0.as_ref()?;
        Some(launches.follow(trail.owner(), started.pid.unsigned_abs(), started.uid, since))
    }

    /// Waits a moment for what the kernel still has to say, and ends the reader.
    pub(crate) fn stop(&self) {
        if let Some((_, watcher)) = &self.0 {
            watcher.stop();
        }
    }
}

/// Nanoseconds since the machine started, time asleep included: a clock that nobody can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Boottime(u64);

impl Boottime {
    pub(crate) fn now() -> Boottime {
        Boottime(nanoseconds(ClockId::CLOCK_BOOTTIME))
    }

    /// When it was this wall time, if nobody has set that clock since.
    fn of_wall(millis: u64) -> Boottime {
        let age = nanoseconds(ClockId::CLOCK_REALTIME).saturating_sub(millis.saturating_mul(1_000_000));
        Boottime(Boottime::now().0.saturating_sub(age))
    }
}

fn nanoseconds(clock: ClockId) -> u64 {
    // Fails only for a clock that there is not.
    let time = clock_gettime(clock).map_or(std::time::Duration::ZERO, std::time::Duration::from);
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
