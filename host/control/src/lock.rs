//! One host for a state folder: who it is stands in a file there, locked for as long as the host lives.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use stockade_policy::stands;

use crate::error::ControlError;

const FILE: &str = "host.lock";
/// Longest content that is read: several times what is written.
const MOST: u64 = 16 * 1024;

/// The host that uses a state folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// Its control socket.
    pub socket: PathBuf,
    /// When it was started, in seconds since 1970.
    pub since: u64,
    /// Its version.
    pub version: String,
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the host with process id {}, whose socket is {},", self.pid, self.socket.display())
    }
}

impl Running {
    /// This process, from now on.
    pub fn here(socket: PathBuf) -> Running {
        Running {
            pid: std::process::id(),
            socket,
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The host that uses `state` now, if there is one.
    pub fn find(state: &Path) -> io::Result<Option<Running>> {
        let mut file = match File::open(state.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // The kernel lets go of the lock with the process, however it ended.
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => read(&mut file).map(Some),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn read(file: &mut File) -> io::Result<Running> {
    let mut text = String::new();
    file.rewind()?;
    file.take(MOST).read_to_string(&mut text)?;
    // A host that has just begun has the lock and has written nothing yet.
    serde_json::from_str(&text).map_err(io::Error::other)
}

/// That this process is the one host of a state folder; until it is dropped.
#[derive(Debug)]
pub struct StateLock {
    file: File,
}

impl StateLock {
    /// Takes a state folder, which is made where it is missing, and says there who has it.
    pub fn take(state: &Path, running: &Running) -> Result<StateLock, ControlError> {
        let path = state.join(FILE);
        let unusable = |source| ControlError::Lock { path: path.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(unusable)?;
        let mut options = File::options();
        options.create(true).read(true).write(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if stands("state.lock") => {
                let running = read(&mut file).map_err(unusable)?;
                return Err(ControlError::Taken { state: state.to_owned(), running });
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let text = serde_json::to_string(running).expect("numbers and texts");
        file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(unusable)?;
        Ok(StateLock { file })
    }
}

impl Drop for StateLock {
    fn drop(&mut self) {
        // Nobody is named who is not there; a reader asks for the lock all the same.
        let _ = self.file.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_host_is_refused_and_told_of_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let running = Running { pid: 7, socket: "/run/s".into(), since: 1, version: "1".to_owned() };
        assert_eq!(Running::find(&state).expect("looked"), None);
        let lock = StateLock::take(&state, &running).expect("the first");
        assert_eq!(Running::find(&state).expect("looked"), Some(running.clone()));
        let error = StateLock::take(&state, &Running { pid: 8, ..running.clone() }).expect_err("the second");
        assert!(error.to_string().contains("process id 7"), "{error}");
        drop(lock);
        assert_eq!(Running::find(&state).expect("looked"), None);
        StateLock::take(&state, &running).expect("free again");
    }
}
