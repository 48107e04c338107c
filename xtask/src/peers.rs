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

/// The packages that are not installed of these and all that they need: what apt would install, which it does not.
pub(crate) fn simulated(packages: &[&str]) -> Result<Vec<String>> {
    let install = [&["install", "--simulate", "--no-install-recommends"], packages].concat();
    Ok(installs(&apt(Path::new("/"), &install)?))
}

/// The names in what `apt-get install --simulate` prints: `Inst NAME (VERSION ...)`.
fn installs(simulation: &str) -> Vec<String> {
    let names = simulation.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    names.map(str::to_owned).collect()
}

/// Downloads the packages and takes them apart below `place`.
pub(crate) fn fetch(place: &Path, packages: &[&str]) -> Result<()> {
    fs::create_dir_all(place).with_context(|| place.display().to_string())?;
    apt(place, &[&["download"], packages].concat())?;
    let files = fs::read_dir(place)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let archives: Vec<_> = files.filter(|name| name.ends_with(".deb")).collect();
    if archives.is_empty() {
        bail!("apt-get downloaded nothing");
    }
    for archive in archives {
        run(place, "dpkg-deb", &["-x", &archive, "."])?;
        fs::remove_file(place.join(archive)).context("the archive")?;
    }
    Ok(())
}

fn apt(place: &Path, arguments: &[&str]) -> Result<String> {
    run(place, "apt-get", arguments).or_else(|error| {
        // A fresh machine has no list of packages; only root may get one.
        run(place, "apt-get", &["update"]).map_err(|_| error)?;
        run(place, "apt-get", arguments)
    })
}

/// Runs a program in `place` and gives what it prints.
fn run(place: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(place).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("{program} does not start"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), told.lines().last().unwrap_or_default());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_a_simulation() {
        let simulation = "Reading package lists...\nInst golang-go (2:1.19~1 Debian:12 [amd64]) []\n\
                          Inst golang-src (2:1.19~1 Debian:12 [all])\nConf golang-go (2:1.19~1 Debian:12 [amd64])\n";
        assert_eq!(installs(simulation), ["golang-go", "golang-src"]);
        assert!(installs("0 upgraded, 0 newly installed.\n").is_empty());
    }
}
