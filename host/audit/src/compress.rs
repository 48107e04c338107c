//! Closed segments are compressed, so that `zcat` reads them.

use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::blocks::Packer;
use crate::segments::{self, GZIP, Name, PART};
use crate::shared::Shared;
use crate::{AuditError, bounds, disk};

impl Shared {
    /// Compresses closed segments and removes what is not to be kept. Begins where a crash interrupted it.
    pub(crate) fn tidy(&self) -> Result<(), AuditError> {
        let _one = self.tidying.lock().map_err(|_| AuditError::Poisoned)?;
        let (dir, current) = {
            let inner = self.inner()?;
            (inner.writer.place.dir.clone(), inner.writer.first)
        };
        let certified = self.notary()?.size;
        self.remove_left_over(&dir)?;
        let names = segments::names(&dir).map_err(|source| listing(&dir, source))?;
        for (place, name) in names.iter().enumerate() {
            let next = names[place + 1..].iter().map(|next| next.first).find(|first| *first > name.first);
            let end = next.unwrap_or(current);
            if self.segments.compress && !name.gzip && end <= certified {
                compress(&dir, name).map_err(|source| AuditError::Segment {
                    step: "compress",
                    path: dir.join(&name.file),
                    source,
                })?;
            }
            if self.work().stop {
                return Ok(());
            }
        }
        self.retain(&dir)
    }
}

pub(crate) fn listing(dir: &Path, source: io::Error) -> AuditError {
    AuditError::Directory { path: dir.to_owned(), source }
}

/// Puts a compressed file in the place of a plain one, after it was read back and found to be the same.
fn compress(dir: &Path, name: &Name) -> io::Result<()> {
    let plain = dir.join(&name.file);
    let packed = dir.join(format!("{}{GZIP}", name.file));
    let digest = if packed.exists() {
        // A crash came between; what was made then counts if it is whole.
        digest(segments::open(&plain)?)?
    } else {
        pack(dir, &plain, &packed)?
    };
    let unpacked = MultiGzDecoder::new(io::BufReader::new(segments::open(&packed)?));
    if self::digest(unpacked.take(bounds::SEGMENT_MOST))? != digest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the compressed file is not the same"));
    }
    disk::remove(&plain)?;
    disk::sync_names(dir)
}

/// Says the digest of what was packed.
fn pack(dir: &Path, plain: &Path, packed: &Path) -> io::Result<[u8; 32]> {
    let part = packed.with_extension(format!("gz{PART}"));
    disk::remove_if_there(&part)?;
    let file = disk::create(&part)?;
    let mut input = segments::open(plain)?;
    let mut digest = Sha256::new();
    let mut packer = Packer::new(BufWriter::with_capacity(bounds::READ_BUFFER, Output(&file)));
    let mut buffer = vec![0; bounds::READ_BUFFER];
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
        packer.write(&buffer[..read])?;
    }
    packer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    disk::sync(&file)?;
    disk::rename(&part, packed)?;
    disk::sync_names(dir)?;
    Ok(digest.finalize().into())
}

struct Output<'a>(&'a std::fs::File);

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        disk::write(self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn digest(mut input: impl Read) -> io::Result<[u8; 32]> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; bounds::READ_BUFFER];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(digest.finalize().into()),
            read => digest.update(&buffer[..read]),
        }
    }
}
