//! One worker's session: calls go in, asks are answered, results come out.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use stockade_ipc::{Answer, Ask, Call, Delegate, Fault, Outcome, ToHost};
use stockade_policy::{Budget, stands};
use tokio::io::unix::AsyncFd;
use tokio::runtime::{self, Handle, RuntimeFlavor};

use crate::broker::{Awaited, Broker, Open, Requests};
use crate::call_id::CallId;
use crate::connection::{Connection, Progress};
use crate::driver::Driver;
use crate::fate::Cause;
use crate::log::LogGate;
use crate::reap::Ended;
use crate::registry::Caller;
use crate::sentinel::{Sentinel, Watch};
use crate::supervise::Who;
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
    /// The number of the record of the worker's launch, until it is known to be on the disk.
    launched: Option<u64>,
    /// In the reactor of the runtime that the last call came from.
    readiness: Option<(runtime::Id, AsyncFd<OwnedFd>)>,
    calls: u64,
    running: Running,
    /// For calls on a thread, from the first on that waited for more than its worker.
    driver: Option<Driver>,
    /// Whether there is another processor for the worker to run on.
    beside: bool,
    /// Whether the worker was quick to ask something more the last time.
    chatty: bool,
}

/// A call that is to be made.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) call: Call,
    pub(crate) id: CallId,
    pub(crate) began: Instant,
    pub(crate) until: Instant,
    /// How long it was given.
    pub(crate) allowance: Duration,
    /// Which plugin makes it, where one does.
    pub(crate) caller: Option<Caller>,
    /// In whose name, where none does.
    pub(crate) on_behalf: u64,
}

impl Order {
    /// Whose turn it is, when it is this call's.
    pub(crate) fn who(&self) -> Who {
        match &self.caller {
            Some(caller) => Who::Plugin(caller.plugin.name.clone()),
            None => Who::Somebody(self.on_behalf),
        }
    }
}

/// How long a quick worker is listened for.
const LISTEN: Duration = Duration::from_micros(50);

