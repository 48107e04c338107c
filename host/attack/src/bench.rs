//! Hosts to attack: built as every embedder builds one, with a second plugin that has to be served
//! whatever becomes of the first.

use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stockade_host::{CallOptions, GrantRequest, Host, HostError, LoadRequest, Namespaces, Plugin};
use stockade_policy::{GuestPath, PluginType};
use tempfile::TempDir;

use crate::case;
use crate::catalogue::{PROBE, Peer, When};
use crate::error::AttackError;
use crate::evidence::Evidence;
use crate::fixtures;

const STAND_IN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stand_in.wasm"));
const WORKER: &str = "stockade-worker";
const COMPILER: &str = "stockade-compiler";

/// Where the probe holds the name of what it does before it is attested: this, and room for the name.
const BOOT_MARKER: &[u8] = b"STOCKADE-PROBE-BOOT=";
const BOOT_ROOM: usize = 64;

/// A host that is stopped when this goes: no worker outlives the suite, and no log its folder.
pub(crate) struct Stopping {
    host: Host,
    stopped: bool,
}

impl Stopping {
    fn new(programs: &Path, state: &Path, namespaces: Namespaces) -> Result<Self, HostError> {
        // Whoever attacks has no time to wait for the next worker.
        let host = Host::builder()
            .state_dir(state)
            .programs_dir(programs)
            .namespaces(namespaces)
            .restarts_per_second(NonZeroU32::MAX)
            .restarts_of_all(NonZeroU32::MAX)
            .build()?;
        Ok(Self { host, stopped: false })
    }

