//! One worker's session: calls go in, asks are answered, results come out.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use stockade_ipc::{Answer, Ask, Call, Fault, Outcome, ToHost};
use stockade_policy::stands;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{self, Handle, RuntimeFlavor};

use crate::broker::{Awaited, Broker, Open};
use crate::connection::{Connection, Progress};
use crate::fate::Cause;
use crate::log::LogGate;
use crate::reap::Ended;
use crate::sentinel::{Sentinel, Watch};
use crate::trail::Unrecorded;

/// A worker that is loaded and takes calls.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    watch: Arc<Watch>,
    broker: Arc<Broker>,
    open: Open,
    /// Whether what an instance has open outlives a call, as the instance does.
    keeps_open: bool,
    log: LogGate,
    sentinel: Arc<Sentinel>,
    /// In the reactor of the runtime that the last call came from.
    readiness: Option<(runtime::Id, AsyncFd<OwnedFd>)>,
    calls: u64,
}

/// Why a session ended under a call.
#[derive(Debug)]
enum Break {
    End,
    Fault(Fault),
    Unrecorded(Unrecorded),
    Io(io::Error),
}

impl From<Fault> for Break {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Unrecorded> for Break {
    fn from(error: Unrecorded) -> Self {
        Self::Unrecorded(error)
    }
}

impl From<io::Error> for Break {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::End,
            _ => Self::Io(error),
        }
    }
}

/// What has to happen next in a call.
enum Step {
    /// It is over.
    Returned(Outcome),
    /// Something has to come before this can be answered.
    Wait(Ask, Awaited),
    /// The worker has not said everything.
    Read,
}

/// What a call came to: the worker's answer, or the end of the worker.
pub(crate) type Called = Result<Outcome, (Option<Cause>, Ended)>;

impl Session {
    pub(crate) fn new(
        connection: Connection,
        watch: Arc<Watch>,
        broker: Arc<Broker>,
        keeps_open: bool,
        log: LogGate,
        sentinel: Arc<Sentinel>,
    ) -> Session {
        let open = Open::default();
        Session { connection, watch, broker, open, keeps_open, log, sentinel, readiness: None, calls: 0 }
    }

    pub(crate) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Runs a call on this thread.
    pub(crate) fn call(&mut self, call: Call, allowance: Duration) -> Called {
        let result = self.begin(call, allowance).and_then(|number| {
            self.connection.flush(true)?;
            loop {
                match self.advance(number, false)? {
                    Step::Returned(outcome) => return Ok(outcome),
                    Step::Wait(ask, awaited) => {
                        let broker = Arc::clone(&self.broker);
                        broker.egress().runtime()?.block_on(self.await_requests(&awaited))?;
                        self.answer(&ask, false)?;
                        continue;
                    }
                    Step::Read => {}
                }
                if self.connection.read_more(true)? == Progress::End {
                    return Err(self.ended());
                }
            }
        });
        self.watch.disarm();
        result.map_err(|broken| {
            self.condemn(broken);
            self.watch.fate.wait()
        })
    }

    /// Runs a call in a task. Cancelled in the middle, the session is of no more use: whoever holds it
    /// lets go of it.
    pub(crate) async fn call_async(&mut self, call: Call, allowance: Duration) -> Called {
        let result = self.run_async(call, allowance).await;
        self.watch.disarm();
        match result {
            Ok(outcome) => Ok(outcome),
            Err(broken) => {
                self.condemn(broken);
                Err(self.watch.fate.wait_async().await)
            }
        }
    }

    async fn run_async(&mut self, call: Call, allowance: Duration) -> Result<Outcome, Break> {
        let number = self.begin(call, allowance)?;
        let runtime = Handle::current();
        let readiness = match self.readiness.take() {
            // Another runtime may be gone before this call is over.
            Some((id, readiness)) if id == runtime.id() => readiness,
            _ => reactor(self.connection.as_fd().try_clone_to_owned()?)?,
        };
        while !self.connection.flush(false)? {
            readiness.writable().await?.clear_ready();
        }
        // Where the runtime has other threads, a slow disk keeps this one alone.
        let apart = runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
        loop {
            match self.advance(number, apart)? {
                Step::Returned(outcome) => {
                    self.readiness = Some((runtime.id(), readiness));
                    return Ok(outcome);
                }
                Step::Wait(ask, awaited) => {
                    self.await_requests(&awaited).await?;
                    self.answer(&ask, apart)?;
                    continue;
                }
                Step::Read => {}
            }
            let mut ready = readiness.readable().await?;
            match self.connection.read_more(false)? {
                Progress::Some => {}
                Progress::Nothing => ready.clear_ready(),
                Progress::End => return Err(self.ended()),
            }
        }
    }

