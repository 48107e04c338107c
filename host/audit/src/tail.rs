use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use crate::chain::{Hash, Head, LogId};
use crate::entry::Parsed;
use crate::place::Place;
use crate::{AuditError, Decision, Layer, Record, bounds, disk};

/// How the log that is to be continued ends.
pub(crate) enum Tail {
    /// There is no record.
    Empty { recovery: Option<Record> },
    /// It ends with this record, and the chain holds from `checked_from` to there.
    Sound { length: u64, head: Head, first: First, checked_from: u64, recovery: Option<Record> },
}

/// What the first record of a file says.
#[derive(Clone, Copy)]
pub(crate) struct First {
    pub(crate) seq: u64,
    pub(crate) log: LogId,
}

/// Looks at the end of the log; sets a torn end aside. `alone` says that the file can be one that was just
/// begun: there is nothing of the log but it.
pub(crate) fn read(place: &Place, alone: bool) -> Result<Tail, AuditError> {
    let failed = |source| AuditError::File { step: "read", path: place.path.clone(), source };
    let unsound = |seq, problem: String| AuditError::Unsound { path: place.path.clone(), seq, problem };
    let length = place.file.metadata().map_err(failed)?.size();
    if length == 0 {
        if !alone {
            return Err(unsound(0, "the file is empty, and was not when it was left".into()));
        }
        let emptied = || recovery("the log file was there but empty; a new log begins");
        return Ok(Tail::Empty { recovery: place.existed.then(emptied) });
    }

    let start = length.saturating_sub(bounds::TAIL_CHECKED);
    let window = bytes(&place.file, start, length - start).map_err(failed)?;
    // A window that begins within a line: that line is not looked at.
    let skip = if start == 0 { 0 } else { window.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1) };
    let whole = last_record_end(&window[skip..]).map(|end| skip + end);
    let Some(whole) = whole else {
        // Nothing but the beginning of a first record is what a crash leaves. Anything else is not.
        if alone && start == 0 && !window.contains(&b'\n') {
            let recovery = set_aside(place, 0, &window)?.detail("after", "genesis");
            return Ok(Tail::Empty { recovery: Some(recovery) });
        }
        return Err(unsound(0, "no line at its end is a record".into()));
    };

    let beginning = bytes(&place.file, 0, bounds::LINE as u64).map_err(failed)?;
    let line = beginning.split(|b| *b == b'\n').next().unwrap_or_default();
    let parsed = Parsed::read(line).map_err(|problem| unsound(0, problem))?;
    let first = first(&parsed).map_err(|problem| unsound(parsed.wire.seq, problem.into()))?;
    let (head, checked_from) = chain(&window[skip..whole], (start == 0).then_some(first.seq))
        .map_err(|(seq, problem)| unsound(seq, problem))?;
    let length = start + whole as u64;
    let torn = &window[whole..];
    let recovery =
        if torn.is_empty() { None } else { Some(set_aside(place, length, torn)?.detail("after", head.seq)) };
    Ok(Tail::Sound { length, head, first, checked_from, recovery })
}

