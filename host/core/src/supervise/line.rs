//! Who waits for a worker of a plugin: first come, first served, and no more than so many.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::Instant;

use stockade_policy::stands;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The calls of one plugin that wait, and those that run.
#[derive(Debug)]
pub(crate) struct Line {
    places: Semaphore,
    /// One for each worker.
    all: u32,
    waiting: AtomicU32,
    most: u32,
}

/// A call's turn; the next one's when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(#[expect(dead_code, reason = "held for what its end does")] SemaphorePermit<'a>);

/// Why a call does not get its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// So many wait already.
    Full(u32),
    /// Its time was over before.
    TooLate,
}

/// One more that waits, until this is dropped: a call that nobody waits for any more leaves the line.
struct Waiting<'a>(&'a Line);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Line {
    /// For so many workers, and so many calls that wait for one.
    pub(crate) fn new(workers: u32, most: u32) -> Line {
        Line { places: Semaphore::new(workers as usize), all: workers, waiting: AtomicU32::new(0), most }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many have their turn.
    pub(crate) fn running(&self) -> u32 {
        self.all.saturating_sub(self.places.available_permits() as u32)
    }

    fn stand(&self) -> Result<Waiting<'_>, NoTurn> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(self);
        if before >= self.most && stands("line.bound") { Err(NoTurn::Full(before)) } else { Ok(waiting) }
    }

    /// A turn, where one can be had without waiting.
    pub(crate) fn try_enter(&self) -> Option<Turn<'_>> {
        self.places.try_acquire().ok().map(Turn)
    }

    /// Waits in a task until it is this call's turn.
    pub(crate) async fn enter(&self, until: Instant) -> Result<Turn<'_>, NoTurn> {
        if let Some(turn) = self.try_enter() {
            return Ok(turn);
        }
        let _waiting = self.stand()?;
        match tokio::time::timeout_at(until.into(), self.places.acquire()).await {
            Ok(permit) => Ok(Turn(permit.expect("it is never closed"))),
            Err(_) => Err(NoTurn::TooLate),
        }
    }

    /// Likewise on this thread.
    pub(crate) fn enter_blocking(&self, until: Instant) -> Result<Turn<'_>, NoTurn> {
        if let Some(turn) = self.try_enter() {
            return Ok(turn);
        }
        let _waiting = self.stand()?;
        match on_this_thread(self.places.acquire(), until) {
            Some(permit) => Ok(Turn(permit.expect("it is never closed"))),
            None => Err(NoTurn::TooLate),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for something that needs no runtime; none where it has not come in time.
fn on_this_thread<F: Future>(future: F, until: Instant) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn so_many_run_so_many_wait_and_the_rest_is_told() {
        let line = Line::new(1, 0);
        let turn = line.enter_blocking(soon()).expect("free");
        assert_eq!((line.running(), line.waiting()), (1, 0));
        assert_eq!(line.enter_blocking(soon()).expect_err("full"), NoTurn::Full(0));
        drop(turn);
        assert!(line.enter_blocking(soon()).is_ok());
    }

    #[test]
    fn who_waits_too_long_leaves_the_line() {
        let line = Line::new(1, 5);
        let _turn = line.enter_blocking(soon()).expect("free");
        let until = Instant::now() + Duration::from_millis(5);
        assert_eq!(line.enter_blocking(until).expect_err("late"), NoTurn::TooLate);
        assert_eq!(line.waiting(), 0);
    }

    #[test]
    fn first_come_first_served() {
        let line = Line::new(1, 10);
        let served = Mutex::new(Vec::new());
        let turn = line.enter_blocking(soon()).expect("free");
        std::thread::scope(|scope| {
            for number in 0..5 {
                let (line, served) = (&line, &served);
                scope.spawn(move || {
                    let _turn = line.enter_blocking(soon()).expect("a turn");
                    served.lock().expect("not poisoned").push(number);
                });
                while line.waiting() < number + 1 {
                    std::thread::yield_now();
                }
            }
            drop(turn);
        });
        assert_eq!(*served.lock().expect("not poisoned"), [0, 1, 2, 3, 4]);
    }
}
