//! Records in other programs' words. Whatever stands in a record, it stays one event, one line, one cell.

mod csv;
mod journald;
mod ocsf;
mod otlp;
mod severity;
mod syslog;

use std::io::Write;

use clap::ValueEnum;
use stockade_audit::Entry;

use crate::error::AuditorError;
use crate::output;
use crate::source::Located;

pub use journald::Journal;

/// What to write records as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// OCSF 1.8.0 events, one a line.
    Ocsf,
    /// The lines of the log, as they stand there.
    Jsonl,
    /// RFC 4180, with a header; no cell is a formula.
    Csv,
    /// RFC 5424, one message a line.
    Syslog,
    /// systemd's Journal Export Format.
    Journald,
    /// OpenTelemetry logs: OTLP in JSON, one `LogsData` a line.
    OtlpJson,
}

/// Writes records as one [`Target`].
pub struct Exporter {
    target: Target,
    /// The name of the machine: the log does not have it.
    host: Option<String>,
}

impl Exporter {
    /// Writes them as `target`, with the machine's name where somebody gave it.
    pub const fn new(target: Target, host: Option<String>) -> Self {
        Self { target, host }
    }

    /// What stands before the first record.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn begin(&self, out: &mut dyn Write) -> Result<(), AuditorError> {
        match self.target {
            Target::Csv => out.write_all(csv::header().as_bytes()).map_err(AuditorError::Output),
            _ => Ok(()),
        }
    }

    /// One record.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn record(&self, located: &Located, out: &mut dyn Write) -> Result<(), AuditorError> {
        let entry = &located.entry;
        let host = self.host.as_deref();
        let text = match self.target {
            Target::Ocsf => return output::document(out, &ocsf::event(entry, host)),
            Target::OtlpJson => return output::document(out, &otlp::logs(entry, host)),
            Target::Jsonl => {
                // The line itself. One with something in it that the log's writer would have escaped was not written by
                // it: then the same value, so that a terminal survives it.
                let line = String::from_utf8_lossy(&located.line);
                return output::line(out, &output::json(&line));
            }
            Target::Csv => csv::row(entry),
            Target::Syslog => syslog::message(entry, host),
            Target::Journald => journald::entry(entry, host),
        };
        out.write_all(text.as_bytes()).map_err(AuditorError::Output)
    }
}

/// What happened, in one line. Hostile parts are not escaped yet.
fn headline(entry: &Entry) -> String {
    let record = &entry.record;
    let mut text = String::new();
    if let Some(plugin) = &record.plugin {
        text.push_str(&plugin.name);
        text.push_str(": ");
    }
    text.push_str(&record.operation);
    if !record.resource.is_empty() {
        text.push(' ');
        text.push_str(&record.resource);
    }
    text.push_str(&format!(" {} by {} ({})", record.decision, record.layer, record.event));
    if !record.reason.is_empty() {
        text.push_str(": ");
        text.push_str(&record.reason);
    }
    text
}

/// The details as one JSON text.
fn detail_text(entry: &Entry) -> String {
    serde_json::to_string(&crate::show::detail(entry)).unwrap_or_default()
}
