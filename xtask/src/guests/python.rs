//! The guests in Python: componentize-py in a virtual environment of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::process::{is_installed, need, run};
use super::{GUESTS, Made, Places, Progress};

const COMPONENTIZE: &str = "componentize-py==0.25.1";

/// What is built of which script.
#[derive(Clone, Copy)]
pub(super) enum Script {
    /// Without any import.
    Greet,
    /// With the imports of its interpreter.
    GreetWasi,
    /// With files.
    Files,
    /// With requests.
    Fetch,
}

pub(super) fn build(places: &Places, script: Script, progress: Progress<'_>) -> Result<Made> {
    let (source, module, wit, world) = match script {
        Script::Greet | Script::GreetWasi => ("app.py", "app", "wit/greet.wit", "greet"),
        Script::Files => ("files.py", "files", "python/files.wit", "files-tour"),
        Script::Fetch => ("fetch.py", "fetch", "python/fetch", "fetch-python"),
    };
    let program = install(places, progress)?;
    let folder = places.root.join(GUESTS);
    let work = places.work.join("python");
    let component = work.join("component.wasm");
    // A copy: it leaves its bytecode beside the source, which would then look changed.
    fs::copy(folder.join("python").join(source), work.join(source))
        .with_context(|| format!("cannot copy {source}"))?;
    let mut command = Command::new(program);
    command.current_dir(&work);
    command.arg("-d").arg(folder.join(wit)).args(["-w", world, "componentize"]);
    if let Script::Greet = script {
        command.arg("--stub-wasi");
    }
    run(command.arg(module).arg("-o").arg(&component), progress)?;
    let wasm =
        fs::read(&component).with_context(|| format!("componentize-py left no {}", component.display()))?;
    Ok((wasm, "componentize-py 0.25.1".into()))
}

fn install(places: &Places, progress: Progress<'_>) -> Result<PathBuf> {
    need("Python 3", &["python3", "python3-venv"], || is_installed("python3"), progress)?;
    let folder = places.work.join("python");
    let program = folder.join("bin/componentize-py");
    let installed = folder.join("installed");
    if fs::read_to_string(&installed).is_ok_and(|pin| pin == COMPONENTIZE) && program.exists() {
        return Ok(program);
    }
    progress(&format!("pip install {COMPONENTIZE}"));
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder), progress)
        .context("no virtual environment (Debian: apt-get install python3-venv)")?;
    let mut pip = Command::new(folder.join("bin/pip"));
    run(pip.args(["install", "--quiet", COMPONENTIZE]), progress)
        .context("componentize-py could not be installed; check that pip can reach its index")?;
    fs::write(&installed, COMPONENTIZE).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(program)
}
