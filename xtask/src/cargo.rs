//! Cargo, asked politely: its progress becomes ours, its errors are shown whole.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::ui::Step;
use crate::workspace;

/// The cargo that runs us.
pub(crate) fn program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A cargo command in the repository's root, without the variables that `cargo run` has set for us and
/// that would make other packages look changed.
pub(crate) fn command() -> Command {
    let mut command = Command::new(program());
    command.current_dir(workspace::root());
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || name == "CARGO_PRIMARY_PACKAGE"
        {
            command.env_remove(&*name);
        }
    }
    command
}

/// What `cargo metadata` says.
pub(crate) fn metadata(arguments: &[&str]) -> Result<Value> {
    let mut command = command();
    command.args(["metadata", "--format-version", "1"]).args(arguments).stderr(Stdio::inherit());
    let output = command.output().context("cargo metadata does not start")?;
    if !output.status.success() {
        bail!("cargo metadata failed");
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")
}

/// Something that a build produced and that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Executable {
    /// The package's folder name and the target's name: `ipc/frames`.
    pub(crate) label: String,
    /// The target's name.
    pub(crate) target: String,
    /// The package's folder.
    pub(crate) package: PathBuf,
    /// The file.
    pub(crate) file: PathBuf,
    /// Whether it is a test program.
    pub(crate) test: bool,
}

/// Milliseconds.
static BUILDING: AtomicU64 = AtomicU64::new(0);

/// How much of this process's time went into building.
pub(crate) fn building() -> Duration {
    Duration::from_millis(BUILDING.load(Ordering::Relaxed))
}

/// Runs a cargo command that builds, shows its progress on `step`, and lists what it built. Arguments
/// after `--` are not for this.
pub(crate) fn build(mut command: Command, step: &mut Step) -> Result<Vec<Executable>> {
    let began = Instant::now();
    let mut child = command
        .arg("--message-format=json-render-diagnostics")
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "80")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cargo does not start")?;
    let messages = child.stdout.take().context("cargo has no output")?;
    let reader = thread::spawn(move || {
        let parsed = BufReader::new(messages).lines().map_while(Result::ok);
        parsed.filter_map(|line| executable(&line)).collect::<Vec<_>>()
    });
    let said = follow(child.stderr.take().context("cargo has no errors")?, step)?;
    let built = reader.join().map_err(|_| anyhow::anyhow!("reading cargo's messages failed"))?;
    BUILDING.fetch_add(began.elapsed().as_millis() as u64, Ordering::Relaxed);
    if !child.wait()?.success() {
        bail!("cargo could not build this:\n{said}");
    }
    Ok(built)
}

/// Reads cargo's words to their end: progress goes to `step`, the rest is kept.
fn follow(stream: impl Read, step: &mut Step) -> Result<String> {
    let mut said = String::new();
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        for part in text.split('\r').map(str::trim).filter(|part| !part.is_empty()) {
            let part = part.trim_start_matches("\u{1b}[K");
            if let Some((_, rest)) = part.split_once("] ").filter(|_| part.starts_with("Building [")) {
                step.detail(rest);
            } else if part.starts_with("Compiling ") || part.starts_with("Checking ") {
                step.detail(part);
            } else {
                said.push_str(text.trim_end().rsplit('\r').next().unwrap_or(part));
                said.push('\n');
            }
        }
        line.clear();
    }
    Ok(said)
}

fn executable(line: &str) -> Option<Executable> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let file = PathBuf::from(message["executable"].as_str()?);
    let package = PathBuf::from(message["manifest_path"].as_str()?).parent()?.to_path_buf();
    let target = message["target"]["name"].as_str()?.to_owned();
    let folder = package.strip_prefix(workspace::root()).unwrap_or(&package).display().to_string();
    let is_test_file =
        message["target"]["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == "test"));
    let label = if is_test_file { format!("{folder}: {target}") } else { format!("{folder}: in its source") };
    Some(Executable { label, target, package, file, test: message["profile"]["test"] == true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_kept_out_of_what_cargo_said() {
        let words = "   Compiling a v1.0.0\n    Building [==>   ] 3/9: b\rerror: no\n  --> here\n";
        let mut step = Step::begin("test");
        assert_eq!(follow(words.as_bytes(), &mut step).unwrap(), "error: no\n  --> here\n");
    }
}
