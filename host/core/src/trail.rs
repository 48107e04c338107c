//! What one worker leaves in the audit log. Every refusal passes here before it is answered.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stockade_audit::{AuditError, Decision, Layer, Log, Plugin, Record};
use stockade_ipc::{Fault, Refused};
use stockade_policy::{
    Ask, Budget, Denial, Grants, GuestPath, HttpTarget, PathError, PublicKey, Rule, Unit, stands,
};

use crate::approvals::Book;
use crate::boot::BootError;
use crate::call_id::CallId;
use crate::fate::Cause;
use crate::meter::Meter;
use crate::outcome::end_code;
use crate::reap::{Ended, Exit, OUT_OF_MEMORY};
use crate::registry::Caller;

/// The log did not take a record: what it was about must not happen.
#[derive(Debug, thiserror::Error)]
#[error("the audit log did not take the record")]
pub struct Unrecorded(#[from] pub(crate) AuditError);

/// The records of one worker, from its launch to its end.
#[derive(Debug)]
pub(crate) struct Trail {
    log: Arc<Log>,
    plugin: Arc<Plugin>,
    launch: Arc<str>,
    meter: Arc<Meter>,
    /// The running call; 0 before the first.
    call: AtomicU64,
    running: Mutex<Running>,
}

/// What is to know of the running call.
#[derive(Debug, Default)]
struct Running {
    id: Option<CallId>,
    /// Numbers of the records that it has left.
    left: Vec<u64>,
}

/// How many record numbers one outcome names. A flood has more records than anybody reads.
const NAMED_RECORDS: usize = 64;

const HOSTILE: &str = "the worker sent what it should have refused: treat the plugin as hostile";

/// Why a granted path is not reached, and what to do about it.
#[derive(Clone, Copy)]
pub(crate) struct Unreachable {
    why: &'static str,
    next_step: &'static str,
}

impl Unreachable {
    const INSTEAD: &'static str = "put the file itself into the granted tree if the plugin should reach it";
    pub(crate) const LINK: Self = Self { why: "a symbolic link is on the way", next_step: Self::INSTEAD };
    pub(crate) const OUTSIDE: Self =
        Self { why: "the way leaves the tree or its file system", next_step: Self::INSTEAD };
    pub(crate) const NO_FILE: Self =
        Self { why: "it is neither a file nor a directory", next_step: Self::INSTEAD };
    pub(crate) const NOT_OURS: Self = Self {
        why: "the host itself may not do that",
        next_step: "let the user whom the host runs as do it if the plugin should",
    };
    pub(crate) const RUNS_AS_ANOTHER: Self = Self {
        why: "it is a program that runs as another user than whoever starts it",
        next_step: "take the set-user-ID and set-group-ID bits away if the plugin should change it",
    };
}

impl Trail {
    pub(crate) fn new(log: Arc<Log>, plugin: Arc<Plugin>, launch: Arc<str>) -> Trail {
        let (meter, running) = (Arc::default(), Mutex::default());
        Trail { log, plugin, launch, meter, call: AtomicU64::new(0), running }
    }

    /// What is written is counted there.
    pub(crate) fn counted_by(mut self, meter: &Arc<Meter>) -> Trail {
        self.meter = Arc::clone(meter);
        self
    }

    /// Whose records these are, for who finds out later than it happened.
    pub(crate) fn owner(&self) -> crate::kernel::Owner {
        crate::kernel::Owner::new(&self.plugin, &self.launch, &self.meter)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn plugin_name(&self) -> &str {
        &self.plugin.name
    }

    /// A call begins: what is recorded from here on belongs to it.
    pub(crate) fn begin_call(&self, call: u64, id: CallId) {
        self.call.store(call, Ordering::Relaxed);
        let mut running = self.running();
        running.id = Some(id);
        running.left.clear();
    }

    /// The running call, or the last that ran.
    pub(crate) fn call_id(&self) -> Option<CallId> {
        self.running().id
    }

    /// The numbers of the records that the running call has left so far.
    pub(crate) fn left(&self) -> Vec<u64> {
        std::mem::take(&mut self.running().left)
    }

    fn record(&self, layer: Layer, event: &'static str, decision: Decision) -> Record {
        let record =
            Record::new(layer, event, decision).plugin(&self.plugin).launch(Arc::clone(&self.launch));
        let record = match decision {
            Decision::Denied if self.meter.is_observed() => record.detail("mode", "observe"),
            _ => record,
        };
        let record = match self.call.load(Ordering::Relaxed) {
            0 => record,
            call => record.call(call),
        };
        match self.call_id() {
            None => record,
            Some(id) => record.detail("trace", id.to_string()),
        }
    }

    fn write(&self, record: &Record) -> Result<u64, Unrecorded> {
        let receipt = match self.log.append(record) {
            Err(_) if !stands("trail.first") => return Ok(0),
            receipt => receipt?,
        };
        self.meter.recorded(record);
        // One that was only counted has no number of its own.
        if receipt.verbatim && !matches!(record.decision, Decision::Noted | Decision::Allowed) {
            let left = &mut self.running().left;
            if left.len() < NAMED_RECORDS {
                left.push(receipt.seq);
            }
        }
        Ok(receipt.seq)
    }

    /// A record of something that is past preventing: the worker is being ended as it is written.
    fn note(&self, record: &Record) {
        if let Err(error) = self.write(record) {
            tracing::error!(target: "stockade::host", %error, event = %record.event, "audit record lost");
        }
    }

    /// The proof of a launch. Written before the program gets its work; [`Trail::settle_launch`] waits until
    /// it is on the disk, which is before a compiler gets its component and before anything that a worker says in its first
    /// call is acted on.
    pub(crate) fn attested(
        &self,
        pid: u32,
        program: &str,
        evidence: &BTreeMap<&'static str, String>,
    ) -> Result<u64, Unrecorded> {
        let mut record = self
            .record(Layer::Launch, "attested", Decision::Allowed)
            .operation("launch")
            .reason("the kernel's account and four canaries prove the confinement")
            .detail("pid", pid)
            .detail("program_sha256", program.to_owned());
        for (&name, value) in evidence {
            record = record.detail(name, value.clone());
        }
        Ok(self.log.append(&record)?.seq)
    }

    /// Waits until the record with this number is on disk.
    pub(crate) fn settle_launch(&self, seq: u64) -> Result<(), Unrecorded> {
        Ok(self.log.sync_to(seq)?)
    }

    /// The grants that a plugin was loaded with.
    pub(crate) fn granted(
        &self,
        grants: &Grants,
        signed_by: &[PublicKey],
        book: &Book,
    ) -> Result<(), Unrecorded> {
        let mut record = self
            .record(Layer::Policy, "granted", Decision::Allowed)
            .operation("load")
            .reason("the grants that were resolved for the plugin");
        if !signed_by.is_empty() {
            let keys: Vec<String> = signed_by.iter().map(PublicKey::to_string).collect();
            record = record.detail("signed_by", keys.join(" "));
        }
        for grant in grants.iter() {
            record = record.detail(grant.rule.id.clone(), grant.rule.source.to_string());
        }
        for forbidden in grants.forbidden() {
            record = record.detail(forbidden.rule.id.clone(), forbidden.rule.source.to_string());
        }
        self.write(&book.stamp(record)).map(drop)
    }

    /// The policy refused to load the plugin.
    pub(crate) fn not_loaded(
        &self,
        operation: &'static str,
        resource: &str,
        reason: &str,
    ) -> Result<(), Unrecorded> {
        let record = self
            .record(Layer::Policy, "refused", Decision::Denied)
            .operation(operation)
            .resource(resource.to_owned())
            .reason(reason.to_owned());
        self.write(&record).map(drop)
    }

    /// The host's own decision.
    pub(crate) fn denied(&self, ask: &Ask<'_>, denial: &Denial) -> Result<(), Unrecorded> {
        let record = self
            .record(Layer::Host, "refused", Decision::Denied)
            .operation(ask.operation())
            .resource(ask.resource().into_owned())
            .rule(denial.rule.id.clone(), denial.rule.source.to_string())
            .reason(denial.why.to_string())
            .next_step(denial.why.next_step());
        self.write(&record).map(drop)
    }

    /// The host's own decision by a rule that stands in no document.
    fn refused(
        &self,
        operation: &'static str,
        resource: String,
        rule: &'static str,
        reason: impl Into<Cow<'static, str>>,
        next_step: &'static str,
    ) -> Result<(), Unrecorded> {
        let record = self
            .record(Layer::Host, "refused", Decision::Denied)
            .operation(operation)
            .resource(resource)
            .rule(rule, "built-in")
            .reason(reason)
            .next_step(next_step);
        self.write(&record).map(drop)
    }

    /// A path that no honest worker sends.
    pub(crate) fn malformed_path(
        &self,
        operation: &'static str,
        path: &str,
        error: PathError,
    ) -> Result<(), Unrecorded> {
        self.refused(operation, path.to_owned(), "guest-path", error.to_string(), HOSTILE)
    }

    /// A change that is about to be made.
    pub(crate) fn allowed(&self, ask: &Ask<'_>, rule: &Rule) -> Result<(), Unrecorded> {
        let record = self
            .record(Layer::Host, "allowed", Decision::Allowed)
            .operation(ask.operation())
            .resource(ask.resource().into_owned())
            .rule(rule.id.clone(), rule.source.to_string());
        self.write(&record).map(drop)
    }

    /// A change that would be one too many.
    pub(crate) fn over_quota(
        &self,
        operation: &'static str,
        path: &GuestPath,
        why: &'static str,
    ) -> Result<(), Unrecorded> {
        let more = "allow the plugin to write more if it needs to, or remove what it wrote";
        self.over_limit(operation, path.as_str(), why, more)
    }

    /// A request that would be one too many, or too much.
    pub(crate) fn over_budget(&self, target: &str, why: &'static str) -> Result<(), Unrecorded> {
        self.over_limit("http", target, why, "the profile has the limits of requests; wait, or ask for less")
    }

    /// The plugin's store holds what it may.
    pub(crate) fn store_is_full(&self) -> Result<(), Unrecorded> {
        self.over_limit(
            "kv",
            "",
            "the store would hold more than it may",
            "the plugin can remove what it does not need",
        )
    }

    /// A budget has too little left.
    pub(crate) fn exhausted(
        &self,
        (operation, resource): (&'static str, &str),
        unit: Unit,
        of: &str,
    ) -> Result<(), Unrecorded> {
        let record = self
            .record(Layer::Limits, "budget", Decision::Denied)
            .operation(operation)
            .resource(resource.to_owned())
            .rule(format!("per_{of}.{}", unit.as_str()), "profile or operator")
            .reason(format!("the {of} has too little left of {}", unit.as_str()))
            .next_step("wait for the next day, or give the plugin a larger budget (--per-call, --per-day)");
        self.write(&record).map(drop)
    }

    /// A granted tool that is not called all the same.
    pub(crate) fn not_called(
        &self,
        name: &str,
        rule: &'static str,
        why: &'static str,
    ) -> Result<(), Unrecorded> {
        self.refused("tool", name.to_owned(), rule, why, "have one of the plugins do without the other")
    }

    /// What a question to a model came to.
    pub(crate) fn reckoned(&self, ask: &Ask<'_>, came_to: Budget) -> Result<(), Unrecorded> {
        let record = self
            .record(Layer::Host, "reckoned", Decision::Noted)
            .operation(ask.operation())
            .resource(ask.resource().into_owned())
            .reason("what the question came to")
            .detail("tokens", came_to.tokens)
            .detail("cost", came_to.cost);
        self.write(&record).map(drop)
    }

    /// Another plugin calls a tool of this one.
    pub(crate) fn called_by(&self, caller: &Caller, tool: &str) -> Result<(), Unrecorded> {
        let record = self
            .record(Layer::Host, "called", Decision::Allowed)
            .operation("tool")
            .resource(format!("{}#{tool}", self.plugin.name))
            .reason("another plugin calls it; this one's own grants apply")
            .detail("caller", caller.plugin.name.clone())
            .detail("caller_launch", caller.launch.to_string())
            .detail("caller_call", caller.call)
            .detail("depth", caller.depth);
        self.write(&record).map(drop)
    }

    /// Who calls, when the running call calls another plugin.
    pub(crate) fn caller(&self, depth: u32, until: Instant) -> Caller {
        let call = self.call.load(Ordering::Relaxed);
        let id = self.call_id().expect("a call runs");
        Caller { plugin: Arc::clone(&self.plugin), launch: Arc::clone(&self.launch), call, id, depth, until }
    }

    fn over_limit(
        &self,
        operation: &'static str,
        resource: &str,
        why: &'static str,
        next_step: &'static str,
    ) -> Result<(), Unrecorded> {
        let record = self
            .record(Layer::Limits, "quota", Decision::Denied)
            .operation(operation)
            .resource(resource.to_owned())
            .reason(why)
            .next_step(next_step);
        self.write(&record).map(drop)
    }

    /// A request that no honest worker sends.
    pub(crate) fn malformed_request(&self, what: &str, why: String) -> Result<(), Unrecorded> {
        self.refused("http", what.to_owned(), "http.target", why, HOSTILE)
    }

    /// A number of a request that no honest worker sends.
    pub(crate) fn unknown_request(&self, number: u32) -> Result<(), Unrecorded> {
        let request = format!("request number {number}");
        self.refused("http", request, "http.requests", "the worker has no such request on its way", HOSTILE)
    }

    /// A granted request whose name leads to an address that is closed to plugins.
    pub(crate) fn unreachable_address(
        &self,
        target: &HttpTarget,
        address: IpAddr,
        why: &'static str,
    ) -> Result<(), Unrecorded> {
        let why = format!("the host is at {address}, which is {why}");
        let open = "open the range of addresses if the plugin should reach it (--allow-address)";
        self.refused("http", target.as_str().to_owned(), "http.address", why, open)
    }

    /// A granted request to a server that does not prove to be the one that was meant.
    pub(crate) fn untrusted_server(&self, target: &HttpTarget, why: &str) -> Result<(), Unrecorded> {
        let trust = "have the server's certificate put right, or name its authority (--trust)";
        self.refused("http", target.as_str().to_owned(), "http.certificate", why.to_owned(), trust)
    }

    /// A number of a file that no honest worker sends.
    pub(crate) fn unknown_file(&self, number: u32) -> Result<(), Unrecorded> {
        let file = format!("file number {number}");
        self.refused("fs.write", file, "fs.open-files", "the worker has no such file open", HOSTILE)
    }

    /// A granted path that is not reached all the same.
    pub(crate) fn unreachable_path(
        &self,
        operation: &'static str,
        path: &GuestPath,
        Unreachable { why, next_step }: Unreachable,
    ) -> Result<(), Unrecorded> {
        self.refused(operation, path.as_str().to_owned(), "fs.beneath", why, next_step)
    }

    /// What the worker says that it refused itself.
    pub(crate) fn claimed(&self, claim: &Refused) -> Result<(), Unrecorded> {
        let record = self
            .record(Layer::Worker, "refused", Decision::Denied)
            .operation(claim.operation.clone())
            .resource(claim.resource.clone())
            .rule(claim.rule.id.clone(), claim.rule.source.to_string())
            .reason(claim.reason.clone());
        self.write(&record).map(drop)
    }

    /// A system call that the filter did not allow: written before the worker is ended for it. If it
    /// cannot be written, the worker is ended all the same.
    pub(crate) fn forbidden_call(&self, name: &str, args: &[u64; 6]) {
        self.note(&self.forbidden(name, args));
    }

    fn forbidden(&self, name: &str, args: &[u64; 6]) -> Record {
        self.record(Layer::Seccomp, "forbidden-call", Decision::Killed)
            .operation(name.to_owned())
            .rule("default", "seccomp filter")
            .reason("the program tried a system call that its filter does not allow")
            .next_step(
                "no honest plugin causes this: treat the plugin as hostile, and report a bug if it is not",
            )
            .detail("args", args.map(|arg| format!("{arg:#x}")).join(" "))
    }

    /// A call that was not over in time.
    pub(crate) fn deadline(&self, allowance: Duration) {
        let record = self
            .record(Layer::Limits, "deadline", Decision::Killed)
            .operation("call")
            .rule("deadline", "call")
            .reason("the call was not over at its deadline")
            .next_step("give the call more time if it needs it")
            .detail("deadline_ms", u64::try_from(allowance.as_millis()).unwrap_or(u64::MAX));
        self.note(&record);
    }

    /// A breach of the protocol.
    pub(crate) fn protocol_fault(&self, fault: &Fault) {
        let record = self
            .record(Layer::Host, "protocol-fault", Decision::Killed)
            .operation("ipc")
            .rule("phase-table", "built-in")
            .reason(fault.to_string())
            .next_step("no honest worker does this: treat the plugin as hostile");
        self.note(&record);
    }

    /// Log lines over the rate.
    pub(crate) fn lines_dropped(&self, dropped: u64, per_second: u32) -> Result<(), Unrecorded> {
        let record = self
            .record(Layer::Limits, "log-lines-dropped", Decision::Denied)
            .operation("log")
            .rule("log_lines_per_second", "profile")
            .reason("more log lines than the profile allows")
            .detail("dropped", dropped)
            .detail("per_second", per_second);
        self.write(&record).map(drop)
    }

    /// The worker had to end, and the host could not end it.
    pub(crate) fn not_ended(&self, pid: u32) {
        let record = self
            .record(Layer::Launch, "not-ended", Decision::Noted)
            .operation("launch")
            .reason("the host has given up the user or the capability to end what it started")
            .next_step("end the process by hand, and build the host after privileges are given up")
            .detail("pid", pid);
        tracing::error!(target: "stockade::host", pid, "a worker had to end and could not be ended");
        self.note(&record);
    }

    /// The breaker has opened, for a reason and so long, or closed.
    pub(crate) fn breaker(&self, opened: Option<(String, Duration)>) -> Result<(), Unrecorded> {
        let record = |event, reason: Cow<'static, str>| {
            self.record(Layer::Limits, event, Decision::Noted)
                .operation("call")
                .rule("breaker", "supervision")
                .reason(reason)
        };
        let record = match opened {
            None => record("breaker-closed", "enough calls in a row were answered".into()),
            Some((why, pause)) => record("breaker-open", why.into())
                .next_step("see why the calls failed; restarting the plugin lets calls pass at once")
                .detail("pause_ms", u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
        };
        self.write(&record).map(drop)
    }

    /// A worker's end, whatever its cause.
    pub(crate) fn ended(&self, cause: Option<&Cause>, end: Ended) {
        self.meter.worker_ended(end_code(cause, end.exit), end.cpu_ms);
        let by_host = |reason: Cow<'static, str>| (Layer::Launch, Decision::Noted, reason);
        let (layer, decision, reason) = match (cause, end.exit) {
            (Some(Cause::Stopped), _) => by_host("stopped by the host".into()),
            (Some(Cause::Idle), _) => by_host("stopped: it had no call for long".into()),
            (Some(Cause::Served), _) => by_host("stopped: its one call is over".into()),
            (Some(Cause::Syscall { name }), _) => by_host(format!("ended for {name}").into()),
            (Some(Cause::Deadline(_)), _) => by_host("ended at its deadline".into()),
            (Some(Cause::Fault(_)), _) => by_host("ended for a protocol fault".into()),
            (Some(Cause::Unrecorded(why) | Cause::Host(why)), _) => {
                by_host(format!("ended because: {why}").into())
            }
            (None, Exit::Signal(libc::SIGSYS)) => {
                (Layer::Sigsys, Decision::Killed, "a system call, by a filter that is not Stockade's".into())
            }
            (None, Exit::Signal(libc::SIGKILL | libc::SIGXCPU)) => {
                (Layer::Limits, Decision::Killed, "ended by the kernel at a limit".into())
            }
            (None, Exit::Signal(signal)) => {
                (Layer::Launch, Decision::Killed, format!("crashed with signal {signal}").into())
            }
            (None, Exit::Code(OUT_OF_MEMORY)) => {
                (Layer::Limits, Decision::Killed, "ended by itself at its memory limit".into())
            }
            (None, Exit::Code(code)) => {
                (Layer::Launch, Decision::Killed, format!("exited by itself with code {code}").into())
            }
            (None, Exit::Unknown) => (Layer::Launch, Decision::Noted, "reaped by somebody else".into()),
        };
        let mut record = self
            .record(layer, "ended", decision)
            .operation("launch")
            .reason(reason)
            .detail("cpu_ms", end.cpu_ms);
        record = match end.exit {
            Exit::Code(code) => record.detail("exit_code", code),
            Exit::Signal(signal) => record.detail("signal", signal),
            Exit::Unknown => record,
        };
        // What was only counted is written out now, with its exact number.
        if let Err(error) = self.log.settle(&self.launch) {
            tracing::error!(target: "stockade::host", %error, "flood counts were not written");
        }
        self.note(&record);
    }

    /// A program that did not get as far as its first call.
    pub(crate) fn boot_failed(&self, error: &BootError) {
        let record = match error {
            BootError::Forbidden(name, args) => self.forbidden(name, args),
            other => self
                .record(Layer::Launch, "not-attested", Decision::Killed)
                .operation("launch")
                .reason(other.to_string()),
        };
        self.note(&record);
    }

    /// The compiler did not finish.
    pub(crate) fn compiler_ended(&self, error: &BootError, end: Ended) -> Result<(), Unrecorded> {
        let record = self
            .record(Layer::Limits, "compile-ended", Decision::Killed)
            .operation("compile")
            .reason(error.to_string())
            .next_step("the component is hostile or too large to compile")
            .detail("cpu_ms", end.cpu_ms)
            .detail("exit", format!("{:?}", end.exit));
        self.write(&record).map(drop)
    }

    /// The component is not one that runs here.
    pub(crate) fn component_rejected(&self, message: &str) -> Result<(), Unrecorded> {
        let record = self
            .record(Layer::Package, "rejected", Decision::Denied)
            .operation("compile")
            .reason(message.to_owned());
        self.write(&record).map(drop)
    }
}
