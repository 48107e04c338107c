//! The log verifies; a copy with one byte changed does not.

use std::fs;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result};

use super::program::Stockade;

/// Verifies the log, changes one byte of a copy, verifies that.
pub(super) fn run(stockade: &Stockade, state: &Path) -> Result<bool> {
    let audit = stockade.audit().to_string_lossy();
    println!("   $ stockade audit verify --audit {audit}");
    let whole = stockade.call(&["audit", "verify", "--audit", &audit])?;
    say(&whole);

    let copy = state.join("tampered");
    fs::create_dir(&copy)?;
    let mut bytes = fs::read(stockade.log()).context("cannot read the log")?;
    let at = position(&bytes).context("the log has no refusal to change")?;
    let line = bytes[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
    // A refusal that somebody would like to have been a permission.
    bytes[at] ^= 1;
    fs::write(copy.join("audit.jsonl"), bytes)?;
    let copy = copy.to_string_lossy();
    println!("\n   One byte changed in line {line} of a copy:");
    println!("   $ stockade audit verify --audit {copy}");
    let changed = stockade.call(&["audit", "verify", "--audit", &copy])?;
    say(&changed);
    Ok(whole.status.success() && !changed.status.success())
}

/// A byte within the decision of a record in the middle.
fn position(log: &[u8]) -> Option<usize> {
    let wanted = b"\"decision\":\"denied\"";
    let middle = log.len() / 2;
    let found = |from: usize| {
        log[from..].windows(wanted.len()).position(|window| window == wanted).map(|at| from + at)
    };
    found(middle).or_else(|| found(0)).map(|at| at + wanted.len() - 2)
}

fn say(output: &Output) {
    for stream in [&output.stdout, &output.stderr] {
        for line in String::from_utf8_lossy(stream).lines() {
            println!("      {line}");
        }
    }
    println!("      (exit code {})", output.status.code().unwrap_or(-1));
}
