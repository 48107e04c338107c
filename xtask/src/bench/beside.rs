//! Programs of others that plugins are measured beside: found, fetched or built in `target/peers`, and nothing of them
//! installed. What this machine cannot have is left out, and said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::peers::{fetch, simulated};
use crate::{cargo, ui, workspace};

/// The programs by the variables that name them to `tests/benches/figures.rs`, and what there is not, with the reason.
#[derive(Default)]
pub(super) struct Others {
    pub(super) found: Vec<(&'static str, PathBuf)>,
    pub(super) skipped: Vec<String>,
}

impl Others {
    pub(super) fn find() -> Others {
        let mut others = Others::default();
        others.add("wasmtime run", "STOCKADE_WASMTIME", wasmtime());
        others.add("in-process", "STOCKADE_IN_PROCESS", in_process());
        others.add("go-plugin", "STOCKADE_GO_PLUGIN", go_plugin());
        others.add("bubblewrap", "STOCKADE_BWRAP", bubblewrap());
        others
    }

    fn add(&mut self, name: &str, variable: &'static str, program: Result<PathBuf>) {
        match program {
            Ok(program) => self.found.push((variable, program)),
            Err(why) => self.skipped.push(format!("{name}: {}", in_one_line(&format!("{why:#}")))),
        }
    }
}

/// A compiler's words are many: the first that it calls an error.
fn in_one_line(why: &str) -> &str {
    why.lines().find(|line| line.starts_with("error")).or(why.lines().next()).unwrap_or_default()
}

fn place(name: &str) -> Result<PathBuf> {
    let place = workspace::target()?.join("peers").join(name);
    fs::create_dir_all(&place).with_context(|| place.display().to_string())?;
    Ok(place)
}

/// The program of the engine that the worker has, of the same version.
fn wasmtime() -> Result<PathBuf> {
    let lock = fs::read_to_string(workspace::root().join("Cargo.lock")).context("Cargo.lock")?;
    let version = engine(&lock).context("Cargo.lock has no wasmtime")?;
    let place = place(&format!("wasmtime-{version}"))?;
    let program = place.join("bin/wasmtime");
    if !program.exists() {
        let mut command = cargo::command();
        command
            .args(["install", "--quiet", "--locked", "wasmtime-cli", "--version", version, "--root"])
            .arg(&place)
            .args(["--no-default-features", "--features", "run,compile,cranelift,component-model"])
            .env("CARGO_TARGET_DIR", place.join("build"));
        ui::step("wasmtime's own program", |_| {
            let status = command.status().context("cargo install does not start")?;
            ensure!(status.success(), "wasmtime-cli {version} was not built");
            fs::remove_dir_all(place.join("build")).context("the build folder")
        })?;
    }
    Ok(program)
}

/// The version of the engine in a lock file.
fn engine(lock: &str) -> Option<&str> {
    lock.split("[[package]]").find_map(|package| {
        package.trim().strip_prefix("name = \"wasmtime\"\nversion = \"")?.split('"').next()
    })
}

/// The component in the process that calls it.
fn in_process() -> Result<PathBuf> {
    let mut step = ui::Step::begin("the component in-process");
    let mut command = cargo::command();
    command.args(["build", "--release", "--locked", "--manifest-path", "tests/peers/in-process/Cargo.toml"]);
    command.arg("--target-dir").arg(place("in-process")?);
    let built = cargo::build(command, &mut step);
    let program = step.end_with(built)?.into_iter().find(|program| program.target == "in-process");
    Ok(program.context("cargo has built no program")?.file)
}

/// A host and its plugin with Debian's go-plugin, built by Debian's Go.
fn go_plugin() -> Result<PathBuf> {
    let place = place("go-plugin")?;
    let program = place.join("go-plugin");
    ui::step("go-plugin", |progress| {
        if !program.exists() {
            // What it needs for its gRPC is not among what its package depends on.
            let wanted = ["golang-github-hashicorp-go-plugin-dev", "golang-google-grpc-dev"];
            let packages = simulated(&wanted)?;
            // The others are C compilers and the like, which nothing here is made with.
            let packages: Vec<&str> =
                packages.iter().map(String::as_str).filter(|name| name.starts_with("golang-")).collect();
            progress("packages");
            if !packages.is_empty() {
                fetch(&place, &packages)?;
            }
        }
        progress("go build");
        let output = go(&place, &program)?.output().context("go does not start")?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "go build: {}", told.lines().last().unwrap_or_default());
        Ok(program.clone())
    })
}

/// Builds from what the packages hold, without modules and so without a network. What is installed already was not
/// fetched, and is used where it is.
fn go(place: &Path, program: &Path) -> Result<Command> {
    let roots = [place.to_path_buf(), PathBuf::from("/")];
    let below = |path: &str| roots.iter().map(|root| root.join(path)).collect::<Vec<_>>();
    let root = below("usr/lib/go").into_iter().find(|root| root.join("bin/go").exists());
    let root = root.context("there is no Go")?;
    let mut command = Command::new(root.join("bin/go"));
    command
        .args(["build", "-o"])
        .arg(program)
        .arg("main.go")
        .current_dir(workspace::root().join("tests/peers/go-plugin"))
        .stdin(Stdio::null())
        .env("GOROOT", &root)
        .env("GOPATH", std::env::join_paths(below("usr/share/gocode")).context("GOPATH")?)
        .env("GOCACHE", place.join("cache"))
        .env("CGO_ENABLED", "0")
        .env("GOENV", "off")
        .env("GO111MODULE", "off")
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local")
        .env_remove("GOFLAGS");
    Ok(command)
}

/// The installed one, or Debian's.
fn bubblewrap() -> Result<PathBuf> {
    let installed = PathBuf::from("/usr/bin/bwrap");
    if installed.exists() {
        return Ok(installed);
    }
    let place = place("bubblewrap")?;
    let program = place.join("usr/bin/bwrap");
    if !program.exists() {
        ui::step("bubblewrap", |_| fetch(&place, &["bubblewrap", "libcap2"]))?;
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_is_said_in_one_line() {
        assert_eq!(in_one_line("cargo could not build this:\nerror: no lock\n  --> here"), "error: no lock");
        assert_eq!(in_one_line("go does not start: no such file"), "go does not start: no such file");
    }

    #[test]
    fn the_engine_in_process_is_the_workers() {
        let version = |lock: &str| {
            let lock = fs::read_to_string(workspace::root().join(lock)).unwrap();
            engine(&lock).unwrap().to_owned()
        };
        assert_eq!(version("tests/peers/in-process/Cargo.lock"), version("Cargo.lock"));
    }
}
