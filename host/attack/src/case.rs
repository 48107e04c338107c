//! What a case of the suite is made of, whoever runs it.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use stockade_audit::{Decision, Layer};
use stockade_host::{CallOptions, Host, HostError, LoadRequest, Outcome, Plugin};
use stockade_package::{Identity, Package, chain};
use stockade_policy::PluginType;

/// A hostile component, tried against the programs that a user gets.
#[derive(Clone, Copy)]
pub(crate) struct GuestCase {
    /// `C1.start-loop`: the case, a dot, a name of its own.
    pub(crate) id: &'static str,
    /// `C1`.
    pub(crate) case: &'static str,
    /// What a reader of the table sees; at most 60 characters.
    pub(crate) tries: &'static str,
    /// Tries it.
    pub(crate) run: fn(&GuestBench<'_>) -> Result<Finding, Hindrance>,
}

/// Why nothing can be said of a case: what it stands on failed. Counts as broken, since nobody can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hindrance(pub(crate) String);

impl From<HostError> for Hindrance {
    fn from(error: HostError) -> Self {
        Self(chain(&error))
    }
}

impl From<std::io::Error> for Hindrance {
    fn from(error: std::io::Error) -> Self {
        Self(chain(&error))
    }
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// In a few words, for the table: `trapped`, `deadline`, `refused: unknown-import`.
    pub(crate) all: String,
    /// What is not as it must be, a sentence each; empty where everything held.
    pub(crate) broken: Vec<String>,
    /// The record that must be in the log under the name of one of the case's plugins.
    pub(crate) record: Option<Trace>,
    /// How long the host took to answer, where the case measured it.
    pub(crate) elapsed: Option<Duration>,
}

/// A record that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// Its layer.
    pub(crate) layer: Layer,
    /// Its operation; any of these.
    pub(crate) operations: Vec<String>,
    /// Its decision.
    pub(crate) decision: Decision,
}

impl Trace {
    pub(crate) fn new(layer: Layer, operation: &str, decision: Decision) -> Self {
        Self { layer, operations: vec![operation.to_owned()], decision }
    }
}

impl Finding {
    /// It came to `all`, which is right.
    pub(crate) fn held(all: impl Into<String>) -> Self {
        Self { all: all.into(), broken: Vec::new(), record: None, elapsed: None }
    }

    /// And this record must be in the log.
    pub(crate) fn record(mut self, layer: Layer, operation: &str, decision: Decision) -> Self {
        self.record = Some(Trace::new(layer, operation, decision));
        self
    }

    /// And the host took this long to answer.
    pub(crate) fn elapsed(mut self, elapsed: Duration) -> Self {
        self.elapsed = Some(elapsed);
        self
    }

    /// And this must be so as well.
    pub(crate) fn and(mut self, holds: bool, otherwise: impl Into<String>) -> Self {
        if !holds {
            self.broken.push(otherwise.into());
        }
        self
    }
}

/// What a guest case works with. After the case the runner itself checks that the neighbour's call
/// succeeds and that the record is there.
pub(crate) struct GuestBench<'a> {
    /// A host with the programs that a user gets.
    pub(crate) host: &'a Host,
    /// Where those programs are, for a case that needs a host of its own.
    pub(crate) programs: &'a Path,
    /// An empty folder of the case's own, removed after it.
    pub(crate) scratch: &'a Path,
    name: &'a str,
    loaded: AtomicU32,
}

impl<'a> GuestBench<'a> {
    pub(crate) fn new(host: &'a Host, programs: &'a Path, scratch: &'a Path, name: &'a str) -> Self {
        Self { host, programs, scratch, name, loaded: AtomicU32::new(0) }
    }

    /// A package of these bytes under a name that the case's records are found by. Each is another plugin.
    pub(crate) fn package(&self, component: &[u8], plugin_type: PluginType) -> Package {
        let name = match self.loaded.fetch_add(1, Ordering::Relaxed) {
            0 => self.name.to_owned(),
            number => format!("{}{}{number}", self.name, VARIANT),
        };
        package(name, component, plugin_type)
    }

    /// Loads a component, with nothing granted.
    pub(crate) fn load(&self, component: &[u8], plugin_type: PluginType) -> Result<Plugin, HostError> {
        self.host.load_blocking(LoadRequest::new(self.package(component, plugin_type)))
    }

    /// Calls a tool; the profile's deadline where none is said.
    pub(crate) fn call(
        &self,
        plugin: &Plugin,
        tool: &str,
        arguments: &str,
        deadline: Option<Duration>,
    ) -> Outcome {
        plugin.call_blocking(tool, arguments, CallOptions { deadline, ..CallOptions::default() })
    }
}

/// Stands in a plugin's name between the case and the variant.
pub(crate) const VARIANT: &str = "--";

/// A package that never was on a disk.
pub(crate) fn package(name: String, component: &[u8], plugin_type: PluginType) -> Package {
    Package::bare(Identity { name, version: VERSION, plugin_type }, component.to_vec())
}

const VERSION: semver::Version = semver::Version::new(0, 0, 0);

/// The name under which a case's plugins run: `A1.openat-passwd` is `attack/a1-openat-passwd`.
pub(crate) fn plugin_name(id: &str) -> String {
    format!("attack/{}", id.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-"))
}
