//! Programs of others that tests speak with: Debian's packages, each taken apart in a folder of its own. Nothing is
//! installed, and no service is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{ui, workspace};

/// A program of somebody else's.
struct Peer {
    /// As people call it.
    name: &'static str,
    /// The variable by which tests find the program.
    variable: &'static str,
    /// Its packages, with what it is linked to.
    packages: &'static [&'static str],
    program: &'static str,
}

const PEERS: [Peer; 3] = [
    Peer {
        name: "prometheus",
        variable: "STOCKADE_PROMETHEUS",
        packages: &["prometheus"],
        program: "usr/bin/prometheus",
    },
    Peer {
        name: "docker-registry",
        variable: "STOCKADE_REGISTRY",
        packages: &["docker-registry"],
        program: "usr/bin/docker-registry",
    },
    Peer {
        name: "skopeo",
        variable: "STOCKADE_SKOPEO",
        packages: &["skopeo", "libdevmapper1.02.1", "libgpgme11", "libassuan0", "libgpg-error0"],
        program: "usr/bin/skopeo",
    },
];

/// Finds them, or fetches them: by the variables that name them. Those that this machine cannot have are left out, and
/// tests say what they leave out.
pub(crate) fn find() -> Vec<(&'static str, PathBuf)> {
    let Ok(target) = workspace::target() else { return Vec::new() };
    let found = PEERS.iter().filter_map(|peer| {
        let place = target.join("peers").join(peer.name);
        let program = place.join(peer.program);
        if !program.exists()
            && let Err(error) = ui::step(peer.name, |_| fetch(&place, peer.packages))
        {
            eprintln!("note: no {} for the tests: {error:#}", peer.name);
        }
        program.exists().then_some((peer.variable, program))
    });
    found.collect()
}

fn fetch(place: &Path, packages: &[&str]) -> Result<()> {
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
    let download = [&["download"], packages].concat();
    if run("apt-get", &download).is_err() {
        // A fresh machine has no list of packages; only root may get one.
        run("apt-get", &["update"])?;
        run("apt-get", &download)?;
    }
    let files = fs::read_dir(place)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let archives: Vec<_> = files.filter(|name| name.ends_with(".deb")).collect();
    if archives.is_empty() {
        bail!("apt-get downloaded nothing");
    }
    for archive in archives {
        run("dpkg-deb", &["-x", &archive, "."])?;
        fs::remove_file(place.join(archive)).context("the archive")?;
    }
    Ok(())
}
