use std::collections::BTreeMap;

use semver::Version;

use super::{Check, Finding, Severity};
use crate::{Dependency, Package, Problem};

/// The plugins that others can depend on: those that are there, by name, in all their versions.
#[derive(Clone, Debug, Default)]
pub struct Available(BTreeMap<String, Vec<Version>>);

impl Available {
    /// One more that is there.
    pub fn add(&mut self, plugin: &str, version: Version) {
        self.0.entry(plugin.to_owned()).or_default().push(version);
    }

    /// What a plugin needs and is not there.
    pub fn lacking(&self, package: &Package) -> Vec<Finding> {
        package.dependencies.iter().filter_map(|dependency| self.finding(dependency)).collect()
    }

    fn finding(&self, dependency: &Dependency) -> Option<Finding> {
        let Dependency { plugin, versions, optional, at, .. } = dependency;
        let there = self.0.get(plugin).map_or(&[][..], Vec::as_slice);
        if there.iter().any(|version| versions.matches(version)) {
            return None;
        }
        let (code, message, next_step) = match there.iter().max() {
            None => (
                "dependency-missing",
                format!("{plugin} {versions} is not there"),
                format!("make {plugin} known with --available FOLDER, or correct its name"),
            ),
            Some(newest) => (
                "dependency-version",
                format!("of {plugin} there is {newest}, and the plugin needs {versions}"),
                format!("get a version of {plugin} that will do, or correct the range"),
            ),
        };
        let severity = if *optional { Severity::Note } else { Severity::Error };
        let problem = Problem::new(code, at.key.clone(), message, next_step);
        Some(Finding::new(Check::Dependencies, severity, problem).at(at))
    }
}
