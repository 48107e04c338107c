//! Tells whether a guest is older than what it is made of, by content: a clone has no useful times.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{Places, Recipe};

/// Raised when a recipe changes so that its old results are wrong.
const RECIPES: &str = "1";

pub(super) struct Stamp {
    path: PathBuf,
    digest: String,
}

impl Stamp {
    pub(super) fn of(places: &Places, recipe: &Recipe<'_>) -> Result<Self> {
        let mut hash = Sha256::new_with_prefix(RECIPES);
        for input in recipe.inputs {
            add(&mut hash, &places.root, Path::new(input))?;
        }
        let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = places.work.join("stamps");
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self { path: folder.join(recipe.name), digest })
    }

    /// The toolchain that built `output` from these very inputs.
    pub(super) fn up_to_date(&self, output: &Path) -> Option<String> {
        let stamp = fs::read_to_string(&self.path).ok()?;
        let (digest, toolchain) = stamp.split_once('\n')?;
        (digest == self.digest && output.is_file()).then(|| toolchain.to_owned())
    }

    pub(super) fn put(&self, toolchain: &str) -> Result<()> {
        fs::write(&self.path, format!("{}\n{toolchain}", self.digest))
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn add(hash: &mut Sha256, root: &Path, relative: &Path) -> Result<()> {
    let path = root.join(relative);
    if path.is_dir() {
        let mut entries = fs::read_dir(&path)?.collect::<std::io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            add(hash, root, &relative.join(entry.file_name()))?;
        }
        return Ok(());
    }
    // The lock file is written by the first build of a fresh workspace.
    let content = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && relative.ends_with("Cargo.lock") => {
            vec![]
        }
        content => content.with_context(|| format!("cannot read {}", path.display()))?,
    };
    hash.update(relative.as_os_str().as_encoded_bytes());
    hash.update(content.len().to_le_bytes());
    hash.update(content);
    Ok(())
}
