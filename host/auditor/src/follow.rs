use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::AuditorError;
use crate::source::{Damage, Found, Located, Source};

/// How long to wait before looking for more: what a person takes for at once.
const PAUSE: Duration = Duration::from_millis(200);

/// What comes after a record, as it comes; across the exchange of the file that is being written.
#[derive(Debug)]
pub struct Follow {
    log: PathBuf,
    source: Source,
    /// Number and offset of the file that is read, and the place after its last whole line.
    file: usize,
    offset: u64,
    /// The last record that was shown.
    last: Option<u64>,
    /// Whether the place is where a file begins, in which the last record has to be met again.
    to_meet: bool,
}

/// What came.
#[derive(Debug)]
pub enum News {
    /// A record.
    Record(Box<Located>),
    /// A line that is none.
    Damaged(Damage),
    /// Records from the first to the second number are not in any file of the log.
    Missing(u64, u64),
}

impl Follow {
    /// Follows the log from the place after record `last`, or from its beginning.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn after(log: &Path, last: Option<u64>) -> Result<Self, AuditorError> {
        let source = Source::open(log)?;
        let mut follow = Self { log: log.to_owned(), source, file: 0, offset: 0, last, to_meet: false };
        follow.find_place();
        Ok(follow)
    }

    /// What has come since. Empty where nothing has.
    ///
    /// # Errors
    ///
    /// The log cannot be read; it was cut off.
    pub fn poll(&mut self) -> Result<Vec<News>, AuditorError> {
        let mut news = self.drain()?;
        if self.is_replaced()? {
            // What came into the old file between the last look and the exchange is in the log under its new name.
            self.source = Source::open(&self.log)?;
            self.find_place();
            news.extend(self.drain()?);
        }
        Ok(news)
    }

    /// Waits a moment.
    pub fn pause(&self) {
        std::thread::sleep(PAUSE);
    }

    /// The file that the record after the last one is in.
    fn find_place(&mut self) {
        let next = self.last.map_or(0, |last| last.saturating_add(1));
        let first =
            |file: usize| self.source.files.get(file).and_then(|file| file.first).map(|(first, _)| first);
        let at =
            (0..self.source.files.len()).rev().find(|file| first(*file).is_some_and(|first| first <= next));
        self.file = at.unwrap_or(0);
        self.offset = 0;
        self.to_meet = self.last.is_some_and(|last| first(self.file).is_none_or(|first| first <= last));
    }

    fn drain(&mut self) -> Result<Vec<News>, AuditorError> {
        let mut news = Vec::new();
        let mut records = self.source.read_from(self.file, self.offset);
        let mut last = self.last;
        let mut met = false;
        for found in records.by_ref() {
            match found? {
                Found::Damaged(damage) => news.push(News::Damaged(damage)),
                Found::Record(located) => {
                    let seq = located.entry.seq;
                    met |= last.is_some_and(|last| seq >= last);
                    if last.is_some_and(|last| seq <= last) {
                        continue;
                    }
                    if let Some(last) = last
                        && seq > last.saturating_add(1)
                    {
                        news.push(News::Missing(last + 1, seq - 1));
                    }
                    last = Some(seq);
                    news.push(News::Record(located));
                }
            }
        }
        if self.to_meet && !met {
            let path = self.source.files.last().map_or_else(|| self.log.clone(), |file| file.path.clone());
            return Err(AuditorError::CutOff { path, last: self.last.unwrap_or_default() });
        }
        self.to_meet = false;
        (self.file, self.offset) = records.end();
        self.last = last;
        Ok(news)
    }

    /// Whether another file stands where the one stood that was read last.
    fn is_replaced(&self) -> Result<bool, AuditorError> {
        let Some(file) = self.source.files.last() else { return Ok(true) };
        let failed = |source| AuditorError::File { step: "stat", path: file.path.clone(), source };
        let now = match fs::metadata(&file.path) {
            Ok(stat) => stat,
            // Between two names, while files are exchanged.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(failed(source)),
        };
        if (now.dev(), now.ino()) != file.identity().map_err(failed)? {
            return Ok(true);
        }
        if self.file + 1 == self.source.files.len() && now.size() < self.offset {
            return Err(AuditorError::CutOff {
                path: file.path.clone(),
                last: self.last.unwrap_or_default(),
            });
        }
        Ok(false)
    }
}
