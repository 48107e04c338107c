//! The session's phases and the one table that says which message is legal when.

use stockade_policy::stands;

use crate::Fault;
use crate::bounds::{CONTROL, PAYLOAD_FRAME, REPORT};

/// Where a session stands. Both ends walk the same path; the host's copy is the one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Started, confined by the host, not yet by its own filter.
    Boot,
    /// The filter stands and was proved; no untrusted byte has been seen.
    Confined,
    /// Being handed the artifact (or the component to compile).
    Loading,
    /// Loaded, waiting for a call.
    Idle,
    /// Running a call.
    Calling,
    /// Over.
    Closed,
}

/// Which message a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// `ToHost`: the program's first words, with the notification listener.
    Hello = 1,
    /// `ToHost`: the canaries have sung.
    Confined = 2,
    /// `ToWorker`: the artifact and what goes with it.
    Load = 3,
    /// `ToHost`: the artifact is mapped and linked.
    Loaded = 4,
    /// `ToHost`: it cannot be loaded, or not compiled.
    Rejected = 5,
    /// `ToWorker`: a component to compile and a file for the artifact.
    Compile = 6,
    /// `ToHost`: the artifact is written; what the component imports and exports.
    Compiled = 7,
    /// `ToWorker`: run a tool.
    Call = 8,
    /// `ToHost`: the tool's result.
    Return = 9,
    /// `ToHost`: something that only the host can do.
    Ask = 10,
    /// `ToWorker`: the answer.
    Answer = 11,
    /// `ToHost`: a line for the operator.
    Log = 12,
    /// `ToHost`: the worker refused something itself.
    Refused = 13,
    /// `ToHost`: something for another plugin or a model to do.
    Delegate = 14,
    /// `ToWorker`: what came of it.
    Delegated = 15,
    /// `ToWorker`: nobody calls for now.
    Rest = 16,
}

/// Which end sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The host.
    Host,
    /// The confined program.
    Worker,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The message.
    pub kind: Kind,
    /// Who sends it.
    pub sender: Sender,
    /// The phases in which it is legal.
    pub phases: &'static [Phase],
    /// Whether a session has it at most once.
    pub once: bool,
    /// The longest body.
    pub max: usize,
    /// The phase that follows.
    pub next: Option<Phase>,
}

const fn row(
    kind: Kind,
    sender: Sender,
    phases: &'static [Phase],
    once: bool,
    max: usize,
    next: Option<Phase>,
) -> Row {
    Row { kind, sender, phases, once, max, next }
}

/// The table: message, sender, legal phases, once, longest body, next phase.
#[rustfmt::skip]
pub static TABLE: [Row; 16] = [
    row(Kind::Hello,    Sender::Worker, &[Phase::Boot],                  true,  1024,          None),
    row(Kind::Confined, Sender::Worker, &[Phase::Boot],                  true,  0,             Some(Phase::Confined)),
    row(Kind::Load,     Sender::Host,   &[Phase::Confined],              true,  CONTROL,       Some(Phase::Loading)),
    row(Kind::Loaded,   Sender::Worker, &[Phase::Loading],               true,  CONTROL,       Some(Phase::Idle)),
    row(Kind::Rejected, Sender::Worker, &[Phase::Loading],               true,  CONTROL,       Some(Phase::Closed)),
    row(Kind::Compile,  Sender::Host,   &[Phase::Confined],              true,  CONTROL,       Some(Phase::Loading)),
    row(Kind::Compiled, Sender::Worker, &[Phase::Loading],               true,  REPORT,        Some(Phase::Closed)),
    row(Kind::Call,     Sender::Host,   &[Phase::Idle],                  false, PAYLOAD_FRAME, Some(Phase::Calling)),
    row(Kind::Return,   Sender::Worker, &[Phase::Calling],               false, PAYLOAD_FRAME, Some(Phase::Idle)),
    row(Kind::Ask,      Sender::Worker, &[Phase::Calling],               false, CONTROL,       None),
    row(Kind::Answer,   Sender::Host,   &[Phase::Calling],               false, CONTROL,       None),
    row(Kind::Log,      Sender::Worker, &[Phase::Calling],               false, CONTROL,       None),
    row(Kind::Refused,  Sender::Worker, &[Phase::Loading, Phase::Calling], false, CONTROL,     None),
    row(Kind::Delegate,  Sender::Worker, &[Phase::Calling],              false, PAYLOAD_FRAME, None),
    row(Kind::Delegated, Sender::Host,   &[Phase::Calling],              false, PAYLOAD_FRAME, None),
    row(Kind::Rest,      Sender::Host,   &[Phase::Idle],                 false, 0,             None),
];

impl Kind {
    /// The kind with this number.
    pub fn from_u8(number: u8) -> Option<Kind> {
        let row = TABLE.get(usize::from(number.checked_sub(1)?))?;
        Some(row.kind)
    }

    /// Its row.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize - 1]
    }
}

/// Where one session stands and what it has seen.
#[derive(Clone, Debug)]
pub struct Phases {
    now: Phase,
    seen: u32,
}

impl Default for Phases {
    fn default() -> Self {
        Self { now: Phase::Boot, seen: 0 }
    }
}

impl Phases {
    /// The current phase.
    pub fn now(&self) -> Phase {
        self.now
    }

    /// Ends the session; nothing is legal any more.
    pub fn close(&mut self) {
        self.now = Phase::Closed;
    }

    /// Whether `kind` with a body of `len` bytes from `sender` is legal now. Changes nothing, so that
    /// it can be asked before the body has been read.
    pub fn check(&self, sender: Sender, kind: Kind, len: usize) -> Result<(), Fault> {
        let row = kind.row();
        if row.sender != sender && stands("phase.direction") {
            return Err(Fault::Direction(kind));
        }
        if row.once && stands("phase.once") && self.seen & (1 << kind as u32) != 0 {
            return Err(Fault::Repeated(kind));
        }
        if !row.phases.contains(&self.now) && stands("phase.order") {
            return Err(Fault::OutOfPhase { kind, phase: self.now });
        }
        if len > row.max && stands("phase.length") {
            return Err(Fault::TooLong { kind, len, max: row.max });
        }
        Ok(())
    }

    /// Takes the step that `kind` means, after [`check`](Self::check).
    pub fn advance(&mut self, kind: Kind) {
        self.seen |= 1 << kind as u32;
        if let Some(next) = kind.row().next {
            self.now = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_numbers() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.kind as usize, index + 1);
            assert_eq!(Kind::from_u8(row.kind as u8), Some(row.kind));
        }
        assert_eq!(Kind::from_u8(0), None);
        assert_eq!(Kind::from_u8(TABLE.len() as u8 + 1), None);
    }

    #[test]
    fn nothing_is_legal_once_closed() {
        let mut phases = Phases::default();
        phases.close();
        for row in &TABLE {
            assert!(phases.check(row.sender, row.kind, 0).is_err());
        }
    }

    #[test]
    fn a_second_hello_is_refused() {
        let mut phases = Phases::default();
        phases.check(Sender::Worker, Kind::Hello, 10).unwrap();
        phases.advance(Kind::Hello);
        assert_eq!(phases.check(Sender::Worker, Kind::Hello, 10), Err(Fault::Repeated(Kind::Hello)));
    }
}
