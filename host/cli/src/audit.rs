//! `stockade audit`: what the log says, and whether it can be believed.

use serde_json::json;
use stockade_audit::{AuditError, Head, Log};
use stockade_auditor::{Exit as Answered, Read, verify};
use stockade_control::{Reply, Request};
use stockade_package::{Problem, chain};

use crate::args::{Asking, Audit, AuditCommand, Places, Reading};
use crate::control;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA};

pub(crate) fn run(arguments: Audit) -> Result<Exit, Failure> {
    match arguments.command {
        AuditCommand::Tail(reading) => read(*reading, Read::Tail),
        AuditCommand::Query(reading) => read(*reading, Read::Query),
        AuditCommand::Show(reading) => read(*reading, Read::Show),
        AuditCommand::Explain(reading) => read(*reading, Read::Explain),
        AuditCommand::Stats(reading) => read(*reading, Read::Stats),
        AuditCommand::Export(reading) => read(*reading, Read::Export),
        AuditCommand::Index(reading) => read(*reading, Read::Index),
        AuditCommand::ChangeKey { asking, output } => change_key(&asking, output.format),
        AuditCommand::Verify { head, places, output } => check(&places, head.as_deref(), output.format),
    }
}

/// Has the auditor's library answer, about this machine's log if none is named.
fn read<T: clap::Args>(reading: Reading<T>, question: impl FnOnce(T) -> Read) -> Result<Exit, Failure> {
    let home = Home::find(&Places { state: reading.state, audit: None })?;
    match question(reading.of).run(Some(&home.audit)) {
        Ok(Answered::OK) => Ok(Exit::Ok),
        Ok(_) => Ok(Exit::Audit),
        Err(error) => {
            let exit = match error.exit() {
                Answered::USAGE => Exit::Usage,
                _ => Exit::Audit,
            };
            let problem = Problem::new(error.code(), error.field(), chain(&error), error.next_step());
            Err(Failure::new(exit, problem))
        }
    }
}

pub(crate) fn failed(error: &AuditError) -> Failure {
    let mut message = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        message.push_str(&format!(": {cause}"));
    }
    let (code, exit) = match error {
        AuditError::Head(_) => ("bad-head", Exit::Usage),
        AuditError::Unsound { .. } => ("audit-unsound", Exit::Audit),
        _ => ("audit-log", Exit::Audit),
    };
    let problem =
        Problem { code, field: "--audit".to_owned(), message, next_step: error.next_step().to_owned() };
    Failure::new(exit, problem)
}

fn change_key(asking: &Asking, format: Format) -> Result<Exit, Failure> {
    let home = Home::find(&asking.places)?;
    let key = if control::host_runs(asking, &home) {
        match control::ask(asking, &Request::ChangeAuditKey)? {
            Reply::AuditKey(key) => key,
            _ => return Err(control::unexpected()),
        }
    } else {
        let log = Log::open(&home.audit).map_err(|error| failed(&error))?;
        log.change_key().map_err(|error| failed(&error))?.to_string()
    };
    match format {
        Format::Json => output::document(&json!({ "schema": SCHEMA, "key": key })),
        Format::Text => {
            output::line(&key);
            output::note(
                "note: the log has it as a record, and the key before it has signed it; give auditors this one too",
            );
        }
    }
    Ok(Exit::Ok)
}

fn check(places: &Places, head: Option<&str>, format: Format) -> Result<Exit, Failure> {
    let head: Option<Head> = head.map(str::parse).transpose().map_err(|error: AuditError| {
        let mut failure = failed(&error);
        failure.problem.field = "--head".to_owned();
        failure
    })?;
    let path = Home::find(places)?.audit;
    let report = stockade_audit::verify(&path, head.as_ref()).map_err(|error| failed(&error))?;
    match format {
        Format::Text => verify::verdict(&report, head.is_some()).iter().for_each(|line| output::line(line)),
        Format::Json => output::document(&verify::document(&report)),
    }
    Ok(if report.is_sound() { Exit::Ok } else { Exit::Audit })
}

#[cfg(test)]
mod tests {
    use stockade_audit::{Decision, Layer, Log, Plugin, Record};

    use super::*;

    fn log() -> (tempfile::TempDir, Places) {
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places { state: Some(folder.path().to_owned()), audit: None };
        let log = Log::open(folder.path().join("audit")).expect("a log");
        let plugin = Plugin::new("local/a\u{1b}[2J", "1.0.0", "00", "node").shared();
        let record = Record::new(Layer::Host, "refused", Decision::Denied).plugin(&plugin);
        let record = record.operation("fs.read").resource("/etc/\u{202e}x").reason("no grant");
        log.append(&record.rule("default-deny:fs.read", "built-in").detail("count", 3_u64))
            .expect("appended");
        log.close().expect("closed");
        (folder, places)
    }

    #[test]
    fn a_sound_log_and_a_head_that_is_none() {
        let (_folder, places) = log();
        assert_eq!(check(&places, None, Format::Text).expect("checked"), Exit::Ok);
        let failure = check(&places, Some("7:x"), Format::Text).expect_err("none");
        assert_eq!((failure.problem.code, failure.exit), ("bad-head", Exit::Usage));
    }

    #[test]
    fn a_changed_byte_and_a_foreign_head_end_as_audit_problems() {
        let (folder, places) = log();
        let foreign = format!("1:{}", "0".repeat(64));
        assert_eq!(check(&places, Some(&foreign), Format::Json).expect("checked"), Exit::Audit);
        let file = folder.path().join("audit/audit.jsonl");
        let text = std::fs::read_to_string(&file).expect("text").replace("no grant", "no grunt");
        std::fs::write(&file, text).expect("written");
        assert_eq!(check(&places, None, Format::Text).expect("checked"), Exit::Audit);
    }

    #[test]
    fn no_log_at_all_is_an_audit_problem() {
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places { state: Some(folder.path().to_owned()), audit: None };
        assert_eq!(check(&places, None, Format::Text).expect_err("none").exit, Exit::Audit);
    }
}
