//! `stockade doctor`: what is there, what is missing, what it costs, how to get it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};
use serde_json::json;
use stockade_control::Running;
use stockade_host::install::Examination;
use stockade_host::support::{Finding, State, Support};
use stockade_package::{Problem, Severity};

use crate::args::Doctor;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, safe};
use crate::{install, programs};

pub(crate) fn run(arguments: &Doctor) -> Result<Exit, Failure> {
    let home = Home::find(&arguments.places)?;
    let mut findings = Support::probe().findings();
    findings.extend(programs::findings(&programs_folder(arguments)));
    findings.push(folder("state", &home.state));
    findings.push(folder("audit-log", &home.audit));
    findings.push(running(&home));
    let usable = findings.iter().all(|finding| finding.state != State::Missing);
    let (list, plugins) = install::findings(&home, arguments.policy.as_deref())?;
    let least = if arguments.strict { Severity::Warning } else { Severity::Error };
    let of_plugins = plugins.iter().flat_map(|plugin| &plugin.problems);
    let ill = !list.is_empty() || of_plugins.clone().any(|(severity, _)| *severity >= least);
    match arguments.output.format {
        Format::Json => {
            let problems = |examined: &Examination| -> Vec<_> {
                let one = |(severity, problem): &(Severity, Problem)| json!({ "severity": severity, "problem": problem });
                examined.problems.iter().map(one).collect()
            };
            let plugins: Vec<_> = plugins
                .iter()
                .map(|one| json!({ "plugin": one.plugin, "version": one.version, "problems": problems(one) }))
                .collect();
            output::document(&json!({
                "schema": SCHEMA, "usable": usable, "checks": findings, "inventory": list, "plugins": plugins,
            }));
        }
        Format::Text => {
            findings.iter().for_each(|finding| output::line(&text(finding)));
            list.iter().for_each(|problem| output::line(&told("error", problem)));
            for examined in &plugins {
                let state = if examined.problems.is_empty() { ": nothing is wrong" } else { "" };
                output::line(&format!(
                    "plugin    {} {}{state}",
                    safe(&examined.plugin),
                    safe(&examined.version)
                ));
                for (severity, problem) in &examined.problems {
                    output::line(&told(severity.as_str(), problem));
                }
            }
            output::line(if usable {
                "plugins can be confined here"
            } else {
                "plugins cannot be confined here: get what is missing first"
            });
        }
    }
    Ok(match (usable, ill) {
        (false, _) => Exit::UnsupportedHost,
        (true, true) => Exit::BadPlugin,
        (true, false) => Exit::Ok,
    })
}

/// What is wrong with a plugin.
fn told(word: &str, problem: &Problem) -> String {
    let (message, next) = (safe(&problem.message), safe(&problem.next_step));
    format!("          {word}[{}]: {message}\n          next: {next}", problem.code)
}

/// Which host uses the state folder: it goes on while this looks.
fn running(home: &Home) -> Finding {
    let found = match Running::find(&home.state) {
        Ok(Some(running)) => {
            format!("pid {}, version {}, {}", running.pid, running.version, running.socket.display())
        }
        Ok(None) => "none".to_owned(),
        Err(error) => format!("cannot be seen: {error}"),
    };
    Finding { name: "running-host", state: State::Ok, found, cost: "", next_step: "" }
}

/// Where the confined programs are.
pub(crate) fn programs_folder(arguments: &Doctor) -> PathBuf {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.to_owned());
    arguments.programs.clone().or_else(beside).unwrap_or_default()
}

fn text(finding: &Finding) -> String {
    let state = match finding.state {
        State::Ok => "ok      ",
        State::Degraded => "degraded",
        State::Missing => "MISSING ",
    };
    let mut text = format!("{state}  {:<16}{}", finding.name, safe(&finding.found));
    if finding.state != State::Ok {
        text.push_str(&format!("\n          cost: {}\n          next: {}", finding.cost, finding.next_step));
    }
    text
}

/// Whether a folder is one that only this user can change, or can be made.
fn folder(name: &'static str, path: &Path) -> Finding {
    let finding = |state, found: &str, cost, next_step| Finding {
        name,
        state,
        found: format!("{}: {found}", path.display()),
        cost,
        next_step,
    };
    const COST: &str = "the host does not start: what it keeps there, nobody else may touch";
    let missing = |found: &str, next_step| finding(State::Missing, found, COST, next_step);
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => missing("not a folder", "name another one"),
        Ok(metadata) if metadata.uid() != geteuid().as_raw() => {
            missing("belongs to another user", "name a folder of your own with --state or --audit")
        }
        Ok(metadata) if metadata.mode() & 0o022 != 0 => {
            missing("others can write to it", "chmod go-w the folder")
        }
        Ok(_) if access(path, AccessFlags::W_OK).is_err() => missing("not writable", "make it writable"),
        Ok(_) => finding(State::Ok, "private and writable", "", ""),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.ancestors().skip(1).find(|parent| parent.exists());
            let parent = parent.filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            match access(parent, AccessFlags::W_OK) {
                Ok(()) => finding(State::Ok, "will be made at the first run", "", ""),
                Err(_) => missing("cannot be made", "name another folder with --state or --audit"),
            }
        }
        Err(_) => missing("cannot be looked at", "name another folder with --state or --audit"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn folders_must_be_folders_that_only_we_can_change() {
        let here = tempfile::tempdir().expect("a folder");
        assert_eq!(folder("state", here.path()).state, State::Ok);
        assert_eq!(folder("state", &here.path().join("a/b")).state, State::Ok);
        let file = here.path().join("file");
        fs::write(&file, "").expect("written");
        assert_eq!(folder("state", &file).state, State::Missing);
        fs::set_permissions(here.path(), fs::Permissions::from_mode(0o777)).expect("changed");
        assert_eq!(folder("state", here.path()).state, State::Missing);
    }

    #[test]
    fn a_good_finding_takes_one_line_and_a_bad_one_says_what_to_do() {
        let finding = |state| Finding { name: "memfd", state, found: "x".into(), cost: "c", next_step: "n" };
        assert_eq!(text(&finding(State::Ok)), "ok        memfd           x");
        let bad = text(&finding(State::Missing));
        assert!(bad.starts_with("MISSING") && bad.ends_with("cost: c\n          next: n"), "{bad}");
    }
}
