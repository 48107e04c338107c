use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use crate::chain::{Hash, Head, LogId};
use crate::entry::Parsed;
use crate::lines::{Lines, Piece};
use crate::{AuditError, Decision, Finding, Layer, bounds, diagnose, reader, tail};

/// What a log says, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is in it. With findings, of the records whose own hash holds.
    pub summary: Summary,
    /// What is wrong, by line; at most [`bounds::FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many findings there are in all.
    pub found: u64,
}

/// What is in a log.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Its random name.
    pub log: Option<LogId>,
    /// How many records it has.
    pub records: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Number and wall time of the first record.
    pub first: Option<(u64, String)>,
    /// Number and wall time of the last record.
    pub last: Option<(u64, String)>,
    /// The last record, to be kept elsewhere and checked against later.
    pub head: Option<Head>,
    /// How many records each layer has.
    pub layers: BTreeMap<Layer, u64>,
    /// How many records ended how.
    pub decisions: BTreeMap<Decision, u64>,
    /// Records that stand in flood counts instead of in the log.
    pub folded: u64,
    /// Torn ends that were set aside.
    pub recoveries: u64,
    /// Times in which nothing could be written.
    pub gaps: u64,
    /// Records whose wall time is before that of the one before them: the clock was set back.
    pub clock_set_back: u64,
    /// Whether the last record is the `close` of its writer. Otherwise it is running, or was killed.
    pub closed: bool,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.found == 0
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        self.found += 1;
        if self.findings.len() < bounds::FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// Reads the log at `path` (its directory or its file) from end to end and checks every record and the chain.
///
/// Without `expected`, a log that was cut off at the end of a record, or exchanged for an older copy of
/// itself, looks sound: only a head that was kept elsewhere shows it.
///
/// # Errors
///
/// The file cannot be read. What is wrong with its content is in the [`Report`].
pub fn verify(path: impl AsRef<Path>, expected: Option<&Head>) -> Result<Report, AuditError> {
    let (path, mut file) = reader::open(path.as_ref())?;
    let failed = |source| AuditError::File { step: "read", path: path.clone(), source };
    let mut pass = Pass { expected: expected.copied(), ..Pass::default() };
    pass.run(&file).map_err(failed)?;
    if let Some(noticed) = pass.broken {
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        diagnose::run(&file, noticed, &mut pass.report).map_err(failed)?;
    }
    let report = &mut pass.report;
    if let Some((offset, bytes)) = pass.torn {
        report.add(Finding::TornTail { offset, bytes });
    }
    if let Some(expected) = pass.expected {
        match pass.at_expected {
            Some(found) if found == expected.hash => {}
            Some(found) => report.add(Finding::OtherHead { expected, found }),
            None => {
                let last = report.summary.head.map(|head| head.seq);
                report.add(Finding::Truncated { last, expected });
            }
        }
    }
    Ok(pass.report)
}

/// The one pass over a sound log.
#[derive(Default)]
struct Pass {
    report: Report,
    /// The line at which something other than a torn tail is wrong.
    broken: Option<u64>,
    /// The line being looked at, from 1.
    at: u64,
    torn: Option<(u64, u64)>,
    expected: Option<Head>,
    /// The hash of the record with the expected head's number.
    at_expected: Option<Hash>,
    previous: Option<Head>,
}

/// How long a line that is just being written may take.
const BEING_WRITTEN: Duration = Duration::from_millis(20);

impl Pass {
    fn run(&mut self, file: &File) -> std::io::Result<()> {
        let mut lines = Lines::new(BufReader::with_capacity(bounds::LINE, file), 0);
        let mut waited = false;
        loop {
            let offset = lines.offset;
            match lines.next()? {
                Piece::End => break,
                Piece::Line(line) => {
                    self.torn = None;
                    self.at += 1;
                    self.line(line);
                }
                Piece::TooLong => {
                    self.at += 1;
                    self.breaks();
                }
                Piece::Torn(part) => {
                    // The writer may be in the middle of it.
                    self.torn = Some((self.torn.map_or(offset, |(start, _)| start), part.len() as u64));
                    if waited {
                        break;
                    }
                    waited = true;
                    std::thread::sleep(BEING_WRITTEN);
                }
            }
        }
        self.report.summary.bytes = lines.offset;
        Ok(())
    }

    fn breaks(&mut self) {
        self.broken.get_or_insert(self.at);
    }

    fn line(&mut self, line: &[u8]) {
        let Some(parsed) = Parsed::read(line).ok().filter(|parsed| parsed.intact) else {
            self.breaks();
            return;
        };
        let seq = parsed.wire.seq;
        match self.previous {
            None => match tail::genesis(&parsed) {
                Ok(id) if seq == 0 => self.report.summary.log = Some(id),
                _ => self.breaks(),
            },
            Some(previous) => {
                if previous.seq.checked_add(1) != Some(seq) || previous.hash != parsed.prev {
                    self.breaks();
                }
            }
        }
        let head = Head { seq, hash: parsed.hash };
        self.previous = Some(head);
        if self.expected.is_some_and(|expected| expected.seq == seq) {
            self.at_expected = Some(head.hash);
        }
        self.report.summary.count(&parsed, head);
    }
}

impl Summary {
    fn count(&mut self, parsed: &Parsed<'_>, head: Head) {
        let wire = &parsed.wire;
        self.records += 1;
        self.head = Some(head);
        *self.layers.entry(wire.layer).or_default() += 1;
        *self.decisions.entry(wire.decision).or_default() += 1;
        if self.first.is_none() {
            self.first = Some((wire.seq, wire.time.to_string()));
        }
        let last = self.last.get_or_insert_with(|| (wire.seq, String::new()));
        // All times have the same form, so text order is time order.
        if wire.time.as_ref() < last.1.as_str() {
            self.clock_set_back += 1;
        }
        last.0 = wire.seq;
        last.1.clear();
        last.1.push_str(&wire.time);
        self.closed = false;
        if wire.layer == Layer::Log {
            match wire.event.as_ref() {
                "close" => self.closed = true,
                "recovery" => self.recoveries += 1,
                "gap" => self.gaps += 1,
                "flood" => {
                    if let Some(crate::Value::Number(count)) = wire.detail.get("count") {
                        self.folded = self.folded.saturating_add(u64::try_from(*count).unwrap_or(0));
                    }
                }
                _ => {}
            }
        }
    }
}
