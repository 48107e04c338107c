//! What this process has: open descriptors and children. A hostile worker must not make it more.

use std::fs;
use std::time::{Duration, Instant};

/// Counts that must come back to where they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Census {
    descriptors: usize,
    children: usize,
}

/// A worker's end is taken in by another thread: this long may that take.
const SETTLED: Duration = Duration::from_secs(5);

impl Census {
    pub(crate) fn now() -> Census {
        let mut children = 0;
        for thread in fs::read_dir("/proc/self/task").expect("procfs is there") {
            let list = thread.expect("a thread").path().join("children");
            // A thread may have ended between the listing and the look.
            children += fs::read_to_string(list).map_or(0, |list| list.split_whitespace().count());
        }
        let descriptors = fs::read_dir("/proc/self/fd").expect("procfs is there").count();
        Census { descriptors, children }
    }

    /// Waits until the counts are these again.
    pub(crate) fn expect_again(&self) {
        let until = Instant::now() + SETTLED;
        let mut pause = Duration::from_micros(50);
        loop {
            let now = Census::now();
            if now == *self {
                return;
            }
            assert!(Instant::now() < until, "before the input {self:?}, after it {now:?}");
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}
