use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::args::Places;
use crate::failure::Failure;

/// Where state and log lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) state: PathBuf,
    pub(crate) audit: PathBuf,
}

impl Home {
    /// What the command line says, and the usual places for the rest.
    pub(crate) fn find(places: &Places) -> Result<Self, Failure> {
        let state = match (&places.state, &places.audit) {
            (Some(state), _) => state.clone(),
            (None, _) => {
                usual(nix::unistd::geteuid().is_root(), |name| env::var_os(name)).ok_or_else(|| {
                    Failure::usage(
                        "no-home",
                        "--state",
                        "there is neither HOME nor XDG_STATE_HOME, so there is no usual place for state"
                            .to_owned(),
                        "name a folder with --state",
                    )
                })?
            }
        };
        let audit = places.audit.clone().unwrap_or_else(|| state.join("audit"));
        Ok(Self { state, audit })
    }
}

/// The usual state folder: of the system for root, by the XDG base directories for everybody else.
fn usual(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if root {
        return Some(PathBuf::from("/var/lib/stockade"));
    }
    // The specification has relative paths ignored.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state =
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(Path::new(".local/state"))))?;
    Some(state.join("stockade"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(root: bool, variables: &[(&str, &str)]) -> Option<PathBuf> {
        usual(root, |name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn users_have_their_state_by_xdg_and_root_has_the_systems() {
        assert_eq!(find(true, &[("HOME", "/root")]), Some("/var/lib/stockade".into()));
        assert_eq!(find(false, &[("HOME", "/home/a")]), Some("/home/a/.local/state/stockade".into()));
        let xdg = [("HOME", "/home/a"), ("XDG_STATE_HOME", "/s")];
        assert_eq!(find(false, &xdg), Some("/s/stockade".into()));
    }

    #[test]
    fn relative_and_missing_variables_count_for_nothing() {
        let relative = [("HOME", "/home/a"), ("XDG_STATE_HOME", "s")];
        assert_eq!(find(false, &relative), Some("/home/a/.local/state/stockade".into()));
        assert_eq!(find(false, &[]), None);
    }

    #[test]
    fn the_log_lies_in_the_state_folder_unless_somebody_says_otherwise() {
        let home = |audit: Option<&str>| {
            Home::find(&Places { state: Some("/s".into()), audit: audit.map(Into::into) })
                .expect("a home")
                .audit
        };
        assert_eq!((home(None), home(Some("/a"))), ("/s/audit".into(), "/a".into()));
    }
}
