//! The same test programs as a user who owns nothing. The checkout may be in a folder which that user
//! cannot enter, so everything a test needs is copied to one that it can.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context, Result, ensure};

use super::{Stage, copy};
use crate::cargo::Executable;
use crate::ui::{OK, Step};
use crate::workspace;

/// `nobody`, by the number that it has on every distribution.
const NOBODY: u32 = 65_534;

/// Packages whose tests do not depend on who runs them.
const SAME_FOR_EVERYBODY: [&str; 2] = ["policy", "xtask"];

/// A copy of what tests need. Removed when dropped.
pub(super) struct Copied {
    pub(super) stage: Stage,
    pub(super) tests: Vec<Executable>,
    /// For root's temporary files, where both run at the same time.
    pub(super) apart: PathBuf,
    folder: PathBuf,
}

impl Drop for Copied {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

/// Copies what `stage` has to where an unprivileged user can read it.
pub(super) fn stage(stage: &Stage, tests: &[Executable]) -> Result<Copied> {
    let mut step = Step::begin("a copy for the unprivileged user");
    let folder = std::env::temp_dir().join(format!("stockade-test-{}", process::id()));
    let mut copied = Copied {
        stage: Stage {
            user: "nobody",
            uid: Some(NOBODY),
            tree: folder.join("tree"),
            dist: folder.join("dist"),
            guests: folder.join("guests"),
            examples: folder.join("tree/examples"),
            home: Some(folder.join("home")),
            tmp: Some(folder.join("tmp")),
            peers: Vec::new(),
        },
        tests: Vec::new(),
        apart: folder.join("apart"),
        folder: folder.clone(),
    };
    fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    tree(&copied.stage.tree)?;
    copy(&stage.dist, &copied.stage.dist)?;
    if stage.guests.exists() {
        copy(&stage.guests, &copied.stage.guests)?;
    }
    fs::create_dir(folder.join("tests"))?;
    for test in tests {
        let package = test.package.strip_prefix(workspace::root()).unwrap_or(&test.package);
        if SAME_FOR_EVERYBODY.iter().any(|same| package.starts_with(same)) {
            continue;
        }
        let name = test.file.file_name().context("a test program without a name")?;
        step.detail(&name.to_string_lossy());
        let file = folder.join("tests").join(name);
        fs::copy(&test.file, &file).with_context(|| format!("cannot copy {}", test.file.display()))?;
        copied.tests.push(Executable { file, ..test.clone() });
    }
    open_to_all(&folder)?;
    for own in ["home", "tmp"] {
        let own = folder.join(own);
        fs::create_dir(&own)?;
        fs::set_permissions(&own, Permissions::from_mode(0o700))?;
        chown(&own, Some(NOBODY), Some(NOBODY))?;
    }
    fs::create_dir(&copied.apart)?;
    step.end(OK, "");
    Ok(copied)
}

/// Every file of the repository that git knows or would add, and the built parts of the examples.
fn tree(to: &Path) -> Result<()> {
    let root = workspace::root();
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git does not start")?;
    ensure!(
        listed.status.success(),
        "git ls-files failed: {}",
        String::from_utf8_lossy(&listed.stderr).trim()
    );
    for name in listed.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(name);
        let from = root.join(&*name);
        // Deleted and not committed yet.
        if !from.exists() {
            continue;
        }
        let to = to.join(&*name);
        fs::create_dir_all(to.parent().context("a file without a folder")?)?;
        copy(&from, &to)?;
    }
    // The built parts are git's to ignore.
    for entry in fs::read_dir(root.join("examples"))? {
        let example = entry?.path();
        let files = if example.is_dir() { fs::read_dir(&example)?.collect() } else { Vec::new() };
        for file in files {
            let file = file?.path();
            if file.extension().is_some_and(|extension| extension == "wasm") {
                let to = to.join(file.strip_prefix(root)?);
                fs::create_dir_all(to.parent().context("a file without a folder")?)?;
                copy(&file, &to)?;
            }
        }
    }
    Ok(())
}

fn open_to_all(path: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
        for entry in fs::read_dir(path)? {
            open_to_all(&entry?.path())?;
        }
    } else if metadata.is_file() {
        let readable = metadata.permissions().mode() & 0o777 | 0o444;
        let mode = if readable & 0o111 == 0 { readable } else { readable | 0o111 };
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}
