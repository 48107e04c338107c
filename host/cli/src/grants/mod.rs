//! `stockade grants`: what a plugin may do, and why.

pub(crate) mod exposure;
mod suggest;

pub(crate) use suggest::warning;

use std::path::{Path, PathBuf};

use serde_json::json;
use stockade_control::{Reply, Request};
use stockade_host::{Book, Granted, GrantsReport, Lacking, Weighed, grants_digest};
use stockade_policy::{Unresolved, is_plugin_name};

use crate::args::{Asking, GrantsArguments, GrantsCommand, Setup, Weighing};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, safe};
use crate::table::Table;
use crate::{control, policy, setup};

pub(crate) fn run(arguments: GrantsArguments) -> Result<Exit, Failure> {
    match arguments.command {
        GrantsCommand::Show { weighing } => show(&weighing),
        GrantsCommand::Diff { one, other, policy, asking, output } => {
            let side = |plugin: &Path| side(plugin, policy.as_deref(), &asking);
            diff(&side(&one)?, &side(&other)?, output.format)
        }
        GrantsCommand::Suggest { plugin, observed, asking, output } => {
            suggest::run(&plugin, observed, &Home::find(&asking.places)?, output.format)
        }
    }
}

/// What is wrong with a wish that was not granted.
pub(crate) fn why(unresolved: &Unresolved) -> String {
    match unresolved {
        Unresolved::NeedsApproval { by, .. } => format!("it needs an approval ({by})"),
        Unresolved::AboveCeiling { by, .. } => format!("it is above the ceiling ({by})"),
        Unresolved::TooMany { ceiling, by, .. } => format!("it is one too many of {ceiling} ({by})"),
        Unresolved::Forbidden { rule, .. } => format!("it is forbidden ({rule})"),
    }
}

/// Weighs a plugin by the documents of this machine. Loads nothing.
pub(crate) fn weighed(weighing: &Weighing) -> Result<Weighed, Failure> {
    weighed_by(&weighing.setup, weighing.policy.as_deref(), &weighing.asking)
}

fn weighed_by(setup: &Setup, named: Option<&Path>, asking: &Asking) -> Result<Weighed, Failure> {
    let home = Home::find(&asking.places)?;
    let request = setup::request(setup, &home)?;
    let policy = policy::read(named, &home.state)?;
    // A state folder that is not there has no approvals, and is not made for this.
    if !home.state.exists() {
        return Ok(request.weigh(&policy, &[], 0));
    }
    let book = Book::open(&home.state, &home.audit).map_err(|error| Failure::of(&error))?;
    Ok(request.weigh(&policy, &book.standing(), book.now()))
}

/// The report of a plugin: of one that a running host has, where it is named and there is no such path.
pub(crate) fn report(weighing: &Weighing) -> Result<GrantsReport, Failure> {
    match running(&weighing.setup.plugin, &weighing.asking)? {
        Some(report) => Ok(report),
        None => weighed(weighing).map(|weighed| GrantsReport::of(&weighed)),
    }
}

/// The report of a plugin that a running host has.
pub(crate) fn running(plugin: &Path, asking: &Asking) -> Result<Option<GrantsReport>, Failure> {
    let Some(name) = plugin.to_str().filter(|name| is_plugin_name(name) && !plugin.exists()) else {
        return Ok(None);
    };
    if !control::host_runs(asking, &Home::find(&asking.places)?) {
        return Ok(None);
    }
    match control::ask(asking, &Request::Grants { plugin: name.to_owned() })? {
        Reply::Grants(report) => Ok(Some(report)),
        _ => Err(control::unexpected()),
    }
}

/// One side of a comparison.
fn side(plugin: &Path, policy: Option<&Path>, asking: &Asking) -> Result<GrantsReport, Failure> {
    if let Some(report) = running(plugin, asking)? {
        return Ok(report);
    }
    let setup = Setup { plugin: PathBuf::from(plugin), ..Setup::default() };
    weighed_by(&setup, policy, asking).map(|weighed| GrantsReport::of(&weighed))
}

/// The digest of what waits for an approval, for whoever approves it.
pub(crate) fn asked_digest(report: &GrantsReport) -> Option<String> {
    let asked = report.approvable();
    (!asked.is_empty()).then(|| grants_digest(asked.iter().map(|lacking| &lacking.scope)))
}

fn show(weighing: &Weighing) -> Result<Exit, Failure> {
    let report = report(weighing)?;
    if weighing.output.format == Format::Json {
        let asked = asked_digest(&report);
        output::document(&json!({ "schema": SCHEMA, "grants": report, "asked_sha256": asked }));
        return Ok(Exit::Ok);
    }
    table(&report).lines().for_each(|line| output::line(&line));
    for Lacking { scope, reason, .. } in &report.lacking {
        let reason = reason.as_deref().unwrap_or("its manifest does not say");
        output::line(&format!("{} is asked for because: {}", safe(scope), safe(reason)));
    }
    if let Some(digest) = asked_digest(&report) {
        output::note(&format!("note: what waits for an approval has the digest {digest}"));
        let plugin = safe(&weighing.setup.plugin.display().to_string());
        output::note(&format!("next: stockade approvals approve {plugin} --why TEXT --expect {digest}"));
    }
    Ok(Exit::Ok)
}

/// What a plugin may do and may not, a line each.
pub(crate) fn table(report: &GrantsReport) -> Table {
    let mut table = Table::new(&["", "SCOPE", "BY"]);
    for Granted { scope, by } in &report.granted {
        table.row(["may", scope, by]);
    }
    for Granted { scope, by } in &report.forbidden {
        table.row(["may not", scope, by]);
    }
    for Lacking { scope, approvable, by, .. } in &report.lacking {
        table.row([if *approvable { "waits" } else { "never" }, scope, by]);
    }
    table
}

fn diff(one: &GrantsReport, other: &GrantsReport, format: Format) -> Result<Exit, Failure> {
    let lines = |report: &GrantsReport| {
        let granted = report.granted.iter().map(|granted| ("may", granted.scope.clone()));
        let forbidden = report.forbidden.iter().map(|granted| ("may not", granted.scope.clone()));
        let lacking = report.lacking.iter().map(|lacking| ("asks for", lacking.scope.clone()));
        granted.chain(forbidden).chain(lacking).collect::<Vec<_>>()
    };
    let (before, after) = (lines(one), lines(other));
    let removed: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let added: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    match format {
        Format::Json => {
            let of = |lines: &[&(&str, String)]| {
                lines.iter().map(|(what, scope)| json!({ "what": what, "scope": scope })).collect::<Vec<_>>()
            };
            output::document(&json!({ "schema": SCHEMA, "removed": of(&removed), "added": of(&added) }));
        }
        Format::Text => {
            let name = |report: &GrantsReport| format!("{} {}", report.plugin, report.version);
            output::line(&format!("--- {}", safe(&name(one))));
            output::line(&format!("+++ {}", safe(&name(other))));
            removed.iter().for_each(|(what, scope)| output::line(&format!("- {what} {}", safe(scope))));
            added.iter().for_each(|(what, scope)| output::line(&format!("+ {what} {}", safe(scope))));
        }
    }
    Ok(if removed.is_empty() && added.is_empty() { Exit::Ok } else { Exit::ToolError })
}
