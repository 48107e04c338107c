//! What can be asked, as the command line has it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use stockade_audit::{Decision, Layer};
use time::OffsetDateTime;

use crate::auditor::{Auditor, Lookup};
use crate::command::note;
use crate::error::AuditorError;
use crate::export::Target;
use crate::filter::{Filter, Pattern, decision, layer};
use crate::output::Format;
use crate::stats::By;
use crate::when::{FORMS, When};

/// Questions to a log.
#[derive(Debug, Subcommand)]
pub enum Read {
    /// Show the last records, and those that come.
    Tail(Tail),
    /// Show the records that fit.
    Query(Query),
    /// Show one record with everything that it says.
    Show(One),
    /// Tell the story of one record in plain words.
    Explain(One),
    /// Count records by plugin, layer, operation and decision; floods exactly.
    Stats(Count),
    /// Write records for another program.
    Export(Export),
    /// Say how far the index is, and whether it is one of this log.
    Index(IndexArgs),
}

/// Which log, and which index.
#[derive(Clone, Debug, Args)]
pub struct At {
    /// The log's folder, or one of its files [default: audit in the state folder].
    #[arg(long, value_name = "PATH")]
    pub audit: Option<PathBuf>,
    /// The index [default: beside the log where this user can write, otherwise in the cache folder].
    #[arg(long, value_name = "PATH", conflicts_with = "no_index")]
    pub index: Option<PathBuf>,
    /// Read all of the log instead.
    #[arg(long)]
    pub no_index: bool,
    /// For people, or JSON documents for programs, one a line.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Which records. Texts match exactly; a last `*` stands for any ending.
#[derive(Clone, Debug, Default, Args)]
pub struct Which {
    /// Not before: 2026-11-28, 2026-11-28T10:00Z, or so long ago: 90s, 15m, 2h, 7d.
    #[arg(long, value_name = "TIME", value_parser = when)]
    pub since: Option<When>,
    /// Before, likewise.
    #[arg(long, value_name = "TIME", value_parser = when)]
    pub until: Option<When>,
    /// The plugin's name, which it chooses itself.
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<Pattern>,
    /// SHA-256 of the plugin's component.
    #[arg(long, value_name = "SHA256")]
    pub digest: Option<Pattern>,
    /// Any of these layers.
    #[arg(long, value_name = "LAYER", value_delimiter = ',', value_parser = layer)]
    pub layer: Vec<Layer>,
    /// The event.
    #[arg(long, value_name = "EVENT")]
    pub event: Option<Pattern>,
    /// What was tried: `fs.read`, `http`, a system call.
    #[arg(long, value_name = "OPERATION")]
    pub operation: Option<Pattern>,
    /// On what.
    #[arg(long, value_name = "RESOURCE")]
    pub resource: Option<Pattern>,
    /// Any of: allowed, denied, killed, noted.
    #[arg(long, value_name = "DECISION", value_delimiter = ',', value_parser = decision)]
    pub decision: Vec<Decision>,
    /// The id of the rule that decided.
    #[arg(long, value_name = "RULE")]
    pub rule: Option<Pattern>,
    /// The launch.
    #[arg(long, value_name = "LAUNCH")]
    pub launch: Option<String>,
    /// The call within a launch.
    #[arg(long, value_name = "CALL")]
    pub call: Option<u64>,
    /// A call with all that came of it, in other plugins too.
    #[arg(long, value_name = "TRACE")]
    pub trace: Option<String>,
}

/// `tail`.
#[derive(Debug, Args)]
pub struct Tail {
    /// How many.
    #[arg(short = 'n', long = "records", value_name = "N", default_value_t = 20)]
    pub records: usize,
    /// Go on with what comes, until interrupted.
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// Write records as another program takes them.
    #[arg(long, value_enum, value_name = "TARGET")]
    pub to: Option<Target>,
    /// Give them to this program's standard input. It is started once and not by a shell; its end is this one's.
    #[arg(long, value_name = "COMMAND", requires = "to", requires = "follow")]
    pub command: Option<String>,
    /// The machine's name, which the log does not have.
    #[arg(long, value_name = "NAME", requires = "to")]
    pub host: Option<String>,
    /// Which.
    #[command(flatten)]
    pub which: Which,
    /// Where.
    #[command(flatten)]
    pub at: At,
}

/// `query`.
#[derive(Debug, Args)]
pub struct Query {
    /// Which.
    #[command(flatten)]
    pub which: Which,
    /// At most so many.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// The latest first.
    #[arg(long)]
    pub reverse: bool,
    /// Only say how many there are.
    #[arg(long, conflicts_with_all = ["limit", "reverse"])]
    pub count: bool,
    /// Read all of the log besides, and say whether the index hides any of them.
    #[arg(long, conflicts_with_all = ["limit", "no_index"])]
    pub check: bool,
    /// Where.
    #[command(flatten)]
    pub at: At,
}

/// `show` and `explain`.
#[derive(Debug, Args)]
pub struct One {
    /// The record's number.
    pub seq: u64,
    /// Where.
    #[command(flatten)]
    pub at: At,
}

/// `stats`.
#[derive(Debug, Args)]
pub struct Count {
    /// In buckets of time.
    #[arg(long, value_enum)]
    pub by: Option<By>,
    /// Which.
    #[command(flatten)]
    pub which: Which,
    /// Where.
    #[command(flatten)]
    pub at: At,
}

/// `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// As what.
    #[arg(long, value_enum, value_name = "TARGET")]
    pub to: Target,
    /// Into this file, which is not there yet, instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Into the local journal, by its socket [default: /run/systemd/journal/socket].
    #[arg(long, value_name = "PATH", num_args = 0..=1, conflicts_with = "output")]
    pub socket: Option<Option<PathBuf>>,
    /// The machine's name, which the log does not have.
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// The latest first.
    #[arg(long)]
    pub reverse: bool,
    /// Which.
    #[command(flatten)]
    pub which: Which,
    /// Where.
    #[command(flatten)]
    pub at: At,
}

