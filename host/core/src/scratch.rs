//! A directory of a plugin's own, for what it needs for a while.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use stockade_policy::GuestPath;

use crate::load::GrantRequest;
use crate::memfd::hex;

/// Where it stands in the plugin's view.
const ROOT: &str = "/scratch";
const FOLDER: &str = "scratch";

/// What a plugin may do there: everything.
pub(crate) fn grants(path: &Path) -> [GrantRequest; 4] {
    let root = || GuestPath::parse(ROOT).expect("a path of ours");
    [
        GrantRequest::read_tree(path, root()),
        GrantRequest::write_tree(path, root()),
        GrantRequest::create_in_tree(path, root()),
        GrantRequest::delete_in_tree(path, root()),
    ]
}

/// Goes with the plugin, and what is in it with every worker.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// Locked for as long as it is in use.
    _directory: fs::File,
}

impl Scratch {
    /// Makes one below the state folder, for nobody but this user.
    pub(crate) fn make(state: &Path) -> io::Result<Scratch> {
        let mut name = [0; 16];
        getrandom::fill(&mut name).map_err(io::Error::other)?;
        let path = state.join(FOLDER).join(hex(&name));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let directory = fs::File::open(&path)?;
        directory.try_lock()?;
        Ok(Scratch { path, _directory: directory })
    }

    /// Removes what hosts that were killed have left.
    pub(crate) fn remove_left(state: &Path) -> io::Result<()> {
        let left = match fs::read_dir(state.join(FOLDER)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            left => left?,
        };
        for entry in left {
            let path = entry?.path();
            if fs::File::open(&path)?.try_lock().is_ok() {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what is in it.
    pub(crate) fn empty(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(target: "stockade::host", %error, "a scratch folder is left until the next start");
        }
    }
}
