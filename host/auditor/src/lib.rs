//! Reads the Stockade audit log: finds records, explains them, counts them, and writes them as other programs take them.
//!
//! The log is somebody else's, and hostile text stands in it. Nothing here writes to it, nothing that is printed moves
//! a terminal, and the [`Index`] is a shortcut that is never believed. `docs/auditing.md` is the page for auditors.
#![forbid(unsafe_code)]

mod args;
mod auditor;
mod command;
mod error;
mod exit;
mod explain;
mod export;
mod filter;
mod follow;
mod home;
mod index;
mod output;
mod pipe;
mod progress;
pub mod prove;
mod show;
mod source;
mod stats;
mod tail;
pub mod verify;
mod when;

pub use args::{At, Count, Export, IndexArgs, One, Query, Read, Tail, Which};
pub use auditor::{Answer, Auditor, Lookup, Question};
pub use error::AuditorError;
pub use exit::Exit;
pub use explain::{Story, explain};
pub use export::{Exporter, Journal, Target};
pub use filter::{Filter, Pattern};
pub use follow::{Follow, News};
pub use home::usual_log;
pub use index::{Disagreement, Freshness, Index, Status, usual as usual_index};
pub use output::{Format, SCHEMA, failure};
pub use pipe::{Pipe, words};
pub use source::{Damage, Found, Located, LogFile, Records, Source};
pub use stats::{By, Stats};
pub use when::When;
