//! The audit log at full size: every byte of a thousand records flipped, every edit of one record, hundreds of kills and
//! power cuts.

use anyhow::{Context, Result};

use crate::cargo;

/// The tests that take `STOCKADE_CYCLES`, by parts of their names.
const TESTS: [&str; 4] = ["f1_", "f3_", "f4_", "g8_"];

/// Runs them, optimised; false if one failed.
pub(crate) fn run() -> Result<bool> {
    eprintln!("the audit log changed, killed and cut off; this takes some minutes");
    let status = cargo::command()
        .args(["test", "--release", "--package", "stockade-audit", "--lib", "--tests", "--"])
        .args(["--show-output"])
        .args(TESTS)
        .env("STOCKADE_CYCLES", "full")
        .status()
        .context("cargo test does not start")?;
    Ok(status.success())
}
