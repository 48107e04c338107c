//! The kernel's own audit records of what Landlock and seccomp refused.
//!
//! Who may (root, or CAP_AUDIT_READ) opens a [`Socket`] on which the kernel sends every audit record. They are text,
//! and half of the text was chosen by whoever was refused: names of files and of programs. So the host reads none
//! of it. It hands the socket to the program `stockade-kernel-log`, which has no privilege, no file and no other
//! system calls than it takes to read there and to answer; that takes the text apart and sends typed, bounded
//! [`Report`]s back. docs/decisions/0025 says why.
//!
//! ```
//! use stockade_kernel_log::{What, parse};
//!
//! let text = br#"audit(1795861721.069:3): domain=1479991eb blockers=fs.read_file path=2F746D702F610A62 dev="vda""#;
//! let (stamp, what) = parse(1423, text).unwrap().unwrap();
//! assert_eq!(stamp.serial, 3);
//! # let stockade_kernel_log::Record::What(What::Access(access)) = what else { panic!() };
//! // Decoded after the text was taken apart: a name cannot pretend to be a field.
//! assert_eq!(access.object.to_string(), "/tmp/a\nb");
//! ```
#![forbid(unsafe_code)]

mod assemble;
pub mod bounds;
mod error;
mod event;
mod field;
mod record;
mod report;
mod socket;
mod status;

pub use assemble::Assembler;
pub use error::KernelLogError;
pub use event::{Access, Change, Domain, Event, Object, Seccomp, Stamp, Task, Text, What};
pub use record::{Malformed, Record, parse};
pub use report::{BadReport, Report, Reports};
pub use socket::{Datagram, Socket};
pub use status::AuditStatus;
