//! What `doctor` sees of the confined programs' files.

use std::fs;
use std::io;
use std::path::Path;

use memchr::memmem;
use stockade_host::support::{Finding, State};

const WORKER: &str = "stockade-worker";
const COMPILER: &str = "stockade-compiler";
const KERNEL_LOG: &str = "stockade-kernel-log";
/// Every panic inside of the code generator would name a file with this in its path.
const CODE_GENERATOR: &[u8] = b"cranelift-codegen";

/// Whether the programs are there, run without a dynamic linker, and the worker is without a compiler.
pub(crate) fn findings(folder: &Path) -> Vec<Finding> {
    vec![
        program("worker", &folder.join(WORKER), true),
        program("compiler", &folder.join(COMPILER), false),
        kernel_log(&folder.join(KERNEL_LOG)),
    ]
}

/// Plugins run without it.
fn kernel_log(path: &Path) -> Finding {
    let found = program("kernel-log", path, false);
    match found.state {
        State::Missing => Finding {
            state: State::Degraded,
            cost: "the kernel's own records of refusals do not come into the log",
            next_step: "install stockade-kernel-log beside stockade-worker",
            ..found
        },
        _ => found,
    }
}

fn program(name: &'static str, path: &Path, without_compiler: bool) -> Finding {
    let missing = |found: String| Finding {
        name,
        state: State::Missing,
        found,
        cost: "no plugin can be run",
        next_step: "install stockade-worker and stockade-compiler beside stockade, or name their folder with --programs",
    };
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return missing(format!("{} is not there", path.display()));
        }
        Err(error) => return missing(format!("{} cannot be read: {error}", path.display())),
    };
    match has_interpreter(&bytes) {
        None => return missing(format!("{} is not a 64-bit program", path.display())),
        Some(true) => {
            return missing(format!("{} is not static: a worker cannot open libraries", path.display()));
        }
        Some(false) => {}
    }
    if without_compiler && memmem::find(&bytes, CODE_GENERATOR).is_some() {
        return Finding {
            name,
            state: State::Degraded,
            found: format!("{} has a compiler linked into it", path.display()),
            cost: "more code inside the confinement than a worker needs",
            next_step: "build the worker alone: cargo xtask build",
        };
    }
    let without = if without_compiler { ", without a compiler" } else { "" };
    Finding {
        name,
        state: State::Ok,
        found: format!("{}, static{without}, {} KiB", path.display(), bytes.len() / 1024),
        cost: "",
        next_step: "",
    }
}

/// Whether an ELF program asks for a dynamic linker; none where it is no 64-bit little-endian ELF (elf(5)).
fn has_interpreter(bytes: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    let field = |at: usize, length: usize| {
        let mut value = [0; 8];
        value[..length].copy_from_slice(bytes.get(at..at.checked_add(length)?)?);
        Some(u64::from_le_bytes(value))
    };
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (field(0x20, 8)?, field(0x36, 2)?, field(0x38, 2)?);
    for index in 0..count {
        let at = usize::try_from(table.checked_add(index * size)?).ok()?;
        if field(at, 4)? == u64::from(PT_INTERP) {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_program_itself_has_a_dynamic_linker() {
        let own = fs::read("/proc/self/exe").expect("the own program");
        let is_static = cfg!(target_feature = "crt-static");
        assert_eq!(has_interpreter(&own), Some(!is_static));
    }

    #[test]
    fn what_is_no_program_is_told_from_one() {
        assert_eq!(has_interpreter(b"#!/bin/sh"), None);
        let mut cut = vec![0; 0x3a];
        cut[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(has_interpreter(&cut), Some(false));
        // A program header table far behind the end of the file.
        cut[0x20..0x28].copy_from_slice(&u64::MAX.to_le_bytes());
        cut[0x38] = 1;
        assert_eq!(has_interpreter(&cut), None);
    }

    #[test]
    fn a_missing_program_is_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let found = findings(folder.path());
        let states: Vec<_> = found.iter().map(|finding| finding.state).collect();
        assert_eq!(states, [State::Missing, State::Missing, State::Degraded], "{found:?}");
        fs::write(folder.path().join(WORKER), "#!/bin/sh").expect("written");
        assert!(findings(folder.path())[0].found.ends_with("is not a 64-bit program"));
    }
}
