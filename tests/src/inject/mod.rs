//! Faults at every step of the real program: it runs under ptrace(2), and at the step that a test names it is killed, or the
//! step fails, or from there on the disk is full. The program knows nothing of it, and there is nothing of it in the program.
//!
//! Only the host is traced, with all its threads: workers, the compiler and what reads the kernel's records are not, since
//! the kernel tells a tracer of their making by another event than of a thread's. SQLite maps the index of its write-ahead
//! log: what is written there by plain stores is not seen.

mod change;
mod place;
mod step;
mod tracer;

use std::path::Path;
use std::process::Command;

pub use change::{Change, changes};
pub use place::{Place, Whole};
pub use step::{Kind, Step};

/// The plugin that is installed.
pub const PLUGIN: &str = "acme/stats";

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The program is killed, and the step is not done.
    KillBefore,
    /// The program is killed when the step is done.
    KillAfter,
    /// Half of what is to be written is written, and the program is killed.
    Torn,
    /// The step is not done, and the program is told that the device is broken.
    Broken,
    /// From this step on, whatever needs room is not done, and the program is told that there is none.
    Full,
    /// Half of what is to be written is written, and then there is no room.
    HalfFull,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 6] =
        [Self::KillBefore, Self::KillAfter, Self::Torn, Self::Broken, Self::Full, Self::HalfFull];

    /// Whether it can happen at a step.
    pub fn suits(self, step: &Step) -> bool {
        match self {
            Self::KillBefore | Self::KillAfter | Self::Broken => true,
            Self::Full => step.kind.needs_room(),
            Self::Torn | Self::HalfFull => matches!(step.call, "write" | "pwrite64"),
        }
    }
}

/// How a program ended, and what it did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; none where it was killed.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: Vec<u8>,
    /// The steps that it took, or was to take.
    pub steps: Vec<Step>,
    /// Whether it came as far as the fault.
    pub faulted: bool,
}

/// Runs a program, and has a fault happen at one of its steps, counted from 0. `state` is its state folder.
///
/// # Panics
///
/// It cannot be started or traced, or does not end within a minute.
pub fn run(program: &Command, state: &Path, fault: Option<(usize, Fault)>) -> Ran {
    tracer::run(program, state, fault)
}
