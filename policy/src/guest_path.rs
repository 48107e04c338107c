use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stands;

/// Longest guest path in bytes: PATH_MAX of Linux less its NUL, so that no path which the kernel would
/// refuse is ever sent to it.
pub const MAX_PATH: usize = 4095;
/// Longest component in bytes: NAME_MAX of Linux.
pub const MAX_COMPONENT: usize = 255;

/// An absolute, normalised path as the plugin sees it: `/`, or `/` and components without `.`, `..`,
/// NUL or empty ones. Names are compared byte by byte; nothing is decoded, folded or normalised further.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuestPath(String);

/// Why a text is no guest path.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    /// Empty texts name nothing.
    #[error("the path is empty")]
    Empty,
    /// Guest paths in grants start at the root.
    #[error("the path is not absolute")]
    NotAbsolute,
    /// `..` climbs above the directory it starts from.
    #[error("the path climbs out of its directory")]
    Escapes,
    /// A NUL would cut the path for the kernel but not for us.
    #[error("the path has a NUL byte")]
    Nul,
    /// Longer than [`MAX_PATH`].
    #[error("the path is longer than {MAX_PATH} bytes")]
    TooLong,
    /// A component longer than [`MAX_COMPONENT`].
    #[error("a component is longer than {MAX_COMPONENT} bytes")]
    ComponentTooLong,
}

impl GuestPath {
    /// The guest's root.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Reads an absolute path. `.` and repeated slashes go; `..` removes the component before it.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        match text.strip_prefix('/') {
            Some(relative) => Self::root().descend(relative),
            None if text.is_empty() => Err(PathError::Empty),
            None => Err(PathError::NotAbsolute),
        }
    }

    /// `relative` below `self`, as `wasi:filesystem` resolves it: an absolute text or one that climbs
    /// above `self`, even for a moment, is refused.
    pub fn resolve(&self, relative: &str) -> Result<Self, PathError> {
        if relative.is_empty() {
            return Err(PathError::Empty);
        }
        if relative.starts_with('/') {
            return Err(PathError::Escapes);
        }
        self.descend(relative)
    }

    fn descend(&self, relative: &str) -> Result<Self, PathError> {
        if relative.contains('\0') && stands("path.nul") {
            return Err(PathError::Nul);
        }
        let mut path = if self.is_root() { String::new() } else { self.0.clone() };
        let floor = path.len();
        if floor + 1 + relative.len() > MAX_PATH && stands("path.length") {
            return Err(PathError::TooLong);
        }
        for component in relative.split('/') {
            match component {
                "" | "." => {}
                ".." if path.len() == floor && stands("path.climb") => return Err(PathError::Escapes),
                ".." => path.truncate(path.rfind('/').unwrap_or(floor)),
                name if name.len() > MAX_COMPONENT && stands("path.component") => {
                    return Err(PathError::ComponentTooLong);
                }
                name => {
                    path.push('/');
                    path.push_str(name);
                }
            }
        }
        Ok(if path.is_empty() { Self::root() } else { Self(path) })
    }

    /// The path as text, always starting with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The part of `self` below `root`, without a leading slash; empty for `root` itself; none where
    /// `self` is not below it. `/srcs` is not below `/src`.
    pub fn below(&self, root: &GuestPath) -> Option<&str> {
        if root.is_root() {
            return Some(&self.0[1..]);
        }
        match self.0.strip_prefix(root.as_str())? {
            "" => Some(""),
            rest if !stands("path.whole-names") => Some(rest),
            rest => rest.strip_prefix('/'),
        }
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for GuestPath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        Self::parse(&text)
    }
}

impl From<GuestPath> for String {
    fn from(path: GuestPath) -> String {
        path.0
    }
}
