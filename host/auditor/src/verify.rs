//! `stockade-audit verify`: whether a log is what was once signed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use stockade_audit::{AuditError, Head, Report, Trust, VerifierKey, verify_with};

use crate::output::{Format, SCHEMA, safe};

/// Bytes of a file with checkpoints that is read: what a sink wrote in a year, and more.
const KEPT_MOST: u64 = 512 * 1024 * 1024;
/// Bytes of a file with a key.
const KEY_MOST: u64 = 64 * 1024;

pub(crate) const SOUND: u8 = 0;
pub(crate) const FINDINGS: u8 = 1;
const USAGE: u8 = 2;

/// What to verify, and what to hold it against.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The directory of the log, or one of its files
    #[arg(value_name = "DIR")]
    pub log: PathBuf,
    /// A public key of the log that came from elsewhere: the text of `audit.vkey`, or a file with it
    #[arg(long = "key", value_name = "VKEY|FILE")]
    pub keys: Vec<String>,
    /// A file with checkpoints that were kept elsewhere, one or several
    #[arg(long = "checkpoint", value_name = "FILE")]
    pub checkpoints: Vec<PathBuf>,
    /// A head that was kept elsewhere
    #[arg(long, value_name = "SEQ:HASH")]
    pub head: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Why nothing was verified.
#[derive(Debug)]
pub(crate) struct Unusable {
    /// The argument at fault.
    pub(crate) field: &'static str,
    pub(crate) message: String,
    pub(crate) next_step: String,
}

impl Unusable {
    /// Tells it, and how the program ends.
    pub(crate) fn told(self, format: Format) -> ExitCode {
        let Unusable { field, message, next_step } = self;
        match format {
            Format::Text => eprintln!("error: {field}: {}\nnext step: {}", safe(&message), safe(&next_step)),
            Format::Json => print(
                &json!({ "schema": SCHEMA, "error": { "field": field, "message": message, "next_step": next_step } })
                    .to_string(),
            ),
        }
        ExitCode::from(USAGE)
    }
}

/// Verifies and prints.
pub fn run(arguments: &Arguments) -> ExitCode {
    match check(arguments) {
        Ok((report, with_head)) => {
            match arguments.format {
                Format::Text => print(&verdict(&report, with_head).join("\n")),
                Format::Json => print(&document(&report).to_string()),
            }
            ExitCode::from(if report.is_sound() { SOUND } else { FINDINGS })
        }
        Err(error) => error.told(arguments.format),
    }
}

/// A reader that has gone away is no reason to end otherwise.
pub(crate) fn print(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

fn check(arguments: &Arguments) -> Result<(Report, bool), Unusable> {
    let keys = arguments.keys.iter().map(|key| read_key(key)).collect::<Result<_, _>>()?;
    let checkpoints = arguments
        .checkpoints
        .iter()
        .map(|path| read(path, KEPT_MOST, "--checkpoint"))
        .collect::<Result<_, _>>()?;
    let head = arguments.head.as_deref().map(str::parse::<Head>).transpose();
    let head = head.map_err(|error| unusable("--head", &error))?;
    let with_head = head.is_some() || !arguments.checkpoints.is_empty();
    let trust = Trust { keys, checkpoints, head };
    let report = verify_with(&arguments.log, &trust).map_err(|error| {
        let kept = matches!(error, AuditError::Kept { .. } | AuditError::Note { .. });
        unusable(if kept { "--checkpoint" } else { "DIR" }, &error)
    })?;
    Ok((report, with_head))
}

pub(crate) fn unusable(field: &'static str, error: &AuditError) -> Unusable {
    let mut message = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        message.push_str(&format!(": {cause}"));
    }
    Unusable { field, message, next_step: error.next_step().to_owned() }
}

/// The argument itself, or what is in the file that it names.
pub(crate) fn read_key(argument: &str) -> Result<VerifierKey, Unusable> {
    if let Ok(key) = argument.parse() {
        return Ok(key);
    }
    let path = Path::new(argument);
    if !path.exists() {
        return argument.parse().map_err(|error| unusable("--key", &error));
    }
    read(path, KEY_MOST, "--key")?.trim().parse().map_err(|error| unusable("--key", &error))
}

