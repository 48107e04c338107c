//! From a loaded plugin to a worker of its own that takes calls.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stockade_ipc::{CompileFault, Fault, Phase, Rejected, ToHost};
use stockade_policy::Capability;

use super::Inner;
use crate::boot::{BootError, Booting, LoadingCalls};
use crate::error::HostError;
use crate::kernel::Boottime;
use crate::launch::{ResourceLimits, Spec, Together, widen};
use crate::log::LogGate;
use crate::memfd::hex;
use crate::sentinel::Watch;
use crate::session::Session;
use crate::supervise::{Notice, Start};
use crate::trail::Trail;

/// How long mapping and linking an artifact may take: a hundred times what the largest takes.
const LOAD_TIME: Duration = Duration::from_secs(5);
/// Committed memory of a worker before its guest has any: stack, allocator, engine, the pages of the
/// artifact that relocation or data initialisation touches.
const OVERHEAD_BYTES: u64 = 32 * 1024 * 1024;

impl Inner {
    /// Starts a worker, proves it, gives it the artifact; the record of it is on the disk then.
    pub(super) fn launch(&self) -> Result<Session, HostError> {
        let mut session = self.launch_for_call()?;
        session.settle_launch()?;
        Ok(session)
    }

    /// Likewise, for a call on this thread: while the record is on its way to the disk the worker has the call already. It
    /// is there before anything that the worker says is acted on.
    pub(super) fn launch_for_call(&self) -> Result<Session, HostError> {
        let span = tracing::info_span!(target: "stockade::call", "launch", plugin = self.identity.name);
        let session = span.in_scope(|| self.launch_worker())?;
        self.restarts().started();
        self.meter.worker_started();
        self.wanted.store(true, Ordering::Release);
        self.has_worker(session.watch());
        self.look();
        Ok(session)
    }

    fn launch_worker(&self) -> Result<Session, HostError> {
        let host = &self.host.0;
        let trail = host.trail(&self.identity, &self.meter);
        let files = self.load.grants.has(Capability::FsRead);
        let filter = format!("{}{}", self.profile.filter, if files { "+fs" } else { "" });
        let limits = &self.profile.limits;
        let data_bytes = self.load.memory_bytes + OVERHEAD_BYTES;
        self.artifact_fits(data_bytes, &trail)?;
        if let Some(scratch) = &self.scratch {
            scratch.empty().map_err(|source| HostError::State { path: scratch.path().to_owned(), source })?;
        }
        let spec = Spec {
            program: &host.programs.worker,
            name: "stockade-worker",
            filter: &filter,
            limits: ResourceLimits {
                data_bytes,
                file_bytes: 0,
                cpu_seconds: limits.cpu_seconds,
                open_files: limits.open_files,
            },
        };
        let since = Boottime::now();
        let started = host.launcher.start(&spec).map_err(HostError::Launch)?;
        let together = Together::with(started.pid);
        let followed = host.kernel.follow(&trail, &started, since);
        let attested = Booting::new(started, followed).attest(&filter, host.launcher.namespaces());
        let attested = attested.map_err(|error| {
            trail.boot_failed(&error);
            HostError::Boot(error)
        })?;
        let seq = trail.attested(attested.pid(), &hex(&host.programs.worker.digest()), &attested.evidence)?;
        host.flusher.ask(seq);
        let calls = LoadingCalls::WORKER;
        let mut claims = Ok(());
        let loaded = attested
            .load(&self.load.clone().into(), &[self.artifact.as_fd()], calls, LOAD_TIME, &mut |claim| {
                claims = trail.claimed(&claim);
            })
            .map_err(|error| {
                trail.boot_failed(&error);
                HostError::Boot(error)
            })?;
        claims?;
        match loaded.answer {
            ToHost::Loaded(_) => {}
            ToHost::Rejected(Rejected { fault, message }) => {
                trail.component_rejected(&message)?;
                return Err(HostError::Component { fault, message });
            }
            other => {
                let error = BootError::Fault(Fault::OutOfPhase { kind: other.kind(), phase: Phase::Loading });
                trail.boot_failed(&error);
                return Err(HostError::Boot(error));
            }
        }
        widen(loaded.process.pid());
        drop(together);
        let notice = (self.supervision.start == Start::Kept).then(|| Notice {
            keeper: Arc::clone(&host.keeper),
            number: self.broker.number(),
            plugin: self.me.clone(),
        });
        let watch = Watch::new(loaded.process, loaded.listener, loaded.connection.socket(), trail, notice);
        let watch = Arc::new(watch);
        host.sentinel.watch(&watch).map_err(HostError::Sentinel)?;
        Ok(Session::new(
            loaded.connection,
            watch,
            Arc::clone(&self.broker),
            self.load.reuse_instance,
            LogGate::new(limits.log_lines_per_second),
            Arc::clone(&host.sentinel),
        )
        .launched(seq))
    }

    /// The worker maps the artifact whole, and counts it. An engine that finds no room for it, or nothing in
    /// it, looks for the file's name to say so, which is a call that would make the plugin look hostile.
    fn artifact_fits(&self, data_bytes: u64, trail: &Trail) -> Result<(), HostError> {
        let most = data_bytes - OVERHEAD_BYTES / 2;
        if (1..=most).contains(&self.artifact.len()) {
            return Ok(());
        }
        let message = format!(
            "the artifact has {} bytes, and a worker with this memory has room for 1 to {most}",
            self.artifact.len()
        );
        trail.component_rejected(&message)?;
        Err(HostError::Component { fault: CompileFault::Artifact, message })
    }
}
