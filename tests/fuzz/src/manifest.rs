//! Target `manifest`: `plugin.toml` by hostile authors.

use stockade_package::{Explain, Manifest};

/// The text is parsed and checked, its tools are tried with arguments, its faults are explained.
pub fn manifest(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match Manifest::parse(text) {
        Ok(manifest) => {
            let again = Manifest::parse(text).expect("the same text a second time");
            assert_eq!(again.name, manifest.name);
            for tool in &manifest.tools {
                for arguments in ["{}", "[]", "null", "1e999", "{\"path\": \"/src\", \"n\": 7}", "{"] {
                    let _ = tool.check_arguments(arguments);
                }
            }
        }
        Err(error) => {
            let problem = error.problem();
            assert!(!problem.code.is_empty() && !problem.next_step.is_empty(), "{error:?} explains nothing");
        }
    }
}
