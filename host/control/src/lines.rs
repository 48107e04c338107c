//! The last lines of a log, and the new ones as they come.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// Lines that are kept for who comes later: 2,000, some hundred KiB.
const KEPT: usize = 2000;
/// Lines that a follower may lag behind before some are skipped for it.
const AHEAD: usize = 1024;

/// One line. Everything in it but level and time may be hostile text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// error, warn, info, debug, trace.
    pub level: String,
    /// Whose it is, or whom it is about.
    pub plugin: Option<String>,
    /// Within which call.
    pub call: Option<String>,
    /// Whether the plugin itself says it.
    pub own: bool,
    /// The text.
    pub text: String,
}

/// Where lines go that somebody may want to see.
#[derive(Debug)]
pub struct Lines {
    last: Mutex<VecDeque<Line>>,
    new: broadcast::Sender<Line>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { last: Mutex::default(), new: broadcast::Sender::new(AHEAD) }
    }
}

impl Lines {
    /// One more.
    pub fn push(&self, line: Line) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == KEPT {
            last.pop_front();
        }
        last.push_back(line.clone());
        // Under the lock, so that who begins to follow misses none. Nobody may be following.
        let _ = self.new.send(line);
    }

    /// How many are kept now.
    pub fn kept(&self) -> usize {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// So many of the last that are wanted, and the new ones from there on.
    pub(crate) fn follow(
        &self,
        most: usize,
        wanted: impl Fn(&Line) -> bool,
    ) -> (Vec<Line>, broadcast::Receiver<Line>) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<Line> =
            last.iter().rev().filter(|line| wanted(line)).take(most).cloned().collect();
        lines.reverse();
        (lines, self.new.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: String) -> Line {
        Line { at_ms: 0, level: "info".to_owned(), plugin: None, call: None, own: false, text }
    }

    #[test]
    fn the_last_are_kept_and_the_new_come_once() {
        let lines = Lines::default();
        (0..KEPT + 10).for_each(|n| lines.push(line(n.to_string())));
        let (last, mut new) = lines.follow(2, |line| line.text.ends_with('5'));
        assert_eq!(last.iter().map(|line| &*line.text).collect::<Vec<_>>(), ["1995", "2005"]);
        lines.push(line("new".to_owned()));
        assert_eq!(new.try_recv().expect("a line").text, "new");
        assert!(new.try_recv().is_err());
        assert_eq!(lines.follow(usize::MAX, |_| true).0.len(), KEPT);
    }
}
