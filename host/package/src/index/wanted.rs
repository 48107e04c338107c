use std::fmt;
use std::str::FromStr;

use semver::{Comparator, Op, Version, VersionReq};
use stockade_policy::is_plugin_name;

use super::ResolveError;
use crate::manifest::MAX_SHORT;

/// A plugin that somebody asks for: `publisher/name`, or `publisher/name@RANGE`.
///
/// `@1.4.0` is that version and no other, as `@=1.4.0`: whoever names all of a version means it. `@1.4` is a range as
/// everywhere else, that is `@^1.4`.
///
/// ```
/// use stockade_package::index::Wanted;
///
/// let wanted: Wanted = "acme/scan@1.4.0".parse()?;
/// assert_eq!(wanted.to_string(), "acme/scan@=1.4.0");
/// # Ok::<(), stockade_package::index::ResolveError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `publisher/name`.
    pub plugin: String,
    /// The versions that will do; where none are named, any but pre-releases.
    pub versions: Option<VersionReq>,
}

impl Wanted {
    /// Whether it asks for this version, and not for a range that this version happens to be in.
    pub(super) fn names(&self, version: &Version) -> bool {
        let Some(versions) = &self.versions else { return false };
        let whole = |one: &Comparator| one.op == Op::Exact && one.minor.is_some() && one.patch.is_some();
        matches!(&versions.comparators[..], [one] if whole(one)) && versions.matches(version)
    }

    /// Whether this version will do.
    pub(super) fn takes(&self, version: &Version) -> bool {
        self.versions.as_ref().map_or(version.pre.is_empty(), |versions| versions.matches(version))
    }
}

fn exactly(version: Version) -> VersionReq {
    let Version { major, minor, patch, pre, .. } = version;
    let only = Comparator { op: Op::Exact, major, minor: Some(minor), patch: Some(patch), pre };
    VersionReq { comparators: vec![only] }
}

impl FromStr for Wanted {
    type Err = ResolveError;

    fn from_str(text: &str) -> Result<Wanted, ResolveError> {
        let (plugin, versions) = match text.split_once('@') {
            Some((plugin, versions)) => (plugin, Some(versions)),
            None => (text, None),
        };
        if !is_plugin_name(plugin) {
            let shown = plugin.chars().take(MAX_SHORT).collect();
            return Err(ResolveError::Name { name: shown });
        }
        let Some(versions) = versions else {
            return Ok(Wanted { plugin: plugin.to_owned(), versions: None });
        };
        if versions.len() > MAX_SHORT {
            return Err(ResolveError::TooLong { max: MAX_SHORT });
        }
        let range = match Version::parse(versions) {
            Ok(version) => exactly(version),
            Err(_) => VersionReq::parse(versions)
                .map_err(|source| ResolveError::Versions { versions: versions.to_owned(), source })?,
        };
        Ok(Wanted { plugin: plugin.to_owned(), versions: Some(range) })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plugin)?;
        self.versions.as_ref().map_or(Ok(()), |versions| write!(f, "@{versions}"))
    }
}