/// `index`.
#[derive(Debug, Args)]
pub struct IndexArgs {
    /// Bring it up to where the log is, or build it where there is none.
    #[arg(long, conflicts_with_all = ["rebuild", "check"])]
    pub update: bool,
    /// Build it anew.
    #[arg(long, conflicts_with = "check")]
    pub rebuild: bool,
    /// Read all of the log, and compare every record with what the index has of it.
    #[arg(long)]
    pub check: bool,
    /// Where.
    #[command(flatten)]
    pub at: At,
}

fn when(text: &str) -> Result<When, String> {
    When::parse(text, OffsetDateTime::now_utc()).ok_or_else(|| FORMS.to_owned())
}

impl At {
    pub(crate) fn log<'a>(&'a self, usual: Option<&'a Path>) -> Result<&'a Path, AuditorError> {
        self.audit.as_deref().or(usual).ok_or(AuditorError::NoHome)
    }

    pub(crate) fn lookup(&self) -> Lookup {
        match (&self.index, self.no_index) {
            (_, true) => Lookup::Scan,
            (Some(path), false) => Lookup::At(path.clone()),
            (None, false) => Lookup::Usual,
        }
    }

    pub(crate) fn open(&self, usual: Option<&Path>) -> Result<Auditor, AuditorError> {
        let auditor = Auditor::open(self.log(usual)?, &self.lookup())?;
        auditor.notes.iter().for_each(|text| note(text));
        Ok(auditor)
    }
}

impl From<Which> for Filter {
    fn from(which: Which) -> Self {
        Self {
            since: which.since,
            until: which.until,
            plugin: which.plugin,
            digest: which.digest,
            layers: which.layer,
            event: which.event,
            operation: which.operation,
            resource: which.resource,
            decisions: which.decision,
            rule: which.rule,
            launch: which.launch,
            call: which.call,
            trace: which.trace,
        }
    }
}

impl Which {
    pub(crate) fn is_everything(&self) -> bool {
        let Self { since, until, plugin, digest, layer, event, operation, resource, decision, rule, .. } =
            self;
        let texts = [plugin, digest, event, operation, resource, rule];
        since.is_none()
            && until.is_none()
            && texts.iter().all(|text| text.is_none())
            && layer.is_empty()
            && decision.is_empty()
            && self.launch.is_none()
            && self.call.is_none()
            && self.trace.is_none()
    }
}
