//! The one pass over a log: every line, the chain, the tree.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::chain::{Hash, Head};
use crate::entry::Parsed;
use crate::lines::{Lines, Piece};
use crate::notebook::Noted;
use crate::scan::Line;
use crate::segments::{Content, Files, Volume};
use crate::signatures::Claims;
use crate::tree::{self, Frontier};
use crate::{AuditError, Decision, Finding, Layer, Removed, Report, Summary, bounds, tail};

/// How long a line that is just being written may take.
const BEING_WRITTEN: Duration = Duration::from_millis(20);

pub(crate) struct Pass {
    pub(crate) files: Files,
    /// What stands in `removed`, if the files begin where it says.
    pub(crate) statement: Option<Noted>,
    pub(crate) report: Report,
    /// The number of the first record that should be there.
    pub(crate) base: u64,
    /// The line at which something other than a torn tail is wrong, counted over all files.
    pub(crate) broken: Option<u64>,
    /// The line being looked at, from 1, over all files.
    at: u64,
    torn: Option<(usize, u64, u64)>,
    expected: Option<Head>,
    /// The hash of the record with the expected head's number.
    at_expected: Option<Hash>,
    previous: Option<Head>,
    pub(crate) frontier: Frontier,
    counts: Counts,
    /// What the records say of removals: the last record that is gone, and the rule.
    retained: Option<(u64, String)>,
    /// The keys that the log says it signs with.
    pub(crate) keys: BTreeSet<String>,
    /// A file whose name is not that of its first record.
    misnamed: Vec<(Arc<str>, u64)>,
}

#[derive(Default)]
struct Counts {
    layers: [u64; Layer::ALL.len()],
    decisions: [u64; Decision::ALL.len()],
}

