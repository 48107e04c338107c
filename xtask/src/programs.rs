//! Builds the programs. The confined ones are built one by one, static, under a profile of their own:
//! cargo unifies features within an invocation, which would link the compiler into the worker.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{self, Executable};
use crate::ui::{OK, Step};
use crate::workspace;

/// What the confined programs are built for. Seccomp filters exist for this architecture.
pub(crate) const CONFINED_TARGET: &str = "x86_64-unknown-linux-gnu";

/// The programs that run confined, and `stockade-probe`, which attacks in the worker's place.
const CONFINED: [&str; 4] = ["stockade-worker", "stockade-compiler", "stockade-kernel-log", "stockade-probe"];

/// Builds the host's program and the confined ones, and places them in `target/dist`.
pub(crate) fn build(release: bool) -> Result<PathBuf> {
    let dist = workspace::dist()?;
    all(release, None, &dist)?;
    Ok(dist)
}

/// Builds the same programs with protections that a test can take out, and places them elsewhere: nobody
/// shall install them by mistake.
pub(crate) fn build_removable() -> Result<PathBuf> {
    let dist = workspace::target()?.join("removable-protections");
    all(false, Some("removable-protections"), &dist)?;
    Ok(dist)
}

fn all(release: bool, feature: Option<&str>, dist: &Path) -> Result<()> {
    host(release, feature, dist)?;
    CONFINED.into_iter().try_for_each(|package| confined(package, feature, dist))
}

fn host(release: bool, feature: Option<&str>, dist: &Path) -> Result<()> {
    check_toolchain()?;
    fs::create_dir_all(dist).with_context(|| format!("cannot create {}", dist.display()))?;
    let mut step = Step::begin(named("the host's programs", feature));
    let mut command = cargo::command();
    command.args(["build", "--package", "stockade-cli", "--package", "stockade-auditor"]);
    if release {
        command.arg("--release");
    }
    command.args(feature.map(|feature| format!("--features=stockade-cli/{feature}")));
    let built = cargo::build(command, &mut step).and_then(|built| {
        place(&built, "stockade", dist)?;
        place(&built, "stockade-audit", dist)
    });
    step.end_with(built).map(drop)
}

fn named(what: &str, feature: Option<&str>) -> String {
    feature.map_or_else(|| what.to_owned(), |feature| format!("{what}, {feature}"))
}

fn confined(package: &str, feature: Option<&str>, dist: &Path) -> Result<()> {
    let mut step = Step::begin(named(&format!("{package}, static"), feature));
    let mut command = cargo::command();
    command.args(["build", "--profile", "worker", "--target", CONFINED_TARGET, "--package", package]);
    command.args(feature.map(|feature| format!("--features={feature}")));
    static_flags(&mut command);
    let built = cargo::build(command, &mut step).and_then(|built| {
        for program in built.iter().filter(|program| !program.test) {
            let file = place(&built, &program.target, dist)?;
            ensure!(
                is_static(&file)?,
                "{} asks for a dynamic loader: crt-static had no effect",
                program.target
            );
        }
        Ok(dist.join(package).metadata()?.len())
    });
    match built {
        Ok(bytes) => {
            step.end(OK, &format!("{:.1} MB", bytes as f64 / 1e6));
            Ok(())
        }
        Err(error) => step.end_with(Err(error)),
    }
}

/// Makes a build static. This variable wins over every other way to set flags, so a user's RUSTFLAGS
/// cannot quietly make the programs dynamic; with `--target`, build scripts do not see it. Paths of the
/// building machine are taken out: nobody's business, and two builds of the same source stay equal.
pub(crate) fn static_flags(command: &mut Command) {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    flags.push(format!("--remap-path-prefix={}=/stockade", workspace::root().display()));
    flags.extend(home.map(|home| format!("--remap-path-prefix={}=/cargo", home.display())));
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).env_remove("RUSTFLAGS");
}

/// Puts a program into `dist` by rename, so that one which is running keeps its file.
fn place(built: &[Executable], name: &str, dist: &Path) -> Result<PathBuf> {
    let program = built.iter().find(|e| e.target == name && !e.test);
    let program = program.with_context(|| format!("cargo built no program {name}"))?;
    let (fresh, last) = (dist.join(format!(".{name}.new")), dist.join(name));
    fs::copy(&program.file, &fresh).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, &last).with_context(|| format!("cannot write {}", last.display()))?;
    Ok(last)
}

/// What a static build cannot do without, asked for before a minute of compiling.
fn check_toolchain() -> Result<()> {
    let cc = env::var("CC").unwrap_or_else(|_| "cc".into());
    let Ok(found) = Command::new(&cc).arg("-print-file-name=libc.a").output() else {
        bail!("no C compiler ({cc}) to link with; on Debian: apt-get install gcc libc6-dev");
    };
    // The compiler answers with the bare name where it has no such file.
    let libc = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    ensure!(
        Path::new(&libc).is_absolute() && Path::new(&libc).exists(),
        "no static C library (libc.a) for the confined programs; on Debian: apt-get install libc6-dev"
    );
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let libdir = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", CONFINED_TARGET])
        .output()
        .context("rustc does not start")?;
    let libdir = String::from_utf8_lossy(&libdir.stdout).trim().to_owned();
    ensure!(
        Path::new(&libdir).is_dir(),
        "this toolchain has no standard library for {CONFINED_TARGET}; try: rustup target add {CONFINED_TARGET}"
    );
    Ok(())
}

/// Whether an ELF program names no interpreter (PT_INTERP), so that the kernel starts it alone.
fn is_static(file: &Path) -> Result<bool> {
    let bytes = fs::read(file)?;
    names_no_interpreter(&bytes).with_context(|| format!("{} is no 64-bit ELF file", file.display()))
}

/// See elf(5): `e_phoff` at 32, `e_phentsize` at 54, `e_phnum` at 56; a program header starts with its type.
fn names_no_interpreter(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    let u16_at = |at: usize| Some(u16::from_le_bytes(*elf.get(at..)?.first_chunk()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(*elf.get(at..)?.first_chunk()?));
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let first = usize::try_from(u64::from_le_bytes(*elf.get(32..)?.first_chunk()?)).ok()?;
    let (size, count) = (usize::from(u16_at(54)?), usize::from(u16_at(56)?));
    for index in 0..count {
        if u32_at(first.checked_add(index * size)?)? == PT_INTERP {
            return Some(false);
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_test_program_is_not_static_and_a_truncated_one_is_no_program() {
        let own = fs::read("/proc/self/exe").unwrap();
        assert_eq!(names_no_interpreter(&own), Some(false));
        assert_eq!(names_no_interpreter(&own[..50]), None);
        assert_eq!(names_no_interpreter(b"#!/bin/sh"), None);
    }
}
