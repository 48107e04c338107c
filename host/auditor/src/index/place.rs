//! Where an index lies: where this user may write, since the log is often somebody else's.

use std::env;
use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::schema::hash;

/// The name of the index beside a log.
const BESIDE: &str = "audit.index";

/// The usual place of the index of the log at `log`: beside it where this user can write there, otherwise in the
/// user's cache. None where there is neither.
pub fn usual(log: &Path) -> Option<PathBuf> {
    let directory = if log.is_dir() { log } else { log.parent()? };
    let beside = match log.is_dir() {
        true => directory.join(BESIDE),
        // Of one file: that of the directory is for all of them.
        false => directory.join(format!("{}.index", log.file_name()?.to_string_lossy())),
    };
    if is_writable(&beside) {
        return Some(beside);
    }
    let absolute = std::fs::canonicalize(log).ok()?;
    let cache = cache(|name| env::var_os(name))?;
    DirBuilder::new().recursive(true).mode(0o700).create(&cache).ok()?;
    let name = absolute.as_os_str().as_bytes();
    Some(cache.join(format!("audit-{:016x}.index", hash(&String::from_utf8_lossy(name)))))
}

/// The cache folder by the XDG base directories.
fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The specification has relative paths ignored.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    Some(absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?.join("stockade"))
}

/// Whether the index can be written there: tried, since permission bits do not tell of read-only mounts. Nothing is
/// left behind.
fn is_writable(index: &Path) -> bool {
    let probe = index.with_extension(format!("probe-{}", std::process::id()));
    let made = File::options().write(true).create_new(true).mode(0o600).open(&probe).is_ok();
    if made {
        let _ = std::fs::remove_file(&probe);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_xdg_has_it() {
        let at = |variables: &[(&str, &str)]| {
            cache(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
        };
        assert_eq!(at(&[("HOME", "/h")]), Some("/h/.cache/stockade".into()));
        assert_eq!(at(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]), Some("/c/stockade".into()));
        assert_eq!(at(&[("HOME", "/h"), ("XDG_CACHE_HOME", "c")]), Some("/h/.cache/stockade".into()));
        assert_eq!(at(&[]), None);
    }

    #[test]
    fn beside_the_log_where_that_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(usual(dir.path()), Some(dir.path().join("audit.index")));
        let file = dir.path().join("copy.jsonl");
        std::fs::write(&file, "").unwrap();
        assert_eq!(usual(&file), Some(dir.path().join("copy.jsonl.index")));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
