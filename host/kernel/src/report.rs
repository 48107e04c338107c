//! What the reader sends to the host: lines of JSON, each bounded.

use serde::{Deserialize, Serialize};

use crate::bounds::LINE;
use crate::event::Event;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The first: the filter stands, and the socket may come.
    Ready,
    /// Something happened.
    Event(Box<Event>),
    /// Nobody read for so long that the kernel threw records away.
    Overrun,
    /// So many records since the last such report were not what a kernel writes, or not from the kernel.
    Malformed(u64),
}

/// A line that no reader of ours writes.
#[derive(Debug, thiserror::Error)]
pub enum BadReport {
    /// Longer than a line may be.
    #[error("a line of more than {LINE} bytes")]
    TooLong,
    /// Not a report.
    #[error("a line that is no report")]
    NotOne(#[source] serde_json::Error),
}

impl Report {
    /// As a line, with its end.
    pub fn line(&self) -> Vec<u8> {
        // Names, numbers and texts: nothing that JSON has no form for.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Takes lines apart, however they arrive.
#[derive(Debug, Default)]
pub struct Reports {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where there is no end of a line.
    searched: usize,
}

impl Reports {
    /// Takes what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next report, once it is there whole.
    pub fn next_report(&mut self) -> Result<Option<Report>, BadReport> {
        let Some(end) = self.bytes[self.searched..].iter().position(|&byte| byte == b'\n') else {
            self.searched = self.bytes.len();
            if self.bytes.len() - self.start > LINE {
                return Err(BadReport::TooLong);
            }
            return Ok(None);
        };
        let end = self.searched + end;
        let line = &self.bytes[self.start..end];
        if line.len() > LINE {
            return Err(BadReport::TooLong);
        }
        let report = serde_json::from_slice(line).map_err(BadReport::NotOne)?;
        self.start = end + 1;
        self.searched = self.start;
        Ok(Some(report))
    }
}
