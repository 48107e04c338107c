//! What a power cut can leave, built from every change that the log made, and opened.
//!
//! Of what is asked of a file system: names change in the order in which they were changed, and are on the disk
//! once their directory was flushed; what a file has in it is on the disk once the file was flushed. Everything
//! since may be there, not be there, be there in part, or be zeros of the right length.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::{
    CheckpointPolicy, Decision, Head, Layer, Log, Options, Record, Retention, SegmentPolicy, Trust,
    VerifierKey, verify_with,
};

/// A change, or what the log promised.
#[derive(Clone, Debug)]
enum Change {
    Created {
        name: String,
        file: u64,
    },
    Written {
        file: u64,
        bytes: Vec<u8>,
    },
    Cut {
        file: u64,
        length: u64,
    },
    Synced {
        file: u64,
    },
    NamesSynced,
    Linked {
        from: String,
        to: String,
    },
    Renamed {
        from: String,
        to: String,
    },
    Removed {
        name: String,
    },
    /// This record is on the disk, the log said.
    Promised(Head),
}

/// The changes in each directory that is watched, and which files are in which.
static WATCHED: Mutex<Option<Watched>> = Mutex::new(None);

#[derive(Default)]
struct Watched {
    changes: HashMap<PathBuf, Vec<Change>>,
    files: HashMap<(u64, u64), PathBuf>,
}

fn watched<T>(with: impl FnOnce(&mut Watched) -> T) -> T {
    with(WATCHED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

fn in_dir(path: &Path, change: impl FnOnce(String) -> Change) {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return };
    watched(|watched| {
        if let Some(changes) = watched.changes.get_mut(dir) {
            changes.push(change(name.to_string_lossy().into_owned()));
        }
    });
}

fn of_file(file: &File, change: impl FnOnce(u64) -> Change) {
    let stat = file.metadata().unwrap();
    watched(|watched| {
        if let Some(dir) = watched.files.get(&(stat.dev(), stat.ino()))
            && let Some(changes) = watched.changes.get_mut(dir)
        {
            changes.push(change(stat.ino()));
        }
    });
}

pub(crate) fn created(path: &Path, file: &File) {
    let stat = file.metadata().unwrap();
    let dir = path.parent().unwrap().to_owned();
    watched(|watched| {
        if watched.changes.contains_key(&dir) {
            watched.files.insert((stat.dev(), stat.ino()), dir);
        } else {
            // The inode number of a file that is gone.
            watched.files.remove(&(stat.dev(), stat.ino()));
        }
    });
    in_dir(path, |name| Change::Created { name, file: stat.ino() });
}

pub(crate) fn written(file: &File, bytes: &[u8]) {
    of_file(file, |file| Change::Written { file, bytes: bytes.to_vec() });
}

pub(crate) fn cut(file: &File, length: u64) {
    of_file(file, |file| Change::Cut { file, length });
}

pub(crate) fn synced(file: &File) {
    of_file(file, |file| Change::Synced { file });
}

pub(crate) fn names_synced(dir: &Path) {
    watched(|watched| {
        if let Some(changes) = watched.changes.get_mut(dir) {
            changes.push(Change::NamesSynced);
        }
    });
}

pub(crate) fn linked(from: &Path, to: &Path) {
    let from = from.file_name().unwrap().to_string_lossy().into_owned();
    in_dir(to, |to| Change::Linked { from, to });
}

pub(crate) fn renamed(from: &Path, to: &Path) {
    let from = from.file_name().unwrap().to_string_lossy().into_owned();
    in_dir(to, |to| Change::Renamed { from, to });
}

pub(crate) fn removed(path: &Path) {
    in_dir(path, |name| Change::Removed { name });
}

/// How much of what was not flushed is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    All,
    HalfOfTheLast,
    Zeros,
}

/// The files of a directory after a cut.
fn after(changes: &[Change], names_too: bool, left: Left) -> BTreeMap<String, (usize, Vec<u8>)> {
    // Inode numbers are used again: each file is known by where it was created.
    let mut current: HashMap<u64, usize> = HashMap::new();
    let (mut flushed, mut written): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let mut last_write: Vec<usize> = Vec::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut flushed_names = names.clone();
    for change in changes {
        match change {
            Change::Created { name, file } => {
                current.insert(*file, written.len());
                names.insert(name.clone(), written.len());
                flushed.push(Vec::new());
                written.push(Vec::new());
                last_write.push(0);
            }
            Change::Written { file, bytes } => {
                let file = current[file];
                last_write[file] = bytes.len();
                written[file].extend_from_slice(bytes);
            }
            Change::Cut { file, length } => {
                let file = current[file];
                last_write[file] = 0;
                written[file].truncate(*length as usize);
            }
            Change::Synced { file } => {
                let file = current[file];
                last_write[file] = 0;
                flushed[file].clone_from(&written[file]);
            }
            Change::NamesSynced => flushed_names.clone_from(&names),
            Change::Linked { from, to } => drop(names.insert(to.clone(), names[from])),
            Change::Renamed { from, to } => {
                let file = names.remove(from).unwrap();
                names.insert(to.clone(), file);
            }
            Change::Removed { name } => drop(names.remove(name)),
            Change::Promised(_) => {}
        }
    }
    let content = |file: usize| match left {
        Left::Nothing => flushed[file].clone(),
        Left::All => written[file].clone(),
        Left::HalfOfTheLast => {
            let mut content = written[file].clone();
            content.truncate(content.len() - last_write[file] / 2);
            content
        }
        Left::Zeros => {
            let mut content = flushed[file].clone();
            content.resize(written[file].len().max(content.len()), 0);
            content
        }
    };
    let names = if names_too { names } else { flushed_names };
    names.into_iter().map(|(name, file)| (name, (file, content(file)))).collect()
}

