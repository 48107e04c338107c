//! Runs a toolchain's programs: output goes line by line to `progress`, the last lines into the error.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Progress;

/// Enough for a compiler's message.
const SHOWN_LINES: usize = 30;

/// Runs `command` to its end.
pub(super) fn run(command: &mut Command, progress: Progress<'_>) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
    // The command holds the writing ends; while it does, the reading end never ends.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let mut last = VecDeque::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        if line.is_empty() {
            continue;
        }
        progress(&line);
        if last.len() == SHOWN_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{program} ended with {status}:\n{}", Vec::from(last).join("\n"));
    }
    Ok(())
}

/// What `command` writes on stdout, if it succeeds.
pub(super) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a program of this name can be started.
pub(crate) fn is_installed(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).exists();
    }
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Installs Debian packages where `present` says that something is missing.
pub(crate) fn need(
    what: &str,
    packages: &[&str],
    present: impl Fn() -> bool,
    progress: Progress<'_>,
) -> Result<()> {
    if present() {
        return Ok(());
    }
    let by_hand = format!("apt-get install {}", packages.join(" "));
    let is_root = output(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    if !is_root || !is_installed("apt-get") {
        bail!("{what} is missing; install it (Debian, as root: {by_hand}) and run this again");
    }
    progress(&by_hand);
    let install = |progress: Progress<'_>| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "-y", "--no-install-recommends"]);
        run(apt.args(packages), progress)
    };
    if install(progress).is_err() {
        // A fresh machine has no list of packages.
        run(Command::new("apt-get").arg("update"), progress)?;
        install(progress).with_context(|| format!("{what} is missing and {by_hand} failed"))?;
    }
    if !present() {
        bail!("{what} is still missing after {by_hand}");
    }
    Ok(())
}
