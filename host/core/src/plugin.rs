use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use stockade_audit::Plugin as AuditPlugin;
use stockade_ipc::{Call, CompileFault, Fault, Load, Outcome as Returned, Phase, Rejected, ToHost};
use stockade_package::{Explain, Problem, Tool};
use stockade_policy::{Capability, Profile, Scope, stands};

use crate::boot::{BootError, Booting, LoadingCalls};
use crate::broker::Broker;
use crate::error::{HostError, deadline};
use crate::fate::Cause;
use crate::host::Host;
use crate::launch::{ResourceLimits, Spec, widen};
use crate::log::LogGate;
use crate::memfd::{SealedFile, hex};
use crate::outcome::{Outcome, Status};
use crate::reap::{Ended, Exit, OUT_OF_MEMORY};
use crate::registry::{Caller, Number};
use crate::restarts::Restarts;
use crate::scratch::Scratch;
use crate::sentinel::Watch;
use crate::session::{Called, Session};
use crate::trail::Trail;

/// Everything that loading made of a package.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) identity: Arc<AuditPlugin>,
    pub(crate) profile: &'static Profile,
    pub(crate) artifact: SealedFile,
    pub(crate) load: Load,
    pub(crate) broker: Arc<Broker>,
    pub(crate) scratch: Option<Scratch>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) pending: Vec<Scope>,
}

/// A loaded plugin. Cheap to clone; calls of one plugin run one after the other.
#[derive(Clone, Debug)]
pub struct Plugin(Arc<Inner>);

/// A plugin that others may have let go of.
#[derive(Clone, Debug)]
pub(crate) struct WeakPlugin(Weak<Inner>);

impl WeakPlugin {
    pub(crate) fn upgrade(&self) -> Option<Plugin> {
        self.0.upgrade().map(Plugin)
    }
}

#[derive(Debug)]
struct Inner {
    host: Host,
    identity: Arc<AuditPlugin>,
    profile: &'static Profile,
    artifact: SealedFile,
    load: Load,
    tools: Vec<Tool>,
    pending: Vec<Scope>,
    scratch: Option<Scratch>,
    broker: Arc<Broker>,
    session: tokio::sync::Mutex<Option<Session>>,
    restarts: Mutex<Restarts>,
}

/// How a single call differs from the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// Wall clock; the profile's default if not said.
    pub deadline: Option<Duration>,
}

/// How long mapping and linking an artifact may take: a hundred times what the largest takes.
const LOAD_TIME: Duration = Duration::from_secs(5);
/// Committed memory of a worker before its guest has any: stack, allocator, engine, the pages of the
/// artifact that relocation or data initialisation touches.
const OVERHEAD_BYTES: u64 = 32 * 1024 * 1024;

impl Plugin {
    pub(crate) fn start(host: &Host, made: Made) -> Result<Plugin, HostError> {
        let Made { identity, profile, artifact, load, broker, scratch, tools, pending } = made;
        let plugin = Plugin(Arc::new(Inner {
            host: host.clone(),
            identity,
            profile,
            artifact,
            load,
            tools,
            pending,
            scratch,
            broker,
            session: tokio::sync::Mutex::new(None),
            restarts: Mutex::new(Restarts::up_to(host.0.restarts_per_second, Instant::now())),
        }));
        let session = plugin.0.launch()?;
        plugin.0.session.try_lock().expect("nobody else has the plugin yet").replace(session);
        host.0.registry.enter(&plugin);
        Ok(plugin)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.identity.name
    }

    /// What it can be asked to do.
    pub fn tools(&self) -> &[Tool] {
        &self.0.tools
    }

    /// What its manifest asks for and nobody has approved: it runs without.
    pub fn pending(&self) -> &[Scope] {
        &self.0.pending
    }

    pub(crate) fn downgrade(&self) -> WeakPlugin {
        WeakPlugin(Arc::downgrade(&self.0))
    }

    /// Which of the host's plugins it is.
    pub(crate) fn number(&self) -> Number {
        self.0.broker.number()
    }

    /// The process that runs it now, if there is one.
    pub fn worker_pid(&self) -> Option<u32> {
        let session = self.0.session.try_lock().ok()?;
        session.as_ref().map(|session| session.watch().pid())
    }

    /// Runs a tool. `arguments` is one JSON text. The deadline counts from the moment that the worker gets
    /// the call: earlier calls, a pause after a death, and the start of a new worker come before it.
    pub async fn call(&self, tool: &str, arguments: &str, options: CallOptions) -> Outcome {
        self.run(tool, arguments, options, None).await
    }