    fn stop(&mut self) {
        if !std::mem::replace(&mut self.stopped, true) {
            self.host.stop_blocking();
        }
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A host of the suite's own.
pub(crate) struct Bench {
    host: Stopping,
    pub(crate) programs: PathBuf,
    pub(crate) namespaces: Namespaces,
    neighbour: Mutex<Neighbour>,
    state: TempDir,
    /// The programs, where they are copies.
    _copies: Option<TempDir>,
}

/// The second plugin, and the worker that it had when it was last looked at.
struct Neighbour {
    plugin: Plugin,
    worker: Option<u32>,
}

impl Bench {
    /// A host with the programs of a folder.
    pub(crate) fn new(programs: &Path, namespaces: Namespaces) -> Result<Bench, AttackError> {
        Self::start(programs.to_owned(), None, namespaces)
    }

    /// A host with the programs that a user gets. Workers have the namespaces that they always have, or
    /// none where this machine forbids them.
    pub(crate) fn installed(programs: &Path) -> Result<Bench, AttackError> {
        match Self::new(programs, Namespaces::Cheap) {
            Err(AttackError::Host(error)) if matches!(*error, HostError::Launch(_)) => {
                Self::new(programs, Namespaces::Off)
            }
            other => other,
        }
    }

    /// A host whose workers are the probe.
    pub(crate) fn of_probe(programs: &Path, namespaces: Namespaces) -> Result<Bench, AttackError> {
        let probe = fs::read(programs.join(PROBE)).map_err(AttackError::os("reading stockade-probe"))?;
        let copies = copies(programs, &probe, (WORKER, COMPILER))?;
        Self::start(copies.path().to_owned(), Some(copies), namespaces)
    }

    fn start(
        programs: PathBuf,
        copies: Option<TempDir>,
        namespaces: Namespaces,
    ) -> Result<Bench, AttackError> {
        let state = fixtures::state().map_err(AttackError::os("making a state folder"))?;
        let host = Stopping::new(&programs, &state.path().join("state"), namespaces)?;
        let plugin = load(&host.host, "attack/neighbour".to_owned(), PluginType::Node, None)?;
        let neighbour = Mutex::new(Neighbour { worker: plugin.worker_pid(), plugin });
        Ok(Bench { host, programs, namespaces, neighbour, state, _copies: copies })
    }

    /// The host.
    pub(crate) fn host(&self) -> &Host {
        &self.host.host
    }

    /// The host's state folder.
    fn state(&self) -> PathBuf {
        self.state.path().join("state")
    }

    /// Loads the stand-in under this name; with a tree to read where the filter is one for files.
    pub(crate) fn load(
        &self,
        name: String,
        plugin_type: PluginType,
        tree: Option<&Path>,
    ) -> Result<Plugin, HostError> {
        load(self.host(), name, plugin_type, tree)
    }

    /// Whether the second plugin is served, by the worker that it had before; and how long that took.
    pub(crate) fn neighbour(&self) -> Result<Duration, String> {
        let mut neighbour = self.neighbour.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        let said = format!("{began:?}");
        let outcome = neighbour.plugin.call_blocking("echo", &arguments(&said), CallOptions::default());
        let took = began.elapsed();
        let worker = neighbour.plugin.worker_pid();
        let before = std::mem::replace(&mut neighbour.worker, worker);
        let Some(value) = outcome.value else {
            return Err(outcome.reason.map_or_else(|| "nobody says why".to_owned(), |reason| reason.message));
        };
        if !echoes(&value, &said) {
            return Err(format!("it answered {value}"));
        }
        if before != worker {
            return Err("its worker is another one than before".to_owned());
        }
        Ok(took)
    }

    /// Stops the host and reads what it has recorded.
    pub(crate) fn finish(mut self) -> Result<Evidence, AttackError> {
        self.host.stop();
        Evidence::read(&self.state().join("audit"))
    }
}

/// The arguments of a tool of the stand-in.
pub(crate) fn arguments(text: &str) -> String {
    json!({ "arguments": text }).to_string()
}

/// The component gives the text back, the probe the whole arguments.
fn echoes(value: &str, said: &str) -> bool {
    let value: Value = serde_json::from_str(value).unwrap_or_default();
    value == said || value["arguments"] == said
}

fn load(
    host: &Host,
    name: String,
    plugin_type: PluginType,
    tree: Option<&Path>,
) -> Result<Plugin, HostError> {
    let mut request = LoadRequest::new(case::package(name, STAND_IN, plugin_type));
    if let (Some(tree), Ok(root)) = (tree, GuestPath::parse("/src")) {
        request = request.grant(GrantRequest::read_tree(tree, root));
    }
    host.load_blocking(request)
}

/// A programs folder with this in the place of the first, and the second as it is.
fn copies(programs: &Path, hostile: &[u8], (taken, left): (&str, &str)) -> Result<TempDir, AttackError> {
    let failed = AttackError::os;
    let folder = fixtures::state().map_err(failed("making a programs folder"))?;
    fs::write(folder.path().join(taken), hostile).map_err(failed("copying stockade-probe"))?;
    fs::canonicalize(programs.join(left))
        .and_then(|program| symlink(program, folder.path().join(left)))
        .map_err(failed("linking the other confined program"))?;
    Ok(folder)
}

/// The probe's program, and where in it stands what it does before it is attested.
pub(crate) struct Image {
    bytes: Vec<u8>,
    place: usize,
}

impl Image {
    pub(crate) fn read(programs: &Path) -> Result<Image, AttackError> {
        let bytes = fs::read(programs.join(PROBE)).map_err(AttackError::os("reading stockade-probe"))?;
        Image::new(bytes)
    }

    fn new(bytes: Vec<u8>) -> Result<Image, AttackError> {
        let mut marked = BOOT_MARKER.to_vec();
        marked.resize(BOOT_ROOM, 0);
        let mut places = Vec::new();
        let mut from = 0;
        while let Some(found) = bytes[from..].iter().position(|byte| *byte == BOOT_MARKER[0]) {
            if bytes[from + found..].starts_with(&marked) {
                places.push(from + found + BOOT_MARKER.len());
            }
            from += found + 1;
        }
        match places[..] {
            [place] => Ok(Image { bytes, place }),
            _ => Err(AttackError::Catalogue {
                problem: "it has no single place for what it does at boot".to_owned(),
            }),
        }
    }

    /// The program that does this.
    fn told(&self, name: &str) -> Result<Vec<u8>, AttackError> {
        // One byte stays zero, so that the name has an end.
        if name.len() >= BOOT_ROOM - BOOT_MARKER.len() {
            let problem = format!("the name of what it does at boot is too long: {name}");
            return Err(AttackError::Catalogue { problem });
        }
        let mut bytes = self.bytes.clone();
        bytes[self.place..self.place + name.len()].copy_from_slice(name.as_bytes());
        Ok(bytes)
    }
}

/// A host whose worker misbehaves before it is attested, or whose compiler does: it starts, and loading is
/// what fails.
pub(crate) struct BootBench {
    host: Stopping,
    state: TempDir,
    _copies: TempDir,
}

impl BootBench {
    pub(crate) fn new(
        programs: &Path,
        image: &Image,
        peer: &Peer,
        namespaces: Namespaces,
    ) -> Result<Self, AttackError> {
        let places = if peer.when == When::Compile { (COMPILER, WORKER) } else { (WORKER, COMPILER) };
        let copies = copies(programs, &image.told(&peer.id)?, places)?;
        let state = fixtures::state().map_err(AttackError::os("making a state folder"))?;
        let host = Stopping::new(copies.path(), &state.path().join("state"), namespaces)?;
        Ok(Self { host, state, _copies: copies })
    }

    pub(crate) fn load(&self, name: String) -> Result<Plugin, HostError> {
        load(&self.host.host, name, PluginType::Node, None)
    }

    pub(crate) fn finish(mut self) -> Result<Evidence, AttackError> {
        self.host.stop();
        Evidence::read(&self.state.path().join("state").join("audit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_the_text_or_the_arguments_and_nothing_else() {
        assert!(echoes("\"x\"", "x") && echoes(r#"{"arguments":"x"}"#, "x"));
        assert!(!echoes("\"y\"", "x") && !echoes("null", "x") && !echoes("x", "x") && !echoes("{}", "x"));
    }

    fn probe() -> Vec<u8> {
        let mut probe = b"before".to_vec();
        probe.extend_from_slice(BOOT_MARKER);
        probe.resize(probe.len() + BOOT_ROOM - BOOT_MARKER.len(), 0);
        probe.extend_from_slice(b"after");
        probe
    }

    #[test]
    fn a_name_is_written_behind_the_marker_and_nowhere_else() {
        let told = Image::new(probe()).unwrap().told("B13.skip").unwrap();
        let begins = 6 + BOOT_MARKER.len();
        assert_eq!(&told[begins..begins + 9], b"B13.skip\0");
        assert_eq!(told.len(), probe().len());
        let changed = told.iter().zip(probe()).filter(|(new, old)| **new != *old).count();
        assert_eq!(changed, 8);
    }

    #[test]
    fn a_probe_without_a_single_marker_or_room_is_told() {
        assert!(Image::new(b"nothing of the kind".to_vec()).is_err());
        assert!(Image::new([probe(), probe()].concat()).is_err());
        let image = Image::new(probe()).unwrap();
        assert!(image.told(&"x".repeat(44)).is_err());
        assert!(image.told(&"x".repeat(43)).is_ok());
    }
}
