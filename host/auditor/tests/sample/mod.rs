//! A log as a host writes it, through the real writer: the records have the events, rules, reasons and details that
//! `host/core` gives them. Time stands still until it is told, so that what is said of the log can be compared.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stockade_audit::{Decision, Layer, Log, ManualClock, Moment, Options, Plugin, Record};

pub(crate) struct Sample {
    _state: tempfile::TempDir,
    pub(crate) dir: PathBuf,
    /// Numbers of records, by a name of ours.
    pub(crate) at: BTreeMap<&'static str, u64>,
}

const SCAN: &str = "5f2c1e0000000000000000000000000000000000000000000000000000000001";
const DEPS: &str = "a1b2c30000000000000000000000000000000000000000000000000000000002";
const HELPER: &str = "0badc0de00000000000000000000000000000000000000000000000000000003";

struct Writing {
    log: Log,
    clock: Arc<ManualClock>,
    at: BTreeMap<&'static str, u64>,
}

impl Writing {
    fn wait(&self, milliseconds: u64) {
        self.clock.advance(Duration::from_millis(milliseconds));
    }

    fn put(&mut self, name: &'static str, record: &Record) {
        self.wait(5);
        let receipt = self.log.append(record).unwrap();
        assert!(receipt.verbatim, "{name}");
        self.at.insert(name, receipt.seq);
    }
}

/// A worker's records, as `host/core/src/trail.rs` makes them.
struct Worker {
    plugin: Arc<Plugin>,
    launch: &'static str,
    call: Option<(u64, &'static str)>,
}

impl Worker {
    fn record(&self, layer: Layer, event: &'static str, decision: Decision) -> Record {
        let record = Record::new(layer, event, decision).plugin(&self.plugin).launch(self.launch);
        match self.call {
            None => record,
            Some((call, trace)) => record.call(call).detail("trace", trace),
        }
    }

    fn attested(&self, pid: u32, filter: &'static str) -> Record {
        self.record(Layer::Launch, "attested", Decision::Allowed)
            .operation("launch")
            .reason("the kernel's account and four canaries prove the confinement")
            .detail("pid", pid)
            .detail("program_sha256", "c0".repeat(32))
            .detail("filter", filter)
            .detail("filter_sha256", "f1".repeat(32))
            .detail("canaries", "openat socket execve kill")
            .detail("NoNewPrivs", "1")
            .detail("Seccomp", "2")
    }

    fn granted(&self, grants: &[(&'static str, &'static str)]) -> Record {
        let record = self
            .record(Layer::Policy, "granted", Decision::Allowed)
            .operation("load")
            .reason("the grants that were resolved for the plugin");
        grants.iter().fold(record, |record, (grant, source)| record.detail(*grant, *source))
    }

    fn refused(&self, operation: &'static str, resource: &'static str) -> Record {
        self.record(Layer::Host, "refused", Decision::Denied)
            .operation(operation)
            .resource(resource)
            .rule(format!("default-deny:{operation}"), "built-in")
            .reason("no grant covers this resource")
            .next_step("widen the grant if the plugin should reach this resource")
    }