/// Whether a record begins a file: that of a log, or that of a segment.
pub(crate) fn first(record: &Parsed<'_>) -> Result<First, &'static str> {
    let seq = record.wire.seq;
    if seq == 0 {
        return Ok(First { seq, log: genesis(record)? });
    }
    if record.wire.layer != Layer::Log || record.wire.event != "segment" {
        return Err("it does not begin a segment of a log");
    }
    let log = named(record).ok_or("it does not name its log")?;
    Ok(First { seq, log })
}

/// The log that a record names.
pub(crate) fn named(record: &Parsed<'_>) -> Option<LogId> {
    match record.wire.detail.get("log") {
        Some(crate::Value::Text(id)) => LogId::from_hex(id.as_bytes()),
        _ => None,
    }
}

/// Whether a first record begins a log.
pub(crate) fn genesis(first: &Parsed<'_>) -> Result<LogId, &'static str> {
    let Some(crate::Value::Text(id)) = first.wire.detail.get("log") else {
        return Err("the first record does not name its log");
    };
    let id = LogId::from_hex(id.as_bytes()).ok_or("the name of the log is not 32 hex digits")?;
    if first.prev != id.genesis() {
        return Err("the first record is not bound to the name of its log");
    }
    Ok(id)
}

/// Where the last line that is a record ends, newline included.
fn last_record_end(window: &[u8]) -> Option<usize> {
    let mut end = window.iter().rposition(|b| *b == b'\n')? + 1;
    loop {
        let line = &window[..end - 1];
        let begin = line.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        if Parsed::read(&line[begin..]).is_ok() {
            return Some(end);
        }
        if begin == 0 {
            return None;
        }
        end = begin;
    }
}

/// Checks whole lines; says the last and the number of the first. `first` is the number that the first must
/// have, if that is known.
fn chain(lines: &[u8], first: Option<u64>) -> Result<(Head, u64), (u64, String)> {
    let mut last: Option<Head> = None;
    let mut checked_from = 0;
    for line in lines.split_inclusive(|b| *b == b'\n') {
        // A log that claims to have come to the last number was not written by this program.
        let Some(expected) = last.map_or(first.or(Some(0)), |head: Head| head.seq.checked_add(1)) else {
            return Err((u64::MAX, "there is no number after it".into()));
        };
        let parsed =
            Parsed::read(line.strip_suffix(b"\n").unwrap_or(line)).map_err(|problem| (expected, problem))?;
        let seq = parsed.wire.seq;
        if !parsed.intact {
            return Err((seq, "its hash is not the hash of its line".into()));
        }
        match last {
            Some(_) if seq != expected => {
                return Err((expected, format!("record {seq} stands in its place")));
            }
            Some(head) if parsed.prev != head.hash => {
                return Err((seq, "it is not bound to the record before it".into()));
            }
            None if first.is_some_and(|first| first != seq) => {
                return Err((expected, format!("record {seq} stands in its place")));
            }
            None => checked_from = seq,
            Some(_) => {}
        }
        last = Some(Head { seq, hash: parsed.hash });
    }
    last.filter(|head| head.seq < u64::MAX)
        .map(|head| (head, checked_from))
        .ok_or((0, "there is no record".into()))
}

/// Moves what stands after the last whole record into a file of its own, so that nothing that was ever in
/// the log is destroyed.
fn set_aside(place: &Place, length: u64, torn: &[u8]) -> Result<Record, AuditError> {
    let (path, name, aside) = aside_file(place)?;
    let failed = |source| AuditError::Aside { path: path.clone(), source };
    disk::write_all(&aside, torn).and_then(|()| disk::sync(&aside)).map_err(failed)?;
    place.sync_names().map_err(failed)?;
    disk::cut(&place.file, length).map_err(AuditError::Write)?;
    Ok(recovery("the log ended in something that is not a record, as after a crash; it was set aside")
        .resource(name)
        .detail("bytes", torn.len())
        .detail("sha256", Hash::of_bytes(torn).to_string()))
}

fn aside_file(place: &Place) -> Result<(PathBuf, String, File), AuditError> {
    for number in 1..=bounds::TORN_FILES {
        let name = format!("audit.torn-{number}");
        let path = place.dir.join(&name);
        match disk::create(&path) {
            Ok(file) => return Ok((path, name, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(AuditError::Aside { path, source }),
        }
    }
    let source = io::Error::other("there are too many of them already");
    Err(AuditError::Aside { path: place.dir.join("audit.torn-N"), source })
}

fn recovery(reason: &'static str) -> Record {
    Record::new(Layer::Log, "recovery", Decision::Noted).operation("open").reason(reason)
}

fn bytes(file: &File, start: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], start + filled as u64)? {
            0 => break,
            more => filled += more,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