/// A life of a log with everything in it: segments, compression, removal, another key, a second start.
fn live(dir: &Path) -> VerifierKey {
    let options = || Options {
        segments: SegmentPolicy { records: 6, ..SegmentPolicy::default() },
        checkpoints: CheckpointPolicy { records: 4, interval: Duration::from_secs(1000) },
        retention: Retention { segments: Some(3), ..Retention::default() },
        ..Options::default()
    };
    let promise = |head: Head| {
        watched(|watched| watched.changes.get_mut(dir).unwrap().push(Change::Promised(head)));
    };
    let record = |call| Record::new(Layer::Host, "refused", Decision::Denied).operation("fs.read").call(call);
    let log = Log::open_with(dir, options()).unwrap();
    let key = log.verifier_key().unwrap();
    for call in 0..30 {
        if call % 4 == 3 {
            promise(log.append_durable(&record(call)).unwrap().head());
        } else {
            log.append(&record(call)).unwrap();
        }
        if call == 12 || call == 25 {
            log.tidy().unwrap();
        }
        if call == 15 {
            log.change_key().unwrap();
        }
    }
    promise(log.close().unwrap());
    drop(log);
    let log = Log::open_with(dir, options()).unwrap();
    promise(log.append_durable(&record(99)).unwrap().head());
    drop(log);
    key
}

#[test]
fn g8_what_a_power_cut_leaves_at_any_moment_opens_verifies_and_has_all_that_was_promised() {
    let memory = || tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let place = memory();
    let dir = place.path().join("audit");
    watched(|watched| watched.changes.insert(dir.clone(), Vec::new()));
    let key = live(&dir);
    let changes = watched(|watched| watched.changes.remove(&dir)).unwrap();
    for kind in ["Linked", "Renamed", "Removed", "Synced", "NamesSynced"] {
        assert!(changes.iter().any(|change| format!("{change:?}").starts_with(kind)), "no {kind}");
    }
    // What was recorded is what happened: without a cut, the files are those that are there.
    for (name, (_, content)) in after(&changes, true, Left::All) {
        assert!(fs::read(dir.join(&name)).unwrap() == content, "{name}");
    }

    let images: Vec<(usize, bool, Left)> = (1..=changes.len())
        .flat_map(|cut| [true, false].map(|names| (cut, names)))
        .flat_map(|(cut, names)| {
            [Left::Nothing, Left::All, Left::HalfOfTheLast, Left::Zeros].map(|left| (cut, names, left))
        })
        .collect();
    let full = std::env::var("STOCKADE_CYCLES").is_ok_and(|size| size == "full");
    // A prime, so that every kind of image comes in turn.
    let step = if full { 1 } else { 11 };
    assert!(images.len() >= 200 && (full || images.len() / step >= 50), "{} images", images.len());
    for (cut, names, left) in images.into_iter().step_by(step) {
        let files = after(&changes[..cut], names, left);
        let promised = changes[..cut].iter().rev().find_map(|change| match change {
            Change::Promised(head) => Some(*head),
            _ => None,
        });
        let place = memory();
        let dir = place.path().join("audit");
        fs::DirBuilder::new().mode(0o700).create(&dir).unwrap();
        let mut made: HashMap<usize, PathBuf> = HashMap::new();
        for (name, (number, content)) in &files {
            // In the middle of a rotation one file has two names.
            if let Some(first) = made.get(number) {
                fs::hard_link(first, dir.join(name)).unwrap();
                continue;
            }
            made.insert(*number, dir.join(name));
            let mut options = File::options();
            let file = options.write(true).create_new(true).mode(0o600).open(dir.join(name)).unwrap();
            std::io::Write::write_all(&mut &file, content).unwrap();
        }
        let what = || {
            let there: Vec<_> = files.iter().map(|(name, (_, content))| (name, content.len())).collect();
            format!("cut {cut} after {:?}, names {names}, {left:?}: {there:?}", changes[cut - 1])
        };
        let what = what();
        let log = Log::open(&dir).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        log.append(&Record::new(Layer::Host, "refused", Decision::Denied)).unwrap();
        log.tidy().unwrap_or_else(|error| panic!("{what}: {error:?}"));
        log.close().unwrap();
        // Before the key was promised to anybody, there may be another one now.
        let keys = promised.map(|_| key.clone()).into_iter().collect();
        let trust = Trust { keys, head: promised, ..Trust::default() };
        let report = verify_with(&dir, &trust).unwrap();
        let removed = |finding: &crate::Finding| matches!(finding, crate::Finding::NotComparable { .. });
        assert!(report.findings.iter().all(removed), "{what}: {:?}", report.findings);
    }
}