    fn ended(&self, layer: Layer, decision: Decision, reason: &'static str) -> Record {
        self.record(layer, "ended", decision).operation("launch").reason(reason).detail("cpu_ms", 12_u64)
    }
}

fn plugin(name: &str, version: &str, digest: &str, kind: &str) -> Arc<Plugin> {
    Plugin::new(name, version, digest, kind).shared()
}

fn approval(number: i64, word: &'static str, decision: Decision, why: &'static str) -> Record {
    Record::new(Layer::Policy, word, decision)
        .operation("approval")
        .resource("acme/deps")
        .rule(format!("approval:{number}"), "book of approvals")
        .reason(why)
        .detail("approval", number)
        .detail("at", 1_795_860_000_i64)
        .detail("uid", 1000)
        .detail("user", "ann")
        .detail("scopes", "http:GET api.example.org/v1")
        .detail("grants_sha256", "9a".repeat(32))
        .detail("component_sha256", DEPS)
        .detail("until", 1_798_452_000_i64)
}

/// Writes the log.
pub(crate) fn sample() -> Sample {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("audit");
    let start = Moment { seconds: 1_795_860_000, nanos: 250_000_000, monotonic: 60_000_000_000 };
    let clock = Arc::new(ManualClock::at(start));
    let log =
        Log::open_with(&dir, Options { clock: Box::new(Arc::clone(&clock)), ..Options::default() }).unwrap();
    let mut w = Writing { log, clock, at: BTreeMap::new() };
    w.at.insert("open", 0);
    policy(&mut w);
    metadata(&mut w);
    taken_over(&mut w);
    flood(&mut w);
    limits(&mut w);
    rest(&mut w);
    let close = w.log.close().unwrap();
    w.at.insert("close", close.seq);
    Sample { _state: state, dir, at: w.at }
}

fn policy(w: &mut Writing) {
    w.put("approved", &approval(7, "approved", Decision::Allowed, "the release needs the dependency list"));
    w.put(
        "policy",
        &Record::new(Layer::Policy, "policy", Decision::Noted)
            .operation("policy")
            .reason("another policy is in force from here on")
            .detail("version", 4)
            .detail("before", 3)
            .detail("rules", 2),
    );
}

/// A plugin with an approved grant tries the address of the cloud's metadata, by itself and by a name.
fn metadata(w: &mut Writing) {
    let deps = plugin("acme/deps", "1.4.0", DEPS, "integration");
    let load = Worker { plugin: Arc::clone(&deps), launch: "0192f0c1-1", call: None };
    w.put("compiler", &load.attested(4100, "compiler"));
    w.put(
        "granted",
        &load.granted(&[
            ("http:GET api.example.org/v1", "approval 7 by ann"),
            ("config:region", "profile integration v3"),
            ("log", "profile integration v3"),
        ]),
    );
    let mut worker = Worker { plugin: deps, launch: "0192f0c1-2", call: None };
    w.put("attested", &worker.attested(4101, "integration"));
    worker.call = Some((1, "6d1f00aa.1"));
    w.wait(40);
    w.put(
        "allowed",
        &worker
            .record(Layer::Host, "allowed", Decision::Allowed)
            .operation("http")
            .resource("GET https://api.example.org/v1")
            .rule("http:GET api.example.org/v1", "approval 7 by ann"),
    );
    w.wait(120);
    w.put("metadata", &worker.refused("http", "GET http://169.254.169.254/latest/meta-data/iam/"));
    w.put(
        "rebound",
        &worker
            .record(Layer::Host, "refused", Decision::Denied)
            .operation("http")
            .resource("GET https://api.example.org/v1")
            .rule("http.address", "built-in")
            .reason("the host is at 169.254.169.254, which is link-local, where clouds keep their metadata")
            .next_step("open the range of addresses if the plugin should reach it (--allow-address)"),
    );
    w.put(
        "tracker",
        &worker
            .record(Layer::Host, "refused", Decision::Denied)
            .operation("http")
            .resource("POST https://a.tracker.example/collect")
            .rule("http:*.tracker.example", "policy v4, rule no-trackers, line 12")
            .reason("the organisation's policy forbids it, whatever is granted")
            .next_step("whoever keeps the organisation's policy can change the rule"),
    );
    worker.call = None;
    w.wait(30_000);
    w.put("ended", &worker.ended(Layer::Launch, Decision::Noted, "stopped by the host").detail("signal", 9));
}

/// Native code of an attacker's in a worker.
fn taken_over(w: &mut Writing) {
    let helper = plugin("mallory/helper\u{202e}", "0.9.1", HELPER, "node");
    let mut worker = Worker { plugin: helper, launch: "0192f0c1-3", call: None };
    w.put("granted-node", &worker.granted(&[("log", "profile node v3")]));
    worker.launch = "0192f0c1-4";
    w.put("attested-node", &worker.attested(4200, "node"));
    worker.call = Some((3, "6d1f00aa.9"));
    w.wait(900);
    w.put(
        "claimed",
        &worker
            .record(Layer::Worker, "refused", Decision::Denied)
            .operation("fs.read")
            .resource("/home/ann/.ssh/id_ed25519\n\u{1b}[2Jrecord 1 allowed")
            .rule("default-deny:fs.read", "built-in")
            .reason("nothing of this capability is granted"),
    );
    w.put(
        "forbidden",
        &worker
            .record(Layer::Seccomp, "forbidden-call", Decision::Killed)
            .operation("execve")
            .rule("default", "seccomp filter")
            .reason("the program tried a system call that its filter does not allow")
            .next_step(
                "no honest plugin causes this: treat the plugin as hostile, and report a bug if it is not",
            )
            .detail("args", "0x7f0012345000 0x0 0x0 0x0 0x0 0x0"),
    );
    w.put(
        "ended-forbidden",
        &worker.ended(Layer::Launch, Decision::Noted, "ended for execve").detail("signal", 9),
    );
    let mut second = Worker { launch: "0192f0c1-5", ..worker };
    second.call = None;
    w.put("attested-again", &second.attested(4201, "node"));
    second.call = Some((1, "6d1f00aa.10"));
    w.put(
        "fault",
        &second
            .record(Layer::Host, "protocol-fault", Decision::Killed)
            .operation("ipc")
            .rule("phase-table", "built-in")
            .reason("message Done in phase Idle")
            .next_step("no honest worker does this: treat the plugin as hostile"),
    );
    w.put(
        "ended-fault",
        &second.ended(Layer::Launch, Decision::Noted, "ended for a protocol fault").detail("signal", 9),
    );
    second.launch = "0192f0c1-6";
    second.call = None;
    w.put("attested-foreign", &second.attested(4202, "node"));
    w.put(
        "foreign",
        &second
            .ended(Layer::Sigsys, Decision::Killed, "a system call, by a filter that is not Stockade's")
            .detail("signal", 31),
    );
}

/// A plugin that tries the same thing a thousand times.
fn flood(w: &mut Writing) {
    let scan = plugin("acme/scan", "2.0.0", SCAN, "quality_gate");
    let mut worker = Worker { plugin: scan, launch: "0192f0c1-7", call: None };
    w.put(
        "granted-gate",
        &worker.granted(&[("fs.read:/src", "command line"), ("log", "profile quality_gate v4")]),
    );
    worker.launch = "0192f0c1-8";
    w.put("attested-gate", &worker.attested(4300, "quality_gate+fs"));
    worker.call = Some((2, "6d1f00aa.20"));
    for number in 0..1000 {
        w.clock.advance(Duration::from_millis(2));
        let receipt = w.log.append(&worker.refused("fs.read", "/etc/shadow")).unwrap();
        if number == 0 {
            w.at.insert("flood-first", receipt.seq);
        }
    }
    w.log.settle(worker.launch).unwrap();
    w.at.insert("flood", w.log.head().unwrap().seq);
    worker.call = None;
    w.put("ended-gate", &worker.ended(Layer::Launch, Decision::Noted, "stopped: it had no call for long"));
}

fn limits(w: &mut Writing) {
    let agent = plugin("acme/agent", "0.3.0", &"e".repeat(64), "agent");
    let mut worker = Worker { plugin: agent, launch: "0192f0c1-10", call: None };
    w.put("attested-agent", &worker.attested(4400, "agent"));
    worker.call = Some((5, "6d1f00aa.31"));
    w.put(
        "called",
        &worker
            .record(Layer::Host, "called", Decision::Allowed)
            .operation("tool")
            .resource("acme/agent#plan")
            .reason("another plugin calls it; this one's own grants apply")
            .detail("caller", "acme/boss")
            .detail("caller_launch", "0192f0c1-0")
            .detail("caller_call", 8)
            .detail("depth", 1),
    );
    w.put(
        "reckoned",
        &worker
            .record(Layer::Host, "reckoned", Decision::Noted)
            .operation("model")
            .resource("small")
            .reason("what the question came to")
            .detail("tokens", 812)
            .detail("cost", 240),
    );
    w.put(
        "budget",
        &worker
            .record(Layer::Limits, "budget", Decision::Denied)
            .operation("model")
            .resource("small")
            .rule("per_day.tokens", "profile or operator")
            .reason("the day has too little left of tokens")
            .next_step("wait for the next day, or give the plugin a larger budget (--per-call, --per-day)"),
    );
    w.put(
        "quota",
        &worker
            .record(Layer::Limits, "quota", Decision::Denied)
            .operation("fs.write")
            .resource("/out/report.json")
            .reason("the plugin has written as much as it may")
            .next_step("allow the plugin to write more if it needs to, or remove what it wrote"),
    );
    w.put(
        "lines",
        &worker
            .record(Layer::Limits, "log-lines-dropped", Decision::Denied)
            .operation("log")
            .rule("log_lines_per_second", "profile")
            .reason("more log lines than the profile allows")
            .detail("dropped", 340)
            .detail("per_second", 200),
    );
    w.put("agent-read", &worker.refused("fs.read", "/home/ann/project/notes.md"));
    w.put("observed", &worker.refused("http", "GET https://example.org/").detail("mode", "observe"));
    w.put(
        "deadline",
        &worker
            .record(Layer::Limits, "deadline", Decision::Killed)
            .operation("call")
            .rule("deadline", "call")
            .reason("the call was not over at its deadline")
            .next_step("give the call more time if it needs it")
            .detail("deadline_ms", 5000),
    );
    w.put(
        "ended-deadline",
        &worker.ended(Layer::Launch, Decision::Noted, "ended at its deadline").detail("signal", 9),
    );
    w.put(
        "breaker-open",
        &worker
            .record(Layer::Limits, "breaker-open", Decision::Noted)
            .operation("call")
            .rule("breaker", "supervision")
            .reason("5 of the last 5 calls failed")
            .next_step("see why the calls failed; restarting the plugin lets calls pass at once")
            .detail("pause_ms", 5000),
    );
    w.put(
        "breaker-closed",
        &worker
            .record(Layer::Limits, "breaker-closed", Decision::Noted)
            .operation("call")
            .rule("breaker", "supervision")
            .reason("enough calls in a row were answered"),
    );
    worker.launch = "0192f0c1-11";
    worker.call = None;
    w.put("attested-hungry", &worker.attested(4401, "agent"));
    w.put(
        "ended-memory",
        &worker
            .ended(Layer::Limits, Decision::Killed, "ended by itself at its memory limit")
            .detail("exit_code", 71),
    );
}

fn rest(w: &mut Writing) {
    let odd = plugin("acme/odd", "1.0.0", &"d".repeat(64), "node");
    let worker = Worker { plugin: Arc::clone(&odd), launch: "0192f0c1-12", call: None };
    let running = Worker { plugin: odd, launch: "0192f0c1-13", call: Some((1, "6d1f00aa.40")) };
    let policy = |operation: &'static str, resource: &'static str, reason: &'static str| {
        worker
            .record(Layer::Policy, "refused", Decision::Denied)
            .operation(operation)
            .resource(resource)
            .reason(reason)
    };
    w.put("import", &policy("import", "wasi:nn/graph", "the component imports what nobody provides"));
    w.put("above-ceiling", &policy("grant", "http:api.example.org", "above the ceiling of the profile node"));
    w.put("config", &policy("config", "retries", "a whole number"));
    w.put("node-http", &running.refused("http", "GET https://api.example.org/v1"));
    w.put(
        "compile-ended",
        &worker
            .record(Layer::Limits, "compile-ended", Decision::Killed)
            .operation("compile")
            .reason("the program ended while it started")
            .next_step("the component is hostile or too large to compile")
            .detail("cpu_ms", 10_000_u64)
            .detail("exit", "Signal(24)"),
    );
    w.put(
        "rejected",
        &worker
            .record(Layer::Package, "rejected", Decision::Denied)
            .operation("compile")
            .reason("failed to parse WebAssembly module"),
    );
    w.put(
        "not-attested",
        &worker
            .record(Layer::Launch, "not-attested", Decision::Killed)
            .operation("launch")
            .reason("the kernel says Seccomp is \"0\", and it must be 2"),
    );
    w.put(
        "not-ended",
        &running
            .record(Layer::Launch, "not-ended", Decision::Noted)
            .operation("launch")
            .reason("the host has given up the user or the capability to end what it started")
            .next_step("end the process by hand, and build the host after privileges are given up")
            .detail("pid", 4500),
    );
    w.put(
        "control",
        &Record::new(Layer::Host, "refused", Decision::Denied)
            .operation("control")
            .resource("/run/stockade/control.sock")
            .rule("control.uids", "configuration")
            .reason("the client's user may not control this host")
            .next_step("name the user in control.uids if it should")
            .detail("uid", "1003")
            .detail("pid", 991),
    );
    w.put(
        "landlock",
        &running
            .record(Layer::Landlock, "refused", Decision::Denied)
            .operation("fs.read_file")
            .resource("/etc/hostname")
            .reason("the kernel's record of a refusal"),
    );
    w.put("revoked", &approval(7, "revoked", Decision::Noted, "the project has ended"));
    w.put("expired", &approval(8, "expired", Decision::Noted, "its time is over"));
    w.put("denied", &approval(9, "denied", Decision::Denied, "no need"));
    kernel_records(w, &running);
}

