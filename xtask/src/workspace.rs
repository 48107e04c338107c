//! Where things are.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result};
use serde_json::Value;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        Path::new(&here).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
    });
    &ROOT
}

/// Cargo's target folder, wherever the user has put it.
pub(crate) fn target() -> Result<&'static Path> {
    static TARGET: LazyLock<Result<PathBuf>> = LazyLock::new(|| {
        let metadata = crate::cargo::metadata(&["--no-deps"])?;
        let target = metadata.get("target_directory").and_then(Value::as_str);
        Ok(PathBuf::from(target.context("cargo metadata names no target directory")?))
    });
    TARGET.as_ref().map(PathBuf::as_path).map_err(|error| anyhow::anyhow!("{error:#}"))
}

/// Where the programs stand together as they would once installed.
pub(crate) fn dist() -> Result<PathBuf> {
    Ok(target()?.join("dist"))
}

/// Where the test guests are put, as `NAME.wasm`.
pub(crate) fn guests() -> Result<PathBuf> {
    Ok(target()?.join("guests"))
}
