//! Writes the seeds of a target into a folder: `fuzz-seeds TARGET FOLDER`.

use std::error::Error;
use std::path::PathBuf;

use stockade_fuzz::seeds;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(target), Some(folder)) = (arguments.next(), arguments.next().map(PathBuf::from)) else {
        return Err("usage: fuzz-seeds TARGET FOLDER".into());
    };
    let inputs = match target.to_str() {
        Some("decode") => seeds::decode(),
        Some("session") => seeds::session(),
        Some("audit-line") => seeds::audit_line(),
        Some("manifest") => seeds::manifest(),
        Some("package") => seeds::package(),
        Some("index") => seeds::index(),
        _ => return Err(format!("no target {}", target.display()).into()),
    };
    std::fs::create_dir_all(&folder)?;
    for (number, input) in inputs.iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:03}")), input)?;
    }
    Ok(())
}
