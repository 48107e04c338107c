use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::error::AuditorError;
use crate::filter::Filter;
use crate::index::{self, Freshness, Index};
use crate::progress::Progress;
use crate::source::{Damage, Found, Located, Source};

/// Which index to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Lookup {
    /// That in the usual place, where there is one to write to.
    #[default]
    Usual,
    /// This one.
    At(PathBuf),
    /// None: all of the log is read.
    Scan,
}

/// Somebody who reads a log.
#[derive(Debug)]
pub struct Auditor {
    /// The log.
    pub source: Source,
    index: Option<Index>,
    /// What whoever asks should know of the index, beside the answer.
    pub notes: Vec<String>,
}

/// Which records, and how many of them.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Which.
    pub filter: Filter,
    /// The latest first.
    pub reverse: bool,
    /// At most so many.
    pub limit: Option<usize>,
}

/// What there was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Records that fit and were shown.
    pub hits: u64,
    /// Lines of the log that are no records: whether one of them would have fitted, nobody can say.
    pub damages: Vec<Damage>,
}

impl Auditor {
    /// Opens the log, and an index of it.
    ///
    /// # Errors
    ///
    /// The log cannot be read; an index that was named cannot be used.
    pub fn open(log: &Path, lookup: &Lookup) -> Result<Self, AuditorError> {
        let source = Source::open(log)?;
        let mut notes = Vec::new();
        let opened = match lookup {
            Lookup::Scan => None,
            Lookup::At(path) => Some(Index::open(path, &source)?),
            Lookup::Usual => match index::usual(log) {
                None => {
                    notes.push("there is no place for an index: all of the log is read".to_owned());
                    None
                }
                Some(path) => match Index::open(&path, &source) {
                    Ok(opened) => Some(opened),
                    Err(error @ (AuditorError::Index { .. } | AuditorError::IndexFile { .. })) => {
                        notes.push(format!("{error}: all of the log is read"));
                        None
                    }
                    Err(error) => return Err(error),
                },
            },
        };
        let index = opened.map(|(index, freshness)| {
            if let Freshness::Rebuilt(why) = freshness {
                notes.push(format!("the index {} was built anew: {why}", index.path().display()));
            }
            index
        });
        Ok(Self { source, index, notes })
    }

    /// Shows `visit` every record that fits.
    ///
    /// # Errors
    ///
    /// The log or the index cannot be read; the index names places where no such records stand; `visit` fails.
    pub fn find(
        &self,
        question: &Question,
        visit: &mut dyn FnMut(Located) -> Result<(), AuditorError>,
    ) -> Result<Answer, AuditorError> {
        if question.limit == Some(0) {
            return Ok(Answer::default());
        }
        match &self.index {
            Some(index) => self.look_up(index, question, visit),
            None => self.scan(question, visit),
        }
    }

    /// All of it that fits, in memory: for questions with a limit.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn collect(&self, filter: Filter, reverse: bool, limit: usize) -> Result<Vec<Located>, AuditorError> {
        let mut all = Vec::new();
        self.find(&Question { filter, reverse, limit: Some(limit) }, &mut |located| {
            all.push(located);
            Ok(())
        })?;
        Ok(all)
    }

    /// The record with this number.
    ///
    /// # Errors
    ///
    /// There is none; the log cannot be read.
    pub fn record(&self, seq: u64) -> Result<Located, AuditorError> {
        if let Some(index) = &self.index
            && let Some(place) = index.place_of(seq)?
            && let Some(located) = self.source.at(place.0, place.1)?
            && located.entry.seq == seq
        {
            return Ok(located);
        }
        for found in self.source.read() {
            if let Found::Record(located) = found?
                && located.entry.seq == seq
            {
                return Ok(*located);
            }
        }
        Err(AuditorError::NoRecord(seq))
    }

    /// Whether the index has as many records for this filter as the log has: reads all of the log. None where no index
    /// is used.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn compare(&self, filter: &Filter) -> Result<Option<(u64, u64)>, AuditorError> {
        let Some(index) = &self.index else { return Ok(None) };
        let question = Question { filter: filter.clone(), ..Question::default() };
        let by_index = self.look_up(index, &question, &mut |_| Ok(()))?.hits;
        let by_log = self.scan(&question, &mut |_| Ok(()))?.hits;
        Ok(Some((by_index, by_log)))
    }

    /// The index that is used.
    pub const fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    fn look_up(
        &self,
        index: &Index,
        question: &Question,
        visit: &mut dyn FnMut(Located) -> Result<(), AuditorError>,
    ) -> Result<Answer, AuditorError> {
        let mut answer = Answer { hits: 0, damages: index.damages(&self.source)? };
        let mut unsound = None;
        index.candidates(&question.filter, question.reverse, &mut |candidate| {
            let located = self.source.at(candidate.file, candidate.offset)?;
            // The log decides, not the index: the record is read, and compared with what was asked for.
            let Some(located) = located.filter(|located| located.entry.seq == candidate.seq) else {
                unsound = Some(candidate);
                return Ok(false);
            };
            if question.filter.matches(&located.entry) {
                answer.hits += 1;
                visit(located)?;
            }
            Ok(question.limit.is_none_or(|limit| answer.hits < limit as u64))
        })?;
        match unsound {
            None => Ok(answer),
            Some(candidate) => Err(index.discard(format!(
                "record {} is not at byte {} of {}",
                candidate.seq,
                candidate.offset,
                self.source.files.get(candidate.file).map_or("a file that is not there", |file| &file.name),
            ))),
        }
    }

    fn scan(
        &self,
        question: &Question,
        visit: &mut dyn FnMut(Located) -> Result<(), AuditorError>,
    ) -> Result<Answer, AuditorError> {
        let mut answer = Answer::default();
        // Against the log's order only the places are kept, since a log does not fit into memory.
        let mut places = VecDeque::new();
        let progress = Progress::bytes("reading", self.source.bytes_from(0, 0));
        let mut done = 0;
        for found in self.source.read() {
            let located = match found? {
                Found::Record(located) => located,
                Found::Damaged(damage) => {
                    answer.damages.push(damage);
                    continue;
                }
            };
            done += located.line.len() as u64 + 1;
            progress.at(done);
            if !question.filter.matches(&located.entry) {
                continue;
            }
            if question.reverse {
                if question.limit.is_some_and(|limit| places.len() == limit) {
                    places.pop_front();
                }
                places.push_back((located.file, located.offset));
                continue;
            }
            answer.hits += 1;
            visit(*located)?;
            if question.limit.is_some_and(|limit| answer.hits == limit as u64) {
                return Ok(answer);
            }
        }
        drop(progress);
        for (file, offset) in places.into_iter().rev() {
            if let Some(located) = self.source.at(file, offset)? {
                answer.hits += 1;
                visit(located)?;
            }
        }
        Ok(answer)
    }
}
