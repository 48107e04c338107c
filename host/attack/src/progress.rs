use std::sync::atomic::{AtomicUsize, Ordering};

/// How far the suite is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Steps that are done.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// The case that begins.
    pub case: &'a str,
}

/// Counts steps and tells whoever wants to know.
pub(crate) struct Counter<'a> {
    done: AtomicUsize,
    total: usize,
    tell: &'a (dyn Fn(Progress<'_>) + Sync),
}

impl<'a> Counter<'a> {
    pub(crate) fn new(total: usize, tell: &'a (dyn Fn(Progress<'_>) + Sync)) -> Self {
        Self { done: AtomicUsize::new(0), total, tell }
    }

    pub(crate) fn begin(&self, case: &str) {
        (self.tell)(Progress { done: self.done.load(Ordering::Relaxed), total: self.total, case });
    }

    pub(crate) fn end(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}
