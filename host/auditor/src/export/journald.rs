//! systemd's journal: its export format, and its socket.
//! (systemd, `JOURNAL_EXPORT_FORMATS` and `JOURNAL_NATIVE_PROTOCOL`.)

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use stockade_audit::Entry;

use super::severity::Severity;
use super::{detail_text, headline};
use crate::error::AuditorError;
use crate::output::{json, safe};
use crate::when::nanos_of;

/// Where the journal listens.
pub(crate) const SOCKET: &str = "/run/systemd/journal/socket";
/// What records of an audit log have in common, for `journalctl MESSAGE_ID=`.
const MESSAGE_ID: &str = "b1d7c3a2f0e94c55a6c4d18e7f3b9a60";

/// The fields of a record, by name. No value has a newline, so each is one line of the plain form.
fn fields(entry: &Entry, host: Option<&str>) -> Vec<(&'static str, String)> {
    let record = &entry.record;
    let mut fields = vec![
        ("MESSAGE", safe(&headline(entry)).into_owned()),
        ("MESSAGE_ID", MESSAGE_ID.to_owned()),
        ("PRIORITY", Severity::of(entry).syslog().to_string()),
        ("SYSLOG_IDENTIFIER", "stockade".to_owned()),
        ("SYSLOG_FACILITY", "13".to_owned()),
        ("STOCKADE_SEQ", entry.seq.to_string()),
        ("STOCKADE_TIME", safe(&entry.time).into_owned()),
        ("STOCKADE_LAYER", record.layer.as_str().to_owned()),
        ("STOCKADE_EVIDENCE", record.layer.evidence().as_str().to_owned()),
        ("STOCKADE_DECISION", record.decision.as_str().to_owned()),
        ("STOCKADE_DETAIL", json(&detail_text(entry)).into_owned()),
        ("STOCKADE_HASH", entry.hash.to_string()),
    ];
    let mut text = |name, text: Option<&str>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            fields.push((name, safe(text).into_owned()));
        }
    };
    let plugin = record.plugin.as_deref();
    text("STOCKADE_HOST", host);
    text("STOCKADE_PLUGIN", plugin.map(|plugin| plugin.name.as_str()));
    text("STOCKADE_PLUGIN_VERSION", plugin.map(|plugin| plugin.version.as_str()));
    text("STOCKADE_PLUGIN_DIGEST", plugin.map(|plugin| plugin.digest.as_str()));
    text("STOCKADE_PLUGIN_TYPE", plugin.map(|plugin| plugin.kind.as_str()));
    text("STOCKADE_LAUNCH", record.launch.as_deref());
    text("STOCKADE_CALL", record.call.map(|call| call.to_string()).as_deref());
    text("STOCKADE_EVENT", Some(&record.event));
    text("STOCKADE_OPERATION", Some(&record.operation));
    text("STOCKADE_RESOURCE", Some(&record.resource));
    text("STOCKADE_RULE", record.rule.as_ref().map(|rule| rule.id.as_ref()));
    text("STOCKADE_RULE_SOURCE", record.rule.as_ref().map(|rule| rule.source.as_ref()));
    text("STOCKADE_REASON", Some(&record.reason));
    text("STOCKADE_NEXT_STEP", Some(&record.next_step));
    fields
}

/// A record in the export format, with the empty line that ends it.
pub(super) fn entry(entry: &Entry, host: Option<&str>) -> String {
    let micros = nanos_of(&entry.time).unwrap_or_default() / 1000;
    let mut text = format!(
        "__CURSOR=stockade;s={:x};h={}\n__REALTIME_TIMESTAMP={micros}\n__MONOTONIC_TIMESTAMP={}\n",
        entry.seq,
        entry.hash,
        entry.monotonic / 1000
    );
    let boot: String = entry.boot.chars().filter(char::is_ascii_hexdigit).collect();
    if boot.len() == 32 {
        text.push_str(&format!("_BOOT_ID={boot}\n"));
    }
    text.push_str(&lines(entry, host));
    text.push('\n');
    text
}

fn lines(entry: &Entry, host: Option<&str>) -> String {
    fields(entry, host).into_iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// The local journal.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// Opens the journal's socket.
    ///
    /// # Errors
    ///
    /// There is none, or this user may not write to it.
    pub fn connect(path: Option<&Path>) -> Result<Self, AuditorError> {
        let path = path.unwrap_or(Path::new(SOCKET)).to_owned();
        let socket = UnixDatagram::unbound().and_then(|socket| socket.connect(&path).map(|()| socket));
        match socket {
            Ok(socket) => Ok(Self { socket, path }),
            Err(source) => Err(AuditorError::File { step: "connect to", path, source }),
        }
    }

    /// Sends one record: one datagram. A record with all of its bounds reached is shorter than a datagram can be.
    ///
    /// # Errors
    ///
    /// The journal does not take it.
    pub fn send(&self, entry: &Entry, host: Option<&str>) -> Result<(), AuditorError> {
        let journal = |source| AuditorError::Journal { path: self.path.clone(), seq: entry.seq, source };
        self.socket.send(lines(entry, host).as_bytes()).map(drop).map_err(journal)
    }
}
