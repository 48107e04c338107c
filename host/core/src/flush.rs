use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stockade_audit::Log;

/// How much of the log a power cut can take at most. Launches do not wait for this: they are on the disk
/// before the first call.
const EVERY: Duration = Duration::from_secs(1);

/// Brings the log to the disk at intervals, on a thread of its own: a slow disk must not make a deadline
/// late.
#[derive(Debug)]
pub(crate) struct Flusher {
    stop: Mutex<Option<(mpsc::Sender<()>, std::thread::JoinHandle<()>)>>,
}

impl Flusher {
    pub(crate) fn start(log: Arc<Log>) -> std::io::Result<Flusher> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("stockade-flush".to_owned()).spawn(move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = log.sync() {
                    tracing::error!(target: "stockade::host", %error, "the audit log is not being written");
                }
            }
        })?;
        Ok(Flusher { stop: Mutex::new(Some((stop, thread))) })
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        let running = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = running {
            drop(stop);
            let _ = thread.join();
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.stop();
    }
}
