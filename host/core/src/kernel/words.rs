//! What is written of the kernel's records. Every text in them is data.

use std::collections::BTreeMap;

use stockade_audit::{Decision, Layer, Log, Record};
use stockade_kernel_log::{Access, AuditStatus, Change, Event, Object, Seccomp, Task, Text};

use super::KernelRecords;
use super::launches::{Bound, Following, Owner};
use crate::call_name::call_name;

/// Writes a record of what is past preventing.
pub(super) fn note(log: &Log, record: &Record) {
    if let Err(error) = log.append(record) {
        tracing::error!(target: "stockade::host", %error, event = %record.event, "audit record lost");
    }
}

fn of(owner: &Owner, layer: Layer, event: &'static str, decision: Decision) -> Record {
    // Not in a call: the kernel tells later, and the call that runs by then is another.
    Record::new(layer, event, decision).plugin(&owner.plugin).launch(owner.launch.clone())
}

/// Whether, and how, the records are read.
pub(super) fn mode(
    mode: &KernelRecords,
    status: Option<AuditStatus>,
    evidence: Option<&BTreeMap<&'static str, String>>,
) -> Record {
    let mut record = Record::new(Layer::Launch, "kernel-records", Decision::Noted)
        .operation("kernel-records")
        .reason(mode.to_string())
        .next_step(mode.next_step())
        .detail("mode", mode.as_str());
    if let Some(AuditStatus { enabled, backlog_limit, lost }) = status {
        record = record
            .detail("audit_enabled", enabled)
            .detail("backlog_limit", backlog_limit)
            .detail("lost", lost);
    }
    for (&name, value) in evidence.into_iter().flatten() {
        record = record.detail(name, value.clone());
    }
    record
}

fn text(record: Record, name: &'static str, text: Option<&Text>) -> Record {
    let Some(text) = text else { return record };
    let record = record.detail(name, text.text.clone());
    match &text.exact {
        Some(exact) => record.detail(format!("{name}_hex"), exact.clone()),
        None => record,
    }
}

fn object(record: Record, object: &Object) -> Record {
    match object {
        Object::Path { path, device, inode } => {
            let record = match &path.exact {
                Some(exact) => record.detail("path_hex", exact.clone()),
                None => record,
            };
            let record = text(record, "device", device.as_ref());
            match inode {
                Some(inode) => record.detail("inode", *inode),
                None => record,
            }
        }
        Object::Process { comm, .. } => text(record, "other_comm", comm.as_ref()),
        Object::Address { .. } | Object::Other => record,
    }
}

fn task(record: Record, task: &Task) -> Record {
    let record = record.detail("pid", task.pid).detail("syscall", call_name(task.arch, task.syscall));
    text(text(record, "comm", task.comm.as_ref()), "exe", task.exe.as_ref())
}

/// Landlock refused a process of a launch something.
pub(super) fn refused(process: &Following, event: &Event, access: &Access) -> Record {
    let record = of(&process.owner, Layer::Landlock, "refused", Decision::Denied)
        .operation(format!("landlock.{}", access.blockers))
        .resource(access.object.to_string())
        .rule("deny-all", "landlock ruleset")
        .reason("the kernel refused it; the program's filter had let the call pass")
        .next_step("no honest plugin gets here: treat the plugin as hostile, and report a bug if it is not")
        .detail("domain", format!("{:x}", access.domain))
        .detail("serial", event.stamp.serial);
    let record = object(record, &access.object);
    match &event.task {
        Some(found) => task(record, found),
        None => record.detail("pid", process.pid()),
    }
}

/// A filter ended a process of a launch.
pub(super) fn killed(process: &Following, event: &Event, seccomp: &Seccomp) -> Record {
    let record = of(&process.owner, Layer::Sigsys, "forbidden-call", Decision::Killed)
        .operation(call_name(seccomp.task.arch, seccomp.task.syscall))
        .rule("ends-the-program", "seccomp filter")
        .reason("a filter that is not Stockade's ended the program for a system call")
        .next_step(
            "see which filter the host itself was started under; if it forbids no more than workers may do, treat the \
             plugin as hostile",
        )
        .detail("serial", event.stamp.serial)
        .detail("signal", seccomp.signal)
        .detail("code", format!("{:#x}", seccomp.code))
        .detail("instruction", format!("{:#x}", seccomp.instruction))
        .detail("arch", format!("{:#x}", seccomp.task.arch));
    task(record, &seccomp.task)
}

