//! The file of language models.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use stockade_host::{Model, OutputLimit};
use stockade_policy::is_name;

use crate::failure::Failure;
use crate::{file, value};

/// One model, by the operator's name for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// `https://api.example.org/v1`
    endpoint: String,
    /// Its name there.
    model: String,
    /// `file:PATH`, `env:VARIABLE` or `command:PROGRAM`.
    key: Option<String>,
    /// What a million tokens cost that it reads, in millionths of a currency.
    input_price: u64,
    /// Likewise that it writes.
    output_price: u64,
    /// Tokens of one answer.
    max_output_tokens: Option<u32>,
    /// The field that says so.
    #[serde(default)]
    output_limit: OutputLimit,
}

/// Reads the file. Paths in it stand as seen from its folder.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, Model)>, Failure> {
    let entries: BTreeMap<String, Entry> = file::read(path, "--models")?;
    let base = path.parent().unwrap_or(Path::new(""));
    entries.into_iter().map(|(name, entry)| Ok((name.clone(), model(&name, entry, base)?))).collect()
}

fn model(name: &str, entry: Entry, base: &Path) -> Result<Model, Failure> {
    let bad = |message: String| {
        Failure::usage(
            "bad-model",
            &format!("--models {name}"),
            message,
            "a model has endpoint, model, input_price and output_price, and perhaps key and max_output_tokens",
        )
    };
    if !is_name(name) {
        return Err(bad("a name has letters, digits, -, _ and .".to_owned()));
    }
    let mut model = Model::at(&entry.endpoint, entry.model)
        .map_err(|error| bad(error.to_string()))?
        .prices(entry.input_price, entry.output_price)
        .output_limit(entry.output_limit);
    if let Some(from) = &entry.key {
        let source = value::source(from, base);
        model = model.key(source.ok_or_else(|| bad("its key has no file:, env: or command:".to_owned()))?);
    }
    if let Some(most) = entry.max_output_tokens {
        model = model.max_output_tokens(most).map_err(|error| bad(error.to_string()))?;
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<usize, Failure> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        read(file.path()).map(|models| models.len())
    }

    const SOUND: &str = "[small]\nendpoint = \"https://api.example.org/v1\"\nmodel = \"m\"\ninput_price = 150_000\n\
                         output_price = 600_000\n";

    #[test]
    fn models_are_read_strictly() {
        assert_eq!(read_text("").expect("none"), 0);
        let second = SOUND
            .replace("[small]", "[large-2]\nkey = \"env:KEY\"\noutput_limit = \"max_completion_tokens\"");
        assert_eq!(read_text(&format!("{SOUND}{second}")).expect("two"), 2);
        for (from, to, code, said) in [
            ("[small]", "[\"a b\"]", "bad-model", "a name has"),
            ("https://", "", "bad-model", "is no endpoint"),
            ("model = \"m\"", "model = \"\"", "bad-model", "name at its endpoint"),
            ("[small]", "[small]\nkey = \"KEY\"", "bad-model", "has no file:"),
            ("[small]", "[small]\nmax_output_tokens = 0", "bad-model", "one token"),
            ("input_price = 150_000", "", "bad-file", "line 1, column 1: missing field `input_price`"),
            ("model =", "modle =", "bad-file", "line 3, column 1: unknown field"),
            ("150_000", "-1", "bad-file", "line 4, column 15"),
        ] {
            let failure = read_text(&SOUND.replace(from, to)).expect_err(to);
            assert_eq!(failure.problem.code, code, "{to}");
            assert!(failure.problem.message.contains(said), "{to}: {}", failure.problem.message);
        }
    }
}