pub(crate) fn read(path: &Path, most: u64, field: &'static str) -> Result<String, Unusable> {
    let failed = |problem: String| Unusable {
        field,
        message: format!("cannot read {}: {problem}", path.display()),
        next_step: "name a file that was copied from beside the log, or that a sink wrote".to_owned(),
    };
    let size = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > most {
        return Err(failed(format!("it has more than {most} bytes")));
    }
    fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

/// What there is to say of a log that was verified, line by line.
pub fn verdict(report: &Report, with_head: bool) -> Vec<String> {
    let summary = &report.summary;
    let signatures = &report.signatures;
    let mut lines: Vec<String> =
        report.findings.iter().map(|finding| safe(&finding.to_string()).into_owned()).collect();
    let unlisted = report.found - report.findings.len() as u64;
    if unlisted > 0 {
        lines.push(format!("and {unlisted} more"));
    }
    let count =
        |what: &str, number: u64| if number == 0 { String::new() } else { format!(", {number} {what}") };
    lines.push(format!(
        "{}: {} records, {} bytes{}{}{}{}{}",
        if report.is_sound() { "sound" } else { "NOT SOUND" },
        summary.records,
        summary.bytes,
        count("files", if summary.files > 1 { summary.files } else { 0 }),
        count("folded into flood counts", summary.folded),
        count("torn ends set aside", summary.recoveries),
        count("gaps", summary.gaps),
        count("times the clock was set back", summary.clock_set_back),
    ));
    if let Some(removed) = &summary.removed {
        let rule = removed.rule.as_deref().map_or_else(String::new, |rule| format!(" ({})", safe(rule)));
        lines.push(format!("removed by policy: records {} to {}{rule}", removed.first, removed.last));
    }
    match (&signatures.key, signatures.signed) {
        (Some(key), Some(signed)) => {
            let unsigned = summary.head.map_or(0, |head| (head.seq + 1).saturating_sub(signed));
            lines.push(format!(
                "signed: the first {signed} records, by {}+{}{}{}",
                safe(key.name()),
                key.id(),
                count("changes of keys", signatures.key_changes),
                if unsigned == 0 {
                    String::new()
                } else {
                    format!("; {unsigned} after them are not signed yet")
                },
            ));
        }
        _ if signatures.checkpoints == 0 => lines.push("signed: nothing, there is no checkpoint".to_owned()),
        _ => lines.push("signed: nothing that the log still has".to_owned()),
    }
    if !signatures.trusted {
        lines.push(
            "signatures were not checked against a key from elsewhere: give the log's audit.vkey, as it was copied \
             away, with --key"
                .to_owned(),
        );
    }
    if signatures.kept > 0 {
        lines.push(format!("continues {} checkpoints that were kept elsewhere", signatures.kept));
    }
    if signatures.before > 0 {
        lines.push(format!(
            "{} of those that were kept are of records that were removed since",
            signatures.before
        ));
    }
    if let Some(head) = &summary.head {
        lines.push(format!("head: {head}"));
    }
    if report.is_sound() && !with_head {
        lines.push(
            "keep the head elsewhere and give it back with --head, or a checkpoint with --checkpoint: only that \
             shows a log that was cut off together with its checkpoints"
                .to_owned(),
        );
    }
    lines
}

/// The same for programs.
pub fn document(report: &Report) -> Value {
    let summary = &report.summary;
    let signatures = &report.signatures;
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let place =
        |at: &Option<(u64, String)>| at.as_ref().map(|(seq, time)| json!({ "seq": seq, "time": time }));
    let removed = summary
        .removed
        .as_ref()
        .map(|removed| json!({ "first": removed.first, "last": removed.last, "rule": removed.rule }));
    json!({
        "schema": SCHEMA, "sound": report.is_sound(), "found": report.found, "findings": findings,
        "log": summary.log.map(|id| id.to_string()), "files": summary.files, "removed": removed,
        "records": summary.records, "bytes": summary.bytes,
        "first": place(&summary.first), "last": place(&summary.last),
        "head": summary.head.map(|head| head.to_string()),
        "layers": summary.layers, "decisions": summary.decisions, "folded": summary.folded,
        "recoveries": summary.recoveries, "gaps": summary.gaps, "clock_set_back": summary.clock_set_back,
        "closed": summary.closed,
        "signatures": {
            "checkpoints": signatures.checkpoints, "key_from_elsewhere": signatures.trusted,
            "signed": signatures.signed, "key": signatures.key.as_ref().map(ToString::to_string),
            "key_changes": signatures.key_changes, "kept": signatures.kept, "kept_before": signatures.before, "last": signatures.last,
        },
    })
}
