//! What an operator wrote of a host that runs: one file for the host, and one for each plugin.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stockade_host::install::{Generation, Installed, Inventory};
use stockade_host::{BreakerSettings, Isolation, LoadRequest, Start, Supervision};
use stockade_package::{Package, Problem};

use super::audit::AuditFile;
use crate::args::Namespaces;
use crate::failure::Failure;
use crate::home::Home;
use crate::setup::Described;
use crate::{file, install, setup, value};

/// Plugins of one host. Each has a process, a thread's worth of descriptors, and a line in every table.
const MOST_PLUGINS: usize = 10_000;

/// The host's file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Configuration {
    /// The folder of the plugins' files.
    pub(crate) plugins: PathBuf,
    /// As for `--policy`.
    pub(crate) policy: Option<PathBuf>,
    /// As for `--models`.
    pub(crate) models: Option<PathBuf>,
    /// As for `--trust`.
    pub(crate) trust: Vec<PathBuf>,
    /// As for `--namespaces`.
    pub(crate) namespaces: Namespaces,
    pub(crate) control: Control,
    pub(crate) metrics: Metrics,
    pub(crate) tracing: Tracing,
    pub(crate) audit: AuditFile,
    pub(crate) restarts: RestartRates,
    /// How long running calls have to end when the host is stopped.
    pub(crate) drain: Option<String>,
    /// What holds for every plugin whose own file does not say otherwise.
    pub(crate) supervision: SupervisionFile,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Control {
    /// `control.sock` in the state folder if not said.
    pub(crate) socket: Option<PathBuf>,
    /// Users who may control the host, besides its own.
    pub(crate) uids: Vec<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Metrics {
    /// Where they are served; nowhere if not said.
    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tracing {
    /// The collector that spans are sent to, as `http://127.0.0.1:4318/v1/traces`; none if not said.
    pub(crate) otlp: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RestartRates {
    /// Of one plugin.
    pub(crate) per_second: Option<NonZeroU32>,
    /// Of all together.
    pub(crate) of_all_per_second: Option<NonZeroU32>,
}

/// How a plugin is kept, as far as a file says it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SupervisionFile {
    start: Option<StartWord>,
    isolation: Option<IsolationWord>,
    workers: Option<u32>,
    queue: Option<u32>,
    /// A time, or `never`.
    idle: Option<String>,
    deadline: Option<String>,
    breaker: BreakerFile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum StartWord {
    Loaded,
    Kept,
    OnCall,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum IsolationWord {
    Plugin,
    Call,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct BreakerFile {
    off: Option<bool>,
    window: Option<u32>,
    least: Option<u32>,
    failures: Option<u8>,
    slow_after: Option<String>,
    slow: Option<u8>,
    pause: Option<String>,
    longest_pause: Option<String>,
    probes: Option<u32>,
}

impl SupervisionFile {
    /// What it says, upon what holds otherwise.
    fn upon(&self, mut below: Supervision) -> Result<Supervision, Failure> {
        let time = |name: &str, text: &String| value::duration(&format!("supervision.{name}"), text);
        if let Some(start) = self.start {
            below.start = match start {
                StartWord::Loaded => Start::Loaded,
                StartWord::Kept => Start::Kept,
                StartWord::OnCall => Start::OnCall,
            };
        }
        if let Some(isolation) = self.isolation {
            below.isolation = match isolation {
                IsolationWord::Plugin => Isolation::Plugin,
                IsolationWord::Call => Isolation::Call,
            };
        }
        below.workers = self.workers.unwrap_or(below.workers);
        below.queue = self.queue.unwrap_or(below.queue);
        match self.idle.as_deref() {
            Some("never") => below.idle = None,
            Some(text) => below.idle = Some(value::duration("supervision.idle", text)?),
            None => {}
        }
        if let Some(text) = &self.deadline {
            below.deadline = Some(time("deadline", text)?);
        }
        let file = &self.breaker;
        let Some(mut breaker) = (match file.off {
            Some(true) => None,
            Some(false) => below.breaker.or(Some(BreakerSettings::default())),
            None => below.breaker,
        }) else {
            below.breaker = None;
            return Ok(below);
        };
        breaker.window = file.window.unwrap_or(breaker.window);
        // Who makes the window small does not want more calls than it has.
        breaker.least = file.least.unwrap_or(breaker.least.min(breaker.window));
        breaker.failures = file.failures.unwrap_or(breaker.failures);
        breaker.slow = file.slow.unwrap_or(breaker.slow);
        breaker.probes = file.probes.unwrap_or(breaker.probes);
        if let Some(text) = &file.slow_after {
            breaker.slow_after = Some(time("breaker.slow_after", text)?);
        }
        if let Some(text) = &file.pause {
            breaker.pause = time("breaker.pause", text)?;
            breaker.longest_pause = breaker.longest_pause.max(breaker.pause);
        }
        if let Some(text) = &file.longest_pause {
            breaker.longest_pause = time("breaker.longest_pause", text)?;
        }
        below.breaker = Some(breaker);
        Ok(below)
    }
}

/// A plugin that is to run.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The plugin's name, by its own word.
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) plugin_type: String,
    /// Of everything that makes it what it is: the same as long as nothing of that changes.
    pub(crate) print: u64,
    /// The digest of its package, where it is one.
    pub(crate) package: Option<String>,
    pub(crate) request: LoadRequest,
}

/// A whole configuration, read and understood.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) host: Configuration,
    /// By name.
    pub(crate) plugins: BTreeMap<String, Wanted>,
    /// The files that enable plugins, by their names.
    files: BTreeMap<String, PathBuf>,
    /// Plugins whose files do not enable them, and installed ones that nobody has.
    pub(crate) disabled: usize,
    /// Installed plugins that cannot be read.
    pub(crate) broken: Vec<(Generation, Problem)>,
}

/// Reads a configuration, and the installed plugins that are enabled.
pub(crate) fn read(path: &Path, home: &Home) -> Result<Read, Failure> {
    let mut read = read_files(path)?;
    let inventory = Inventory::trusted(&home.state, &home.audit).map_err(|error| Failure::of(&error))?;
    let all = inventory.map(|inventory| inventory.all()).transpose().map_err(|error| Failure::of(&error))?;
    let below = read.host.supervision.upon(Supervision::service())?;
    for Installed { generation, enabled, .. } in all.unwrap_or_default() {
        if !enabled {
            read.disabled += 1;
            continue;
        }
        if let Some(file) = read.files.get(&generation.plugin) {
            let (file, name, state) = (file.display(), &generation.plugin, home.state.display());
            let message = format!(
                "{file} enables {name}, which is installed and enabled in {state} as well: calls name a plugin, and there \
                 must be one"
            );
            let next = "disable one of them: in its file, or with stockade disable";
            return Err(Failure::usage("plugin-twice", "plugins", message, next));
        }
        match install::wanted(&home.state, &generation, below) {
            Ok(wanted) => drop(read.plugins.insert(wanted.name.clone(), wanted)),
            // It keeps nobody else from running.
            Err(problem) => read.broken.push((generation, problem)),
        }
    }
    Ok(read)
}

/// Reads a host's file, or a folder of plugins' files, and everything that they name.
fn read_files(path: &Path) -> Result<Read, Failure> {
    let (mut host, base) = match path.is_dir() {
        true => (Configuration { plugins: PathBuf::from("."), ..Configuration::default() }, path),
        false => (file::read::<Configuration>(path, "CONFIG")?, path.parent().unwrap_or(Path::new(""))),
    };
    if host.plugins.as_os_str().is_empty() {
        let message = format!("{}: it names no folder of plugins", path.display());
        return Err(Failure::usage("bad-file", "plugins", message, "write plugins = \"FOLDER\""));
    }
    let seen = |path: &PathBuf| base.join(path);
    host.policy = host.policy.as_ref().map(seen);
    host.models = host.models.as_ref().map(seen);
    host.trust = host.trust.iter().map(seen).collect();
    host.audit.files = host.audit.files.iter().map(seen).collect();
    host.control.socket = host.control.socket.as_ref().map(seen);
    let folder = base.join(&host.plugins);
    let below = host.supervision.upon(Supervision::service())?;
    let (mut plugins, mut disabled, mut files) =
        (BTreeMap::<String, Wanted>::new(), 0, BTreeMap::<String, PathBuf>::new());
    for path in plugin_files(&folder)? {
        let described = setup::described(&path)?;
        if described.setup.enabled != Some(true) {
            disabled += 1;
            continue;
        }
        let wanted = wanted(&described, below)?;
        if let Some(other) = files.insert(wanted.name.clone(), path.clone()) {
            let message = format!(
                "{} and {} both enable {}: calls name a plugin, and there must be one",
                other.display(),
                path.display(),
                wanted.name
            );
            return Err(Failure::usage("plugin-twice", "plugins", message, "disable one of them"));
        }
        plugins.insert(wanted.name.clone(), wanted);
    }
    Ok(Read { host, plugins, files, disabled, broken: Vec::new() })
}

fn plugin_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| {
        let message = format!("{}: {error}", folder.display());
        Failure::usage("bad-file", "plugins", message, "name a folder that you can read")
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|end| end == "toml") && !hidden {
            files.push(path);
        }
    }
    if files.len() > MOST_PLUGINS {
        let message = format!(
            "{}: {} files, and a host has at most {MOST_PLUGINS} plugins",
            folder.display(),
            files.len()
        );
        return Err(Failure::usage("too-many-plugins", "plugins", message, "run several hosts"));
    }
    // The order of a folder is nobody's; messages should come in the same one each time.
    files.sort();
    Ok(files)
}

