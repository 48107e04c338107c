//! System tests of Stockade, and what they share. Everything real: the programs that a user gets, real
//! components, a real kernel's refusals. `cargo xtask test` says where things are.

pub mod accounts;
pub mod around;
pub mod chance;
pub mod inject;
pub mod installed;
pub mod kernel_audit;
pub mod resolver;
pub mod scene;
pub mod served;
pub mod site;
pub mod web;

use std::ffi::OsString;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use stockade_audit::{Decision, Entry, Layer, Reader, verify};
use stockade_host::{CallOptions, GrantRequest, Host, HostBuilder, LoadRequest, Namespaces, Outcome, Plugin};
use stockade_package::Package;
use stockade_policy::{GuestPath, PluginType};
use tempfile::TempDir;

fn folder(variable: &str) -> PathBuf {
    let value: OsString = std::env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} is not set: run the system tests with `cargo xtask test`"));
    value.into()
}

/// Where `stockade`, `stockade-worker`, `stockade-compiler` and `stockade-probe` are.
pub fn dist() -> PathBuf {
    folder("STOCKADE_DIST")
}

/// A component that was built for the tests.
pub fn guest(name: &str) -> PathBuf {
    folder("STOCKADE_GUESTS").join(name)
}

/// An example plugin's folder.
pub fn example(name: &str) -> PathBuf {
    folder("STOCKADE_EXAMPLES").join(name)
}

/// Says that a test was left out, so that it is counted.
pub fn skipped(test: &str, why: &str) {
    println!("SKIPPED: {test}: {why}");
}

/// What a program has printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// The one JSON document on its standard output.
pub fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)))
}

/// How often a test that repeats itself does so: `few` times, or `full` times where the suite runs at its
/// full size (`cargo xtask escape`, which sets `STOCKADE_CYCLES=full`), an eighth of that as another user than
/// root: it is run as both.
pub fn cycles(few: usize, full: usize) -> usize {
    match std::env::var("STOCKADE_CYCLES").as_deref() {
        Ok(_) if at_full_size() && nix::unistd::geteuid().is_root() => full,
        Ok(_) if at_full_size() => (full / 8).max(few),
        Ok(number) => number.parse().unwrap_or_else(|_| panic!("STOCKADE_CYCLES={number} is no number")),
        Err(_) => few,
    }
}

/// Whether nothing else runs beside the tests, and for as long as it takes: what they measure counts.
pub fn at_full_size() -> bool {
    std::env::var("STOCKADE_CYCLES").is_ok_and(|size| size == "full")
}

/// A folder with the probe in the worker's place.
pub fn probe_programs() -> TempDir {
    let programs = tempfile::tempdir().expect("a temporary folder");
    for (program, name) in [
        ("stockade-probe", "stockade-worker"),
        ("stockade-compiler", "stockade-compiler"),
        ("stockade-kernel-log", "stockade-kernel-log"),
    ] {
        fs::copy(dist().join(program), programs.path().join(name)).expect("the program is there");
    }
    programs
}

/// The probe's package in `folder`, where it is put if it is not there yet.
pub fn probe_package(folder: &Path, plugin_type: PluginType) -> Package {
    if !folder.exists() {
        // At once and whole: others may be opening it.
        let place = folder.parent().expect("a folder in another one");
        let half = tempfile::tempdir_in(place).expect("the folder is writable");
        fs::copy(example("text-stats").join("text_stats.wasm"), half.path().join("probe.wasm"))
            .expect("the example is built");
        fs::write(half.path().join("plugin.toml"), probe_manifest(plugin_type)).expect("writable");
        if fs::rename(half.path(), folder).is_ok() {
            drop(half.keep());
        }
    }
    Package::open(folder, None).expect("the manifest is sound")
}

/// A host with a state folder of its own.
#[derive(Debug)]
pub struct Bench {
    /// The host.
    pub host: Host,
    /// Everything it writes lies here.
    pub state: TempDir,
}

impl Bench {
    /// A host as a user gets it.
    pub fn new() -> Bench {
        Bench::build(&dist(), |defaults| defaults)
    }

    /// A host whose workers are the probe: sealed by the same code, running native code.
    pub fn with_probe(namespaces: Namespaces) -> Bench {
        Bench::with(probe_programs().path(), namespaces)
    }

