//! A Prometheus for the tests: Debian's package, taken apart in a folder of its own. Nothing is installed, and no
//! service is started.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{ui, workspace};

/// Finds one, or fetches it; none where this machine cannot, and the tests say what they leave out.
pub(crate) fn find() -> Option<PathBuf> {
    let place = workspace::target().ok()?.join("peers/prometheus");
    let program = place.join("usr/bin/prometheus");
    if program.exists() {
        return Some(program);
    }
    let fetched = ui::step("Prometheus", |_| fetch(&place));
    if let Err(error) = fetched {
        eprintln!("note: no Prometheus for the tests: {error:#}");
    }
    program.exists().then_some(program)
}

fn fetch(place: &PathBuf) -> Result<()> {
    fs::create_dir_all(place).with_context(|| place.display().to_string())?;
    let run = |program: &str, arguments: &[&str]| -> Result<()> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(place).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("{program} does not start"))?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            bail!("{program} {}: {}", arguments.join(" "), told.lines().last().unwrap_or_default());
        }
        Ok(())
    };
    if run("apt-get", &["download", "prometheus"]).is_err() {
        // A fresh machine has no list of packages; only root may get one.
        run("apt-get", &["update"])?;
        run("apt-get", &["download", "prometheus"])?;
    }
    let archive = fs::read_dir(place)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.ends_with(".deb"))
        .context("apt-get downloaded nothing")?;
    run("dpkg-deb", &["-x", &archive, "."])?;
    fs::remove_file(place.join(archive)).context("the archive")
}
