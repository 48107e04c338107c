//! Answers, on standard output: as the program gives them, and as `stockade audit` takes them over.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::json;

use crate::args::{Count, Export, IndexArgs, One, Query, Read};
use crate::auditor::{Answer, Auditor, Lookup, Question};
use crate::error::AuditorError;
use crate::exit::Exit;
use crate::explain::explain;
use crate::export::{Exporter, Journal, Target};
use crate::filter::Filter;
use crate::index::{Index, usual};
use crate::output::{self, Format, SCHEMA, safe};
use crate::show;
use crate::source::{Damage, Located, Source};
use crate::stats::Stats;

/// How much is kept back before it goes to a file or pipe.
const BUFFER: usize = 256 * 1024;

impl Read {
    /// How errors are to be told.
    pub const fn format(&self) -> Format {
        match self {
            Self::Tail(of) => of.at.format,
            Self::Query(of) => of.at.format,
            Self::Show(of) | Self::Explain(of) => of.at.format,
            Self::Stats(of) => of.at.format,
            Self::Export(of) => of.at.format,
            Self::Index(of) => of.at.format,
        }
    }

    /// Answers, on standard output. `usual` is the log where the command line names none.
    ///
    /// # Errors
    ///
    /// There is no answer; [`output::failure`](crate::failure) says it as this program does.
    pub fn run(self, usual: Option<&Path>) -> Result<Exit, AuditorError> {
        let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
        let result = match self {
            Self::Tail(tail) => tail.run(usual, &mut out),
            Self::Query(query) => query.run(usual, &mut out),
            Self::Show(one) => one.show(usual, &mut out),
            Self::Explain(one) => {
                let auditor = one.at.open(usual)?;
                explain(&auditor, one.seq)?.show(&mut out, one.at.format).map(|()| Exit::OK)
            }
            Self::Stats(count) => count.run(usual, &mut out),
            Self::Export(export) => export.run(usual, &mut out),
            Self::Index(index) => index.run(usual, &mut out),
        };
        match result.and_then(|exit| out.flush().map_err(AuditorError::Output).map(|()| exit)) {
            // Whoever closed the output does not want it.
            Err(error) if error.is_hung_up() => Ok(Exit::OK),
            other => other,
        }
    }
}

/// Prints a line on standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "note: {}", safe(text));
}

/// Tells of lines that are no records. They may have been anything.
pub(crate) fn damages(damages: &[Damage]) -> Exit {
    for damage in damages.iter().take(10) {
        note(&show::damage(damage));
    }
    if damages.len() > 10 {
        note(&format!("and {} more lines that are no records", damages.len() - 10));
    }
    if damages.is_empty() { Exit::OK } else { Exit::FINDINGS }
}

pub(crate) fn print(located: &Located, format: Format, out: &mut dyn Write) -> Result<(), AuditorError> {
    match format {
        Format::Text => output::line(out, &show::summary(&located.entry))?,
        Format::Json => output::document(out, &show::document(&located.entry, located.intact))?,
    }
    if !located.intact {
        note(&format!(
            "record {}: its hash is not that of its line; run stockade-audit verify",
            located.entry.seq
        ));
    }
    Ok(())
}

impl Query {
    fn run(self, usual: Option<&Path>, out: &mut dyn Write) -> Result<Exit, AuditorError> {
        let auditor = self.at.open(usual)?;
        let format = self.at.format;
        let question = Question { filter: self.which.into(), reverse: self.reverse, limit: self.limit };
        let answer = auditor.find(&question, &mut |located| {
            if self.count { Ok(()) } else { print(&located, format, out) }
        })?;
        if self.count {
            match format {
                Format::Text => output::line(out, &answer.hits.to_string())?,
                Format::Json => output::document(out, &json!({ "schema": SCHEMA, "count": answer.hits }))?,
            }
        }
        if self.check
            && let Some((by_index, by_log)) = auditor.compare(&question.filter)?
            && by_index != by_log
        {
            let problem = format!("it has {by_index} of the log's {by_log} records that were asked for");
            return Err(match auditor.index() {
                Some(index) => index.discard(problem),
                None => AuditorError::Usage("--check takes an index"),
            });
        }
        Ok(damages(&answer.damages))
    }
}

impl One {
    fn show(self, usual: Option<&Path>, out: &mut dyn Write) -> Result<Exit, AuditorError> {
        let auditor = self.at.open(usual)?;
        let located = auditor.record(self.seq)?;
        match self.at.format {
            Format::Text => {
                for line in show::details(&located.entry, located.intact) {
                    output::line(out, &line)?;
                }
            }
            Format::Json => output::document(out, &show::document(&located.entry, located.intact))?,
        }
        Ok(if located.intact { Exit::OK } else { Exit::FINDINGS })
    }
}

impl Count {
    fn run(self, usual: Option<&Path>, out: &mut dyn Write) -> Result<Exit, AuditorError> {
        // With nothing to look for, an index would only be in the way.
        let lookup = if self.which.is_everything() { Lookup::Scan } else { self.at.lookup() };
        let auditor = Auditor::open(self.at.log(usual)?, &lookup)?;
        auditor.notes.iter().for_each(|text| note(text));
        let mut stats = Stats::by(self.by);
        let filter: Filter = self.which.into();
        let floods = filter.floods();
        let of = |filter: &Filter| Question { filter: filter.clone(), ..Question::default() };
        let answer = if auditor.index().is_some() {
            auditor.find(&of(&floods), &mut |located| {
                stats.flood(&located.entry, &filter);
                Ok(())
            })?;
            auditor.find(&of(&filter), &mut |located| {
                stats.count(&located.entry);
                Ok(())
            })?
        } else {
            // All is read anyway: once is enough.
            auditor.find(&Question::default(), &mut |located| {
                if floods.matches(&located.entry) {
                    stats.flood(&located.entry, &filter);
                }
                if filter.matches(&located.entry) {
                    stats.count(&located.entry);
                }
                Ok(())
            })?
        };
        stats.show(out, self.at.format)?;
        Ok(damages(&answer.damages))
    }
}

