//! Compiling a component: hostile bytes for a large program, so in a process of its own, confined like
//! a worker, and thrown away afterwards.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use stockade_ipc::{Compile, CompileFault, Fault, Rejected, ToHost, World};

use crate::boot::{BootError, Booting, LoadingCalls};
use crate::cache::MAX_ARTIFACT;
use crate::error::HostError;
use crate::kernel::{Boottime, Kernel};
use crate::launch::{Launcher, ResourceLimits, Spec};
use crate::memfd::{SealedFile, Use, empty, hex};
use crate::trail::Trail;

/// What compiling may use up. Grows with the component, because honest work does: a Python component
/// of 18 MB takes about 15 s of processor time and 1.2 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caps {
    pub(crate) cpu: Duration,
    pub(crate) memory_bytes: u64,
}

impl Caps {
    pub(crate) fn for_component(len: u64) -> Caps {
        let mebibytes = len.div_ceil(1024 * 1024);
        Caps {
            cpu: Duration::from_secs(10 + 3 * mebibytes),
            memory_bytes: (512 + 64 * mebibytes) * 1024 * 1024,
        }
    }

    /// The machine may be busy with other things.
    fn wall(self) -> Duration {
        self.cpu * 3
    }
}

/// Compiles a component into a sealed artifact and a report on what it imports and exports.
pub(crate) fn compile(
    launcher: &Launcher,
    kernel: &Kernel,
    compiler: &SealedFile,
    component: &SealedFile,
    trail: &Trail,
) -> Result<(SealedFile, World), HostError> {
    const FILTER: &str = "compiler";
    let caps = Caps::for_component(component.len());
    let spec = Spec {
        program: compiler,
        name: "stockade-compiler",
        filter: FILTER,
        limits: ResourceLimits {
            data_bytes: caps.memory_bytes,
            file_bytes: MAX_ARTIFACT,
            cpu_seconds: caps.cpu.as_secs(),
            open_files: 16,
        },
    };
    let since = Boottime::now();
    let started = launcher.start(&spec).map_err(HostError::Launch)?;
    let followed = kernel.follow(trail, &started, since);
    let booting = Booting::new(started, followed);
    let process = booting.process();
    let attested = booting.attest(FILTER, launcher.namespaces()).map_err(|error| {
        trail.boot_failed(&error);
        HostError::Boot(error)
    })?;
    let seq = trail.attested(attested.pid(), &hex(&compiler.digest()), &attested.evidence)?;
    trail.settle_launch(seq)?;

    let output = empty("artifact", Use::Data).map_err(HostError::Memory)?;
    let order = Compile { component_len: component.len() };
    let mut claims = Ok(());
    let loaded = attested.load(
        &order.into(),
        &[component.as_fd(), output.as_fd()],
        LoadingCalls::COMPILER,
        caps.wall(),
        &mut |claim| claims = trail.claimed(&claim),
    );
    claims?;
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            // Whatever ended it, its exit says whether a cap was what it met.
            process.kill();
            let end = process.reap();
            if matches!(error, BootError::Forbidden(..)) {
                trail.boot_failed(&error);
            }
            trail.compiler_ended(&error, end)?;
            return Err(match error {
                BootError::Ended | BootError::TimedOut(_) => {
                    HostError::CompileCap { cap: caps.cpu, end: end.exit, cpu_ms: end.cpu_ms }
                }
                other => HostError::Boot(other),
            });
        }
    };
    drop(process);
    match loaded.answer {
        ToHost::Compiled(compiled) => {
            // Sealing fails while the compiler could still write; it is gone, its mappings with it.
            loaded.process.kill();
            loaded.process.reap();
            let artifact = SealedFile::seal(output).map_err(HostError::Memory)?;
            Ok((artifact, compiled.world))
        }
        ToHost::Rejected(Rejected { fault, message }) => {
            trail.component_rejected(&message)?;
            Err(HostError::Component { fault, message })
        }
        other => {
            let error = BootError::Fault(Fault::OutOfPhase {
                kind: other.kind(),
                phase: stockade_ipc::Phase::Loading,
            });
            loaded.process.kill();
            trail.compiler_ended(&error, loaded.process.reap())?;
            Err(HostError::Boot(error))
        }
    }
}

/// The stable code of a component's fault.
pub(crate) const fn code(fault: CompileFault) -> &'static str {
    match fault {
        CompileFault::NotWasm => "not-wasm",
        CompileFault::CoreModule => "core-module",
        CompileFault::Invalid => "invalid-component",
        CompileFault::TooLarge => "component-too-large",
        CompileFault::Import => "unknown-import",
        CompileFault::Artifact => "artifact-rejected",
        CompileFault::Internal => "compiler-failed",
    }
}

/// The components that are being compiled now: one that several plugins have is compiled once.
#[derive(Debug, Default)]
pub(crate) struct Compiling {
    now: Mutex<BTreeSet<[u8; 32]>>,
    done: Condvar,
}

/// One component's turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct CompileTurn<'a> {
    all: &'a Compiling,
    component: [u8; 32],
}

impl Compiling {
    /// Waits until nobody else compiles this component.
    pub(crate) fn enter(&self, component: [u8; 32]) -> CompileTurn<'_> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        while !now.insert(component) {
            now = self.done.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        CompileTurn { all: self, component }
    }
}

impl Drop for CompileTurn<'_> {
    fn drop(&mut self) {
        self.all.now.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.component);
        self.all.done.notify_all();
    }
}
