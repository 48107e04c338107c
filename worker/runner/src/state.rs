use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use stockade_ipc::bounds::{LOG_FIELDS, LOG_LINE, NAME, TEXT};
use stockade_ipc::{Answer, Delegate, Delegated, Log, LogLevel, Refused, ToHost, ToWorker};
use stockade_policy::{Ask, Budget, Decision, Grants, Rule, decide, stands};
use stockade_seal::{Channel, SealError};
use wasmtime::StoreContextMut;
use wasmtime::component::ResourceTable;

use crate::error::{Stop, cut};
use crate::limits::Limits;

/// What host functions get.
pub(crate) type Cx<'a> = StoreContextMut<'a, State>;

/// Handles that one instance may have open: 65,536. A guest that opens a million meets an error.
const HANDLES: usize = 1 << 16;

/// The other end of the connection, as the capabilities see it.
pub(crate) trait Host: Send + Sync {
    /// Tells the host something.
    fn tell(&mut self, message: &ToHost) -> Result<(), SealError>;
    /// Waits for its next message; descriptors come only where the filter lets them.
    fn hear(&mut self, with_files: bool) -> Result<(ToWorker, Vec<OwnedFd>), SealError>;
    /// Nothing is to be told or heard for a while.
    fn rest(&mut self) {}
}

impl Host for Channel {
    fn tell(&mut self, message: &ToHost) -> Result<(), SealError> {
        self.send(message)
    }

    fn hear(&mut self, with_files: bool) -> Result<(ToWorker, Vec<OwnedFd>), SealError> {
        if with_files {
            self.receive_with_files()
        } else {
            self.receive().map(|message| (message, Vec::new()))
        }
    }

    fn rest(&mut self) {
        Channel::rest(self);
    }
}

/// What belongs to the running instance and its capabilities.
pub(crate) struct State {
    pub(crate) host: Box<dyn Host>,
    pub(crate) grants: Grants,
    pub(crate) table: ResourceTable,
    pub(crate) limits: Limits,
    /// Files that can still be opened; every open one holds a reference.
    pub(crate) files: crate::fs::Quota,
    pub(crate) listed: crate::fs::Listed,
    /// Requests that the guest has let go of and the host has not heard of yet.
    pub(crate) requests: crate::http::Released,
    /// Requests that the guest has handed over and the host has not got yet.
    pub(crate) unsent: Vec<crate::http::Shared<crate::http::Pending>>,
    output: [Vec<u8>; 2],
    started: Instant,
}

impl State {
    pub(crate) fn new(
        host: Box<dyn Host>,
        grants: Grants,
        memory_bytes: u64,
        files: crate::fs::Quota,
    ) -> Self {
        Self {
            host,
            grants,
            table: table(),
            limits: Limits::new(memory_bytes),
            files,
            listed: crate::fs::Listed::default(),
            requests: crate::http::Released::default(),
            unsent: Vec::new(),
            output: [Vec::new(), Vec::new()],
            started: Instant::now(),
        }
    }

    /// Forgets the instance that is gone.
    pub(crate) fn renew(&mut self) {
        if !self.table.is_empty() {
            self.table = table();
        }
        // The host has let go of them by itself.
        self.unsent.clear();
        crate::http::lock(&self.requests).clear();
        self.listed = crate::fs::Listed::default();
        self.limits.renew();
        self.output.iter_mut().for_each(Vec::clear);
    }

    /// Sends, or ends the program: without a host there is nothing left to do.
    pub(crate) fn tell(&mut self, message: impl Into<ToHost>) {
        if let Err(error) = self.host.tell(&message.into()) {
            crate::end(&error);
        }
    }

    /// Has the host do something.
    pub(crate) fn ask(&mut self, ask: stockade_ipc::Ask) -> (Answer, Option<OwnedFd>) {
        let with_files = self.files.receives()
            && matches!(
                ask,
                stockade_ipc::Ask::FsOpen { .. } | stockade_ipc::Ask::FsOpenWritable { read: true, .. }
            );
        self.tell(ask);
        match self.host.hear(with_files) {
            Ok((ToWorker::Answer(answer), mut files)) => (answer, files.pop()),
            Ok(_) => crate::end(&SealError::Closed),
            Err(error) => crate::end(&error),
        }
    }

