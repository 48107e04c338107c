//! What may lie around a host: seccomp filters as container runtimes put them up, and what every host must
//! still do whatever lies around it.

use std::time::Duration;

use nix::errno::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use serde_json::json;
use stockade_audit::{Decision, Layer};
use stockade_host::{CallOptions, Plugin};
use stockade_policy::PluginType;

use crate::accounts::{parent, status};
use crate::{Bench, call, code, value};

/// A system call that a filter answers in the kernel's place.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Its number.
    pub number: i64,
    /// Only where this argument, under this mask, has this value.
    pub only: Option<(u8, u64, u64)>,
    /// What the caller gets to see; zero claims a success.
    pub errno: i32,
}

impl Answered {
    /// Always this error.
    pub const fn with(number: i64, errno: Errno) -> Answered {
        Answered { number, only: None, errno: errno as i32 }
    }

    /// Only where the argument with this index has any of these bits.
    pub const fn has(number: i64, index: u8, bit: u64, errno: Errno) -> Answered {
        Answered { number, only: Some((index, bit, bit)), errno: errno as i32 }
    }

    /// Only where the argument with this index is this value.
    pub const fn is(number: i64, index: u8, value: u64, errno: Errno) -> Answered {
        Answered { number, only: Some((index, u64::MAX, value)), errno: errno as i32 }
    }
}

/// Puts a filter around every thread of this process and all that it starts. It stays for good.
pub fn put_up(answered: Answered) {
    let conditions = answered.only.map(|(index, mask, value)| {
        SeccompCondition::new(index, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value)
            .expect("an argument of six")
    });
    let rules =
        conditions.map(|one| SeccompRule::new(vec![one]).expect("one condition")).into_iter().collect();
    filter(answered.number, rules, SeccompAction::Errno(answered.errno.cast_unsigned()));
}

/// Puts one up that ends a program for this call, as a service manager does.
pub fn put_up_ending(number: i64) {
    filter(number, Vec::new(), SeccompAction::KillProcess);
}

/// It ends a program for calls of another architecture as well, as the filters of service managers do.
fn filter(number: i64, rules: Vec<SeccompRule>, action: SeccompAction) {
    let filter = SeccompFilter::new(
        [(number, rules)].into(),
        SeccompAction::Allow,
        action,
        std::env::consts::ARCH.try_into().expect("an architecture that has filters"),
    );
    let program: BpfProgram = filter.and_then(TryInto::try_into).expect("a small filter");
    seccompiler::apply_filter_all_threads(&program).expect("every process may confine itself");
}

/// Holds everything against a host that matters most: what a worker is, that what it must not do is its end
/// and recorded, that a deadline is kept, that crashes are seen for what they are, and that it serves.
pub fn is_confined_and_serves(bench: &Bench) {
    let plugin = bench.probe(PluginType::Node, &[]);
    looks_confined(&plugin);
    assert_eq!(value(&call(&plugin, "descriptors", json!({}))), json!([0, 1, 2, 3, 4]));
    assert_eq!(value(&call(&plugin, "environment", json!({}))), json!([]));
    assert_eq!(value(&call(&plugin, "opened_while_loading", json!({}))), json!(-libc::EACCES));

    let foreign = match status(std::process::id(), "Seccomp_filters").as_str() {
        "0" => ("forbidden-call", Layer::Seccomp, "i386.getpid"),
        _ => ("foreign-filter", Layer::Sigsys, "launch"),
    };
    let seen = |layer, operation, decision| bench.found(layer, operation, decision).len();
    let tries: [(&str, serde_json::Value, &str, Layer, &str); 4] = [
        (
            "syscall",
            json!({ "nr": libc::SYS_socket, "args": [2, 1, 0] }),
            "forbidden-call",
            Layer::Seccomp,
            "socket",
        ),
        ("int80", json!({}), foreign.0, foreign.1, foreign.2),
        ("crash", json!({}), "worker-died", Layer::Launch, "launch"),
        ("spin", json!({}), "deadline", Layer::Limits, "call"),
    ];
    for (tool, arguments, expected, layer, operation) in tries {
        // A success before each: deaths in a row make the next start wait.
        assert_eq!(value(&call(&plugin, "echo", json!(tool))), json!(tool));
        let pid = plugin.worker_pid().expect("it runs");
        let before = seen(layer, operation, Decision::Killed);
        let short = CallOptions::within(Duration::from_millis(300));
        let outcome = plugin.call_blocking(tool, &arguments.to_string(), short);
        assert_eq!(code(&outcome), expected, "{tool}: {outcome:?}");
        assert_eq!(seen(layer, operation, Decision::Killed), before + 1, "{tool} is recorded once");
        assert_eq!(parent(pid), None, "the worker of {tool} was not reaped");
    }
    assert_eq!(value(&call(&plugin, "echo", json!("last"))), json!("last"));
    plugin.stop_worker();
}

/// Holds the kernel's account of a worker against what a confined process looks like.
pub fn looks_confined(plugin: &Plugin) {
    let pid = plugin.worker_pid().expect("it runs");
    let own_filters: u32 = status(std::process::id(), "Seccomp_filters").parse().expect("a number");
    assert_eq!(status(pid, "Seccomp_filters"), (own_filters + 1).to_string());
    for (name, expected) in [("Seccomp", "2"), ("NoNewPrivs", "1"), ("Threads", "1")] {
        assert_eq!(status(pid, name), expected, "{name}");
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(pid, set), "0000000000000000", "{set}");
    }
    assert!(status(pid, "Uid").split('\t').all(|uid| uid != "0"), "{}", status(pid, "Uid"));
}
