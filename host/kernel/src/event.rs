//! What the kernel tells, in types. Every text in here is data that a hostile program may have chosen.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bounds;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, and which.
    pub stamp: Stamp,
    /// What.
    pub what: What,
    /// In which system call of whom, where the kernel says so.
    pub task: Option<Task>,
}

/// Which event: all of its records have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// Number since the machine started.
    pub serial: u64,
    /// Wall time in milliseconds since 1970, by the kernel's coarse clock: up to a tick late.
    pub millis: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Landlock refused something (1423).
    Access(Access),
    /// A Landlock domain's first refusal, or its end (1424).
    Domain(Domain),
    /// A seccomp filter did something to a process that is worth a record (1326).
    Seccomp(Seccomp),
    /// Somebody changed what the kernel records (1305).
    Change(Change),
}

/// Landlock refused something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The domain that refused. Numbers of domains are not used twice while the machine runs.
    pub domain: u64,
    /// The rights that were missing, as the kernel names them: `fs.write_file,fs.read_file`.
    pub blockers: Text,
    /// On what.
    pub object: Object,
}

/// What an access was about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Object {
    /// A file; or an abstract socket, whose name begins with a NUL.
    Path {
        /// As the kernel writes it.
        path: Text,
        /// The device's name.
        device: Option<Text>,
        /// On that device.
        inode: Option<u64>,
    },
    /// Where to connect, or what to bind.
    Address {
        /// The address, if it was said.
        address: Option<Text>,
        /// The port.
        port: Option<u64>,
    },
    /// Another process.
    Process {
        /// Its number, as the first pid namespace counts.
        pid: u64,
        /// What it calls itself.
        comm: Option<Text>,
    },
    /// Something that this version has no name for.
    Other,
}

/// A Landlock domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Domain {
    /// Told at the first refusal, of the process that made the domain, as it was then.
    Allocated {
        /// Which.
        domain: u64,
        /// The process, as the first pid namespace counts.
        pid: u64,
        /// Its user.
        uid: u64,
        /// What it called itself.
        comm: Option<Text>,
        /// Its program.
        exe: Option<Text>,
    },
    /// The last process in it is gone.
    Deallocated {
        /// Which.
        domain: u64,
        /// How often it refused, told of or not.
        denials: u64,
    },
}

/// A filter's action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seccomp {
    /// Who called.
    pub task: Task,
    /// The signal that it gets; 0 where none.
    pub signal: u64,
    /// The filter's answer, as in `linux/seccomp.h`.
    pub code: u64,
    /// From where in its memory.
    pub instruction: u64,
}

/// A process in a system call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its number, as the first pid namespace counts.
    pub pid: u64,
    /// Its user.
    pub uid: u64,
    /// What it calls itself.
    pub comm: Option<Text>,
    /// Its program.
    pub exe: Option<Text>,
    /// The architecture, as in `linux/audit.h`.
    pub arch: u64,
    /// The call's number there.
    pub syscall: u64,
}

/// A change of what the kernel records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What was done: `set`, `add_rule`.
    pub operation: Text,
    /// What was set: `audit_enabled`.
    pub setting: Option<Text>,
    /// To this.
    pub value: Option<u64>,
    /// It was this.
    pub before: Option<u64>,
    /// Whether it was done: 1.
    pub result: Option<u64>,
}

/// A text that somebody else chose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// To be read: what is not UTF-8 in it is replaced, what is too long is cut.
    pub text: String,
    /// The bytes themselves in hex, where `text` is not they.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exact: Option<String>,
}

impl Text {
    /// Of bytes, at most [`bounds::TEXT`] of them.
    pub fn of(bytes: &[u8]) -> Text {
        let kept = &bytes[..bytes.len().min(bounds::TEXT)];
        match std::str::from_utf8(kept) {
            Ok(text) if kept.len() == bytes.len() => Text { text: text.to_owned(), exact: None },
            _ => {
                let exact = kept.iter().map(|byte| format!("{byte:02x}")).collect();
                Text { text: String::from_utf8_lossy(kept).into_owned(), exact: Some(exact) }
            }
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Object {
    /// As the resource of a record: a path, `@name` for an abstract socket, `address:port`, `process 7 (name)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Path { path, .. } => match path.text.strip_prefix('\0') {
                Some(name) => write!(f, "@{name}"),
                None => path.fmt(f),
            },
            Object::Address { address, port } => {
                match address {
                    Some(address) if address.text.contains(':') => write!(f, "[{address}]")?,
                    Some(address) => address.fmt(f)?,
                    None => f.write_str("*")?,
                }
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Object::Process { pid, comm: Some(comm) } => write!(f, "process {pid} ({comm})"),
            Object::Process { pid, comm: None } => write!(f, "process {pid}"),
            Object::Other => Ok(()),
        }
    }
}

impl Event {
    /// The domain that it is about.
    pub fn domain(&self) -> Option<u64> {
        match &self.what {
            What::Access(access) => Some(access.domain),
            What::Domain(Domain::Allocated { domain, .. } | Domain::Deallocated { domain, .. }) => {
                Some(*domain)
            }
            What::Seccomp(_) | What::Change(_) => None,
        }
    }

    /// The process that it is about, and its user.
    pub fn process(&self) -> Option<(u64, u64)> {
        match &self.what {
            What::Domain(Domain::Allocated { pid, uid, .. }) => Some((*pid, *uid)),
            What::Seccomp(seccomp) => Some((seccomp.task.pid, seccomp.task.uid)),
            What::Access(_) | What::Change(_) => self.task.as_ref().map(|task| (task.pid, task.uid)),
            What::Domain(Domain::Deallocated { .. }) => None,
        }
    }
}
