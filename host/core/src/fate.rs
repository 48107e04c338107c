use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use stockade_ipc::Fault;

use crate::reap::Ended;

/// Why a worker came to its end. The first cause is the one that counts: what follows is its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It tried a call that its filter does not allow.
    Syscall { name: String },
    /// A call was not over in time.
    Deadline(Duration),
    /// It broke the protocol.
    Fault(Fault),
    /// Something that had to be recorded could not be.
    Unrecorded(String),
    /// The host could not go on with it: it lacked a descriptor, or its socket failed.
    Host(String),
    /// The host stopped it.
    Stopped,
    /// It had no call for as long as a worker may be without one.
    Idle,
    /// It was for one call, which is over.
    Served,
}

/// What became of one worker: set once, waited for by whoever needs to know.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    state: Mutex<State>,
    changed: Condvar,
    ended: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct State {
    cause: Option<Cause>,
    end: Option<Ended>,
}

impl Fate {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names a cause. False if there was one already.
    pub(crate) fn blame(&self, cause: Cause) -> bool {
        let mut state = self.state();
        // Also after the end: what it sent may be read only then, and still be the reason.
        let first = state.cause.is_none();
        if first {
            state.cause = Some(cause);
        }
        first
    }

    /// Says that the process is gone.
    pub(crate) fn seal(&self, end: Ended) {
        self.state().end = Some(end);
        self.changed.notify_all();
        self.ended.notify_waiters();
    }

    /// The cause so far, and the end if it has come.
    pub(crate) fn now(&self) -> (Option<Cause>, Option<Ended>) {
        let state = self.state();
        (state.cause.clone(), state.end)
    }

    /// Waits for the end on a thread.
    pub(crate) fn wait(&self) -> (Option<Cause>, Ended) {
        let mut state = self.state();
        loop {
            if let Some(end) = state.end {
                return (state.cause.clone(), end);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the end in a task.
    pub(crate) async fn wait_async(&self) -> (Option<Cause>, Ended) {
        loop {
            // Registered before the look, so that an end between the two is not missed.
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if let (cause, Some(end)) = self.now() {
                return (cause, end);
            }
            ended.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_counts() {
        let fate = Fate::default();
        assert!(fate.blame(Cause::Deadline(Duration::from_secs(1))));
        assert!(!fate.blame(Cause::Stopped));
        assert_eq!(fate.now().0, Some(Cause::Deadline(Duration::from_secs(1))));
    }
}
