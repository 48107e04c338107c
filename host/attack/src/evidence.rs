//! What the audit log has of the attacks.

use std::collections::HashMap;
use std::path::Path;

use nix::sys::signal::Signal;
use stockade_audit::{Decision, Entry, Layer, Reader, Report, verify};

use crate::came::{Came, DEADLINE, DIED};
use crate::case::{Trace, VARIANT};
use crate::error::AttackError;

/// The records of one host, by plugin.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    plugins: HashMap<String, Vec<Entry>>,
    /// How many records there are.
    pub(crate) records: u64,
    /// What is wrong with the log as a whole, if anything is.
    pub(crate) unsound: Option<String>,
}

impl Evidence {
    /// Reads and verifies the log of a host that has been stopped.
    pub(crate) fn read(log: &Path) -> Result<Evidence, AttackError> {
        let report = verify(log, None).map_err(AttackError::Audit)?;
        let mut evidence =
            Evidence { records: report.summary.records, unsound: unsound(&report), plugins: HashMap::new() };
        for entry in Reader::open(log).map_err(AttackError::Audit)? {
            // What cannot be read makes the log unsound, which is said already.
            let Ok(entry) = entry else { break };
            if let Some(plugin) = &entry.record.plugin {
                evidence.plugins.entry(plugin.name.clone()).or_default().push(entry);
            }
        }
        Ok(evidence)
    }

    /// The records of a plugin.
    pub(crate) fn of(&self, plugin: &str) -> &[Entry] {
        self.plugins.get(plugin).map_or(&[], Vec::as_slice)
    }

    /// A record of a plugin, or of one of its further variants.
    pub(crate) fn find(&self, plugin: &str, trace: &Trace) -> Result<Option<u64>, String> {
        let variants = format!("{plugin}{VARIANT}");
        let mut entries =
            self.plugins.iter().filter(|(name, _)| *name == plugin || name.starts_with(&variants));
        let found = entries.find_map(|(_, entries)| find(entries, trace));
        found.map(|entry| Some(entry.seq)).ok_or_else(|| missing(trace))
    }

    /// The same, of the plugin of that very name alone.
    pub(crate) fn find_own(&self, plugin: &str, trace: &Trace) -> Result<Option<u64>, String> {
        find(self.of(plugin), trace).map(|entry| Some(entry.seq)).ok_or_else(|| missing(trace))
    }
}

/// A log is only as good as its chain.
fn unsound(report: &Report) -> Option<String> {
    (!report.is_sound()).then(|| {
        let first = report.findings.first().map(ToString::to_string).unwrap_or_default();
        format!("the log does not verify: {} findings, the first: {first}", report.found)
    })
}

fn find<'a>(entries: &'a [Entry], trace: &Trace) -> Option<&'a Entry> {
    entries.iter().find(|entry| {
        let record = &entry.record;
        record.layer == trace.layer
            && record.decision == trace.decision
            && trace.operations.iter().any(|operation| record.operation == operation.as_str())
    })
}

fn missing(trace: &Trace) -> String {
    format!(
        "the log has no record of layer {} and operation {} with decision {}",
        trace.layer,
        trace.operations.join(" or "),
        trace.decision
    )
}

/// The signal that ended the plugin's worker, as its last record has it.
pub(crate) fn signal(entries: &[Entry]) -> Option<String> {
    let number = entries.iter().rev().find_map(|entry| entry.record.detail.number("signal"))?;
    let signal = Signal::try_from(i32::try_from(number).ok()?).ok()?;
    Some(signal.as_str().to_owned())
}

/// The record that what came of an attack must have left; none for what the kernel refuses in passing.
pub(crate) fn of_attack(entries: &[Entry], came: &Came) -> Result<Option<u64>, String> {
    let trace = match came {
        Came::Stopped(call) => Trace::new(Layer::Seccomp, call, Decision::Killed),
        Came::Signal(signal) if signal == "SIGSYS" => Trace::new(Layer::Sigsys, "launch", Decision::Killed),
        Came::Signal(_) => Trace::new(Layer::Launch, "launch", Decision::Killed),
        Came::Ended(code) if code == DIED => Trace::new(Layer::Launch, "launch", Decision::Killed),
        Came::Ended(code) if code == DEADLINE => Trace::new(Layer::Limits, "call", Decision::Killed),
        Came::Ended(code) if code == "memory-limit" => Trace::new(Layer::Limits, "launch", Decision::Killed),
        Came::Ended(code) if code == "protocol-fault" => Trace::new(Layer::Host, "ipc", Decision::Killed),
        Came::Done | Came::Refused(_) | Came::Ended(_) | Came::Unavailable(_) | Came::Unclear(_) => {
            return Ok(None);
        }
    };
    let entry = find(entries, &trace).ok_or_else(|| missing(&trace))?;
    if trace.layer == Layer::Seccomp && !has_arguments(entry) {
        return Err(format!("record {} does not say with which arguments", entry.seq));
    }
    Ok(Some(entry.seq))
}