    /// Runs a tool for another plugin, and no longer than that one's own call.
    ///
    /// A boxed future: a plugin that is called may call others.
    pub(crate) fn call_from<'a>(
        &'a self,
        tool: &'a str,
        arguments: &'a str,
        caller: Caller,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        Box::pin(self.run(tool, arguments, CallOptions::default(), Some(caller)))
    }

    async fn run(
        &self,
        tool: &str,
        arguments: &str,
        options: CallOptions,
        caller: Option<Caller>,
    ) -> Outcome {
        let began = Instant::now();
        let (call, allowance) = match self.prepare(tool, arguments, options) {
            Ok(prepared) => prepared,
            Err(outcome) => return *outcome,
        };
        let mut slot = self.0.session.lock().await;
        // Taken out for the time of the call: a call that is dropped halfway takes the worker with it.
        let session = match slot.take() {
            Some(session) if session.watch().fate.now().1.is_none() => Ok(session),
            _ => match self.0.pause(allowance) {
                Ok(pause) => {
                    tokio::time::sleep(pause).await;
                    let inner = Arc::clone(&self.0);
                    tokio::task::spawn_blocking(move || inner.launch())
                        .await
                        .unwrap_or(Err(HostError::Stopped))
                }
                Err(outcome) => return *outcome,
            },
        };
        match session {
            Ok(mut session) => {
                let left = |caller: &Caller| caller.until.saturating_duration_since(Instant::now());
                let allowance = caller.as_ref().map_or(allowance, |caller| left(caller).min(allowance));
                let called = session.call_async(call, allowance, caller).await;
                self.0.settle(&mut slot, session, called, began)
            }
            Err(error) => self.0.not_launched(&error, began),
        }
    }

    /// [`call`](Self::call) on this thread. Must not be used inside an async runtime.
    pub fn call_blocking(&self, tool: &str, arguments: &str, options: CallOptions) -> Outcome {
        let began = Instant::now();
        let (call, allowance) = match self.prepare(tool, arguments, options) {
            Ok(prepared) => prepared,
            Err(outcome) => return *outcome,
        };
        let mut slot = self.0.session.blocking_lock();
        let session = match slot.take() {
            Some(session) if session.watch().fate.now().1.is_none() => Ok(session),
            _ => match self.0.pause(allowance) {
                Ok(pause) => {
                    std::thread::sleep(pause);
                    self.0.launch()
                }
                Err(outcome) => return *outcome,
            },
        };
        match session {
            Ok(mut session) => {
                let called = session.call(call, allowance);
                self.0.settle(&mut slot, session, called, began)
            }
            Err(error) => self.0.not_launched(&error, began),
        }
    }

    /// Ends the worker, if there is one; the next call starts another.
    pub fn stop_worker(&self) {
        // In the middle of a call the call has it; that call's deadline is its end.
        if let Ok(mut slot) = self.0.session.try_lock()
            && let Some(session) = slot.take()
        {
            let watch = Arc::clone(session.watch());
            drop(session);
            watch.fate.wait();
        }
    }

    /// Checks tool, arguments and deadline before anything moves.
    fn prepare(
        &self,
        tool: &str,
        arguments: &str,
        options: CallOptions,
    ) -> Result<(Call, Duration), Box<Outcome>> {
        let allowance = deadline(options.deadline, &self.0.profile.limits)
            .map_err(|error| Box::new(failed(Status::Failed, error.problem())))?;
        let Some(known) = self.0.tools.iter().find(|known| known.name == tool) else {
            let names: Vec<_> = self.0.tools.iter().map(|tool| tool.name.as_str()).collect();
            return Err(Box::new(failed(
                Status::Failed,
                Problem {
                    code: "unknown-tool",
                    field: "tool".into(),
                    message: format!("the plugin has no tool {tool:?}"),
                    next_step: format!("use one of: {}", names.join(", ")),
                },
            )));
        };
        let checked = if stands("call.arguments") { known.check_arguments(arguments) } else { Ok(()) };
        checked.map_err(|error| Box::new(failed(Status::Failed, error.problem())))?;
        Ok((Call { call: 0, tool: tool.to_owned(), arguments: arguments.to_owned() }, allowance))
    }
}

