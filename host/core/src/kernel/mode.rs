use std::fmt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use stockade_kernel_log::{AuditStatus, KernelLogError, Socket};

/// Whether the kernel's own records come into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelRecords {
    /// They do.
    Read,
    /// Audit is switched off in the kernel: of Landlock it records nothing.
    Disabled,
    /// This host may not read them.
    NotPermitted(AuditForbidden),
    /// The program that reads them is not there, or cannot be read.
    NoProgram(PathBuf),
    /// The program that reads them has ended; how. It is started again.
    ReaderDied(String),
}

impl KernelRecords {
    /// Looks at this machine; whether the program is there is not looked at.
    pub fn here() -> KernelRecords {
        look().mode
    }

    /// Its name in the log.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Disabled => "disabled",
            Self::NotPermitted(_) => "not-permitted",
            Self::NoProgram(_) => "no-program",
            Self::ReaderDied(_) => "reader-died",
        }
    }

    /// What it costs; empty where they are read.
    pub const fn cost(&self) -> &'static str {
        match self {
            Self::Read => "",
            _ => "Landlock's own records do not come into the log; forbidden system calls do all the same",
        }
    }

    /// How to have them; empty where they are read.
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::Read => "",
            Self::Disabled => "auditctl -e 1 -b 8192, or boot with audit=1",
            Self::NotPermitted(AuditForbidden::Namespace) => {
                "run the host in the machine's own pid and network namespaces"
            }
            Self::NotPermitted(_) => {
                "give the host CAP_AUDIT_READ (systemd: AmbientCapabilities=CAP_AUDIT_READ)"
            }
            Self::NoProgram(_) => "install stockade-kernel-log beside stockade-worker",
            Self::ReaderDied(_) => "it is started again; if it goes on, report it: no record should end it",
        }
    }
}

impl fmt::Display for KernelRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kernel audit records: ")?;
        match self {
            Self::Read => f.write_str("read"),
            Self::Disabled => f.write_str("audit is disabled in the kernel"),
            Self::NotPermitted(why) => write!(f, "not permitted: {}", why.as_str()),
            Self::NoProgram(path) => write!(f, "{} is not there, or cannot be read", path.display()),
            Self::ReaderDied(how) => write!(f, "the reader died: {how}"),
        }
    }
}

/// Why a host may not read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditForbidden {
    /// It lacks the capability.
    Capability,
    /// There is no such socket for it.
    Socket,
    /// The kernel's numbers of processes are those of the first pid namespace, and only in the first network
    /// namespace does it send records at all: elsewhere none could be tied to a worker.
    Namespace,
}

impl AuditForbidden {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Capability => "CAP_AUDIT_READ is not there, or only in a user namespace",
            Self::Socket => "this kernel has no audit, or a filter around the host forbids its socket",
            Self::Namespace => "the host is in a pid or network namespace of its own",
        }
    }
}

/// What a look brought.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) mode: KernelRecords,
    /// There where the mode is `Read` or `Disabled`.
    pub(super) socket: Option<Socket>,
    /// Where the host may ask.
    pub(super) status: Option<AuditStatus>,
}

pub(super) fn look() -> Found {
    let status = AuditStatus::ask().ok();
    let (mode, socket) = match Socket::open() {
        Err(KernelLogError::Join(Errno::EPERM | Errno::EACCES)) => {
            (KernelRecords::NotPermitted(AuditForbidden::Capability), None)
        }
        Err(_) => (KernelRecords::NotPermitted(AuditForbidden::Socket), None),
        Ok(_) if !in_first_namespaces() => (KernelRecords::NotPermitted(AuditForbidden::Namespace), None),
        Ok(socket) => match status {
            Some(AuditStatus { enabled: 0, .. }) => (KernelRecords::Disabled, Some(socket)),
            // Who may not ask takes what comes.
            _ => (KernelRecords::Read, Some(socket)),
        },
    };
    Found { mode, socket, status }
}

/// `PROC_PID_INIT_INO`: the first pid namespace has the same number everywhere. The first network namespace is that
/// of process 1, where it may be looked at.
fn in_first_namespaces() -> bool {
    let link = |path: &str| std::fs::read_link(path).ok();
    let first_pid = link("/proc/self/ns/pid").as_deref() == Some(Path::new("pid:[4026531836]"));
    let same_net = match (link("/proc/1/ns/net"), link("/proc/self/ns/net")) {
        (Some(first), Some(own)) => first == own,
        _ => true,
    };
    first_pid && same_net
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_but_one_says_what_it_costs_and_what_to_do() {
        let modes = [
            KernelRecords::Read,
            KernelRecords::Disabled,
            KernelRecords::NotPermitted(AuditForbidden::Capability),
            KernelRecords::NotPermitted(AuditForbidden::Namespace),
            KernelRecords::NoProgram("/usr/bin/stockade-kernel-log".into()),
            KernelRecords::ReaderDied("signal 9".to_owned()),
        ];
        for mode in modes {
            let said = !mode.cost().is_empty() && !mode.next_step().is_empty();
            assert_eq!(said, mode != KernelRecords::Read, "{mode}");
        }
        assert!(
            KernelRecords::NotPermitted(AuditForbidden::Capability).next_step().contains("CAP_AUDIT_READ")
        );
        assert!(KernelRecords::NotPermitted(AuditForbidden::Namespace).next_step().contains("namespaces"));
    }

    #[test]
    fn who_is_not_permitted_has_no_socket_and_who_is_has_one() {
        let found = look();
        let permitted = matches!(found.mode, KernelRecords::Read | KernelRecords::Disabled);
        assert_eq!(found.socket.is_some(), permitted, "{found:?}");
        let effective =
            crate::boot::field(&std::fs::read_to_string("/proc/self/status").unwrap(), "CapEff").to_owned();
        let capable = u64::from_str_radix(&effective, 16).unwrap() & 1 << 37 != 0;
        assert!(capable || !permitted, "{found:?}");
    }
}
