//! How much of anything there may be. Whoever makes the kernel refuse things makes records at will.

use std::time::Duration;

/// Bytes of one record as it comes: `MAX_AUDIT_MESSAGE_LENGTH` of the kernel is 8970, and the header has 16.
pub const DATAGRAM: usize = 16 * 1024;
/// Fields of one record that are looked at. A SYSCALL record, the longest, has 27.
pub const FIELDS: usize = 64;
/// Bytes kept of one text: `PATH_MAX`, and what the kernel puts behind a path (` (deleted)`).
pub const TEXT: usize = 4096 + 16;
/// Events that are put together at one time, each of several records. Processors write into each other's, so there
/// are a few; past this the oldest goes as it is.
pub const GROUPS: usize = 64;
/// Refusals of one system call. `kill(-1)` is refused once for every process of the machine.
pub const PARTS: usize = 64;
/// How long the rest of an event is waited for. It is written when the system call returns.
pub const AGE: Duration = Duration::from_millis(200);
/// Bytes of one report as a line: two records' texts, every byte of them escaped as six, and the names around them.
pub const LINE: usize = 128 * 1024;
/// Bytes that the kernel keeps for who reads late: some thousands of refusals with all their records. It is the
/// kernel's memory, so it is not more.
pub const QUEUE: usize = 16 * 1024 * 1024;
