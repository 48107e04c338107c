//! One record of the kernel's, from text to types. Pure, total, and bounded by the length of the text.

use crate::event::{Access, Change, Domain, Object, Seccomp, Stamp, Task, Text, What};
use crate::field::Fields;

/// `AUDIT_SYSCALL`: the system call in which the others of an event came about.
const SYSCALL: u16 = 1300;
/// `AUDIT_CONFIG_CHANGE`.
const CONFIG_CHANGE: u16 = 1305;
/// `AUDIT_EOE`: the event has no more records.
const END: u16 = 1320;
/// `AUDIT_SECCOMP`.
const SECCOMP: u16 = 1326;
/// `AUDIT_LANDLOCK_ACCESS`, since Linux 6.15.
const LANDLOCK_ACCESS: u16 = 1423;
/// `AUDIT_LANDLOCK_DOMAIN`, since Linux 6.15.
const LANDLOCK_DOMAIN: u16 = 1424;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Something that is told on.
    What(What),
    /// The system call that its event belongs to.
    Task(Task),
    /// The last of its event.
    End,
}

/// A record of a kind that is known, in a form that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a kernel record of type {kind} has no readable {lacks}")]
pub struct Malformed {
    /// The record's number.
    pub kind: u16,
    /// What it lacks.
    pub lacks: &'static str,
}

/// Takes a record apart. None where it is of another kind than those that are needed.
pub fn parse(kind: u16, text: &[u8]) -> Result<Option<(Stamp, Record)>, Malformed> {
    let read = match kind {
        SYSCALL => |fields: &Fields<'_>| Ok(Record::Task(task(fields)?)),
        CONFIG_CHANGE => |fields: &Fields<'_>| Ok(Record::What(What::Change(change(fields)?))),
        END => |_: &Fields<'_>| Ok(Record::End),
        SECCOMP => |fields: &Fields<'_>| Ok(Record::What(What::Seccomp(seccomp(fields)?))),
        LANDLOCK_ACCESS => |fields: &Fields<'_>| Ok(Record::What(What::Access(access(fields)?))),
        LANDLOCK_DOMAIN => |fields: &Fields<'_>| Ok(Record::What(What::Domain(domain(fields)?))),
        _ => return Ok(None),
    };
    let malformed = |lacks| Malformed { kind, lacks };
    let (stamp, rest) = stamp(text).ok_or(malformed("stamp"))?;
    Ok(Some((stamp, read(&Fields::of(rest)).map_err(malformed)?)))
}

/// `audit(1795861721.069:3): `, and what stands behind it.
fn stamp(text: &[u8]) -> Option<(Stamp, &[u8])> {
    let rest = text.strip_prefix(b"audit(")?;
    let end = rest.iter().position(|&byte| byte == b')')?;
    let (seconds, more) = std::str::from_utf8(&rest[..end]).ok()?.split_once('.')?;
    let (millis, serial) = more.split_once(':')?;
    let number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?;
    let (seconds, millis): (u64, u64) = (number(seconds)?, number(millis)?);
    let millis = seconds.checked_mul(1000)?.checked_add(millis)?;
    Some((Stamp { serial: number(serial)?, millis }, rest[end + 1..].strip_prefix(b":")?))
}

fn task(fields: &Fields<'_>) -> Result<Task, &'static str> {
    Ok(Task {
        pid: fields.decimal("pid").ok_or("pid")?,
        uid: fields.decimal("uid").ok_or("uid")?,
        comm: fields.untrusted("comm"),
        exe: fields.untrusted("exe"),
        arch: fields.hex("arch").ok_or("arch")?,
        syscall: fields.decimal("syscall").ok_or("syscall")?,
    })
}

fn seccomp(fields: &Fields<'_>) -> Result<Seccomp, &'static str> {
    Ok(Seccomp {
        task: task(fields)?,
        signal: fields.decimal("sig").ok_or("sig")?,
        code: fields.hex("code").ok_or("code")?,
        instruction: fields.hex("ip").unwrap_or(0),
    })
}

fn access(fields: &Fields<'_>) -> Result<Access, &'static str> {
    let blockers = fields.word("blockers").ok_or("blockers")?;
    Ok(Access { domain: fields.hex("domain").ok_or("domain")?, object: object(fields), blockers })
}

fn object(fields: &Fields<'_>) -> Object {
    let address = |address, port| {
        let (address, port) = (fields.word(address), fields.decimal(port));
        (address.is_some() || port.is_some()).then_some(Object::Address { address, port })
    };
    if let Some(path) = fields.untrusted("path") {
        Object::Path { path, device: fields.untrusted("dev"), inode: fields.decimal("ino") }
    } else if let Some(pid) = fields.decimal("opid") {
        Object::Process { pid, comm: fields.untrusted("ocomm") }
    } else if let Some(object) = address("daddr", "dest").or_else(|| address("saddr", "src")) {
        object
    } else {
        Object::Other
    }
}

fn domain(fields: &Fields<'_>) -> Result<Domain, &'static str> {
    let domain = fields.hex("domain").ok_or("domain")?;
    match fields.word("status").ok_or("status")?.text.as_str() {
        "allocated" => Ok(Domain::Allocated {
            domain,
            pid: fields.decimal("pid").ok_or("pid")?,
            uid: fields.decimal("uid").ok_or("uid")?,
            comm: fields.untrusted("comm"),
            exe: fields.untrusted("exe"),
        }),
        "deallocated" => {
            Ok(Domain::Deallocated { domain, denials: fields.decimal("denials").ok_or("denials")? })
        }
        _ => Err("status"),
    }
}

fn change(fields: &Fields<'_>) -> Result<Change, &'static str> {
    let set = fields.named_like("audit_");
    Ok(Change {
        operation: fields.word("op").ok_or("op")?,
        setting: set.map(|(name, _)| Text::of(name)),
        value: set.and_then(|(_, value)| value.number(10)),
        before: fields.decimal("old"),
        result: fields.decimal("res"),
    })
}
