//! `stockade serve`, started for a test with a configuration of the test's own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use stockade_control::{Client, Reply, Request};
use stockade_host::PluginStatus;
use tempfile::TempDir;

use crate::{dist, example, probe_manifest, probe_programs};

/// Longer than anything that is waited for takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a host is to run, on disk.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    programs: Option<TempDir>,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// With no plugin yet, and the programs as a user gets them.
    pub fn new() -> Site {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Another user's client has to come as far as the socket.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let site = Site { folder, programs: None };
        fs::create_dir(site.path("plugins.d")).expect("the folder is new");
        site.configure("");
        site
    }

    /// With the probe in the worker's place.
    pub fn with_probe() -> Site {
        Site { programs: Some(probe_programs()), ..Site::new() }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes the host's file: which folder has the plugins' files is said already.
    pub fn configure(&self, more: &str) {
        fs::write(self.path("stockade.toml"), format!("plugins = \"plugins.d\"\n{more}")).expect("writable");
    }

    /// Writes a plugin's folder: text-stats, or the probe where that is the worker, by a name and with hooks for events.
    pub fn plugin(&self, name: &str, hooks: &[(&str, &str)]) {
        let folder = self.path(&name.replace('/', "-"));
        fs::create_dir_all(&folder).expect("writable");
        let wasm = example("text-stats").join("text_stats.wasm");
        let mut manifest = if self.programs.is_some() {
            fs::copy(wasm, folder.join("probe.wasm")).expect("the example is built");
            probe_manifest(stockade_policy::PluginType::Node).replace("stockade/probe", name)
        } else {
            fs::copy(wasm, folder.join("text_stats.wasm")).expect("the example is built");
            let manifest =
                fs::read_to_string(example("text-stats").join("plugin.toml")).expect("it is there");
            manifest.replace("stockade/text-stats", name)
        };
        for (event, tool) in hooks {
            manifest.push_str(&format!("\n[[hooks]]\nevent = \"{event}\"\ntool = \"{tool}\"\n"));
        }
        fs::write(folder.join("plugin.toml"), manifest).expect("writable");
    }

    /// Writes a plugin's file, by the plugin's name.
    pub fn file(&self, name: &str, text: &str) {
        let folder = name.replace('/', "-");
        let text = format!("plugin = \"../{folder}\"\n{text}");
        fs::write(self.path("plugins.d").join(format!("{folder}.toml")), text).expect("writable");
    }

    /// A plugin that is enabled, with its supervision.
    pub fn enable(&self, name: &str, supervision: &str) {
        self.plugin(name, &[]);
        self.file(name, &format!("enabled = true\n[supervision]\n{supervision}"));
    }

    /// `stockade` with arguments, and the state folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(dist().join("stockade"));
        command.args(arguments).arg("--state").arg(self.state()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program is there")
    }

    /// Starts the host, and waits until it is ready.
    pub fn serve(&self) -> Served<'_> {
        let served = self.serve_unready();
        served.wait_for("; the control socket is");
        served
    }

    /// Starts the host.
    pub fn serve_unready(&self) -> Served<'_> {
        self.serve_with(|command| command)
    }

    /// Starts the host by a command of the test's own making.
    pub fn serve_with(&self, change: impl FnOnce(Command) -> Command) -> Served<'_> {
        let config = self.path("stockade.toml");
        let mut command = self.command(&["serve", config.to_str().expect("a text")]);
        if let Some(programs) = &self.programs {
            command.arg("--programs").arg(programs.path());
        }
        let mut command = change(command);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program is there");
        let said = Arc::new(Mutex::new(String::new()));
        let errors = child.stderr.take().expect("a pipe");
        let listener = {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in BufReader::new(errors).lines().map_while(Result::ok) {
                    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                    said.push_str(&line);
                    said.push('\n');
                }
            })
        };
        Served { site: self, child, said, listener: Some(listener) }
    }
}

/// A running host. Dropped, it is killed.
#[derive(Debug)]
pub struct Served<'a> {
    /// What it runs.
    pub site: &'a Site,
    child: Child,
    said: Arc<Mutex<String>>,
    listener: Option<std::thread::JoinHandle<()>>,
}

impl Served<'_> {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has told.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has told something.
    pub fn wait_for(&self, text: &str) {
        until(&format!("{text:?} in:\n{}", self.said()), || self.said().contains(text));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).expect("it is ours");
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("its end", || child.try_wait().expect("it is ours").is_some());
        if let Some(listener) = self.listener.take() {
            listener.join().expect("it only listens");
        }
        self.child.wait().expect("it is ours")
    }

    /// A connection to its socket.
    pub fn client(&self) -> Client {
        Client::connect(&self.site.state().join("control.sock")).expect("it listens")
    }

    /// How a plugin does.
    pub fn status(&self, name: &str) -> PluginStatus {
        match self.client().ask(&Request::Plugins { plugin: Some(name.to_owned()) }) {
            Ok(Reply::Plugins(mut plugins)) => plugins.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// What `stockade` answers as one JSON document.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let output = self.site.run(&[arguments, &["--format", "json"]].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the host told:\n{}", self.said());
        }
    }
}

/// Waits until something is so.
///
/// # Panics
///
/// It does not come to be so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "it did not come to be: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process with this number is there.
pub fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// The processes that a process has started and that are there, but for what reads the kernel's records.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    let lists = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    let pids =
        lists.iter().flat_map(|list| list.split_whitespace()).map(|pid| pid.parse().expect("a number"));
    pids.filter(|&pid| !crate::accounts::reads_kernel_records(pid)).collect()
}
