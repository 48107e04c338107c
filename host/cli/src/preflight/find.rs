//! Which plugins are meant: those that are named, those below a folder, those that somebody has changed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use stockade_package::{MANIFEST_FILE, Manifest, Problem};

use crate::exit::Exit;
use crate::failure::Failure;

/// How deep below a folder plugins are looked for.
const MAX_DEPTH: usize = 16;
/// How many plugins one command looks at: 10,000.
const MAX_PLUGINS: usize = 10_000;
/// Folders that hold what was made of sources, and never a plugin's own manifest.
const MADE: [&str; 2] = ["target", "node_modules"];

/// A plugin, by where it is.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Its folder, its package, or its component.
    pub(super) path: PathBuf,
}

impl Found {
    pub(super) fn is_folder(&self) -> bool {
        self.path.is_dir()
    }

    /// The file that people look into, whatever is wrong.
    pub(super) fn file(&self) -> PathBuf {
        if self.is_folder() { self.path.join(MANIFEST_FILE) } else { self.path.clone() }
    }
}

/// The plugins at these paths and below them, each once.
pub(super) fn plugins(paths: &[PathBuf]) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        let path = match path.file_name() == Some(OsStr::new(MANIFEST_FILE)) {
            true => path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new(".")),
            false => path,
        };
        let before = found.len();
        if path.is_dir() && !path.join(MANIFEST_FILE).exists() {
            below(path, 0, &mut found)?;
        }
        // What holds no plugin is told as one that is none.
        if found.len() == before {
            found.push(Found { path: path.to_owned() });
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|found: &Found| seen.insert(found.path.clone()));
    Ok(found)
}

fn below(folder: &Path, depth: usize, found: &mut Vec<Found>) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| {
        let message = format!("{} cannot be read: {error}", folder.display());
        Failure::usage("plugin-unreadable", "PATH", message, "check that this user may read it")
    };
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let is_made = MADE.iter().any(|made| name == *made) || name.as_bytes().starts_with(b".");
        // Of a link, the type is that of the link: what is elsewhere is not below here.
        if !is_made && entry.file_type().map_err(unreadable)?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    for folder in folders {
        if folder.join(MANIFEST_FILE).exists() {
            found.push(Found { path: folder });
        } else if depth < MAX_DEPTH {
            below(&folder, depth + 1, found)?;
        }
        if found.len() > MAX_PLUGINS {
            let message = format!("there are more than {MAX_PLUGINS} plugins");
            return Err(Failure::usage("too-many-plugins", "PATH", message, "name fewer at once"));
        }
    }
    Ok(())
}

/// Those of which something has changed since a revision, and those that depend on them.
pub(super) fn changed(
    found: Vec<Found>,
    manifests: &[Option<Manifest>],
    roots: &[PathBuf],
    revision: &str,
) -> Result<Vec<Found>, Failure> {
    let mut files = Vec::new();
    for root in roots {
        files.extend(changed_files(root, revision)?);
    }
    let touched = |found: &Found| {
        let path = fs::canonicalize(&found.path).unwrap_or_else(|_| found.path.clone());
        files.iter().any(|file| file.starts_with(&path))
    };
    let mut chosen: Vec<bool> = found.iter().map(touched).collect();
    // Whoever depends on a changed plugin may not go together with it any more.
    loop {
        let names: BTreeSet<&str> = manifests
            .iter()
            .zip(&chosen)
            .filter_map(|(manifest, chosen)| Some(manifest.as_ref().filter(|_| *chosen)?.name.as_str()))
            .collect();
        let depends = |manifest: &Manifest| {
            manifest.dependencies.iter().any(|dependency| names.contains(dependency.plugin.as_str()))
        };
        let more: Vec<usize> = (0..found.len())
            .filter(|&number| !chosen[number] && manifests[number].as_ref().is_some_and(depends))
            .collect();
        if more.is_empty() {
            break;
        }
        more.into_iter().for_each(|number| chosen[number] = true);
    }
    Ok(found.into_iter().zip(chosen).filter_map(|(found, chosen)| chosen.then_some(found)).collect())
}

/// The files of a repository that differ from a revision, those that git does not have yet among them.
fn changed_files(root: &Path, revision: &str) -> Result<Vec<PathBuf>, Failure> {
    let folder = if root.is_dir() { root } else { root.parent().unwrap_or(root) };
    let folder = if folder == Path::new("") { Path::new(".") } else { folder };
    let top = git(folder, &["rev-parse", "--show-toplevel"])?;
    let top = PathBuf::from(OsStr::from_bytes(top.strip_suffix(b"\n").unwrap_or(&top)));
    let top = fs::canonicalize(&top).unwrap_or(top);
    // Both names of what was renamed; and what the revision is called is never an option.
    let differ = git(
        folder,
        &["diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--end-of-options", revision, "--"],
    )?;
    let new = git(folder, &["ls-files", "--others", "--exclude-standard", "--full-name", "-z"])?;
    let names = differ.split(|byte| *byte == 0).chain(new.split(|byte| *byte == 0));
    Ok(names.filter(|name| !name.is_empty()).map(|name| top.join(OsStr::from_bytes(name))).collect())
}

fn git(folder: &Path, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
    let failed = |message: String| {
        let next = "run it in a git repository that has this revision; a shallow clone may lack it";
        Failure::new(Exit::Usage, Problem::new("git-failed", "--changed-since", message, next))
    };
    // No monitor of the repository's own is started.
    let ran = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "core.fsmonitor=false"])
        .args(arguments)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| failed(format!("git cannot be run: {error}")))?;
    match ran.status.success() {
        true => Ok(ran.stdout),
        false => Err(failed(String::from_utf8_lossy(&ran.stderr).trim().to_owned())),
    }
}
