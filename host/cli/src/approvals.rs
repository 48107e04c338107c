//! `stockade approvals`: who said yes to what. A running host keeps the book itself, and does it in the name of the user
//! who asks; without one this program opens the book of the state folder.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde_json::json;
use stockade_audit::Log;
use stockade_control::{Reply, Request, Running, StateLock, Waiting};
use stockade_host::{
    ApprovalRequest, ApprovalState, ApprovalStatus, Book, BookError, GrantsReport, Word, grants_digest,
    this_person,
};
use stockade_package::Problem;
use stockade_policy::Approvers;

use crate::args::{ApprovalsArguments, ApprovalsCommand, Asking, Deciding};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, date, safe};
use crate::table::Table;
use crate::{audit, control, grants, policy, value};

pub(crate) fn run(arguments: ApprovalsArguments) -> Result<Exit, Failure> {
    match arguments.command {
        ApprovalsCommand::List { all, asking, output } => list(&asking, all, output.format),
        ApprovalsCommand::Show { number, asking, output } => show(&asking, number, output.format),
        ApprovalsCommand::Approve { deciding, period, versions, expect, yes } => {
            approve(&deciding, period.as_deref(), versions, expect.as_deref(), yes)
        }
        ApprovalsCommand::Deny { deciding } => deny(&deciding),
        ApprovalsCommand::Revoke { number, why, asking, output } => {
            let status = change(
                &asking,
                None,
                &Request::Revoke { number, why: why.clone() },
                |book, log, approvers| book.revoke(log, number, &this_person(), &why, approvers),
            )?;
            told(&status, output.format)
        }
    }
}

fn all(asking: &Asking) -> Result<(Vec<ApprovalStatus>, Vec<Waiting>), Failure> {
    let home = Home::find(&asking.places)?;
    if control::host_runs(asking, &home) {
        return match control::ask(asking, &Request::Approvals)? {
            Reply::Approvals(all, waiting) => Ok((all, waiting)),
            _ => Err(control::unexpected()),
        };
    }
    if !home.state.exists() {
        return Ok((Vec::new(), Vec::new()));
    }
    let approvers = policy::read(None, &home.state)?.approvals;
    let book = Book::open(&home.state, &home.audit).map_err(|error| Failure::of(&error))?;
    Ok((book.list(&approvers), Vec::new()))
}

fn list(asking: &Asking, ended: bool, format: Format) -> Result<Exit, Failure> {
    let (mut all, waiting) = all(asking)?;
    let is_open = |state| matches!(state, ApprovalState::Given | ApprovalState::Waiting);
    all.retain(|status| ended || is_open(status.state));
    if format == Format::Json {
        output::document(&json!({ "schema": SCHEMA, "approvals": all, "waiting": waiting }));
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["NUMBER>", "STATE", "PLUGIN", "FOR", "UNTIL", "BY", "SCOPES"]);
    for status in &all {
        let by: Vec<String> = status.words.iter().map(who).collect();
        let until = status.until.map_or("-".to_owned(), date);
        table.row([
            status.number.to_string().as_str(),
            status.state.as_str(),
            &status.plugin,
            &bound(status),
            &until,
            &by.join(", "),
            &status.scopes.join(" "),
        ]);
    }
    table.lines().for_each(|line| output::line(&line));
    control::waiting(&waiting).iter().for_each(|line| output::line(line));
    Ok(Exit::Ok)
}

fn bound(status: &ApprovalStatus) -> String {
    match (&status.component, &status.versions) {
        (Some(digest), _) => format!("sha256:{}", digest.get(..12).unwrap_or(digest)),
        (None, Some(versions)) => versions.clone(),
        (None, None) => "nothing".to_owned(),
    }
}

fn who(word: &Word) -> String {
    word.user.clone().unwrap_or_else(|| format!("uid {}", word.uid))
}

fn show(asking: &Asking, number: u64, format: Format) -> Result<Exit, Failure> {
    let (all, _) = all(asking)?;
    let status = all.iter().find(|status| status.number == number);
    let status = status.ok_or_else(|| Failure::of(&BookError::Unknown { number }))?;
    told(status, format)
}

fn told(status: &ApprovalStatus, format: Format) -> Result<Exit, Failure> {
    if format == Format::Json {
        output::document(&json!({ "schema": SCHEMA, "approval": status }));
        return Ok(Exit::Ok);
    }
    let ApprovalStatus { number, state, plugin, until, lacking, words, scopes, grants_sha256, .. } = status;
    output::line(&format!("approval {number} of {}: {}", safe(plugin), state.as_str()));
    output::line(&format!("  for: {}", safe(&bound(status))));
    if let Some(key) = &status.signed_by {
        output::line(&format!("  signed by: {key}"));
    }
    if let Some(until) = until {
        output::line(&format!("  until: {}", date(*until)));
    }
    scopes.iter().for_each(|scope| output::line(&format!("  + {}", safe(scope))));
    output::line(&format!("  grants sha256:{grants_sha256}"));
    for word in words {
        let (who, why) = (who(word), safe(&word.why));
        output::line(&format!("  {} {} by {}: {why}", date(word.at), word.did, safe(&who)));
    }
    if *state == ApprovalState::Waiting {
        output::note(&format!("note: it takes {lacking} more to approve it before it holds"));
    }
    Ok(Exit::Ok)
}

