use std::fmt;

use serde::{Deserialize, Serialize};

/// Who refused, or whose business a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// The host's broker decided.
    Host,
    /// The worker says that it refused.
    Worker,
    /// A seccomp notification: the kernel stopped the call and showed it to the host.
    Seccomp,
    /// The kernel ended the worker with SIGSYS.
    Sigsys,
    /// A Landlock refusal from the kernel's own audit records.
    Landlock,
    /// A deadline, or a cap on memory or CPU.
    Limits,
    /// A worker was started, attested, or ended.
    Launch,
    /// Grants and approvals changed.
    Policy,
    /// A package was checked, installed or removed.
    Package,
    /// The log about itself: open, recovery, gap, flood, close.
    Log,
}

/// What a record rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The kernel reported it; the worker could neither forge nor suppress it.
    KernelAttested,
    /// The host did it or saw it; true as far as the host is.
    HostObserved,
    /// The worker said so. A worker that has been taken over says what it likes.
    WorkerClaimed,
}

impl Layer {
    /// Every layer, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Host,
        Self::Worker,
        Self::Seccomp,
        Self::Sigsys,
        Self::Landlock,
        Self::Limits,
        Self::Launch,
        Self::Policy,
        Self::Package,
        Self::Log,
    ];

    /// Its name in a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Worker => "worker",
            Self::Seccomp => "seccomp",
            Self::Sigsys => "sigsys",
            Self::Landlock => "landlock",
            Self::Limits => "limits",
            Self::Launch => "launch",
            Self::Policy => "policy",
            Self::Package => "package",
            Self::Log => "log",
        }
    }

    /// What a record of this layer rests on.
    pub const fn evidence(self) -> Evidence {
        match self {
            Self::Seccomp | Self::Sigsys | Self::Landlock => Evidence::KernelAttested,
            Self::Worker => Evidence::WorkerClaimed,
            Self::Host | Self::Limits | Self::Launch | Self::Policy | Self::Package | Self::Log => {
                Evidence::HostObserved
            }
        }
    }

    /// Whether a plugin can make records of this layer at will, so that a flood of them is folded.
    pub(crate) const fn can_flood(self) -> bool {
        match self {
            Self::Host | Self::Worker | Self::Seccomp | Self::Sigsys | Self::Landlock | Self::Limits => true,
            Self::Launch | Self::Policy | Self::Package | Self::Log => false,
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Evidence {
    /// Its name in the documentation and in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KernelAttested => "kernel-attested",
            Self::HostObserved => "host-observed",
            Self::WorkerClaimed => "worker-claimed",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