/// Whether the record names the six registers that a system call has.
fn has_arguments(entry: &Entry) -> bool {
    let Some(text) = entry.record.detail.text("args") else { return false };
    let args: Vec<_> = text.split(' ').collect();
    args.len() == 6
        && args
            .iter()
            .all(|arg| arg.strip_prefix("0x").is_some_and(|digits| u64::from_str_radix(digits, 16).is_ok()))
}

#[cfg(test)]
mod tests {
    use stockade_audit::{Log, Plugin, Record};

    use super::*;
    use crate::case::plugin_name;

    fn evidence(records: &[(&str, Record)]) -> Evidence {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path().join("audit")).unwrap();
        for (plugin, record) in records {
            let plugin = Plugin::new(*plugin, "0.0.0", "00", "node").shared();
            log.append(&record.clone().plugin(&plugin)).unwrap();
        }
        log.close().unwrap();
        Evidence::read(&folder.path().join("audit")).unwrap()
    }

    fn killed(operation: &'static str, args: &str) -> Record {
        Record::new(Layer::Seccomp, "forbidden-call", Decision::Killed)
            .operation(operation)
            .detail("args", args.to_owned())
    }

    const ARGS: &str = "0x1 0x2 0x3 0x0 0x0 0xffffffffffffffff";

    #[test]
    fn a_stopped_call_needs_the_record_of_that_call_with_its_arguments() {
        let all = evidence(&[
            ("a", killed("openat", ARGS)),
            ("b", killed("openat", "0x1 0x2")),
            ("c", Record::new(Layer::Seccomp, "forbidden-call", Decision::Killed).operation("openat")),
            ("d", killed("socket", ARGS)),
            ("e", Record { decision: Decision::Denied, ..killed("openat", ARGS) }),
            ("f", Record { layer: Layer::Worker, ..killed("openat", ARGS) }),
        ]);
        assert!(all.unsound.is_none());
        let openat = Came::Stopped("openat".into());
        assert!(matches!(of_attack(all.of("a"), &openat), Ok(Some(_))));
        for plugin in ["b", "c", "d", "e", "f", "nobody"] {
            assert!(of_attack(all.of(plugin), &openat).is_err(), "{plugin}");
        }
    }

    #[test]
    fn ends_by_signal_need_the_record_of_their_kind() {
        let ended = |layer, signal: i32| {
            Record::new(layer, "ended", Decision::Killed).operation("launch").detail("signal", signal)
        };
        let all = evidence(&[("a", ended(Layer::Sigsys, 31)), ("b", ended(Layer::Launch, 11))]);
        assert_eq!(signal(all.of("a")).as_deref(), Some("SIGSYS"));
        assert_eq!(signal(all.of("b")).as_deref(), Some("SIGSEGV"));
        assert!(of_attack(all.of("a"), &Came::Signal("SIGSYS".into())).is_ok());
        assert!(of_attack(all.of("b"), &Came::Signal("SIGSYS".into())).is_err());
        assert!(of_attack(all.of("b"), &Came::Signal("SIGSEGV".into())).is_ok());
    }

    #[test]
    fn records_of_further_plugins_of_a_case_count_and_those_of_other_cases_do_not() {
        let name = plugin_name("C1.start-loop");
        assert_eq!(name, "attack/c1-start-loop");
        let all = evidence(&[("attack/c1-start-loop--3", killed("openat", ARGS))]);
        let trace = Trace::new(Layer::Seccomp, "openat", Decision::Killed);
        assert!(all.find(&name, &trace).is_ok());
        assert!(all.find_own(&name, &trace).is_err());
        assert!(all.find(&plugin_name("C1.start"), &trace).is_err());
    }
}
