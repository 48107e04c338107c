//! Counts what is in a text, and says how hard it is to read.

mod count;

use count::{Stats, stats};
use serde::Deserialize;
use stockade_sdk::ToolError;

/// Words in the list of most frequent ones, unless asked otherwise.
const DEFAULT_TOP: usize = 10;
/// A list longer than this is no summary any more.
const MAX_TOP: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    text: String,
    top: Option<usize>,
}

fn run(arguments: Arguments) -> Result<Stats, ToolError> {
    let top = arguments.top.unwrap_or(DEFAULT_TOP);
    if top > MAX_TOP {
        return Err(ToolError::InvalidArguments(format!("top: {top} is above {MAX_TOP}")));
    }
    Ok(stats(&arguments.text, top))
}

stockade_sdk::tools! {
    "stats" => run,
}