impl Inner {
    /// Starts a worker, proves it, gives it the artifact.
    fn launch(&self) -> Result<Session, HostError> {
        let host = &self.host.0;
        let trail = host.trail(&self.identity);
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
        let started = host.launcher.start(&spec).map_err(HostError::Launch)?;
        let attested = Booting::new(started).attest(&filter, host.launcher.namespaces());
        let attested = attested.map_err(|error| {
            trail.boot_failed(&error);
            HostError::Boot(error)
        })?;
        let seq = trail.attested(attested.pid(), &hex(&host.programs.worker.digest()), &attested.evidence)?;
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
        trail.settle_launch(seq)?;
        widen(loaded.process.pid());
        let watch = Arc::new(Watch::new(loaded.process, loaded.listener, loaded.connection.socket(), trail));
        host.sentinel.watch(&watch).map_err(HostError::Sentinel)?;
        Ok(Session::new(
            loaded.connection,
            watch,
            Arc::clone(&self.broker),
            self.load.reuse_instance,
            LogGate::new(limits.log_lines_per_second),
            Arc::clone(&host.sentinel),
        ))
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

    fn restarts(&self) -> std::sync::MutexGuard<'_, Restarts> {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long to wait before the next worker may start; an outcome where that is past the deadline.
    fn pause(&self, allowance: Duration) -> Result<Duration, Box<Outcome>> {
        let restarts = self.restarts();
        let pause = restarts.pause(Instant::now());
        if pause < allowance || !stands("restart.pause") {
            return Ok(if stands("restart.pause") { pause } else { Duration::ZERO });
        }
        Err(Box::new(failed(
            Status::Failed,
            Problem {
                code: "backing-off",
                field: "plugin".into(),
                message: match restarts.in_a_row() {
                    0 | 1 => format!("workers of this plugin die too often; the next starts in {pause:.1?}"),
                    deaths => format!("{deaths} workers died in a row; the next starts in {pause:.1?}"),
                },
                next_step: "see the audit log for what ended them; wait, or give the call more time".into(),
            },
        )))
    }

    fn not_launched(&self, error: &HostError, began: Instant) -> Outcome {
        self.restarts().died(Instant::now());
        Outcome { elapsed: began.elapsed(), ..failed(Status::Failed, error.problem()) }
    }

    /// Turns what a call came to into its outcome; a worker that lives on goes back to its place.
    fn settle(
        &self,
        slot: &mut Option<Session>,
        session: Session,
        called: Called,
        began: Instant,
    ) -> Outcome {
        let trail = &session.watch().trail;
        let denials = trail.left();
        let mut outcome = match called {
            Ok(returned) => {
                self.restarts().answered();
                let outcome = returned_outcome(returned);
                slot.replace(session);
                outcome
            }
            Err((cause, end)) => {
                self.restarts().died(Instant::now());
                killed_outcome(cause, end)
            }
        };
        outcome.denials = denials;
        outcome.elapsed = began.elapsed();
        outcome
    }
}

fn failed(status: Status, reason: Problem) -> Outcome {
    Outcome { status, value: None, reason: Some(reason), denials: Vec::new(), elapsed: Duration::ZERO }
}

fn returned_outcome(returned: Returned) -> Outcome {
    match returned {
        Returned::Value(value) => Outcome { value: Some(value), ..succeeded() },
        Returned::Error(error) => {
            let code = error.code();
            let (status, next_step) = match code {
                "denied" => (Status::Denied, "the audit log names the grant that was missing"),
                "unknown-tool" => (Status::ToolError, "the manifest declares a tool that the plugin lacks"),
                "invalid-arguments" => (Status::ToolError, "change the arguments as the message says"),
                _ => (Status::ToolError, "the message is the plugin's own"),
            };
            failed(
                status,
                Problem {
                    code,
                    field: "tool".into(),
                    message: error.message().to_owned(),
                    next_step: next_step.into(),
                },
            )
        }
        Returned::Trap(trap) => failed(
            Status::Trapped,
            Problem {
                code: "trapped",
                field: trap.code,
                message: trap.message,
                next_step: "the plugin has a bug or met a limit; the next call gets a fresh instance".into(),
            },
        ),
    }
}

fn succeeded() -> Outcome {
    Outcome { status: Status::Ok, value: None, reason: None, denials: Vec::new(), elapsed: Duration::ZERO }
}

fn killed_outcome(cause: Option<Cause>, end: Ended) -> Outcome {
    let hostile = "treat the plugin as hostile; the audit log has the record";
    let (code, field, message, next_step) = match (cause, end.exit) {
        (Some(Cause::Syscall { name }), _) => (
            "forbidden-call",
            name.clone(),
            format!("the worker tried the system call {name} and was ended"),
            hostile,
        ),
        (Some(Cause::Deadline(allowance)), _) => (
            "deadline",
            "deadline".to_owned(),
            format!("the call was not over after {allowance:?}, and the worker was ended"),
            "give the call more time if it needs it",
        ),
        (Some(Cause::Fault(fault)), _) => (
            "protocol-fault",
            "worker".to_owned(),
            format!("the worker broke the protocol ({fault}) and was ended"),
            hostile,
        ),
        (Some(Cause::Unrecorded(why)), _) => (
            "audit-log",
            "audit".to_owned(),
            format!("something had to be recorded and could not be: {why}"),
            "make the audit log writable; nothing that needs a record is done until then",
        ),
        (Some(Cause::Host(why)), _) => (
            "host-resources",
            "host".to_owned(),
            format!("the host could not go on with the call: {why}"),
            "allow this process more open files (ulimit -n), or stop plugins",
        ),
        (Some(Cause::Stopped), _) => {
            ("stopped", "host".to_owned(), "the host stopped the worker".to_owned(), "load the plugin again")
        }
        (None, Exit::Signal(libc::SIGSYS)) => (
            "foreign-call",
            "worker".to_owned(),
            "the worker made a system call of a foreign architecture and was ended".to_owned(),
            hostile,
        ),
        (None, Exit::Code(OUT_OF_MEMORY)) => (
            "memory-limit",
            "memory".to_owned(),
            "the worker met its memory limit and ended".to_owned(),
            "give the plugin more memory if it needs it",
        ),
        (None, exit) => (
            "worker-died",
            "worker".to_owned(),
            format!("the worker ended by itself: {exit}"),
            "the plugin met a limit or a bug; the audit log has the worker's end",
        ),
    };
    failed(Status::Killed, Problem { code, field, message, next_step: next_step.into() })
}