    fn begin(&mut self, mut call: Call, allowance: Duration) -> Result<u64, Break> {
        self.calls += 1;
        call.call = self.calls;
        self.watch.trail.begin_call(self.calls);
        self.connection.quiet()?;
        self.sentinel.arm(&self.watch, allowance);
        self.connection.queue(&call.into())?;
        Ok(self.calls)
    }

    fn ended(&self) -> Break {
        if self.connection.is_torn() { Break::Fault(Fault::Torn) } else { Break::End }
    }

    /// Waits for a request of the worker's, and for nothing any more once the worker is gone.
    async fn await_requests(&mut self, awaited: &Awaited) -> Result<(), Break> {
        let watch = Arc::clone(&self.watch);
        tokio::select! {
            biased;
            () = self.open.requests.come(awaited, self.broker.egress()) => Ok(()),
            _ = watch.fate.wait_async() => Err(Break::End),
        }
    }

    /// A request whose response is waited for at once is sent here, and its head is what is asked then.
    fn sent(&mut self, ask: Ask, apart: bool) -> Result<Option<Ask>, Break> {
        if !matches!(ask, Ask::HttpSend { wait: true, .. }) {
            return Ok(Some(ask));
        }
        match self.done(&ask, apart)? {
            (Answer::HttpSent(request), _) => Ok(Some(Ask::HttpHead { request, wait: true })),
            (refusal, _) => {
                self.connection.send_with_files(&refusal.into(), &[])?;
                Ok(None)
            }
        }
    }

    /// Does what is asked, `apart` from the other tasks of a runtime.
    fn done(&mut self, ask: &Ask, apart: bool) -> Result<(Answer, Option<OwnedFd>), Break> {
        let mut answer = || self.broker.answer(ask, &mut self.open, &self.watch.trail);
        Ok(if apart { tokio::task::block_in_place(answer) } else { answer() }?)
    }

    /// Likewise, and answers.
    fn answer(&mut self, ask: &Ask, apart: bool) -> Result<(), Break> {
        let (answer, file) = self.done(ask, apart)?;
        match file {
            Some(file) => self.connection.send_with_files(&answer.into(), &[file.as_fd()])?,
            None => self.connection.send_with_files(&answer.into(), &[])?,
        }
        Ok(())
    }

    /// Takes every whole message there is and does what it says, up to one that has to be waited for.
    fn advance(&mut self, number: u64, apart: bool) -> Result<Step, Break> {
        while let Some(message) = self.connection.take()? {
            match message {
                ToHost::Return(returned) if returned.call == number || !stands("session.call-number") => {
                    self.log.settle(&self.watch.trail)?;
                    if !self.keeps_open {
                        self.open.clear();
                    }
                    return Ok(Step::Returned(returned.outcome));
                }
                ToHost::Return(_) => return Err(Fault::Implausible("a return to another call").into()),
                ToHost::Ask(ask) => {
                    let Some(ask) = self.sent(ask, apart)? else { continue };
                    match self.open.requests.awaited(&ask) {
                        Some(awaited) => return Ok(Step::Wait(ask, awaited)),
                        None => self.answer(&ask, apart)?,
                    }
                }
                ToHost::Log(line) => self.log.pass(&line, &self.watch.trail)?,
                ToHost::Refused(claim) => self.watch.trail.claimed(&claim)?,
                // The phase table lets nothing else through in phase Calling.
                other => {
                    let phase = self.connection.phase();
                    return Err(Fault::OutOfPhase { kind: other.kind(), phase }.into());
                }
            }
        }
        Ok(Step::Read)
    }

    /// Names the cause, records it, and ends the worker.
    fn condemn(&self, broken: Break) {
        let cause = match broken {
            // It ended by itself, and the sentinel knows how; or it has only hung up, and is ended for that.
            Break::End => return self.sentinel.expect_end(&self.watch),
            Break::Fault(fault) => Cause::Fault(fault),
            Break::Unrecorded(error) => Cause::Unrecorded(error.to_string()),
            Break::Io(error) => Cause::Host(error.to_string()),
        };
        if self.watch.fate.blame(cause.clone())
            && let Cause::Fault(fault) = &cause
            && stands("session.fault-record")
        {
            self.watch.trail.protocol_fault(fault);
        }
        if stands("session.fault-kill") {
            self.watch.condemn(cause);
        }
    }
}

/// Puts a second descriptor of the socket into the runtime's reactor.
#[expect(
    unsafe_code,
    reason = "JUSTIFICATION: tokio's safe socket types want a non-blocking description; ours blocks, so that \
              a thread can use it too"
)]
fn reactor(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the AsyncFd from here on, which never lends it out.
    unsafe { AsyncFd::register(socket) }.map_err(|error| error.into_parts().1)
}

impl Drop for Session {
    fn drop(&mut self) {
        self.watch.condemn(Cause::Stopped);
    }
}
