use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stockade_audit::Log;

/// How much of the log a power cut can take at most. Launches do not wait for this: they are on the disk before anything
/// that a worker says is acted on.
const EVERY: Duration = Duration::from_secs(1);

/// Brings the log to the disk at intervals and when it is asked to, on a thread of its own: a slow disk must not make a
/// deadline late, nor a start.
#[derive(Debug)]
pub(crate) struct Flusher {
    stop: Mutex<Option<(mpsc::Sender<u64>, std::thread::JoinHandle<()>)>>,
}

impl Flusher {
    pub(crate) fn start(log: Arc<Log>) -> std::io::Result<Flusher> {
        let (ask, asked) = mpsc::channel();
        let thread = std::thread::Builder::new().name("stockade-flush".to_owned()).spawn(move || {
            let mut due = Instant::now() + EVERY;
            loop {
                let synced = match asked.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    // One flush does for all who ask meanwhile.
                    Ok(seq) => log.sync_to(asked.try_iter().fold(seq, u64::max)),
                    Err(RecvTimeoutError::Timeout) => {
                        due = Instant::now() + EVERY;
                        log.sync().map(drop)
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                if let Err(error) = synced {
                    tracing::error!(target: "stockade::host", %error, "the audit log is not being written");
                }
            }
        })?;
        Ok(Flusher { stop: Mutex::new(Some((ask, thread))) })
    }

    /// Has the record with this number on the disk soon. Whoever depends on it waits for it all the same.
    pub(crate) fn ask(&self, seq: u64) {
        let running = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((ask, _)) = &*running {
            // Where the thread is gone, whoever waits does it.
            let _ = ask.send(seq);
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        let running = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((ask, thread)) = running {
            drop(ask);
            let _ = thread.join();
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.stop();
    }
}
