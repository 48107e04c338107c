use semver::Version;

use super::MAX_AHEAD;

/// Most of a parser's message that is shown, in characters: it can hold a key as long as the index.
const MAX_SAID: usize = 256;

/// Why something is no index, or not the one of today.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// Over the cap.
    #[error("the index is larger than {max} bytes")]
    TooLarge {
        /// The cap.
        max: u64,
    },
    /// Not JSON.
    #[error("the index is not JSON: {message}")]
    Syntax {
        /// Where.
        at: String,
        /// The parser's words.
        message: String,
    },
    /// JSON with other keys or other kinds of values; a key twice in one object.
    #[error("the index has another shape than one can have: {message}")]
    Shape {
        /// Where.
        at: String,
        /// The parser's words.
        message: String,
    },
    /// Written for another version of this program.
    #[error("index format {found} is not known; this version reads format 1")]
    Schema {
        /// The format that it claims.
        found: u64,
    },
    /// What it calls itself is no name.
    #[error("{name:?} is no name of an index")]
    IndexName {
        /// What stands there.
        name: String,
    },
    /// Not a time, or in another spelling than the one that is taken.
    #[error("{found:?} is not a time in UTC and whole seconds")]
    Time {
        /// What stands there.
        found: String,
    },
    /// A number that is none, or too high.
    #[error("{found} is not between 1 and {max}")]
    Number {
        /// Where.
        at: String,
        /// What stands there.
        found: u64,
        /// The cap.
        max: u64,
    },
    /// Longer than what anybody reads.
    #[error("the value is longer than {max} bytes")]
    TooLong {
        /// Where.
        at: String,
        /// The cap.
        max: usize,
    },
    /// More entries than there can be.
    #[error("more than {max} entries")]
    TooMany {
        /// Where.
        at: String,
        /// The cap.
        max: usize,
    },
    /// Not `publisher/name`.
    #[error("{name:?} is not a plugin name")]
    Name {
        /// Where.
        at: String,
        /// What stands there.
        name: String,
    },
    /// Not a semantic version.
    #[error("{version:?} is not a semantic version")]
    Version {
        /// Where.
        at: String,
        /// What stands there.
        version: String,
        /// Why.
        #[source]
        source: semver::Error,
    },
    /// Not a range of versions.
    #[error("{versions:?} is no range of versions")]
    Versions {
        /// Where.
        at: String,
        /// What stands there.
        versions: String,
        /// Why.
        #[source]
        source: semver::Error,
    },
    /// None of the four types.
    #[error("unknown plugin type {name:?}")]
    Type {
        /// Where.
        at: String,
        /// What stands there.
        name: String,
    },
    /// Not two numbers with a dot.
    #[error("{contract:?} is no contract")]
    Contract {
        /// Where.
        at: String,
        /// What stands there.
        contract: String,
    },
    /// Not `sha256:` and 64 digits.
    #[error("{digest:?} is no digest of a package")]
    Digest {
        /// Where.
        at: String,
        /// What stands there.
        digest: String,
    },
    /// Not a place where a package is.
    #[error("{found:?} is no source of a package")]
    Source {
        /// Where.
        at: String,
        /// What stands there.
        found: String,
    },
    /// A source of another package.
    #[error("the source {found:?} has another digest than the version")]
    SourceDigest {
        /// Where.
        at: String,
        /// What stands there.
        found: String,
    },
    /// Two plugins of one name.
    #[error("the plugin {plugin:?} is listed twice")]
    DuplicatePlugin {
        /// The second.
        at: String,
        /// Its name.
        plugin: String,
    },
    /// A version of a plugin twice.
    #[error("the version {version} is listed twice")]
    DuplicateVersion {
        /// The second.
        at: String,
        /// Which one.
        version: Version,
    },
    /// The same dependency twice.
    #[error("the dependency on {plugin:?} is listed twice")]
    DuplicateDependency {
        /// The second.
        at: String,
        /// On which plugin.
        plugin: String,
    },
    /// A plugin that needs itself.
    #[error("the plugin depends on itself")]
    DependsOnItself {
        /// Where.
        at: String,
    },

    /// Another index than the one that was meant.
    #[error("this is the index {found:?}, not {expected:?}")]
    OtherName {
        /// What it calls itself.
        found: String,
        /// Which one was meant.
        expected: String,
    },
    /// Older than what was seen.
    #[error("the index has version {version}, and version {seen} of it was seen before")]
    RolledBack {
        /// Its version.
        version: u64,
        /// The version that was seen.
        seen: u64,
    },
    /// Another index of the same version.
    #[error("there are two different indexes of version {version}")]
    Forked {
        /// Their version.
        version: u64,
    },
    /// Too far ahead of what was seen.
    #[error("the index has version {version}, more than {MAX_AHEAD} ahead of {seen}, which was seen before")]
    Ahead {
        /// Its version.
        version: u64,
        /// The version that was seen.
        seen: u64,
    },
    /// Not believed any more.
    #[error("the index was believed until {}, and it is {}", shown(.expires), shown(.now))]
    Expired {
        /// When it expired: seconds since 1970.
        expires: u64,
        /// What time it is.
        now: u64,
    },

    /// A folder, or a bare component: what has no digest cannot be listed.
    #[error("{plugin} is no package, and has no digest")]
    NotPacked {
        /// Which plugin.
        plugin: String,
    },
    /// A version is another package already.
    #[error("{plugin} {version} is in the index as {listed}, and cannot be {given}")]
    Taken {
        /// Which plugin.
        plugin: String,
        /// Which version.
        version: Version,
        /// The digest in the index.
        listed: String,
        /// The digest of what was to be added.
        given: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "thiserror hands out references")]
fn shown(seconds: &u64) -> String {
    super::read::time_text(*seconds).unwrap_or_else(|| format!("{seconds} seconds after 1970"))
}

/// At most so much of a hostile text, with nothing in it that a terminal obeys.
pub(super) fn cut(text: &str, max: usize) -> String {
    let mut shown: String = text.chars().take(max).flat_map(char::escape_debug).collect();
    if text.chars().nth(max).is_some() {
        shown.push_str("...");
    }
    shown
}

impl IndexError {
    /// Of what the parser says, and where it was.
    pub(super) fn of_json(path: &str, error: &serde_json::Error) -> IndexError {
        let at = match path {
            "." => String::new(),
            path => cut(path, MAX_SAID),
        };
        let message = cut(&error.to_string(), MAX_SAID);
        match error.classify() {
            serde_json::error::Category::Data => Self::Shape { at, message },
            _ => Self::Syntax { at, message },
        }
    }
}
