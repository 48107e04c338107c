//! The threads that hand checkpoints to sinks.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::writer::describe;
use crate::{AuditError, Decision, Layer, Record, Sink, bounds};

/// Records that the log is to write of what went wrong beside it: no thread but the caller's writes them, and none
/// waits for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notices(Arc<Mutex<Vec<Record>>>);

impl Notices {
    pub(crate) fn add(&self, record: Record) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The first of what goes wrong says most.
        if waiting.len() < bounds::NOTICES {
            waiting.push(record);
        }
    }

    /// Something of the log's own that failed and will be tried again.
    pub(crate) fn failed(&self, event: &'static str, operation: &'static str, error: &AuditError) {
        self.add(
            Record::new(Layer::Log, event, Decision::Noted)
                .operation(operation)
                .reason("it will be tried again")
                .next_step(error.next_step())
                .detail("cause", describe(error)),
        );
    }

    pub(crate) fn take(&self) -> Vec<Record> {
        // Looked at before every record.
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() { Vec::new() } else { std::mem::take(&mut waiting) }
    }

    /// Puts back what could not be written.
    pub(crate) fn put_back(&self, mut records: Vec<Record>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.append(&mut waiting);
        records.truncate(bounds::NOTICES);
        *waiting = records;
    }
}

/// All sinks, each behind a thread.
#[derive(Debug)]
pub(crate) struct Post(Vec<Delivery>);

#[derive(Debug)]
struct Delivery {
    slot: Arc<Slot>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The latest note that was not taken yet.
    note: Option<Arc<str>>,
    busy: bool,
    stopping: bool,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Post {
    pub(crate) fn start(sinks: Vec<Box<dyn Sink>>, notices: &Notices) -> Result<Self, AuditError> {
        let mut post = Self(Vec::with_capacity(sinks.len()));
        for sink in sinks {
            let slot = Arc::new(Slot::default());
            let (of_thread, notices) = (Arc::clone(&slot), notices.clone());
            let thread = std::thread::Builder::new()
                .name("audit-sink".to_owned())
                .spawn(move || deliver(sink, &of_thread, &notices))
                .map_err(AuditError::Thread)?;
            post.0.push(Delivery { slot, thread: Some(thread) });
        }
        Ok(post)
    }

    /// Gives a note to every sink, in the place of one that a sink has not taken yet. Does not wait.
    pub(crate) fn offer(&self, note: &str) {
        if self.0.is_empty() {
            return;
        }
        let note: Arc<str> = note.into();
        for delivery in &self.0 {
            delivery.slot.state().note = Some(Arc::clone(&note));
            delivery.slot.changed.notify_all();
        }
    }

    /// Waits until every sink has had its last note, but not longer than this, and ends the threads. One that is
    /// still at it is left to end by itself.
    pub(crate) fn stop(&mut self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        for delivery in &mut self.0 {
            let mut state = delivery.slot.state();
            while state.note.is_some() || state.busy {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let waited = delivery.slot.changed.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            state.stopping = true;
            let done = state.note.is_none() && !state.busy;
            drop(state);
            delivery.slot.changed.notify_all();
            if let Some(thread) = delivery.thread.take().filter(|_| done) {
                let _ = thread.join();
            }
        }
    }
}

fn deliver(mut sink: Box<dyn Sink>, slot: &Slot, notices: &Notices) {
    let mut state = slot.state();
    loop {
        if let Some(note) = state.note.take() {
            state.busy = true;
            drop(state);
            if let Err(error) = sink.deliver(&note) {
                notices.add(
                    Record::new(Layer::Log, "sink-failed", Decision::Noted)
                        .operation("checkpoint")
                        .resource(sink.name())
                        .reason("a checkpoint was not taken; the next one will be handed to it")
                        .next_step("see that what takes the checkpoints can be reached")
                        .detail("cause", error.to_string()),
                );
            }
            state = slot.state();
            state.busy = false;
            slot.changed.notify_all();
        } else if state.stopping {
            return;
        } else {
            state = slot.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        // Where the log was closed in order, this has been done.
        for delivery in &self.0 {
            delivery.slot.state().stopping = true;
            delivery.slot.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Gate {
        taken: mpsc::Sender<String>,
        open: mpsc::Receiver<bool>,
    }

    impl Sink for Gate {
        fn name(&self) -> String {
            "gate".into()
        }

        fn deliver(&mut self, note: &str) -> std::io::Result<()> {
            self.taken.send(note.to_owned()).unwrap();
            if self.open.recv().unwrap() { Ok(()) } else { Err(std::io::Error::other("shut")) }
        }
    }

    #[test]
    fn a_sink_that_hangs_holds_nobody_up_and_gets_the_latest_afterwards() {
        let (taken, takes) = mpsc::channel();
        let (opens, open) = mpsc::channel();
        let notices = Notices::default();
        let mut post = Post::start(vec![Box::new(Gate { taken, open })], &notices).unwrap();
        post.offer("1");
        assert_eq!(takes.recv().unwrap(), "1");
        for note in ["2", "3", "4"] {
            post.offer(note);
        }
        opens.send(false).unwrap();
        assert_eq!(takes.recv().unwrap(), "4");
        opens.send(true).unwrap();
        post.stop(Duration::from_secs(60));
        assert!(takes.try_recv().is_err());
        let failures = notices.take();
        assert_eq!((failures.len(), failures[0].event.as_ref()), (1, "sink-failed"));
        assert_eq!(failures[0].detail.text("cause"), Some("shut"));
    }
}
