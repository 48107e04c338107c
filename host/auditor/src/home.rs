use std::env;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Where `stockade` has its audit log where nobody says otherwise: of the system for root, by the XDG base directories
/// for everybody else.
pub fn usual_log() -> Option<PathBuf> {
    // This process's own entry belongs to the user that it runs as.
    let root = std::fs::metadata("/proc/self").is_ok_and(|stat| stat.uid() == 0);
    state(root, |name| env::var_os(name)).map(|state| state.join("audit"))
}

fn state(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if root {
        return Some(PathBuf::from("/var/lib/stockade"));
    }
    // The specification has relative paths ignored.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("stockade"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_where_the_host_has_it() {
        let at = |root, variables: &[(&str, &str)]| {
            state(root, |name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
        };
        assert_eq!(at(true, &[("HOME", "/root")]), Some("/var/lib/stockade".into()));
        assert_eq!(at(false, &[("HOME", "/h")]), Some("/h/.local/state/stockade".into()));
        assert_eq!(at(false, &[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]), Some("/s/stockade".into()));
        assert_eq!(at(false, &[]), None);
    }
}