/// What the kernel's own audit records become.
fn kernel_records(w: &mut Writing, running: &Worker) {
    w.put(
        "records-read",
        &Record::new(Layer::Launch, "kernel-records", Decision::Noted)
            .operation("kernel-records")
            .reason("kernel audit records: read")
            .detail("mode", "read")
            .detail("backlog_limit", 8192),
    );
    w.put(
        "kernel-killed",
        &running
            .record(Layer::Sigsys, "forbidden-call", Decision::Killed)
            .operation("i386.getpid")
            .rule("ends-the-program", "seccomp filter")
            .reason("a filter that is not Stockade's ended the program for a system call")
            .next_step(
                "see which filter the host itself was started under; if it forbids no more than workers may do, treat \
                 the plugin as hostile",
            )
            .detail("arch", "0x40000003")
            .detail("instruction", "0x7f00002a"),
    );
    let of_landlock = |event: &'static str, reason: &'static str| {
        Record::new(Layer::Landlock, event, Decision::Noted).operation("kernel-records").reason(reason)
    };
    let mut gap = running
        .record(Layer::Landlock, "gap", Decision::Noted)
        .operation("kernel-records")
        .reason("the kernel refused more than it told of: records were lost, or muted")
        .detail("domain", "19b2c7f61")
        .detail("pid", 4123)
        .detail("seen", 17)
        .detail("denials", 1002);
    gap.call = None;
    w.put("kernel-gap", &gap);
    w.put(
        "kernel-lost",
        &of_landlock("lost", "the kernel threw audit records away, which may have been of workers")
            .detail("by", "backlog")
            .detail("count", 4925),
    );
    w.put(
        "audit-changed",
        &of_landlock("audit-changed", "somebody changed what the kernel records")
            .detail("change", "set")
            .detail("setting", "audit_enabled")
            .detail("value", 0)
            .detail("before", 1)
            .detail("pid", 871)
            .detail("exe", "/usr/sbin/auditctl"),
    );
    w.put(
        "untied",
        &of_landlock(
            "untied",
            "the kernel tells of a process with the number of a worker, at another time or of another user",
        )
        .detail("pid", 4123)
        .detail("uid", 0),
    );
    w.put(
        "unreadable",
        &of_landlock("unreadable", "records of the kernel's have a form that this version does not know")
            .detail("count", 3),
    );
}
