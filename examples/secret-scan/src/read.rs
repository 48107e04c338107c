//! The start of one file. A path outside every granted folder is still asked for: libc would answer
//! by itself that it knows no such folder, and the host would never hear of the attempt.

use std::fs::File;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use stockade_sdk::ToolError;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

/// Enough to show that a file was read.
const SHOWN: u64 = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    path: String,
}

#[derive(Serialize)]
pub(crate) struct Start {
    size: u64,
    start: String,
}

pub(crate) fn read(Arguments { path }: Arguments) -> Result<Start, ToolError> {
    read_start(&path).or_else(|error| match ask(&path) {
        Some(refusal) => Err(ToolError::Denied(format!("{path}: {refusal}"))),
        None => Err(ToolError::Failed(format!("{path}: {error}"))),
    })
}

fn read_start(path: &str) -> io::Result<Start> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut start = Vec::new();
    file.take(SHOWN).read_to_end(&mut start)?;
    Ok(Start { size, start: String::from_utf8_lossy(&start).into_owned() })
}

/// Asks the host for `path` through the first granted folder; what it answers where that is no folder
/// of its own.
fn ask(path: &str) -> Option<String> {
    let folders = get_directories();
    if folders.iter().any(|(_, name)| {
        path.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('/') && !rest.contains(".."))
    }) {
        return None;
    }
    let Some((folder, name)) = folders.first() else {
        return Some("no folder is granted".into());
    };
    let opened = folder.open_at(PathFlags::empty(), path, OpenFlags::empty(), DescriptorFlags::READ);
    Some(match opened {
        Ok(_) => format!("opened through {name}, which must not happen"),
        Err(code) => code.message().to_owned(),
    })
}
