//! What a call on a thread waits for goes on in that thread: nobody is woken to wake another.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A reactor for the thread that waits. What was started in it stands still while nobody waits.
#[derive(Debug)]
pub(crate) struct Driver(Option<Runtime>);

impl Driver {
    pub(crate) fn new() -> io::Result<Driver> {
        Builder::new_current_thread().thread_name("stockade-wait").enable_all().build().map(Some).map(Driver)
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it is there until it is dropped")
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.runtime().handle()
    }

    /// Waits for it on this thread.
    pub(crate) fn wait_for<F: Future>(&self, what: F) -> F::Output {
        self.runtime().block_on(what)
    }

    /// Lets what was started go on as far as it can without waiting.
    pub(crate) fn turn(&self) {
        self.wait_for(async {
            // What the first finds ready is woken, and runs before the second is over.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        });
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Dropping a runtime waits for its threads, which nobody may do in a task.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
