//! The guests in JavaScript: jco with its QuickJS engine, and with StarlingMonkey, which has `fetch`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::process::{is_installed, need, run};
use super::{GUESTS, Made, Places, Progress};

/// Pinned: 1.35.0 is the first whose QuickJS engine can do without async and without WASI.
const QUICKJS: &str = "@bytecodealliance/jco@1.35.0";
/// Pinned: the last whose StarlingMonkey engine starts.
const STARLING_MONKEY: &str = "@bytecodealliance/jco@1.34.0";

/// What is built of which script.
#[derive(Clone, Copy)]
pub(super) enum Script {
    /// Without any import.
    Greet,
    /// With the imports of its engine.
    GreetWasi,
    /// With `fetch`.
    FetchTour,
}

pub(super) fn build(places: &Places, script: Script, progress: Progress<'_>) -> Result<Made> {
    let (folder, package, made_by) = match script {
        Script::Greet | Script::GreetWasi => ("js", QUICKJS, "jco 1.35.0, QuickJS"),
        Script::FetchTour => ("js-fetch", STARLING_MONKEY, "jco 1.34.0, StarlingMonkey"),
    };
    let jco = install(places, folder, package, progress)?;
    let sources = places.root.join(GUESTS);
    let component = places.work.join(folder).join("component.wasm");
    let mut command = Command::new(jco);
    command.arg("componentize");
    match script {
        Script::Greet | Script::GreetWasi => {
            command.arg(sources.join("js/greet.js")).arg("--wit").arg(sources.join("wit"));
            command.args(["--world-name", "greet", "--backend", "qjs"]);
            // With async the component would need the async component model, which a worker refuses.
            command.arg("--backend-qjs-disable-async");
        }
        Script::FetchTour => {
            command.arg(sources.join("js/fetch-tour.js")).arg("--wit").arg(sources.join("js/fetch-tour.wit"));
            command.args(["--world-name", "fetch-tour"]);
        }
    }
    if let Script::Greet = script {
        command.arg("--backend-qjs-stub-wasi");
    }
    run(command.arg("--out").arg(&component), progress)?;
    let wasm = fs::read(&component).with_context(|| format!("jco left no {}", component.display()))?;
    Ok((wasm, made_by.into()))
}

fn install(places: &Places, folder: &str, package: &str, progress: Progress<'_>) -> Result<PathBuf> {
    let present = || is_installed("node") && is_installed("npm");
    need("Node.js with npm", &["nodejs", "npm"], present, progress)?;
    let folder = places.work.join(folder);
    let jco = folder.join("node_modules/.bin/jco");
    let installed = folder.join("installed");
    if fs::read_to_string(&installed).is_ok_and(|pin| pin == package) && jco.exists() {
        return Ok(jco);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    progress(&format!("npm install {package}"));
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"]).arg(&folder).arg(package);
    run(&mut npm, progress).context("jco could not be installed; check that npm can reach its registry")?;
    fs::write(&installed, package).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(jco)
}
