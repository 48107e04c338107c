//! The archive around a package's files: tar, of the plainest kind (ustar), with nothing of the machine that wrote it.

use std::io::{self, Write};

use stockade_policy::stands;

use super::ArchiveError;
use super::layout::File;

/// Files of a package.
const FILES: usize = 5;

/// The contents of the archive's files as it has them; [`compare`] says whether they are what they seem.
pub(super) fn contents(bytes: &[u8]) -> Result<[&[u8]; FILES], ArchiveError> {
    let broken = |_: io::Error| ArchiveError::Shape("its archive is broken");
    let mut found = [&[][..]; FILES];
    let mut archive = tar::Archive::new(bytes);
    let mut entries = archive.entries().map_err(broken)?;
    for content in &mut found {
        let entry = entries.next().ok_or(ArchiveError::Shape("files are missing"))?.map_err(broken)?;
        let range = usize::try_from(entry.raw_file_position()).ok().zip(usize::try_from(entry.size()).ok());
        *content = range
            .and_then(|(from, size)| bytes.get(from..from.checked_add(size)?))
            .ok_or(ArchiveError::Shape("it ends within a file"))?;
    }
    Ok(found)
}

fn write_to(to: impl Write, files: &[File<'_>; FILES]) -> io::Result<()> {
    let mut archive = tar::Builder::new(to);
    for (path, content, _) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, *content)?;
    }
    archive.finish()
}

pub(super) fn write(files: &[File<'_>; FILES]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_to(&mut bytes, files).expect("short names, and room");
    bytes
}

/// Says where `bytes` are not what these files make.
pub(super) fn compare(files: &[File<'_>; FILES], bytes: &[u8]) -> Result<(), ArchiveError> {
    let mut rest = Rest { all: bytes, at: 0 };
    let written = write_to(&mut rest, files);
    match written.is_ok() && rest.at == bytes.len() || !stands("package.canonical") {
        true => Ok(()),
        false => Err(ArchiveError::NotCanonical { at: rest.at as u64 }),
    }
}

/// Takes nothing but what is there.
struct Rest<'a> {
    all: &'a [u8],
    at: usize,
}

impl Write for Rest<'_> {
    fn write(&mut self, expected: &[u8]) -> io::Result<usize> {
        let found = &self.all[self.at..];
        let same = match found.starts_with(expected) {
            true => expected.len(),
            false => found.iter().zip(expected).take_while(|(found, expected)| found == expected).count(),
        };
        self.at += same;
        match same == expected.len() {
            true => Ok(same),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
