//! How a plugin's workers are kept: started again, ended when idle, stopped and started by an operator.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stockade_package::chain;
use stockade_policy::Distrust;

use super::call::rounded;
use super::{Inner, Plugin};
use crate::error::HostError;
use crate::fate::Cause;
use crate::supervise::{Isolation, Refusal, Start};

/// A worker that could not be started is not tried again before this.
const NEXT_TRY: Duration = Duration::from_millis(100);

/// How long the memory of a large message is kept for the next one.
const REST: Duration = Duration::from_secs(1);

/// How soon it is looked again whether a call that is ending has ended.
const SOON: Duration = Duration::from_millis(20);

/// Why a plugin has ended for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Withdrawal {
    /// An approval that it was loaded by has ended.
    Approval,
    /// The policy does not believe in it any more.
    Distrust(Distrust),
}

impl Plugin {
    /// Stops the plugin: no call is begun from here on, those that run have so long to end, and its workers are ended.
    /// It stays loaded, and stopped until [`start`](Self::start).
    pub async fn stop(&self, grace: Duration) {
        let plugin = self.clone();
        let _ = tokio::task::spawn_blocking(move || plugin.stop_blocking(grace)).await;
    }

    /// [`stop`](Self::stop) on this thread.
    pub fn stop_blocking(&self, grace: Duration) {
        self.0.held.store(true, Ordering::Release);
        let until = Instant::now() + grace;
        loop {
            self.0.exchange(until.saturating_duration_since(Instant::now()));
            // A call that was about to start a worker has one now.
            let none = self.0.watches().is_empty();
            if none && (self.0.line.running() == 0 || Instant::now() >= until) {
                return;
            }
            std::thread::sleep(SOON);
        }
    }

    /// Ends it for good: its workers, and the calls that they have. Whether it had not ended yet.
    pub(crate) fn withdraw(&self, why: Withdrawal) -> bool {
        let first = self.0.withdrawn.set(why).is_ok();
        if first {
            self.stop_blocking(Duration::ZERO);
        }
        first
    }

    /// Takes back what [`stop`](Self::stop) did, lets calls pass that the breaker had stopped, and starts a worker
    /// where the plugin is to have one before it is called.
    pub async fn start(&self) -> Result<(), HostError> {
        let plugin = self.clone();
        tokio::task::spawn_blocking(move || plugin.start_blocking()).await.map_err(|_| HostError::Stopped)?
    }

    /// [`start`](Self::start) on this thread.
    pub fn start_blocking(&self) -> Result<(), HostError> {
        self.0.refuse_withdrawn()?;
        self.0.forgive();
        self.0.held.store(false, Ordering::Release);
        self.0.first_worker()
    }

    /// Exchanges the workers for new ones, and closes the breaker. Calls that run have so long to end; those that wait
    /// have the new workers.
    pub async fn restart(&self, grace: Duration) -> Result<(), HostError> {
        let plugin = self.clone();
        tokio::task::spawn_blocking(move || plugin.restart_blocking(grace))
            .await
            .map_err(|_| HostError::Stopped)?
    }

    /// [`restart`](Self::restart) on this thread.
    pub fn restart_blocking(&self, grace: Duration) -> Result<(), HostError> {
        self.0.refuse_withdrawn()?;
        self.0.forgive();
        self.0.held.store(false, Ordering::Release);
        self.0.exchange(grace);
        self.0.first_worker()
    }

    /// Ends the workers that have no call; the next call starts another.
    pub fn stop_worker(&self) {
        self.0.end_free();
    }

    /// Does what is due. When there is something to do again; none where only news can tell.
    pub(crate) fn tend(&self, now: Instant) -> Option<Instant> {
        self.0.tend(now)
    }
}

impl Inner {
    /// Refuses to go on where it has ended for good.
    pub(super) fn refuse_withdrawn(&self) -> Result<(), HostError> {
        let plugin = self.identity.name.clone();
        match self.withdrawn.get() {
            Some(Withdrawal::Approval) => Err(HostError::Withdrawn { plugin }),
            Some(Withdrawal::Distrust(why)) => Err(HostError::Distrusted { plugin, why: why.clone() }),
            None => Ok(()),
        }
    }

    /// Has the keeper look here soon, where there is something to keep.
    pub(super) fn look(&self) {
        if self.supervision.start == Start::Kept || self.supervision.idle.is_some() {
            self.host.0.keeper.look_at(self.broker.number(), self.me.clone());
        }
    }

    /// A worker has ended without a call.
    pub(super) fn worker_is_gone(&self, cause: Option<&Cause>) {
        if !matches!(cause, Some(Cause::Stopped | Cause::Idle)) {
            self.restarts().died(Instant::now());
        }
    }

    /// Somebody has seen to the plugin.
    fn forgive(&self) {
        self.restarts().forgive(Instant::now());
        if let Some(breaker) = &mut *self.breaker() {
            breaker.close();
        }
        self.wanted.store(true, Ordering::Release);
    }

    fn end_free(&self) {
        let free = std::mem::take(&mut *self.free());
        let watches: Vec<_> = free.iter().map(|(_, session)| Arc::clone(session.watch())).collect();
        drop(free);
        for watch in watches {
            watch.fate.wait();
        }
    }

    /// Ends the workers that are there, those with calls as these end or after so long. Returns once they are gone.
    fn exchange(&self, grace: Duration) {
        let until = Instant::now() + grace;
        let old = self.watches();
        old.iter().for_each(|watch| watch.retire());
        self.end_free();
        for watch in old {
            while watch.fate.now().1.is_none() && Instant::now() < until {
                std::thread::sleep(SOON.min(until.saturating_duration_since(Instant::now())));
            }
            watch.condemn(Cause::Stopped);
            watch.fate.wait();
        }
    }

