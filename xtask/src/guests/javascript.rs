//! The guest in JavaScript: jco with its QuickJS engine.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::process::{is_installed, need, run};
use super::{GUESTS, Made, Places, Progress};

/// Pinned: 1.35.0 is the first whose QuickJS engine can do without async and without WASI.
const JCO: &str = "@bytecodealliance/jco@1.35.0";

pub(super) fn build(places: &Places, wasi: bool, progress: Progress<'_>) -> Result<Made> {
    let jco = install(places, progress)?;
    let folder = places.root.join(GUESTS);
    let component = places.work.join("js").join("greet.wasm");
    let mut command = Command::new(jco);
    command.arg("componentize").arg(folder.join("js/greet.js"));
    command.arg("--wit").arg(folder.join("wit")).args(["--world-name", "greet", "--backend", "qjs"]);
    // With async the component would need the async component model, which a worker refuses.
    command.arg("--backend-qjs-disable-async");
    if !wasi {
        command.arg("--backend-qjs-stub-wasi");
    }
    run(command.arg("--out").arg(&component), progress)?;
    let wasm = fs::read(&component).with_context(|| format!("jco left no {}", component.display()))?;
    Ok((wasm, "jco 1.35.0, QuickJS".into()))
}

fn install(places: &Places, progress: Progress<'_>) -> Result<std::path::PathBuf> {
    let present = || is_installed("node") && is_installed("npm");
    need("Node.js with npm", &["nodejs", "npm"], present, progress)?;
    let folder = places.work.join("js");
    let jco = folder.join("node_modules/.bin/jco");
    let installed = folder.join("installed");
    if fs::read_to_string(&installed).is_ok_and(|pin| pin == JCO) && jco.exists() {
        return Ok(jco);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    progress(&format!("npm install {JCO}"));
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"]).arg(&folder).arg(JCO);
    run(&mut npm, progress).context("jco could not be installed; check that npm can reach its registry")?;
    fs::write(&installed, JCO).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(jco)
}
