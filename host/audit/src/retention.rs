//! Old segments are removed where the operator wants it, and what is left says so and can still be verified.
//!
//! First a record says what will be removed and by which rule, and a checkpoint is over that record. Then the file
//! `removed` gets the checkpoint and the frontier at the first record that is kept. Only then do files go.

use std::fs;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::compress::listing;
use crate::entry::Parsed;
use crate::lines::{Lines, Piece};
use crate::notebook::{self, FILE, REMOVED};
use crate::segments::{self, Name};
use crate::shared::Shared;
use crate::{AuditError, Decision, Layer, Moment, Record, disk, place};

impl Shared {
    /// Removes what a statement says was removed, where a crash came in between.
    pub(crate) fn remove_left_over(&self, dir: &Path) -> Result<(), AuditError> {
        let path = dir.join(REMOVED);
        let read = place::read_own(&path, crate::bounds::NOTE, 0o022).map_err(|source| AuditError::File {
            step: "read",
            path,
            source,
        })?;
        let Some(bytes) = read else { return Ok(()) };
        let entries = notebook::parse(&bytes);
        let Some(statement) = entries.noted.first() else { return Ok(()) };
        if !self.notary()?.is_ours(&statement.note) {
            return Ok(());
        }
        let names = segments::names(dir).map_err(|source| listing(dir, source))?;
        remove(dir, names.iter().filter(|name| name.first < statement.checkpoint.size))
    }

    /// Removes the oldest segments as the policy wants.
    pub(crate) fn retain(&self, dir: &Path) -> Result<(), AuditError> {
        if self.retention.keeps_all() {
            return Ok(());
        }
        let names = segments::names(dir).map_err(|source| listing(dir, source))?;
        let Some((going, rule)) = self.too_many(dir, &names)? else { return Ok(()) };
        let (first, kept) = {
            let inner = self.inner()?;
            (names[0].first, names.get(going).map_or(inner.writer.first, |name| name.first))
        };
        let Some(entry) = self.checkpoint_at(dir, kept)? else {
            // Without one nothing could show that what is left belongs to what was there.
            let path = dir.join(&names[0].file);
            let source = std::io::Error::other("no checkpoint is at its end");
            return Err(AuditError::Segment { step: "remove", path, source });
        };
        let record = Record::new(Layer::Log, "retention", Decision::Noted)
            .operation("remove")
            .reason("segments were removed because the operator's retention says so")
            .detail("rule", rule)
            .detail("first", first)
            .detail("last", kept - 1)
            .detail("segments", going);
        let now = self.clock.now();
        self.write(&mut *self.open_inner()?, &[&record], now)?;
        self.checkpoint(None)?;
        let path = dir.join(REMOVED);
        let replaced = disk::replace(dir, &path, entry.as_bytes());
        replaced.map_err(|source| AuditError::Segment { step: "write", path, source })?;
        remove(dir, names[..going].iter())
    }

    /// How many of the oldest files must go, and why.
    fn too_many(&self, dir: &Path, names: &[Name]) -> Result<Option<(usize, String)>, AuditError> {
        let mut rule = None;
        let mut going = 0;
        let mut more = |count: usize, what: String| {
            if count > going {
                going = count;
                rule = Some(what);
            }
        };
        if let Some(most) = self.retention.segments {
            let count = names.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
            more(count, format!("at most {most} segments"));
        }
        if let Some(most) = self.retention.bytes {
            let mut bytes = 0_u64;
            let mut kept = 0;
            for name in names.iter().rev() {
                let path = dir.join(&name.file);
                let size =
                    fs::metadata(&path).map_err(|source| AuditError::File { step: "stat", path, source })?;
                bytes = bytes.saturating_add(size.len());
                if bytes > most {
                    break;
                }
                kept += 1;
            }
            more(names.len() - kept, format!("at most {most} bytes"));
        }
        if let Some(most) = self.retention.age {
            let now = self.clock.now().seconds;
            let most_seconds = i64::try_from(most.as_secs()).unwrap_or(i64::MAX);
            let limit = Moment { seconds: now.saturating_sub(most_seconds), ..Moment::default() }.to_string();
            let mut old = 0;
            // A segment is as old as the first record after it; the last one's follower is the current file.
            for place in 0..names.len() {
                let next = match names.get(place + 1) {
                    Some(next) => begun(&dir.join(&next.file), next.gzip)?,
                    None => begun(&dir.join(place::FILE), false)?,
                };
                if next.is_none_or(|next| next >= limit) {
                    break;
                }
                old = place + 1;
            }
            more(old, format!("at most {} s old", most.as_secs()));
        }
        Ok(rule.map(|rule| (going, rule)))
    }

    /// The entry of the checkpoint over the first `size` records.
    fn checkpoint_at(&self, dir: &Path, size: u64) -> Result<Option<String>, AuditError> {
        let path = dir.join(FILE);
        let bytes = fs::read(&path).map_err(|source| AuditError::File { step: "read", path, source })?;
        let notary = self.notary()?;
        let entries = notebook::parse(&bytes).noted.into_iter();
        let found = entries
            .filter(|entry| entry.checkpoint.size == size)
            .filter(|entry| notary.is_ours(&entry.note))
            .find_map(|entry| Some((entry.frontier()?, entry)));
        Ok(found.map(|(frontier, entry)| notebook::entry(&entry.note.to_string(), &frontier, 0)))
    }
}

/// Takes the files away, the newest first: what a crash leaves ends before what is kept, and is not taken for it.
fn remove<'a>(dir: &Path, names: impl DoubleEndedIterator<Item = &'a Name>) -> Result<(), AuditError> {
    let mut any = false;
    for name in names.rev() {
        let path = dir.join(&name.file);
        disk::remove(&path).map_err(|source| AuditError::Segment { step: "remove", path, source })?;
        any = true;
    }
    if any { disk::sync_names(dir).map_err(|source| listing(dir, source)) } else { Ok(()) }
}

/// The wall time of a file's first record.
fn begun(path: &Path, gzip: bool) -> Result<Option<String>, AuditError> {
    let failed = |source| AuditError::File { step: "read", path: path.to_owned(), source };
    let file = BufReader::new(segments::open(path).map_err(failed)?);
    let input: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut lines = Lines::new(BufReader::new(input), 0);
    Ok(match lines.next().map_err(failed)? {
        Piece::Line(line) => Parsed::read(line).ok().map(|first| first.wire.time.into_owned()),
        _ => None,
    })
}
