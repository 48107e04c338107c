use std::io::Write;
use std::path::Path;

use crate::args::Tail;
use crate::auditor::{Auditor, Question};
use crate::command::{damages, note, print};
use crate::error::AuditorError;
use crate::exit::Exit;
use crate::export::Exporter;
use crate::filter::Filter;
use crate::follow::{Follow, News};
use crate::pipe::{Pipe, words};
use crate::source::{Located, Source};

impl Tail {
    pub(crate) fn run(self, usual: Option<&Path>, out: &mut dyn Write) -> Result<Exit, AuditorError> {
        let log = self.at.log(usual)?.to_owned();
        // Looked for first, so that whatever comes in the meantime is shown once, and is shown.
        let end = Source::open(&log)?.last(1)?.0.pop();
        let (last, mut exit) = self.last(&log)?;
        let filter: Filter = self.which.into();
        let format = self.at.format;
        let exporter = self.to.map(|target| Exporter::new(target, self.host));
        let mut sink = match &self.command {
            None => Sink::Out(out),
            Some(command) => {
                let words = words(command).ok_or(AuditorError::Usage("a quote in --command has no end"))?;
                Sink::Pipe(Pipe::start(&words)?)
            }
        };
        let one = |located: &Located, into: &mut dyn Write| match &exporter {
            Some(exporter) => exporter.record(located, into),
            None => print(located, format, into),
        };
        let mut text = Vec::new();
        if let Some(exporter) = &exporter {
            exporter.begin(&mut text)?;
        }
        last.iter().try_for_each(|located| one(located, &mut text))?;
        if !sink.give(&text)? || !self.follow {
            return sink.finish(exit);
        }
        let seen = last.last().into_iter().chain(&end).map(|located| located.entry.seq).max();
        let mut follow = Follow::after(&log, seen)?;
        loop {
            text.clear();
            for news in follow.poll()? {
                match news {
                    News::Record(located) if filter.matches(&located.entry) => one(&located, &mut text)?,
                    News::Record(_) => {}
                    News::Damaged(damage) => exit = damages(&[damage]),
                    News::Missing(first, last) => {
                        note(&format!("records {first} to {last} are in no file of the log"));
                        exit = Exit::FINDINGS;
                    }
                }
            }
            if !sink.give(&text)? {
                return sink.finish(exit);
            }
            if let Some(exit) = sink.ended()? {
                return Ok(exit);
            }
            follow.pause();
        }
    }

    fn last(&self, log: &Path) -> Result<(Vec<Located>, Exit), AuditorError> {
        if self.which.is_everything() {
            let (last, damaged) = Source::open(log)?.last(self.records)?;
            return Ok((last, damages(&damaged)));
        }
        let auditor = Auditor::open(log, &self.at.lookup())?;
        auditor.notes.iter().for_each(|text| note(text));
        let question =
            Question { filter: self.which.clone().into(), reverse: true, limit: Some(self.records) };
        let mut last = Vec::new();
        let answer = auditor.find(&question, &mut |located| {
            last.push(located);
            Ok(())
        })?;
        last.reverse();
        Ok((last, damages(&answer.damages)))
    }
}

/// Who gets what is followed.
enum Sink<'o> {
    Out(&'o mut dyn Write),
    Pipe(Pipe),
}

impl Sink<'_> {
    /// False where nobody reads any more.
    fn give(&mut self, text: &[u8]) -> Result<bool, AuditorError> {
        if text.is_empty() {
            return Ok(true);
        }
        match self {
            Self::Out(out) => {
                out.write_all(text).and_then(|()| out.flush()).map_err(AuditorError::Output)?;
                Ok(true)
            }
            Self::Pipe(pipe) => pipe.give(text),
        }
    }

    fn ended(&mut self) -> Result<Option<Exit>, AuditorError> {
        match self {
            Self::Out(_) => Ok(None),
            Self::Pipe(pipe) => pipe.ended(),
        }
    }

    fn finish(self, exit: Exit) -> Result<Exit, AuditorError> {
        match self {
            Self::Out(_) => Ok(exit),
            Self::Pipe(pipe) => pipe.finish(),
        }
    }
}
