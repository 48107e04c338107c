//! What is wrong with what is installed: looked at, and nothing of it run.

use std::path::Path;

use semver::VersionReq;
use stockade_package::{Examined, Explain, Finding, Package, Problem, Severity};
use stockade_policy::interface;

use super::error::approve_step;
use super::{Dependency, InstallError, Installed, Inventory, packages};

/// What the organisation's policy has against a package, and against what was written down of what it gets.
pub type Judge<'a> = dyn Fn(&Package, &str) -> Vec<(Severity, Problem)> + 'a;

/// What was found out about one installed plugin.
#[derive(Clone, Debug)]
pub struct Examination {
    /// `publisher/name`.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// What is wrong, and how much that matters.
    pub problems: Vec<(Severity, Problem)>,
}

impl Inventory {
    /// Looks at every installed plugin: its package, its manifest, what it needs, how it fared last. `judge` says what the
    /// organisation's policy has against one.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn examine(&self, state: &Path, judge: &Judge<'_>) -> Result<Vec<Examination>, InstallError> {
        let all = self.all()?;
        let examined = all.iter().map(|installed| {
            let mut problems = files(state, installed, judge);
            problems.extend(needs(installed, &all));
            if let Some(next) = &installed.next {
                let message = format!("version {} is there, and waits for an approval", next.version);
                let plugin = &installed.generation.plugin;
                let step = approve_step(plugin, &packages::path(state, &next.package));
                problems.push((Severity::Note, Problem::new("waits-for-approval", plugin, message, step)));
            }
            let last = self.loads(Some(&installed.generation.plugin), 1)?;
            problems.extend(last.into_iter().filter(|load| load.state == "error").map(|load| {
                let reason = load.reason.unwrap_or_default();
                let message = format!("its last load failed ({}): {reason}", load.code.unwrap_or_default());
                let step =
                    "see its reason; stockade ledger has all loads, and stockade rollback the version before";
                (Severity::Error, Problem::new("failing-health", &load.plugin, message, step))
            }));
            Ok(Examination {
                plugin: installed.generation.plugin.clone(),
                version: installed.generation.version.to_string(),
                problems,
            })
        });
        examined.collect()
    }
}

/// Its package, and what that says.
fn files(state: &Path, installed: &Installed, judge: &Judge<'_>) -> Vec<(Severity, Problem)> {
    let generation = &installed.generation;
    let path = packages::path(state, &generation.package);
    if !path.exists() {
        let missing = InstallError::Missing { plugin: generation.plugin.clone(), path };
        return vec![(Severity::Error, missing.problem())];
    }
    let examined = Examined::open(&path, None);
    let mut problems: Vec<_> = examined
        .faults
        .iter()
        .map(Finding::from)
        .map(|finding| (finding.severity, finding.problem))
        .collect();
    if let Some(found) = &examined.digest
        && *found != generation.package
    {
        let (plugin, expected) = (generation.plugin.clone(), generation.package.clone());
        let changed = InstallError::Changed { plugin, found: found.clone(), expected };
        problems.push((Severity::Error, changed.problem()));
    }
    let imports =
        stockade_package::archive::Archive::open(&path).map(|archive| archive.parts.interfaces.imports);
    for name in imports.unwrap_or_default().iter().filter(|name| interface(name).is_none()) {
        let message = format!("it imports {name:?}, which this version does not provide");
        let step = "update it, or use a version of stockade that has it";
        problems.push((Severity::Error, Problem::new("unknown-import", name, message, step)));
    }
    if problems.is_empty()
        && let Some(package) = examined.suspect()
    {
        problems.extend(judge(package, &generation.setup));
    }
    problems
}

/// Whether the plugins that it needs are there, and those that it works with are in versions that will do.
fn needs(installed: &Installed, all: &[Installed]) -> Vec<(Severity, Problem)> {
    let lacking = |Dependency { plugin: name, versions, optional }: &Dependency| {
        let there = all.iter().find(|other| other.generation.plugin == *name);
        let suits = |other: &Installed| {
            VersionReq::parse(versions).is_ok_and(|versions| versions.matches(&other.generation.version))
        };
        match there {
            Some(other) if suits(other) => None,
            Some(other) => {
                let (severity, needs) =
                    if *optional { (Severity::Note, "works with") } else { (Severity::Error, "needs") };
                let message =
                    format!("it {needs} {name} {versions}, and {} is installed", other.generation.version);
                let step = format!("stockade update {name}, to a version that will do");
                Some((severity, Problem::new("dependency-version", name, message, step)))
            }
            None if *optional => None,
            None => {
                let message = format!("it needs {name} {versions}, which is not installed");
                Some((
                    Severity::Error,
                    Problem::new("dependency-missing", name, message, format!("stockade install {name}")),
                ))
            }
        }
    };
    installed.generation.dependencies.iter().filter_map(lacking).collect()
}