impl Export {
    fn run(self, usual: Option<&Path>, out: &mut dyn Write) -> Result<Exit, AuditorError> {
        if self.socket.is_some() && self.to != Target::Journald {
            return Err(AuditorError::Usage("--socket goes with --to journald"));
        }
        let lookup =
            if self.which.is_everything() && !self.reverse { Lookup::Scan } else { self.at.lookup() };
        let auditor = Auditor::open(self.at.log(usual)?, &lookup)?;
        auditor.notes.iter().for_each(|text| note(text));
        let question = Question { filter: self.which.into(), reverse: self.reverse, limit: self.limit };
        let answer = match (&self.socket, &self.output) {
            (Some(path), _) => {
                let journal = Journal::connect(path.as_deref())?;
                auditor.find(&question, &mut |located| journal.send(&located.entry, self.host.as_deref()))?
            }
            (None, Some(path)) => {
                let failed = |source| AuditorError::OutputFile { path: path.clone(), source };
                let mut file = BufWriter::with_capacity(BUFFER, File::create_new(path).map_err(failed)?);
                let answer = write(&auditor, &question, self.to, self.host, &mut file)?;
                file.into_inner()
                    .map_err(io::IntoInnerError::into_error)
                    .and_then(|file| file.sync_all())
                    .map_err(failed)?;
                answer
            }
            (None, None) => write(&auditor, &question, self.to, self.host, out)?,
        };
        Ok(damages(&answer.damages))
    }
}

fn write(
    auditor: &Auditor,
    question: &Question,
    target: Target,
    host: Option<String>,
    out: &mut dyn Write,
) -> Result<Answer, AuditorError> {
    let exporter = Exporter::new(target, host);
    exporter.begin(out)?;
    auditor.find(question, &mut |located| exporter.record(&located, out))
}

impl IndexArgs {
    fn run(self, usual_log: Option<&Path>, out: &mut dyn Write) -> Result<Exit, AuditorError> {
        let log = self.at.log(usual_log)?;
        let source = Source::open(log)?;
        let path = match (&self.at.index, self.at.no_index) {
            (_, true) => return Err(AuditorError::Usage("index and --no-index are two things")),
            (Some(path), false) => path.clone(),
            (None, false) => {
                usual(log).ok_or(AuditorError::Usage("there is no place for an index; name one"))?
            }
        };
        if self.rebuild {
            Index::build(&path, &source)?;
        }
        if self.update {
            Index::open(&path, &source)?;
        }
        if self.check {
            let (index, _) = Index::open(&path, &source)?;
            let found = index.check(&source)?;
            let sound = found.hidden == 0 && found.invented == 0;
            match self.at.format {
                Format::Json => output::document(
                    out,
                    &json!({
                        "schema": SCHEMA, "sound": sound, "records": index.records(), "hidden": found.hidden,
                        "first_hidden": found.first, "invented": found.invented,
                    }),
                )?,
                Format::Text if sound => {
                    output::line(
                        out,
                        &format!(
                            "sound: all {} records are in the index as they are in the log",
                            index.records()
                        ),
                    )?;
                }
                Format::Text => output::line(
                    out,
                    &format!(
                        "NOT SOUND: the index has {} records otherwise than the log{}, and {} that are none; build it anew \
                     with --rebuild",
                        found.hidden,
                        found.first.map(|first| format!(", the first of them {first}")).unwrap_or_default(),
                        found.invented
                    ),
                )?,
            }
            return Ok(if sound { Exit::OK } else { Exit::FINDINGS });
        }
        let status = Index::status(&path, &source)?;
        let place = path.display().to_string();
        let fits = status.as_ref().is_some_and(|status| status.foreign.is_none() && status.behind == 0);
        match (self.at.format, status) {
            (Format::Json, None) => {
                output::document(out, &json!({ "schema": SCHEMA, "path": place, "exists": false }))?;
            }
            (Format::Json, Some(status)) => output::document(
                out,
                &json!({
                    "schema": SCHEMA, "path": place, "exists": true, "log": status.log, "records": status.records,
                    "last": status.last.as_ref().map(|(seq, hash)| format!("{seq}:{hash}")),
                    "bytes_behind": status.behind, "foreign": status.foreign,
                }),
            )?,
            (Format::Text, None) => output::line(out, &format!("{}: there is no index yet", safe(&place)))?,
            (Format::Text, Some(status)) => {
                let state = match (status.foreign, status.behind) {
                    (Some(why), _) => format!("not of this log: {why}; it will be built anew"),
                    (None, 0) => "up to date".to_owned(),
                    (None, bytes) => format!("behind by {bytes} bytes of the log; it will be brought up"),
                };
                output::line(out, &format!("{}: {state}", safe(&place)))?;
                if let Some((seq, hash)) = &status.last {
                    let text = format!("{} records of log {}, to {seq}:{hash}", status.records, status.log);
                    output::line(out, &safe(&text))?;
                }
            }
        }
        Ok(if fits { Exit::OK } else { Exit::FINDINGS })
    }
}
