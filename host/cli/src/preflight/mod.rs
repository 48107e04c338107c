//! `stockade preflight`: what an install would say of plugins, before anybody installs them.

mod find;
mod github;
mod sarif;
mod text;

use serde_json::{Value, json};
use stockade_host::Preflight;
use stockade_package::{Available, Examined, Finding, Manifest, Severity};

use crate::args::{self, PreflightCommand, ReportFormat};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, SCHEMA};
use crate::package;
use crate::progress::Progress;
use find::Found;

/// A plugin that was looked at.
struct Looked {
    found: Found,
    /// The text of its manifest. Hostile.
    manifest: Option<String>,
    report: Preflight,
}

impl Looked {
    fn count(&self, severity: Severity) -> usize {
        self.report.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Line and column in the file that people look into: in a package nobody does.
    fn position(&self, finding: &Finding) -> Option<(usize, usize)> {
        if self.found.is_folder() { finding.line.zip(finding.column) } else { None }
    }

    /// Whether it may be installed.
    fn passes(&self, strict: bool) -> bool {
        self.report.is_good() && !(strict && self.count(Severity::Warning) > 0)
    }
}

pub(crate) fn run(command: &PreflightCommand) -> Result<Exit, Failure> {
    let found = find::plugins(&command.paths)?;
    let mut available = Available::default();
    let others = find::plugins(&command.available)?;
    let manifests: Vec<_> = found.iter().map(|found| Manifest::open(&found.path).ok()).collect();
    let more = others.iter().filter_map(|found| Manifest::open(&found.path).ok());
    for manifest in manifests.iter().flatten().cloned().chain(more) {
        available.add(&manifest.name, manifest.version);
    }
    let all = found.len();
    let chosen = match &command.changed_since {
        Some(revision) => find::changed(found, &manifests, &command.paths, revision)?,
        None => found,
    };
    let looked = look(command, chosen, &available)?;
    match command.format {
        ReportFormat::Text => text::tell(&looked, all, command),
        ReportFormat::Json => output::document(&document(&looked, command.strict)),
        ReportFormat::Sarif => output::document(&sarif::document(&looked)),
        ReportFormat::Github => github::tell(&looked),
    }
    let good = looked.iter().all(|looked| looked.passes(command.strict));
    Ok(if good { Exit::Ok } else { Exit::BadPlugin })
}

fn look(
    command: &PreflightCommand,
    chosen: Vec<Found>,
    available: &Available,
) -> Result<Vec<Looked>, Failure> {
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let plugin_type = args::plugin_type(command.plugin_type.as_deref())?;
    let host = package::host(&command.looking, command.policy.as_deref())?;
    let progress = Progress::start("looking at plugins in confinement");
    let looked = chosen.into_iter().map(|found| {
        // One at a time: a component can have 64 MiB.
        let examined = Examined::open(&found.path, plugin_type);
        let report = host.preflight_blocking(&examined, available);
        let report = report.map_err(|error| Failure::of(&error).of_file(&found.path))?;
        Ok(Looked { found, manifest: examined.manifest, report })
    });
    let looked = looked.collect();
    drop(progress);
    host.stop_blocking();
    looked
}

fn document(looked: &[Looked], strict: bool) -> Value {
    let plugin = |looked: &Looked| {
        let report = &looked.report;
        let identity = report.identity.as_ref();
        let checks: Vec<_> =
            report.checks.iter().map(|(check, state)| json!({ "check": check, "state": state })).collect();
        json!({
            "path": looked.found.path,
            "plugin": identity.map(|identity| &identity.name),
            "version": identity.map(|identity| identity.version.to_string()),
            "type": identity.map(|identity| identity.plugin_type.as_str()),
            "digest": report.digest,
            "component": report.component,
            "ok": looked.passes(strict),
            "checks": checks,
            "findings": report.findings,
        })
    };
    json!({
        "schema": SCHEMA,
        "ok": looked.iter().all(|looked| looked.passes(strict)),
        "plugins": looked.iter().map(plugin).collect::<Vec<_>>(),
    })
}
