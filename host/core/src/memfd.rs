use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use sha2::{Digest, Sha256};
use stockade_policy::stands;

/// Bytes that nobody can change any more: copied once into a memfd, sealed, hashed there. Nothing is
/// read twice from where it came, so what was checked is what is used.
#[derive(Debug)]
pub(crate) struct SealedFile {
    fd: OwnedFd,
    digest: [u8; 32],
    len: u64,
}

/// What a sealed file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Data, or code that is only ever mapped. Cannot be executed as a program.
    Data,
    /// A confined program of ours.
    Program,
}

// Linux 6.3; nix has no names for them yet.
const MFD_NOEXEC_SEAL: u32 = 0x0008;
const MFD_EXEC: u32 = 0x0010;

impl Use {
    fn flags(self) -> MFdFlags {
        let mode = match self {
            Use::Data if stands("memfd.no-exec") => MFD_NOEXEC_SEAL,
            Use::Data => MFD_EXEC,
            Use::Program => MFD_EXEC,
        };
        MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING | MFdFlags::from_bits_retain(mode)
    }
}

/// An empty memfd, still writable.
pub(crate) fn empty(name: &str, purpose: Use) -> io::Result<File> {
    Ok(memfd_create(name, purpose.flags())?.into())
}

/// What is read at once of programs and artifacts, which have some MiB: by 8 KiB, as is usual, an install has 9,000 calls of
/// the kernel more.
const CHUNK: usize = 256 * 1024;

fn in_chunks<R: Read>(source: R) -> BufReader<R> {
    BufReader::with_capacity(CHUNK, source)
}

impl SealedFile {
    /// Copies `source` to its end, refusing more than `max` bytes.
    pub(crate) fn copy(name: &str, purpose: Use, source: &mut dyn Read, max: u64) -> io::Result<SealedFile> {
        let mut file = empty(name, purpose)?;
        let copied = io::copy(&mut in_chunks(source.take(max + 1)), &mut file)?;
        if copied > max && stands("memfd.cap") {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {max} bytes")));
        }
        Self::seal(file)
    }

    /// Copies bytes.
    pub(crate) fn of(name: &str, purpose: Use, bytes: &[u8]) -> io::Result<SealedFile> {
        let mut file = empty(name, purpose)?;
        file.write_all(bytes)?;
        Self::seal(file)
    }

    /// Seals what was written to `file` and opens it anew, read-only. A mapping that could still write
    /// makes sealing fail, so afterwards there is none.
    pub(crate) fn seal(mut file: File) -> io::Result<SealedFile> {
        let seals = [
            ("memfd.seal-seals", SealFlag::F_SEAL_SEAL),
            ("memfd.seal-shrink", SealFlag::F_SEAL_SHRINK),
            ("memfd.seal-grow", SealFlag::F_SEAL_GROW),
            ("memfd.seal-write", SealFlag::F_SEAL_WRITE),
        ];
        let seals = seals.iter().filter(|seal| stands(seal.0)).map(|seal| seal.1).collect();
        // The kernel may be moving a page of the file just now, and says busy as it does for a mapping.
        let mut tries = 0;
        while let Err(error) = fcntl(&file, FcntlArg::F_ADD_SEALS(seals)) {
            tries += 1;
            if error != Errno::EBUSY || tries == 5 {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        file.rewind()?;
        let mut hash = Sha256::new();
        let len = io::copy(&mut in_chunks(&mut file), &mut hash)?;
        // The description that could write is closed with `file`; this one never could.
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let access = if stands("memfd.read-only") { OFlag::O_RDONLY } else { OFlag::O_RDWR };
        let fd = nix::fcntl::open(path.as_str(), access | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok(SealedFile { fd, digest: hash.finalize().into(), len })
    }

    /// SHA-256 of the content.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The whole content.
    pub(crate) fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.len as usize];
        let file = File::from(self.fd.try_clone()?);
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

impl AsFd for SealedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_cannot_be_changed_through_any_descriptor() {
        let sealed = SealedFile::of("test", Use::Data, b"content").unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&sealed.fd));
        if let Ok(again) = std::fs::OpenOptions::new().write(true).open(path) {
            assert!(again.write_at(b"x", 0).is_err());
            assert!(again.set_len(0).is_err());
        }
        assert_eq!(sealed.bytes().unwrap(), b"content");
    }

    #[test]
    fn sealed_bytes_have_every_seal() {
        let sealed = SealedFile::of("test", Use::Data, b"content").unwrap();
        let seals = SealFlag::from_bits_retain(fcntl(&sealed.fd, FcntlArg::F_GET_SEALS).unwrap());
        for seal in
            [SealFlag::F_SEAL_SEAL, SealFlag::F_SEAL_SHRINK, SealFlag::F_SEAL_GROW, SealFlag::F_SEAL_WRITE]
        {
            assert!(seals.contains(seal), "{seal:?} is not among {seals:?}");
        }
    }

    #[test]
    fn data_cannot_be_executed_and_no_descriptor_of_it_writes() {
        use std::os::unix::fs::PermissionsExt;

        let mode = |purpose| {
            let file = File::from(SealedFile::of("test", purpose, b"#!/bin/sh").unwrap().fd);
            file.metadata().unwrap().permissions().mode() & 0o111
        };
        assert_eq!(mode(Use::Data), 0);
        assert_ne!(mode(Use::Program), 0, "the check cannot tell");
        let sealed = SealedFile::of("test", Use::Data, b"content").unwrap();
        let flags = OFlag::from_bits_retain(fcntl(&sealed.fd, FcntlArg::F_GETFL).unwrap());
        assert_eq!(flags & OFlag::O_ACCMODE, OFlag::O_RDONLY);
    }

    #[test]
    fn a_source_over_its_cap_is_refused() {
        let error = SealedFile::copy("test", Use::Data, &mut &b"12345"[..], 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
