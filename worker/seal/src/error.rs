use stockade_ipc::Fault;

/// Why a program could not be sealed, or lost its host. There is nothing to recover: it exits.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// `argv[1]` is missing or names no filter.
    #[error("no filter named {0:?}")]
    UnknownFilter(String),
    /// The signal mask could not be set.
    #[error("sigprocmask")]
    SignalMask(#[source] nix::Error),
    /// The process stayed dumpable.
    #[error("prctl(PR_SET_DUMPABLE)")]
    Dumpable(#[source] nix::Error),
    /// The kernel did not take the filter.
    #[error("seccomp(SECCOMP_SET_MODE_FILTER)")]
    Filter(#[source] nix::Error),
    /// A canary came back: the filter does not stand.
    #[error("canary {0} was not refused")]
    Canary(&'static str),
    /// The host is gone. The normal end of a worker.
    #[error("the host closed the connection")]
    Closed,
    /// The socket failed.
    #[error("the socket failed")]
    Socket(#[source] nix::Error),
    /// Receiving descriptors failed.
    #[error("receiving descriptors failed")]
    Receive(#[source] std::io::Error),
    /// The host broke the protocol, or a message of ours does not fit it.
    #[error(transparent)]
    Fault(#[from] Fault),
}
