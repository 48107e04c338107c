//! Every change that the log makes on the disk, one function for each call.
//!
//! In this crate's own tests each is written down as well, so that the states in which a power cut can leave
//! the directory can be built and opened (`powercut.rs`).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// Makes a file that was not there, for its owner alone, to be written at its end.
pub(crate) fn create(path: &Path) -> io::Result<File> {
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
