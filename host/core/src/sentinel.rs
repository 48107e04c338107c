//! The one thread that watches every worker: what the kernel says it tried, when it ends, and whether
//! its call is over in time. It depends on nobody's async runtime, so a busy embedding program cannot
//! make it late (docs/decisions/0008).

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use interprocess::os::unix::uds_local_socket::Stream;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use rustix::net::{Shutdown, shutdown};
use stockade_ipc::Fault;
use stockade_policy::stands;

use crate::fate::{Cause, Fate};
use crate::notify::Listener;
use crate::process::Process;
use crate::reap::Ended;
use crate::supervise::Notice;
use crate::trail::Trail;

/// One running worker, as the sentinel sees it.
#[derive(Debug)]
pub(crate) struct Watch {
    id: u64,
    process: Arc<Process>,
    listener: Listener,
    socket: Arc<Stream>,
    pub(crate) trail: Arc<Trail>,
    pub(crate) fate: Fate,
    /// Nanoseconds since the sentinel's origin; [`NEVER`] while no call runs.
    deadline: AtomicU64,
    /// How long the running call was given, in nanoseconds.
    allowance: AtomicU64,
    /// The connection is closed: the deadline is for the process to follow.
    hung_up: AtomicBool,
    /// Who else is to know when it has ended.
    notice: Option<Notice>,
    /// It gets no call any more.
    retired: AtomicBool,
}

/// A process closes its descriptors a moment before it is gone. One that lives on longer than this with
/// its connection closed means to.
const LAST_MOMENT: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;

impl Watch {
    pub(crate) fn new(
        process: Arc<Process>,
        listener: Listener,
        socket: Arc<Stream>,
        trail: Trail,
        notice: Option<Notice>,
    ) -> Watch {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Watch {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            process,
            listener,
            socket,
            trail: Arc::new(trail),
            fate: Fate::default(),
            deadline: AtomicU64::new(NEVER),
            allowance: AtomicU64::new(0),
            hung_up: AtomicBool::new(false),
            notice,
            retired: AtomicBool::new(false),
        }
    }

    /// From here on it gets no call.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends the worker for `cause`.
    pub(crate) fn condemn(&self, cause: Cause) {
        self.fate.blame(cause);
        self.process.kill();
        if self.process.is_out_of_reach() && self.fate.now().1.is_none() {
            // Whoever waits for its end, or for its answer, must not do so for ever.
            let _ = shutdown(self.socket.as_fd(), Shutdown::Both);
            self.trail.not_ended(self.pid());
            self.seal(self.process.reap());
        }
    }

    /// The process is gone.
    fn seal(&self, end: Ended) {
        self.fate.seal(end);
        if let Some(notice) = &self.notice {
            notice.send();
        }
    }

    fn time_is_up(&self) {
        if self.fate.now().1.is_some() {
            return;
        }
        if self.hung_up.load(Ordering::SeqCst) && stands("sentinel.hung-up") {
            self.condemn(Cause::Fault(Fault::Torn));
            self.trail.protocol_fault(&Fault::Torn);
        } else {
            if !stands("sentinel.deadline") {
                return;
            }
            let allowance = Duration::from_nanos(self.allowance.load(Ordering::Relaxed));
            self.condemn(Cause::Deadline(allowance));
            if stands("sentinel.deadline-record") {
                self.trail.deadline(allowance);
            }
        }
    }

    /// The running call is over.
    pub(crate) fn disarm(&self) {
        self.deadline.store(NEVER, Ordering::Release);
    }
}

#[derive(Debug)]
struct Shared {
    epoll: Epoll,
    wake: EventFd,
    watches: Mutex<HashMap<u64, Arc<Watch>>>,
    /// When the thread will look at the deadlines next, in nanoseconds since `origin`.
    next_look: AtomicU64,
    origin: Instant,
    stop: AtomicBool,
}

