//! A report for people: what is wrong, the line that it is in, what to do; and a line for each plugin.

use stockade_host::CheckState;
use stockade_package::{Finding, MANIFEST_FILE, Severity};

use super::Looked;
use crate::args::PreflightCommand;
use crate::output::{self, safe};

/// Longest part of a line that is shown.
const MAX_LINE: usize = 160;

pub(super) fn tell(looked: &[Looked], all: usize, command: &PreflightCommand) {
    for looked in looked {
        looked.report.findings.iter().for_each(|finding| output::line(&shown(looked, finding)));
        output::line(&verdict(looked, command.strict));
    }
    if let Some(revision) = &command.changed_since {
        let (number, revision) = (looked.len(), safe(revision));
        output::line(&format!(
            "{number} of {all} plugins have changed since {revision}, or depend on what has"
        ));
    }
}

fn shown(looked: &Looked, finding: &Finding) -> String {
    let severity = finding.severity.as_str();
    let problem = &finding.problem;
    let mut text = format!("{severity}[{}]: {}", problem.code, safe(&problem.message));
    let file = looked.found.file();
    let mut place = safe(&file.display().to_string());
    match (looked.position(finding), finding.line, finding.column) {
        (Some((line, column)), ..) => place = format!("{place}:{line}:{column}"),
        (None, Some(line), Some(column)) => place = format!("{place}: {MANIFEST_FILE}:{line}:{column}"),
        _ => {}
    }
    text.push_str(&format!("\n  --> {place}"));
    if !problem.field.is_empty() && problem.field != file.display().to_string() {
        text.push_str(&format!(" ({})", safe(&problem.field)));
    }
    text.push_str(&quoted(looked.manifest.as_deref(), finding).unwrap_or_default());
    text.push_str(&format!("\n  next: {}\n", safe(&problem.next_step)));
    text
}

/// The line of the manifest that is meant, and where in it.
fn quoted(manifest: Option<&str>, finding: &Finding) -> Option<String> {
    let (number, column) = (finding.line?, finding.column?);
    let line = manifest?.lines().nth(number - 1)?;
    // Escaped, a line has other columns.
    let before: String = line.chars().take(column - 1).collect();
    let indent = safe(&before).chars().count();
    if indent >= MAX_LINE {
        return None;
    }
    let line: String = safe(line).chars().take(MAX_LINE).collect();
    let margin = " ".repeat(number.to_string().len());
    Some(format!("\n {margin} |\n {number} | {line}\n {margin} | {}^", " ".repeat(indent)))
}

fn verdict(looked: &Looked, strict: bool) -> String {
    let path = safe(&looked.found.path.display().to_string());
    let name = match &looked.report.identity {
        Some(identity) => format!("{} {} ({path})", safe(&identity.name), identity.version),
        None => path,
    };
    let counted = |severity, one: &str, many: &str| match looked.count(severity) {
        0 => None,
        1 => Some(format!("1 {one}")),
        number => Some(format!("{number} {many}")),
    };
    let counts = [
        counted(Severity::Error, "error", "errors"),
        counted(Severity::Warning, "warning", "warnings"),
        counted(Severity::Note, "note", "notes"),
    ];
    let mut counts = counts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if counts.is_empty() {
        counts = "nothing found".to_owned();
    }
    let verdict = if looked.passes(strict) { "can be installed" } else { "cannot be installed" };
    let not_reached = looked.report.checks.iter().filter(|(_, state)| *state == CheckState::NotReached);
    let not_reached: Vec<_> = not_reached.map(|(check, _)| check.as_str()).collect();
    let rest = match not_reached.is_empty() {
        true => String::new(),
        false => format!("; not looked at yet: {}", not_reached.join(", ")),
    };
    format!("{name} {verdict}: {counts}{rest}")
}
