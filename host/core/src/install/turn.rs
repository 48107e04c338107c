//! One change at a time, whichever process makes it.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use stockade_policy::stands;

use super::InstallError;
use crate::private::private_folder;

const FILE: &str = "installed.lock";
/// How often it is tried again.
const AGAIN: Duration = Duration::from_millis(50);
/// Longest that is read of who has it.
const MOST: u64 = 256;

/// That this process changes what is installed, until it is dropped. The kernel lets go of it with the process, however
/// that ends.
#[derive(Debug)]
pub struct Turn {
    file: File,
}

impl Turn {
    /// Takes it, and waits as long as that for whoever has it. `what` is told to whoever waits for this one; `waits` is told
    /// who has it now, once.
    ///
    /// # Errors
    ///
    /// Somebody has it still, or it cannot be taken.
    pub fn take(
        state: &Path,
        what: &str,
        patience: Duration,
        waits: impl FnOnce(&str),
    ) -> Result<Turn, InstallError> {
        let path = state.join(FILE);
        let failed = |source| InstallError::File { path: path.clone(), what: "locked", source };
        private_folder(state).map_err(failed)?;
        let mut options = File::options();
        options.create(true).read(true).write(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        let until = Instant::now() + patience;
        let mut waits = Some(waits);
        while stands("install.turn") {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            let holder = holder(&mut file).map_err(failed)?;
            if Instant::now() >= until {
                return Err(InstallError::Busy { holder });
            }
            if let Some(tell) = waits.take() {
                tell(&holder);
            }
            std::thread::sleep(AGAIN);
        }
        let text = format!("process {} ({what})", std::process::id());
        // Who it is, is only for whoever waits: where it cannot be written, they are told less.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        Ok(Turn { file })
    }
}

fn holder(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.take(MOST).read_to_string(&mut text)?;
    Ok(if text.is_empty() { "another process".to_owned() } else { text })
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_waits_or_is_told_who_has_it() {
        let state = tempfile::tempdir().unwrap();
        let turn = Turn::take(state.path(), "install a/b", Duration::ZERO, |_| {}).unwrap();
        let mut told = None;
        let error = Turn::take(state.path(), "install c/d", Duration::from_millis(80), |who| {
            told = Some(who.to_owned());
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains(&format!("process {} (install a/b)", std::process::id())), "{error}");
        assert!(told.unwrap().contains("install a/b"));
        drop(turn);
        Turn::take(state.path(), "install c/d", Duration::ZERO, |_| panic!("nobody has it")).unwrap();
    }
}
