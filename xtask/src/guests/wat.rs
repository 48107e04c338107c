//! Guests written as text: what a worker must refuse, and modules that no compiler would make.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{GUESTS, Made, Places};

/// The text guests there are, sorted.
pub(super) fn names(places: &Places) -> Result<Vec<String>> {
    let folder = places.root.join(GUESTS).join("wat");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wat") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Only the syntax is checked: some of these must be invalid to an engine.
pub(super) fn build(text: &Path) -> Result<Made> {
    Ok((::wat::parse_file(text)?, "wat".into()))
}