/// Has the running host do it, or does it in the book of the state folder.
fn change(
    asking: &Asking,
    named: Option<&std::path::Path>,
    request: &Request,
    here: impl FnOnce(&mut Book, &Log, &Approvers) -> Result<ApprovalStatus, BookError>,
) -> Result<ApprovalStatus, Failure> {
    let home = Home::find(&asking.places)?;
    if control::host_runs(asking, &home) {
        let Reply::Approval(status, reloaded) = control::ask(asking, request)? else {
            return Err(control::unexpected());
        };
        match reloaded {
            Ok(_) => output::note("note: the running host has taken it in"),
            Err(problem) => output::note(&format!(
                "note: it is written down, but the running host could not load its plugins anew ({}): {}. Next: {}",
                safe(&problem.code),
                safe(&problem.message),
                safe(&problem.next_step)
            )),
        }
        return Ok(status);
    }
    let approvers = policy::read(named, &home.state)?.approvals;
    // No host starts meanwhile.
    let running = Running::here(home.state.join("control.sock"));
    let _lock = StateLock::take(&home.state, &running).map_err(|error| Failure::of(&error))?;
    let mut book = Book::open(&home.state, &home.audit).map_err(|error| Failure::of(&error))?;
    let log = Log::open(&home.audit).map_err(|error| audit::failed(&error))?;
    here(&mut book, &log, &approvers).map_err(|error| Failure::of(&error))
}

/// What is meant of what the plugin asks for.
fn meant(deciding: &Deciding, report: &GrantsReport) -> Result<Vec<String>, Failure> {
    let asked: Vec<&str> = report.approvable().iter().map(|lacking| lacking.scope.as_str()).collect();
    if let Some(other) = deciding.scopes.iter().find(|scope| !asked.contains(&scope.as_str())) {
        let message =
            format!("the plugin does not ask for {other:?}, or has it already, or can never have it");
        return Err(Failure::usage(
            "not-asked-for",
            "--scope",
            message,
            "`stockade grants show` has what waits for an approval",
        ));
    }
    if asked.is_empty() {
        let message = format!("{} asks for nothing that waits for an approval", report.plugin);
        return Err(Failure::usage(
            "nothing-to-approve",
            "PLUGIN",
            message,
            "`stockade grants show` has what it may do",
        ));
    }
    Ok(match deciding.scopes.is_empty() {
        true => asked.into_iter().map(str::to_owned).collect(),
        false => deciding.scopes.clone(),
    })
}

fn approve(
    deciding: &Deciding,
    period: Option<&str>,
    versions: Option<String>,
    expect: Option<&str>,
    yes: bool,
) -> Result<Exit, Failure> {
    let weighing = &deciding.weighing;
    let report = grants::report(weighing)?;
    let scopes = meant(deciding, &report)?;
    let digest = grants_digest(&scopes);
    if let Some(expected) = expect.filter(|expected| *expected != digest) {
        let error = BookError::Changed { found: digest, expected: expected.to_owned() };
        return Err(Failure::of(&error));
    }
    let component = versions.is_none().then(|| report.component.clone());
    // What others sign under the same name is not what was looked at.
    let signed_by = versions.as_ref().and(report.signed_by.first().copied());
    let seconds =
        period.map(|text| value::duration("--for", text)).transpose()?.as_ref().map(Duration::as_secs);
    let request = ApprovalRequest {
        plugin: report.plugin.clone(),
        component,
        versions,
        signed_by,
        scopes,
        seconds,
        why: deciding.why.clone(),
    };
    if !yes && expect.is_none() && !confirmed(&request, &report)? {
        let message = "nothing was approved".to_owned();
        return Err(Failure::usage(
            "not-confirmed",
            "--yes",
            message,
            "answer yes, or give --yes, or --expect with the digest",
        ));
    }
    let named = weighing.policy.as_deref();
    let status =
        change(&weighing.asking, named, &Request::Approve(request.clone()), |book, log, approvers| {
            book.approve(log, &request, &this_person(), approvers)
        })?;
    told(&status, weighing.output.format)
}

/// Asks whoever sits at the terminal. Without one nobody is asked, and nobody has answered.
fn confirmed(request: &ApprovalRequest, report: &GrantsReport) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        let problem = Problem::new(
            "not-confirmed",
            "--yes",
            "there is no terminal to ask on, and neither --yes nor --expect is given",
            "look at what is asked for (stockade grants show), and give --expect with its digest",
        );
        return Err(Failure::new(Exit::Usage, problem));
    }
    output::note(&format!("{} {} asks for:", safe(&request.plugin), safe(&report.version)));
    for lacking in report.approvable().into_iter().filter(|lacking| request.scopes.contains(&lacking.scope)) {
        output::note(&format!("  + {}", safe(&lacking.scope)));
        if let Some(reason) = &lacking.reason {
            output::note(&format!("      its author says: {}", safe(reason)));
        }
        let scope = lacking.scope.parse().ok();
        if let Some(warning) = scope.as_ref().and_then(grants::warning) {
            output::note(&format!("      do not grant this: {warning}"));
        }
    }
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "Approve exactly this? Type yes: ").and_then(|()| err.flush());
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    Ok(read.is_ok() && answer.trim() == "yes")
}

fn deny(deciding: &Deciding) -> Result<Exit, Failure> {
    let weighing = &deciding.weighing;
    let report = grants::report(weighing)?;
    let request = ApprovalRequest {
        plugin: report.plugin.clone(),
        component: Some(report.component.clone()),
        versions: None,
        signed_by: None,
        scopes: meant(deciding, &report)?,
        seconds: None,
        why: deciding.why.clone(),
    };
    let named = weighing.policy.as_deref();
    let status = change(&weighing.asking, named, &Request::Deny(request.clone()), |book, log, approvers| {
        book.deny(log, &request, &this_person(), approvers)
    })?;
    told(&status, weighing.output.format)
}