impl Pass {
    pub(crate) fn new(mut files: Files, statement: Option<Noted>, expected: Option<Head>) -> Self {
        // What ends before the statement's size is what its removal has left behind.
        let statement = statement.filter(|statement| {
            let size = statement.checkpoint.size;
            statement.frontier().is_some() && statement.checkpoint.head.is_some() && begins(&files, size)
        });
        let size = statement.as_ref().map_or(0, |statement| statement.checkpoint.size);
        files.files.retain(|file| file.first.is_none_or(|first| first >= size));
        let frontier = statement.as_ref().and_then(Noted::frontier).unwrap_or_default();
        let mut report = Report::default();
        report.summary.files = files.files.len() as u64;
        Self {
            files,
            statement,
            report,
            base: size,
            broken: None,
            at: 0,
            torn: None,
            expected,
            at_expected: None,
            previous: None,
            frontier,
            counts: Counts::default(),
            retained: None,
            keys: BTreeSet::new(),
            misnamed: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self, claims: &mut Claims) -> Result<(), AuditError> {
        claims.reached(self.base, &self.frontier, None);
        let files: Vec<Volume> = self.files.files.clone();
        for (number, volume) in files.iter().enumerate() {
            let last = number + 1 == files.len();
            self.file(volume, number, last, claims)?;
        }
        let Counts { layers, decisions } = &self.counts;
        let summary = &mut self.report.summary;
        let counted = |count: &&u64| **count > 0;
        summary.layers =
            Layer::ALL.into_iter().zip(layers).filter(|(_, n)| counted(n)).map(|(l, n)| (l, *n)).collect();
        summary.decisions = Decision::ALL
            .into_iter()
            .zip(decisions)
            .filter(|(_, n)| counted(n))
            .map(|(d, n)| (d, *n))
            .collect();
        Ok(())
    }

    fn file(
        &mut self,
        volume: &Volume,
        number: usize,
        last: bool,
        claims: &mut Claims,
    ) -> Result<(), AuditError> {
        let mut lines = Lines::new(volume.read()?, 0);
        let mut waited = !last || matches!(volume.content, Content::Memory(..));
        let mut first = true;
        loop {
            let offset = lines.offset;
            let piece = match lines.next() {
                Ok(piece) => piece,
                // Not a gzip file any more, or its checksum is wrong: a finding like any other line that is none.
                Err(error) if damaged(volume, &error) => {
                    self.at += 1;
                    self.breaks();
                    break;
                }
                Err(source) => return Err(volume.failed(source)),
            };
            match piece {
                Piece::End => break,
                Piece::Line(line) => {
                    self.torn = None;
                    self.at += 1;
                    self.line(line, std::mem::take(&mut first).then_some(volume), claims);
                }
                Piece::TooLong => {
                    first = false;
                    self.at += 1;
                    self.breaks();
                }
                Piece::Torn(part) => {
                    // The writer may be in the middle of it.
                    let start = self.torn.map_or(offset, |(_, start, _)| start);
                    self.torn = Some((number, start, part.len() as u64));
                    if waited {
                        break;
                    }
                    waited = true;
                    std::thread::sleep(BEING_WRITTEN);
                }
            }
        }
        // Only the last file can end within a line: the others were ended in order.
        if !last && self.torn.take().is_some() {
            self.at += 1;
            self.breaks();
        }
        self.report.summary.bytes += lines.offset;
        Ok(())
    }

    fn breaks(&mut self) {
        self.broken.get_or_insert(self.at);
    }

    /// `begins` is the file that the line is the first of.
    fn line(&mut self, text: &[u8], begins: Option<&Volume>, claims: &mut Claims) {
        let Some(line) = Line::read(text).ok().filter(Line::intact) else {
            self.breaks();
            return;
        };
        let seq = line.seq();
        if let Some(volume) = begins {
            self.begins(volume, &line);
        }
        match self.previous {
            None => self.first(&line),
            Some(previous) => {
                if previous.seq.checked_add(1) != Some(seq) || previous.hash != line.prev() {
                    self.breaks();
                }
            }
        }
        let head = Head { seq, hash: line.hash() };
        self.previous = Some(head);
        if self.expected.is_some_and(|expected| expected.seq == seq) {
            self.at_expected = Some(head.hash);
        }
        if self.broken.is_none() {
            self.frontier.push(tree::leaf(head.hash.as_bytes()));
            if claims.next() == self.frontier.size() {
                claims.reached(self.frontier.size(), &self.frontier, Some(head));
            }
        }
        self.counts.layers[line.layer() as usize] += 1;
        self.counts.decisions[line.decision() as usize] += 1;
        self.report.summary.count(&line, head);
        if line.layer() == Layer::Log
            && let Some(parsed) = line.parsed()
        {
            self.own(parsed);
        }
    }

    /// The first record of all.
    fn first(&mut self, line: &Line<'_>) {
        let Some(parsed) = line.parsed() else { return self.breaks() };
        if let Some(statement) = &self.statement {
            let follows = statement
                .checkpoint
                .head
                .is_some_and(|head| head.seq.checked_add(1) == Some(line.seq()) && head.hash == line.prev());
            match tail::first(parsed) {
                Ok(first) if follows => self.report.summary.log = Some(first.log),
                _ => self.breaks(),
            }
            return;
        }
        match tail::genesis(parsed) {
            Ok(id) if line.seq() == 0 => self.report.summary.log = Some(id),
            _ => self.breaks(),
        }
    }

    /// The first record of a file.
    fn begins(&mut self, volume: &Volume, line: &Line<'_>) {
        if volume.first.is_some_and(|first| first != line.seq()) {
            self.misnamed.push((Arc::clone(&volume.name), line.seq()));
        }
        // That a segment belongs to this log is what the chain says; where it breaks, the diagnosis says how.
    }

    /// What the log says of itself.
    fn own(&mut self, record: &Parsed<'_>) {
        let wire = &record.wire;
        let text = |key: &str| match wire.detail.get(key) {
            Some(crate::Value::Text(text)) => Some(text.as_ref().to_owned()),
            _ => None,
        };
        match wire.event.as_ref() {
            "retention" => {
                if let Some(crate::Value::Number(last)) = wire.detail.get("last") {
                    let last = u64::try_from(*last).unwrap_or(0);
                    self.retained = Some((last, text("rule").unwrap_or_default()));
                }
            }
            "open" if self.keys.len() < bounds::NAMED_KEYS => self.keys.extend(text("key")),
            _ => {}
        }
    }

    /// Adds what the whole pass has shown.
    pub(crate) fn conclude(&mut self, report: &mut Report) {
        for (file, first) in self.misnamed.drain(..) {
            report.add(Finding::In { file, finding: Box::new(Finding::Misnamed { first }) });
        }
        if let Some((number, offset, bytes)) = self.torn {
            report.add(within(&self.files.files[number], Finding::TornTail { offset, bytes }));
        }
        if self.statement.is_some() && report.summary.records > 0 {
            let last = self.base - 1;
            let rule = self.retained.as_ref().filter(|(retained, _)| *retained >= last);
            report.summary.removed =
                Some(Removed { first: 0, last, rule: rule.map(|(_, rule)| rule.clone()) });
            if rule.is_none() {
                report.add(Finding::RemovedUnrecorded { last });
            }
        }
        if let Some(expected) = self.expected {
            match self.at_expected {
                Some(found) if found == expected.hash => {}
                Some(found) => report.add(Finding::OtherHead { expected, found }),
                None if expected.seq < self.base => {
                    report.add(Finding::NotComparable { size: expected.seq + 1, first: self.base });
                }
                None => {
                    let last = report.summary.head.map(|head| head.seq);
                    report.add(Finding::Truncated { last, expected });
                }
            }
        }
    }
}

/// Whether there is a file that begins with record `size`: by its name, or the only one there is.
fn begins(files: &Files, size: u64) -> bool {
    let named = |file: &Volume| match file.first {
        Some(first) => first == size,
        None => {
            let Ok(input) = file.read() else { return false };
            let mut lines = Lines::new(input, 0);
            matches!(lines.next(), Ok(Piece::Line(line))
                if Line::read(line).is_ok_and(|line| line.seq() == size))
        }
    };
    files.files.iter().any(named)
}

/// Whether reading failed for what is in the file.
pub(crate) fn damaged(volume: &Volume, error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(volume.content, Content::Closed(..) | Content::Memory(_, true))
        && matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

/// A finding in a file: where that is not the current one, with its name.
pub(crate) fn within(volume: &Volume, finding: Finding) -> Finding {
    if *volume.name == *crate::place::FILE || volume.first.is_none() {
        finding
    } else {
        Finding::In { file: Arc::clone(&volume.name), finding: Box::new(finding) }
    }
}

impl Summary {
    fn count(&mut self, line: &Line<'_>, head: Head) {
        self.records += 1;
        self.head = Some(head);
        let time = line.time();
        if self.first.is_none() {
            self.first = Some((head.seq, time.to_owned()));
        }
        let last = self.last.get_or_insert_with(|| (head.seq, String::new()));
        // All times have the same form, so text order is time order.
        if time < last.1.as_str() {
            self.clock_set_back += 1;
        }
        last.0 = head.seq;
        last.1.clear();
        last.1.push_str(time);
        self.closed = false;
        let Some(parsed) = line.parsed().filter(|parsed| parsed.wire.layer == Layer::Log) else { return };
        match parsed.wire.event.as_ref() {
            "close" => self.closed = true,
            "recovery" => self.recoveries += 1,
            "gap" => self.gaps += 1,
            "flood" => {
                if let Some(crate::Value::Number(count)) = parsed.wire.detail.get("count") {
                    self.folded = self.folded.saturating_add(u64::try_from(*count).unwrap_or(0));
                }
            }
            _ => {}
        }
    }
}