    /// A host with other programs or namespaces, which starts the workers of a plugin as often as they die.
    pub fn with(programs: &Path, namespaces: Namespaces) -> Bench {
        Bench::build(programs, |host| unbraked(host.namespaces(namespaces)))
    }

    /// A host with settings of the test's own.
    pub fn build(programs: &Path, settings: impl FnOnce(HostBuilder) -> HostBuilder) -> Bench {
        let state = tempfile::tempdir().expect("a temporary folder");
        let host = Host::builder().state_dir(state.path().join("state")).programs_dir(programs);
        Bench { host: settings(host).build().expect("this machine can confine plugins"), state }
    }

    /// Loads the probe under a plugin type, with trees that it may read.
    pub fn probe(&self, plugin_type: PluginType, trees: &[(&Path, &str)]) -> Plugin {
        let package = probe_package(&self.state.path().join(format!("probe-{plugin_type}")), plugin_type);
        let mut request = LoadRequest::new(package);
        for (directory, root) in trees {
            let root = GuestPath::parse(root).expect("a guest path");
            request = request.grant(GrantRequest::read_tree(*directory, root));
        }
        self.host.load_blocking(request).expect("the probe loads")
    }

    /// Loads a bare component file.
    pub fn component(&self, path: &Path, plugin_type: PluginType) -> Plugin {
        let package = Package::open(path, Some(plugin_type)).expect("a component");
        self.host.load_blocking(LoadRequest::new(package)).expect("the component loads")
    }

    /// All records so far; the chain is verified first.
    pub fn records(&self) -> Vec<Entry> {
        let log = self.state.path().join("state").join("audit");
        let report = verify(&log, None).expect("the log can be read");
        assert!(report.is_sound(), "the log does not verify: {report:?}");
        Reader::open(&log).expect("the log is there").map(|entry| entry.expect("a record")).collect()
    }

    /// The records of one layer, operation and decision.
    pub fn found(&self, layer: Layer, operation: &str, decision: Decision) -> Vec<Entry> {
        self.records()
            .into_iter()
            .filter(|entry| {
                let record = &entry.record;
                record.layer == layer && record.operation == operation && record.decision == decision
            })
            .collect()
    }
}

/// Workers are started as often as they die.
pub fn unbraked(host: HostBuilder) -> HostBuilder {
    host.restarts_per_second(NonZeroU32::MAX).restarts_of_all(NonZeroU32::MAX)
}

impl Default for Bench {
    fn default() -> Self {
        Bench::new()
    }
}

/// Calls a tool with the defaults.
pub fn call(plugin: &Plugin, tool: &str, arguments: serde_json::Value) -> Outcome {
    plugin.call_blocking(tool, &arguments.to_string(), CallOptions::default())
}

/// The value of an outcome that must be a success.
pub fn value(outcome: &Outcome) -> serde_json::Value {
    let text = outcome.value.as_deref().unwrap_or_else(|| panic!("not a success: {outcome:?}"));
    serde_json::from_str(text).expect("a JSON text")
}

/// The code of an outcome that must not be a success.
pub fn code(outcome: &Outcome) -> &'static str {
    outcome.reason.as_ref().unwrap_or_else(|| panic!("a success: {outcome:?}")).code
}

const PROBE_TOOLS: [&str; 18] = [
    "echo",
    "environment",
    "files_received",
    "descriptors",
    "syscall",
    "crash",
    "int80",
    "exit",
    "spin",
    "allocate",
    "bytes",
    "flood",
    "claim",
    "ask",
    "delegate",
    "wrong_call_number",
    "hang_up",
    "opened_while_loading",
];

pub(crate) fn probe_manifest(plugin_type: PluginType) -> String {
    let mut manifest = format!(
        "manifest = 1\nname = \"stockade/probe\"\nversion = \"0.1.0\"\ntype = \"{plugin_type}\"\n\
         contract = \"0.1\"\ndescription = \"Misbehaves.\"\ncomponent = \"probe.wasm\"\n"
    );
    for tool in PROBE_TOOLS {
        manifest.push_str(&format!(
            "\n[[tools]]\nname = \"{tool}\"\ndescription = \"Tries {tool}.\"\ninput = '{{}}'\n"
        ));
    }
    manifest
}
