//! The Stockade audit record, its hash chain, and its verification.
//!
//! A [`Log`] is one file of JSON lines, each bound to the one before it by SHA-256. [`Log::append`]
//! returns only once the kernel has the whole line, so that a caller who writes the record before the
//! effect never has an effect without a record, kill −9 included; where it cannot be written the append
//! fails, and the caller refuses the action. [`verify`] says what is wrong where; [`Reader`] shows records.
//! The format is described in `docs/audit.md`.
//!
//! ```
//! use stockade_audit::{Decision, Layer, Log, Plugin, Record, verify};
//!
//! # let state = tempfile::tempdir()?;
//! let dir = state.path().join("audit");
//! let log = Log::open(&dir)?;
//! let plugin = Plugin::new("secret-scan", "0.1.0", "9f86d081", "quality_gate").shared();
//! let receipt = log.append(
//!     &Record::new(Layer::Host, "refused", Decision::Denied)
//!         .plugin(&plugin)
//!         .launch("0001")
//!         .call(1)
//!         .operation("fs.read")
//!         .resource("/etc/passwd")
//!         .rule("fs.read:/src", "command line")
//!         .reason("no grant covers this resource")
//!         .next_step("widen the grant if the plugin should reach this resource"),
//! )?;
//! log.sync_to(receipt.seq)?;
//! log.close()?;
//! assert!(verify(&dir, Some(&receipt.head()))?.is_sound());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod ahead;
mod blocks;
pub mod bounds;
mod chain;
mod checkpoint;
mod clock;
mod commit;
mod compress;
mod detail;
mod diagnose;
mod disk;
mod entry;
mod error;
mod escape;
mod finding;
mod floods;
mod keeper;
mod key;
mod layer;
mod line;
mod lines;
mod log;
mod notary;
mod note;
mod notebook;
mod options;
mod pass;
mod place;
mod post;
#[cfg(test)]
mod powercut;
mod proof;
mod reader;
mod record;
mod restore;
mod retention;
mod rotate;
mod scan;
mod segments;
mod shared;
mod signatures;
mod sink;
mod tail;
mod tree;
mod verify;
mod writer;

pub use blocks::{BLOCK, Blocks};
pub use chain::{Hash, Head, LogId};
pub use checkpoint::Checkpoint;
pub use clock::{Clock, ManualClock, Moment, SystemClock};
pub use detail::{Detail, Value};
pub use entry::Entry;
pub use error::AuditError;
pub use escape::escape_for_terminal;
pub use finding::Finding;
pub use floods::FloodLimits;
pub use layer::{Evidence, Layer};
pub use lines::{Lines, Piece};
pub use log::{Log, Receipt};
pub use note::{Signed, SignedNote, VerifierKey};
pub use options::{CheckpointPolicy, Options, Retention, SegmentPolicy};
pub use proof::{ConsistencyProof, InclusionProof, ProofHash, prove_consistency, prove_inclusion};
pub use reader::Reader;
pub use record::{Decision, Plugin, Record, Rule};
pub use sink::{CommandSink, FileSink, Sink};
pub use verify::{Copy, Removed, Report, Signatures, Summary, Trust, verify, verify_with};
