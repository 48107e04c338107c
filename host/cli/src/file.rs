//! Files that an operator writes: TOML, read strictly.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// Reads one. What is wrong with it is told with its line and column.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, option: &str) -> Result<T, Failure> {
    let bad = |message: String, next: &str| {
        let message = format!("{}: {message}", path.display());
        Failure::usage("bad-file", option, message, next)
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| bad(error.to_string(), "name a TOML file that you can read"))?;
    toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = &text[..text.floor_char_boundary(at)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
        bad(
            format!("line {line}, column {column}: {}", error.message()),
            "see docs/operating.md for what it has",
        )
    })
}