/// What is to know of the call that runs.
#[derive(Debug)]
struct Running {
    /// What others have done for it.
    spent: Budget,
    /// How many calls stand above it.
    depth: u32,
    /// When it has to be over.
    until: Instant,
    /// Whether it is on a thread of its own, not in a task.
    on_thread: bool,
    /// Whether the last that was sent was an answer.
    answered: bool,
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
    /// This has to wait for something before it can be answered.
    Ask(Ask),
    /// Others have to do this.
    Delegate(Delegate),
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
        let running = Running {
            spent: Budget::default(),
            depth: 0,
            until: Instant::now(),
            on_thread: false,
            answered: false,
        };
        let (readiness, driver) = (None, None);
        Session {
            connection,
            watch,
            broker,
            open,
            keeps_open,
            log,
            sentinel,
            launched: None,
            readiness,
            calls: 0,
            running,
            driver,
            beside: available_parallelism().is_ok_and(|processors| processors.get() > 1),
            chatty: false,
        }
    }

    pub(crate) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Nothing that the worker says is acted on before the record with this number, that of its launch, is on the disk.
    pub(crate) fn launched(mut self, record: u64) -> Session {
        self.launched = Some(record);
        self
    }

    /// Waits until the record of the launch is on the disk.
    pub(crate) fn settle_launch(&mut self) -> Result<(), Unrecorded> {
        match self.launched.take() {
            Some(seq) if stands("launch.on-disk") => self.watch.trail.settle_launch(seq),
            _ => Ok(()),
        }
    }

    /// Runs a call on this thread.
    pub(crate) fn call(&mut self, order: Order) -> Called {
        let result = self.begin(order, true).and_then(|number| {
            self.connection.flush(true)?;
            loop {
                match self.advance(number, false)? {
                    Step::Returned(outcome) => return Ok(outcome),
                    Step::Ask(ask) => {
                        self.ask_on_thread(ask)?;
                        continue;
                    }
                    Step::Delegate(what) => {
                        self.delegate_on_thread(&what)?;
                        self.connection.flush(true)?;
                        continue;
                    }
                    Step::Read => {}
                }
                if self.next_part()? == Progress::End {
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
    pub(crate) async fn call_async(&mut self, order: Order) -> Called {
        let result = self.run_async(order).await;
        self.watch.disarm();
        match result {
            Ok(outcome) => Ok(outcome),
            Err(broken) => {
                self.condemn(broken);
                Err(self.watch.fate.wait_async().await)
            }
        }
    }

    async fn run_async(&mut self, order: Order) -> Result<Outcome, Break> {
        let number = self.begin(order, false)?;
        let runtime = Handle::current();
        let readiness = match self.readiness.take() {
            // Another runtime may be gone before this call is over.
            Some((id, readiness)) if id == runtime.id() => readiness,
            _ => reactor(self.connection.as_fd().try_clone_to_owned()?)?,
        };
        self.flushed(&readiness).await?;
        // Where the runtime has other threads, a slow disk keeps this one alone.
        let apart = runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
        loop {
            match self.advance(number, apart)? {
                Step::Returned(outcome) => {
                    self.readiness = Some((runtime.id(), readiness));
                    return Ok(outcome);
                }
                Step::Ask(ask) => {
                    self.wait_and_answer(ask, apart).await?;
                    continue;
                }
                Step::Delegate(what) => {
                    self.delegate(&what).await?;
                    self.flushed(&readiness).await?;
                    continue;
                }
                Step::Read => {}
            }
            let mut ready = readiness.readable().await?;
            match self.connection.read_more(false)? {
                Progress::Some if !self.connection.is_drained() => {}
                Progress::Some | Progress::Nothing => ready.clear_ready(),
                Progress::End => return Err(self.ended()),
            }
        }
    }

    /// What the worker says next. One that asks one thing after the other is listened for a moment after each
    /// answer, before this thread sleeps: to be woken takes longer than such a worker does.
    fn next_part(&mut self) -> io::Result<Progress> {
        if !std::mem::take(&mut self.running.answered) {
            return self.connection.read_more(true);
        }
        if self.chatty {
            let began = Instant::now();
            while began.elapsed() < LISTEN {
                match self.connection.read_more(false)? {
                    Progress::Nothing => std::thread::yield_now(),
                    some => return Ok(some),
                }
            }
            self.chatty = false;
        }
        let began = Instant::now();
        let part = self.connection.read_more(true)?;
        self.chatty = self.beside && began.elapsed() < LISTEN;
        Ok(part)
    }

    async fn flushed(&mut self, readiness: &AsyncFd<OwnedFd>) -> io::Result<()> {
        while !self.connection.flush(false)? {
            readiness.writable().await?.clear_ready();
        }
        Ok(())
    }

    fn begin(&mut self, order: Order, on_thread: bool) -> Result<u64, Break> {
        let Order { mut call, id, until, allowance, caller, .. } = order;
        self.calls += 1;
        call.call = self.calls;
        self.watch.trail.begin_call(self.calls, id);
        self.open.requests.begin_call();
        let depth = caller.as_ref().map_or(0, |caller| caller.depth);
        self.running = Running { spent: Budget::default(), depth, until, on_thread, answered: false };
        if let Some(caller) = &caller {
            self.watch.trail.called_by(caller, &call.tool)?;
        }
        self.connection.quiet()?;
        self.sentinel.arm(&self.watch, until, allowance);
        self.connection.queue(&call.into())?;
        Ok(self.calls)
    }

    /// Whether it and its worker keep the memory of a large message for the next one.
    pub(crate) fn is_large(&self) -> bool {
        self.connection.is_large()
    }

    /// Has both give it back.
    pub(crate) fn rest(&mut self) {
        if let Err(fault) = self.connection.rest() {
            self.condemn(Break::Fault(fault));
        }
    }

    /// Bytes that were received from the worker and sent to it since this was asked last.
    pub(crate) fn take_moved(&mut self) -> (u64, u64) {
        self.connection.take_moved()
    }

    fn ended(&self) -> Break {
        if self.connection.is_torn() { Break::Fault(Fault::Torn) } else { Break::End }
    }

    fn take_driver(&mut self) -> io::Result<Driver> {
        self.driver.take().map_or_else(Driver::new, Ok)
    }

    /// [`wait_and_answer`](Self::wait_and_answer) on this thread. A function of its own, and a boxed future: calls
    /// that wait for nothing run on small stacks.
    #[inline(never)]
    fn ask_on_thread(&mut self, ask: Ask) -> Result<(), Break> {
        let driver = self.take_driver()?;
        let done = driver.wait_for(Box::pin(async {
            self.wait_and_answer(ask, false).await?;
            // What has ended is closed while the worker goes on.
            tokio::task::yield_now().await;
            Ok(())
        }));
        self.driver = Some(driver);
        done
    }

    /// [`delegate`](Self::delegate) likewise.
    #[inline(never)]
    fn delegate_on_thread(&mut self, what: &Delegate) -> Result<(), Break> {
        let driver = self.take_driver()?;
        let done = driver.wait_for(Box::pin(self.delegate(what)));
        self.driver = Some(driver);
        done
    }

    /// Where a request is to run: where it is waited for. What outlives a call, which may be in a task, has threads
    /// of its own.
    fn place_requests(&mut self) -> io::Result<()> {
        let mut place = None;
        if self.running.on_thread && !self.keeps_open {
            let driver = self.take_driver()?;
            place = Some(driver.handle().clone());
            self.driver = Some(driver);
        }
        self.open.requests.run_in(place);
        Ok(())
    }

    /// Lets go of what an instance had open.
    fn clear(&mut self) {
        self.open.clear();
        // A task that was ended is gone once it has been looked at.
        if self.running.on_thread {
            self.turn();
        }
    }

    /// Lets requests that run on this thread go on.
    fn turn(&self) {
        if let Some(driver) = &self.driver {
            driver.turn();
        }
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

    /// Has others do something, until the worker is gone, and queues what came of it.
    async fn delegate(&mut self, what: &Delegate) -> Result<(), Break> {
        let (broker, watch) = (Arc::clone(&self.broker), Arc::clone(&self.watch));
        let caller = watch.trail.caller(self.running.depth + 1, self.running.until);
        let answer = tokio::select! {
            biased;
            answer = broker.delegate(what, &mut self.running.spent, caller, &watch.trail) => answer?,
            _ = watch.fate.wait_async() => return Err(Break::End),
        };
        Ok(self.connection.queue(&answer.into())?)
    }

    /// Answers once what has to come has come. A request whose response is waited for at once is sent here, and its
    /// head is what is asked then.
    async fn wait_and_answer(&mut self, mut ask: Ask, apart: bool) -> Result<(), Break> {
        if matches!(ask, Ask::HttpSend { .. }) {
            ask = match self.done(&ask, apart)? {
                (Answer::HttpSent(request), _) => Ask::HttpHead { request, wait: true },
                (refusal, _) => return Ok(self.connection.send_with_files(&refusal.into(), &[])?),
            };
        }
        if let Some(awaited) = self.open.requests.awaited(&ask) {
            self.await_requests(&awaited).await?;
        }
        self.answer(&ask, apart)
    }

    /// Does what is asked, `apart` from the other tasks of a runtime.
    fn done(&mut self, ask: &Ask, apart: bool) -> Result<(Answer, Option<OwnedFd>), Break> {
        let mut answer = || self.broker.answer(ask, &mut self.open, &self.watch.trail);
        Ok(if apart { tokio::task::block_in_place(answer) } else { answer() }?)
    }

    /// Likewise, and answers.
    fn answer(&mut self, ask: &Ask, apart: bool) -> Result<(), Break> {
        let (answer, file) = self.done(ask, apart)?;
        self.running.answered = true;
        match file {
            Some(file) => self.connection.send_with_files(&answer.into(), &[file.as_fd()])?,
            None => self.connection.send_with_files(&answer.into(), &[])?,
        }
        Ok(())
    }

    /// Takes every whole message there is and does what it says, up to one that has to be waited for.
    fn advance(&mut self, number: u64, apart: bool) -> Result<Step, Break> {
        while let Some(message) = self.connection.take()? {
            self.settle_launch()?;
            match message {
                ToHost::Return(returned) if returned.call == number || !stands("session.call-number") => {
                    self.log.settle(&self.watch.trail)?;
                    if !self.keeps_open {
                        self.clear();
                    }
                    return Ok(Step::Returned(returned.outcome));
                }
                ToHost::Return(_) => return Err(Fault::Implausible("a return to another call").into()),
                ToHost::Ask(ask) => {
                    if matches!(ask, Ask::HttpSend { .. }) {
                        self.place_requests()?;
                    }
                    if matches!(ask, Ask::HttpSend { wait: true, .. })
                        || self.open.requests.awaited(&ask).is_some()
                    {
                        return Ok(Step::Ask(ask));
                    }
                    if Requests::looks(&ask) {
                        self.turn();
                    }
                    self.answer(&ask, apart)?;
                }
                ToHost::Delegate(what) => return Ok(Step::Delegate(what)),
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
