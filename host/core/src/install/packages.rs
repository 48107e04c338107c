//! The packages of installed plugins: files that are called by their digests. One is there whole before anything names it,
//! and is never written to.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use stockade_package::Package;
use stockade_policy::stands;

use super::{Generation, InstallError};
use crate::private::private_folder;

/// Packages, and those that are on their way.
const FOLDER: &str = "packages";
/// What the name of one that is on its way begins with.
const COMING: &str = "coming-";

fn file_name(digest: &str) -> String {
    format!("{}.stockade.tar", digest.replace(':', "-"))
}

/// Where the package with this digest lies.
pub(super) fn path(state: &Path, digest: &str) -> PathBuf {
    state.join(FOLDER).join(file_name(digest))
}

fn failed(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError::File { path, what, source }
}

/// A package on its way. It is gone with this, unless it was kept.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) path: PathBuf,
}

impl Coming {
    /// Writes it, down to the disk.
    pub(super) fn write(state: &Path, id: &str, bytes: &[u8]) -> Result<Coming, InstallError> {
        let folder = state.join(FOLDER);
        private_folder(&folder).map_err(failed(&folder, "made"))?;
        let coming = Coming { path: folder.join(format!("{COMING}{id}")) };
        let mut options = OpenOptions::new();
        let written =
            options.write(true).create_new(true).mode(0o600).open(&coming.path).and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            });
        written.map_err(failed(&coming.path, "written"))?;
        Ok(coming)
    }

    /// Gives it its place, where it is found by its digest.
    pub(super) fn keep(self, state: &Path, digest: &str) -> Result<(), InstallError> {
        let place = path(state, digest);
        let folder = state.join(FOLDER);
        let kept = fs::rename(&self.path, &place).and_then(|()| File::open(&folder)?.sync_all());
        kept.map_err(failed(&place, "written"))
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        // Not there where it was kept; what cannot be removed is swept with the next change.
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens the package of a generation: the one that was installed, and no other.
pub(super) fn open(state: &Path, generation: &Generation) -> Result<Package, InstallError> {
    let path = path(state, &generation.package);
    if !path.exists() {
        return Err(InstallError::Missing { plugin: generation.plugin.clone(), path });
    }
    let package = Package::open(&path, None)?;
    let found = package.digest.clone().unwrap_or_default();
    if found != generation.package && stands("install.pinned") {
        let expected = generation.package.clone();
        return Err(InstallError::Changed { plugin: generation.plugin.clone(), found, expected });
    }
    Ok(package)
}

/// Removes what nobody needs: packages that nothing installed names, and those that were on their way when a process ended.
/// Only for whoever has the turn.
pub(super) fn sweep(state: &Path, needed: Vec<String>) {
    let needed: BTreeSet<String> = needed.iter().map(|digest| file_name(digest)).collect();
    let Ok(entries) = fs::read_dir(state.join(FOLDER)) else { return };
    for entry in entries.flatten() {
        let is_needed = entry.file_name().to_str().is_some_and(|name| needed.contains(name));
        if !is_needed && let Err(error) = fs::remove_file(entry.path()) {
            tracing::warn!(target: "stockade::host", path = %entry.path().display(), %error, "a package that nobody needs is left");
        }
    }
}
