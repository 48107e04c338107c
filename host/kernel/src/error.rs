/// Why the kernel's records cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KernelLogError {
    /// The kernel has no audit, or a filter around this process forbids the socket.
    #[error("no audit socket could be made")]
    Socket(#[source] nix::Error),
    /// Reading needs CAP_AUDIT_READ in the first user namespace.
    #[error("the kernel's records may not be read")]
    Join(#[source] nix::Error),
    /// The question for the state of audit could not be put.
    #[error("the kernel could not be asked for the state of audit")]
    Ask(#[source] nix::Error),
    /// Asking needs CAP_AUDIT_CONTROL, in the first pid namespace.
    #[error("the state of audit may not be asked for")]
    Refused(#[source] nix::Error),
    /// The kernel's answer was none.
    #[error("the kernel did not answer what it was asked")]
    NoAnswer,
}
