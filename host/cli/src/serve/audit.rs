//! How a running host keeps its audit log, as its file says it.

use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::Group;
use serde::Deserialize;
use stockade_audit::{CommandSink, FileSink, Options};
use stockade_host::HostBuilder;

use crate::failure::Failure;
use crate::value;

/// How long a command has for one checkpoint. The next one comes all the same.
const COMMAND: Duration = Duration::from_secs(30);

/// `[audit]` in the host's file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuditFile {
    /// A checkpoint is signed after so many records.
    checkpoint_records: Option<u64>,
    /// And after so much time in which there was one.
    checkpoint_every: Option<String>,
    /// Each checkpoint is added to these files.
    pub(super) files: Vec<PathBuf>,
    /// Each goes to the standard input of these commands.
    commands: Vec<Vec<String>>,
    /// Each is sent to these addresses.
    urls: Vec<String>,
    /// A file of the log is closed at this size.
    segment_size: Option<String>,
    /// Whether closed files are compressed.
    compress: Option<bool>,
    /// Closed files beyond these are removed, the oldest first.
    keep_segments: Option<u64>,
    keep_size: Option<String>,
    keep: Option<String>,
    /// The group that may read the log, by name or number.
    group: Option<String>,
}

impl AuditFile {
    /// As the host takes it.
    pub(crate) fn apply(&self, builder: HostBuilder) -> Result<HostBuilder, Failure> {
        let duration = |name: &str, text: &Option<String>| {
            text.as_deref().map(|text| value::duration(name, text)).transpose()
        };
        let size = |name: &str, text: &Option<String>| {
            text.as_deref().map(|text| value::size(name, text)).transpose()
        };
        let mut options = Options::default();
        let checkpoints = &mut options.checkpoints;
        checkpoints.records = self.checkpoint_records.unwrap_or(checkpoints.records).max(1);
        checkpoints.interval =
            duration("audit.checkpoint_every", &self.checkpoint_every)?.unwrap_or(checkpoints.interval);
        let segments = &mut options.segments;
        segments.bytes = size("audit.segment_size", &self.segment_size)?.unwrap_or(segments.bytes);
        segments.compress = self.compress.unwrap_or(segments.compress);
        options.retention.segments = self.keep_segments;
        options.retention.bytes = size("audit.keep_size", &self.keep_size)?;
        options.retention.age = duration("audit.keep", &self.keep)?;
        options.readers = self.group.as_deref().map(group).transpose()?;
        for file in &self.files {
            options.sinks.push(Box::new(FileSink::new(file)));
        }
        for command in &self.commands {
            if command.is_empty() {
                return Err(Failure::usage(
                    "bad-command",
                    "audit.commands",
                    "a command without a program".to_owned(),
                    "write it as [\"PROGRAM\", \"ARGUMENT\"]",
                ));
            }
            options.sinks.push(Box::new(CommandSink::new(command.clone(), COMMAND)));
        }
        let builder = builder.audit_options(options);
        Ok(self.urls.iter().fold(builder, |builder, url| builder.checkpoint_url(url)))
    }
}

/// The number of a group.
fn group(name: &str) -> Result<u32, Failure> {
    let found = match name.parse() {
        Ok(number) => Some(number),
        Err(_) => Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw()),
    };
    found.ok_or_else(|| {
        Failure::usage(
            "unknown-group",
            "audit.group",
            format!("there is no group {name}"),
            "make it (groupadd), or name another, or give its number",
        )
    })
}
