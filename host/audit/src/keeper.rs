//! The log's own thread: it signs, compresses and removes, so that no append waits for it.

use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use crate::AuditError;
use crate::shared::{Shared, Work};

pub(crate) fn start(shared: &Arc<Shared>) -> Result<JoinHandle<()>, AuditError> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name("audit-keeper".to_owned())
        .spawn(move || run(&shared))
        .map_err(AuditError::Thread)
}

fn run(shared: &Shared) {
    loop {
        let mut work = shared.work();
        while !(work.checkpoint || work.tidy || work.stop) {
            work = shared.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        // What is left at the end is done by whoever closes, or by the next writer.
        let Work { checkpoint, tidy, stop } = std::mem::take(&mut *work);
        work.stop = stop;
        drop(work);
        if stop {
            return;
        }
        if checkpoint {
            shared.checkpoint_or_notice();
        }
        if tidy && let Err(error) = shared.tidy() {
            shared.notices.failed("segment-failed", "tidy", &error);
        }
    }
}