    /// Has another plugin or a model do something.
    pub(crate) fn delegate(&mut self, what: Delegate) -> Delegated {
        self.tell(what);
        match self.host.hear(false) {
            Ok((ToWorker::Delegated(answer), _)) => answer,
            Ok(_) => crate::end(&SealError::Closed),
            Err(error) => crate::end(&error),
        }
    }

    /// What is left of the budgets.
    pub(crate) fn left(&mut self) -> Budget {
        match self.delegate(Delegate::Left) {
            Delegated::Left(left) => left,
            _ => Budget::default(),
        }
    }

    /// Decides; a refusal is recorded.
    pub(crate) fn decide(&mut self, ask: &Ask<'_>) -> Result<(), String> {
        let denial = match decide(&self.grants, ask) {
            Decision::Allow(_) => return Ok(()),
            Decision::Deny(_) if !stands("guest.decide") => return Ok(()),
            Decision::Deny(denial) => denial,
        };
        let why = denial.why.to_string();
        self.refused(ask.operation(), &ask.resource(), denial.rule, &why);
        Err(why)
    }

    /// Decides where the guest's interface has no error to say no with: a refusal ends the call.
    pub(crate) fn demand(&mut self, ask: &Ask<'_>) -> wasmtime::Result<()> {
        let operation = ask.operation();
        self.decide(ask).map_err(|why| wasmtime::Error::new(Stop::Denied { operation, why }))
    }

    /// Leaves a record of a refusal.
    pub(crate) fn refused(&mut self, operation: &str, resource: &str, rule: Rule, reason: &str) {
        let part = |text: &str| text[..text.floor_char_boundary(TEXT)].to_owned();
        self.tell(Refused {
            operation: cut(operation.to_owned(), NAME),
            resource: part(resource),
            rule: Rule { id: cut(rule.id, TEXT), source: rule.source },
            reason: part(reason),
        });
    }

    /// Nanoseconds since the worker started: a clock that tells nothing of the machine.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Waits until then. Sleeps in stretches, so that no instant overflows what the kernel takes; the
    /// host's deadline ends a wait that is too long.
    pub(crate) fn sleep_until(&self, when: u64) {
        const STRETCH: u64 = 3_600_000_000_000;
        while let Some(left @ 1..) = when.checked_sub(self.now()) {
            std::thread::sleep(Duration::from_nanos(left.min(STRETCH)));
        }
    }

    /// One line for the operator, and values beside it. What does not fit is left out.
    pub(crate) fn log(&mut self, level: LogLevel, line: String, mut fields: Vec<(String, String)>) {
        let line = cut(line, LOG_LINE);
        let mut room = LOG_LINE - line.len();
        fields.truncate(LOG_FIELDS);
        fields.retain(|(name, value)| match room.checked_sub(name.len() + value.len()) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        });
        self.tell(Log { level, line, fields });
    }

    fn buffer(&mut self, level: LogLevel) -> &mut Vec<u8> {
        &mut self.output[usize::from(level != LogLevel::Info)]
    }

    /// Takes what the guest writes to stdout or stderr; whole lines go on.
    pub(crate) fn print(&mut self, level: LogLevel, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let buffer = self.buffer(level);
            // Invalid bytes grow threefold when they are replaced.
            let room = LOG_LINE - buffer.len();
            let end = bytes.iter().take(room).position(|&b| b == b'\n');
            let taken = end.unwrap_or(room.min(bytes.len()));
            buffer.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken + usize::from(end.is_some())..];
            if end.is_some() || buffer.len() == LOG_LINE {
                self.print_line(level);
            }
        }
    }

    fn print_line(&mut self, level: LogLevel) {
        let line = String::from_utf8_lossy(self.buffer(level)).into_owned();
        self.buffer(level).clear();
        self.log(level, line, Vec::new());
    }

    /// Sends what has no line end yet, at the end of a call.
    pub(crate) fn flush(&mut self) {
        for level in [LogLevel::Info, LogLevel::Warn] {
            if !self.buffer(level).is_empty() {
                self.print_line(level);
            }
        }
    }
}

fn table() -> ResourceTable {
    let mut table = ResourceTable::new();
    if stands("guest.handles") {
        table.set_max_capacity(HANDLES);
    }
    table
}
