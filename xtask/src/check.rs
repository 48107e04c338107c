//! What must hold before a change is taken: format, lints, licences and bans, links in the documents.

mod bans;
mod links;

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::cargo;
use crate::programs::CONFINED_TARGET;
use crate::ui::{BAD, OK, Step};
use crate::workspace;

/// Which checks.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these; all where none is named.
    #[arg(value_enum)]
    only: Vec<Check>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Check {
    /// rustfmt.
    Format,
    /// clippy, the confined programs apart, with warnings as errors.
    Lints,
    /// deny.toml: licences, banned and unmaintained crates.
    Deny,
    /// Links between the documents.
    Links,
}

/// Runs the checks; false when one found something.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let wanted = |check| options.only.is_empty() || options.only.contains(&check);
    let mut good = true;
    if wanted(Check::Format) {
        good &= command("format", &["fmt", "--all", "--check"])?;
    }
    if wanted(Check::Links) {
        good &= found("links in the documents", &links::check(workspace::root())?);
    }
    if wanted(Check::Lints) {
        good &= lints()?;
    }
    if wanted(Check::Deny) {
        good &= found("licences and bans", &bans::check()?);
        good &= cargo_deny()?;
    }
    Ok(good)
}

/// The confined programs are linted one by one, and each package under its own `clippy.toml`.
fn lints() -> Result<bool> {
    let host = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--exclude",
        "stockade-worker",
        "--exclude",
        "stockade-compiler",
        "--",
        "-D",
        "warnings",
    ];
    let mut good = command("lints", &host)?;
    // What is in no other build.
    let optional = [
        "clippy",
        "--package",
        "stockade-cli",
        "--features",
        "otel",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    good &= command("lints of stockade-cli with otel", &optional)?;
    for package in ["stockade-worker", "stockade-compiler"] {
        let arguments = [
            "clippy",
            "--all-targets",
            "--target",
            CONFINED_TARGET,
            "--package",
            package,
            "--",
            "-D",
            "warnings",
        ];
        good &= command(&format!("lints of {package}"), &arguments)?;
    }
    Ok(good)
}

/// `cargo deny` also knows advisories; it is run where it is installed.
fn cargo_deny() -> Result<bool> {
    let installed =
        cargo::command().args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !installed.is_ok_and(|status| status.success()) {
        println!("SKIPPED: advisories: cargo-deny is not installed (cargo install --locked cargo-deny)");
        return Ok(true);
    }
    command("cargo deny", &["deny", "--all-features", "check", "licenses", "bans", "sources"])
}

fn command(name: &str, arguments: &[&str]) -> Result<bool> {
    let step = Step::begin(name);
    let mut command: Command = cargo::command();
    let output = command.args(arguments).output().context("cargo does not start")?;
    let good = output.status.success();
    step.end(if good { OK } else { BAD }, "");
    if !good {
        print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(good)
}

fn found(name: &str, faults: &[String]) -> bool {
    let step = Step::begin(name);
    step.end(if faults.is_empty() { OK } else { BAD }, "");
    for fault in faults {
        println!("  {fault}");
    }
    faults.is_empty()
}
