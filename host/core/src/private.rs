//! What in the state folder is this user's alone: folders, files, and keys with the MACs that are made under them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use stockade_policy::stands;

use crate::memfd::hex;

/// Opens a file of ours: no link, nobody else's.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() && meta.uid() == nix::unistd::geteuid().as_raw() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a file of this user"))
    }
}

/// Makes a folder that only this user can enter, or checks that it is one.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let meta = fs::symlink_metadata(path)?;
    if meta.uid() != nix::unistd::geteuid().as_raw() || meta.mode() & 0o022 != 0 && stands("cache.private") {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the folder belongs to somebody else or others can write to it",
        ));
    }
    Ok(())
}

/// The key in a file, which is made where there is none: whole, or not at all. Whoever is killed meanwhile leaves none.
pub(crate) fn key(path: &Path) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    if let Ok(mut file) = open_own(path) {
        file.read_exact(&mut key)?;
        return Ok(key);
    }
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let number = getrandom::u64().map_err(io::Error::other)?;
    let temporary = path.with_extension(format!("key.{number:016x}"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let linked = file
        .write_all(&key)
        .and_then(|()| file.sync_all())
        // Another host may have been faster: the first key is the key.
        .and_then(|()| fs::hard_link(&temporary, path));
    let _ = fs::remove_file(&temporary);
    match linked {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            open_own(path)?.read_exact(&mut key)?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

/// A MAC of these parts, each with its length, so that none can be taken for a piece of another.
pub(crate) fn mac(key: &[u8; 32], parts: &[&[u8]]) -> io::Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(io::Error::other)?;
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    Ok(hex(&mac.finalize().into_bytes()))
}
