//! Shows what Stockade does.

use anyhow::{Result, bail};

/// Runs the demonstration.
pub(crate) fn run() -> Result<bool> {
    bail!("the demonstration is under construction")
}