/// The kernel's count of a domain is not what it told of; `denials` is none where it never gave one.
pub(super) fn gap(domain: u64, bound: &Bound, denials: Option<u64>) -> Record {
    let record = of(&bound.process.owner, Layer::Landlock, "gap", Decision::Noted)
        .operation("kernel-records")
        .reason(match denials {
            Some(_) => "the kernel refused more than it told of: records were lost, or muted",
            None => "the kernel's count of what it refused did not come: records may be lost",
        })
        .next_step("raise the kernel's audit backlog (auditctl -b 8192); see that no rule excludes Landlock's records")
        .detail("domain", format!("{domain:x}"))
        .detail("pid", bound.process.pid())
        .detail("seen", bound.seen);
    match denials {
        Some(denials) => record.detail("denials", denials),
        None => record,
    }
}

/// A record that names a process number of a launch, and is not of that process.
pub(super) fn untied(event: &Event) -> Record {
    let (pid, uid) = event.process().unwrap_or_default();
    let record = Record::new(Layer::Landlock, "untied", Decision::Noted)
        .operation("kernel-records")
        .reason(
            "the kernel tells of a process with the number of a worker, at another time or of another user",
        )
        .detail("serial", event.stamp.serial)
        .detail("at_ms", event.stamp.millis)
        .detail("pid", pid)
        .detail("uid", uid);
    match event.domain() {
        Some(domain) => record.detail("domain", format!("{domain:x}")),
        None => record,
    }
}

/// Records were thrown away before anybody could read them.
pub(super) fn lost(by: &'static str, count: u64, total: Option<u64>) -> Record {
    let record = Record::new(Layer::Landlock, "lost", Decision::Noted)
        .operation("kernel-records")
        .reason("the kernel threw audit records away, which may have been of workers")
        .next_step("raise the kernel's audit backlog (auditctl -b 8192); find out who floods it")
        .detail("by", by)
        .detail("count", count);
    match total {
        Some(total) => record.detail("since_boot", total),
        None => record,
    }
}

/// Records that the reader could not make out.
pub(super) fn malformed(count: u64) -> Record {
    Record::new(Layer::Landlock, "unreadable", Decision::Noted)
        .operation("kernel-records")
        .reason("records of the kernel's have a form that this version does not know")
        .next_step("report it, with the kernel's release")
        .detail("count", count)
}

/// Somebody changed what the kernel records. This host never does.
pub(super) fn changed(event: &Event, change: &Change) -> Record {
    let record = Record::new(Layer::Landlock, "audit-changed", Decision::Noted)
        .operation("kernel-records")
        .reason("somebody changed what the kernel records")
        .next_step("find out who did, and whether records of workers are still made")
        .detail("serial", event.stamp.serial)
        .detail("change", change.operation.text.clone());
    let record = text(record, "setting", change.setting.as_ref());
    let numbers = [("value", change.value), ("before", change.before), ("result", change.result)];
    let record = numbers.into_iter().fold(record, |record, (name, number)| match number {
        Some(number) => record.detail(name, number),
        None => record,
    });
    match &event.task {
        Some(found) => task(record, found),
        None => record,
    }
}

#[cfg(test)]
mod tests {
    use stockade_audit::Plugin;
    use stockade_kernel_log::{Stamp, What};

    use super::super::Boottime;
    use super::super::launches::{Launches, Tied, access};
    use super::*;

    #[test]
    fn f2_f11_hostile_names_are_values_of_the_record_and_nothing_else() {
        let launches = Launches::default();
        let plugin = Plugin::new("a/b", "1.0.0", "00", "node").shared();
        let owner = Owner { plugin, launch: "l".into(), meter: Default::default() };
        let _followed = launches.follow(owner, 7, 1000, Boottime::now());
        let task = Task {
            pid: 7,
            uid: 1000,
            comm: Some(Text::of(b"x\nfake=1")),
            exe: Some(Text::of(b"/memfd:a\xff")),
            arch: crate::call_name::X86_64,
            syscall: 257,
        };
        let path = Text::of(b"/a\x1b[2J\"b");
        let object = Object::Path { path, device: Some(Text::of(b"vda")), inode: Some(9) };
        let found = Access { domain: 0xab, blockers: Text::of(b"fs.read_file"), object };
        let stamp = Stamp { serial: 3, millis: 0 };
        let event = Event { stamp, what: What::Access(found), task: Some(task) };
        let Tied::To(process) = launches.tie(&event, Boottime::now()) else { panic!() };
        let record = refused(&process, &event, access(&event).unwrap());
        assert_eq!(record.operation, "landlock.fs.read_file");
        assert_eq!(record.resource, "/a\u{1b}[2J\"b");
        let text = |name| record.detail.text(name);
        assert_eq!(text("comm"), Some("x\nfake=1"));
        assert_eq!((text("exe_hex"), text("syscall")), (Some("2f6d656d66643a61ff"), Some("openat")));
        assert_eq!((text("domain"), text("fake")), (Some("ab"), None));
    }
}
