use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::memfd::{SealedFile, Use};

/// The confined programs, as the host executes them: copied once, sealed, and executed from there, so
/// that the digest in every attestation is the digest of what runs.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) worker: SealedFile,
    pub(crate) compiler: SealedFile,
}

/// The program that reads the kernel's own records; a host does without it where it is not installed.
#[derive(Debug)]
pub(crate) enum KernelLog {
    Found(SealedFile),
    /// Where it should be; it is not there, or cannot be read.
    Missing(PathBuf),
}

/// Its name, beside the others and in the process list.
pub(crate) const KERNEL_LOG: &str = "stockade-kernel-log";

/// A confined program that could not be taken in.
#[derive(Debug, thiserror::Error)]
#[error("the program {path} could not be read")]
pub struct ProgramError {
    /// Where it should be.
    pub path: PathBuf,
    #[source]
    source: io::Error,
}

/// Far more than either program takes; a device or a wrong file must not fill the memory.
const MAX_PROGRAM: u64 = 256 * 1024 * 1024;

impl Programs {
    /// Takes both programs in from a folder.
    pub(crate) fn load(folder: &Path) -> Result<Programs, ProgramError> {
        Ok(Programs {
            worker: read(&folder.join("stockade-worker"))?,
            compiler: read(&folder.join("stockade-compiler"))?,
        })
    }

    /// Takes in the program that reads the kernel's records, from the same folder.
    pub(crate) fn kernel_log(folder: &Path) -> KernelLog {
        read(&folder.join(KERNEL_LOG)).map_or_else(|error| KernelLog::Missing(error.path), KernelLog::Found)
    }

    /// Where an installed host finds them: beside its own executable.
    pub(crate) fn folder() -> io::Result<PathBuf> {
        let own = std::env::current_exe()?;
        own.parent().map(Path::to_owned).ok_or_else(|| io::Error::other("the executable has no folder"))
    }
}

fn read(path: &Path) -> Result<SealedFile, ProgramError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    File::open(path)
        .and_then(|mut file| SealedFile::copy(&name, Use::Program, &mut file, MAX_PROGRAM))
        .map_err(|source| ProgramError { path: path.to_owned(), source })
}