/// Watches every worker of a host.
#[derive(Debug)]
pub(crate) struct Sentinel {
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// In the epoll data: the watch's number shifted, and which of its descriptors.
const LISTENER: u64 = 0;
const PROCESS: u64 = 1;

impl Sentinel {
    pub(crate) fn start() -> io::Result<Sentinel> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        let shared = Arc::new(Shared {
            epoll,
            wake,
            watches: Mutex::default(),
            next_look: AtomicU64::new(NEVER),
            origin: Instant::now(),
            stop: AtomicBool::new(false),
        });
        let its = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("stockade-watch".to_owned()).spawn(move || its.run())?;
        Ok(Sentinel { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Takes a worker into its care, until the worker's end.
    pub(crate) fn watch(&self, watch: &Arc<Watch>) -> io::Result<()> {
        let mut watches = self.shared.watches();
        if self.shared.stop.load(Ordering::SeqCst) {
            return Err(io::Error::other("the host was stopped"));
        }
        watches.insert(watch.id, Arc::clone(watch));
        drop(watches);
        let event = |which| EpollEvent::new(EpollFlags::EPOLLIN, watch.id << 1 | which);
        self.shared.epoll.add(&watch.listener, event(LISTENER))?;
        self.shared.epoll.add(&watch.process, event(PROCESS))?;
        Ok(())
    }

    /// The worker's connection is closed; its process should be about to end.
    pub(crate) fn expect_end(&self, watch: &Watch) {
        watch.hung_up.store(true, Ordering::SeqCst);
        self.arm(watch, Instant::now() + LAST_MOMENT, LAST_MOMENT);
    }

    /// Gives the worker's call time until then; it was given so much when it began.
    pub(crate) fn arm(&self, watch: &Watch, until: Instant, allowance: Duration) {
        let shared = &self.shared;
        let deadline = nanoseconds(until.saturating_duration_since(shared.origin)).min(NEVER - 1);
        watch.allowance.store(nanoseconds(allowance), Ordering::Relaxed);
        watch.deadline.store(deadline, Ordering::SeqCst);
        // The thread is woken only for a deadline before its next look; with equal allowances that is
        // once for many calls.
        if shared.next_look.fetch_min(deadline, Ordering::SeqCst) > deadline {
            let _ = shared.wake.write(1);
        }
    }
}

impl Sentinel {
    /// Whether it still watches.
    pub(crate) fn runs(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends every worker and the thread; returns once all are reaped.
    pub(crate) fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = self.shared.wake.write(1);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.stop();
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER - 1)
}

impl Shared {
    fn watches(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Watch>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        nanoseconds(self.origin.elapsed())
    }

    fn run(&self) {
        let mut events = [EpollEvent::empty(); 64];
        while !self.stop.load(Ordering::SeqCst) {
            let timeout = self.look_at_deadlines();
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(nix::Error::EINTR) => continue,
                // Only a programming error can get here; without this thread nothing may run on.
                Err(_) => break,
            };
            for event in &events[..count] {
                match event.data() {
                    0 => drop(self.wake.read()),
                    data => self.serve(data >> 1, data & 1, event.events()),
                }
            }
        }
        for (_, watch) in self.watches().drain() {
            watch.condemn(Cause::Stopped);
            if watch.process.is_out_of_reach() {
                continue;
            }
            let end = watch.process.reap();
            watch.trail.ended(watch.fate.now().0.as_ref(), end);
            watch.seal(end);
        }
    }

    /// Ends every worker whose time is up; says how long it can sleep.
    fn look_at_deadlines(&self) -> EpollTimeout {
        // A deadline that is set while we look must find this and wake us.
        self.next_look.store(NEVER, Ordering::SeqCst);
        let now = self.now();
        let mut next = NEVER;
        for watch in self.watches().values() {
            let deadline = watch.deadline.load(Ordering::SeqCst);
            if deadline > now {
                next = next.min(deadline);
            } else if watch
                .deadline
                .compare_exchange(deadline, NEVER, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
            {
                watch.time_is_up();
            }
        }
        self.next_look.fetch_min(next, Ordering::SeqCst);
        if next == NEVER {
            return EpollTimeout::NONE;
        }
        let millis = (next - now).div_ceil(1_000_000);
        EpollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(EpollTimeout::NONE)
    }

    fn serve(&self, id: u64, which: u64, ready: EpollFlags) {
        let Some(watch) = self.watches().get(&id).map(Arc::clone) else { return };
        if which == LISTENER {
            if !ready.contains(EpollFlags::EPOLLIN) {
                // Hung up: nobody is left under the filter, and asking it would wait for ever.
                let _ = self.epoll.delete(&watch.listener);
                return;
            }
            match watch.listener.receive() {
                // Recorded before it is answered, and the answer is the end. If it cannot be recorded,
                // the answer is the same.
                Ok(tried) => {
                    let name = tried.name();
                    if stands("sentinel.record") {
                        watch.trail.forbidden_call(&name, &tried.args);
                    }
                    if stands("sentinel.kill") {
                        watch.condemn(Cause::Syscall { name });
                    } else {
                        let _ = watch.listener.refuse(&tried);
                    }
                }
                Err(nix::Error::ENOENT | nix::Error::EINTR) => {}
                Err(_) => drop(self.epoll.delete(&watch.listener)),
            }
            return;
        }
        // The listener may hold the reason for the end; it comes first.
        let _ = self.epoll.delete(&watch.listener);
        let _ = self.epoll.delete(&watch.process);
        self.watches().remove(&id);
        let end = watch.process.reap();
        let (cause, _) = watch.fate.now();
        watch.trail.ended(cause.as_ref(), end);
        watch.seal(end);
    }
}