    /// Starts a worker where the plugin is to have one and has none.
    fn first_worker(&self) -> Result<(), HostError> {
        if self.supervision.start == Start::OnCall {
            return Ok(());
        }
        let Some(_turn) = self.line.try_enter() else { return Ok(()) };
        if self.watches().is_empty() {
            let session = self.launch().inspect_err(|_| self.restarts().died(Instant::now()))?;
            self.free().push((Instant::now(), session));
        }
        Ok(())
    }

    fn tend(&self, now: Instant) -> Option<Instant> {
        self.bury();
        let idle = self.supervision.idle.and_then(|most| self.end_idle(most, now));
        let again = if self.supervision.start == Start::Kept { self.keep(now) } else { None };
        [idle, again, self.rest(now)].into_iter().flatten().min()
    }

    /// Has workers without calls give back what large messages needed; when to look again.
    fn rest(&self, now: Instant) -> Option<Instant> {
        if !self.large.load(Ordering::Acquire) {
            return None;
        }
        let mut next = None;
        let mut free = self.free();
        for (since, session) in free.iter_mut().filter(|(_, session)| session.is_large()) {
            let at = *since + REST;
            if at <= now {
                session.rest();
            } else {
                next = Some(next.map_or(at, |next: Instant| next.min(at)));
            }
        }
        // Those that have a call come back here.
        let next = next.or_else(|| (self.line.running() > 0).then_some(now + REST));
        if next.is_none() {
            self.large.store(false, Ordering::Release);
        }
        next
    }

    /// Takes out what has ended by itself.
    fn bury(&self) {
        let mut dead = Vec::new();
        self.free().retain(|(_, session)| {
            let (cause, end) = session.watch().fate.now();
            if end.is_some() {
                dead.push(cause);
            }
            end.is_none()
        });
        for cause in dead {
            self.worker_is_gone(cause.as_ref());
            tracing::warn!(
                target: "stockade::host", plugin = self.identity.name,
                "a worker ended without a call; the audit log says how"
            );
        }
    }

    /// Ends workers that have been free for so long; when the next has been.
    fn end_idle(&self, most: Duration, now: Instant) -> Option<Instant> {
        let mut ended = Vec::new();
        let mut next: Option<Instant> = None;
        let mut free = self.free();
        for (since, session) in std::mem::take(&mut *free) {
            let at = since + most;
            if at <= now {
                ended.push(session);
            } else {
                next = Some(next.map_or(at, |next| next.min(at)));
                free.push((since, session));
            }
        }
        drop(free);
        if !ended.is_empty() {
            tracing::debug!(
                target: "stockade::host", plugin = self.identity.name, workers = ended.len(),
                "no call for {most:?}: ended until the next"
            );
        }
        let any = !ended.is_empty();
        for session in ended {
            session.watch().condemn(Cause::Idle);
        }
        match next {
            // The last of them.
            None if any && self.line.running() == 0 => self.wanted.store(false, Ordering::Release),
            // Those that are there have calls, or are about to be free.
            None if !self.watches().is_empty() => return Some(now + most),
            _ => {}
        }
        next
    }

    /// Starts a worker again where one is to be there; when to try again.
    fn keep(&self, now: Instant) -> Option<Instant> {
        if self.held.load(Ordering::Acquire) || !self.wanted.load(Ordering::Acquire) {
            return None;
        }
        let taken = match self.supervision.isolation {
            Isolation::Plugin => 0,
            // Each call has one to itself, which is of no use to another. One that is ending is told of once it has.
            Isolation::Call => self.line.running() as usize,
        };
        if self.watches().len() > taken {
            return None;
        }
        // Whoever has the turn starts one by himself, or is about to let it go: the call that the last one died in.
        let Some(_turn) = self.line.try_enter() else { return Some(now + SOON) };
        let pause = self.restarts().pause(now);
        if !pause.is_zero() {
            return Some(now + pause);
        }
        let owed = self.restarts().owed();
        let brake = &self.host.0.brake;
        let shared = if owed { brake.take(now) } else { Duration::ZERO };
        if !shared.is_zero() {
            brake.give_back();
            return Some(now + shared);
        }
        match self.launch() {
            Ok(session) => {
                self.free().push((Instant::now(), session));
                self.supervision.idle.map(|idle| now + idle)
            }
            Err(error) => {
                let mut restarts = self.restarts();
                restarts.died(now);
                let pause = restarts.pause(now).max(NEXT_TRY);
                tracing::error!(
                    target: "stockade::host", plugin = self.identity.name, error = chain(&error),
                    "no worker could be started; the next try is in {}", rounded(pause)
                );
                Some(now + pause)
            }
        }
    }

    /// The breaker has turned: told, and recorded.
    pub(super) fn breaker_turned(&self, why: Option<Refusal>) {
        let plugin = self.identity.name.as_str();
        let told = match why {
            None => {
                tracing::info!(target: "stockade::host", plugin, "calls pass again: the breaker is closed");
                self.host.0.trail(&self.identity, &self.meter).breaker(None)
            }
            Some(Refusal { why, next }) => {
                let next = next.unwrap_or_default();
                tracing::warn!(
                    target: "stockade::host", plugin,
                    "calls are stopped for {}, because {why}: the breaker is open; then one call is tried",
                    rounded(next)
                );
                self.host.0.trail(&self.identity, &self.meter).breaker(Some((why.to_string(), next)))
            }
        };
        if let Err(error) = told {
            tracing::error!(target: "stockade::host", plugin, %error, "audit record lost");
        }
    }
}
