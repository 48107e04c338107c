use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::{AuditError, disk};

/// Group commit: whoever comes first flushes for everyone who has written by then.
#[derive(Default)]
pub(crate) struct Commit {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// Every record below this number is on the disk.
    durable: u64,
    /// A flush is under way.
    flushing: bool,
    /// Records that were written before a flush that failed. The kernel reports a lost page once and then
    /// calls it clean (fsync(2)), so a later flush proves nothing about them.
    doubtful: Range<u64>,
}

impl Commit {
    /// Everything up to `next` was already on the disk.
    pub(crate) fn starting_at(next: u64) -> Self {
        Self { state: Mutex::new(State { durable: next, ..State::default() }), done: Condvar::new() }
    }

    /// Returns when record `seq` is on the disk. `written` says how many records there are; `file` is asked after
    /// that, so that it is the one that has the last of them. Those in files before it are on the disk already.
    pub(crate) fn flush(
        &self,
        seq: u64,
        file: impl Fn() -> Arc<File>,
        written: impl Fn() -> u64,
    ) -> Result<(), AuditError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.doubtful.contains(&seq) {
                return Err(AuditError::Sync(std::io::Error::other("an earlier flush failed")));
            }
            if seq < state.durable {
                return Ok(());
            }
            if !state.flushing {
                break;
            }
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.flushing = true;
        drop(state);
        let reached = written();
        let result = disk::sync(&file());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.flushing = false;
        match &result {
            Ok(()) => state.durable = state.durable.max(reached),
            Err(_) if state.doubtful.is_empty() => state.doubtful = state.durable..reached,
            Err(_) => state.doubtful.end = state.doubtful.end.max(reached),
        }
        drop(state);
        self.done.notify_all();
        result.map_err(AuditError::Sync)
    }

    /// The records that may not be on the disk although a flush was asked for.
    pub(crate) fn doubtful(&self) -> Range<u64> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).doubtful.clone()
    }
}