fn wanted(described: &Described<'_>, below: Supervision) -> Result<Wanted, Failure> {
    let package = described.package()?;
    wanted_of(described, package, below)
}

/// Of a package that was read.
pub(crate) fn wanted_of(
    described: &Described<'_>,
    package: Package,
    below: Supervision,
) -> Result<Wanted, Failure> {
    let supervision =
        described.setup.supervision.upon(below).map_err(|failure| failure.of_file(described.path))?;
    let mut hasher = DefaultHasher::new();
    format!("{:?} {supervision:?}", described.setup).hash(&mut hasher);
    package.component.hash(&mut hasher);
    let mut shape = package.clone();
    shape.component.clear();
    format!("{shape:?}").hash(&mut hasher);
    Ok(Wanted {
        name: package.identity.name.clone(),
        version: package.identity.version.to_string(),
        plugin_type: package.identity.plugin_type.to_string(),
        print: hasher.finish(),
        package: package.digest.clone(),
        request: described.request(package)?.supervision(supervision),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parsed(text: &str) -> SupervisionFile {
        toml::from_str(text).expect("TOML")
    }

    #[test]
    fn a_file_stands_upon_the_defaults() {
        let below = parsed("queue = 7\nidle = \"30s\"").upon(Supervision::service()).expect("sound");
        let above = parsed(
            "start = \"on-call\"\nisolation = \"call\"\nworkers = 2\n[breaker]\nwindow = 4\npause = \"2m\"",
        );
        let both = above.upon(below).expect("sound");
        assert_eq!((both.start, both.workers, both.queue), (Start::OnCall, 2, 7));
        assert_eq!((below.isolation, both.isolation), (Isolation::Plugin, Isolation::Call));
        assert_eq!(both.idle, Some(Duration::from_secs(30)));
        let breaker = both.breaker.expect("one");
        assert_eq!((breaker.window, breaker.least, breaker.failures), (4, 4, 50));
        assert_eq!(
            (breaker.pause, breaker.longest_pause),
            (Duration::from_secs(120), Duration::from_secs(120))
        );
    }

    #[test]
    fn what_can_be_switched_off_can() {
        let off =
            parsed("idle = \"never\"\n[breaker]\noff = true").upon(Supervision::service()).expect("sound");
        assert_eq!((off.idle, off.breaker), (None, None));
        let on = parsed("[breaker]\noff = false").upon(off).expect("sound");
        assert_eq!(on.breaker, Some(BreakerSettings::default()));
    }

    #[test]
    fn a_wrong_time_names_its_field() {
        let failure = parsed("idle = \"soon\"").upon(Supervision::service()).expect_err("no time");
        assert_eq!((failure.problem.code, &*failure.problem.field), ("bad-duration", "supervision.idle"));
    }
}
