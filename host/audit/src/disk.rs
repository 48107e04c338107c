//! Every change that the log makes on the disk, one function for each call.
//!
//! In this crate's own tests each is written down as well, so that the states in which a power cut can leave
//! the directory can be built and opened (`powercut.rs`).

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use nix::fcntl::OFlag;

/// Makes a file that was not there, to be written at its end. Its owner alone can read it; and auditors, where its
/// directory is theirs ([`readable_by`]).
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let file = create_secret(path)?;
    let shared =
        path.parent().map(fs::metadata).transpose()?.is_some_and(|dir| dir.mode() & SHARED == SHARED);
    if shared {
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    }
    Ok(file)
}

/// The mode of a directory that a group of auditors reads: the group of what is made in it is the same.
const DIR_MODE: u32 = 0o2750;
/// What tells such a directory from others.
const SHARED: u32 = 0o2040;
/// The mode of a file in it.
const FILE_MODE: u32 = 0o640;

/// Gives a group the right to read what is in the directory and what will be, but for `secret` names.
pub(crate) fn readable_by(dir: &Path, group: u32, secret: impl Fn(&str) -> bool) -> io::Result<()> {
    chown(dir, None, Some(group))?;
    fs::set_permissions(dir, Permissions::from_mode(DIR_MODE))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() || entry.file_name().to_str().is_none_or(&secret) {
            continue;
        }
        // The directory is this user's alone to write: nobody puts a link in a file's place meanwhile.
        chown(entry.path(), None, Some(group))?;
        fs::set_permissions(entry.path(), Permissions::from_mode(FILE_MODE))?;
    }
    Ok(())
}

/// The same for its owner alone.
pub(crate) fn create_secret(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .append(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)?;
    #[cfg(test)]
    crate::powercut::created(path, &file);
    Ok(file)
}

/// One write(2) at the end of the file; says how much the kernel took.
pub(crate) fn write(file: &File, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match nix::unistd::write(file, bytes) {
            Ok(written) => {
                #[cfg(test)]
                crate::powercut::written(file, &bytes[..written]);
                return Ok(written);
            }
            Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Writes all of it, where a part of it does no harm.
pub(crate) fn write_all(file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(file, bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

/// Cuts the file off.
pub(crate) fn cut(file: &File, length: u64) -> io::Result<()> {
    file.set_len(length)?;
    #[cfg(test)]
    crate::powercut::cut(file, length);
    Ok(())
}

/// Brings what was written to the file to the disk.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    file.sync_data()?;
    #[cfg(test)]
    crate::powercut::synced(file);
    Ok(())
}

/// Makes changes of names in the directory durable.
pub(crate) fn sync_names(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()?;
    #[cfg(test)]
    crate::powercut::names_synced(dir);
    Ok(())
}

/// Gives a file another name, which must not be taken.
pub(crate) fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    #[cfg(test)]
    crate::powercut::linked(from, to);
    Ok(())
}

/// Puts a file in the place of another.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    #[cfg(test)]
    crate::powercut::renamed(from, to);
    Ok(())
}

/// Takes a name away.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    #[cfg(test)]
    crate::powercut::removed(path);
    Ok(())
}

/// The same where it may not be there.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Puts `content` in the place of the file `path`, whole and on the disk or not at all.
pub(crate) fn replace(dir: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    replace_by(dir, path, content, create)
}

/// The same for its owner alone.
pub(crate) fn replace_secret(dir: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    replace_by(dir, path, content, create_secret)
}

fn replace_by(
    dir: &Path,
    path: &Path,
    content: &[u8],
    create: impl Fn(&Path) -> io::Result<File>,
) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(NEW);
    let new = Path::new(&name);
    remove_if_there(new)?;
    let file = create(new)?;
    write_all(&file, content)?;
    sync(&file)?;
    rename(new, path)?;
    sync_names(dir)
}

/// What a file is called until it takes its place.
pub(crate) const NEW: &str = ".new";
