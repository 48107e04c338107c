//! The thread that hears the reader. It sleeps until the reader has something to tell, or has ended.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use stockade_audit::{Log, Record};
use stockade_kernel_log::{AuditStatus, Change, Domain, Event, Report, Socket, What};
use stockade_policy::stands;

use super::launches::{Launches, OVERDUE, Tied, access};
use super::reader::{Reader, ReaderError};
use super::{Boottime, KernelRecords, words};
use crate::launch::Launcher;
use crate::memfd::SealedFile;

/// What there is to read, and with what.
#[derive(Debug)]
pub(super) struct Read {
    /// Stays open here: what comes while no reader reads is kept for the next.
    pub(super) socket: Socket,
    pub(super) program: SealedFile,
    pub(super) mode: KernelRecords,
    pub(super) status: Option<AuditStatus>,
}

/// An event that is of nobody known may be of a process that is just being taken in.
const HELD: Duration = Duration::from_secs(2);
/// So many of them. Other programs of the machine use Landlock too, and none of theirs is ever tied.
const HELD_EVENTS: usize = 1024;
/// After something was told, the kernel is asked how much it lost.
const ASK_AFTER: Duration = Duration::from_secs(1);
/// A reader that dies is started again so much later, twice as late each time, and no later than this.
const RESTART: Duration = Duration::from_secs(1);
const RESTART_MOST: Duration = Duration::from_secs(60);
/// One that lived for so long starts the count anew.
const LIVED: Duration = Duration::from_secs(300);
/// Reports that are heard before anything else is looked at.
const AT_ONCE: usize = 4096;
/// Records about the whole machine, of one kind, in one [`SPAN`]; the rest is counted.
const A_SPAN: u64 = 20;
const SPAN: Duration = Duration::from_secs(60);
/// At the end: how long silence is waited for, and how long at most for what is still to come.
const SILENCE: Duration = Duration::from_millis(20);
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The thread, from outside.
#[derive(Debug)]
pub(super) struct Watcher {
    stop: Arc<AtomicBool>,
    wake: Arc<EventFd>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Watcher {
    /// Returns once it is known, and written, whether the reader reads.
    pub(super) fn start(
        log: Arc<Log>,
        launcher: Arc<Launcher>,
        launches: Arc<Launches>,
        read: Read,
    ) -> io::Result<Watcher> {
        let stop = Arc::new(AtomicBool::new(false));
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let (started, known) = mpsc::sync_channel(1);
        let mut watch = Watch::new(log, launcher, launches, read, Arc::clone(&stop));
        let its = Arc::clone(&wake);
        let thread = std::thread::Builder::new().name("stockade-kernel".to_owned()).spawn(move || {
            watch.start_reader();
            watch.write();
            // Who waits for it lives.
            let _ = started.send(());
            watch.run(&its);
        })?;
        let _ = known.recv();
        Ok(Watcher { stop, wake, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.wake.write(1);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Lets a few records of one kind pass, and counts the others.
#[derive(Debug, Default)]
struct Pace {
    since: Option<Instant>,
    passed: u64,
    held_back: u64,
}

impl Pace {
    /// How many to tell of now, this one included; none where it is to be counted.
    fn take(&mut self, count: u64, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= SPAN) {
            self.since = Some(now);
            self.passed = 0;
        }
        self.held_back += count;
        (self.passed < A_SPAN).then(|| {
            self.passed += 1;
            std::mem::take(&mut self.held_back)
        })
    }

    /// What was counted and not told of.
    fn rest(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.held_back)).filter(|&count| count > 0)
    }
}

struct Watch {
    log: Arc<Log>,
    launcher: Arc<Launcher>,
    launches: Arc<Launches>,
    read: Read,
    stop: Arc<AtomicBool>,
    reader: Option<Reader>,
    /// Since when it reads, or has not.
    since: Instant,
    pause: Duration,
    held: VecDeque<(Instant, Event)>,
    /// How much was known when it was tried last.
    known: u64,
    /// When to ask the kernel what it lost.
    ask_at: Option<Instant>,
    heard: Instant,
    overruns: Pace,
    malformed: Pace,
    changes: Pace,
    untied: Pace,
    /// What is to be written: what came together is written together.
    pending: Vec<Record>,
}

impl Watch {
    fn new(
        log: Arc<Log>,
        launcher: Arc<Launcher>,
        launches: Arc<Launches>,
        read: Read,
        stop: Arc<AtomicBool>,
    ) -> Watch {
        let now = Instant::now();
        Watch {
            log,
            launcher,
            launches,
            read,
            stop,
            reader: None,
            since: now,
            pause: RESTART,
            held: VecDeque::new(),
            known: 0,
            ask_at: None,
            heard: now,
            overruns: Pace::default(),
            malformed: Pace::default(),
            changes: Pace::default(),
            untied: Pace::default(),
            pending: Vec::new(),
        }
    }

    fn write(&mut self) {
        if let Err(error) = self.log.append_all(&self.pending) {
            let lost = self.pending.len();
            tracing::error!(target: "stockade::host", %error, lost, "audit records of the kernel's lost");
        }
        self.pending.clear();
    }

    fn start_reader(&mut self) {
        match Reader::start(&self.launcher, &self.read.program, &self.read.socket) {
            Ok(reader) => {
                let record = words::mode(&self.read.mode, self.read.status, Some(&reader.evidence));
                self.pending.push(record);
                self.reader = Some(reader);
                self.since = Instant::now();
            }
            Err(error) => self.died(&error, None),
        }
    }

    fn died(&mut self, error: &ReaderError, exit: Option<String>) {
        let mut how = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(deeper) = source {
            how.push_str(&format!(": {deeper}"));
            source = deeper.source();
        }
        if let Some(exit) = exit {
            how.push_str(&format!(" ({exit})"));
        }
        tracing::warn!(target: "stockade::host", how, "the reader of the kernel's audit records ended");
        self.pending.push(words::mode(&KernelRecords::ReaderDied(how), None, None));
        let now = Instant::now();
        let lived = now.saturating_duration_since(self.since) >= LIVED;
        self.pause = if lived { RESTART } else { (self.pause * 2).min(RESTART_MOST) };
        self.since = now;
    }

    fn run(&mut self, wake: &EventFd) {
        let mut last: Option<Instant> = None;
        let mut more = false;
        loop {
            let now = Instant::now();
            if last.is_none() && self.stop.load(Ordering::SeqCst) {
                last = Some(now);
                self.heard = now;
            }
            if let Some(began) = last
                && self.is_done(now.saturating_duration_since(began), now)
            {
                break;
            }
            let due = match last {
                _ if more => Some(now),
                Some(_) => Some(now + SILENCE / 4),
                None => self.due(),
            };
            let timeout = due.map_or(PollTimeout::NONE, |due| {
                // A millisecond more: an early look would find nothing due.
                let left = due.saturating_duration_since(now) + Duration::from_millis(u64::from(!more));
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            });
            let mut watched = vec![PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
            watched.extend(self.reader.iter().map(|reader| PollFd::new(reader.channel(), PollFlags::POLLIN)));
            // Interrupted or not, what follows finds out what there is to do.
            let _ = poll(&mut watched, timeout);
            let _ = wake.read();
            more = self.hear();
            self.look(Instant::now());
            self.write();
        }
        self.finish();
    }

    /// Whether the end may come. Only a kernel that records Landlock has something to say that is not said yet.
    fn is_done(&self, waited: Duration, now: Instant) -> bool {
        let quiet = now.saturating_duration_since(self.heard) >= SILENCE;
        let silent = self.read.mode != KernelRecords::Read || self.reader.is_none();
        silent || waited >= LAST_WORDS || quiet && !self.launches.has_domains()
    }

    fn finish(&mut self) {
        self.try_held();
        for (_, event) in std::mem::take(&mut self.held) {
            self.take(&event, false);
        }
        self.ask();
        self.account(true);
        let rests = [
            self.overruns.rest().map(|count| words::lost("socket", count, None)),
            self.malformed.rest().map(words::malformed),
        ];
        self.pending.extend(rests.into_iter().flatten());
        self.write();
        if let Some(reader) = self.reader.take() {
            reader.end();
        }
    }

    /// When something is to be done without having heard anything. Nothing, while there is nothing to tell of.
    fn due(&self) -> Option<Instant> {
        let held = self.held.front().map(|(since, _)| *since + HELD);
        let restart = self.reader.is_none().then(|| self.since + self.pause);
        let overdue = self.launches.has_domains().then(|| Instant::now() + OVERDUE);
        [held, restart, overdue, self.ask_at].into_iter().flatten().min()
    }

    fn look(&mut self, now: Instant) {
        while self.held.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) >= HELD) {
            if let Some((_, event)) = self.held.pop_front() {
                self.take(&event, false);
            }
        }
        if self.ask_at.is_some_and(|at| at <= now) {
            self.ask();
        }
        self.account(false);
        let stopping = self.stop.load(Ordering::SeqCst);
        if self.reader.is_none() && !stopping && now.saturating_duration_since(self.since) >= self.pause {
            self.start_reader();
        }
    }

    /// Domains whose count never came.
    fn account(&mut self, all: bool) {
        for (domain, bound) in self.launches.overdue(Boottime::now(), all) {
            self.pending.push(words::gap(domain, &bound, None));
        }
    }

    /// How much the kernel has lost since it was asked last.
    fn ask(&mut self) {
        self.ask_at = None;
        let (Some(before), Ok(now)) = (self.read.status, AuditStatus::ask()) else { return };
        let count = now.lost.wrapping_sub(before.lost);
        self.read.status = Some(now);
        self.is_enabled(now.enabled != 0);
        if count > 0 {
            self.pending.push(words::lost("backlog", count.into(), Some(now.lost.into())));
        }
    }

    /// Hears what there is; true where there may be more.
    fn hear(&mut self) -> bool {
        for _ in 0..AT_ONCE {
            let Some(reader) = &mut self.reader else { return false };
            match reader.next_report() {
                Ok(None) => return false,
                Ok(Some(report)) => self.report(report),
                // What was told before it ended has been heard.
                Err(error) => {
                    let exit = self.reader.take().map(Reader::end);
                    self.died(&error, exit);
                }
            }
        }
        true
    }

    fn report(&mut self, report: Report) {
        let now = Instant::now();
        self.heard = now;
        self.ask_at.get_or_insert(now + ASK_AFTER);
        match report {
            // Once, at its start; another says nothing.
            Report::Ready => {}
            Report::Overrun => {
                if let Some(count) = self.overruns.take(1, now) {
                    self.pending.push(words::lost("socket", count, None));
                }
            }
            Report::Malformed(count) => {
                if let Some(count) = self.malformed.take(count, now) {
                    self.pending.push(words::malformed(count));
                }
            }
            Report::Event(event) => {
                if event.domain().is_some() {
                    self.is_enabled(true);
                }
                self.try_held();
                if !self.take(&event, true) {
                    if self.held.len() >= HELD_EVENTS {
                        self.held.pop_front();
                    }
                    self.held.push_back((now, *event));
                }
            }
        }
    }

    /// What was held may have become known by now. In their order, and before what comes.
    fn try_held(&mut self) {
        let known = self.launches.known();
        if std::mem::replace(&mut self.known, known) == known {
            return;
        }
        for (since, event) in std::mem::take(&mut self.held) {
            if !self.take(&event, true) {
                self.held.push_back((since, event));
            }
        }
    }

    /// Writes what is to be written of an event. False where it is of nobody known.
    fn take(&mut self, event: &Event, may_wait: bool) -> bool {
        if let What::Change(change) = &event.what {
            self.change(event, change);
            return true;
        }
        if let What::Domain(Domain::Deallocated { domain, denials }) = event.what {
            let Some(bound) = self.launches.close(domain) else { return !may_wait };
            if bound.seen != denials && stands("kernel.gap") {
                self.pending.push(words::gap(domain, &bound, Some(denials)));
            }
            return true;
        }
        match self.launches.tie(event, Boottime::of_wall(event.stamp.millis)) {
            Tied::To(process) => {
                let record = match (&event.what, access(event)) {
                    (What::Seccomp(seccomp), _) => Some(words::killed(&process, event, seccomp)),
                    (_, Some(access)) => Some(words::refused(&process, event, access)),
                    _ => None,
                };
                if let Some(record) = record {
                    process.owner.meter.recorded(&record);
                    self.pending.push(record);
                }
                true
            }
            Tied::Not => {
                if self.untied.take(1, Instant::now()).is_some() {
                    self.pending.push(words::untied(event));
                }
                true
            }
            Tied::Unknown => false,
        }
    }

    fn change(&mut self, event: &Event, change: &Change) {
        if self.changes.take(1, Instant::now()).is_some() {
            self.pending.push(words::changed(event, change));
        }
        let setting = change.setting.as_ref().map(|setting| setting.text.as_str());
        if let (Some("audit_enabled"), Some(value), Some(1)) = (setting, change.value, change.result) {
            self.is_enabled(value != 0);
        }
    }

    /// The kernel records what Landlock refuses, or does not. That it is switched on leaves no record of the
    /// kernel's: it is seen by what comes then.
    fn is_enabled(&mut self, enabled: bool) {
        let mode = if enabled { KernelRecords::Read } else { KernelRecords::Disabled };
        if mode != self.read.mode {
            self.read.mode = mode;
            self.read.status =
                self.read.status.map(|status| AuditStatus { enabled: enabled.into(), ..status });
            self.pending.push(words::mode(&self.read.mode, self.read.status, None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_records_of_one_kind_are_counted_and_none_is_forgotten() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let told: u64 = (0..100).filter_map(|_| pace.take(1, start)).sum();
        assert_eq!(told, A_SPAN);
        assert_eq!(pace.take(1, start + SPAN), Some(81));
        assert_eq!(pace.rest(), None);
    }
}
