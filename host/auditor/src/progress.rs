use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// Something that takes its time, shown to who sits at a terminal and to nobody else.
pub(crate) struct Progress(Option<ProgressBar>);

/// Below this many bytes nobody has to wait long enough to be told.
const WORTH_TELLING: u64 = 32 << 20;

impl Progress {
    /// Shows `what` until it is dropped, as so many bytes. The text is ours.
    pub(crate) fn bytes(what: &'static str, bytes: u64) -> Self {
        if bytes < WORTH_TELLING || !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(bytes).with_message(what);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {bytes}/{total_bytes} {eta}") {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// How far it is.
    pub(crate) fn at(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(bytes);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
